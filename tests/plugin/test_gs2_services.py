"""Services and clients of Debian's with its GS2 plugin over mech_browserid.so, and none of ours."""

from __future__ import annotations

import imaplib
import re
import shutil
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme

from browserid_sasl.errors import PeerRefusedError
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.channel_binding import ChannelBinding, tls_server_end_point
from browserid_sasl.sasl.client import ClientMechanism
from tests.support.gss import GssSite, gss_site
from tests.support.guide import blocks_of
from tests.support.patience import PATIENCE, wait_until
from tests.support.sample_programs import ALICE, HOST, ROOT
from tests.support.services import (
    AES128,
    Imapd,
    Installation,
    Slapd,
    Syslog,
    folder_for_all,
    run,
)

ACCOUNT = "cyrus"
PAGE = ROOT / "docs" / "gss-api.md"


@contextmanager
def signed_in_site(installation: Installation, key: PrivateKey) -> Iterator[GssSite]:
    with folder_for_all() as folder, gss_site(installation, folder, key, ACCOUNT) as site:
        site.realm.sign_in()
        yield site


def imapd_by_gs2(site: GssSite, launcher: str = "") -> Imapd:
    """imapd as the page sets it up."""
    [block] = [each.text for each in blocks_of(PAGE) if each.file == "imapd"]
    settings = dict(line.split(": ") for line in block.splitlines())
    plugins = str(site.stock_plugins)
    return Imapd(site, tls=site.tls_files, options=settings, launcher=launcher, plugins=plugins)


@pytest.fixture(scope="module")
def imapd(installation: Installation, provider_key: PrivateKey, syslog: Syslog) -> Iterator[Imapd]:
    with (
        signed_in_site(installation, provider_key) as site,
        imapd_by_gs2(site).running() as imapd,
    ):
        yield imapd


def site_of(service: Imapd | Slapd) -> GssSite:
    assert isinstance(service.site, GssSite)
    return service.site


def imtest(imapd: Imapd, *arguments: str, plugins: str | Path = "") -> str:
    site = site_of(imapd)
    options = ("-p", str(imapd.port), "-a", ALICE, *arguments)
    path = str(plugins or site.stock_plugins)
    return site.run(
        Imapd.PROGRAMS / "imtest", *options, HOST, input=". logout\r\n", SASL_PATH=path
    ).stdout


def first_message(said: str) -> str:
    """What the client of imtest has sent first, in base64."""
    [message] = re.findall(rf"^C: A01 AUTHENTICATE {AES128} (\S+)", said, re.MULTILINE)
    return str(message)


def how(imapd: Imapd) -> list[str]:
    """What each login was by, as the acceptor's log has it."""
    return re.findall(r"login succeeded: .* by=(\w+)", imapd.site.output.read_text())


@contextmanager
def starttls(
    imapd: Imapd, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
) -> Iterator[imaplib.IMAP4]:
    context = ssl.create_default_context(cafile=str(imapd.site.folder / "ours.pem"))
    context.minimum_version = context.maximum_version = version
    connection = imaplib.IMAP4(HOST, imapd.port, PATIENCE)
    try:
        connection.starttls(context)
        yield connection
    finally:
        connection.shutdown()


def tls_unique(connection: imaplib.IMAP4) -> ChannelBinding:
    data = connection.socket().get_channel_binding("tls-unique")  # type: ignore[attr-defined]
    return ChannelBinding("tls-unique", data)


def assert_refused(
    imapd: Imapd, connection: imaplib.IMAP4, mechanism: ClientMechanism, code: str
) -> None:
    """The login fails, and the acceptor has refused it for this reason."""
    refused = re.compile(rf"login refused: .* code={code} ")
    before = len(refused.findall(imapd.site.output.read_text()))
    with pytest.raises((imaplib.IMAP4.error, PeerRefusedError)):
        connection.authenticate(AES128, mechanism.step)
    wait_until(lambda: len(refused.findall(imapd.site.output.read_text())) > before, code)


class TestImapd:
    def test_imtest_logs_in_afresh_and_by_ticket(self, imapd: Imapd, syslog: Syslog) -> None:
        site_of(imapd).forget_tickets()
        before, mark = len(how(imapd)), syslog.mark()
        for _ in ("afresh", "by ticket"):
            said = imtest(imapd, "-m", AES128)
            assert "Authenticated." in said, said
            # No TLS, no binding: the header is "n,,".
            assert first_message(said).startswith("biwsY")
        wait_until(lambda: how(imapd)[before:] == ["certificate", "ticket"], "the acceptor's log")
        syslog.wait_for(rf"login: localhost \[127\.0\.0\.1\] alice {AES128} User logged in", mark)

    def test_imtest_binds_to_the_channel_where_it_chooses_by_the_list(self, imapd: Imapd) -> None:
        """libsasl2 binds where it finds -PLUS in the server's list, not to a name it is given."""
        site_of(imapd).forget_tickets()
        for _ in ("afresh", "by ticket"):
            said = imtest(imapd, "-t", "")
            assert "Authenticated." in said, said
            assert f"AUTH={AES128}-PLUS" in said
            assert first_message(said).startswith("cD10bHMtdW5pcXVlLC")  # p=tls-unique,
        said = imtest(imapd, "-t", "", "-m", AES128)
        assert "Authenticated." in said
        assert first_message(said).startswith("biwsY")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_a_python_client_binds_to_tls_unique(
        self, imapd: Imapd, version: ssl.TLSVersion
    ) -> None:
        with starttls(imapd, version) as connection:
            assert f"AUTH={AES128}-PLUS".encode() in connection.capability()[1][0]
            mechanism = imapd.site.mechanism("imap", binding=tls_unique(connection))
            connection.authenticate(AES128, mechanism.step)
            assert connection.noop()[0] == "OK"

    def test_the_data_of_another_channel_is_refused(self, imapd: Imapd) -> None:
        with starttls(imapd) as connection:
            other = ChannelBinding("tls-unique", b"another channel")
            mechanism = imapd.site.mechanism("imap", binding=other)
            assert_refused(imapd, connection, mechanism, "channel-bindings-mismatch")

    def test_so_is_another_type_of_binding(self, imapd: Imapd) -> None:
        with starttls(imapd) as connection:
            certificate = connection.socket().getpeercert(binary_form=True)  # type: ignore[attr-defined]
            mechanism = imapd.site.mechanism("imap", binding=tls_server_end_point(certificate))
            assert_refused(imapd, connection, mechanism, "channel-bindings-mismatch")

    def test_and_a_binding_where_there_is_no_channel(self, imapd: Imapd) -> None:
        connection = imaplib.IMAP4(HOST, imapd.port, PATIENCE)
        mechanism = imapd.site.mechanism("imap", binding=ChannelBinding("tls-unique", b"none"))
        assert_refused(imapd, connection, mechanism, "channel-bindings-mismatch")
        connection.shutdown()

    def test_so_is_a_client_that_somebody_has_not_told_of_it(
        self, imapd: Imapd, syslog: Syslog
    ) -> None:
        with starttls(imapd) as connection:
            client = imapd.site.client("imap")
            mechanism = client.start([AES128], channel_binding=tls_unique(connection))
            mark = syslog.mark()
            with pytest.raises(imaplib.IMAP4.error):
                connection.authenticate(AES128, mechanism.step)
        syslog.wait_for("client incorrectly assumed server had no channel binding", mark)

    def test_a_client_with_our_plugin(self, imapd: Imapd) -> None:
        site_of(imapd).forget_tickets()
        for _ in ("afresh", "by ticket"):
            assert "Authenticated." in imtest(
                imapd, "-t", "", plugins=site_of(imapd).installation.plugins
            )

    def test_a_stranger_is_refused(self, imapd: Imapd) -> None:
        site = site_of(imapd)
        eve = site.realm.person("eve@stranger.test")
        with starttls(imapd) as connection:
            mechanism = site.mechanism("imap", person=eve)
            assert_refused(imapd, connection, mechanism, "no-local-mapping")

    def test_plain_makes_room_in_the_list_of_mechanisms(
        self, installation: Installation, provider_key: PrivateKey
    ) -> None:
        """libsasl2 2.1.28 would write past it: GS2 has no way to leave -PLUS out."""
        with signed_in_site(installation, provider_key) as site:
            logs = site.folder / "valgrind"
            site.give(logs)
            launcher = f"/usr/bin/valgrind -q --log-file={logs}/%p"
            with imapd_by_gs2(site, launcher).running() as imapd:
                with starttls(imapd) as connection:
                    offered = connection.capability()[1][0].decode().split()
                imapd.wait_until_idle()
            said = [file.read_text() for file in logs.iterdir()]
        assert said
        assert {f"AUTH={AES128}", f"AUTH={AES128}-PLUS"} <= set(offered)
        assert re.findall(r"Invalid (?:read|write|free)|listmech", "".join(said)) == [], said


@pytest.fixture(scope="module")
def ldap_site(installation: Installation, provider_key: PrivateKey) -> Iterator[GssSite]:
    with folder_for_all() as folder, gss_site(installation, folder, provider_key) as site:
        site.realm.sign_in()
        # GnuTLS, which OpenLDAP has, is particular about certificates.
        authority = trustme.CA()
        issued = authority.issue_cert(
            HOST, socket.gethostname(), socket.getfqdn(), common_name=HOST
        )
        authority.cert_pem.write_to_path(str(folder / "ldap-authority.pem"))
        issued.cert_chain_pems[0].write_to_path(str(folder / "ldap.pem"))
        issued.private_key_pem.write_to_path(str(folder / "ldap.key"))
        yield site


@contextmanager
def slapd_by_gs2(site: GssSite, binding: str) -> Iterator[Slapd]:
    files = site.folder / "ldap.pem", site.folder / "ldap.key"
    further = f"sasl-cbinding {binding}"
    with Slapd(site, files, plugins=str(site.stock_plugins), further=further).running() as slapd:
        yield slapd
    shutil.rmtree(slapd.folder)


class TestSlapd:
    """With OpenLDAP's clients, whose own setting says to what they bind."""

    WHO = f"dn:uid=alice,ou=people,{Slapd.BASE}"

    def whoami(self, slapd: Slapd, *options: str, binding: str = "none") -> str:
        variables = {
            "SASL_PATH": str(site_of(slapd).stock_plugins),
            "LDAPTLS_CACERT": str(slapd.site.folder / "ldap-authority.pem"),
            "LDAPSASL_CBINDING": binding,
        }
        command = ("ldapwhoami", "-N", "-Q", "-H", slapd.url, "-U", ALICE, *options)
        return run(command, env=slapd.site.variables | variables).stdout

    def test_ldapwhoami_logs_in_afresh_and_by_ticket(self, ldap_site: GssSite) -> None:
        with slapd_by_gs2(ldap_site, "none") as slapd:
            for _ in ("afresh", "by ticket"):
                assert self.WHO in self.whoami(slapd, "-Y", AES128)

    # With a list to choose from libldap binds; to a name that it is given it does not.
    BINDING = ("-ZZ", "-Y", f"{AES128} {AES128}-PLUS")

    def test_binds_to_the_servers_certificate_where_both_are_told_to(
        self, ldap_site: GssSite
    ) -> None:
        with slapd_by_gs2(ldap_site, "tls-endpoint") as slapd:
            assert self.WHO in self.whoami(slapd, *self.BINDING, binding="tls-endpoint")

    def test_a_binding_that_the_server_has_not_is_refused(self, ldap_site: GssSite) -> None:
        with slapd_by_gs2(ldap_site, "tls-unique") as slapd:
            said = self.whoami(slapd, *self.BINDING, binding="tls-endpoint")
        assert "channel binding failure" in said
