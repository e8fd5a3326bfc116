"""`browserid-idp import-people --ldap`: from a directory to accounts, before anybody signs in."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.idp.administration import Actor
from browserid_sasl.idp.backends import UnavailableError
from browserid_sasl.idp.backends.ldap import LdapBackend
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import ProviderFolder
from browserid_sasl.idp.people_import import PeopleImport
from browserid_sasl.store.base import system_clock
from tests.idp.backends.conftest import Serve, access, place
from tests.idp.backends.test_people import by_password, events
from tests.support import directory as support
from tests.support.directory import Directory, Person
from tests.support.provider import ALICE, DOMAIN

Run = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def unit(directory: Directory, person: Person) -> str:
    """A part of the directory in which nobody is."""
    dn = f"ou={person.uid}s,{support.BASE}"
    directory.change(
        f"dn: {dn}\nchangetype: add\nobjectClass: organizationalUnit\nou: {person.uid}s"
    )
    return dn


def put(directory: Directory, unit: str, uid: str, mail: str) -> str:
    dn = f"uid={uid},{unit}"
    directory.change(
        f"dn: {dn}\nchangetype: add\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: {uid}\n"
        f"mail: {mail}\nuserPassword: {support.PASSWORD}"
    )
    return dn


@pytest.fixture
def run(directory: Directory, unit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Imports the people of the part; the status, and what it says to programs."""
    idp, secret = tmp_path / "idp", tmp_path / "secret"
    ProviderFolder(idp).create(DOMAIN, "ES256", system_clock(), local_tls=False)
    secret.touch(0o600)
    secret.write_text(support.SERVICE_PASSWORD)
    file = tmp_path / "browserid.toml"
    file.write_text(
        f'[idp]\ndomain = "{DOMAIN}"\ndirectory = "{idp}"\nbackends = ["staff", "accounts"]\n'
        f'[ldap."staff"]\nservers = ["{directory.ldaps}"]\nca_file = "{directory.ca_file}"\n'
        f'bind_dn = "{support.SERVICE}"\nbind_password_file = "secret"\nbase = "{unit}"\n'
    )

    def imported(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        words = ("import-people", "--json", "--config", str(file), "--ldap", "staff", *arguments)
        status = main([*words])
        out = capsys.readouterr().out
        return status, json.loads(out) if out else {}

    return imported


def test_people_have_accounts_that_the_directory_vouches_for(
    directory: Directory, unit: str, run: Run, person: Person, tmp_path: Path
) -> None:
    email = f"lena.{person.mail}"
    dn = put(directory, unit, person.uid, email)
    assert run("--dry-run")[1]["added"] == 1
    provider = ProviderFolder(tmp_path / "idp").open()
    assert provider.outside.identity(email) is None
    status, said = run()
    assert (status, said["added"], said["existing"], said["complete"]) == (0, 1, 0, True)
    identity = provider.outside.identity(email)
    assert identity is not None
    assert identity.backend == "staff"
    lines = map(json.loads, (tmp_path / "idp" / "audit.log").read_text().splitlines())
    [added] = [each for each in lines if each["event"] == "account-added"]
    assert (added["email"], added["by"]) == (email, f"uid {os.getuid()}")
    # Once more, which changes nothing; and when somebody has the address who is not they.
    assert run()[1]["existing"] == 1
    directory.delete(dn)
    put(directory, unit, f"{person.uid}-next", email)
    assert run()[1]["left_out"] == {email: "other-person"}


def test_who_has_gone_is_said_unless_nobody_is_there(
    directory: Directory, unit: str, run: Run, person: Person
) -> None:
    emails = [f"{name}.{person.mail}" for name in ("lena", "omar")]
    dns = [put(directory, unit, email.partition("@")[0], email) for email in emails]
    assert run()[1]["added"] == 2
    directory.delete(dns[0])
    assert run()[1]["gone"] == [emails[0]]
    directory.delete(dns[1])
    said = run()[1]
    assert (said["gone"], said["complete"]) == ([], False)


def test_nobody_has_gone_who_signs_in_by_another_of_their_addresses(
    directory: Directory, unit: str, serve: Serve, person: Person
) -> None:
    emails = [f"{name}.{person.mail}" for name in ("lena", "magdalena")]
    put(directory, unit, person.uid, f"{emails[0]}\nmail: {emails[1]}")
    backend = LdapBackend("staff", access(directory), place(base=unit, groups=()))
    served = serve(backend)
    assert [by_password(served, email)[0] for email in emails] == [200, 200]
    importing = PeopleImport(served.provider, Actor("uid 0"), dry=False)
    outcome = importing.from_directory("staff", backend.call_the_roll(DOMAIN), served.clock.now)
    assert (outcome.existing, outcome.gone, outcome.complete) == (1, [], True)


def test_two_with_an_address_are_nobody(
    directory: Directory, unit: str, run: Run, person: Person
) -> None:
    for number in range(3):
        put(directory, unit, f"{person.uid}-{number}", person.mail)
    said = run()[1]
    assert (said["added"], said["left_out"]) == (0, {person.mail: "ambiguous-address"})


def test_a_directory_that_does_not_give_all_makes_nobody(
    directory: Directory, run: Run, unit: str, person: Person, tmp_path: Path
) -> None:
    """slapd gives 500 entries, unless its administrator has said more."""
    directory.change(
        "\n\n".join(
            f"dn: uid={person.uid}-{number},{unit}\nchangetype: add\nobjectClass: inetOrgPerson\n"
            f"uid: {person.uid}-{number}\ncn: x\nsn: x\nmail: {number}.{person.mail}"
            for number in range(501)
        )
    )
    status, said = run()
    assert (status != 0, said) == (True, {})
    assert not ProviderFolder(tmp_path / "idp").open().accounts.all()
    there = LdapBackend("staff", access(directory), place(base=unit, groups=()))
    with pytest.raises(UnavailableError, match="Size limit"):
        there.call_the_roll(DOMAIN)


def test_one_at_a_time_is_no_list(directory: Directory) -> None:
    template = place(base="", dn_template=f"uid={{user}},{support.PEOPLE}")
    with pytest.raises(UnavailableError, match="dn_template"):
        LdapBackend("staff", access(directory), template).call_the_roll(DOMAIN)


def test_they_sign_in_afterwards_and_nothing_of_others_is_taken(
    directory: Directory, unit: str, serve: Serve, person: Person
) -> None:
    """Alice's account is the provider's own."""
    put(directory, unit, person.uid, person.mail)
    put(directory, unit, f"{person.uid}-alice", ALICE)
    backend = LdapBackend("staff", access(directory), place(base=unit, groups=()))
    served = serve(backend)
    importing = PeopleImport(served.provider, Actor("uid 0"), dry=False)
    roll = backend.call_the_roll(DOMAIN)
    outcome = importing.from_directory("staff", roll, served.clock.now)
    assert (outcome.added, outcome.left_out) == (1, {ALICE: "own-account"})
    assert by_password(served, person.mail)[0] == 200
    assert not events(served, "vouching-ended")


@pytest.mark.parametrize(
    "arguments", [[], ["people.csv", "--ldap", "staff"], ["--ldap", "staff", "--invitations", "x"]]
)
def test_it_is_a_file_or_a_directory(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "people.csv").touch()
    words = [str(tmp_path / each) if each.endswith(".csv") else each for each in arguments]
    assert main(["import-people", "--directory", str(tmp_path / "idp"), *words]) == os.EX_USAGE
