"""mech_browserid.so in MIT's mechanism glue: programs that know GSS-API and nothing of us."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from browserid_sasl.gss.context import ContextFlag
from browserid_sasl.gss.exported_names import export_name
from browserid_sasl.gss.mechanisms import MECHANISMS, Mechanism, mechanism_by_name
from browserid_sasl.gss.names import UserName
from browserid_sasl.jose.keys import PrivateKey
from tests.support.gss import Gs2, GssSite, MitSamples, gss_site
from tests.support.guide import blocks_of
from tests.support.patience import PATIENCE, wait_until
from tests.support.ports import free_port, listens
from tests.support.sample_programs import ALICE, DOMAIN, HOST, ROOT
from tests.support.services import AES128, Installation, folder_for_all, run, service

WITH_KEY = [row for row in MECHANISMS if row.curve is not None]
PROTECTION = (
    ContextFlag.REPLAY
    | ContextFlag.SEQUENCE
    | ContextFlag.CONFIDENTIALITY
    | ContextFlag.INTEGRITY
    | ContextFlag.TRANSFERABLE
)

Driver = Callable[..., subprocess.CompletedProcess[str]]


def oid(name: str) -> str:
    return ".".join(map(str, mechanism_by_name(name).oid))


@pytest.fixture
def driver(gss: GssSite, gss_driver: Path) -> Driver:
    """Runs gss_driver.c at the site, which says how it is used."""

    def drive(
        *options: str,
        service: str = f"rcmd@{HOST}",
        launcher: tuple[str, ...] = (),
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        command: tuple[str | Path, ...] = (*launcher, gss_driver, *options, service)
        return run(command, env=gss.variables | variables)

    return drive


def flags(first: ContextFlag, second: int) -> str:
    return f"flags: {int(first):#x} {int(second):#x}\n"


class TestContexts:
    @pytest.mark.parametrize("row", WITH_KEY, ids=lambda row: row.name)
    def test_each_mechanism_with_messages_in_both_directions(
        self, driver: Driver, row: object
    ) -> None:
        for _ in ("by certificate", "by ticket"):
            done = driver("-m", ".".join(map(str, row.oid)), "-p", "-n", "2")  # type: ignore[attr-defined]
            assert done.returncode == 0, done.stdout

    def test_names_flags_and_lifetime(self, driver: Driver) -> None:
        said = driver().stdout
        common = f"{ALICE} at rcmd/{HOST} flags={int(PROTECTION):#x}"
        assert f"initiator: {common} local=1 open=1 alive=1\n" in said
        assert f"acceptor: {common} local=0 open=1 alive=1\n" in said

    def test_mutual_authentication_is_by_the_servers_certificate(
        self, driver: Driver, gss: GssSite
    ) -> None:
        both = PROTECTION | ContextFlag.MUTUAL
        # A ticket of a context that was not mutual does not make one that is.
        for asked in ("0", "2", "2", "0", "2"):
            wanted = both if asked == "2" else PROTECTION
            assert flags(wanted, wanted) in driver("-f", asked).stdout

    def test_dce_style_takes_three_tokens(self, driver: Driver) -> None:
        done = driver("-f", "0x1000", "-p")
        assert flags(PROTECTION, PROTECTION | ContextFlag.DCE_STYLE) in done.stdout
        assert done.returncode == 0, done.stdout

    def test_identify(self, driver: Driver) -> None:
        assert flags(PROTECTION, PROTECTION | ContextFlag.IDENTIFY) in driver("-f", "0x2000").stdout

    def test_exported_contexts_go_on(self, driver: Driver) -> None:
        done = driver("-x", "-p")
        assert f"acceptor: {ALICE} at rcmd/{HOST}" in done.stdout
        assert "jwt role proven=1 value=author" in done.stdout
        assert done.returncode == 0, done.stdout

    def test_negotiated_by_spnego(self, driver: Driver) -> None:
        done = driver("-s", "-p")
        assert f"acceptor: {ALICE} at rcmd/{HOST}" in done.stdout
        assert done.returncode == 0, done.stdout

    def test_default_credentials_on_both_sides(self, driver: Driver) -> None:
        assert driver("-d").returncode == 0
        assert driver("-D").returncode == 0

    def test_a_service_that_programs_of_this_account_may_not_accept_for(
        self, driver: Driver
    ) -> None:
        for options in ((), ("-d",)):
            said = driver(*options, service=f"smtp@{HOST}").stdout
            assert "programs of the account root may not accept" in said
            assert '[programs."root"]' in said

    def test_the_mechanism_without_key_exchange_is_not_offered_unasked(
        self, driver: Driver
    ) -> None:
        said = driver("-m", oid("BROWSERID")).stdout
        assert "BROWSERID is not offered here" in said


class TestNegoEx:
    """SPNEGO's way to have a negotiation proven, where it is offered: it protects that by a key."""

    BY_NEGOEX = "token: by NegoEx\n"
    NEWER = tuple(row for row in WITH_KEY if row.binds_transcript)
    OLDER = tuple(row for row in WITH_KEY if not row.binds_transcript)

    @pytest.mark.parametrize("row", NEWER, ids=lambda row: row.name)
    @pytest.mark.parametrize("optimistic", [True, False])
    def test_the_newer_mechanisms(self, driver: Driver, row: Mechanism, optimistic: bool) -> None:
        # The library's own way to have the metadata exchanged before the first token.
        variables = {} if optimistic else {"NEGOEX_NO_OPTIMISTIC_TOKEN": "1"}
        done = driver("-s", "-p", "-m", oid(row.name), **variables)
        assert self.BY_NEGOEX in done.stdout
        assert f"acceptor: {ALICE} at rcmd/{HOST}" in done.stdout
        assert done.returncode == 0, done.stdout

    @pytest.mark.parametrize("row", OLDER, ids=lambda row: row.name)
    def test_the_others_are_negotiated_as_they_are(self, driver: Driver, row: Mechanism) -> None:
        done = driver("-s", "-p", "-m", oid(row.name))
        assert self.BY_NEGOEX not in done.stdout
        assert done.returncode == 0, done.stdout

    def test_they_go_first_so_that_a_login_needs_no_second_round_trip(self, driver: Driver) -> None:
        done = driver("-s", "-D")
        assert self.BY_NEGOEX not in done.stdout
        assert done.returncode == 0, done.stdout

    def test_exported_dce_style_and_mutual(self, driver: Driver) -> None:
        done = driver("-s", "-x", "-p", "-f", "0x1002", "-m", oid("BROWSERID-A128S2"))
        assert self.BY_NEGOEX in done.stdout
        assert done.returncode == 0, done.stdout

    def test_the_channel_is_bound_as_without(self, driver: Driver) -> None:
        newer = ("-s", "-m", oid("BROWSERID-A128S2"))
        said = driver(*newer, "-b", "one").stdout
        assert flags(PROTECTION, PROTECTION | TestChannelBinding.BOUND) in said
        said = driver(*newer, "-b", "one", "-B", "two").stdout
        assert "failed: " in said
        assert "Incorrect channel bindings" in said

    def test_nobody_is_signed_in(self, driver: Driver, tmp_path: Path) -> None:
        newer = ("-s", "-D", "-m", oid("BROWSERID-A128S2"))
        said = driver(*newer, HOME=str(tmp_path), BROWSERID_CONFIG="/dev/null").stdout
        assert "failed: init_sec_context" in said


class TestChannelBinding:
    BOUND = 0x800

    def test_the_acceptor_is_told_that_it_took_place(self, driver: Driver) -> None:
        assert flags(PROTECTION, PROTECTION | self.BOUND) in driver("-b", "one").stdout

    def test_other_data_is_refused(self, driver: Driver) -> None:
        said = driver("-b", "one", "-B", "two").stdout
        assert "Incorrect channel bindings" in said
        assert "the assertion is bound to another channel" in said
        assert "told: " in said  # the person's program gets an error token

    def test_none_where_the_acceptor_has_some_is_refused(self, driver: Driver) -> None:
        assert "the assertion is not bound to the channel" in driver("-B", "two").stdout


class TestNames:
    def test_attributes_are_the_certificates_claims(self, driver: Driver) -> None:
        said = driver().stdout
        prefix = "attribute: urn:ietf:params:gss:jwt"
        for claim, value in (("email", ALICE), ("iss", DOMAIN), ("role", "author")):
            assert f"{prefix} {claim} proven=1 value={value}\n" in said

    def test_exported_names_are_those_of_the_python_contexts(self, driver: Driver) -> None:
        octets = export_name(UserName.make(ALICE), mechanism_by_name(AES128)).hex()
        assert f"exported: {octets} equal=1\nagain: {ALICE}\n" in driver().stdout

    def test_nobody_has_an_account_until_the_configuration_says_so(
        self, driver: Driver, gss: GssSite
    ) -> None:
        said = driver("-l", "root").stdout
        assert "failed: localname" in said
        assert "may be root: 0\n" in said
        assert "has no account on this machine: `local_names`" in said
        before = gss.config_file.read_text()
        gss.add(f'[programs."root".local_names]\n"{ALICE}" = "al"\n')
        gss.reload_acceptor()
        try:
            said = driver("-l", "al").stdout
            assert "local: al\n" in said
            assert "may be al: 1\n" in said
            assert "may be root: 0\n" in driver("-l", "root").stdout
        finally:
            gss.config_file.write_text(before)
            gss.reload_acceptor()


class TestCredentials:
    @pytest.mark.parametrize("name", [ALICE, "alice"])
    def test_by_address_or_what_is_before_its_at(self, driver: Driver, name: str) -> None:
        assert f"initiator: {ALICE} at" in driver("-u", name).stdout

    def test_somebody_who_is_not_signed_in(self, driver: Driver) -> None:
        said = driver("-u", f"bob@{DOMAIN}").stdout
        assert "failed: acquire_cred major=0x70000\n" in said
        assert f"browserid login bob@{DOMAIN}" in said

    @pytest.mark.parametrize("name", [r"ali\nce", "/" * 257], ids=["control", "long"])
    def test_what_is_no_name_is_not_made_another(self, driver: Driver, name: str) -> None:
        """In its canonical form the second one has a backslash for each character."""
        said = driver("-u", name).stdout
        assert "failed: acquire_cred major=0x20000\n" in said
        assert f"initiator: {ALICE}" not in said

    def test_nobody_is_signed_in_at_all(self, driver: Driver, tmp_path: Path) -> None:
        said = driver(HOME=str(tmp_path), BROWSERID_CONFIG="/dev/null").stdout
        assert "failed: acquire_cred major=0x70000\n" in said
        assert "browserid login ADDRESS" in said


class TestThreadsAndForks:
    def test_threads(self, driver: Driver) -> None:
        done = driver("-t", "4", "-n", "25", "-p")
        assert done.stdout.endswith("made: 100 of 100\n"), done.stdout[-2000:]

    def test_a_child_leaves_what_is_under_way_to_its_parent(self, driver: Driver) -> None:
        done = driver("-k")
        assert "child: inherited refused\nchild: own made\n" in done.stdout
        assert "child: status 0\n" in done.stdout
        assert done.returncode == 0, done.stdout

    def test_valgrind_finds_nothing(self, driver: Driver) -> None:
        suppressions = ROOT / "tests" / "plugin" / "valgrind.supp"
        valgrind = ("valgrind", "-q", "--leak-check=full", "--error-exitcode=9")
        launcher = (*valgrind, f"--suppressions={suppressions}")
        done = driver("-x", "-p", "-f", "0x1002", "-b", "one", launcher=launcher)
        assert done.returncode == 0, done.stdout
        done = driver("-s", "-p", "-m", oid("BROWSERID-A128S2"), launcher=launcher)
        assert done.returncode == 0, done.stdout
        done = driver("-b", "one", "-B", "two", launcher=launcher)
        assert done.returncode == 1, done.stdout


class TestStockGs2Plugin:
    """Debian's GS2 plugin for Cyrus SASL, with its sample programs, and none of ours."""

    def test_logs_in_afresh_and_by_ticket(self, gss: GssSite) -> None:
        for row in WITH_KEY:
            for _ in ("afresh", "by ticket"):
                assert_logged_in(gss, Gs2(gss), row.name)

    def test_with_our_plugin_on_the_other_side(self, gss: GssSite) -> None:
        gss.configure("sample")
        for sides in ((gss.installation.plugins, None), (None, gss.all_plugins)):
            for _ in ("afresh", "by ticket"):
                assert_logged_in(gss, Gs2(gss, *sides))

    def test_both_plugins_at_once_offer_a_mechanism_once(self, gss: GssSite) -> None:
        gss.configure("sample")
        ours, stock = gss.installation.plugins, gss.stock_plugins
        for both in (f"{ours}:{stock}", f"{stock}:{ours}"):
            programs = Gs2(gss, both, both)
            listed = [name for name in programs.listed() if name.startswith("BROWSERID")]
            assert sorted(listed) == sorted(row.name for row in WITH_KEY)
            assert_logged_in(gss, programs)

    def test_beside_our_plugin_in_one_folder(self, gss: GssSite) -> None:
        gss.configure("sample")
        folder = gss.folder / "both-plugins"
        folder.mkdir()
        for library in (*gss.stock_plugins.iterdir(), gss.installation.library):
            (folder / library.name).symlink_to(library.resolve())
        listed = [name for name in Gs2(gss, folder, folder).listed() if "BROWSERID" in name]
        assert len(listed) == len(set(listed)) == len(WITH_KEY)

    def test_lists_nothing_where_nobody_is_signed_in_and_no_acceptor_is_there(
        self, gss: GssSite, tmp_path: Path
    ) -> None:
        listed = Gs2(gss, HOME=str(tmp_path), BROWSERID_ACCEPTOR=str(tmp_path / "none")).listed()
        assert not [name for name in listed if "BROWSERID" in name]


def assert_logged_in(gss: GssSite, programs: Gs2, mechanism: str = AES128) -> None:
    client, server = programs.log_in(mechanism)
    assert "got 'client message 1'" in server, client + server
    assert f"Username: {ALICE}" in server, server


@pytest.fixture(scope="module")
def server(gss: GssSite) -> Iterator[tuple[MitSamples, int]]:
    samples = MitSamples(gss)
    with samples.server() as port:
        yield samples, port


MECH = ("-mech", "{ " + oid(AES128).replace(".", " ") + " }")
SPNEGO = ("-mech", "{ 1 3 6 1 5 5 2 }")
USER = ("-user", ALICE)
VERIFIED = "Signature verified."
NO_KERBEROS = "No Kerberos credentials available"

CLIENT_FLAGS_THAT_SUCCEED = (
    MECH,
    (*MECH, "-seq"),
    (*MECH, "-noreplay"),
    (*MECH, "-nomutual"),
    (*MECH, "-dce"),
    (*MECH, "-d"),
    (*MECH, "-ccount", "3"),
    (*MECH, "-mcount", "3"),
    (*MECH, "-f"),
    (*MECH, "-na"),
    (*MECH, "-nw"),
    (*MECH, "-nx"),
    (*MECH, "-nm"),
    (*MECH, *USER),
    SPNEGO,
    ("-spnego",),
    ("-spnego", *USER),
    (*MECH, "-spnego", *USER),
    (*MECH, "-spnego", *USER, "-dce"),
)

CLIENT_FLAGS_THAT_FAIL = {
    # There are no passwords here.
    (*MECH, *USER, "-pass", "secret"): "not available or unsupported",
    # They are for another mechanism.
    (*MECH, "-krb5"): NO_KERBEROS,
    (*MECH, "-iakerb"): NO_KERBEROS,
    # Whatever the mechanism is: without -user there is no credential that -mech could be set on.
    (*MECH, "-spnego"): "No credentials were supplied",
    # Whatever the mechanism is: this gss-server waits for what such a client does not send.
    (*MECH, "-v1"): "reading token flags: 0 bytes read",
}


def flags_of(program: str) -> set[str]:
    """All that a program of krb5-gss-samples compares its arguments with."""
    found = re.findall(rb"(?<=\0)-[a-z0-9]+(?=\0)", Path("/usr/bin", program).read_bytes())
    return {each.decode() for each in found}


class TestMitSamplePrograms:
    """gss-client and gss-server of krb5-gss-samples, with every flag that they have."""

    def test_every_flag_of_the_client_is_tried(self) -> None:
        runs = (*CLIENT_FLAGS_THAT_SUCCEED, *CLIENT_FLAGS_THAT_FAIL, ("-q", "-port"))
        assert flags_of("gss-client") == {each for run in runs for each in run if each[0] == "-"}

    @pytest.mark.parametrize("options", CLIENT_FLAGS_THAT_SUCCEED, ids=" ".join)
    def test_a_flag_with_which_the_client_succeeds(
        self, server: tuple[MitSamples, int], options: tuple[str, ...]
    ) -> None:
        samples, port = server
        message = str(ROOT / "LICENSE") if "-f" in options else "a message"
        done = samples.client(port, *options, message=message)
        assert done.returncode == 0, done.stdout
        assert "error" not in done.stdout.lower(), done.stdout
        # Nothing is signed for a message that nobody protects.
        assert VERIFIED in done.stdout or {"-nm", "-nx", "-na", "-nw"} & set(options)

    @pytest.mark.parametrize(("options", "said"), CLIENT_FLAGS_THAT_FAIL.items(), ids=str)
    def test_a_flag_with_which_it_fails(
        self, server: tuple[MitSamples, int], options: tuple[str, ...], said: str
    ) -> None:
        samples, port = server
        assert said in samples.client(port, *options).stdout

    def test_quiet(self, server: tuple[MitSamples, int]) -> None:
        samples, port = server
        done = samples.client(port, *MECH, "-q")
        assert done.returncode == 0, done.stdout
        assert VERIFIED not in done.stdout

    def test_a_server_of_the_default_credential_is_sent_a_name_that_it_shows(
        self, server: tuple[MitSamples, int]
    ) -> None:
        samples, port = server
        assert VERIFIED in samples.client(port, *MECH).stdout
        said = f'Accepted connection: "{ALICE}"'
        wait_until(lambda: said in samples.log.read_text(errors="replace"), said)


class TestMitSampleServer:
    """Its flags: -port and -verbose are those of every run here."""

    KINDS = (("-export",), ("-once",), ("-logfile",), ("-keytab", "/nowhere"))

    def test_every_flag_of_the_server_is_tried(self) -> None:
        others = {"-port", "-verbose", "-inetd", "-iakerb"}
        assert flags_of("gss-server") == {run[0] for run in self.KINDS} | others

    @pytest.mark.parametrize("flags", KINDS, ids=" ".join)
    def test_a_flag(self, gss: GssSite, flags: tuple[str, ...], tmp_path: Path) -> None:
        log = tmp_path / "log"
        samples = MitSamples(gss, *flags, *((str(log),) if flags == ("-logfile",) else ()))
        with samples.server() as port:
            assert VERIFIED in samples.client(port, *MECH).stdout
            seen = log if flags == ("-logfile",) else samples.log
            wait_until(lambda: "Received message" in seen.read_text(errors="replace"), "it")
            if flags == ("-once",):
                wait_until(lambda: not listens(port), "the end of the server")

    def test_inetd(self, gss: GssSite) -> None:
        with socket.create_server((HOST, 0)) as listener:
            port = listener.getsockname()[1]
            server = (*("gss-server", "-inetd", "-logfile"), str(gss.folder / "inetd.log"))
            command = (*server, f"host@{HOST}")
            starter = threading.Thread(target=_serve, args=(listener, command, gss.variables))
            starter.start()
            said = MitSamples(gss).client(port, *MECH).stdout
            starter.join()
        assert VERIFIED in said

    def test_iakerb_is_for_another_mechanism(self, gss: GssSite) -> None:
        command = ("gss-server", "-iakerb", "-port", str(free_port()), f"host@{HOST}")
        assert "Key table file" in gss.run(*command).stdout


def _serve(listener: socket.socket, command: tuple[str, ...], variables: dict[str, str]) -> None:
    """What inetd does with the first who comes."""
    connection, _ = listener.accept()
    with connection:
        number = connection.fileno()
        subprocess.Popen(command, env=variables, stdin=number, stdout=number, stderr=number).wait(
            PATIENCE
        )


def test_no_symbol_but_gss_is_exported(installation: Installation) -> None:
    lines = run(("nm", "-D", "--defined-only", installation.gss_module)).stdout.splitlines()
    names = [line.split()[-1] for line in lines]
    assert names
    assert [name for name in names if not name.startswith(("gss_", "gssspi_"))] == []


def test_the_configuration_names_every_mechanism(installation: Installation) -> None:
    lines = installation.gss_mechanisms.read_text().splitlines()
    module = installation.gss_module
    assert lines == [f"{row.name.lower()} {oid(row.name)} {module}" for row in MECHANISMS]


def test_curl_negotiates_with_a_web_server(gss: GssSite) -> None:
    port = free_port()
    server = ("/usr/bin/python3", ROOT / "tests" / "plugin" / "gss_http.py", str(port))
    with service(server, port, gss.variables, gss.folder / "http.log"):
        url = f"http://{HOST}:{port}/"
        assert gss.run("curl", "-s", "--negotiate", "-u", ":", url).stdout == f"{ALICE}\n"
        # Without it nobody is let in.
        done = gss.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url)
        assert done.stdout == "401"


class TestThePage:
    """docs/gss-api.md, with this host's name and the site's free port."""

    BLOCKS = blocks_of(ROOT / "docs" / "gss-api.md")

    def block(self, kind: str, name: str = "") -> str:
        [text] = [each.text for each in self.BLOCKS if (each.kind, each.file) == (kind, name)]
        return text.replace("mail.example.org", HOST)

    def test_it_installs_what_has_the_headers(self) -> None:
        packages, make = self.block("sh", "install").splitlines()
        assert packages.split()[2:] == ["libkrb5-dev"]
        assert make == "make install"

    def test_its_section_and_its_commands(
        self, installation: Installation, provider_key: PrivateKey
    ) -> None:
        with folder_for_all() as folder, gss_site(installation, folder, provider_key) as site:
            site.realm.sign_in()
            text = site.config_file.read_text()
            site.config_file.write_text(text.partition("[programs.")[0] + self.block("toml"))
            port = free_port()
            option = f" -port {port} "
            server = self.block("sh", "server").replace("gss-server ", f"gss-server{option}")
            log = folder / "gss-server.log"
            with service(("stdbuf", "-oL", *shlex.split(server)), port, site.variables, log):
                client = self.block("sh", "client").replace("gss-client ", f"gss-client{option}")
                done = site.run("sh", "-ec", client)
                assert "Signature verified." in done.stdout
                said = f'Accepted connection: "{ALICE}"'
                wait_until(lambda: said in log.read_text(errors="replace"), said)
            program = folder / "program.py"
            program.write_text(self.block("python"))
            assert site.run("/usr/bin/python3", program).stdout == f"{ALICE} hello\n"
