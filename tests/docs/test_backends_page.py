"""docs/backends.md: what it shows is tried at the real thing."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from browserid_sasl import config
from browserid_sasl.idp.backends import (
    Carried,
    Denial,
    DeniedError,
    Identity,
    Journey,
    Known,
    MoreAskedError,
    PasswordBackend,
    Vouched,
)
from browserid_sasl.idp.backends.certificate_names import PeopleFile
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.backends.ldap import _MOST_ON_ROLL
from browserid_sasl.idp.backends.pam import PROGRAM, PamBackend
from tests.conftest import SHARED
from tests.support import active_directory as ad
from tests.support import directory as support
from tests.support import pam
from tests.support.directory import PASSWORD, Person
from tests.support.kdc import REALM, initiator, kdc, shows
from tests.support.oidc import SECRET, oidc_provider
from tests.support.pages import blocks, check_command
from tests.support.pam import Accounts
from tests.support.sample_programs import ROOT

PAGE = (ROOT / "docs" / "backends.md").read_text()


def put_in(shown: str, here: Mapping[str, str]) -> str:
    """What a page shows, with what is here for what it names, one after another."""
    for there, each in here.items():
        assert there in shown
        shown = shown.replace(there, each)
    return shown


def at_hand(controller: ad.Controller, secret: Path) -> dict[str, str]:
    """What is here for the Active Directory of the page."""
    return {
        "DC=ad,DC=example,DC=org": ad.BASE,
        "ad.example.org": "ad.example.test",
        "/etc/browserid/ad-ca.pem": str(controller.ca_file),
        "/etc/browserid/ad-password": str(secret),
        "ldaps://dc1.ad.example.test": "ldaps://127.0.0.1:1",
        "ldaps://dc2.ad.example.test": controller.ldaps,
    }


def test_a_directory_as_it_is_shown(tmp_path: Path) -> None:
    [account] = blocks(PAGE, "ldif")
    [shown] = [text for text in blocks(PAGE, "toml") if text.startswith("# A directory")]
    secret = tmp_path / "ldap-password"
    secret.touch(0o600)
    secret.write_text("the password of the provider\n")
    lena = Person("lena", "lena@example.org")
    with support.directory(tmp_path / "d") as directory, directory.running():
        ours = account.replace("dc=example,dc=org", support.BASE)
        # There is one of this name already, for other tests.
        directory.delete(support.SERVICE)
        directory.change(ours.replace("\n", "\nchangetype: add\n", 1))
        directory.add(lena, more="displayName: Lena\n")
        file = tmp_path / "browserid.toml"
        here = {
            "dc=example,dc=org": support.BASE,
            "/etc/browserid/ldap-ca.pem": str(directory.ca_file),
            "/etc/browserid/ldap-password": str(secret),
            "ldaps://ldap1.example.org": "ldaps://127.0.0.1:1",
            "ldaps://ldap2.example.org": directory.ldaps,
        }
        shown = put_in(shown, here)
        file.write_text(shown)
        backends = configured_backends(config.load(file))

        def verify(backend: object) -> Vouched | None:
            assert isinstance(backend, PasswordBackend)
            return backend.verify(lena.mail, PASSWORD)

        vouched = backends.ask("staff", verify)
    assert vouched is not None
    assert vouched.claims == {"name": ["Lena"]}
    assert backends.order == ("staff", "accounts")


def test_active_directory_as_it_is_shown(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    [shown] = [text for text in blocks(PAGE, "toml") if text.startswith("# Active Directory")]
    ways = re.findall(r"^\| .* \| `(\(.*\))` \| `(\w+)` \|$", PAGE, re.MULTILINE)
    assert len(ways) == 3
    secret, lena = tmp_path / "ad-password", ad.Person("lena", "lena@example.org")
    secret.touch(0o600)
    secret.write_text(f"{ad.SERVICE_PASSWORD}\n")
    with ad.active_directory(pytestconfig.stash[SHARED], tmp_path / "d") as controller:
        controller.add(lena, userPrincipalName=lena.mail, proxyAddresses=f"SMTP:{lena.mail}")
        shown = put_in(shown, at_hand(controller, secret))
        file = tmp_path / "browserid.toml"
        for filter, attribute in [("", ""), *ways]:
            file.write_text(
                re.sub("filter = .*", f'filter = "{filter}"', shown) if filter else shown
            )
            with file.open("a") as more:
                more.write(f'address_attribute = "{attribute}"\n' if attribute else "")
            vouched = configured_backends(config.load(file)).ask("windows", _verify)
            assert vouched is not None
            assert vouched.email == lena.mail


def _verify(backend: object) -> Vouched | None:
    assert isinstance(backend, PasswordBackend)
    return backend.verify("lena@example.org", ad.PASSWORD)


def test_another_provider_as_it_is_shown(tmp_path: Path) -> None:
    [shown] = [text for text in blocks(PAGE, "toml") if text.startswith("# Another provider")]
    secret, origin = tmp_path / "company-secret", "https://example.org"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")
    back = f"{origin}/browserid/upstream/company/back"
    assert back in PAGE
    folder = tmp_path / "company"
    folder.mkdir()
    with oidc_provider(folder, origin=origin) as company:
        company.put("lena", email="lena@example.org", email_verified=True)
        here = {
            "/etc/browserid/company-secret": str(secret),
            "https://login.example.com": company.issuer,
        }
        shown = put_in(shown, here)
        file = tmp_path / "browserid.toml"
        file.write_text(f'{shown}ca_file = "{company.ca_file}"\n')
        [backend] = configured_backends(config.load(file)).redirecting
        journey = Journey(back, "state", "nonce", "v" * 43)
        url = company.visitor().sign_in(backend.page_for(journey), "lena", origin)
        fields = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        arrival = backend.arrive(journey, fields)
    assert (backend.label, arrival.vouched.email) == ("the Company", "lena@example.org")
    assert arrival.token


@pytest.mark.parametrize(
    "denial",
    [
        *(Denial.UNVERIFIED, Denial.FOREIGN, Denial.WEAK, Denial.CANCELLED),
        *(Denial.UNPROVEN, Denial.UNTRUSTED, Denial.UNIDENTIFIED),
        *(Denial.CERTIFICATE_EXPIRED, Denial.CERTIFICATE_REVOKED, Denial.INVALID_TICKET),
    ],
)
def test_what_people_are_told_who_come_back(denial: Denial) -> None:
    assert f"| `{denial.value}` |" in PAGE


@pytest.mark.parametrize(
    "denial", [each for each in Denial if each.value.startswith(("password-e", "account", "amb"))]
)
def test_the_codes_are_these(denial: Denial) -> None:
    assert f"| `{denial.value}` |" in PAGE


def test_kerberos_as_it_is_shown(tmp_path: Path) -> None:
    [shown] = [text for text in blocks(PAGE, "toml") if text.startswith("# People at a domain")]
    [addresses] = [text for text in blocks(PAGE, "toml") if text.startswith("# Addresses that")]
    [commands] = [text for text in blocks(PAGE, "sh") if text.startswith("# On the KDC")]
    host, keytab = "login.example.org", tmp_path / "http.keytab"
    for there, here in {
        "/etc/browserid/http.keytab": str(keytab),
        f"HTTP/{host}@EXAMPLE.ORG": f"HTTP/{host}@{REALM}",
    }.items():
        assert there in shown + commands
        shown, commands = shown.replace(there, here), commands.replace(there, here)
    file = tmp_path / "browserid.toml"
    file.write_text(f"{shown}timeout = 20\n{addresses.replace('EXAMPLE.ORG', REALM)}")
    with kdc() as center:
        for line in commands.splitlines()[1:]:
            program, option, command = shlex.split(line)
            assert (program, option) == ("kadmin", "-q")
            center.do(*shlex.split(command))
        assert keytab.stat().st_mode & 0o777 == 0o600
        [backend] = configured_backends(config.load(file)).by_request
        for name, email in {
            "lena": "lena@example.org",
            "lena/admin": "lena-admin@example.org",
        }.items():
            ticket = initiator(center.sign_in(center.add(name)), host=host).step()
            carried = [(each.lower(), value) for each, value in shows(ticket).items()]
            known = backend.look(Carried(carried, "192.0.2.1"))
            assert isinstance(known, Known)
            assert known.vouched.email == email
            identity = Identity(email, "desks", known.vouched.subject)
            assert backend.check(identity) == known.vouched


def test_kerberos_of_active_directory_as_it_is_shown(
    pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """Somebody has made a computer that is called as another one's address."""
    [shown] = [text for text in blocks(PAGE, "toml") if text.startswith("# People at desks")]
    secret, lena = tmp_path / "ad-password", ad.Person("lmuster", "lena.muster@example.org")
    secret.touch(0o600)
    secret.write_text(f"{ad.SERVICE_PASSWORD}\n")
    with (
        ad.active_directory(pytestconfig.stash[SHARED], tmp_path / "d") as controller,
        kdc() as center,
    ):
        controller.add(lena, userPrincipalName=lena.mail)
        service = f"HTTP/login.example.org@{REALM}"
        center.do("addprinc", "-randkey", service)
        here = {
            "/etc/browserid/http.keytab": str(center.keytab(service)),
            "HTTP/login.example.org@AD.EXAMPLE.ORG": service,
            "LOGIN$@AD.EXAMPLE.ORG": service,
        }
        shown = put_in(shown, here | at_hand(controller, secret))
        file = tmp_path / "browserid.toml"
        file.write_text(shown)
        [backend] = configured_backends(config.load(file)).by_request

        def look(name: str) -> Known:
            cache = center.sign_in(center.add(name))
            ticket = initiator(cache, host="login.example.org").step()
            carried = [(each.lower(), value) for each, value in shows(ticket).items()]
            known = backend.look(Carried(carried, "192.0.2.1"))
            assert isinstance(known, Known)
            return known

        assert look("lmuster").vouched.email == lena.mail
        with pytest.raises(DeniedError) as caught:
            look("lena.muster")
        assert caught.value.denial is Denial.NOT_ADMITTED


def test_a_file_of_people_as_it_is_shown(tmp_path: Path) -> None:
    [shown] = [text for text in blocks(PAGE, "text") if text.startswith("# /etc/browserid/people")]
    file = tmp_path / "people"
    file.write_text(shown)
    assert PeopleFile(file).address_of("PNOEE-38001085718") == "lena@example.org"


def test_pam_as_it_is_shown(tmp_path: Path) -> None:
    [service] = blocks(PAGE, "pam")
    [shown] = [text for text in blocks(PAGE, "toml") if "[pam." in text]
    accounts = Accounts(tmp_path / "etc")
    accounts.serve(service.replace("/etc/users.oath", "/etc/oath"))
    accounts.put_in_group("staff", accounts.add("lena"))
    accounts.give_secret("lena")
    file = tmp_path / "browserid.toml"
    file.write_text(shown)
    backends = configured_backends(config.load(file))

    def verify(backend: object) -> Vouched | None:
        assert isinstance(backend, PamBackend)
        there = PamBackend(backend.name, backend.service, (*accounts.program_before, *PROGRAM))
        with pytest.raises(MoreAskedError) as caught:
            there.verify("lena@example.org", pam.PASSWORD)
        return caught.value.exchange.answer([pam.code(0)])

    assert backends.ask("desks", verify) is not None
    assert backends.order == ("desks", "accounts")


def test_people_are_listed_as_it_is_shown() -> None:
    [shown] = [text for text in blocks(PAGE, "sh") if "import-people" in text]
    for words in map(shlex.split, shown.splitlines()):
        check_command(words)
    assert f"{_MOST_ON_ROLL:,} people" in PAGE
