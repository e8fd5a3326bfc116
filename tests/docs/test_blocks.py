"""Every block of every page is claimed: by a test that runs it, or by a reason why none does.

A new block that nobody claims fails here. It is claimed by its page and its first line, or, where a
test takes all blocks of a kind, by that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.guide import blocks_of
from tests.support.sample_programs import ROOT

PAGES: Final = [
    ROOT / "README.md",
    ROOT / "plugin" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
GUIDES: Final = {
    "docs/cyrus-imapd.md": "tests/guides/test_cyrus_imapd.py",
    "docs/dovecot.md": "tests/guides/test_dovecot.py",
    "docs/exim.md": "tests/guides/test_exim.py",
    "docs/mail-clients.md": "tests/guides/test_mail_clients.py",
    "docs/openldap.md": "tests/guides/test_openldap.py",
    "docs/postfix.md": "tests/guides/test_postfix.py",
    "docs/second-factor.md": "tests/guides/test_second_factor.py",
}
"""The pages that are followed from their first fenced block to their last."""

KINDS: Final = {
    ("README.md", "python"): "tests/test_readme.py",
    ("README.md", "toml"): "tests/guides/test_readme.py",
    ("docs/library.md", "python"): "tests/docs/test_library_page.py",
    ("docs/library.md", "toml"): "tests/docs/test_library_page.py",
    ("docs/http.md", "python"): "tests/docs/test_http_page.py",
    ("docs/login.md", "mermaid"): "tests/docs/test_pages.py",
    ("docs/identity-provider.md", "json"): "tests/docs/test_identity_provider_page.py",
    ("docs/identity-provider.md", "toml"): "tests/docs/test_identity_provider_page.py",
    ("docs/identity-provider.md", "ini"): "tests/docs/test_identity_provider_page.py",
    ("docs/identity-provider.md", "nginx"): "tests/docs/test_identity_provider_page.py",
    ("docs/idp-several-hosts.md", "sh"): "tests/idp/postgresql/test_page.py",
    ("docs/idp-several-hosts.md", "toml"): "tests/idp/postgresql/test_page.py",
    ("docs/configuration.md", "toml"): "tests/config/test_reference.py",
    ("docs/administration.md", "sh"): "tests/docs/test_administration_page.py",
    ("docs/fallback.md", "toml"): "tests/docs/test_fallback_page.py",
    ("docs/fallback.md", "sh"): "tests/docs/test_fallback_page.py",
    **{
        ("docs/several-domains.md", kind): "tests/docs/test_several_domains_page.py"
        for kind in ("sh", "toml", "nginx")
    },
    **{
        ("docs/several-hosts.md", kind): "tests/guides/test_several_hosts.py"
        for kind in ("sh", "conf", "toml", "sql")
    },
    ("docs/acceptor.md", "sh"): "tests/guides/test_acceptor.py",
    ("docs/acceptor.md", "toml"): "tests/acceptor/test_prosody.py",
    ("docs/packages.md", "sh"): "tests/packages/trial.py",
    ("docs/packages.md", "toml"): "tests/packages/trial.py",
    ("docs/packages.md", "conf"): "tests/packages/trial.py",
    ("docs/containers.md", "sh"): "tests/packages/container_trial.py",
    ("docs/containers.md", "toml"): "tests/packages/container_trial.py",
    ("docs/acceptor.md", "conf"): "tests/acceptor/test_prosody.py",
    **{
        ("docs/mail-program.md", kind): "tests/docs/test_mail_program_page.py"
        for kind in ("sh", "conf", "muttrc", "python")
    },
    **{("docs/gss-api.md", kind): "tests/plugin/test_gss.py" for kind in ("sh", "toml", "python")},
    ("docs/gss-api.md", "apache"): "tests/plugin/test_apache.py",
    ("docs/gss-api.md", "text"): "tests/plugin/test_gs2_services.py",
    ("plugin/README.md", "sh"): "tests/plugin/conftest.py",
}
"""Tests that take all blocks of a kind on a page."""

SINGLY: Final = {
    ("README.md", "make demo"): "tests/test_demo.py",
    ("README.md", "browserid-idp init --domain example.org"): "tests/guides/test_readme.py",
    ("README.md", "browserid login alice@example.org"): "tests/guides/test_readme.py",
    ("README.md", "make install"): "tests/guides/test_readme.py",
    ("README.md", "browserid-idp init --domain example.test --local-tls"): (
        "tests/guides/test_readme.py"
    ),
    ("README.md", "./sample_server.py -h localhost"): "tests/guides/test_readme.py",
    ("docs/identity-provider.md", "browserid-idp backup browserid-idp.backup"): (
        "tests/docs/test_identity_provider_page.py"
    ),
    ("docs/identity-provider.md", "address,invite"): "tests/docs/test_identity_provider_page.py",
    ("docs/identity-provider.md", "browserid-idp restore browserid-idp.backup"): (
        "tests/docs/test_identity_provider_page.py"
    ),
    **{
        ("docs/backends.md", begin): "tests/docs/test_backends_page.py"
        for begin in (
            "dn: cn=browserid,",
            "# A directory,",
            "browserid-idp import-people --ldap staff --dry-run",
            "# Active Directory",
            "# Another provider",
            *("# On the KDC", "# People at a domain-joined desk", "# Addresses that are not"),
            "# People at desks of Active Directory",
            *("dn: cn=browserid,", "# A directory,", "# Active Directory"),
            *("# /etc/pam.d/browserid-idp", "# The accounts of the provider's host"),
        )
    },
    (
        "docs/several-domains.md",
        "    bad       domain example.net: ",
    ): "tests/docs/test_several_domains_page.py",
    **{
        ("docs/backends.md", begin): "tests/idp/backends/test_certificate_fronts.py"
        for begin in (
            "# The secret of the front server",
            "# Certificates that nginx hands on",
            *("# /etc/nginx/sites-available", "# /etc/apache2/sites-available"),
        )
    },
    ("docs/backends.md", "# /etc/browserid/people"): "tests/docs/test_backends_page.py",
    ("docs/acceptor.md", "    login succeeded: "): "an example of a line of the log",
    ("docs/several-hosts.md", "    runuser -u browserid"): "tests/cli/test_store_key.py",
    ("docs/agent.md", "install"): "tests/guides/test_agent.py",
    ("docs/agent.md", "    systemctl --user "): "it takes somebody's systemd",
    ("docs/agent.md", "    ssh -R "): "it takes another host",
    ("docs/bidtool.md", "    $ ./sample_"): "tests/cli/test_walk.py",
    ("docs/configuration.md", "browserid_allow: "): "tests/config/test_reference.py",
    ("docs/cyrus-imapd.md", "    [client]"): "tests/plugin/test_replication.py",
    (
        "docs/signing-in.md",
        "browserid login alice@example.org",
    ): "tests/docs/test_signing_in_page.py",
    ("docs/packages.md", "[Service]"): "an example of a drop-in for systemd",
    ("docs/login.md", ""): "a picture of the layers",
    ("docs/doctor.md", "    $ browserid doctor"): "tests/doctor/test_person.py",
    ("docs/verifier.md", "    browserid-verifier "): "tests/verifier/test_options.py",
    ("docs/verifier.md", "    {"): "tests/verifier/test_app.py",
    ("docs/wire.md", "    "): "a grammar",
}
"""Blocks by the beginning of their first line."""

COMMANDS: Final = {"docs/identity-provider.md": "tests/docs/test_identity_provider_page.py"}
"""Tests that run all commands of the project that a page shows."""


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The kind and the first line of each block; the kind is `indented` where it has no fence."""
    kind, before, inside, first, indented = "", "", False, False, False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside, kind, first = not inside, line[3:].partition(" ")[0], True
        elif inside and first:
            yield kind, line
            first = False
        elif not inside:
            begins = line.startswith("    ") and not before.strip()
            if begins and not indented:
                yield "indented", line
            indented = line.startswith("    ") or (indented and not line)
        before = line


def claim(page: str, kind: str, line: str) -> str:
    """Who claims a block, empty if nobody does."""
    if page in GUIDES and kind != "indented":
        return GUIDES[page]
    if (page, kind) in KINDS:
        return KINDS[page, kind]
    if kind == "sh" and page in COMMANDS and line.startswith("browserid"):
        return COMMANDS[page]
    return next(
        (why for (where, begin), why in SINGLY.items() if where == page and line.startswith(begin)),
        "",
    )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_claimed(page: Path) -> None:
    name = name_of(page)
    assert [line for kind, line in blocks(page) if not claim(name, kind, line)] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_claim_is_for_nothing(page: Path) -> None:
    name = name_of(page)
    found = list(blocks(page))
    for where, begin in SINGLY:
        assert where != name or any(line.startswith(begin) for _, line in found), begin
    for where, kind in KINDS:
        assert where != name or kind in {kind for kind, _ in found}, kind


@pytest.mark.parametrize(
    "why", sorted({*GUIDES.values(), *KINDS.values(), *SINGLY.values(), *COMMANDS.values()})
)
def test_what_claims_a_block_is_there(why: str) -> None:
    assert not why.startswith("tests/") or (ROOT / why).exists()


def test_the_runner_of_guides_sees_all_fenced_blocks() -> None:
    for page in GUIDES:
        fenced = [line for kind, line in blocks(ROOT / page) if kind != "indented"]
        assert [block.text.splitlines()[0] for block in blocks_of(ROOT / page)] == fenced
