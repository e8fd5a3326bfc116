"""What the programs that ask the acceptor have in their own files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from browserid_sasl.doctor.findings import Finding, bad, doubtful, good
from browserid_sasl.gss.mechanisms import MECHANISMS

LONG_ENOUGH: Final = 4096
"""Characters of a line in which the longest usual message comes (docs/limits.md)."""

_POSTFIX_DEFAULT: Final = 2048
_PADDING: Final = "BROWSERID-PADDING"
_NO_BINDING: Final = "PLAIN"
_DEFAULT_SOCKET: Final = "/run/browserid/acceptor"
_NAMES: Final = frozenset(each.name for each in MECHANISMS)


def postfix(file: Path) -> Iterator[Finding]:
    """Postfix's main.cf."""
    check = "Postfix"
    values = _settings(file, "=")
    given = values.get("line_length_limit", str(_POSTFIX_DEFAULT))
    limit = int(given) if given.isdecimal() else 0
    if limit < LONG_ENOUGH:
        yield doubtful(
            check,
            f"{file}: lines may have {given} characters, too few for logins with RSA keys",
            f"postconf line_length_limit={LONG_ENOUGH} && service postfix reload",
        )
    else:
        yield good(check, f"{file}: line_length_limit is {limit}")
    kind = values.get("smtpd_sasl_type", "")
    if kind and kind != "dovecot":
        yield bad(
            check,
            f"{file}: smtpd_sasl_type is {kind}, by which Postfix does not ask the acceptor",
            "postconf smtpd_sasl_type=dovecot && service postfix reload",
        )


def imapd(
    file: Path, host: str, sockets: Mapping[str, object], *, by_gs2: bool = False
) -> Iterator[Finding]:
    """Cyrus imapd's imapd.conf.

    :param host: the name that clients know it by.
    :param sockets: those of the acceptor, by path.
    :param by_gs2: whether it has the mechanisms by Cyrus's own plugin for GS2.
    """
    check = "imapd"
    values = _settings(file, ":")
    offered = values.get("sasl_mech_list", "").upper().split()
    room = _NO_BINDING if by_gs2 else _PADDING
    if offered and not _NAMES & set(offered):
        yield bad(
            check,
            f"{file}: sasl_mech_list names none of the mechanisms",
            f"add BROWSERID-AES128 {room} to sasl_mech_list",
        )
    elif by_gs2 and offered and set(offered) <= _NAMES | {_PADDING}:
        yield bad(
            check,
            f"{file}: libsasl2 writes past its list of mechanisms, since each of them binds to TLS",
            f"add {room} to sasl_mech_list",
        )
    elif not by_gs2 and offered and set(offered) <= _NAMES:
        yield doubtful(
            check,
            f"{file}: libsasl2 has no room for the names that bind to TLS",
            f"add {_PADDING} to sasl_mech_list",
        )
    else:
        yield good(check, f"{file}: sasl_mech_list offers {' '.join(offered) or 'everything'}")
    yield from _imapd_name(check, file, values, host)
    asked = values.get("sasl_browserid_socket", _DEFAULT_SOCKET)
    if asked not in sockets and not by_gs2:
        yield bad(
            check,
            f"{file}: imapd asks at {asked}, where the acceptor has no socket",
            f'add the section [listeners."{asked}"], or set sasl_browserid_socket to one of'
            f" {', '.join(sockets)}",
        )


def _imapd_name(check: str, file: Path, values: Mapping[str, str], host: str) -> Iterator[Finding]:
    named = values.get("servername", "")
    others = values.get("sasl_browserid_audiences", "").replace(",", " ").split()
    if named and named.lower() != host and f"imap/{host}" not in others:
        yield bad(
            check,
            f"{file}: servername is {named}, and clients know it by {host}",
            f"servername: {host}, or sasl_browserid_audiences: imap/{host}",
        )


def _settings(file: Path, sign: str) -> Mapping[str, str]:
    """Names and values of a file with one to a line; a line that is indented goes on."""
    text = re.sub(r"\n[ \t]+", " ", file.read_text(encoding="utf-8", errors="replace"))
    pairs = (line.partition(sign) for line in text.splitlines() if not line.startswith("#"))
    return {name.strip(): value.strip() for name, found, value in pairs if found}
