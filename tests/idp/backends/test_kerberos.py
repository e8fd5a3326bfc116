"""Kerberos: a KDC that really runs, tickets of people at their desks, and what becomes of them."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import gssapi
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from browserid_sasl.idp.backends import (
    Carried,
    Challenge,
    Denial,
    DeniedError,
    Identity,
    Known,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.kerberos import Kdc as Asked
from browserid_sasl.idp.backends.kerberos import KerberosBackend
from browserid_sasl.idp.backends.kerberos_directory import People
from browserid_sasl.idp.backends.kerberos_principals import Principals
from browserid_sasl.idp.backends.kerberos_tickets import Acceptor
from browserid_sasl.idp.backends.ldap import LdapBackend
from browserid_sasl.idp.rations import MOST_TOLD
from browserid_sasl.negotiate import header
from browserid_sasl.sasl.channel_binding import tls_server_end_point
from tests.idp.backends.conftest import Serve, access, place
from tests.idp.backends.test_people import Machine, events
from tests.idp.web.test_by_request import DOOR, PREFIX, is_signed_in
from tests.support.browser import Browser, Shown
from tests.support.directory import Directory, Person
from tests.support.kdc import (
    KERBEROS,
    OTHER_REALM,
    PASSWORD,
    REALM,
    SERVICE,
    SPNEGO,
    Kdc,
    initiator,
    kdc,
    shows,
)
from tests.support.patience import PATIENCE
from tests.support.provider import ALICE, DOMAIN, RunningProvider

MUTUAL = gssapi.RequirementFlag.mutual_authentication
DCE = gssapi.RequirementFlag.dce_style
DELEGATE = gssapi.RequirementFlag.delegate_to_peer
_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def center() -> Iterator[Kdc]:
    """A KDC with nobody in it yet."""
    with kdc() as made:
        yield made


@pytest.fixture(scope="module")
def keytab(center: Kdc) -> Path:
    return center.keytab()


@pytest.fixture
def lena(center: Kdc) -> str:
    """Somebody's principal that was nobody's before."""
    return center.add(f"lena{next(_NUMBERS)}")


def address(principal: str) -> str:
    return f"{principal.partition('@')[0]}@{DOMAIN}"


def backend_of(
    keytab: Path,
    *,
    service: str = SERVICE,
    certificate: Path | None = None,
    timeout: int = 20_000,
    directory: LdapBackend | None = None,
    filter: str = "",
    ask_kdc: bool = True,
    **principals: object,
) -> KerberosBackend:
    given: dict[str, object] = {"realms": (REALM,), "domain": DOMAIN}
    return KerberosBackend(
        "desks",
        Acceptor("desks", keytab, service, certificate),
        Principals(**(given | principals)),  # type: ignore[arg-type]
        Asked(keytab=keytab, service=service, timeout=timeout) if ask_kdc else None,
        People(directory, filter, DOMAIN) if directory else None,
    )


@pytest.fixture
def backend(keytab: Path) -> KerberosBackend:
    return backend_of(keytab)


def look(
    backend: KerberosBackend, headers: Mapping[str, str], exchange: str = ""
) -> Known | Challenge:
    carried = [(name.lower(), value) for name, value in headers.items()]
    return backend.look(Carried(carried, "192.0.2.1", exchange))


def vouched_for(backend: KerberosBackend, cache: Path, **how: object) -> Vouched:
    said = look(backend, shows(initiator(cache, **how).step()))  # type: ignore[arg-type]
    assert isinstance(said, Known)
    return said.vouched


def identity(vouched: Vouched) -> Identity:
    return Identity(vouched.email, "desks", vouched.subject, vouched.version)


@contextmanager
def denied(denial: Denial) -> Iterator[None]:
    with pytest.raises(DeniedError) as caught:
        yield
    assert caught.value.denial is denial


def press(browser: Browser, cache: Path | None = None) -> Shown:
    """Press the button at somebody's desk."""
    page = browser.open(f"{PREFIX}/sign-in")
    headers = shows(initiator(cache).step()) if cache else {}
    return browser.post(DOOR, page.form(DOOR).fields, headers)


class TestSigningIn:
    @pytest.fixture
    def served(self, serve: Serve, backend: KerberosBackend) -> RunningProvider:
        return serve(backend)

    def test_the_first_one_makes_an_account(
        self, center: Kdc, served: RunningProvider, lena: str
    ) -> None:
        page = press(Browser.at(served), center.sign_in(lena))
        assert (page.status, page.path) == (200, f"{PREFIX}/account")
        assert address(lena) in page.text
        known = served.provider.outside.identity(address(lena))
        assert known is not None
        assert (known.backend, known.subject) == ("desks", lena)
        assert not served.provider.accounts.has_password(address(lena))

    def test_who_has_no_ticket_is_asked_for_one_and_has_other_ways(
        self, served: RunningProvider
    ) -> None:
        page = press(Browser.at(served))
        assert (page.status, page.headers["WWW-Authenticate"]) == (401, "Negotiate")
        assert "Your browser has not said who you are" in page.text
        assert "Sign in in another way" in page.text

    def test_a_program_signs_in_by_it(
        self, center: Kdc, served: RunningProvider, lena: str, tmp_path: Path
    ) -> None:
        cache = center.sign_in(lena)
        port = served.url.rpartition(":")[2]
        origin = f"https://{DOMAIN}:{port}"
        curl = (
            *("curl", "--silent", "--show-error", "--max-time", str(PATIENCE)),
            *("--cacert", str(served.ca_file), "--resolve", f"{DOMAIN}:{port}:127.0.0.1"),
            *("--cookie-jar", str(tmp_path / "jar"), "--cookie", str(tmp_path / "jar")),
        )

        def fetch(*further: str) -> str:
            return subprocess.run(
                (*curl, *further), env=center.at(cache), text=True, capture_output=True, check=True
            ).stdout

        page = fetch(f"{origin}{PREFIX}/sign-in")
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        assert found
        said = fetch(
            *("--negotiate", "--user", ":", "--data", f"csrf={found[1]}"),
            *("--write-out", "%{http_code} %{redirect_url}", f"{origin}{DOOR}"),
        )
        assert said.endswith(f"303 {origin}{PREFIX}/account")
        assert address(lena) in fetch(f"{origin}{PREFIX}/account")

    def test_an_account_of_the_providers_own_is_not_taken_over(
        self, center: Kdc, served: RunningProvider
    ) -> None:
        browser = Browser.at(served)
        page = press(browser, center.sign_in(center.add(ALICE.partition("@")[0])))
        assert page.status == 403
        assert "signed in to in another way" in page.text
        assert not is_signed_in(browser)

    def test_who_is_refused_is_in_the_audit_log(
        self, center: Kdc, served: RunningProvider, lena: str
    ) -> None:
        browser = Browser.at(served)
        fields = browser.open(f"{PREFIX}/sign-in").form(DOOR).fields
        headers = shows(initiator(center.sign_in(lena)).step())
        assert browser.post(DOOR, fields, headers).status == 200
        # Shown by somebody else, who has seen it.
        other = Browser.at(served)
        fields = other.open(f"{PREFIX}/sign-in").form(DOOR).fields
        page = other.post(DOOR, fields, headers)
        assert page.status == 403
        assert "What your computer has shown is not accepted here" in page.text
        assert not is_signed_in(other)
        [refused] = events(served, "refused")
        assert refused["reason"] == "invalid-ticket"


class TestTickets:
    @pytest.mark.parametrize("mechanism", [SPNEGO, KERBEROS], ids=["spnego", "kerberos"])
    def test_the_browser_learns_that_it_is_the_service(
        self, center: Kdc, backend: KerberosBackend, lena: str, mechanism: gssapi.OID
    ) -> None:
        ours = initiator(center.sign_in(lena), mechanism=mechanism)
        said = look(backend, shows(ours.step()))
        assert isinstance(said, Known)
        ours.step(header.read(said.headers["WWW-Authenticate"]))
        assert ours.complete

    def test_it_may_take_several_requests(
        self, center: Kdc, backend: KerberosBackend, lena: str
    ) -> None:
        ours = initiator(center.sign_in(lena), flags=(MUTUAL, DCE))
        first = look(backend, shows(ours.step()))
        assert isinstance(first, Challenge)
        assert first.exchange
        assert first.exchange not in repr(first)
        last = shows(ours.step(header.read(first.headers["WWW-Authenticate"])))
        said = look(backend, last, first.exchange)
        assert isinstance(said, Known)
        # What goes on has gone on once.
        with denied(Denial.INVALID_TICKET):
            look(backend, last, first.exchange)

    def test_what_waits_is_limited_in_number(
        self, center: Kdc, backend: KerberosBackend, lena: str
    ) -> None:
        cache = center.sign_in(lena)

        def begin() -> tuple[gssapi.SecurityContext, Challenge]:
            ours = initiator(cache, flags=(MUTUAL, DCE))
            said = look(backend, shows(ours.step()))
            assert isinstance(said, Challenge)
            return ours, said

        ours, said = begin()
        for _ in range(100):
            begin()
        last = shows(ours.step(header.read(said.headers["WWW-Authenticate"])))
        with denied(Denial.INVALID_TICKET):
            look(backend, last, said.exchange)

    def test_a_ticket_is_good_once(self, center: Kdc, backend: KerberosBackend, lena: str) -> None:
        headers = shows(initiator(center.sign_in(lena)).step())
        assert isinstance(look(backend, headers), Known)
        with denied(Denial.INVALID_TICKET):
            look(backend, headers)
        # Remembered where no other test looks.
        assert list(center.folder.glob("krb5_*.rcache2"))

    def test_one_for_another_service_is_refused(
        self, center: Kdc, backend: KerberosBackend, lena: str
    ) -> None:
        host = f"other{next(_NUMBERS)}.{DOMAIN}"
        other = f"HTTP/{host}@{REALM}"
        center.do("addprinc", "-randkey", other)
        cache = center.sign_in(lena)
        with denied(Denial.INVALID_TICKET):
            look(backend, shows(initiator(cache, host=host).step()))
        # Nor where its key is in the same file.
        both = backend_of(center.keytab(SERVICE, other))
        with denied(Denial.INVALID_TICKET):
            look(both, shows(initiator(cache, host=host).step()))

    def test_one_that_was_changed_is_refused(
        self, center: Kdc, backend: KerberosBackend, lena: str
    ) -> None:
        token = initiator(center.sign_in(lena)).step()
        assert token is not None
        changed = bytearray(token)
        changed[-40] ^= 1
        with denied(Denial.INVALID_TICKET):
            look(backend, shows(bytes(changed)))

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Authorization": ""},
            {"Authorization": "Negotiate"},
            {"Authorization": "Negotiate ???"},
            {"Authorization": f"Negotiate {'A' * 16_388}"},
            {"Authorization": "Basic YTpi"},
            {"Authorization": "NTLM TlRMTVNTUAABAAAA"},
            shows(b"NTLMSSP\0\1\0\0\0\7\x82\x08\xa2"),
        ],
    )
    def test_what_is_no_ticket_is_asked_for_one(
        self, backend: KerberosBackend, headers: Mapping[str, str]
    ) -> None:
        assert look(backend, headers) == Challenge({"WWW-Authenticate": "Negotiate"})

    @pytest.mark.parametrize("token", [b"x", b"\x60\x82\xff\xff", b"\x6e\x00", b"\x60" * 8_000])
    def test_what_makes_no_sense_is_refused(self, backend: KerberosBackend, token: bytes) -> None:
        with denied(Denial.INVALID_TICKET):
            look(backend, shows(token))

    def test_strangers_do_not_fill_the_log(
        self, backend: KerberosBackend, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(5 * MOST_TOLD):
            with denied(Denial.INVALID_TICKET):
                look(backend, shows(b"x"))
        said = [each for each in caplog.messages if each.startswith("backend desks: ")]
        # Another minute may have begun.
        assert MOST_TOLD <= len(said) <= 2 * MOST_TOLD

    def test_ntlm_in_the_negotiation_is_not_taken(self, backend: KerberosBackend) -> None:
        """A NegTokenInit (RFC 4178 section 4.2.1) that has NTLM alone."""
        mechanism = bytes.fromhex("060a2b06010401823702020a")
        token = bytes.fromhex("601c06062b0601050502a0123010a00e300c") + mechanism
        with denied(Denial.INVALID_TICKET):
            look(backend, shows(token))

    def test_credentials_that_are_handed_on_are_not_taken(
        self, center: Kdc, backend: KerberosBackend, lena: str, tmp_path: Path
    ) -> None:
        cache = center.sign_in(lena, PASSWORD, "-f")
        vouched = vouched_for(backend, cache, flags=(MUTUAL, DELEGATE))
        assert vouched == Vouched(address(lena), lena)

    def test_new_keys_count_at_once(self, center: Kdc, lena: str) -> None:
        host = f"rotated.{DOMAIN}"
        service = f"HTTP/{host}@{REALM}"
        center.do("addprinc", "-randkey", service)
        keytab = center.keytab(service)
        backend = backend_of(keytab, service=service)
        cache = center.sign_in(lena)
        assert vouched_for(backend, cache, host=host).subject == lena
        center.do("ktadd", "-k", str(keytab), service)
        for each in (cache, center.sign_in(lena)):
            assert vouched_for(backend, each, host=host).subject == lena
        # Nor are those of before good for ever.
        center.do("ktremove", "-k", str(keytab), service, "old")
        with denied(Denial.INVALID_TICKET):
            vouched_for(backend, cache, host=host)

    def test_a_keytab_that_is_away_is_for_the_log(
        self, center: Kdc, lena: str, tmp_path: Path
    ) -> None:
        backend = backend_of(tmp_path / "away")
        with pytest.raises(UnavailableError, match="keytab"):
            vouched_for(backend, center.sign_in(lena))


def binding_of(certificate: Path) -> bytes:
    own = x509.load_pem_x509_certificate(certificate.read_bytes())
    return header.application_data(tls_server_end_point(own.public_bytes(Encoding.DER)))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    authority, folder = trustme.CA(), tmp_path_factory.mktemp("tls")
    files = folder / "own.pem", folder / "other.pem"
    for file in files:
        authority.issue_cert(DOMAIN).cert_chain_pems[0].write_to_path(file)
    return files


class TestTheChannel:
    """Extended protection: a ticket that somebody in between hands on is bound to their TLS."""

    def test_a_ticket_that_is_bound_to_ours(
        self, center: Kdc, keytab: Path, lena: str, certificates: tuple[Path, Path]
    ) -> None:
        own, _ = certificates
        backend = backend_of(keytab, certificate=own)
        cache = center.sign_in(lena)
        assert vouched_for(backend, cache, binding=binding_of(own)).subject == lena

    def test_one_that_is_bound_to_another(
        self, center: Kdc, keytab: Path, lena: str, certificates: tuple[Path, Path]
    ) -> None:
        own, other = certificates
        backend = backend_of(keytab, certificate=own)
        with denied(Denial.INVALID_TICKET):
            vouched_for(backend, center.sign_in(lena), binding=binding_of(other))

    def test_browsers_that_bind_none_are_let_in(
        self, center: Kdc, keytab: Path, lena: str, certificates: tuple[Path, Path]
    ) -> None:
        backend = backend_of(keytab, certificate=certificates[0])
        assert vouched_for(backend, center.sign_in(lena)).subject == lena

    def test_behind_a_proxy_its_certificate_is_not_known(
        self, center: Kdc, backend: KerberosBackend, lena: str, certificates: tuple[Path, Path]
    ) -> None:
        cache = center.sign_in(lena)
        assert vouched_for(backend, cache, binding=binding_of(certificates[1])).subject == lena

    def test_a_certificate_that_is_renewed_counts(
        self,
        center: Kdc,
        keytab: Path,
        lena: str,
        certificates: tuple[Path, Path],
        tmp_path: Path,
    ) -> None:
        own, other = certificates
        served = tmp_path / "served.pem"
        shutil.copy(own, served)
        backend, cache = backend_of(keytab, certificate=served), center.sign_in(lena)
        assert vouched_for(backend, cache, binding=binding_of(own)).subject == lena
        shutil.copy(other, served)
        assert vouched_for(backend, cache, binding=binding_of(other)).subject == lena

    def test_one_that_cannot_be_read_lets_nobody_in(
        self, center: Kdc, keytab: Path, lena: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UnavailableError, match="channel binding"):
            vouched_for(backend_of(keytab, certificate=tmp_path / "away"), center.sign_in(lena))


class TestWhoseItIs:
    @pytest.mark.parametrize(
        "name",
        [
            "lena/admin",
            "Lena",
            "desk$",
            r"lena\@example.test",
            "host/lena",
            "l" * 65,
            "löna",
        ],
    )
    def test_names_that_are_no_persons(
        self, center: Kdc, backend: KerberosBackend, name: str
    ) -> None:
        cache = center.sign_in(center.add(name))
        with denied(Denial.NOT_ADMITTED):
            vouched_for(backend, cache)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "lena",
            f"@{REALM}",
            f"-lena@{REALM}",
            f"lena @{REALM}",
            f"lena\n@{REALM}",
            f"lena@{REALM}\n",
            f"lena\\0@{REALM}",
            f"lena\\/admin@{REALM}",
            f"lena\\\\@{REALM}",
            f"lena@x@{REALM}",
            f"lena@{REALM}@{REALM}",
            f"lena@{REALM}.",
            f"lena@{REALM.lower()}",
            f"lena@x.{REALM}",
            f"\u212aena@{REALM}",
            "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS",
            f"{'l' * 10_000}@{REALM}",
        ],
    )
    @pytest.mark.parametrize("any_case", [False, True])
    def test_texts_that_are_no_persons(self, text: str, any_case: bool) -> None:
        principals = Principals(realms=(REALM,), domain=DOMAIN, any_case=any_case)
        with denied(Denial.NOT_ADMITTED):
            principals.address(principals.subject(text))

    def test_somebody_of_another_realm_who_is_called_the_same(
        self, center: Kdc, backend: KerberosBackend, lena: str
    ) -> None:
        name = lena.partition("@")[0]
        theirs = center.sign_in(center.add(name, OTHER_REALM))
        with denied(Denial.NOT_ADMITTED):
            vouched_for(backend, theirs)

    def test_nor_are_they_the_same_where_both_realms_are_admitted(
        self, center: Kdc, keytab: Path, serve: Serve, lena: str
    ) -> None:
        both = backend_of(keytab, realms=(REALM, OTHER_REALM), ask_kdc=False)
        served = serve(both)
        assert press(Browser.at(served), center.sign_in(lena)).status == 200
        theirs = center.add(lena.partition("@")[0], OTHER_REALM)
        page = press(Browser.at(served), center.sign_in(theirs))
        assert page.status == 403
        assert "was somebody else's before" in page.text

    def test_a_realm_that_is_admitted(self, center: Kdc, keytab: Path) -> None:
        both = backend_of(keytab, realms=(REALM, OTHER_REALM), ask_kdc=False)
        theirs = center.add(f"mia{next(_NUMBERS)}", OTHER_REALM)
        assert vouched_for(both, center.sign_in(theirs)) == Vouched(address(theirs), theirs)

    def test_addresses_that_are_given(self, center: Kdc, keytab: Path) -> None:
        admin = center.add(f"mia{next(_NUMBERS)}/admin")
        given = {admin: f"Mia-Admin@{DOMAIN}", f"boss@{REALM}": f"head@{DOMAIN}"}
        backend = backend_of(keytab, addresses=given)
        cache = center.sign_in(admin)
        assert vouched_for(backend, cache) == Vouched(f"mia-admin@{DOMAIN}", admin)
        # Nobody has by their name what was given to somebody else.
        with denied(Denial.NOT_ADMITTED):
            vouched_for(backend, center.sign_in(center.add("head")))

    def test_capital_letters_where_they_do_not_matter(self) -> None:
        principals = Principals(
            realms=(REALM,), domain=DOMAIN, any_case=True, addresses={f"Boss@{REALM}": ALICE}
        )
        for written in ("lena", "Lena", "LENA"):
            subject = principals.subject(f"{written}@{REALM}")
            assert subject == f"lena@{REALM}"
            assert principals.address(subject) == f"lena@{DOMAIN}"
        assert principals.address(principals.subject(f"bOSS@{REALM}")) == ALICE
        with denied(Denial.NOT_ADMITTED):
            principals.address(principals.subject(f"lena@{REALM.lower()}"))


CHANGES: dict[str, tuple[Callable[[Kdc, str], object], Denial]] = {
    "disabled": (lambda center, who: center.do("modprinc", "-allow_tix", who), Denial.DISABLED),
    "expired": (
        lambda center, who: center.do("modprinc", "-expire", "yesterday", who),
        Denial.EXPIRED,
    ),
    "gone": (lambda center, who: center.do("delprinc", "-force", who), Denial.GONE),
    "renamed": (
        lambda center, who: center.do("renprinc", "-force", who, f"x-{who}"),
        Denial.GONE,
    ),
}

STAYS: dict[str, Callable[[Kdc, str], object]] = {
    "another password": lambda center, who: center.do("cpw", "-pw", "another", who),
    "an expired password": lambda center, who: center.do("modprinc", "-pwexpire", "yesterday", who),
    "a password to change": lambda center, who: center.do("modprinc", "+needchange", who),
}


class TestWhetherItStillHolds:
    def test_it_does(self, center: Kdc, backend: KerberosBackend, lena: str) -> None:
        vouched = vouched_for(backend, center.sign_in(lena))
        assert backend.check(identity(vouched)) == vouched

    @pytest.mark.parametrize("change", CHANGES)
    def test_the_kdc_says_when_it_does_not(
        self, center: Kdc, backend: KerberosBackend, lena: str, change: str
    ) -> None:
        change_it, denial = CHANGES[change]
        cache = center.sign_in(lena)
        vouched = vouched_for(backend, cache)
        change_it(center, lena)
        with denied(denial):
            backend.check(identity(vouched))
        # Nor do they sign in by the ticket that they have still.
        with denied(Denial.NOT_ADMITTED if denial is Denial.GONE else denial):
            vouched_for(backend, cache)

    @pytest.mark.parametrize("change", STAYS)
    def test_it_says_nothing_of_passwords(
        self, center: Kdc, backend: KerberosBackend, lena: str, change: str
    ) -> None:
        vouched = vouched_for(backend, center.sign_in(lena))
        STAYS[change](center, lena)
        assert backend.check(identity(vouched)) == vouched

    @pytest.mark.parametrize(
        ("any_case", "known", "is_theirs"),
        [(True, "Lena", True), (False, "Lena", False), (True, "Lea", False)],
    )
    def test_it_may_write_the_name_in_another_way(
        self,
        keytab: Path,
        monkeypatch: pytest.MonkeyPatch,
        any_case: bool,
        known: str,
        is_theirs: bool,
    ) -> None:
        """As Active Directory does, which has the name of the account in its ticket."""
        answer = json.dumps({"known": f"{known}@{REALM}"})
        program = f"import os; os.read(0, 65_536); os.write(0, {answer.encode()!r} + b'\\n')"
        monkeypatch.setattr(
            "browserid_sasl.idp.backends.kerberos._PROGRAM", (sys.executable, "-c", program)
        )
        vouched = Vouched(f"lena@{DOMAIN}", f"lena@{REALM}")
        backend = backend_of(keytab, any_case=any_case)
        if is_theirs:
            assert backend.check(identity(vouched)) == vouched
        else:
            with denied(Denial.RENAMED):
                backend.check(identity(vouched))

    def test_who_is_locked_after_guesses_is_refused(
        self, center: Kdc, backend: KerberosBackend, lena: str
    ) -> None:
        """The KDC has one answer for them and for who is disabled."""
        vouched = vouched_for(backend, center.sign_in(lena))
        policy = f"locks{next(_NUMBERS)}"
        center.do("addpol", "-maxfailure", "1", policy)
        center.do("modprinc", "-policy", policy, "+requires_preauth", lena)
        with pytest.raises(AssertionError, match="Password incorrect"):
            center.sign_in(lena, "a guess")
        with denied(Denial.DISABLED):
            backend.check(identity(vouched))

    @pytest.mark.parametrize("change", CHANGES)
    def test_renewals_and_sessions_end(
        self, center: Kdc, serve: Serve, backend: KerberosBackend, lena: str, change: str
    ) -> None:
        change_it, denial = CHANGES[change]
        served, email = serve(backend), address(lena)
        browser = Browser.at(served)
        press(browser, center.sign_in(lena))
        machine = Machine(served, email)
        served.clock.now += 60_000
        assert machine.renew()[0] == 200
        change_it(center, lena)
        served.clock.now += 60_000
        status, answer = machine.renew()
        assert (status, answer["error"]) == (401, "no-longer-vouched")
        assert not is_signed_in(browser)
        [ended] = events(served, "vouching-ended")
        assert (ended["email"], ended["reason"]) == (email, denial.value)
        assert machine.renew()[1]["error"] == "renewal-revoked"

    def test_a_realm_that_is_admitted_no_more(
        self, center: Kdc, keytab: Path, backend: KerberosBackend, lena: str
    ) -> None:
        vouched = vouched_for(backend, center.sign_in(lena))
        with denied(Denial.NOT_ADMITTED):
            backend_of(keytab, realms=(OTHER_REALM,)).check(identity(vouched))


@contextmanager
def instead(center: Kdc, port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have something else where the KDC is."""
    before = Path(os.environ["KRB5_CONFIG"]).read_text()
    changed = center.folder / f"krb5-{port}.conf"
    changed.write_text(before.replace(f":{center.port}", f":{port}"))
    with monkeypatch.context() as patch:
        patch.setenv("KRB5_CONFIG", str(changed))
        yield


@contextmanager
def answering(answer: bytes | None) -> Iterator[int]:
    """The port of a server that answers everything alike, or never."""
    stream, datagram = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    stream.bind(("127.0.0.1", 0))
    port = stream.getsockname()[1]
    datagram.bind(("127.0.0.1", port))
    stream.listen(16)
    kept: list[socket.socket] = []

    def serve_stream() -> None:
        while True:
            try:
                connection, _ = stream.accept()
            except OSError:
                return
            kept.append(connection)
            if answer is not None:
                connection.sendall(len(answer).to_bytes(4, "big") + answer)

    def serve_datagrams() -> None:
        while True:
            try:
                _, sender = datagram.recvfrom(65_536)
            except OSError:
                return
            if sender is None:
                return
            if answer is not None:
                datagram.sendto(answer, sender)

    threads = [threading.Thread(target=each) for each in (serve_stream, serve_datagrams)]
    for thread in threads:
        thread.start()
    try:
        yield port
    finally:
        for each in (stream, datagram):
            # A thread that waits in it is woken by this, and not by closing it.
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for connection in kept:
            connection.close()
        for thread in threads:
            thread.join(PATIENCE)


class TestHowItIs:
    def test_it_would_answer(self, keytab: Path, directory: Directory) -> None:
        assert backend_of(keytab).probe() == []
        staff = LdapBackend("staff", access(directory), place())
        assert backend_of(keytab, directory=staff, ask_kdc=False).probe() == []

    def test_its_keytab_is_away(self, tmp_path: Path) -> None:
        with pytest.raises(UnavailableError, match="keytab"):
            backend_of(tmp_path / "away").probe()

    def test_the_kdc_or_the_directory_is_away(
        self, center: Kdc, keytab: Path, directory: Directory
    ) -> None:
        with answering(None) as port:
            url = f"ldaps://127.0.0.1:{port}"
        away = LdapBackend("staff", access(directory, servers=(url,)), place())
        backend = backend_of(keytab, directory=away)
        [fault] = backend.probe()
        assert "127.0.0.1" in fault
        center.stop()
        try:
            with pytest.raises(UnavailableError, match="no ticket for HTTP"):
                backend.probe()
        finally:
            center.start()


class TestTrouble:
    """What the KDC does not say clearly is neither a yes nor a no."""

    @pytest.fixture
    def known(self, center: Kdc, backend: KerberosBackend, lena: str) -> Identity:
        return identity(vouched_for(backend, center.sign_in(lena)))

    def test_it_is_down(
        self,
        center: Kdc,
        backend: KerberosBackend,
        known: Identity,
        serve: Serve,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with answering(None) as port:
            pass
        with instead(center, port, monkeypatch), pytest.raises(UnavailableError):
            backend.check(known)

    def test_renewals_go_on_afterwards(
        self, center: Kdc, backend: KerberosBackend, serve: Serve, lena: str
    ) -> None:
        served = serve(backend)
        browser = Browser.at(served)
        press(browser, center.sign_in(lena))
        machine = Machine(served, address(lena))
        center.stop()
        try:
            served.clock.now += 60_000
            status, answer = machine.renew()
            assert (status, answer["error"]) == (503, "backend-unavailable")
        finally:
            center.start()
        assert machine.renew()[0] == 200
        assert is_signed_in(browser)

    def test_it_does_not_answer(
        self, center: Kdc, keytab: Path, known: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = backend_of(keytab, timeout=1_000)
        with answering(None) as port, instead(center, port, monkeypatch):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="too long"):
                backend.check(known)
        assert time.monotonic() - began < 30

    @pytest.mark.parametrize("answer", [b"", b"\0" * 100, b"HTTP/1.1 200 OK\r\n\r\n"])
    def test_it_makes_no_sense(
        self,
        center: Kdc,
        keytab: Path,
        known: Identity,
        answer: bytes,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        backend = backend_of(keytab, timeout=2_000)
        with (
            answering(answer) as port,
            instead(center, port, monkeypatch),
            pytest.raises(UnavailableError),
        ):
            backend.check(known)

    def test_it_is_another_that_has_the_same_names(
        self, center: Kdc, backend: KerberosBackend, known: Identity
    ) -> None:
        """Somebody in between says of who is gone that they are there."""
        center.do("delprinc", "-force", known.subject)
        with kdc() as pretended:
            pretended.add(known.subject.partition("@")[0])
            with pytest.raises(UnavailableError, match="no ticket for HTTP"):
                backend.check(known)

    @pytest.mark.parametrize("flag", ["allow_svr", "allow_tix"])
    def test_the_service_may_not_ask(
        self, center: Kdc, backend: KerberosBackend, known: Identity, flag: str
    ) -> None:
        center.do("modprinc", f"-{flag}", SERVICE)
        try:
            with pytest.raises(UnavailableError):
                backend.check(known)
        finally:
            center.do("modprinc", f"+{flag}", SERVICE)

    def test_the_program_that_asks_does_not_start(
        self, backend: KerberosBackend, known: Identity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            "browserid_sasl.idp.backends.kerberos._PROGRAM", ("/nonexistent/python",)
        )
        with pytest.raises(UnavailableError, match="does not start"):
            backend.check(known)


class TestADirectoryBesides:
    @pytest.fixture
    def both(
        self, center: Kdc, keytab: Path, directory: Directory, staff: LdapBackend, lena: str
    ) -> tuple[KerberosBackend, Person]:
        name = lena.partition("@")[0]
        person = directory.add(Person(name, address(lena)), more="displayName: Lena\n")
        return backend_of(keytab, directory=staff), person

    @pytest.fixture
    def staff(self, directory: Directory) -> LdapBackend:
        return LdapBackend("staff", access(directory), place())

    def test_it_says_what_certificates_say(
        self, center: Kdc, both: tuple[KerberosBackend, Person], lena: str
    ) -> None:
        vouched = vouched_for(both[0], center.sign_in(lena))
        assert (vouched.email, vouched.claims) == (address(lena), {"name": ["Lena"]})
        assert vouched.subject.startswith(f"{lena} ")
        assert both[0].check(identity(vouched)) == vouched

    def test_who_is_not_there_is_not_admitted(
        self, center: Kdc, keytab: Path, staff: LdapBackend, lena: str
    ) -> None:
        with denied(Denial.NOT_ADMITTED):
            vouched_for(backend_of(keytab, directory=staff), center.sign_in(lena))

    def test_who_leaves_the_group_is_refused(
        self,
        center: Kdc,
        directory: Directory,
        both: tuple[KerberosBackend, Person],
        lena: str,
    ) -> None:
        vouched = vouched_for(both[0], center.sign_in(lena))
        directory.change_group("delete", both[1])
        with denied(Denial.NOT_ADMITTED):
            both[0].check(identity(vouched))

    def test_a_principal_that_somebody_else_gets_is_somebody_else(
        self,
        center: Kdc,
        directory: Directory,
        both: tuple[KerberosBackend, Person],
        serve: Serve,
        lena: str,
    ) -> None:
        backend, person = both
        served = serve(backend)
        assert press(Browser.at(served), center.sign_in(lena)).status == 200
        machine = Machine(served, person.mail)
        directory.change_group("delete", person)
        directory.remove(person)
        center.do("delprinc", "-force", lena)
        directory.add(person)
        center.add(lena.partition("@")[0])
        page = press(Browser.at(served), center.sign_in(lena))
        assert page.status == 403
        assert "was somebody else's before" in page.text
        assert machine.renew()[1]["error"] == "no-longer-vouched"
        [ended] = events(served, "vouching-ended")
        assert ended["reason"] == Denial.OTHER_SUBJECT.value

    def test_it_may_be_asked_alone(
        self, center: Kdc, keytab: Path, directory: Directory, staff: LdapBackend, lena: str
    ) -> None:
        person = directory.add(Person(lena.partition("@")[0], address(lena)))
        backend = backend_of(keytab, directory=staff, ask_kdc=False)
        vouched = vouched_for(backend, center.sign_in(lena))
        center.do("modprinc", "-allow_tix", lena)
        assert backend.check(identity(vouched)) == vouched
        directory.change_group("delete", person)
        with denied(Denial.NOT_ADMITTED):
            backend.check(identity(vouched))


class TestAnAddressOfTheDirectory:
    """Where people's addresses are not what they are called by the KDC."""

    @pytest.fixture
    def staff(self, directory: Directory) -> LdapBackend:
        return LdapBackend("staff", access(directory), place())

    @pytest.fixture
    def by_uid(self, keytab: Path, staff: LdapBackend) -> KerberosBackend:
        return backend_of(keytab, directory=staff, filter="(uid={user})")

    def test_it_is_theirs(
        self, center: Kdc, directory: Directory, by_uid: KerberosBackend, lena: str
    ) -> None:
        name = lena.partition("@")[0]
        person = directory.add(Person(name, f"{name}.muster@{DOMAIN}"))
        vouched = vouched_for(by_uid, center.sign_in(lena))
        assert vouched.email == person.mail
        assert by_uid.check(identity(vouched)) == vouched

    def test_another_one_is_found_at_the_next_renewal(
        self,
        center: Kdc,
        directory: Directory,
        by_uid: KerberosBackend,
        serve: Serve,
        lena: str,
    ) -> None:
        name = lena.partition("@")[0]
        person = directory.add(Person(name, f"{name}.before@{DOMAIN}"))
        served = serve(by_uid)
        assert press(Browser.at(served), center.sign_in(lena)).status == 200
        machine = Machine(served, person.mail)
        directory.set(person, "mail", f"{name}.after@{DOMAIN}")
        assert machine.renew()[1]["error"] == "no-longer-vouched"
        [ended] = events(served, "vouching-ended")
        assert ended["reason"] == Denial.RENAMED.value

    @pytest.mark.parametrize(
        "more", [f"mail: second@{DOMAIN}\n", "mail: other@elsewhere.test\n"], ids=["two", "one"]
    )
    def test_it_is_the_only_one_of_the_domain(
        self,
        center: Kdc,
        directory: Directory,
        by_uid: KerberosBackend,
        lena: str,
        more: str,
    ) -> None:
        directory.add(Person(lena.partition("@")[0], address(lena)), more=more)
        cache = center.sign_in(lena)
        if DOMAIN in more:
            with denied(Denial.NOT_ADMITTED):
                vouched_for(by_uid, cache)
        else:
            assert vouched_for(by_uid, cache).email == address(lena)

    def test_who_is_not_found_or_has_another_domain_is_not_admitted(
        self, center: Kdc, directory: Directory, by_uid: KerberosBackend, lena: str
    ) -> None:
        cache = center.sign_in(lena)
        with denied(Denial.NOT_ADMITTED):
            vouched_for(by_uid, cache)
        directory.add(Person(lena.partition("@")[0], "lena@elsewhere.test"))
        with denied(Denial.NOT_ADMITTED):
            vouched_for(by_uid, cache)

    def test_what_a_principal_has_is_a_value_in_the_filter(
        self, directory: Directory, staff: LdapBackend
    ) -> None:
        person = Person("victim", f"victim@{DOMAIN}")
        directory.add(person)
        people = People(staff, "(|(uid={user})(uid={principal}))", DOMAIN)
        assert people.look("", f"victim@{REALM}").email == person.mail
        for name in ("vic*", "*", "x)(uid=victim", "{principal}", "x\\2a"):
            with denied(Denial.GONE):
                people.look("", f"{name}@{REALM}")
