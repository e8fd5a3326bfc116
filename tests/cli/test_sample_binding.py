"""Channel binding of the sample programs: Cyrus's stand-ins, and real data under TLS."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from browserid_sasl.cli.sample.binding import STAND_INS
from browserid_sasl.cli.sample.framing import Reply
from browserid_sasl.sasl.channel_binding import ChannelBinding
from tests.support.patience import PATIENCE
from tests.support.sample_programs import HOST, Realm, RunningServer, Wire

FAILED = 255
AES128 = "BROWSERID-AES128"
NONE = "channel binding: none\n"
UNIQUE = "channel binding: tls-unique\n"
END_POINT = "channel binding: tls-server-end-point\n"
SAMPLE = "channel binding: sasl-sample\n"

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="module", params=["-c", "-d"])
def able_server(request: pytest.FixtureRequest, realm: Realm) -> Iterator[RunningServer]:
    """A server that has stand-in data."""
    with realm.server(request.param) as server:
        yield server


@pytest.fixture(scope="module", params=["-C", "-D"])
def strict_server(request: pytest.FixtureRequest, realm: Realm) -> Iterator[RunningServer]:
    """A server that has stand-in data and insists on their use."""
    with realm.server(request.param) as server:
        yield server


class TestStandIns:
    @pytest.mark.parametrize(
        ("arguments", "outcome"),
        [
            ([], NONE),
            (["-c"], UNIQUE),
            (["-D"], END_POINT),
            (["-c", "-m", AES128], NONE),
            (["-C", "-m", AES128], UNIQUE),
            (["-d", "-m", f"{AES128}-PLUS"], END_POINT),
            (["--cb-type", "sasl-sample"], SAMPLE),
        ],
    )
    def test_with_a_server_that_has_them(
        self, realm: Realm, able_server: RunningServer, arguments: list[str], outcome: str
    ) -> None:
        client = realm.run_client("--verbose", *arguments, port=able_server.port)
        assert client.returncode == 0, client.stderr
        assert outcome in client.stdout

    def test_with_a_server_that_insists(self, realm: Realm, strict_server: RunningServer) -> None:
        client = realm.run_client("--verbose", "-c", port=strict_server.port)
        assert client.returncode == 0, client.stderr
        assert UNIQUE in client.stdout

    @pytest.mark.parametrize("arguments", [[], ["-c", "-m", AES128]])
    def test_a_server_that_insists_refuses_a_client_without(
        self, realm: Realm, strict_server: RunningServer, arguments: list[str]
    ) -> None:
        client = realm.run_client(*arguments, port=strict_server.port)
        assert client.returncode == FAILED
        assert "performing SASL negotiation: channel binding failure\n" in client.stderr

    def test_a_server_without_is_good_enough_where_it_is_optional(
        self, realm: Realm, server: RunningServer
    ) -> None:
        client = realm.run_client("--verbose", "-c", port=server.port)
        assert client.returncode == 0, client.stderr
        assert "GS2 header: y,,\n" in client.stdout
        assert NONE in client.stdout

    def test_a_server_without_is_not_good_enough_where_it_is_critical(
        self, realm: Realm, server: RunningServer
    ) -> None:
        client = realm.run_client("-C", port=server.port)
        assert client.returncode == FAILED
        assert "starting SASL negotiation: no mechanism available\n" in client.stderr

    def test_a_server_without_refuses_a_client_that_binds(
        self, realm: Realm, server: RunningServer
    ) -> None:
        client = realm.run_client("-C", "-m", AES128, port=server.port)
        assert client.returncode == FAILED
        assert "performing SASL negotiation: channel binding failure\n" in client.stderr

    @pytest.mark.parametrize("kind", sorted(STAND_INS))
    def test_other_data_are_refused(self, realm: Realm, kind: str) -> None:
        with realm.server("-c") as server, Wire(server.port) as wire:
            wire.string()
            binding = ChannelBinding(kind, STAND_INS[kind] + b"x")
            mechanism = realm.client().start_with(
                AES128, channel_binding=binding, binding_critical=True
            )
            wire.send(mechanism.name.encode(), b"Y", mechanism.step(None))
            assert wire.reply()[0] is Reply.CONTINUE
            wire.send(b"")
            assert wire.reply() == (Reply.NO, b"")
            server.err.wait_for("performing SASL negotiation: channel binding failure")
            server.err.wait_for("the assertion is bound to another channel: .*")

    @pytest.mark.parametrize(
        "name",
        [
            "sasl-aes128-initial",
            "sasl-aes256-initial",
            "sasl-aes128-plus-initial",
            "sasl-aes128-plus-endpoint",
        ],
    )
    def test_flags_mean_what_they_do_to_the_reference_programs(
        self, realm: Realm, name: str
    ) -> None:
        """The recorded clients were given the mechanism and the first of the two flags."""
        recorded = json.loads((VECTORS / f"{name}.json").read_text())
        client_flag, server_flag = recorded["sample_program_flags"]
        first = base64.b64decode(recorded["messages"][0]["octets"])
        header = first[: first.index(b"c,")]
        kind = header.decode().split(",")[0].removeprefix("p=")
        assert bytes.fromhex(recorded["channel_bindings"]) == header + STAND_INS.get(kind, b"")
        with realm.server(server_flag) as server:
            client = realm.run_client(client_flag, "-m", recorded["mechanism"], port=server.port)
        assert client.returncode == 0, client.stderr
        assert f"\n{header.decode()}c," in client.stdout


@dataclass(frozen=True)
class Certificates:
    """Files of a server's certificate and of the authority that issued it."""

    folder: Path
    authority: trustme.CA

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str) -> Path:
        """A certificate for the host, chain and key in one file."""
        path = self.folder / f"{name}.pem"
        self.authority.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(path)
        return path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("tls"), trustme.CA())
    made.authority.cert_pem.write_to_path(made.ca_file)
    return made


@pytest.fixture(scope="module")
def tls_server(realm: Realm, certificates: Certificates) -> Iterator[RunningServer]:
    with realm.server("--tls-cert", str(certificates.issue("server"))) as server:
        yield server


@pytest.fixture
def tls(certificates: Certificates) -> list[str]:
    """What makes the client use TLS, and tell how it went."""
    return ["--tls", "--ca-file", str(certificates.ca_file), "--verbose"]


class TestTls:
    @pytest.mark.parametrize(
        ("arguments", "outcome"),
        [
            ([], END_POINT),
            (["-C"], END_POINT),
            (["--tls-max", "1.2"], UNIQUE),
            (["--tls-max", "1.2", "-C", "-m", AES128], UNIQUE),
            (["--tls-max", "1.2", "-D"], END_POINT),
            (["--tls-max", "1.2", "--cb-type", "tls-server-end-point"], END_POINT),
        ],
    )
    def test_the_login_is_bound_to_the_connection(
        self,
        realm: Realm,
        tls_server: RunningServer,
        tls: list[str],
        arguments: list[str],
        outcome: str,
    ) -> None:
        client = realm.run_client(*tls, *arguments, port=tls_server.port)
        assert client.returncode == 0, client.stderr
        assert outcome in client.stdout

    @pytest.mark.parametrize("kind", ["tls-unique", "sasl-sample"])
    def test_a_type_the_connection_does_not_have(
        self, realm: Realm, tls_server: RunningServer, tls: list[str], kind: str
    ) -> None:
        client = realm.run_client(*tls, "--cb-type", kind, port=tls_server.port)
        assert client.returncode == FAILED
        assert client.stderr == (
            "starting SASL negotiation: channel binding failure\n"
            f"this TLSv1.3 connection has no channel binding {kind}:"
            " it has tls-server-end-point\n"
        )

    def test_stand_ins_are_no_good_under_tls(
        self, realm: Realm, certificates: Certificates
    ) -> None:
        context = ssl.create_default_context(cafile=certificates.ca_file)
        arguments = ("-c", "--tls-cert", str(certificates.issue("with-flag")))
        with realm.server(*arguments) as server, Wire(server.port) as wire:
            wire.socket = context.wrap_socket(wire.socket, server_hostname=HOST)
            wire.string()
            kind = "tls-server-end-point"
            mechanism = realm.client().start_with(
                AES128,
                channel_binding=ChannelBinding(kind, STAND_INS[kind]),
                binding_critical=True,
            )
            wire.send(mechanism.name.encode(), b"Y", mechanism.step(None))
            assert wire.reply()[0] is Reply.CONTINUE
            wire.send(b"")
            assert wire.reply() == (Reply.NO, b"")

    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_somebody_in_between_with_a_trusted_certificate_is_found_out(
        self,
        realm: Realm,
        certificates: Certificates,
        tls_server: RunningServer,
        tls: list[str],
        version: str,
    ) -> None:
        with relay(certificates, tls_server.port, version) as port:
            client = realm.run_client(*tls, "--tls-max", version, port=port)
        assert client.returncode == FAILED
        assert "performing SASL negotiation: channel binding failure\n" in client.stderr

    def test_an_unknown_authority_exits_with_69(
        self, realm: Realm, tls_server: RunningServer
    ) -> None:
        client = realm.run_client("--tls", port=tls_server.port)
        assert client.returncode == os.EX_UNAVAILABLE
        assert "certificate verify failed" in client.stderr

    def test_another_host_exits_with_69(
        self, realm: Realm, tls_server: RunningServer, tls: list[str]
    ) -> None:
        client = realm.run_client(*tls, port=tls_server.port, host="127.0.0.1")
        assert client.returncode == os.EX_UNAVAILABLE
        assert "certificate verify failed" in client.stderr

    def test_a_client_without_tls_is_told_no_more_than_that(
        self, realm: Realm, tls_server: RunningServer
    ) -> None:
        client = realm.run_client("--timeout", "1", port=tls_server.port)
        assert client.returncode == FAILED

    def test_a_server_without_tls(
        self, realm: Realm, server: RunningServer, tls: list[str]
    ) -> None:
        client = realm.run_client(*tls, port=server.port)
        assert client.returncode == os.EX_UNAVAILABLE
        assert client.stderr.startswith("TLS: ")

    @pytest.mark.parametrize(
        "octets", [b"", b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"]
    )
    def test_a_client_that_never_gets_to_tls(
        self, realm: Realm, certificates: Certificates, tls: list[str], octets: bytes
    ) -> None:
        certificate = str(certificates.issue("patient"))
        with realm.server("--timeout", "1.5", "--tls-cert", certificate) as server:
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
                connection.sendall(octets)
                with suppress(ConnectionResetError):
                    while connection.recv(4096):
                        pass
            server.err.wait_for("TLS: .*|the client took longer than 1.5 s")
            assert realm.run_client(*tls, port=server.port).returncode == 0
        assert "Traceback" not in str(server.err)

    @pytest.mark.parametrize("content", ["", "-----BEGIN CERTIFICATE-----\nx\n"])
    def test_files_that_are_not_usable_exit_with_78(
        self, realm: Realm, tmp_path: Path, content: str
    ) -> None:
        file = tmp_path / "server.pem"
        file.write_text(content)
        with realm.server("--tls-cert", str(file)) as server:
            assert server.wait() == os.EX_CONFIG
            assert f"{file} and its private key cannot be used for TLS" in str(server.err)
        client = realm.run_client("--tls", "--ca-file", str(file), port=1)
        assert client.returncode == os.EX_CONFIG
        assert str(file) in client.stderr


@contextmanager
def relay(certificates: Certificates, target: int, version: str) -> Iterator[int]:
    """Somebody who ends the client's TLS with a certificate of their own and passes all on."""
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(certificates.issue("relay"))
    onward = ssl.create_default_context(cafile=certificates.ca_file)
    onward.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]

    def copy(source: ssl.SSLSocket, sink: ssl.SSLSocket) -> None:
        with suppress(OSError, ValueError):
            while octets := source.recv(65536):
                sink.sendall(octets)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        accepted, _ = listener.accept()
        with (
            own.wrap_socket(accepted, server_side=True) as near,
            socket.create_connection((HOST, target), PATIENCE) as plain,
            onward.wrap_socket(plain, server_hostname=HOST) as far,
        ):
            back = threading.Thread(target=copy, args=(far, near))
            back.start()
            copy(near, far)
            back.join(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE)
