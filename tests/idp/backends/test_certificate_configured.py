"""From the configuration file to whose certificates are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from browserid_sasl import config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.backends import (
    Carried,
    Denial,
    DeniedError,
    Known,
    UnavailableError,
)
from browserid_sasl.idp.backends.certificate import CertificateBackend
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.schema import bring_up_to_date
from tests.support import directory as support
from tests.support.cards import SECRET, Card, CardAuthority, upn
from tests.support.directory import Directory, Person
from tests.support.provider import DOMAIN

LENA = f"lena@{DOMAIN}"
AUTHORITY = CardAuthority()
BELOW = CardAuthority("Below", AUTHORITY)
CARD = AUTHORITY.card(x509.RFC822Name(LENA), upn(f"lla@{DOMAIN}"), serial="4711", user_id="lla")
Configured = Callable[..., CertificateBackend]


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Configured]:
    """Makes what a file has about cards."""
    for name, text in {
        "secret": f"{SECRET}\n",
        "ca.pem": AUTHORITY.issued.pem.decode(),
        "crl.pem": AUTHORITY.crl().decode() + BELOW.crl().decode(),
        "people": f"4711 mia@{DOMAIN}\n",
        "short": "x" * 31,
        "empty": "",
    }.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(text)
    database = Database(tmp_path / "cards.sqlite")
    bring_up_to_date(database)

    def make(
        *, idp: str = f'domain = "{DOMAIN}"', others: str = "", **changed: str
    ) -> CertificateBackend:
        options = {"secret_file": '"secret"', "authorities_file": '"ca.pem"'} | changed
        lines = [f"{name} = {value}" for name, value in options.items() if value]
        start = ["[idp]", idp, 'backends = ["cards"]', '[certificate."cards"]']
        file = tmp_path / "browserid.toml"
        file.write_text("\n".join([*start, *lines, others, ""]))
        [backend] = configured_backends(config.load(file)).by_request
        assert isinstance(backend, CertificateBackend)
        backend.keep_in(database)
        return backend

    yield make
    database.close()


def vouched(backend: CertificateBackend, **headers: str) -> tuple[str, str]:
    """The address and the person that a request with these headers is of."""
    given = {"client_cert": CARD.rfc9440, "front_server_secret": SECRET} | headers
    carried = [(name.replace("_", "-"), value) for name, value in given.items()]
    known = backend.look(Carried(carried, "127.0.0.1"))
    assert isinstance(known, Known)
    return known.vouched.email, known.vouched.subject


def denial(backend: CertificateBackend, **headers: str) -> Denial:
    with pytest.raises(DeniedError) as caught:
        vouched(backend, **headers)
    return caught.value.denial


@pytest.mark.option("certificate.secret_file", "certificate.secret_header")
def test_the_secret(configured: Configured) -> None:
    assert vouched(configured()) == (LENA, "serial-number:4711")
    assert denial(configured(), front_server_secret="c" * 32) is Denial.UNPROVEN
    other = configured(secret_header='"X-Other"')
    assert denial(other) is Denial.UNPROVEN
    assert vouched(other, x_other=SECRET)[0] == LENA


@pytest.mark.option("certificate.form", "certificate.header", "certificate.chain_header")
def test_how_a_certificate_comes(configured: Configured) -> None:
    assert vouched(configured(form='"nginx"'), client_cert=CARD.nginx)[0] == LENA
    assert denial(configured(form='"nginx"')) is Denial.UNTRUSTED
    assert vouched(configured(header='"X-Cert"'), client_cert="", x_cert=CARD.rfc9440)[0] == LENA
    below = BELOW.card(x509.RFC822Name(LENA), serial="1").rfc9440
    with_chain = configured(chain_header='"Client-Cert-Chain"')
    chain = {"client_cert": below, "client_cert_chain": BELOW.itself.rfc9440}
    assert denial(configured(), **chain) is Denial.UNTRUSTED
    assert vouched(with_chain, **chain)[0] == LENA


@pytest.mark.option("certificate.authorities_file", "certificate.crl_file")
def test_which_are_taken(configured: Configured, tmp_path: Path) -> None:
    assert vouched(configured(crl_file='"crl.pem"'))[0] == LENA
    (tmp_path / "crl.pem").unlink()
    with pytest.raises(UnavailableError):
        vouched(configured(crl_file='"crl.pem"'))
    (tmp_path / "ca.pem").write_bytes(CardAuthority().issued.pem)
    assert denial(configured()) is Denial.UNTRUSTED


@pytest.mark.option("certificate.person", "certificate.address", "certificate.people_file")
def test_whose_they_are(configured: Configured) -> None:
    assert vouched(configured(person='"user-id"')) == (LENA, "user-id:lla")
    assert vouched(configured(address='"upn"'))[0] == f"lla@{DOMAIN}"
    assert vouched(configured(people_file='"people"'))[0] == f"mia@{DOMAIN}"


@pytest.mark.option("certificate.label")
def test_what_they_are_called(configured: Configured) -> None:
    assert configured().label == ""
    assert configured(label='"your card"').label == "your card"


@pytest.mark.option("certificate.directory")
def test_a_directory_is_asked_besides(
    configured: Configured, directory: Directory, person: Person, tmp_path: Path
) -> None:
    secret = tmp_path / "ldap"
    secret.touch(0o600)
    secret.write_text(support.SERVICE_PASSWORD)
    section = f"""
        [ldap."staff"]
        servers = ["{directory.ldaps}"]
        ca_file = "{directory.ca_file}"
        bind_dn = "{support.SERVICE}"
        bind_password_file = "ldap"
        base = "{support.PEOPLE}"
        """
    backend = configured(directory='"staff"', others=section)
    shown: Card = AUTHORITY.card(x509.RFC822Name(person.mail), serial="1")
    assert denial(backend, client_cert=shown.rfc9440) is Denial.NOT_ADMITTED
    directory.add(person)
    email, subject = vouched(backend, client_cert=shown.rfc9440)
    assert email == person.mail
    assert subject.startswith("serial-number:1 ")


@pytest.mark.parametrize(
    "changed",
    [
        {"secret_file": ""},
        {"secret_file": '"short"'},
        {"secret_file": '"empty"'},
        {"secret_file": '"not there"'},
        {"secret_header": '"Client-Cert"'},
        {"authorities_file": ""},
        {"authorities_file": '"empty"'},
        {"form": '"apache"', "chain_header": '"Client-Cert-Chain"'},
        {"people_file": '"people"', "person": '"address"'},
        {"directory": '"staff"'},
        {"idp": ""},
        {"header": '"Client_Cert"'},
        {"form": '"pem"'},
    ],
)
def test_what_makes_no_sense_is_refused(configured: Configured, changed: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        configured(**changed)


def test_a_secret_that_others_can_read_is_refused(configured: Configured, tmp_path: Path) -> None:
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(ConfigurationError):
        configured()
