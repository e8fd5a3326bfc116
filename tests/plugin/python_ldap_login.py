"""Logins to slapd with Debian's python-ldap. Run by test_python_host.py with Debian's Python.

usage: python_ldap_login.py URL threads|forks|interpreters
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

MANY = 6
LOGIN = """
import ldap, ldap.sasl, os
connection = ldap.initialize({url!r})
connection.set_option(ldap.OPT_X_SASL_NOCANON, True)
asked = {{ldap.sasl.CB_USER: "", ldap.sasl.CB_AUTHNAME: ""}}
connection.sasl_interactive_bind_s("", ldap.sasl.sasl(asked, "BROWSERID-AES128"))
said = connection.whoami_s()
connection.unbind_s()
os.write(1, (said + "\\n").encode())
"""


def log_in(url: str) -> None:
    """Log in once, and print as whom in one write."""
    exec(LOGIN.format(url=url), {})


def in_threads(url: str) -> None:
    """Log in from threads at the same time, each several times."""

    def often() -> None:
        for _ in range(3):
            log_in(url)

    threads = [threading.Thread(target=often) for _ in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def in_forks(url: str) -> None:
    """Log in before and after forks, and in the children."""
    log_in(url)
    children = []
    for _ in range(MANY):
        child = os.fork()
        if child == 0:
            log_in(url)
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    log_in(url)


def in_interpreters(url: str) -> None:
    """Log in from the main interpreter, from others, and from the main one again."""
    import _xxsubinterpreters as interpreters  # type: ignore[import-not-found]

    log_in(url)
    for _ in range(MANY):
        each = interpreters.create()
        interpreters.run_string(each, LOGIN.format(url=url))
        interpreters.destroy(each)
    log_in(url)


WAYS: dict[str, Callable[[str], None]] = {
    "threads": in_threads,
    "forks": in_forks,
    "interpreters": in_interpreters,
}
WAYS[sys.argv[2]](sys.argv[1])
