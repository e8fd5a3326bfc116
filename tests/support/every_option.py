"""Command lines with every option of every command, for tests of what `--json` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import click

from browserid_sasl.cli.programs import PROGRAMS
from tests.support import vectors
from tests.support.provider import ALICE as SOMEBODY
from tests.support.provider import DOMAIN
from tests.support.world import ALICE

BOB: Final = f"bob@{DOMAIN}"
ASSERTION: Final = vectors.load("gss-aes128-mutual-initial").data["messages"][0]["octets"]

Words = Sequence[str]


def leaves(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    """The commands below one that do something, by their whole names."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for word, below in command.commands.items():
        yield from leaves(below, f"{name} {word}")


COMMANDS: Final = {
    name: command for each in PROGRAMS for name, command in leaves(each.command, each.name)
}
"""Every command of every program."""


def with_place(*cases: Words) -> Sequence[Words]:
    """Each case for the folder of a provider that is named, and for the configured one."""
    return [
        [*place, *each]
        for each in cases
        for place in (
            ["--directory", "{home}/idp", "--domain", DOMAIN],
            ["--config", "{home}/idp.toml"],
        )
    ]


_SERVER: Final = (
    "--config",
    "{home}/realm.toml",
    "-h",
    "localhost",
    "--listen",
    "127.0.0.1",
    "-p",
    "0",
)
_CLIENT: Final = ("--config", "{home}/realm.toml", "-p", "{port}")

SAMPLES: Final[Sequence[tuple[Words, Words]]] = (
    (
        [*_SERVER, "-c", "--verbose", "-s", "imap"],
        [*_CLIENT, "-c", "-s", "imap", "--identity", SOMEBODY, "--verbose"],
    ),
    (
        [*_SERVER, "-C", "--quiet", "--max-connections", "2", "--backlog", "2"],
        [*_CLIENT, "-C", "--quiet", "--authzid", SOMEBODY, "--sasl-library", "native"],
    ),
    (
        [*_SERVER, "-d", "--show-tokens", "--allow", DOMAIN, "-m", "BROWSERID-AES128"],
        [*_CLIENT, "-d", "--show-tokens", "-m", "BROWSERID-AES128", "--dialect", "draft-07"],
    ),
    (
        [
            *(*_SERVER, "-D", "--timeout", "30", "--tls-max", "1.2"),
            *("--tls-cert", "{home}/tls.pem", "--tls-key", "{home}/tls.pem"),
        ],
        [
            *(*_CLIENT, "-D", "--timeout", "30", "--tls-max", "1.2", "--mutual", "off"),
            *("--tls", "--ca-file", "{home}/tls-ca.pem", "--cb-type", "tls-server-end-point"),
        ],
    ),
    (
        [*_SERVER, "--allow", "elsewhere.test"],
        [*_CLIENT, "localhost"],
    ),
)
"""Command lines of the sample server and of the client that logs in to it. The last is refused."""

WHOSE: Final[Sequence[Sequence[str]]] = (
    [],
    ["--server"],
    ["--acceptor", "--config", "{home}/browserid.toml"],
)
CACHES: Final = (*WHOSE, ["-cache", "{home}/server/server.db"])
VERBOSE: Final = (*CACHES, ["-verbose"])

CASES: Final[Mapping[str, Sequence[Sequence[str]]]] = {
    "bidtool tlist": VERBOSE,
    "bidtool rlist": VERBOSE,
    "bidtool certlist": VERBOSE,
    **{
        f"bidtool {name}": CACHES
        for name in ("tpurge", "tdestroy", "rpurge", "rdestroy", "certpurge", "certdestroy")
    },
    "bidtool list": WHOSE,
    "bidtool destroy": WHOSE,
    "bidtool reset": WHOSE,
    "bidtool tickets list": WHOSE,
    "bidtool cache list": WHOSE,
    "bidtool tickets delete": tuple(
        [*each, *what] for each in WHOSE for what in (["--all"], ["--all", "--service", "x/y"])
    ),
    "bidtool cache delete": (*([*each, "--all"] for each in WHOSE), ["--server", "idp.test"]),
    "bidtool token": (
        [ASSERTION],
        ["--at", "2026-11-21T16:08:00+00:00", "--encoding", "base64", ASSERTION],
        ["--file", "{home}/token"],
    ),
    "bidtool get": (
        ["https://site.test"],
        ["--identity", ALICE, "--config", "{home}/site.toml", "imap/mail.site.test"],
    ),
    "bidtool verify": (
        ["{assertion}", "https://site.test"],
        ["--config", "{home}/site.toml", "{assertion}", "https://site.test"],
    ),
    "browserid list": ([], ["--config", "{home}/site.toml"]),
    "browserid logout": (["--config", "{home}/site.toml", "--all"], [ALICE]),
    "browserid status": ([], ["--config", "{home}/site.toml"]),
    "browserid login": (
        ["--password-file", "{home}/password", "--key-type", "ES256", SOMEBODY],
        ["--password-fd", "{password-fd}", "--config", "{home}/browserid.toml", SOMEBODY],
        ["--browser", SOMEBODY],
        ["--device", SOMEBODY],
    ),
    "browserid store-key new": (["{home}/new-store-key"],),
    "browserid store-key add": (["{home}/store-key"],),
    "browserid store-key use": (["{home}/store-key"],),
    "browserid store-key drop": (["{home}/store-key"],),
    "browserid use": (
        [ALICE],
        ["--for", "imap/*", ALICE],
        ["--config", "{home}/used.toml", "--forget", "--for", "imap/*"],
    ),
    "browserid mail add": (
        [
            *("--imap", "localhost:{mail-imap}/tls", "--smtp", "localhost:{mail-submission}/tls"),
            *("--pop", "localhost:{mail-pop}/tls", "--server", "LocalHost"),
            *("--name", "work", "--user", "alice", "--port", "imap={free-port}", "--autostart"),
            *("--write", "isync", "--to", "{home}/mbsyncrc", "--force", ALICE),
        ],
        [
            *("--imap", "localhost:{mail-imap}", "--sieve", "localhost:{mail-sieve}/tls"),
            *("--write", "thunderbird", "--profile", "{home}/profile", ALICE),
        ],
        ["--imap", "localhost:{mail-imap}", "--write", "mutt", ALICE],
        ["--imap", "localhost:{mail-imap}", ALICE],
    ),
    "browserid mail list": ([],),
    "browserid mail password": (["known"],),
    "browserid mail remove": (["KNOWN"],),
    "browserid mail settings": (
        ["known"],
        ["--write", "thunderbird", "--profile", "{home}/profile", "known"],
        ["--write", "curl", "--to", "{home}/curlrc", "known"],
        ["--write", "curl", "--to", "{home}/mbsyncrc", "--force", "known"],
    ),
    "browserid mail test": ([], ["known"]),
    "browserid mail pipe": (["--as", ALICE, "imap", "localhost:{mail-imap}"],),
    "browserid doctor": (
        [ALICE, "--config", "{home}/site.toml"],
        ["--provider", "--domain", DOMAIN, "--config", "{home}/delegating.toml"],
        [
            *("--server", "imap/127.0.0.1", "--port", "1", "--config", "{home}/site.toml"),
            *("--imapd", "{home}/none", "--postfix", "{home}/none"),
        ],
    ),
    "browserid-idp init": (
        ["--directory", "{home}/new", "--domain", DOMAIN, "--local-tls", "--key-type", "RS256"],
        ["--config", "{home}/idp.toml"],
    ),
    "browserid-idp add-user": with_place(
        ["--password-file", "{home}/password", BOB], ["--password-fd", "{password-fd}", BOB]
    ),
    "browserid-idp set-password": with_place(
        ["--password-file", "{home}/password", SOMEBODY],
        ["--password-fd", "{password-fd}", SOMEBODY],
    ),
    "browserid-idp delegation": (
        ["--config", "{home}/delegating.toml", "--file", "{home}/delegation.json"],
        ["--config", "{home}/delegating.toml", "--directory", "{home}/idp", "--domain", DOMAIN],
    ),
    "browserid-idp remove-user": with_place([SOMEBODY]),
    "browserid-idp list-users": with_place([]),
    "browserid-idp people": with_place([], ["--search", "ALICE", "--limit", "1"]),
    "browserid-idp administrator add": with_place([SOMEBODY]),
    "browserid-idp administrator remove": with_place([SOMEBODY]),
    "browserid-idp administrator list": with_place([]),
    "browserid-idp invitations": with_place([]),
    "browserid-idp withdraw": with_place([SOMEBODY]),
    "browserid-idp certificates": with_place([SOMEBODY], ["--limit", "1", SOMEBODY]),
    "browserid-idp backends": with_place([]),
    "browserid-idp keys": with_place([]),
    "browserid-idp sessions": with_place([SOMEBODY]),
    "browserid-idp revoke": with_place(["--all", SOMEBODY], ["--machine", "{machine}", SOMEBODY]),
    "browserid-idp invite": with_place(["--expires", "60", SOMEBODY]),
    "browserid-idp import-people": (
        *with_place(
            ["--dry-run", "{home}/people.csv"],
            ["--invitations", "{home}/invitations.csv", "{home}/people.csv"],
        ),
        ["--config", "{home}/staff.toml", "--ldap", "staff"],
    ),
    "browserid-idp bounce": with_place(["--file", "{home}/password", f"bounces+0@{DOMAIN}"]),
    "browserid-idp allow-mail": with_place([SOMEBODY]),
    "browserid-idp confirm-rp-id": with_place([]),
    "browserid-idp audit": with_place(
        [
            *("--event", "backed-up", "--since", "2026-01-01", "--until", "2199-01-01T00:00:00Z"),
            *("--text", "uid", "--limit", "3"),
        ],
        ["--email", SOMEBODY, "--client", "192.0.2.1"],
    ),
    "browserid-idp backup": with_place(["{home}/backup"]),
    "browserid-idp restore": (
        ["--directory", "{home}/restored", "--domain", DOMAIN, "{home}/saved"],
        ["--config", "{home}/restored.toml", "{home}/saved"],
    ),
    "browserid-idp reseal": (
        ["--config", "{home}/sealed.toml"],
        ["--config", "{home}/sealed.toml", "--directory", "{home}/sealed", "--domain", DOMAIN],
    ),
    "browserid-idp rotate-key": with_place(
        ["--key-type", "ES256", "--after", "60"], ["--withdraw-old"]
    ),
    "browserid-idp serve": (
        [
            *("--directory", "{home}/idp", "--listen", "127.0.0.1", "--port", "0", "--quiet"),
            *("--document-life", "600", "--proxy", "192.0.2.1", "--domain", DOMAIN),
        ],
        [
            *("--config", "{home}/idp.toml", "--listen", "127.0.0.1", "--port", "0"),
            *("--tls-certificate", "{home}/tls.pem", "--tls-key", "{home}/tls.pem"),
        ],
    ),
    "browserid-verifier": (
        [
            *("--listen", "127.0.0.1", "--port", "0", "--remember", "--quiet"),
            *("--tls-certificate", "{home}/tls.pem", "--tls-key", "{home}/tls.pem"),
        ],
        [
            *("--config", "{home}/services.toml", "--listen", "::1", "--port", "0", "--forget"),
            *("--tls-certificate", "{home}/tls.pem"),
        ],
    ),
    "browserid-acceptor": (
        ["--config", "{home}/services.toml"],
        ["--config", "{home}/services.toml", "--check", "--quiet"],
    ),
    "browserid-agent": (
        ["--config", "{home}/services.toml", "--socket", "{home}/a/agent"],
        ["--background", "--idle", "1", "--quiet"],
    ),
    "browserid-sample-server": tuple(server for server, _ in SAMPLES),
    "browserid-sample-client": tuple(client for _, client in SAMPLES),
}
"""The command lines of each command. Whoever adds an option adds it to one of them, and whoever
adds a command a line; its schema is in docs/schemas/output.json.

In braces is what the test fills in: `home` for a folder, see `prepared`.
"""
