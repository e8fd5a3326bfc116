"""`browserid doctor --server` on a host's set-up: a good one, and what can be wrong with it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from browserid_sasl import store
from browserid_sasl.cli.browserid import main
from tests.support import ailments
from tests.support.acceptor import running
from tests.support.ailments import Report
from tests.support.https import answer, scripted_server, write_ca
from tests.support.services import folder_for_all
from tests.support.site import Site

DOMAIN = "idp.test"
PROVIDER = f"provider of {DOMAIN}"
NAME = "imap/127.0.0.1"


class Host:
    """A host whose acceptor and imapd are set up well, until a test breaks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.socket = folder / "run" / "imap"
        self.server_directory = folder / "server"
        self.file = folder / "browserid.toml"
        self.imapd = folder / "imapd.conf"
        self.postfix = folder / "main.cf"
        assert Site(folder).config  # writes the document that is pinned
        self.environment = {
            "SASL_PATH": str(ailments.plugin(folder / "sasl2")),
            "SSL_CERT_FILE": str(write_ca(self.authority, folder)),
        }
        self.configure()
        self.write_imapd()
        self.postfix.write_text("line_length_limit = 4096\nsmtpd_sasl_type = dovecot\n")

    def configure(
        self,
        *,
        allow: str = f'allow = ["{DOMAIN}"]',
        listener: str = 'services = ["imap", "smtp"]',
        further: str = "",
    ) -> None:
        self.file.write_text(
            f"""
            [store]
            server_directory = "{self.server_directory}"
            [server]
            {allow}
            [acceptor]
            workers = 1
            [listeners."{self.socket}"]
            {listener}
            [authorities."{DOMAIN}"]
            keys_file = "support.json"
            {further}
            """
        )

    def write_imapd(self, **changes: str) -> None:
        lines = {
            "servername": "127.0.0.1",
            "sasl_mech_list": "BROWSERID-AES128 BROWSERID-PADDING",
            "sasl_browserid_socket": str(self.socket),
            **changes,
        }
        self.imapd.write_text("".join(f"{name}: {value}\n" for name, value in lines.items()))

    def examine(self, name: str = NAME, *arguments: str) -> Report:
        return ailments.examine(
            "--server",
            name,
            "--config",
            str(self.file),
            "--imapd",
            str(self.imapd),
            "--postfix",
            str(self.postfix),
            *arguments,
            environment=self.environment,
        )

    @contextmanager
    def up(self, leaf: trustme.LeafCert | None = None) -> Iterator[str]:
        """With its acceptor, and something that speaks TLS; the port of that."""
        self.socket.parent.mkdir(exist_ok=True)
        presented = leaf or self.authority.issue_cert("127.0.0.1")
        with (
            scripted_server(presented, answer()) as tls,
            running(self.file, self.folder / "acceptor.log") as daemon,
        ):
            daemon.wait_ready()
            yield str(tls.port)


@pytest.fixture
def host() -> Iterator[Host]:
    with folder_for_all() as folder:
        yield Host(folder)


def test_a_good_one_has_no_complaint(host: Host) -> None:
    with host.up() as port:
        report = host.examine(NAME, "--port", port)
        assert report.complaints() == []
        submission = host.examine("smtp/127.0.0.1", "--port", port)
        assert submission.complaints() == []
    checks = {each["check"] for each in report.findings}
    assert checks == {
        *("configuration", "name", "TLS", "allow", PROVIDER, "store", "acceptor", "plugin"),
        *("GSS-API", "imapd"),
    }
    assert "Postfix" in {each["check"] for each in submission.findings}


class TestName:
    def test_one_that_leads_nowhere(self, host: Host) -> None:
        report = host.examine("imap/mail.nowhere.invalid")
        report.says("name", "bad", "the name mail.nowhere.invalid leads nowhere")

        assert [each["check"] for each in report.findings].count("name") == 1

    @pytest.mark.parametrize(
        "name", ["imap/a..b", "imap/" + "a" * 300, "imap/a b", "imap/-x", "imap", "", "imap/[::1]"]
    )
    def test_one_that_is_none(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["doctor", "--server", name]) == os.EX_USAGE
        assert "--server" in capsys.readouterr().err

    def test_one_without_a_domain(self, host: Host) -> None:
        host.examine("imap/localhost").says("name", "doubtful", "is no full name")

    def test_one_of_another_machine(self, host: Host) -> None:
        host.examine("ldap/192.0.2.1", "--port", "1").says(
            "name", "doubtful", "leads to another machine"
        )


class TestTls:
    def test_nobody_answers(self, host: Host) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = str(gone.getsockname()[1])
        host.examine(NAME, "--port", port).says("TLS", "bad", "nobody answers at 127.0.0.1")

    def test_no_tls(self, host: Host) -> None:
        with scripted_server(None, answer()) as plain:
            host.examine(NAME, "--port", str(plain.port)).says("TLS", "bad", "speaks no TLS")

    def test_another_authority(self, host: Host) -> None:
        with scripted_server(trustme.CA().issue_cert("127.0.0.1"), answer()) as tls:
            report = host.examine(NAME, "--port", str(tls.port))
        report.says("TLS", "bad", "cannot prove who it is")

    def test_a_certificate_at_its_end(self, host: Host) -> None:
        now = datetime.now(UTC)
        leaf = host.authority.issue_cert(
            "127.0.0.1", not_before=now - timedelta(days=9), not_after=now + timedelta(days=3)
        )
        with scripted_server(leaf, answer()) as tls:
            host.examine(NAME, "--port", str(tls.port)).says("TLS", "doubtful", "2 days more")


class TestConfiguration:
    def test_a_line_that_is_wrong(self, host: Host) -> None:
        host.file.write_text("[server]\nallow = 7\n")
        host.examine().says("configuration", "bad", f"{host.file}:2: ")

    def test_it_is_not_said_who_may_log_in(self, host: Host) -> None:
        host.configure(allow="")
        host.examine().says("allow", "bad", "nobody may log in")

    def test_everybody_may(self, host: Host) -> None:
        host.configure(allow='allow = ["*"]')
        host.examine().says("allow", "doubtful", "everybody may log in")

    def test_a_list_that_cannot_be_read(self, host: Host) -> None:
        host.configure(allow=f'allow_file = "{host.folder}/nowhere"')
        host.examine().says("allow", "bad", "nowhere")

    def test_a_list_with_a_line_that_is_none(self, host: Host) -> None:
        (host.folder / "list").write_text("example.org\n*.example.com\n")
        host.configure(allow=f'allow_file = "{host.folder}/list"')
        host.examine().says("allow", "bad", "list:2: the line is '*.example.com'")

    def test_an_x509_certificate_that_is_none(self, host: Host) -> None:
        (host.folder / "x.pem").write_text("no certificate")
        host.configure(
            allow=f'allow = ["{DOMAIN}"]\nx509_certificate = "x.pem"\nx509_key = "x.pem"'
        )
        host.examine().says("X.509", "bad", "x.pem")

    def test_a_pinned_document_that_is_gone(self, host: Host) -> None:
        (host.folder / "support.json").unlink()
        host.examine().says(PROVIDER, "bad", "support.json")


class TestStore:
    def test_damage(self, host: Host) -> None:
        store.open_acceptor(host.server_directory / "server.db").close()
        file = host.server_directory / "server.db"
        file.write_bytes(file.read_bytes()[:3000])
        host.examine().says("store", "bad", "is damaged")

    def test_one_that_is_gone(self, host: Host) -> None:
        store.open_acceptor(host.server_directory / "server.db").close()
        (host.server_directory / "server.db").unlink()
        host.examine().says("store", "bad", "it is gone")

    def test_a_folder_of_another_account(self, host: Host) -> None:
        host.server_directory.mkdir(mode=0o700)
        os.chown(host.server_directory, 65534, 65534)
        host.examine().says("store", "bad", "belongs to nobody, and has to belong to root")

    def test_an_account_that_there_is_not(self, host: Host) -> None:
        text = host.file.read_text()
        host.file.write_text(text.replace("workers = 1", 'workers = 1\nuser = "nosuch-account"'))
        host.examine().says("store", "bad", "there is no account nosuch-account")


class TestAcceptor:
    def test_no_socket(self, host: Host) -> None:
        host.examine().says("acceptor", "bad", f"the socket {host.socket} is not there")

    def test_one_that_has_died(self, host: Host) -> None:
        host.socket.parent.mkdir()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(host.socket))
        host.socket.chmod(0o660)
        host.examine().says("acceptor", "bad", f"nobody answers at {host.socket}")

    def test_a_file_in_its_place(self, host: Host) -> None:
        host.socket.parent.mkdir()
        host.socket.write_text("")
        host.examine().says("acceptor", "bad", "is no socket")

    def test_a_socket_for_everybody(self, host: Host) -> None:
        with host.up():
            host.socket.chmod(0o666)
            host.examine().says("acceptor", "bad", "every user may connect")

    def test_a_socket_of_another_group(self, host: Host) -> None:
        with host.up():
            host.configure(listener='services = ["imap"]\ngroup = "mail"')
            host.examine().says("acceptor", "bad", "and the configuration says mail")

    def test_a_socket_of_another_mode(self, host: Host) -> None:
        with host.up():
            host.socket.chmod(0o600)
            host.examine().says("acceptor", "doubtful", "has mode 600")

    def test_no_socket_for_the_service(self, host: Host) -> None:
        host.configure(listener='services = ["xmpp"]')
        host.examine().says("acceptor", "bad", "no socket of the acceptor is for the service imap")


class TestPrograms:
    def test_no_plugin(self, host: Host) -> None:
        shutil.rmtree(host.folder / "sasl2")
        host.examine().says("plugin", "bad", "there is no libbrowserid.so")

    def test_imapd_by_the_gs2_plugin(self, host: Host) -> None:
        """Without ours it is the account's programs that have to be let accept."""
        (host.folder / "sasl2" / "libbrowserid.so").rename(host.folder / "mech_browserid.so")
        (host.folder / "sasl2" / "libgs2.so").touch()
        mechanisms = host.folder / "browserid.conf"
        module = host.folder / "mech_browserid.so"
        mechanisms.write_text(f"browserid-aes128 1.3.6.1.4.1.5322.24.1.17 {module}\n")
        host.environment["GSS_MECH_CONFIG"] = str(mechanisms)
        report = host.examine()
        assert ("plugin", "bad") not in report.complaints()
        report.says("GSS-API", "bad", "no account's programs may accept contexts for imap")
        report.says("imapd", "bad", "writes past its list")

    def test_lines_of_postfix_that_are_too_short(self, host: Host) -> None:
        host.postfix.write_text("smtpd_sasl_type = dovecot\n")
        report = host.examine("smtp/127.0.0.1")
        report.says("Postfix", "doubtful", "lines may have 2048 characters")
        assert any("postconf line_length_limit=4096" in each["remedy"] for each in report.findings)

    def test_postfix_that_asks_somebody_else(self, host: Host) -> None:
        host.postfix.write_text("line_length_limit = 4096\nsmtpd_sasl_type = cyrus\n")
        host.examine("smtp/127.0.0.1").says("Postfix", "bad", "smtpd_sasl_type is cyrus")

    def test_imapd_that_does_not_offer_it(self, host: Host) -> None:
        host.write_imapd(sasl_mech_list="PLAIN")
        host.examine().says("imapd", "bad", "names none of the mechanisms")

    def test_imapd_without_room_for_binding(self, host: Host) -> None:
        host.write_imapd(sasl_mech_list="BROWSERID-AES128")
        host.examine().says("imapd", "doubtful", "has no room")

    def test_imapd_of_another_name(self, host: Host) -> None:
        host.write_imapd(servername="imap.example.org")
        host.examine().says("imapd", "bad", "servername is imap.example.org")

    def test_imapd_that_asks_where_nobody_is(self, host: Host) -> None:
        host.write_imapd(sasl_browserid_socket="/run/elsewhere")
        host.examine().says("imapd", "bad", "imapd asks at /run/elsewhere")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--server", "imap"],
        ["--server", "im ap/host"],
        ["--server", NAME, "alice@example.org"],
        ["--port", "993"],
    ],
)
def test_what_does_not_work(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", *arguments]) == os.EX_USAGE
    assert capsys.readouterr().err
