"""From the configuration file to who is signed in by a ticket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browserid_sasl import config
from browserid_sasl.errors import ConfigurationError, StoreError
from browserid_sasl.idp.backends import Denial, RequestBackend, UnavailableError, Vouched
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.backends.kerberos import KerberosBackend
from tests.idp.backends.test_kerberos import (
    answering,
    binding_of,
    denied,
    identity,
    instead,
    vouched_for,
)
from tests.support import directory as support
from tests.support.directory import Directory, Person
from tests.support.household import Authority
from tests.support.kdc import OTHER_REALM, REALM, SERVICE, Kdc, kdc
from tests.support.provider import DOMAIN

LENA = f"lena@{DOMAIN}"
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def center() -> Iterator[Kdc]:
    """A KDC with Lena, at her desk and as an administrator."""
    with kdc() as made:
        for name in ("lena", "lena/admin", "Mia"):
            made.add(name)
        made.add("lena", OTHER_REALM)
        yield made


@pytest.fixture(scope="module")
def desk(center: Kdc) -> Path:
    return center.sign_in(f"lena@{REALM}")


@pytest.fixture
def write(center: Kdc, tmp_path: Path) -> Write:
    """Writes a file with realms called `desks`, whose options can be changed."""
    keytab = center.keytab().rename(tmp_path / "http.keytab")

    def file(*, idp: str = f'domain = "{DOMAIN}"', more: str = "", **changed: str) -> Path:
        options = {
            "keytab": f'"{keytab.name}"',
            "principal": f'"{SERVICE}"',
            "timeout": "20",
        } | changed
        lines = [f"{name} = {value}" for name, value in options.items() if value]
        path = tmp_path / "browserid.toml"
        named = ["[idp]", 'backends = ["desks"]', idp, '[kerberos."desks"]']
        path.write_text("\n".join([*named, *lines, more, ""]))
        return path

    return file


def backend_of(file: Path) -> KerberosBackend:
    [backend] = configured_backends(config.load(file)).by_request
    assert isinstance(backend, KerberosBackend)
    return backend


def refused(file: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        configured_backends(config.load(file))
    return caught.value


@pytest.mark.option("kerberos.keytab", "kerberos.principal")
def test_who_is_signed_in_by_the_usual(center: Kdc, write: Write, desk: Path) -> None:
    backend = backend_of(write())
    assert isinstance(backend, RequestBackend)
    assert (backend.name, backend.method) == ("desks", "kerberos")
    vouched = vouched_for(backend, desk)
    assert vouched == Vouched(LENA, f"lena@{REALM}")
    assert backend.check(identity(vouched)) == vouched
    with denied(Denial.NOT_ADMITTED):
        vouched_for(backend, center.sign_in(f"lena@{OTHER_REALM}"))
    other = backend_of(write(principal=f'"HTTP/www.{DOMAIN}@{REALM}"'))
    with pytest.raises(UnavailableError, match="keytab"):
        vouched_for(other, desk)


@pytest.mark.option("kerberos.realms", "kerberos.addresses", "kerberos.any_case")
def test_whose_tickets_are_good(center: Kdc, write: Write, desk: Path) -> None:
    both = backend_of(write(realms=f'["{REALM}", "{OTHER_REALM}"]'))
    assert vouched_for(both, desk).email == LENA
    elsewhere = backend_of(write(realms=f'["{OTHER_REALM}"]'))
    with denied(Denial.NOT_ADMITTED):
        vouched_for(elsewhere, desk)
    admin = center.sign_in(f"lena/admin@{REALM}")
    given = f'{{ "lena/admin@{REALM}" = "root@{DOMAIN}" }}'
    assert vouched_for(backend_of(write(addresses=given)), admin).email == f"root@{DOMAIN}"
    with denied(Denial.NOT_ADMITTED):
        vouched_for(backend_of(write()), admin)
    mia = center.sign_in(f"Mia@{REALM}")
    with denied(Denial.NOT_ADMITTED):
        vouched_for(backend_of(write()), mia)
    # This KDC tells names in capital letters from others, and knows nobody of the small ones.
    table = f'[ldap."staff"]\nservers = ["ldaps://127.0.0.1:1"]\nbase = "{support.PEOPLE}"'
    options = {
        **{"any_case": "true", "ask_kdc": "false"},
        **{"directory": '"staff"', "directory_filter": '"(uid={user})"'},
    }
    with pytest.raises(UnavailableError, match="127.0.0.1:1"):
        vouched_for(backend_of(write(more=table, **options)), mia)


@pytest.fixture
def staff(directory: Directory, tmp_path: Path) -> str:
    """The section of a directory."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(support.SERVICE_PASSWORD)
    return (
        f'[ldap."staff"]\nservers = ["{directory.ldaps}"]\nca_file = "{directory.ca_file}"\n'
        f'bind_dn = "{support.SERVICE}"\nbind_password_file = "secret"\n'
        f'base = "{support.PEOPLE}"\ntimeout = 20'
    )


@pytest.mark.option("kerberos.ask_kdc", "kerberos.asks_as", "kerberos.directory")
def test_who_is_asked_whether_it_still_holds(
    center: Kdc, write: Write, desk: Path, directory: Directory, staff: str
) -> None:
    backend = backend_of(write(asks_as=f'"lena@{REALM}"'))
    with pytest.raises(UnavailableError, match=f"no ticket for lena@{REALM}"):
        vouched_for(backend, desk)
    for ask_kdc in ("true", "false"):
        backend = backend_of(write(ask_kdc=ask_kdc, directory='"staff"', more=staff))
        with denied(Denial.NOT_ADMITTED):
            vouched_for(backend, desk)
    lena = directory.add(Person("lena", LENA), member=False)
    try:
        vouched = vouched_for(backend, desk)
        center.do("modprinc", "-allow_tix", f"lena@{REALM}")
        assert backend.check(identity(vouched)) == vouched
        asking = backend_of(write(directory='"staff"', more=staff))
        with denied(Denial.DISABLED):
            asking.check(identity(vouched))
    finally:
        center.do("modprinc", "+allow_tix", f"lena@{REALM}")
        directory.remove(lena)


@pytest.mark.option("kerberos.directory_filter")
def test_the_directory_says_whose_address_it_is(
    write: Write, desk: Path, directory: Directory, staff: str
) -> None:
    found_by = {"directory": '"staff"', "directory_filter": '"(uid={user})"'}
    lena = directory.add(Person("lena", f"lena.muster@{DOMAIN}"), member=False)
    try:
        assert vouched_for(backend_of(write(more=staff, **found_by)), desk).email == lena.mail
    finally:
        directory.remove(lena)


@pytest.mark.option("kerberos.timeout")
def test_how_long_the_kdc_may_take(
    center: Kdc, write: Write, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = backend_of(write(timeout="1"))
    with (
        answering(None) as port,
        instead(center, port, monkeypatch),
        pytest.raises(UnavailableError, match="too long"),
    ):
        vouched_for(backend, desk)


@pytest.mark.option("kerberos.label", "kerberos.at_once")
def test_how_the_page_shows_it(write: Write) -> None:
    plain = backend_of(write())
    assert (plain.label, plain.at_once) == ("", False)
    other = backend_of(write(label='"the desk"', at_once="true"))
    assert (other.label, other.at_once) == ("the desk", True)


def test_tickets_are_bound_to_our_certificate_unless_a_proxy_has_another(
    write: Write, desk: Path, tmp_path: Path
) -> None:
    chain, key = Authority(tmp_path / "tls").certificate(DOMAIN)
    other, _ = Authority(tmp_path / "other").certificate(DOMAIN)
    own = f'domain = "{DOMAIN}"\ntls_certificate = "{chain}"\ntls_key = "{key}"'
    direct, behind = write(idp=own), f'{own}\nproxies = ["127.0.0.1"]'
    assert vouched_for(backend_of(direct), desk, binding=binding_of(chain)).email == LENA
    with denied(Denial.INVALID_TICKET):
        vouched_for(backend_of(direct), desk, binding=binding_of(other))
    assert vouched_for(backend_of(write(idp=behind)), desk, binding=binding_of(other)).email == LENA


OPEN_TO_MACHINES: list[dict[str, str]] = [
    {"any_case": "true"},
    {"any_case": "true", "directory": '"staff"'},
    {"asks_as": '"LOGIN$@AD.EXAMPLE.TEST"'},
    {"asks_as": '"LOGIN$@AD.EXAMPLE.TEST"', "directory": '"staff"'},
    {"directory": '"staff"', "directory_filter": '"(userPrincipalName={principal})"'},
    {
        **{"any_case": "true", "directory": '"staff"'},
        "directory_filter": '"(userPrincipalName={user}@example.test)"',
    },
    {
        "directory": '"staff"',
        "directory_filter": '"(|(sAMAccountName={user})(userPrincipalName={principal}))"',
    },
]
"""What would let in somebody who has made a computer that is called as another one."""


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"keytab": ""}, "no keytab"),
        ({"principal": ""}, "no principal"),
        ({"keytab": '"away"'}, "away cannot be read"),
        ({"idp": ""}, "no domain"),
        ({"ask_kdc": "false"}, "no directory"),
        ({"directory": '"others"'}, r'no [ldap."others"]'),
        ({"directory_filter": '"(uid={user})"'}, "no directory or addresses"),
        ({"directory_filter": '"(uid={address})"'}, "{principal} or {user}"),
        (
            {
                "directory_filter": '"(uid={user})"',
                "directory": '"staff"',
                "more": '[ldap."staff"]\nservers = ["ldapi://x"]\ndn_template = "uid={user},o=x"',
            },
            "has no base",
        ),
        ({"principal": '"HTTP/www.example.org"'}, "name@REALM"),
        ({"realms": '["EXAMPLE ORG"]'}, "realm"),
        ({"addresses": '{ "lena" = "lena@example.test" }'}, "name@REALM"),
        ({"addresses": f'{{ "lena@{REALM}" = "lena" }}'}, "address"),
        ({"timeout": "31"}, "timeout"),
        *((changed, "for Active Directory") for changed in OPEN_TO_MACHINES),
    ],
)
def test_what_does_not_fit_is_refused(write: Write, changed: dict[str, str], said: str) -> None:
    assert said in str(refused(write(**changed)))


def test_a_keytab_that_others_can_read_is_refused(write: Write, tmp_path: Path) -> None:
    file = write()
    (tmp_path / "http.keytab").chmod(0o640)
    with pytest.raises(StoreError, match="chmod 600"):
        configured_backends(config.load(file))
