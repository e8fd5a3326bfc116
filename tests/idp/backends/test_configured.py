"""From the configuration file to who is let in by a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from browserid_sasl import config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.backends import (
    Denial,
    DeniedError,
    PasswordBackend,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.backends.pam import PROGRAM, PamBackend
from browserid_sasl.web.refusal import RefusedError
from tests.idp.backends.test_pam import address, denied
from tests.support import directory as support
from tests.support.directory import Directory, Person
from tests.support.pam import PASSWORD, Accounts
from tests.support.provider import DOMAIN

Write = Callable[..., Path]


@pytest.fixture
def write(directory: Directory, tmp_path: Path) -> Write:
    """Writes a file with a directory called `staff`, whose options can be changed."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(f"{support.SERVICE_PASSWORD}\n")

    def file(*, idp: str = 'backends = ["staff", "accounts"]', **changed: str) -> Path:
        options = {
            "servers": f'["{directory.ldaps}"]',
            "ca_file": f'"{directory.ca_file}"',
            "bind_dn": f'"{support.SERVICE}"',
            "bind_password_file": '"secret"',
            "base": f'"{support.PEOPLE}"',
        } | changed
        lines = [f"{name} = {value}" for name, value in options.items() if value]
        path = tmp_path / "browserid.toml"
        path.write_text("\n".join(["[idp]", idp, '[ldap."staff"]', *lines, ""]))
        return path

    return file


def verify(file: Path, person: Person) -> Vouched | None:
    """What the directory says of somebody who gives the right password."""
    backends = configured_backends(config.load(file))

    def ask(backend: object) -> Vouched | None:
        assert isinstance(backend, PasswordBackend)
        return backend.verify(person.mail, person.password)

    return backends.ask("staff", ask)


def refused(file: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        configured_backends(config.load(file))
    return caught.value


@pytest.mark.option(
    "idp.backends",
    "ldap.servers",
    "ldap.ca_file",
    "ldap.bind_dn",
    "ldap.bind_password_file",
    "ldap.base",
)
def test_a_directory_is_asked(
    directory: Directory, write: Write, person: Person, tmp_path: Path
) -> None:
    directory.add(person)
    assert configured_backends(config.load(write())).order == ("staff", "accounts")
    assert verify(write(), person) is not None
    assert verify(write(base=f'"ou=groups,{support.BASE}"'), person) is None
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    for changed in (
        {"ca_file": '"other.pem"'},
        {"servers": '["ldaps://127.0.0.1:1"]'},
        {"bind_dn": f'"cn=nobody,{support.BASE}"'},
    ):
        with pytest.raises(RefusedError) as caught:
            verify(write(**changed), person)
        assert caught.value.word == "backend-unavailable"


@pytest.mark.option("ldap.filter", "ldap.address_attribute")
def test_how_people_are_found(directory: Directory, write: Write, person: Person) -> None:
    directory.add(Person(person.uid, f"other-{person.mail}"))
    assert verify(write(), person) is None
    assert verify(write(filter='"(uid={user})"', address_attribute='"uid"'), person) is not None


@pytest.mark.option("ldap.dn_template")
def test_what_their_entries_are_called(directory: Directory, write: Write, person: Person) -> None:
    directory.add(person)
    template = f'"uid={{user}},{support.PEOPLE}"'
    assert verify(write(base="", dn_template=template), person) is not None
    elsewhere = f'"uid={{user}},ou=groups,{support.BASE}"'
    assert verify(write(base="", dn_template=elsewhere), person) is None


@pytest.mark.option("ldap.groups", "ldap.claims")
def test_who_is_admitted_and_what_is_said_of_them(
    directory: Directory, write: Write, person: Person
) -> None:
    directory.add(person, member=False, more="displayName: Lena\n")
    vouched = verify(write(claims='{ "name" = "displayName" }'), person)
    assert vouched is not None
    assert vouched.claims == {"name": ["Lena"]}
    with pytest.raises(DeniedError):
        verify(write(groups=f'["{support.STAFF}"]'), person)


@pytest.mark.option("ldap.plaintext", "ldap.timeout")
def test_without_tls_there_is_loopback_only(
    directory: Directory, write: Write, person: Person
) -> None:
    directory.add(person)
    # This server takes no password without TLS: so what comes is what it says of that.
    for plaintext in ("false", "true"):
        file = write(servers=f'["{directory.ldap}"]', plaintext=plaintext, timeout="20")
        if plaintext == "false":
            assert verify(file, person) is not None
            continue
        with pytest.raises(RefusedError):
            verify(file, person)
    error = refused(write(servers='["ldap://ldap.example.org"]', plaintext="true"))
    assert "loopback" in str(error)
    assert config.load(write(timeout="20")).ldap["staff"].timeout_ms == 20_000


@pytest.mark.parametrize(
    "changed",
    [
        {"servers": "[]"},
        {"bind_dn": ""},
        {"bind_password_file": ""},
        {"base": ""},
        {"dn_template": '"uid={user},dc=example,dc=test"'},
        {"bind_password_file": '"not there"'},
        {"bind_password_file": '"empty"'},
        {"idp": 'backends = ["students"]'},
        {"servers": str([f"ldaps://{host}.example.org" for host in "abcde"]).replace("'", '"')},
    ],
)
def test_what_makes_no_sense_is_refused(
    write: Write, tmp_path: Path, changed: dict[str, str]
) -> None:
    (tmp_path / "empty").touch(0o600)
    assert str(refused(write(**changed)))


def test_a_secret_that_others_can_read_is_refused(write: Write, tmp_path: Path) -> None:
    file = write()
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        configured_backends(config.load(file))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("servers", '["https://ldap.example.org"]'),
        ("servers", '["ldap://user@ldap.example.org"]'),
        ("servers", '["ldaps://ldap.example.org/dc=example"]'),
        ("filter", '"(mail=everybody)"'),
        ("filter", '"mail={address}"'),
        ("filter", '"(mail={adress})"'),
        ("dn_template", '"{user}"'),
        ("base", '"people"'),
        ("base", '"people@example.org"'),
        ("bind_dn", '"browserid"'),
        ("bind_dn", '"browser id@example.org"'),
        ("claims", '{ "exp" = "mail" }'),
        ("claims", '{ "saml" = "mail" }'),
        ("address_attribute", '"mail)(x"'),
    ],
)
def test_what_is_not_of_the_form_is_refused_with_its_line(
    write: Write, option: str, value: str
) -> None:
    error = refused(write(**{option: value}))
    assert error.line


def test_the_name_of_the_own_accounts_is_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "browserid.toml"
    file.write_text('[ldap."accounts"]\n')
    assert "accounts" in str(refused(file))


def test_a_claim_that_is_too_long_is_for_the_log(
    directory: Directory, write: Write, person: Person
) -> None:
    directory.add(person, more=f"displayName: {'x' * 300}\n")
    with pytest.raises(RefusedError) as caught:
        verify(write(claims='{ "name" = "displayName" }'), person)
    assert caught.value.word == "backend-unavailable"
    with pytest.raises(UnavailableError):
        Vouched(f"a@{DOMAIN}", "x", claims={"name": ["x" * 3000]})


Desks = Callable[..., PamBackend]


@pytest.fixture
def desks(accounts: Accounts, tmp_path: Path) -> Desks:
    """Makes what a file has, on the system of a test."""

    def make(**options: str) -> PamBackend:
        file = tmp_path / "pam.toml"
        lines = [f"{name} = {value}" for name, value in options.items()]
        file.write_text("\n".join(['[idp]\nbackends = ["desks"]\n[pam."desks"]', *lines, ""]))
        backends = configured_backends(config.load(file))

        def there(backend: object) -> PamBackend:
            assert isinstance(backend, PamBackend)
            program = (*accounts.program_before, *PROGRAM)
            return PamBackend(backend.name, backend.service, program)

        return backends.ask("desks", there)

    return make


@pytest.mark.option("pam.service", "pam.user_template", "pam.least_uid", "pam.groups")
def test_who_pam_lets_in(accounts: Accounts, desks: Desks) -> None:
    accounts.add("x-lena", uid=1500)
    lena = address("lena")
    assert desks().verify(lena, PASSWORD) is None
    template = {"user_template": '"x-{user}"'}
    assert desks(**template).verify(lena, PASSWORD) is not None
    assert desks(**template, least_uid="1501").verify(lena, PASSWORD) is None
    assert desks(**template, least_uid="1500").verify(lena, PASSWORD) is not None
    with pytest.raises(UnavailableError, match=r"/etc/pam\.d/imap"):
        desks(**template, service='"imap"').verify(lena, PASSWORD)
    accounts.put_in_group("staff")
    with denied(Denial.NOT_ADMITTED):
        desks(**template, groups='["staff"]').verify(lena, PASSWORD)
    accounts.put_in_group("staff", "x-lena")
    assert desks(**template, groups='["staff"]').verify(lena, PASSWORD) is not None


@pytest.mark.option("pam.timeout")
def test_how_long_pam_may_take(accounts: Accounts, desks: Desks, tmp_path: Path) -> None:
    sleeps = tmp_path / "sleeps"
    sleeps.write_text("#!/bin/sh\nexec sleep 600\n")
    sleeps.chmod(0o755)
    accounts.serve(f"auth required pam_exec.so {sleeps}\n")
    accounts.add("lena")
    with pytest.raises(UnavailableError, match="too long"):
        desks(timeout="2").verify(address("lena"), PASSWORD)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("service", '"../login"'),
        ("service", '""'),
        ("user_template", '"lena"'),
        ("user_template", '"-{user}"'),
        ("user_template", '"{user}/x"'),
        ("least_uid", "0"),
        ("groups", '["a group"]'),
    ],
)
def test_what_is_no_option_of_pam_is_refused_with_its_line(
    desks: Desks, option: str, value: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        desks(**{option: value})
    assert caught.value.line
