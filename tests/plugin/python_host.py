"""A program written in Python that uses libsasl2 through ctypes, and so shares its interpreter.

Run by test_python_host.py with the system's Python and none of this project's packages.
"""

from __future__ import annotations

import ctypes
import os
import sys

CONTINUE = 1


class Connection(ctypes.c_void_p):
    """A connection that is disposed of when Python ends, after the interpreter has gone."""

    def __del__(self, dispose: object = ctypes.CDLL("libsasl2.so.2").sasl_dispose) -> None:
        dispose(ctypes.byref(self))  # type: ignore[operator]


kept: list[Connection] = []


def start(library: ctypes.CDLL) -> bytes:
    """The initial response of a login as the default identity."""
    connection = Connection()
    assert library.sasl_client_init(None) == 0
    created = library.sasl_client_new(
        b"imap", b"localhost", None, None, None, 0, ctypes.byref(connection)
    )
    assert created == 0
    out, length, chosen = ctypes.c_void_p(), ctypes.c_uint(), ctypes.c_char_p()
    code = library.sasl_client_start(
        connection,
        b"BROWSERID-AES128",
        None,
        ctypes.byref(out),
        ctypes.byref(length),
        ctypes.byref(chosen),
    )
    library.sasl_errdetail.restype = ctypes.c_char_p
    assert code == CONTINUE, library.sasl_errdetail(connection)
    response = ctypes.string_at(out, length.value)
    kept.append(connection)
    return response


def main() -> None:
    """Log in with Python's lock held during the calls and without, then in a child."""
    for loader in (ctypes.PyDLL, ctypes.CDLL):
        library = loader("libsasl2.so.2")
        assert start(library).startswith(b"n,,c,")
        child = os.fork()
        if child == 0:
            os._exit(0 if start(library).startswith(b"n,,c,") else 1)
        assert os.waitpid(child, 0)[1] == 0
    sys.stdout.write("logged in\n")


main()
