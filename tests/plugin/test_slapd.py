"""OpenLDAP, whose server is threaded and whose clients ask by prompts."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from browserid_sasl.sasl.client import ClientMechanism
from tests.support.sample_programs import ALICE, DOMAIN
from tests.support.services import AES128, Site, Slapd, Syslog

ALICE_DN = f"dn:uid=alice,ou=people,{Slapd.BASE}"


@pytest.fixture
def slapd(site: Site) -> Iterator[Slapd]:
    with Slapd(site).running() as slapd:
        yield slapd


def whoami(slapd: Slapd, *arguments: str, input: str = "") -> str:
    # Without -N the client takes this machine's own name for a loopback address.
    command = ("ldapwhoami", "-N", "-H", slapd.url, "-Y", AES128, *arguments)
    return slapd.site.run(*command, input=input).stdout


def test_the_mechanisms_are_announced(slapd: Slapd) -> None:
    attribute = "supportedSASLMechanisms"
    command = ("ldapsearch", "-x", "-LLL", "-H", slapd.url, "-s", "base", "-b", "", attribute)
    assert f"{attribute}: {AES128}\n" in slapd.site.run(*command).stdout


def test_ldapwhoami_returns_the_mapped_identity(slapd: Slapd) -> None:
    assert ALICE_DN in whoami(slapd, "-U", ALICE)


def test_an_empty_answer_to_the_prompt_means_the_default_identity(slapd: Slapd) -> None:
    said = whoami(slapd, input="\n")
    assert "E-mail address to log in with (empty for the default identity): " in said
    assert ALICE_DN in said


def test_a_missing_sign_in_names_the_command(slapd: Slapd) -> None:
    said = whoami(slapd, "-Q", "-U", f"bob@{DOMAIN}")
    assert f"bob@{DOMAIN} is not signed in: sign in first: browserid login bob@{DOMAIN}" in said


def test_a_stranger_is_refused(new_site: Callable[[str], Site], syslog: Syslog) -> None:
    """Signed in with the identity provider of their own domain, whose key slapd knows."""
    site = new_site("root")
    site.pin("stranger.test")
    eve = "eve@stranger.test"
    site.realm.sign_in(eve)
    with Slapd(site).running() as slapd:
        mark = syslog.mark()
        said = whoami(slapd, "-Q", "-U", eve)
    assert "authorization failure" in said
    assert "dn:" not in said
    syslog.wait_for(rf" {re.escape(eve)} may not log in to this service:", mark)


def test_strangers_with_silent_providers_hold_up_nobody(new_site: Callable[[str], Site]) -> None:
    """Nobody connects to their providers, so no thread of slapd waits for an answer."""
    site = new_site("root")
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        silent.setblocking(False)
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with site.config_file.open("a") as config:
            config.write(f'\n[authorities."stranger.test"]\nurl = "{url}"\n')
        with Slapd(site).running() as slapd, ExitStack() as stack:
            strangers = [
                stack.enter_context(socket.create_connection(("127.0.0.1", slapd.port), 20))
                for _ in range(12)
            ]
            for number, connection in enumerate(strangers):
                eve = site.realm.person(f"eve{number}@stranger.test")
                send_bind(connection, 1, AES128, site.mechanism("ldap", person=eve).step(None))
            with socket.create_connection(("127.0.0.1", slapd.port), 20) as connection:
                assert bind(connection, 1, site.mechanism("ldap")) == SUCCESS
            for connection in strangers:
                code, challenge = read_bind_response(connection)
                assert (code, b"C,~" in challenge) == (IN_PROGRESS, True)
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_a_domain_that_looks_like_the_mapped_one_is_not_mapped(
    new_site: Callable[[str], Site],
) -> None:
    domain = "uni.example.test"
    lookalikes = ("unixexample.test", "uni.examplextest.test", "my-uni.example.test")
    site = new_site("root")
    site.allow = "*"
    for each in (domain, *lookalikes):
        site.pin(each)
        site.realm.sign_in(f"bob@{each}")
    with Slapd(site, domain=domain).running() as slapd:
        assert f"dn:uid=bob,ou=people,{Slapd.BASE}\n" in whoami(slapd, "-Q", "-U", f"bob@{domain}")
        for each in lookalikes:
            expected = f"dn:uid=bob@{each},cn={AES128.lower()},cn=auth\n"
            assert expected in whoami(slapd, "-Q", "-U", f"bob@{each}")


def test_acting_as_somebody_else_is_refused(slapd: Slapd) -> None:
    said = whoami(slapd, "-Q", "-U", ALICE, "-X", f"u:bob@{DOMAIN}")
    assert "Insufficient access" in said or "not authorized" in said.lower()


def test_500_logins_over_10_connections_lose_none(slapd: Slapd) -> None:
    def fifty_times(_: int) -> int:
        client = slapd.site.client("ldap")
        with socket.create_connection(("127.0.0.1", slapd.port), 20) as connection:
            for number in range(50):
                assert bind(connection, 2 * number + 1, client.start_with(AES128)) == SUCCESS
        return 50

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(fifty_times, range(10))) == 500


SUCCESS = 0
IN_PROGRESS = 14


def bind(connection: socket.socket, message_id: int, mechanism: ClientMechanism) -> int:
    """Authenticate an LDAP connection (RFC 4511 section 4.2); the result code."""
    response = mechanism.step(None)
    while True:
        send_bind(connection, message_id, mechanism.name, response)
        code, challenge = read_bind_response(connection)
        if code == SUCCESS:
            assert mechanism.step(challenge) == b""
            assert mechanism.complete
        if code != IN_PROGRESS:
            return code
        response = mechanism.step(challenge)
        message_id += 1


def send_bind(connection: socket.socket, message_id: int, mechanism: str, octets: bytes) -> None:
    sasl = tlv(0x04, mechanism.encode()) + tlv(0x04, octets)
    request = tlv(0x02, b"\3") + tlv(0x04, b"") + tlv(0xA3, sasl)
    number = tlv(0x02, message_id.to_bytes(2, "big"))
    connection.sendall(tlv(0x30, number + tlv(0x60, request)))


def tlv(tag: int, value: bytes) -> bytes:
    length = len(value)
    if length < 0x80:
        return bytes((tag, length)) + value
    return bytes((tag, 0x82)) + length.to_bytes(2, "big") + value


def read_bind_response(connection: socket.socket) -> tuple[int, bytes]:
    _, message, _ = split(connection.recv(16384))
    _, _, rest = split(message)
    _, response, _ = split(rest)
    fields = {}
    while response:
        tag, value, response = split(response)
        fields[tag] = value
    return fields[0x0A][0], fields.get(0x87, b"")


def split(octets: bytes) -> tuple[int, bytes, bytes]:
    """The tag and value of the first element, and what follows it."""
    length, start = octets[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(octets[2:start], "big")
    return octets[0], octets[start : start + length], octets[start + length :]
