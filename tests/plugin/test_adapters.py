"""Python's mail and LDAP libraries at real services, by the adapters."""

from __future__ import annotations

import asyncio
import imaplib
import poplib
import smtplib
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiosmtplib
import ldap3
import pytest
import trustme

from browserid_sasl.adapters import (
    aiosmtplib_login,
    imaplib_login,
    ldap3_login,
    poplib_login,
    smtplib_login,
)
from browserid_sasl.api import Client
from browserid_sasl.errors import (
    BrowserIDError,
    Code,
    CredentialError,
    LocalProtocolError,
    PeerRefusedError,
)
from browserid_sasl.sasl.result import Result
from tests.support.refusal import refused
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import ADMIN, HOST, Imapd, Postfix, Site, Slapd, Syslog

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
each_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


@dataclass
class Tls:
    """A certificate of the host, and who believes in it."""

    authority: trustme.CA
    files: tuple[Path, Path]

    def context(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.maximum_version = version
        self.authority.configure_trust(context)
        return context


def make_tls(site: Site) -> Tls:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(site.folder / "ca.pem"))
    issued = authority.issue_cert(HOST)
    certificate, key = site.folder / "cert.pem", site.folder / "key.pem"
    certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    key.write_bytes(issued.private_key_pem.bytes())
    return Tls(authority, (certificate, key))


class TestImapAndPop:
    @pytest.fixture
    def site(self, new_site: Callable[[str], Site]) -> Site:
        return new_site("cyrus")

    @pytest.fixture
    def tls(self, site: Site) -> Tls:
        return make_tls(site)

    @pytest.fixture
    def imapd(self, site: Site, tls: Tls, syslog: Syslog) -> Iterator[Imapd]:
        with Imapd(site, tls=tls.files).running() as imapd:
            yield imapd

    @each_version
    def test_imaplib_binds_to_the_channel(
        self, imapd: Imapd, tls: Tls, version: ssl.TLSVersion
    ) -> None:
        with imaplib.IMAP4(HOST, imapd.port, 20) as connection:
            connection.starttls(tls.context(version))
            result = imaplib_login(connection, imapd.site.client("imap"), binding_critical=True)
            assert (result.identity, result.channel_binding) == (ALICE, "tls-unique")
            assert connection.noop()[0] == "OK"
            assert connection.state == "AUTH"

    def test_imaplib_without_tls_has_nothing_to_bind_to(self, imapd: Imapd) -> None:
        client = imapd.site.client("imap")
        with imaplib.IMAP4(HOST, imapd.port, 20) as connection:
            with refused(Code.MISSING_CHANNEL_BINDINGS, kind=LocalProtocolError):
                imaplib_login(connection, client, binding_critical=True)
            assert imaplib_login(connection, client).channel_binding is None

    def test_imaplib_acts_as_somebody_else(self, imapd: Imapd) -> None:
        admin = imapd.site.client("imap", imapd.site.realm.person(ADMIN))
        with imaplib.IMAP4(HOST, imapd.port, 20) as connection:
            assert imaplib_login(connection, admin, authzid=ALICE).authzid == ALICE

    def test_a_refusal_is_the_servers_reason_and_its_words(self, imapd: Imapd) -> None:
        elsewhere = imapd.site.client("imap", host="mx1.example.org")
        with imaplib.IMAP4(HOST, imapd.port, 20) as connection:
            with refused(Code.BAD_AUDIENCE, kind=PeerRefusedError) as caught:
                imaplib_login(connection, elsewhere)
            assert any("authentication failure" in note for note in notes(caught))
            assert imaplib_login(connection, imapd.site.client("imap")).identity == ALICE

    def test_a_refusal_without_a_reason_is_the_servers_words(self, imapd: Imapd) -> None:
        with imaplib.IMAP4(HOST, imapd.port, 20) as connection:
            with refused(Code.REMOTE_VERIFY_FAILURE, kind=PeerRefusedError) as caught:
                imaplib_login(connection, imapd.site.client("imap"), authzid=ADMIN)
            assert caught.value.message.startswith("the server refused: ")

    def test_nothing_is_sent_if_nobody_is_signed_in(self, imapd: Imapd) -> None:
        nobody = Client(imapd.site.config, "imap", HOST)
        with imaplib.IMAP4(HOST, imapd.port, 20) as connection:
            with pytest.raises(CredentialError):
                imaplib_login(connection, nobody)
            assert connection.noop()[0] == "OK"

    @each_version
    def test_poplib(self, imapd: Imapd, tls: Tls, version: ssl.TLSVersion) -> None:
        with_mailbox(imapd)
        connection = poplib.POP3(HOST, imapd.pop3_port, 20)
        connection.stls(tls.context(version))
        result = poplib_login(connection, imapd.site.client("pop"), binding_critical=True)
        assert (result.identity, result.channel_binding) == (ALICE, "tls-unique")
        assert connection.stat() == (0, 0)
        connection.quit()

    def test_poplib_is_refused(self, imapd: Imapd) -> None:
        elsewhere = imapd.site.client("pop", host="mx1.example.org")
        connection = poplib.POP3(HOST, imapd.pop3_port, 20)
        with refused(Code.BAD_AUDIENCE, kind=PeerRefusedError) as caught:
            poplib_login(connection, elsewhere)
        assert any("-ERR" in note for note in notes(caught))
        connection.quit()


def notes(caught: pytest.ExceptionInfo[BrowserIDError]) -> list[str]:
    return list(getattr(caught.value, "__notes__", []))


def with_mailbox(imapd: Imapd) -> None:
    with imaplib.IMAP4(HOST, imapd.port, 20) as connection:
        imaplib_login(connection, imapd.site.client("imap", imapd.site.realm.person(ADMIN)))
        assert connection.create("user/alice")[0] == "OK"


class TestSmtp:
    @pytest.fixture
    def site(self, new_site: Callable[[str], Site]) -> Site:
        return new_site("postfix")

    @pytest.fixture
    def tls(self, site: Site) -> Tls:
        return make_tls(site)

    @pytest.fixture
    def postfix(self, site: Site, tls: Tls, syslog: Syslog) -> Iterator[Postfix]:
        certificate, key = tls.files
        settings = {
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": str(certificate),
            "smtpd_tls_key_file": str(key),
        }
        with Postfix(site, Path("/nonexistent"), settings).running() as postfix:
            yield postfix

    @pytest.mark.parametrize("key_type", ["ES256", "RS256"])
    def test_smtplib(self, postfix: Postfix, tls: Tls, key_type: str) -> None:
        person = postfix.site.realm.person(key_type=key_type)  # type: ignore[arg-type]
        client = postfix.site.client("smtp", person)
        with smtplib.SMTP(HOST, postfix.port, timeout=20) as connection:
            connection.starttls(context=tls.context())
            assert smtplib_login(connection, client).identity == ALICE
            assert connection.mail(ALICE)[0] == 250
            assert connection.rcpt(f"bob@{DOMAIN}")[0] == 250

    def test_smtplib_by_ticket(self, postfix: Postfix) -> None:
        client = postfix.site.client("smtp")
        for used in (False, True):
            with smtplib.SMTP(HOST, postfix.port, timeout=20) as connection:
                assert smtplib_login(connection, client).ticket_used is used

    def test_smtplib_is_refused(self, postfix: Postfix) -> None:
        elsewhere = postfix.site.client("smtp", host="mx1.example.org")
        with smtplib.SMTP(HOST, postfix.port, timeout=20) as connection:
            with refused(Code.BAD_AUDIENCE, kind=PeerRefusedError) as caught:
                smtplib_login(connection, elsewhere)
            assert any("535" in note for note in notes(caught))
            assert connection.noop()[0] == 250

    def test_aiosmtplib(self, postfix: Postfix, tls: Tls) -> None:
        client = postfix.site.client("smtp")

        async def log_in() -> Result:
            connection = aiosmtplib.SMTP(
                hostname=HOST, port=postfix.port, start_tls=True, tls_context=tls.context()
            )
            async with connection:
                result = await aiosmtplib_login(connection, client)
                assert (await connection.mail(ALICE)).code == 250
                return result

        assert asyncio.run(log_in()).identity == ALICE

    def test_aiosmtplib_is_refused(self, postfix: Postfix) -> None:
        elsewhere = postfix.site.client("smtp", host="mx1.example.org")

        async def log_in() -> None:
            connection = aiosmtplib.SMTP(hostname=HOST, port=postfix.port, start_tls=False)
            async with connection:
                await aiosmtplib_login(connection, elsewhere)

        with refused(Code.BAD_AUDIENCE, kind=PeerRefusedError):
            asyncio.run(log_in())


class TestLdap:
    @pytest.fixture
    def tls(self, site: Site) -> Tls:
        return make_tls(site)

    @pytest.fixture
    def slapd(self, site: Site, tls: Tls) -> Iterator[Slapd]:
        with Slapd(site, tls.files).running() as slapd:
            yield slapd

    @pytest.mark.parametrize("strategy", ["SYNC", "SAFE_SYNC", "ASYNC"])
    def test_ldap3(
        self, slapd: Slapd, tls: Tls, strategy: Literal["SYNC", "SAFE_SYNC", "ASYNC"]
    ) -> None:
        ca_file = slapd.folder / "ca.pem"
        tls.authority.cert_pem.write_to_path(str(ca_file))
        settings = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(ca_file))
        server = ldap3.Server(HOST, slapd.port, tls=settings)
        connection = ldap3.Connection(server, client_strategy=strategy)
        connection.open()
        connection.start_tls()
        assert ldap3_login(connection, slapd.site.client("ldap")).identity == ALICE
        assert connection.bound
        assert f"uid=alice,ou=people,{Slapd.BASE}" in str(connection.extend.standard.who_am_i())

    @pytest.mark.parametrize("raising", [False, True])
    def test_ldap3_is_refused(self, slapd: Slapd, raising: bool) -> None:
        elsewhere = slapd.site.client("ldap", host="mx1.example.org")
        server = ldap3.Server(HOST, slapd.port)
        connection = ldap3.Connection(server, raise_exceptions=raising)
        with refused(Code.BAD_AUDIENCE, kind=PeerRefusedError) as caught:
            ldap3_login(connection, elsewhere)
        assert any("invalidCredentials" in note for note in notes(caught))
        assert not connection.bound
