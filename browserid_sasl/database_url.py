"""URLs of the databases that servers of several hosts share.

Each of Redis's has a form with TLS, which begins with ``rediss``:

- ``redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]``
- ``redis+sentinel://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]/SERVICE``
- ``redis+cluster://[USER:PASSWORD@]HOST[:PORT],HOST[:PORT]``
- ``postgresql://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]]/DATABASE``
- ``postgresql:///DATABASE``, by PostgreSQL's own socket
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote

_MAX_SIZE: Final = 1000
_SCHEME: Final = re.compile(r"(redis|rediss|postgresql)(\+sentinel|\+cluster)?://")
_HOST: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}))")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,63}")
_LOOPBACK: Final = re.compile(r"127(?:\.[0-9]{1,3}){3}|::1|localhost")
_PORTS: Final = {"redis": 6379, "sentinel": 26379, "cluster": 6379, "postgresql": 5432}


class BadDatabaseUrl(ValueError):
    """What is wrong with a URL, in words that follow its name and show nothing of it."""


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where a shared database is.

    :param kind: ``redis``, ``sentinel``, ``cluster`` or ``postgresql``.
    :param hosts: names and ports; none is PostgreSQL's own socket.
    :param database: its name or number; with ``sentinel`` the service's name.
    :param tls: whether the connection is TLS, with certificate and name verified.
    :param user: the account there, empty for none.
    :param password: its password, empty for none.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    database: str
    tls: bool
    user: str = ""
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        """The URL, without a password."""
        scheme = "postgresql" if self.kind == "postgresql" else "redis" + "s" * self.tls
        suffix = f"+{self.kind}" if self.kind in ("sentinel", "cluster") else ""
        user = f"{self.user}@" if self.user else ""
        hosts = ",".join(_shown_host(*host) for host in self.hosts)
        return f"{scheme}{suffix}://{user}{hosts}/{self.database}"


def parse_database_url(text: str) -> DatabaseUrl:
    """Take a URL apart.

    :raises BadDatabaseUrl: it is none of those above, or would go over a network without TLS.
    """
    scheme = _SCHEME.match(text)
    if scheme is None or len(text) > _MAX_SIZE or not text.isascii() or not text.isprintable():
        raise BadDatabaseUrl("is no URL of Redis or PostgreSQL")
    name, suffix = scheme[1], scheme[2] or ""
    if name == "postgresql" and suffix:
        raise BadDatabaseUrl("is of PostgreSQL, which has no sentinel and no cluster of that kind")
    place, _, database = text[scheme.end() :].partition("/")
    account, at, listed = place.rpartition("@")
    kind = suffix[1:] or ("postgresql" if name == "postgresql" else "redis")
    hosts = tuple(_host(each, _PORTS[kind]) for each in listed.split(",")) if listed else ()
    if "?" in text or "#" in text:
        raise BadDatabaseUrl("has parameters behind ? or #, which mean nothing here")
    user, _, password = account.partition(":") if at else ("", "", "")
    local = all(_LOOPBACK.fullmatch(host) for host, _ in hosts)
    url = DatabaseUrl(
        kind=kind,
        hosts=hosts,
        database=_database(kind, database),
        tls=name == "rediss" or (kind == "postgresql" and not local),
        user=unquote(user),
        password=unquote(password),
    )
    _check(url, local=local)
    return url


def _check(url: DatabaseUrl, *, local: bool) -> None:
    if not url.hosts and url.kind != "postgresql":
        raise BadDatabaseUrl("names no host")
    if len(url.hosts) > 1 and url.kind == "redis":
        raise BadDatabaseUrl("names several hosts, for which there are +sentinel and +cluster")
    if not local and not url.tls:
        raise BadDatabaseUrl("goes over a network without TLS: write rediss in place of redis")


def _host(text: str, usual: int) -> tuple[str, int]:
    found = _HOST.match(text)
    port = text[found.end() :] if found else ""
    if found is None or not re.fullmatch(r"(:[0-9]{1,5})?", port):
        raise BadDatabaseUrl("has something in it that is neither HOST nor HOST:PORT")
    number = int(port[1:] or usual)
    if not 0 < number < 65_536:
        raise BadDatabaseUrl("has a port that is none")
    return (found[1] or found[2]), number


def _database(kind: str, text: str) -> str:
    if kind == "cluster":
        if text:
            raise BadDatabaseUrl("has something behind the hosts of a cluster")
        return ""
    if kind == "redis":
        if not re.fullmatch("[0-9]{0,3}", text):
            raise BadDatabaseUrl("has something behind its host that is no database's number")
        return text or "0"
    if not _NAME.fullmatch(text):
        of = "service that the sentinels watch" if kind == "sentinel" else "database"
        raise BadDatabaseUrl(f"does not end in the name of a {of}")
    return text


def _shown_host(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
