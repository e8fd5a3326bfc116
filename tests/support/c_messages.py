"""plugin/message.c through cffi: an end of a context whose messages the C code protects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import cffi

from browserid_sasl.errors import Code
from browserid_sasl.krb5.message import Role, TokenStatus, Unwrapped
from tests.support.sample_programs import ROOT
from tests.support.services import run

SOURCES: Final = [
    ROOT / "plugin" / name for name in ("message.c", "message_token.c", "message_iov.c")
]
LIBRARIES: Final = ("-lgssapi_krb5", "-lk5crypto", "-pthread")
WARNINGS: Final = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")

# Types of buffers (gssapi_ext.h).
DATA: Final = 1
HEADER: Final = 2
TRAILER: Final = 7
PADDING: Final = 9
STREAM: Final = 10
SIGN_ONLY: Final = 11
MIC_TOKEN: Final = 12
ALLOCATE: Final = 0x10000

_ERROR_BITS: Final = 0xFFFF_0000

# What is declared below, the type checker cannot know.
_ffi: Final[Any] = cffi.FFI()
_ffi.cdef(
    """
    typedef struct { size_t length; void *value; } gss_buffer_desc;
    typedef struct { uint32_t length; void *elements; } gss_OID_desc;
    extern gss_OID_desc *GSS_C_INQ_SSPI_SESSION_KEY, *GSS_C_INQ_NEGOEX_KEY,
                        *GSS_C_INQ_NEGOEX_VERIFY_KEY;
    typedef struct { size_t count; gss_buffer_desc *elements; } gss_buffer_set_desc;
    typedef struct { uint32_t type; gss_buffer_desc buffer; } gss_iov_buffer_desc;
    struct message_start {
        int enctype; bool initiator, acceptor_subkey, dce; uint64_t send, receive;
    };
    uint32_t message_create(uint32_t *, struct message_start *, void *, size_t, void **);
    void message_free(void *);
    uint32_t message_export(uint32_t *, void *, gss_buffer_desc *);
    uint32_t message_import(uint32_t *, void *, size_t, void **);
    uint32_t message_wrap(uint32_t *, void *, int, uint32_t, gss_buffer_desc *, int *,
                          gss_buffer_desc *);
    uint32_t message_unwrap(uint32_t *, void *, gss_buffer_desc *, gss_buffer_desc *, int *,
                            uint32_t *);
    uint32_t message_get_mic(uint32_t *, void *, uint32_t, gss_buffer_desc *, gss_buffer_desc *);
    uint32_t message_verify_mic(uint32_t *, void *, gss_buffer_desc *, gss_buffer_desc *,
                                uint32_t *);
    uint32_t message_wrap_size_limit(uint32_t *, void *, int, uint32_t, uint32_t, uint32_t *);
    uint32_t message_wrap_iov(uint32_t *, void *, int, uint32_t, int *, gss_iov_buffer_desc *,
                              int);
    uint32_t message_wrap_iov_length(uint32_t *, void *, int, uint32_t, int *,
                                     gss_iov_buffer_desc *, int);
    uint32_t message_unwrap_iov(uint32_t *, void *, int *, uint32_t *, gss_iov_buffer_desc *, int);
    uint32_t message_get_mic_iov(uint32_t *, void *, uint32_t, gss_iov_buffer_desc *, int);
    uint32_t message_get_mic_iov_length(uint32_t *, void *, uint32_t, gss_iov_buffer_desc *, int);
    uint32_t message_verify_mic_iov(uint32_t *, void *, uint32_t *, gss_iov_buffer_desc *, int);
    uint32_t message_pseudo_random(uint32_t *, void *, int, gss_buffer_desc *, ssize_t,
                                   gss_buffer_desc *);
    uint32_t message_inquire_by_oid(uint32_t *, void *, gss_OID_desc *, gss_buffer_set_desc **);
    const char *message_words(uint32_t);
    uint32_t gss_release_buffer(uint32_t *, gss_buffer_desc *);
    uint32_t gss_release_iov_buffer(uint32_t *, gss_iov_buffer_desc *, int);
    uint32_t gss_release_buffer_set(uint32_t *, gss_buffer_set_desc **);
    """
)
_gss: Final = _ffi.dlopen("libgssapi_krb5.so.2")
_NULL: Final = _ffi.NULL


class CRefusalError(Exception):
    """A function failed.

    :param major: its major status.
    :param code: the reason.
    :param words: the sentence there is for it.
    """

    def __init__(self, major: int, code: Code, words: str) -> None:
        super().__init__(words)
        self.major = major
        self.code = code


def build(folder: Path) -> Path:
    """Compile the C code as a library in a folder."""
    library = folder / "libmessages.so"
    flags = ("-O2", "-g", *WARNINGS, "-shared", "-fPIC")
    done = run(("cc", *flags, *SOURCES, *LIBRARIES, "-o", library))
    assert done.returncode == 0, done.stdout
    return library


class CMessages:
    """The library.

    :param library: as `build` made it.
    """

    def __init__(self, library: Path) -> None:
        self.functions = _ffi.dlopen(str(library))

    def end(
        self,
        enctype: int,
        root: bytes,
        role: Role,
        *,
        acceptor_subkey: bool = False,
        dce: bool = False,
        send: int = 0,
        receive: int = 0,
    ) -> CEnd:
        """An end of a context."""
        start = _ffi.new("struct message_start *")
        start.enctype, start.initiator = enctype, role is Role.INITIATOR
        start.acceptor_subkey, start.dce = acceptor_subkey, dce
        start.send, start.receive = send, receive
        end = CEnd(self.functions)
        with _ffi.from_buffer(root) as memory:
            end._call("message_create", start, memory, len(root), end._handle)
        return end

    def imported(self, octets: bytes) -> CEnd:
        """The end that another one's `CEnd.export` has written down."""
        end = CEnd(self.functions)
        with _ffi.from_buffer(octets) as memory:
            end._call("message_import", memory, len(octets), end._handle)
        return end


class CEnd:
    """An end of a context, with the interface of `MessageProtection` and what C has beside that."""

    def __init__(self, functions: Any) -> None:
        self._functions = functions
        self._handle = _ffi.new("void **")

    def __del__(self) -> None:
        self._functions.message_free(self._handle[0])

    def wrap(self, data: bytes, confidential: bool = True) -> bytes:
        """``gss_wrap``."""
        output, state = _ffi.new("gss_buffer_desc *"), _ffi.new("int *", 7)
        with _buffer(data) as message:
            self._own("message_wrap", confidential, 0, message, state, output)
        assert state[0] == confidential
        return _take(output)

    def unwrap(self, token: bytes) -> Unwrapped:
        """``gss_unwrap``."""
        output, state, qop = _ffi.new("gss_buffer_desc *"), _ffi.new("int *"), _ffi.new("int *", 7)
        with _buffer(token) as message:
            quality = _ffi.cast("uint32_t *", qop)
            status = self._own("message_unwrap", message, output, state, quality)
        assert qop[0] == 0
        return Unwrapped(_take(output), bool(state[0]), TokenStatus(status))

    def get_mic(self, data: bytes) -> bytes:
        """``gss_get_mic``."""
        output = _ffi.new("gss_buffer_desc *")
        with _buffer(data) as message:
            self._own("message_get_mic", 0, message, output)
        return _take(output)

    def verify_mic(self, data: bytes, token: bytes) -> TokenStatus:
        """``gss_verify_mic``."""
        with _buffer(data) as message, _buffer(token) as mic:
            return TokenStatus(self._own("message_verify_mic", message, mic, _NULL))

    def wrap_size_limit(self, max_output: int, confidential: bool = True) -> int:
        """``gss_wrap_size_limit``."""
        size = _ffi.new("uint32_t *")
        self._own("message_wrap_size_limit", confidential, 0, max_output, size)
        return int(size[0])

    def pseudo_random(self, data: bytes, size: int, which: int = 0) -> bytes:
        """``gss_pseudo_random``, with the full key by default."""
        output = _ffi.new("gss_buffer_desc *")
        with _buffer(data) as message:
            self._own("message_pseudo_random", which, message, size, output)
        return _take(output)

    def inquire(self, name: str) -> list[bytes]:
        """``gss_inquire_sec_context_by_oid``, of an identifier that gssapi_ext.h names."""
        values, minor = _ffi.new("gss_buffer_set_desc **"), _ffi.new("uint32_t *")
        self._own("message_inquire_by_oid", getattr(_gss, name), values)
        found = [_octets(values[0].elements[i]) for i in range(values[0].count)]
        _gss.gss_release_buffer_set(minor, values)
        return found

    def export(self) -> bytes:
        """The state."""
        output = _ffi.new("gss_buffer_desc *")
        self._own("message_export", output)
        return _take(output)

    def wrap_iov(self, buffers: Sequence[Buffer], confidential: bool = True) -> list[bytes]:
        """``gss_wrap_iov``, what is then in the buffers."""
        state = _ffi.new("int *")
        with _Buffers(buffers) as iov:
            self._own("message_wrap_iov", confidential, 0, state, iov.all, iov.count)
            return iov.octets()

    def wrap_iov_length(self, buffers: Sequence[Buffer], confidential: bool = True) -> list[int]:
        """``gss_wrap_iov_length``."""
        with _Buffers(buffers) as iov:
            self._own("message_wrap_iov_length", confidential, 0, _NULL, iov.all, iov.count)
            return iov.lengths()

    def unwrap_iov(self, buffers: Sequence[Buffer]) -> tuple[list[bytes], bool, TokenStatus]:
        """``gss_unwrap_iov``: what is then in the buffers, whether sealed, and the status."""
        state = _ffi.new("int *")
        with _Buffers(buffers) as iov:
            status = self._own("message_unwrap_iov", state, _NULL, iov.all, iov.count)
            return iov.octets(), bool(state[0]), TokenStatus(status)

    def left_by_unwrap_iov(self, buffers: Sequence[Buffer]) -> list[bytes]:
        """What a ``gss_unwrap_iov`` that fails leaves in the buffers."""
        state, minor = _ffi.new("int *"), _ffi.new("uint32_t *")
        with _Buffers(buffers) as iov:
            function = self._functions.message_unwrap_iov
            major = function(minor, self._handle[0], state, _NULL, iov.all, iov.count)
            assert major & _ERROR_BITS
            return iov.octets()

    def get_mic_iov(self, buffers: Sequence[Buffer]) -> list[bytes]:
        """``gss_get_mic_iov``."""
        with _Buffers(buffers) as iov:
            self._own("message_get_mic_iov", 0, iov.all, iov.count)
            return iov.octets()

    def get_mic_iov_length(self, buffers: Sequence[Buffer]) -> list[int]:
        """``gss_get_mic_iov_length``."""
        with _Buffers(buffers) as iov:
            self._own("message_get_mic_iov_length", 0, iov.all, iov.count)
            return iov.lengths()

    def verify_mic_iov(self, buffers: Sequence[Buffer]) -> TokenStatus:
        """``gss_verify_mic_iov``."""
        with _Buffers(buffers) as iov:
            return TokenStatus(self._own("message_verify_mic_iov", _NULL, iov.all, iov.count))

    def wrapper(self, data: bytes) -> Callable[[], None]:
        """`wrap`, ready to be called again and again, for measuring it alone."""
        return self._bare_call(
            "message_wrap", data, lambda message, output: (1, 0, message, _NULL, output)
        )

    def unwrapper(self, token: bytes) -> Callable[[], None]:
        """`unwrap` of a token, ready to be called once."""
        return self._bare_call(
            "message_unwrap", token, lambda message, output: (message, output, _NULL, _NULL)
        )

    def _bare_call(
        self, name: str, octets: bytes, arrange: Callable[[Any, Any], tuple[Any, ...]]
    ) -> Callable[[], None]:
        function, release = getattr(self._functions, name), _gss.gss_release_buffer
        minor, output = _ffi.new("uint32_t *"), _ffi.new("gss_buffer_desc *")
        memory = _ffi.from_buffer("char[]", octets)
        message = _ffi.new("gss_buffer_desc *", {"length": len(octets), "value": memory})
        arguments = arrange(message, output)

        def call() -> None:
            # The message points into this, which nothing else keeps.
            assert memory
            assert function(minor, self._handle[0], *arguments) == 0
            release(minor, output)

        return call

    def _own(self, name: str, *arguments: Any) -> int:
        return self._call(name, self._handle[0], *arguments)

    def _call(self, name: str, *arguments: Any) -> int:
        minor = _ffi.new("uint32_t *", 7)
        major = int(getattr(self._functions, name)(minor, *arguments))
        if not major & _ERROR_BITS:
            assert minor[0] == 0
            return major
        words = self._functions.message_words(minor[0])
        sentence = "" if words == _NULL else _ffi.string(words).decode()
        raise CRefusalError(major, Code.from_wire(minor[0]), sentence)


Buffer = tuple[int, bytes]
"""A buffer's type and what is in it, or how long it is: as many octets."""


class _Buffers:
    """Buffers in memory of their own, each to the octet."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.count = len(buffers)
        self.all = _ffi.new("gss_iov_buffer_desc[]", max(1, len(buffers)))
        self._memory = [_ffi.new("char[]", max(1, len(octets))) for _, octets in buffers]
        for buffer, memory, (kind, octets) in zip(self.all, self._memory, buffers, strict=False):
            buffer.type = kind
            buffer.buffer.length = len(octets)
            buffer.buffer.value = memory
            _ffi.buffer(memory, len(octets))[:] = octets

    def __enter__(self) -> _Buffers:
        return self

    def __exit__(self, *_: object) -> None:
        _gss.gss_release_iov_buffer(_ffi.new("uint32_t *"), self.all, self.count)

    def octets(self) -> list[bytes]:
        return [_octets(self.all[i].buffer) for i in range(self.count)]

    def lengths(self) -> list[int]:
        return [int(self.all[i].buffer.length) for i in range(self.count)]


def _octets(buffer: Any) -> bytes:
    return bytes(_ffi.buffer(buffer.value, buffer.length)) if buffer.length else b""


def _take(output: Any) -> bytes:
    octets = _octets(output)
    _gss.gss_release_buffer(_ffi.new("uint32_t *"), output)
    return octets


class _buffer(ExitStack):
    """Octets as an input."""

    def __init__(self, octets: bytes) -> None:
        super().__init__()
        self._octets = octets

    def __enter__(self) -> Any:
        memory = self.enter_context(_ffi.from_buffer("char[]", self._octets))
        return _ffi.new("gss_buffer_desc *", {"length": len(self._octets), "value": memory})
