"""What has to outlast a provider, in one file: its people, what they sign in with, and its keys.

A file has lines of JSON: a head, one for each signing key and each row, and an end, by which it is
seen that it is whole. It is the same whatever engine the database has, so it is also the way from
one to the other. Keys and secrets that the database has encrypted are so in the file.

What is good for minutes or once is not in it: who is signed in on the pages, codes, invitations,
failed sign-ins, and the secret that cookies are made with. So nothing comes back with a backup that
was used up after it was made. The audit log is not in it either: each host has that in a file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Table, func, insert, select
from sqlalchemy.orm import Session

from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    ConfigurationError,
    LocalProtocolError,
    StoreError,
)
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.database import Account, Base, Domain, name_of_secret, secret_of
from browserid_sasl.idp.folder import ProviderFolder
from browserid_sasl.idp.schema import NUMBER, bring_up_to_date
from browserid_sasl.idp.sealed_keys import SealedKey
from browserid_sasl.idp.signing_keys import SigningKey
from browserid_sasl.jose import json as strict_json
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.private_files import require_private

FORMAT: Final = 1

TRANSIENT: Final = frozenset(
    {
        *(
            "administering_sessions",
            "answered_challenges",
            "audit",
            "codes",
            "devices",
            "failures",
            "invitations",
        ),
        *("mailed_codes", "sent_mails"),
        *("new_second_factors", "page_sessions", "server_secret", "wrong_codes"),
    }
)
"""Tables that are in no backup."""

KEPT: Final[Sequence[Table]] = [
    table
    for table in Base.metadata.sorted_tables
    if table.name not in TRANSIENT | {Domain.__tablename__, SealedKey.__tablename__}
]
"""Tables whose rows are, each after those that it refers to."""

_MAX_LINE: Final = 1 << 20
_AT_ONCE: Final = 1_000
_WHAT: Final = "a line of the backup"


@dataclass(frozen=True, slots=True)
class Content:
    """What a backup has, in numbers.

    :param domain: whose provider's it is.
    :param keys: signing keys.
    :param rows: of all tables.
    """

    domain: str
    keys: int
    rows: int


def back_up(folder: ProviderFolder, file: Path, by: str, now: int) -> Content:
    """Write a backup of a provider, which may be serving: of one moment.

    :param file: that is not there yet; nobody else can read it.
    :param by: who wants that.
    :param now: ms.
    :raises ConfigurationError: the file cannot be written.
    :raises StoreError: the provider cannot be read.
    """
    domain = folder.open().domain
    # Before there is a file: whoever has that may have everybody's keys.
    folder.audit.write(Event.BACKED_UP, now, by=by)
    try:
        if file.exists():
            raise ConfigurationError(f"{file} is there already", "choose another name")
        return _write(folder, file, {"domain": domain, "created": now})
    except OSError as error:
        raise ConfigurationError(
            f"the backup {file} cannot be written ({error.strerror})",
            "choose a folder that the user the provider runs as can write to",
        ) from None


def _write(folder: ProviderFolder, file: Path, about: dict[str, Any]) -> Content:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.absolute().parent)
    try:
        with open(descriptor, "wb") as output, folder.database.reading() as session:
            lines, keys = 0, folder.keys.all()
            for line in _lines(folder, session, keys, about):
                output.write(strict_json.dumps(line) + b"\n")
                lines += 1
            output.write(strict_json.dumps({"end": lines}) + b"\n")
            output.flush()
            os.fsync(descriptor)
        os.link(temporary, file)
        return Content(about["domain"], len(keys), lines - len(keys) - 1)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _lines(
    folder: ProviderFolder, session: Session, keys: Sequence[SigningKey], about: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    yield {"browserid-idp-backup": FORMAT, "schema": NUMBER} | about
    for key in keys:
        yield {"key": _key_to_json(folder, key)}
    for table in KEPT:
        rows = session.execute(
            select(table).order_by(*table.primary_key),
            execution_options={"yield_per": _AT_ONCE},
        )
        for row in rows.mappings():
            yield {"table": table.name, "row": dict(row)}


def restore(folder: ProviderFolder, file: Path, by: str, now: int) -> Content:
    """Make a provider of a backup, where there is none. It is made as a whole, or not at all.

    :param folder: where, empty or with what an `init` has left.
    :param by: who wants that.
    :param now: ms.
    :raises ConfigurationError: there is a provider, or the file cannot be read.
    :raises LocalProtocolError: invalid-parameter: it is no backup, not whole, or another release's.
    """
    head, entries = _read(file)
    folder.prepare(head["domain"])
    bring_up_to_date(folder.database)
    try:
        with folder.database.transaction() as session:
            _check_empty(folder, session)
            content = _put(folder, session, head["domain"], entries)
            session.add(Domain(name=head["domain"], created=now))
            session.flush()
            folder.audit.write(Event.RESTORED, now, domain=content.domain, rows=content.rows, by=by)
        return content
    finally:
        folder.database.close()


def _put(
    folder: ProviderFolder, session: Session, domain: str, entries: Iterator[dict[str, Any]]
) -> Content:
    keys: list[SigningKey] = []
    rows = 0
    tables = {table.name: table for table in KEPT}
    for entry in entries:
        if "key" in entry:
            keys.append(_key_from_json(folder, entry["key"]))
            continue
        table, row = tables.get(str(entry.get("table"))), entry.get("row")
        if table is None or not isinstance(row, dict) or set(row) != set(table.columns.keys()):
            raise _unfit("a row is of no table that there is")
        _keep_secret(folder, table, row)
        # The database numbers rows by itself, and goes on from there.
        row.pop("id", None)
        session.execute(insert(table).values(**row))
        rows += 1
    folder.keys.replace(keys)
    return Content(domain, len(keys), rows)


def _keep_secret(folder: ProviderFolder, table: Table, row: dict[str, Any]) -> None:
    """Have the secret of a row as this provider has it."""
    secret = secret_of(table)
    if secret is None:
        return
    (key,) = table.primary_key
    name = name_of_secret(table.name, row[key.name])
    row[secret.name] = folder.database.secrets.keep_again(name, str(row[secret.name]))


def _check_empty(folder: ProviderFolder, session: Session) -> None:
    if session.scalar(select(Domain.name)) or session.scalar(
        select(func.count()).select_from(Account)
    ):
        raise ConfigurationError(
            f"there is a provider in {folder.database.name} already",
            "restore into an empty folder, or an empty database",
        )


def _read(file: Path) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """The head of a backup and its entries, after the whole of it was looked at."""
    try:
        with file.open("rb") as lines:
            require_private(file, os.fstat(lines.fileno()), "600")
            head = _parse(lines.readline(_MAX_LINE + 1))
            _check_head(head)
            count, last = 1, head
            while line := lines.readline(_MAX_LINE + 1):
                count, last = count + 1, _parse(line)
    except OSError as error:
        raise ConfigurationError(
            f"the backup {file} cannot be read ({error.strerror})",
            "give the file to the user the provider runs as",
        ) from None
    if last != {"end": count - 1}:
        raise _unfit("its end is missing")
    return head, _entries(file, count - 2)


def _check_head(head: dict[str, Any]) -> None:
    if head.get("browserid-idp-backup") != FORMAT or not isinstance(head.get("domain"), str):
        raise _unfit("it does not begin as one")
    if head.get("schema") != NUMBER:
        raise LocalProtocolError(
            Code.INVALID_PARAMETER,
            f"the backup has the tables of another release ({ascii(head.get('schema'))[:20]})",
            "restore it with the release that has made it, and upgrade then",
        )


def _entries(file: Path, count: int) -> Iterator[dict[str, Any]]:
    with file.open("rb") as lines:
        lines.readline()
        for _ in range(count):
            yield _parse(lines.readline(_MAX_LINE + 1))


def _parse(line: bytes) -> dict[str, Any]:
    try:
        return strict_json.parse_object(line, _WHAT, _MAX_LINE)
    except BrowserIDError as error:
        raise _unfit(error.message) from None


def _key_to_json(folder: ProviderFolder, key: SigningKey) -> dict[str, Any]:
    pem = key.private_key.to_pem()
    held = {"sealed": folder.seal.close(key.name, pem)} if folder.seal else {"pem": pem.decode()}
    times = {"name": key.name, "signs-from": key.signs_from}
    until = {} if key.published_until is None else {"published-until": key.published_until}
    return times | until | held


def _key_from_json(folder: ProviderFolder, members: object) -> SigningKey:
    if not isinstance(members, dict):
        raise _unfit("a key is none")
    try:
        name = strict_json.string(members, "name", _WHAT)
        key = SigningKey(
            name,
            strict_json.time(members, "signs-from", _WHAT),
            strict_json.optional_time(members, "published-until", _WHAT),
            private_key=PrivateKey.from_pem(_pem(folder, name, members)),
        )
    except (ConfigurationError, StoreError):
        raise
    except BrowserIDError as error:
        raise _unfit(error.message) from None
    # A name becomes that of a file.
    return replace(key, name=key.private_key.public_key.thumbprint.hex()[:16])


def _pem(folder: ProviderFolder, name: str, members: dict[str, Any]) -> bytes:
    if "sealed" not in members:
        return strict_json.string(members, "pem", _WHAT).encode()
    if folder.seal is None:
        raise ConfigurationError(
            "the signing keys in the backup are encrypted",
            "name the file that they are encrypted with, `key_encryption_file` in [idp]",
        )
    return folder.seal.open(name, strict_json.string(members, "sealed", _WHAT))


def _unfit(why: str) -> LocalProtocolError:
    return LocalProtocolError(
        Code.INVALID_PARAMETER,
        f"the file is no whole backup of a provider: {why}",
        "give one that `browserid-idp backup` has written",
    )
