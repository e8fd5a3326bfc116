"""docs/openldap.md, followed on a machine as Debian's package leaves it."""

from __future__ import annotations

import re

import pytest

from tests.support.guide import ACCEPTOR_LOG, PASSWORD_FILE, Guide
from tests.support.machine import Machine
from tests.support.services import Syslog

EVE = "eve@stranger.example"
WHOAMI = "ldapwhoami -H ldap://ldap.example.org -ZZ -Y BROWSERID-AES128 -Q -N"


def test_the_packages_that_it_names_have_its_commands(openldap: Guide) -> None:
    assert openldap.commands_without_a_package() == []


@pytest.mark.usefixtures("openldap")
class TestWhatItMakes:
    def test_a_stranger_is_refused(self, computer: Machine, log: Syslog) -> None:
        computer.do(f"browserid login {EVE} --password-file {PASSWORD_FILE}")
        mark = log.mark()
        tried = computer.run(f"{WHOAMI} -U {EVE}")
        assert tried.returncode != 0
        assert "dn:" not in tried.stdout
        assert "no-local-mapping" in tried.stdout + log.text(mark)
        assert f"{EVE} may not log in to this service" in computer.do(f"cat {ACCEPTOR_LOG}")

    def test_its_socket_is_slapds(self, computer: Machine) -> None:
        assert computer.do("stat -c '%U %G %a' /run/browserid/ldap") == "browserid openldap 660\n"


@pytest.mark.parametrize(
    "name",
    [
        "uid=alice@exampleXorg,cn=browserid-aes128,cn=auth",
        "uid=alice@example.org.evil.example,cn=browserid-aes128,cn=auth",
        "uid=alice@example.org,cn=evil.example,cn=browserid-aes128,cn=auth",
        "uid=alice@example.org,cn=digest-md5,cn=auth",
        "uid=eve,uid=alice@example.org,cn=browserid-aes128,cn=auth",
    ],
)
def test_its_rule_takes_nobody_for_alice(openldap: Guide, name: str) -> None:
    [ldif] = [block.text for block in openldap.blocks if block.kind == "ldif"]
    [rule] = re.findall(r'^olcAuthzRegexp: "([^"]+)"', ldif, re.MULTILINE)
    assert re.search(rule, "uid=alice@example.org,cn=browserid-aes128,cn=auth")
    assert not re.search(rule, name)
