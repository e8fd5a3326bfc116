"""Contexts without SASL around them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from browserid_sasl import Client, Server
from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.plain import PlainAcceptor, PlainInitiator
from tests.support.site import Site
from tests.support.world import ALICE

HOST = "mail.example.com"
ALL = ("BROWSERID-AES128", "BROWSERID-AES256", "BROWSERID-A128S2", "BROWSERID-A256S2")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.sign_in()
    return site


def establish(initiator: PlainInitiator, acceptor: PlainAcceptor) -> None:
    token = initiator.step()
    while token is not None:
        answer = acceptor.step(token)
        token = None if answer is None else initiator.step(answer)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("extra_round_trip", [False, True])
def test_messages_are_protected_both_ways(site: Site, name: str, extra_round_trip: bool) -> None:
    options = replace(site.config.server, mechanisms=ALL, extra_round_trip=extra_round_trip)
    initiator = Client(site.config, "ldap", HOST).initiate(name)
    acceptor = Server(replace(site.config, server=options), "ldap", HOST).accept()
    establish(initiator, acceptor)

    assert initiator.complete
    assert acceptor.complete
    assert acceptor.context.identity == ALICE
    assert acceptor.context.extra_round_trip == extra_round_trip
    ours, theirs = initiator.context.protection(), acceptor.context.protection()
    assert bytes(theirs.unwrap(ours.wrap(b"search")).data) == b"search"
    assert bytes(ours.unwrap(theirs.wrap(b"result")).data) == b"result"
    theirs.verify_mic(b"search", ours.get_mic(b"search"))
    assert initiator.context.pseudo_random(b"x", 40) == acceptor.context.pseudo_random(b"x", 40)


def test_the_channel_binding_is_compared(site: Site) -> None:
    initiator = Client(site.config, "ldap", HOST).initiate(channel_binding=b"one")
    acceptor = Server(site.config, "ldap", HOST).accept(channel_binding=b"other")
    token = initiator.step()
    assert token is not None
    acceptor.step(token)

    assert acceptor.failure is not None
    assert acceptor.failure.code is Code.CHANNEL_BINDINGS_MISMATCH
    assert not acceptor.complete


def test_a_mechanism_that_is_not_offered_is_named(site: Site) -> None:
    acceptor = Server(site.config, "ldap", HOST).accept()
    token = Client(site.config, "ldap", HOST).initiate("BROWSERID-A256S2").step()
    assert token is not None
    with pytest.raises(RemoteProtocolError, match=r"5322\.24\.1\.20") as refusal:
        acceptor.step(token)
    assert refusal.value.code is Code.WRONG_MECH
    with pytest.raises(RemoteProtocolError, match=r"1\.2\.840"):
        acceptor.step(tokens.wrap_initial((1, 2, 840, 113554, 1, 2, 2), b"krb5"))
    with pytest.raises(LocalProtocolError, match="not established"):
        _ = acceptor.context
    assert acceptor.failure is None


def test_a_first_token_without_its_frame_is_refused(site: Site) -> None:
    acceptor = Server(site.config, "ldap", HOST).accept()
    with pytest.raises(RemoteProtocolError) as refusal:
        acceptor.step(b"c,x.y.z")
    assert refusal.value.code is Code.BAD_TOKEN_HEADER
