"""From the configuration file to who is let in by a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from browserid_sasl import config
from browserid_sasl.errors import ConfigurationError, StoreError
from browserid_sasl.idp.backends import (
    DeniedError,
    PasswordBackend,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.web.refusal import RefusedError
from tests.support import directory as support
from tests.support.directory import Directory, Person
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
    with pytest.raises(StoreError):
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
