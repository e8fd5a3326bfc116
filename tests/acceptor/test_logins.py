"""Logins through a running acceptor, as the programs of this project and others make them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from browserid_sasl.api import client
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.sasl.channel_binding import ChannelBinding
from tests.support.acceptor import Daemon, Host, Program, running
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import AES128, folder_for_all

EXPORTER = ChannelBinding("tls-exporter", b"\x01keying\tmaterial\0")
EXPORTER_TEXT = "AWtleWluZwltYXRlcmlhbAA="


@pytest.fixture(scope="module")
def host(provider_key: PrivateKey) -> Iterator[Host]:
    """One for all of these tests, which change nothing about it."""
    with folder_for_all() as folder:
        yield Host(folder, provider_key)


@pytest.fixture(scope="module")
def running_daemon(host: Host) -> Iterator[Daemon]:
    with running(host.config_file, host.output) as daemon:
        yield daemon


@pytest.fixture
def daemon(running_daemon: Daemon) -> Daemon:
    """The host's acceptor, with a log of what a test has caused."""
    running_daemon.forget()
    return running_daemon


def test_the_greeting_names_the_mechanisms(host: Host, daemon: Daemon) -> None:
    with Program(host.socket) as program:
        assert program.greeting[0] == "VERSION\t1\t3"
        assert program.mechanisms == ["BROWSERID-AES128", "BROWSERID-AES256"]
        assert program.worker in daemon.workers()


def test_a_program_that_knows_only_dovecots_protocol(host: Host, daemon: Daemon) -> None:
    client = host.client()
    with Program(host.socket) as program:
        first = program.log_in(client.start_with(AES128), id=1, rip="192.0.2.1")
        again = program.log_in(client.start_with(AES128), id=2, rip="192.0.2.1")
    for reply in (first, again):
        assert (reply.verb, reply.parameters) == ("OK", {"user": ALICE})
    assert daemon.log.count("login succeeded: rip=192.0.2.1 service=imap") == 2
    assert "by=certificate" in daemon.log
    assert "by=ticket" in daemon.log


def test_the_last_message_goes_along_with_success_where_that_is_known(
    host: Host, daemon: Daemon
) -> None:
    with Program(host.socket) as program:
        for id, parameter in enumerate(("bid", "final-resp-ok")):
            mechanism = host.mechanism()
            program.begin(id, AES128, mechanism.step(None), **{parameter: "1"})
            reply = program.reply()
            assert reply.verb == "OK"
            assert reply.final
            assert mechanism.step(reply.final) == b""


def test_a_client_without_a_first_message_is_asked_for_it(host: Host, daemon: Daemon) -> None:
    mechanism = host.mechanism()
    with Program(host.socket) as program:
        program.begin(1, AES128, None, bid="1")
        assert program.reply().data == b""
        program.proceed(1, mechanism.step(None))
        assert program.reply().verb == "OK"


def test_our_own_programs_hear_more(host: Host, daemon: Daemon) -> None:
    person = host.realm.person(name="Alice Adams", age=30)
    with Program(host.socket) as program:
        reply = program.log_in(host.mechanism(person=person), bid="1")
    told = reply.parameters
    assert (told["user"], told["bid_authzid"]) == (ALICE, ALICE)
    assert told["bid_prop.browserid-email"] == ALICE
    assert told["bid_prop.browserid-issuer"] == DOMAIN
    assert told["bid_prop.browserid-expires"].isdecimal()
    assert told["bid_prop.browserid-claim-name"] == "Alice Adams"
    assert told["bid_prop.browserid-claim-age"] == "30"


def test_a_replay_is_refused_and_the_client_told(host: Host, daemon: Daemon) -> None:
    message = host.mechanism().step(None)
    with Program(host.socket) as program:
        program.begin(1, AES128, message, bid="1")
        assert program.reply().verb == "OK"
        program.begin(2, AES128, message, bid="1", rip="192.0.2.9")
        reply = program.reply()
    assert reply.verb == "FAIL"
    assert reply.parameters["bid_code"] == "replayed-assertion"
    assert reply.parameters["bid_sasl"] == "-13"
    assert reply.parameters["bid_level"] == "2"
    assert "temp" not in reply.parameters
    assert reply.final is not None
    assert reply.final.startswith(b"C,")
    expected = f"login refused: rip=192.0.2.9 service=imap mechanism={AES128}"
    assert expected in daemon.log
    assert f"code=replayed-assertion claimed=<{ALICE}>" in daemon.log


def test_another_program_gets_the_error_token_and_then_the_failure(
    host: Host, daemon: Daemon
) -> None:
    message = host.mechanism().step(None)
    with Program(host.socket) as program:
        program.begin(1, AES128, message)
        assert program.reply().verb == "CONT"
        program.proceed(1, b"")
        assert program.reply().verb == "OK"
        program.begin(2, AES128, message)
        assert program.reply().data.startswith(b"C,")
        # Logged when it is known: many clients hang up here.
        assert "code=replayed-assertion" in daemon.log
        program.proceed(2, b"")
        reply = program.reply()
    assert reply.verb == "FAIL"
    assert set(reply.parameters) == {"reason"}
    assert daemon.log.count("code=replayed-assertion") == 1


def test_logins_on_one_connection_do_not_wait_for_each_other(host: Host, daemon: Daemon) -> None:
    first, second = host.mechanism(), host.mechanism()
    with Program(host.socket) as program:
        program.begin(1, AES128, None, bid="1")
        assert program.reply().id == 1
        program.begin(2, AES128, second.step(None), bid="1")
        assert program.reply().id == 2
        program.proceed(1, first.step(None))
        assert (reply := program.reply()).verb == "OK"
        assert reply.id == 1


def test_a_login_that_was_cancelled_is_over(host: Host, daemon: Daemon) -> None:
    with Program(host.socket) as program:
        program.begin(1, AES128, None)
        program.reply()
        program.send("CANCEL\t1", "CONT\t1\tYWJj")
        assert program.reply().verb == "FAIL"
    assert "login abandoned" in daemon.log


def test_the_same_number_twice_is_the_end(host: Host, daemon: Daemon) -> None:
    with Program(host.socket) as program:
        program.begin(1, AES128, None)
        program.reply()
        program.begin(1, AES128, None)
        assert program.line().startswith("ERROR\t")
        with pytest.raises(ConnectionError):
            program.line()


@pytest.mark.parametrize("name", ["SCRAM-SHA-256", "BROWSERID", "x" * 200, "PLAIN"])
def test_a_mechanism_that_is_not_offered_is_refused(host: Host, daemon: Daemon, name: str) -> None:
    with Program(host.socket) as program:
        program.begin(1, name, b"n,,c,x", bid="1")
        reply = program.reply()
    assert reply.parameters["bid_code"] == "wrong-mech"
    assert "temp" not in reply.parameters


# Who acts as whom


def act_as(host: Host, authzid: str, **parameters: str) -> dict[str, str]:
    with Program(host.socket) as program:
        mechanism = host.mechanism(authzid=authzid)
        program.begin(1, AES128, mechanism.step(None), **{"bid": "1"} | parameters)
        reply = program.reply()
        return {"verb": reply.verb} | reply.parameters


def test_nobody_acts_as_somebody_else(host: Host, daemon: Daemon) -> None:
    told = act_as(host, f"bob@{DOMAIN}")
    assert (told["verb"], told["bid_code"], told["code"]) == (
        "FAIL",
        "no-local-mapping",
        "authz_fail",
    )


def test_ones_own_address_is_oneself_however_its_domain_is_spelled(
    host: Host, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A client of somebody else's sends what it is given.
    monkeypatch.setattr(client, "acting_as", lambda _identity, _name, authzid: authzid)
    told = act_as(host, f"alice@{DOMAIN.upper()}")
    assert (told["verb"], told["user"], told["bid_authzid"]) == ("OK", ALICE, ALICE)
    assert act_as(host, f"Alice@{DOMAIN}")["bid_code"] == "no-local-mapping"


def test_unless_the_program_decides_that_itself(host: Host, daemon: Daemon) -> None:
    told = act_as(host, f"bob@{DOMAIN}", bid_authz="1")
    assert (told["verb"], told["user"], told["bid_authzid"]) == ("OK", ALICE, f"bob@{DOMAIN}")
    assert f"user=<{ALICE}> as=<bob@{DOMAIN}>" in daemon.log


def test_a_short_name_is_ones_own_where_domains_are_stripped(host: Host, daemon: Daemon) -> None:
    option = {"bid_opt.strip_domain": DOMAIN}
    assert act_as(host, "alice", **option)["user"] == "alice"
    assert act_as(host, "bob", **option)["verb"] == "FAIL"
    assert act_as(host, "bob")["verb"] == "FAIL"


# Channel binding


def bound(host: Host, **parameters: str) -> dict[str, str]:
    mechanism = host.mechanism(channel_binding=EXPORTER, binding_critical=True)
    with Program(host.socket) as program:
        reply = program.log_in(mechanism, 1, "imap", **{"bid": "1"} | parameters)
        return {"verb": reply.verb} | reply.parameters


def test_a_login_is_bound_to_the_programs_channel(host: Host, daemon: Daemon) -> None:
    told = bound(host, **{"bid_cb.tls-exporter": EXPORTER_TEXT})
    assert (told["verb"], told["bid_binding"]) == ("OK", "tls-exporter")
    assert "bound=tls-exporter" in daemon.log


@pytest.mark.parametrize(
    "parameters",
    [{}, {"bid_cb.tls-exporter": "AAAA"}, {"bid_cb.tls-unique": EXPORTER_TEXT}],
    ids=["no data", "other data", "other type"],
)
def test_a_login_bound_to_another_channel_is_refused(
    host: Host, daemon: Daemon, parameters: dict[str, str]
) -> None:
    told = bound(host, **parameters)
    assert (told["verb"], told["bid_sasl"]) == ("FAIL", "-32")


def test_a_program_can_demand_that_the_channel_is_bound_to(host: Host, daemon: Daemon) -> None:
    with Program(host.socket) as program:
        parameters = {"bid": "1", "bid_cb.tls-exporter": EXPORTER_TEXT, "bid_cb_critical": "1"}
        program.begin(1, AES128, host.mechanism().step(None), **parameters)
        assert program.reply().parameters["bid_code"] == "missing-channel-bindings"


def test_a_client_that_could_have_bound_is_reported(host: Host, daemon: Daemon) -> None:
    mechanism = host.client().start([AES128], channel_binding=EXPORTER)
    with Program(host.socket) as program:
        reply = program.log_in(mechanism, bid="1")
    assert "bid_cb_want" in reply.parameters


def test_a_program_of_version_1_3_is_asked_for_the_data(host: Host, daemon: Daemon) -> None:
    mechanism = host.mechanism(channel_binding=EXPORTER, binding_critical=True)
    with Program(host.socket, minor=3) as program:
        program.begin(1, AES128, mechanism.step(None), **{"final-resp-ok": "1"})
        asked = program.reply()
        assert (asked.data, asked.parameters) == (b"#", {"channel_binding": "tls-exporter"})
        program.send(f"CONT\t1\t#\tchannel_binding={EXPORTER_TEXT}")
        assert program.reply().verb == "OK"


def test_and_is_refused_with_other_data(host: Host, daemon: Daemon) -> None:
    mechanism = host.mechanism(channel_binding=EXPORTER, binding_critical=True)
    with Program(host.socket, minor=3) as program:
        program.begin(1, AES128, mechanism.step(None))
        assert program.reply().data == b"#"
        program.send("CONT\t1\t#\tchannel_binding=AAAA")
        reply = program.reply()
        assert reply.data.startswith(b"C,")
        program.proceed(1, b"")
        assert program.reply().verb == "FAIL"


class TestOurOwnProgramOfVersion13:
    """It is asked like another, for what it has not given; and says what it lists."""

    def test_it_is_asked_for_the_data(self, host: Host, daemon: Daemon) -> None:
        mechanism = host.mechanism(channel_binding=EXPORTER, binding_critical=True)
        with Program(host.socket, minor=3) as program:
            program.begin(1, f"{AES128}-PLUS", mechanism.step(None), bid="1")
            assert program.reply().parameters == {"channel_binding": "tls-exporter"}
            program.send(f"CONT\t1\t#\tchannel_binding={EXPORTER_TEXT}")
            assert program.reply().parameters["bid_binding"] == "tls-exporter"

    def test_it_is_not_asked_for_what_it_has_given(self, host: Host, daemon: Daemon) -> None:
        mechanism = host.mechanism(channel_binding=EXPORTER, binding_critical=True)
        with Program(host.socket, minor=3) as program:
            given = {"bid": "1", "bid_cb.tls-exporter": EXPORTER_TEXT}
            program.begin(1, AES128, mechanism.step(None), **given)
            assert program.reply().parameters["bid_binding"] == "tls-exporter"

    @pytest.mark.parametrize(
        ("parameters", "over"), [({}, "FAIL"), ({"bid_plus_unlisted": "1"}, "OK")]
    )
    def test_a_client_that_believes_that_the_name_is_not_listed(
        self, host: Host, daemon: Daemon, parameters: dict[str, str], over: str
    ) -> None:
        mechanism = host.client().start([AES128], channel_binding=EXPORTER)
        with Program(host.socket, minor=3) as program:
            reply = program.log_in(mechanism, 1, "imap", **({"bid": "1"} | parameters))
        assert reply.verb == over
        assert reply.parameters.get("bid_code") == (
            "channel-bindings-mismatch" if over == "FAIL" else None
        )


def test_the_name_with_plus_demands_that_the_channel_is_bound_to(
    host: Host, daemon: Daemon
) -> None:
    with Program(host.socket) as program:
        program.begin(1, f"{AES128}-PLUS", host.mechanism().step(None), bid="1")
        assert program.reply().parameters["bid_code"] == "missing-channel-bindings"


# What a program may set


@pytest.mark.parametrize("option", ["x509_key", "ticket_lifetime", "allow_file", "nonsense"])
def test_an_option_that_is_not_the_programs_to_set(host: Host, daemon: Daemon, option: str) -> None:
    with Program(host.socket) as program:
        parameters = {"bid": "1", f"bid_opt.{option}": "/etc/passwd"}
        program.begin(1, AES128, host.mechanism().step(None), **parameters)
        reply = program.reply()
    assert "temp" in reply.parameters
    assert f"browserid_{option}" in reply.parameters["bid_detail"]
    assert "/etc/passwd" not in daemon.log


def test_the_programs_host_name_counts(host: Host, daemon: Daemon) -> None:
    with Program(host.socket) as program:
        program.begin(1, AES128, host.mechanism().step(None), bid="1", bid_host="mx.test")
        assert program.reply().parameters["bid_code"] == "bad-audience"


def test_the_name_that_a_client_gave_by_tls_does_not(host: Host, daemon: Daemon) -> None:
    """Somebody whose server alice uses could pass her assertion for it on to this one."""
    elsewhere = host.client(host="elsewhere.test").start_with(AES128)
    with Program(host.socket) as program:
        program.begin(1, AES128, elsewhere.step(None), local_name="elsewhere.test", bid="1")
        assert program.reply().parameters["bid_code"] == "bad-audience"


def test_dovecots_names_for_services_are_known(host: Host, daemon: Daemon) -> None:
    for service, name in (("submission", "smtp"), ("pop3", "pop"), ("managesieve", "sieve")):
        with Program(host.socket) as program:
            assert program.log_in(host.mechanism(name), service=service).verb == "OK"
