"""Security contexts of GSS-API programs: who may accept them, and what they are told."""

from __future__ import annotations

import base64
import os
import pwd
from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl.acceptor.conversation import Conversation
from browserid_sasl.acceptor.servers import Servers
from browserid_sasl.api import Client
from browserid_sasl.config import ListenerConfig, ProgramsConfig, ServerConfig, StoreConfig, load
from browserid_sasl.errors import Code, Major
from browserid_sasl.gss import tokens
from browserid_sasl.gss.context import NO_FLAGS, ContextFlag, SecurityContext
from browserid_sasl.gss.plain import PlainInitiator
from browserid_sasl.krb5.enctypes import random_to_key
from browserid_sasl.wire.peer import Peer
from tests.acceptor.test_conversation import GREETED, FakeHost
from tests.support.acceptor import Reply
from tests.support.sample_programs import Person
from tests.support.services import AES128
from tests.support.site import DOMAIN, Site
from tests.support.world import key

ALICE = f"alice@{DOMAIN}"
ACCOUNT = pwd.getpwuid(os.getuid()).pw_name
ALL = ProgramsConfig(services=("imap",), keys=True)


class Programs:
    """A worker, and programs of one account that ask it."""

    def __init__(self, folder: Path, **server: object) -> None:
        config = Site(folder).config
        self.config = replace(
            config,
            store=StoreConfig(backend="memory"),
            server=ServerConfig(allow=(DOMAIN,), **server),  # type: ignore[arg-type]
        )

    def permit(self, section: ProgramsConfig | None) -> None:
        self.config = replace(self.config, programs={} if section is None else {ACCOUNT: section})

    def initiator(
        self, flags: ContextFlag = NO_FLAGS, bound: bytes | None = None
    ) -> PlainInitiator:
        person = Person(ALICE, key("idp"), DOMAIN)
        client = Client(self.config, "imap", "localhost", credentials=person)
        return client.initiate(AES128, channel_binding=bound, flags=flags)

    def asker(self) -> Asker:
        return Asker(FakeHost(Servers(self.config, "localhost")))


class Asker:
    """A program's connection."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self._conversation = Conversation(host, ListenerConfig(), Peer(1, os.getuid()))
        self._conversation.receive(GREETED)

    def ask(self, token: bytes, *further: str, service: str = "service=imap") -> Reply:
        fields = ["AUTH", "1", AES128, service, "bid", "bid_context", *further]
        return self._send("\t".join((*fields, f"resp={base64.b64encode(token).decode()}")))

    def go_on(self, token: bytes) -> Reply:
        return self._send(f"CONT\t1\t{base64.b64encode(token).decode()}")

    def _send(self, line: str) -> Reply:
        self._conversation.receive(line.encode() + b"\n")
        return Reply.parse(self.host.sent[-1])


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    programs = Programs(tmp_path)
    programs.permit(ALL)
    return programs


def established(programs: Programs, *further: str) -> tuple[Reply, SecurityContext]:
    initiator = programs.initiator()
    reply = programs.asker().ask(initiator.step() or b"", *further)
    assert reply.verb == "OK", reply
    initiator.step(reply.final)
    return reply, initiator.context


def test_both_ends_are_told_of_the_same_context(programs: Programs) -> None:
    reply, context = established(programs)
    told = reply.parameters
    assert context.root_key is not None
    key_octets = random_to_key(context.mechanism.enctype, context.root_key).octets
    assert base64.b64decode(told["bid_key"]) == key_octets
    assert int(told["bid_flags"]) == context.flags
    assert told["bid_expires"] == str(context.expires // 1000)
    assert (told["bid_initiator"], told["bid_target"]) == (ALICE, "imap/localhost")
    assert "bid_extra_round_trip" not in told


def test_the_log_has_it_without_the_key(programs: Programs) -> None:
    asker = programs.asker()
    reply = asker.ask(programs.initiator().step() or b"")
    [line] = asker.host.log
    assert f"user=<{ALICE}>" in line and "service=imap" in line
    assert reply.parameters["bid_key"] not in line


def test_the_person_is_told_of_a_refusal(programs: Programs) -> None:
    programs.config = replace(programs.config, server=ServerConfig())
    reply = programs.asker().ask(programs.initiator().step() or b"")
    assert reply.verb == "FAIL"
    assert reply.parameters["bid_code"] == Code.NO_LOCAL_MAPPING.text
    assert int(reply.parameters["bid_major"]) == Code.NO_LOCAL_MAPPING.major
    assert int(reply.parameters["bid_minor"]) == Code.NO_LOCAL_MAPPING.wire
    assert reply.final and reply.final.startswith(b"C,")


def test_the_service_is_the_tokens_where_the_program_names_none(programs: Programs) -> None:
    reply = programs.asker().ask(programs.initiator().step() or b"", service="service=")
    assert reply.verb == "OK"


def test_an_extra_round_trip_and_dce_style(programs: Programs) -> None:
    initiator, asker = programs.initiator(ContextFlag.DCE_STYLE), programs.asker()
    first = asker.ask(initiator.step() or b"")
    assert first.verb == "CONT"
    reply = asker.go_on(initiator.step(first.data) or b"")
    assert reply.verb == "OK"
    assert int(reply.parameters["bid_flags"]) & ContextFlag.DCE_STYLE
    assert "bid_extra_round_trip" in reply.parameters
    assert reply.final is None


def test_identify(programs: Programs) -> None:
    initiator = programs.initiator(ContextFlag.IDENTIFY)
    reply = programs.asker().ask(initiator.step() or b"")
    assert int(reply.parameters["bid_flags"]) & ContextFlag.IDENTIFY


class TestChannelBinding:
    DATA = f"bid_bound={base64.b64encode(b'one').decode()}"

    def test_the_same_on_both_sides(self, programs: Programs) -> None:
        token = programs.initiator(bound=b"one").step() or b""
        assert programs.asker().ask(token, self.DATA).verb == "OK"

    def test_another(self, programs: Programs) -> None:
        token = programs.initiator(bound=b"two").step() or b""
        reply = programs.asker().ask(token, self.DATA)
        assert int(reply.parameters["bid_major"]) == Major.BAD_BINDINGS

    def test_none_where_some_is_expected(self, programs: Programs) -> None:
        token = programs.initiator().step() or b""
        reply = programs.asker().ask(token, self.DATA)
        assert reply.parameters["bid_code"] == Code.MISSING_CHANNEL_BINDINGS.text


class TestWhoMayAccept:
    """[programs.ACCOUNT] by the kernel's word on the program."""

    def test_nobody_until_it_is_set(self, programs: Programs) -> None:
        programs.permit(None)
        reply = programs.asker().ask(programs.initiator().step() or b"")
        assert reply.parameters["bid_code"] == Code.WRONG_ACCEPTOR_NAME.text
        assert f'[programs."{ACCOUNT}"]' in reply.parameters["bid_detail"]
        assert "bid_key" not in reply.parameters

    @pytest.mark.option("programs.services")
    @pytest.mark.parametrize(("services", "verb"), [('["imap"]', "OK"), ('["ldap"]', "FAIL")])
    @pytest.mark.parametrize("named", ["service=imap", "service="])
    def test_services_from_the_file(
        self, programs: Programs, tmp_path: Path, services: str, verb: str, named: str
    ) -> None:
        read_from(programs, tmp_path, f"services = {services}")
        reply = programs.asker().ask(programs.initiator().step() or b"", service=named)
        assert reply.verb == verb

    @pytest.mark.option("programs.keys")
    def test_without_keys_a_program_learns_who_it_is_and_no_more(
        self, programs: Programs, tmp_path: Path
    ) -> None:
        read_from(programs, tmp_path, 'services = ["imap"]')
        told = established(programs)[0].parameters
        assert told["user"] == ALICE
        assert "bid_key" not in told
        assert int(told["bid_flags"]) == ContextFlag.TRANSFERABLE
        read_from(programs, tmp_path, 'services = ["imap"]\nkeys = true')
        assert "bid_key" in established(programs)[0].parameters

    @pytest.mark.option("programs.local_names")
    def test_local_names(self, programs: Programs, tmp_path: Path) -> None:
        assert "bid_local" not in established(programs)[0].parameters
        table = f'[programs."{ACCOUNT}".local_names]\n"{ALICE}" = "al"\n"bob@{DOMAIN}" = "bob"\n'
        read_from(programs, tmp_path, 'services = ["imap"]\n' + table)
        assert established(programs)[0].parameters["bid_local"] == "al"


def read_from(programs: Programs, folder: Path, options: str) -> None:
    """Have the section from a file."""
    file = folder / "programs.toml"
    file.write_text(f'[programs."{ACCOUNT}"]\n{options}\n')
    programs.config = replace(programs.config, programs=load(file).programs)


class TestTokens:
    @pytest.mark.parametrize(
        ("token", "code"),
        [
            (b"", Code.BAD_TOKEN_HEADER),
            (b"c,eyJ", Code.BAD_TOKEN_HEADER),
            (b"\x60\x05\x06\x03\x2a\x03\x04", Code.WRONG_MECH),
            (tokens.wrap_initial((1, 3, 6, 1, 4, 1, 5322, 24, 1, 18), b"c,x"), Code.WRONG_MECH),
        ],
    )
    def test_what_is_no_first_token_is_refused(
        self, programs: Programs, token: bytes, code: Code
    ) -> None:
        reply = programs.asker().ask(token)
        assert reply.verb == "FAIL"
        assert reply.parameters["bid_code"] == code.text

    def test_a_token_that_cannot_be_read_names_no_service(self, programs: Programs) -> None:
        reply = programs.asker().ask(b"\x60\x01", service="service=")
        assert reply.verb == "FAIL"


def test_more_attributes_than_fit_into_a_line_are_a_refusal(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("browserid_sasl.acceptor.contexts.MOST_ATTRIBUTES", 3)
    reply = programs.asker().ask(programs.initiator().step() or b"")
    assert reply.parameters["bid_code"] == Code.BUFFER_TOO_LONG.text


def test_attributes_stand_before_their_values(programs: Programs) -> None:
    asker = programs.asker()
    asker.ask(programs.initiator().step() or b"")
    fields = asker.host.sent[-1].split("\t")
    at = fields.index("bid_attribute=urn:ietf:params:gss:jwt email")
    assert fields[at + 1] == f"bid_value={ALICE}"
