"""Logging in with the sample client to the sample server: what both say, and how they end."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path

import pytest

from browserid_sasl.cli.sample.framing import Reply
from browserid_sasl.jose.keys import PrivateKey
from tests.support.sample_programs import (
    ALICE,
    DOMAIN,
    HOST,
    Realm,
    RunningServer,
    Wire,
    run_program,
    scripted_server,
)

FAILED = 255
SUCCESS = f"successful authentication '{ALICE}'"


class TestLogin:
    def test_both_sides_say_what_cyrus_says(self, realm: Realm) -> None:
        with realm.server() as server:
            client = realm.run_client(port=server.port)
            said = server.out.wait_for("closing connection")
        assert client.returncode == 0
        assert client.stderr == ""
        offer = "BROWSERID-AES128 BROWSERID-AES256"
        assert re.fullmatch(
            rf"receiving capability list... recv: \{{{len(offer)}\}}\n"
            rf"{offer}\n{offer}\n"
            r"send: \{16\}\nBROWSERID-AES128\n"
            r"send: \{1\}\nY\n"
            r"send: \{\d+\}\nn,,c,\S{35}\.\.\.\n"
            r"recv: \{\d+\}\nC,~\S{37}\.\.\.\n"
            r"send: \{0\}\n\n"
            r"successful authentication\nclosing connection\n",
            client.stdout,
        )
        assert re.fullmatch(
            r"accepted new connection\n"
            rf"send: \{{{len(offer)}\}}\n{offer}\n"
            r"recv: \{16\}\nBROWSERID-AES128\n"
            r"recv: \{1\}\nY\n"
            r"recv: \{\d+\}\nn,,c,\S{35}\.\.\.\n"
            r"send: \{\d+\}\nC,~\S{37}\.\.\.\n"
            r"recv: \{0\}\n\n"
            rf"{SUCCESS}\nclosing connection\n",
            said,
        )

    def test_what_one_side_sends_is_what_the_other_receives(self, realm: Realm) -> None:
        with realm.server("--show-tokens") as server:
            client = realm.run_client("--show-tokens", port=server.port)
            said = server.out.wait_for("closing connection")
        strings = re.compile(r"(send|recv): (\{\d+\}\n.*)")
        sides = {"send": "recv", "recv": "send"}
        mirrored = [(sides[way], string) for way, string in strings.findall(client.stdout)]
        assert strings.findall(said) == mirrored

    def test_a_second_login_uses_the_ticket_of_the_first(self, fresh_realm: Realm) -> None:
        fresh_realm.sign_in()
        with fresh_realm.server("--verbose") as server:
            first, second = (
                fresh_realm.run_client("--verbose", port=server.port) for _ in range(2)
            )
            server.out.wait_for(r"\[1\] ticket used: no")
            server.out.wait_for(r"\[2\] ticket used: yes")
        assert "ticket used: no\n" in first.stdout
        assert "ticket used: yes\n" in second.stdout
        assert first.returncode == second.returncode == 0

    @pytest.mark.parametrize("mechanism", ["BROWSERID-AES256", "browserid-aes128"])
    def test_with_a_mechanism_of_choice(
        self, realm: Realm, server: RunningServer, mechanism: str
    ) -> None:
        client = realm.run_client("-m", mechanism, port=server.port)
        assert client.returncode == 0, client.stderr
        assert f"\n{mechanism.upper()}\n" in client.stdout

    def test_in_the_other_dialect(self, realm: Realm, server: RunningServer) -> None:
        client = realm.run_client(
            "--dialect", "draft-07", "-m", "BROWSERID-AES256", port=server.port
        )
        assert client.returncode == 0, client.stderr

    def test_by_name_of_one_of_several_identities(self, fresh_realm: Realm) -> None:
        bob = "bob@example.test"
        fresh_realm.sign_in()
        fresh_realm.sign_in(bob)
        with fresh_realm.server() as server:
            undecided = fresh_realm.run_client(port=server.port)
            decided = fresh_realm.run_client("--identity", bob, port=server.port)
            server.out.wait_for(f"successful authentication '{bob}'")
        assert decided.returncode == 0
        assert undecided.returncode == FAILED
        assert "more than one identity is signed in" in undecided.stderr

    def test_quiet_programs_leave_out_what_goes_over_the_wire(self, realm: Realm) -> None:
        with realm.server("--quiet") as server:
            client = realm.run_client("--quiet", port=server.port)
            said = server.out.wait_for("closing connection")
        assert said == f"accepted new connection\n{SUCCESS}\nclosing connection\n"
        assert client.stdout == (
            "receiving capability list... BROWSERID-AES128 BROWSERID-AES256\n"
            "successful authentication\nclosing connection\n"
        )

    def test_verbose_programs_show_tokens_without_signatures_and_keys(
        self, fresh_realm: Realm
    ) -> None:
        fresh_realm.sign_in()
        with fresh_realm.server("--verbose") as server:
            client = fresh_realm.run_client("--verbose", port=server.port)
            said = server.out.wait_for(r"\[1\] closing connection")
        for output in (client.stdout, said):
            assert "aud: rcmd/localhost (dialect draft-04)" in output
            assert re.search(r"public-key: ES256, 256 bits, [0-9a-f]{16}\n", output)
            assert re.search(r"signature: [0-9a-f]{8}\.\.\., 64 octets, fits the cert", output)
            assert not re.search(r"[A-Za-z0-9_-]{60,}", output)

    def test_verbose_programs_show_what_is_known_of_the_person(self, fresh_realm: Realm) -> None:
        fresh_realm.sign_in(groups=["staff", "a\nb"], note="x" * 1000, nothing=[])
        with fresh_realm.server("--verbose") as server:
            client = fresh_realm.run_client("--verbose", port=server.port)
            said = server.out.wait_for(r"\[1\] closing connection")
        for name, value in {
            "email": ALICE,
            "iss": "example.test",
            "groups": "staff",
            "nothing": "no value",
        }.items():
            line = f"attribute urn:ietf:params:gss:jwt {name}: {value}"
            assert f"[1] {line} (authenticated)\n" in said
            assert f"\n{line} (not authenticated)\n" in client.stdout
        assert "jwt groups: a\\nb (authenticated)" in said
        assert "760 characters more" in said

    def test_a_saml_assertion_that_cannot_be_read_is_no_reason_to_stop(
        self, fresh_realm: Realm
    ) -> None:
        fresh_realm.sign_in(saml="<broken")
        with fresh_realm.server("--verbose") as server:
            for number in (1, 2):
                assert fresh_realm.run_client(port=server.port).returncode == 0
                server.out.wait_for(rf"\[{number}\] attributes: the SAML assertion .*")
                server.out.wait_for(rf"\[{number}\] closing connection")

    def test_other_programs_do_not(self, realm: Realm) -> None:
        with realm.server() as server:
            client = realm.run_client(port=server.port)
            said = server.out.wait_for("closing connection")
        assert "attribute" not in client.stdout + said


class TestOutput:
    @pytest.mark.parametrize("where", [">&-", "> >(head -n 1)"])
    def test_nobody_listening_to_it_is_no_reason_to_stop(self, realm: Realm, where: str) -> None:
        with realm.server(launcher=["bash", "-c", f'exec "$@" {where}', "bash"]) as server:
            for _ in range(3):
                with Wire(server.port) as wire:
                    wire.string()
                    assert wire.log_in(realm.client().start_with("BROWSERID-AES128")) is Reply.OK
            server.send_signal(signal.SIGTERM)
            assert server.wait() == 0
            assert "Traceback" not in str(server.err)


class TestRefusal:
    def test_nobody_is_signed_in(self, fresh_realm: Realm, server: RunningServer) -> None:
        client = fresh_realm.run_client(port=server.port)
        assert client.returncode == FAILED
        assert client.stderr == (
            "starting SASL negotiation: needs user interaction\n"
            "nobody is signed in: sign in first: browserid login you@example.org\n"
        )
        assert client.stdout.endswith("closing connection\n")

    def test_a_stranger_to_the_domain(self, realm: Realm, tmp_path: Path) -> None:
        """Signed in with a provider whose key is not the domain's."""
        impostor = Realm(tmp_path, PrivateKey.generate("RS256"))
        impostor.sign_in()
        with realm.server() as server:
            client = impostor.run_client(port=server.port)
            complained = server.err.wait_for("performing SASL negotiation: .*")
        assert client.returncode == FAILED
        assert "performing SASL negotiation: authentication failure\n" in client.stderr
        assert "the certificate is not signed by a key that example.test publishes" in complained

    @pytest.mark.parametrize(
        ("arguments", "says_everybody"),
        [
            ((), True),
            (("--allow", "*"), True),
            (("--allow", "example.org", "--allow", DOMAIN), False),
            (("--allow", ALICE), False),
        ],
    )
    def test_who_may_log_in(
        self, realm: Realm, arguments: tuple[str, ...], says_everybody: bool
    ) -> None:
        with realm.server(*arguments) as server:
            assert realm.run_client(port=server.port).returncode == 0
        everybody = "everybody may log in, of any domain: --allow names those who may\n"
        assert (everybody in str(server.err)) == says_everybody

    def test_who_may_not_log_in(self, realm: Realm) -> None:
        with realm.server("--allow", "example.org") as server:
            client = realm.run_client(port=server.port)
            server.err.wait_for(f"{ALICE} may not log in to this service: .*")
        assert client.returncode == FAILED
        assert "performing SASL negotiation: authorization failure\n" in client.stderr
        assert "whoever runs the server decides that" in client.stderr

    @pytest.mark.parametrize(
        ("section", "admitted"),
        [
            ('allow = ["example.org"]', False),
            (f'allow = ["{DOMAIN}"]', True),
            ('strip_domain = "example.org"', False),
            (f'strip_domain = "{DOMAIN}"', True),
        ],
    )
    def test_who_may_log_in_by_the_configuration(
        self, tmp_path: Path, provider_key: PrivateKey, section: str, admitted: bool
    ) -> None:
        realm = Realm(tmp_path, provider_key, f"[server]\n{section}\n")
        realm.sign_in()
        with realm.server() as server:
            client = realm.run_client(port=server.port)
        assert (client.returncode == 0) == admitted
        assert "everybody" not in str(server.err)

    def test_a_pattern_for_who_may_log_in(self) -> None:
        ended = run_program("sample_server.py", ["--allow", "*.example.org"])
        assert ended.returncode == os.EX_CONFIG
        assert "never a pattern" in ended.stderr

    def test_acting_for_somebody_else(self, realm: Realm) -> None:
        with realm.server() as server:
            client = realm.run_client("--authzid", "bob", port=server.port)
            server.err.wait_for("performing SASL negotiation: authorization failure")
            server.err.wait_for(f"{ALICE} may not act as bob: .*")
        assert client.returncode == FAILED
        assert "performing SASL negotiation: authorization failure\n" in client.stderr

    def test_a_server_that_goes_by_another_name(self, realm: Realm) -> None:
        with realm.server() as server:
            client = realm.run_client(port=server.port, host="127.0.0.1")
            server.err.wait_for(
                "the assertion is for rcmd/127.0.0.1, this server is rcmd/localhost: .*"
            )
        assert client.returncode == FAILED

    def test_the_client_insists_on_a_mechanism_that_is_not_offered(
        self, realm: Realm, server: RunningServer
    ) -> None:
        client = realm.run_client("-m", "SCRAM-SHA-256", port=server.port)
        assert client.returncode == FAILED
        assert "server doesn't offer mandatory mech 'SCRAM-SHA-256'\n" in client.stdout
        assert client.stderr == ""

    def test_the_server_insists_on_a_mechanism_the_client_does_not_choose(
        self, realm: Realm
    ) -> None:
        with realm.server("-m", "BROWSERID-AES256") as server, Wire(server.port) as wire:
            assert wire.string() == b"BROWSERID-AES256"
            wire.send(b"BROWSERID-AES128", b"Y", b"n,,c,x")
            assert wire.reply() == (Reply.NO, b"")
            server.out.wait_for("client didn't choose mandatory mechanism")

    def test_the_client_does_not_choose(self, realm: Realm) -> None:
        with realm.server() as server, Wire(server.port) as wire:
            wire.string()
            wire.send(b"")
            assert wire.reply() == (Reply.NO, b"")
            server.out.wait_for("client didn't choose mechanism")

    def test_the_client_chooses_what_is_not_there(self, realm: Realm) -> None:
        with realm.server() as server, Wire(server.port) as wire:
            wire.string()
            wire.send(b"PLAIN", b"Y", b"\0alice\0secret")
            assert wire.reply() == (Reply.NO, b"")
            server.err.wait_for("starting SASL negotiation: no mechanism available")


class TestBadServers:
    """What the client makes of servers that do not keep to the protocol."""

    @pytest.mark.parametrize(
        ("answer", "stdout", "stderr"),
        [
            (b"O", "", "reported success before the exchange had come to its end"),
            (b"X", "bad protocol from server (X 58)\n", "both use TLS"),
            (b"C{70000}\r\n", "a string of 70000 octets was announced", ""),
            (b"Cx", "a string starts with 'x'", ""),
            (b"", "the other side closed the connection", ""),
            (b"C{4}\r\nC,~x", "", "performing SASL negotiation: bad protocol / cancel\n"),
            (b"N", "authentication failed\n", ""),
        ],
    )
    def test_a_wrong_answer(self, realm: Realm, answer: bytes, stdout: str, stderr: str) -> None:
        with scripted_server(b"{16}\r\nBROWSERID-AES128", answer) as port:
            client = realm.run_client(port=port)
        assert client.returncode == FAILED
        assert stdout in client.stdout
        assert stderr in client.stderr
        assert "successful" not in client.stdout
        assert client.stdout.endswith("closing connection\n")
        assert "Traceback" not in client.stderr

    @pytest.mark.parametrize(
        "offer", [b"", b"{0}\r\n", b"220 mail.example.test ESMTP\r\n", b"{9}\r\n\xff\0\x1b[31mX"]
    )
    def test_a_wrong_offer(self, realm: Realm, offer: bytes) -> None:
        with scripted_server(offer) as port:
            client = realm.run_client(port=port)
        assert client.returncode == FAILED
        assert "\x1b" not in client.stdout + client.stderr
        assert "Traceback" not in client.stderr

    def test_a_server_that_says_nothing(self, realm: Realm) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = realm.run_client("--timeout", "0.5", port=silent.getsockname()[1])
        assert client.returncode == FAILED
        assert client.stderr == "connection lost: timed out\n"


class TestCommandLine:
    @pytest.mark.parametrize(
        ("program", "arguments"),
        [
            ("sample_client.py", ["-x"]),
            ("sample_client.py", ["-h"]),
            ("sample_client.py", ["localhost", "superfluous"]),
            ("sample_client.py", ["--cb-type", "tls-exporter"]),
            ("sample_client.py", ["--ca-file", __file__]),
            ("sample_client.py", ["-p"]),
            ("sample_server.py", ["-x"]),
            ("sample_server.py", ["superfluous"]),
            ("sample_server.py", ["-m", "PLAIN"]),
            ("sample_server.py", ["--tls-key", __file__]),
            ("sample_server.py", ["--timeout", "0"]),
        ],
    )
    def test_wrong_usage_exits_with_64(self, program: str, arguments: list[str]) -> None:
        ended = run_program(program, arguments)
        assert ended.returncode == os.EX_USAGE
        assert ended.stdout == ""
        assert "Error: " in ended.stderr

    @pytest.mark.parametrize("program", ["sample_client.py", "sample_server.py"])
    def test_help_names_the_port_of_the_product(self, program: str) -> None:
        ended = run_program(program, ["--help"])
        assert ended.returncode == 0
        assert "[default: 5556]" in ended.stdout

    def test_no_server_there_exits_with_69(self, realm: Realm, unused_port: int) -> None:
        client = realm.run_client(port=unused_port, host="127.0.0.1")
        assert client.returncode == os.EX_UNAVAILABLE
        assert client.stderr == "connect: Connection refused\n"

    def test_a_port_without_number_exits_with_69(self, realm: Realm) -> None:
        client = realm.run_client("-p", "no-such-service", port=0)
        assert client.returncode == os.EX_UNAVAILABLE
        assert client.stderr.startswith("getaddrinfo: ")

    @pytest.mark.parametrize("arguments", [["-s", "im/ap"], ["-s", ""]])
    def test_a_service_that_cannot_be_one_exits_with_64(
        self, realm: Realm, arguments: list[str]
    ) -> None:
        client = realm.run_client(*arguments, port=0)
        assert client.returncode == os.EX_USAGE
        assert "the service name cannot be used" in client.stderr

    @pytest.mark.parametrize("program", ["sample_client.py", "sample_server.py"])
    def test_a_wrong_configuration_exits_with_78_and_its_line(
        self, program: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "browserid.toml"
        file.write_text("[server]\n\ncolour = 'red'\n")
        ended = run_program(program, ["--config", str(file)])
        assert ended.returncode == os.EX_CONFIG
        assert ended.stderr.startswith("initializing: error when parsing configuration file\n")
        assert f"{file}:3: " in ended.stderr

    def test_a_port_in_use_exits_with_71(self, realm: Realm, server: RunningServer) -> None:
        arguments = ["--config", str(realm.config_file), "--listen", "127.0.0.1"]
        ended = run_program("sample_server.py", [*arguments, "-p", str(server.port)])
        assert ended.returncode == os.EX_OSERR
        assert ended.stderr == (
            "trying 2, 1, 6\nbind: Address already in use\nCouldn't bind to any socket\n"
        )


class TestAddresses:
    @pytest.mark.parametrize(
        ("arguments", "addresses"),
        [
            ((), {"127.0.0.1", "::1"}),
            (("--max-connections", "1"), {"127.0.0.1", "::1"}),
            (("--listen", "*"), {"0.0.0.0", "::"}),
        ],
    )
    def test_the_server_listens_on_loopback_unless_it_is_told_to_listen_everywhere(
        self, realm: Realm, unused_port: int, arguments: tuple[str, ...], addresses: set[str]
    ) -> None:
        own = ("--config", str(realm.config_file), "-h", HOST, "-p", str(unused_port))
        with RunningServer((*own, *arguments)) as server:
            assert set(server.addresses(2)) == addresses
            for address in ("127.0.0.1", "::1"):
                with Wire(unused_port, address) as wire:
                    wire.string()
                    assert wire.log_in(realm.client().start_with("BROWSERID-AES128")) is Reply.OK
            assert realm.run_client(port=unused_port).returncode == 0

    def test_or_on_one(self, realm: Realm) -> None:
        with realm.server(address="::1") as server:
            assert set(server.addresses()) == {"::1"}
            with Wire(server.port, "::1") as wire:
                wire.string()
                assert wire.log_in(realm.client().start_with("BROWSERID-AES128")) is Reply.OK
            with pytest.raises(ConnectionRefusedError):
                Wire(server.port, "127.0.0.1")
