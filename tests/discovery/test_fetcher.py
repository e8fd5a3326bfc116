"""Fetching support documents: what is asked, what is believed, and what is not waited for."""

from __future__ import annotations

import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from browserid_sasl.config import AuthorityOverride, DiscoveryConfig
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.discovery.dialing import Deadline, Dialer
from browserid_sasl.discovery.lifetime import lifetime
from browserid_sasl.errors import Code, DiscoveryError, NoProviderError
from tests.support.https import Respond, ScriptedServer, answer, scripted_server, write_ca
from tests.support.network import DOMAIN, PUBLIC, Network, fetcher
from tests.support.patience import PATIENCE

HOUR_MS = 3_600_000


@contextmanager
def provider(
    certificate: trustme.LeafCert | None, respond: Respond, addresses: Sequence[str] = (PUBLIC,)
) -> Iterator[tuple[ScriptedServer, Network]]:
    with scripted_server(certificate, respond) as server:
        yield server, Network(server.port, {DOMAIN: addresses})


def refusal(
    ca_file: Path | None,
    certificate: trustme.LeafCert | None,
    respond: Respond,
    *,
    timeout_ms: int = 5_000,
    max_size: int = 65_536,
) -> DiscoveryError:
    with (
        provider(certificate, respond) as (_, network),
        pytest.raises(DiscoveryError) as raised,
    ):
        limited = fetcher(ca_file, network, timeout_ms=timeout_ms, max_size=max_size)
        limited.fetch(DOMAIN, DOMAIN)
    assert raised.value.code is Code.HTTP_ERROR
    return raised.value


class TestRequest:
    def test_asks_the_well_known_place_for_the_principals_domain(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        with provider(certificate, answer(b'{"disabled":true}')) as (server, network):
            fetched = fetcher(ca_file, network).fetch(DOMAIN, "other.example")
        assert fetched.body == b'{"disabled":true}'
        assert fetched.lifetime == HOUR_MS
        [request] = server.requests
        lines = request.decode().split("\r\n")
        assert lines[0] == "GET /.well-known/browserid?domain=other.example HTTP/1.1"
        assert f"Host: {DOMAIN}" in lines
        assert "Accept-Encoding: identity" in lines
        assert not any(line.startswith(("Cookie", "Authorization")) for line in lines)

    def test_goes_to_port_443_with_the_domain_as_server_name(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        with provider(certificate, answer()) as (server, network):
            fetcher(ca_file, network).fetch(DOMAIN, DOMAIN)
        assert network.dialled == [(PUBLIC, 443)]
        assert server.server_names == [DOMAIN]

    def test_it_speaks_http_1_1_and_says_so(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        spoken = []

        def respond(connection: ssl.SSLSocket) -> None:
            spoken.append(connection.selected_alpn_protocol())
            answer()(connection)

        with provider(certificate, respond) as (_, network):
            fetcher(ca_file, network).fetch(DOMAIN, DOMAIN)
        assert spoken == ["http/1.1"]

    def test_the_environment_says_nothing_about_proxies_passwords_and_trust(
        self,
        ca_file: Path,
        certificate: trustme.LeafCert,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text(f"machine {DOMAIN} login somebody password secret\n")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
        monkeypatch.setenv("CURL_CA_BUNDLE", str(tmp_path / "missing.pem"))
        with provider(certificate, answer()) as (server, network):
            fetcher(ca_file, network).fetch(DOMAIN, DOMAIN)
        assert b"Authorization" not in server.requests[0]

    @pytest.mark.parametrize(
        "domain",
        [
            "",
            "localhost",
            "idp.localhost",
            "intranet",
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x8.0x8.0x8.0x8",
            "010.8.8.8",
            "8.8.8.0x8",
            "[::1]",
            "example.test:8443",
            "user@example.test",
            "example.test/path",
            "example.test.",
            "-example.test",
            "exa mple.test",
            "exämple.test",
            "a" * 64 + ".test",
            "a." * 130 + "test",
        ],
    )
    def test_only_public_domain_names_are_looked_up(self, domain: str) -> None:
        network = Network(9, {})
        with pytest.raises(DiscoveryError, match="is not a public domain name"):
            fetcher(None, network).fetch(domain, DOMAIN)
        assert network.asked == []

    def test_an_international_domain_is_looked_up_by_its_a_labels(self) -> None:
        network = Network(9, {})
        with pytest.raises(DiscoveryError, match="cannot be resolved"):
            fetcher(None, network).fetch("xn--bcher-kva.example", DOMAIN)
        assert network.asked == ["xn--bcher-kva.example"]


class TestAnswer:
    @pytest.mark.parametrize("status", ["204 No Content", "404 Not Found", "500 Oops", "401 No"])
    def test_only_status_200_is_a_document(
        self, ca_file: Path, certificate: trustme.LeafCert, status: str
    ) -> None:
        error = refusal(ca_file, certificate, answer(b"", status=status, content_type=""))
        assert f"status {status[:3]}" in error.message
        assert DOMAIN in error.remedy

    @pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
    def test_redirects_are_not_followed(
        self, ca_file: Path, certificate: trustme.LeafCert, status: str
    ) -> None:
        target = answer(b"", status=status, headers={"Location": f"https://{DOMAIN}/elsewhere"})
        with provider(certificate, target) as (server, network):
            with pytest.raises(DiscoveryError, match=f"status {status[:3]}"):
                fetcher(ca_file, network).fetch(DOMAIN, DOMAIN)
        assert len(server.requests) == 1

    @pytest.mark.parametrize(
        "content_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"]
    )
    def test_the_type_may_have_parameters_and_any_case(
        self, ca_file: Path, certificate: trustme.LeafCert, content_type: str
    ) -> None:
        with provider(certificate, answer(content_type=content_type)) as (_, network):
            assert fetcher(ca_file, network).fetch(DOMAIN, DOMAIN).body == b"{}"

    @pytest.mark.parametrize("content_type", ["", "text/html", "text/json", "application/jsonp"])
    def test_another_type_is_refused(
        self, ca_file: Path, certificate: trustme.LeafCert, content_type: str
    ) -> None:
        error = refusal(ca_file, certificate, answer(content_type=content_type))
        assert "instead of application/json" in error.message

    def test_a_compressed_answer_is_refused(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        compressed = answer(b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
        assert "uncompressed" in refusal(ca_file, certificate, compressed).remedy

    def test_a_document_of_the_largest_size_is_read(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        with provider(certificate, answer(b" " * 1024)) as (_, network):
            fetched = fetcher(ca_file, network, max_size=1024).fetch(DOMAIN, DOMAIN)
        assert len(fetched.body) == 1024

    def test_a_larger_document_is_refused(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        error = refusal(ca_file, certificate, answer(b" " * 1025), max_size=1024)
        assert "more than the 1024 octets" in error.message

    @pytest.mark.parametrize("head", ["200 OK", "302 Found\r\nLocation: /", "404 Not Found"])
    def test_an_endless_answer_is_read_no_further_than_the_limit(
        self, ca_file: Path, certificate: trustme.LeafCert, head: str
    ) -> None:
        sent = []

        def flood(connection: ssl.SSLSocket) -> None:
            connection.sendall(
                f"HTTP/1.1 {head}\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n".encode()
            )
            for _ in range(10_000):
                connection.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")
                sent.append(4096)

        assert "sent more than" in refusal(ca_file, certificate, flood, max_size=4096).message
        assert len(sent) < 1_000

    def test_a_truncated_document_is_refused(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        octets = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{}"
        )
        error = refusal(ca_file, certificate, lambda connection: connection.sendall(octets))
        assert "broke off" in error.message

    @pytest.mark.parametrize("octets", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
    def test_something_that_is_not_http_is_refused(
        self, ca_file: Path, certificate: trustme.LeafCert, octets: bytes
    ) -> None:
        error = refusal(ca_file, certificate, lambda connection: connection.sendall(octets))
        assert "broke off" in error.message or "status" in error.message or "instead" in str(error)


class TestTime:
    """However a server wastes time, it gets no more of it than `timeout`."""

    TIMEOUT_MS = 600

    def check(self, ca_file: Path, certificate: trustme.LeafCert, respond: Respond) -> None:
        error = refusal(ca_file, certificate, respond, timeout_ms=self.TIMEOUT_MS)
        assert "did not answer within 0.6 s" in error.message

    def test_silence(self, ca_file: Path, certificate: trustme.LeafCert) -> None:
        self.check(ca_file, certificate, silence)

    def test_headers_that_drip(self, ca_file: Path, certificate: trustme.LeafCert) -> None:
        self.check(ca_file, certificate, _drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000))

    def test_a_body_that_drips(self, ca_file: Path, certificate: trustme.LeafCert) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n"

        def respond(connection: ssl.SSLSocket) -> None:
            connection.sendall(head)
            _drip(b" " * 500)(connection)

        self.check(ca_file, certificate, respond)

    def test_endless_interim_answers(self, ca_file: Path, certificate: trustme.LeafCert) -> None:
        self.check(ca_file, certificate, _drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, size=25))

    def test_a_handshake_that_never_begins(self, ca_file: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            network = Network(listening.getsockname()[1], {DOMAIN: [PUBLIC]})
            with pytest.raises(DiscoveryError, match=r"did not answer within 0\.6 s"):
                fetcher(ca_file, network, timeout_ms=self.TIMEOUT_MS).fetch(DOMAIN, DOMAIN)

    def test_name_servers_that_do_not_answer(self) -> None:
        released = threading.Event()
        dialer = Dialer(lambda _host: [PUBLIC] if released.wait(PATIENCE) else [])
        with pytest.raises(DiscoveryError, match="cannot be resolved .*do not answer"):
            dialer.dial(DOMAIN, 443, Deadline.after(0.2), private=False)
        released.set()

    def test_a_connection_that_comes_too_late_is_closed(self, ca_file: Path) -> None:
        opened = []

        class Late(Network):
            def connect(self, address: tuple[str, int], timeout: float) -> socket.socket:
                time.sleep(0.4)
                opened.append(super().connect(address, timeout))
                return opened[-1]

        with socket.create_server(("127.0.0.1", 0)) as listening:
            network = Late(listening.getsockname()[1], {DOMAIN: [PUBLIC]})
            with pytest.raises(DiscoveryError, match="did not answer within"):
                fetcher(ca_file, network, timeout_ms=200).fetch(DOMAIN, DOMAIN)
        assert [connection.fileno() for connection in opened] == [-1]

    def test_an_address_that_does_not_answer_leaves_time_for_the_next(self) -> None:
        given = []

        def connect(address: tuple[str, int], timeout: float) -> socket.socket:
            given.append((address[0], timeout))
            if len(given) == 1:
                raise TimeoutError("timed out")
            return socket.socket()

        dialer = Dialer(lambda _host: ["2606:4700::1111", PUBLIC], connect)
        dialer.dial(DOMAIN, 443, Deadline.after(100), private=False).close()
        assert [address for address, _ in given] == ["2606:4700::1111", PUBLIC]
        # Half of the time for the one, what is left of it for the other.
        assert given[0][1] == pytest.approx(50, abs=20)
        assert given[1][1] == pytest.approx(100, abs=20)


class TestWhetherThereIsOne:
    """What says that a domain has no provider, and what says nothing of it."""

    @pytest.mark.parametrize(
        "status", ["204 No Content", "301 Moved", "401 No", "403 Forbidden", "404 No", "410 Gone"]
    )
    def test_these_statuses_say_that_there_is_none(
        self, ca_file: Path, certificate: trustme.LeafCert, status: str
    ) -> None:
        nothing = answer(b"", status=status, content_type="")
        assert isinstance(refusal(ca_file, certificate, nothing), NoProviderError)

    @pytest.mark.parametrize("status", ["408 Late", "429 Too Many", "500 Oops", "503 Busy"])
    def test_these_say_nothing_of_it(
        self, ca_file: Path, certificate: trustme.LeafCert, status: str
    ) -> None:
        trouble = answer(b"", status=status, content_type="")
        assert not isinstance(refusal(ca_file, certificate, trouble), NoProviderError)

    @pytest.mark.parametrize(
        ("content_type", "none"), [("text/html; charset=utf-8", True), ("text/json", False)]
    )
    def test_a_page_for_people_is_what_sites_have_for_everything(
        self, ca_file: Path, certificate: trustme.LeafCert, content_type: str, none: bool
    ) -> None:
        error = refusal(ca_file, certificate, answer(content_type=content_type))
        assert isinstance(error, NoProviderError) is none

    def test_a_host_that_has_another_name_speaks_for_another(
        self, ca_file: Path, authority: trustme.CA
    ) -> None:
        error = refusal(ca_file, authority.issue_cert("other.test"), answer())
        assert isinstance(error, NoProviderError)

    def test_one_whose_certificate_has_expired_may_speak_again(
        self, ca_file: Path, authority: trustme.CA
    ) -> None:
        then = datetime.now(UTC) - timedelta(days=1)
        expired = authority.issue_cert(DOMAIN, not_before=then - timedelta(days=1), not_after=then)
        assert not isinstance(refusal(ca_file, expired, answer()), NoProviderError)

    @pytest.mark.parametrize(
        ("number", "none"),
        [(socket.EAI_NONAME, True), (socket.EAI_NODATA, True), (socket.EAI_AGAIN, False)],
    )
    def test_a_name_that_does_not_exist(self, number: int, none: bool) -> None:
        def resolve(_host: str) -> list[str]:
            raise socket.gaierror(number, "as said")

        with pytest.raises(DiscoveryError) as raised:
            Dialer(resolve).dial(DOMAIN, 443, Deadline.after(5), private=False)
        assert isinstance(raised.value, NoProviderError) is none

    @pytest.mark.parametrize(
        ("other", "none"), [(ConnectionRefusedError(), True), (TimeoutError(), False)]
    )
    def test_hosts_that_refuse_connections_all_of_them(self, other: OSError, none: bool) -> None:
        outcomes = iter([ConnectionRefusedError(), other])

        def connect(_address: tuple[str, int], _timeout: float) -> socket.socket:
            raise next(outcomes)

        dialer = Dialer(lambda _host: [PUBLIC, "2606:4700::1111"], connect)
        with pytest.raises(DiscoveryError) as raised:
            dialer.dial(DOMAIN, 443, Deadline.after(5), private=False)
        assert isinstance(raised.value, NoProviderError) is none

    def test_a_host_that_may_not_be_asked(self) -> None:
        with pytest.raises(DiscoveryError) as raised:
            Dialer(lambda _host: ["10.0.0.1"]).dial(DOMAIN, 443, Deadline.after(5), private=False)
        assert not isinstance(raised.value, NoProviderError)


def silence(connection: ssl.SSLSocket) -> None:
    """Wait until the client has had enough of it."""
    connection.settimeout(PATIENCE)
    connection.recv(1)


def _drip(octets: bytes, size: int = 1) -> Respond:
    def respond(connection: ssl.SSLSocket) -> None:
        for start in range(0, len(octets), size):
            connection.sendall(octets[start : start + size])
            time.sleep(0.05)

    return respond


class TestTls:
    def test_a_certificate_for_another_name_is_refused(
        self, ca_file: Path, authority: trustme.CA
    ) -> None:
        error = refusal(ca_file, authority.issue_cert("other.test"), answer())
        assert "cannot prove who it is" in error.message
        assert "mismatch" in error.message

    def test_an_expired_certificate_is_refused(self, ca_file: Path, authority: trustme.CA) -> None:
        yesterday = datetime.now(UTC) - timedelta(days=1)
        expired = authority.issue_cert(
            DOMAIN, not_before=yesterday - timedelta(days=1), not_after=yesterday
        )
        assert "expired" in refusal(ca_file, expired, answer()).message

    def test_an_unknown_authority_is_refused(self, ca_file: Path) -> None:
        stranger = trustme.CA().issue_cert(DOMAIN)
        assert "cannot prove who it is" in refusal(ca_file, stranger, answer()).message

    def test_configured_anchors_replace_the_systems(self, certificate: trustme.LeafCert) -> None:
        assert "cannot prove who it is" in refusal(None, certificate, answer()).message

    def test_the_common_name_is_not_consulted(self, tmp_path: Path) -> None:
        certificate, anchors = _certificate_with_common_name_only(tmp_path)
        assert "cannot prove who it is" in refusal(anchors, certificate, answer()).message

    def test_a_server_without_tls_is_refused(self, ca_file: Path) -> None:
        assert "cannot prove who it is" in refusal(ca_file, None, answer()).message

    @pytest.mark.parametrize("content", [None, b"", b"not PEM"])
    def test_unreadable_anchors_are_an_error(self, tmp_path: Path, content: bytes | None) -> None:
        anchors = tmp_path / "ca.pem"
        if content is not None:
            anchors.write_bytes(content)
        with pytest.raises(DiscoveryError, match="trust anchors"):
            fetcher(anchors, Network(9, {DOMAIN: [PUBLIC]})).fetch(DOMAIN, DOMAIN)


def _certificate_with_common_name_only(folder: Path) -> tuple[trustme.LeafCert, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DOMAIN)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "cn-only.pem"
    path.write_bytes(public)
    return trustme.LeafCert(private, public, []), path


class TestAddresses:
    @pytest.mark.parametrize(
        "addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.1"], ["fe80::1%eth0"], ["::ffff:127.0.0.1"]]
    )
    def test_a_name_with_one_address_that_is_not_public_is_not_connected_to(
        self, ca_file: Path, addresses: list[str]
    ) -> None:
        network = Network(9, {DOMAIN: addresses})
        with pytest.raises(DiscoveryError, match="not a public one") as raised:
            fetcher(ca_file, network).fetch(DOMAIN, DOMAIN)
        assert "private_hosts" in raised.value.remedy
        assert network.dialled == []

    def test_a_zone_is_part_of_an_address(self) -> None:
        dialled = []

        def connect(address: tuple[str, int], timeout: float) -> socket.socket:
            dialled.append(address)
            return socket.socket()

        dialer = Dialer(lambda _host: ["fe80::1%lo"], connect)
        dialer.dial(DOMAIN, 443, Deadline.after(2), private=True).close()
        assert dialled == [("fe80::1%lo", 443)]

    def test_unless_it_is_a_private_host(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        with provider(certificate, answer(), ["127.0.0.1"]) as (_, network):
            fetcher(ca_file, network, private_hosts=(DOMAIN,)).fetch(DOMAIN, DOMAIN)
        assert network.dialled == [("127.0.0.1", 443)]

    def test_a_name_is_resolved_once_and_that_answer_is_connected_to(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        answers = iter([[PUBLIC], ["127.0.0.1"]])
        with scripted_server(certificate, answer()) as server:
            network = Network(server.port, {})
            dialer = Dialer(lambda _host: next(answers), network.connect)
            HttpsFetcher(DiscoveryConfig(ca_file=ca_file), {}, dialer=dialer).fetch(DOMAIN, DOMAIN)
        assert network.dialled == [(PUBLIC, 443)]
        assert next(answers) == ["127.0.0.1"]

    def test_the_systems_resolver_is_the_default(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            Dialer().dial("localhost", port, Deadline.after(2), private=True).close()

    def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        dialer = Dialer(lambda _host: ["127.0.0.1"])
        with pytest.raises(DiscoveryError, match="Connection refused"):
            dialer.dial(DOMAIN, port, Deadline.after(2), private=True)


class TestOverrides:
    def test_a_url_replaces_the_domains_own_place(
        self, ca_file: Path, authority: trustme.CA
    ) -> None:
        with scripted_server(authority.issue_cert("idp.internal"), answer()) as server:
            network = Network(server.port, {"idp.internal": ["127.0.0.1"]})
            override = AuthorityOverride(url=f"https://idp.internal:{server.port}", ca_file=ca_file)
            fetcher(None, network, authorities={DOMAIN: override}).fetch(DOMAIN, DOMAIN)
        assert network.dialled == [("127.0.0.1", server.port)]
        assert f"Host: idp.internal:{server.port}".encode() in server.requests[0]

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
    def test_the_url_may_be_an_address_and_tls_is_still_verified(
        self, ca_file: Path, authority: trustme.CA, host: str
    ) -> None:
        with scripted_server(authority.issue_cert("127.0.0.1", "localhost"), answer()) as server:
            override = AuthorityOverride(url=f"https://{host}:{server.port}")
            own = HttpsFetcher(DiscoveryConfig(ca_file=ca_file), {DOMAIN: override})
            assert own.fetch(DOMAIN, DOMAIN).body == b"{}"
            stranger = HttpsFetcher(DiscoveryConfig(), {DOMAIN: override})
            with pytest.raises(DiscoveryError, match="cannot prove who it is"):
                stranger.fetch(DOMAIN, DOMAIN)

    def test_a_pinned_document_is_read_and_nothing_is_asked(self, tmp_path: Path) -> None:
        pinned = tmp_path / "document.json"
        pinned.write_bytes(b'{"disabled":true}')
        network = Network(9, {})
        authorities = {DOMAIN: AuthorityOverride(keys_file=pinned)}
        fetched = fetcher(None, network, authorities=authorities).fetch(DOMAIN, DOMAIN)
        assert fetched.body == b'{"disabled":true}'
        assert network.asked == []

    def test_a_pinned_document_is_never_cached(self, tmp_path: Path) -> None:
        pinned = tmp_path / "document.json"
        pinned.write_bytes(b"{}")
        authorities = {DOMAIN: AuthorityOverride(keys_file=pinned)}
        own = fetcher(None, Network(9, {}), authorities=authorities)
        assert own.fetch(DOMAIN, DOMAIN).lifetime is None
        pinned.write_bytes(b'{"disabled":true}')
        assert own.fetch(DOMAIN, DOMAIN).body == b'{"disabled":true}'

    def test_a_pinned_document_that_is_missing_is_an_error(self, tmp_path: Path) -> None:
        authorities = {DOMAIN: AuthorityOverride(keys_file=tmp_path / "none.json")}
        with pytest.raises(DiscoveryError, match="No such file") as raised:
            fetcher(None, Network(9, {}), authorities=authorities).fetch(DOMAIN, DOMAIN)
        assert "keys_file" in raised.value.remedy


class TestPost:
    def test_sends_json_and_returns_the_answer_whatever_its_status(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        refused = answer(b'{"error":"no"}', status="401 Unauthorized")
        with provider(certificate, refused) as (server, network):
            reply = fetcher(ca_file, network).post(DOMAIN, "/certify", b'{"a":1}')
        assert (reply.status, reply.body) == (401, b'{"error":"no"}')
        [request] = server.requests
        assert request.startswith(b"POST /certify HTTP/1.1\r\n")
        assert b"Content-Type: application/json\r\n" in request
        assert request.endswith(b'\r\n\r\n{"a":1}')

    def test_what_is_posted_is_not_sent_on_by_a_redirect(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        away = answer(status="307 Temporary", headers={"Location": f"https://{DOMAIN}/more"})
        with provider(certificate, away) as (server, network):
            assert fetcher(ca_file, network).post(DOMAIN, "/certify", b"{}").status == 307
        assert len(server.requests) == 1

    def test_nothing_is_sent_to_a_server_that_does_not_prove_its_name(
        self, ca_file: Path, authority: trustme.CA
    ) -> None:
        with provider(authority.issue_cert("other.test"), answer()) as (server, network):
            with pytest.raises(DiscoveryError):
                fetcher(ca_file, network).post(DOMAIN, "/certify", b"a secret")
        assert server.requests == []

    def test_an_answer_that_is_not_json_is_refused(
        self, ca_file: Path, certificate: trustme.LeafCert
    ) -> None:
        page = answer(b"<html>", status="502 Bad Gateway", content_type="text/html")
        with provider(certificate, page) as (_, network):
            with pytest.raises(DiscoveryError, match="status 502"):
                fetcher(ca_file, network).post(DOMAIN, "/certify", b"{}")


class TestLifetime:
    DATE = "Sat, 21 Nov 2026 12:00:00 GMT"

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, 3600),
            ({"cache-control": "max-age=60"}, 60),
            ({"cache-control": "public, Max-Age=7200, must-revalidate"}, 7200),
            ({"cache-control": 'max-age="90"'}, 90),
            ({"cache-control": "max-age=60", "age": "50"}, 10),
            ({"cache-control": "max-age=60", "age": "70"}, 0),
            ({"cache-control": "max-age=60", "age": "x"}, 60),
            ({"cache-control": "max-age=999999999"}, 999_999_999),
            ({"cache-control": "max-age=-1"}, 0),
            ({"cache-control": "max-age=1e9"}, 0),
            ({"cache-control": "max-age=" + "9" * 5000}, 0),
            ({"cache-control": "no-store"}, 0),
            ({"cache-control": "max-age=60, no-cache"}, 0),
            ({"cache-control": "private"}, 3600),
            ({"expires": "Sat, 21 Nov 2026 12:10:00 GMT", "date": DATE}, 600),
            ({"expires": "Sat, 21 Nov 2026 12:10:00 -0000", "date": DATE}, 600),
            ({"expires": "Sat, 21 Nov 2026 11:00:00 GMT", "date": DATE}, 0),
            ({"expires": "0", "date": DATE}, 0),
            ({"expires": "Sat, 21 Nov 2026 12:10:00 GMT"}, 3600),
            ({"expires": "0", "date": DATE, "cache-control": "max-age=60"}, 60),
        ],
    )
    def test_lifetime(self, headers: dict[str, str], seconds: int) -> None:
        assert lifetime(headers) == seconds * 1000


class TestRevocationList:
    """The list of revoked keys, at the path that a support document names."""

    LIST = "application/jwt"

    def fetch(self, respond: Respond, max_size: int = 65_536) -> tuple[bytes, bytes]:
        """The request, and what came of it."""
        authority = trustme.CA()
        with provider(authority.issue_cert(DOMAIN), respond) as (server, network):
            with tempfile.TemporaryDirectory() as folder:
                ca_file = write_ca(authority, Path(folder))
                limited = fetcher(ca_file, network, max_size=max_size)
                octets = limited.fetch_list(DOMAIN, DOMAIN, "/revocations")
        [request] = server.requests
        return request, octets

    def test_is_asked_for_at_its_path_without_a_query(self) -> None:
        request, octets = self.fetch(answer(b"a.b.c", content_type=self.LIST))
        assert request.startswith(b"GET /revocations HTTP/1.1\r\n")
        assert octets == b"a.b.c"

    def test_may_be_larger_than_documents(self) -> None:
        body = b"x" * 200_000
        _, octets = self.fetch(answer(body, content_type=self.LIST), max_size=1_000)
        assert octets == body

    @pytest.mark.parametrize("status", ["404 Not Found", "302 Found", "304 Not Modified"])
    def test_is_there_or_it_is_not(self, status: str) -> None:
        headers = {"Location": f"https://{DOMAIN}/elsewhere"}
        with pytest.raises(DiscoveryError) as refused:
            self.fetch(answer(b"", status=status, content_type=self.LIST, headers=headers))
        assert refused.value.code is Code.HTTP_ERROR

    @pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
    def test_says_what_it_is(self, content_type: str) -> None:
        with pytest.raises(DiscoveryError) as refused:
            self.fetch(answer(b"a.b.c", content_type=content_type))
        assert refused.value.code is Code.HTTP_ERROR

    def test_is_not_read_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("browserid_sasl.discovery.fetcher.MAX_LIST", 1_000)
        with pytest.raises(DiscoveryError) as refused:
            self.fetch(answer(b"x" * 1_001, content_type=self.LIST))
        assert refused.value.code is Code.HTTP_ERROR
