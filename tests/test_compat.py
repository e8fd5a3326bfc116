"""The stand-in for the `sasl` package's client."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl import Server, compat
from tests.support.site import Site
from tests.support.world import ALICE

HOST = "mail.example.com"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.sign_in()
    return site


def client(site: Site, **attributes: str | int) -> compat.Client:
    made = compat.Client(site.config)
    for key, value in ({"service": "imap", "host": HOST} | attributes).items():
        assert made.setAttr(key, value)
    return made


def test_a_program_written_for_the_sasl_package_logs_in(site: Site) -> None:
    ours = client(site, username=ALICE)
    server = Server(site.config, "imap", HOST).start("BROWSERID-AES256")
    assert ours.init()
    ok, mechanism, response = ours.start("PLAIN,BROWSERID-AES256 SCRAM-SHA-1")
    assert (ok, mechanism) == (True, b"BROWSERID-AES256")
    challenge = server.step(response)
    ok, response = ours.step(challenge or b"")
    assert (ok, response) == (True, b"")
    server.step(response)

    assert server.result.identity == ALICE
    assert ours.getUserId() == (True, ALICE.encode())
    assert ours.getSSF() == (True, 0)
    assert ours.encode("clear") == (True, b"clear")
    assert ours.decode(b"clear") == (True, b"clear")
    assert ours.getError() == b""


def test_authname_signs_in_and_username_is_whom_it_acts_as(site: Site) -> None:
    ours = client(site, username="postmaster", authname=ALICE)
    assert ours.init()
    ok, _, response = ours.start("BROWSERID-AES128")
    assert ok
    assert response.startswith(b"n,a=postmaster,c,")


@pytest.mark.parametrize("key", ["username", "authname"])
def test_a_bare_name_is_who_has_it_and_nobody_else(site: Site, key: str) -> None:
    for name, signed_in in (("alice", True), ("bob", False)):
        ours = client(site, **{key: name})
        ours.init()
        assert ours.start("BROWSERID-AES128")[0] is signed_in
        assert (ALICE.encode() in ours.getError()) is not signed_in


def test_failures_are_returned_and_explained_once(site: Site) -> None:
    ours = client(site, username="bob@idp.test")
    assert ours.init()
    assert ours.start("BROWSERID-AES128") == (False, b"", b"")
    assert b"browserid login bob@idp.test" in ours.getError()
    assert ours.getError() == b""
    assert ours.start("PLAIN") == (False, b"", b"")
    assert b"offers no mechanism" in ours.getError()


def test_a_challenge_that_is_not_one_is_returned_as_a_failure(site: Site) -> None:
    ours = client(site)
    ours.init()
    ours.start("BROWSERID-AES128")
    assert ours.step("nonsense") == (False, b"")
    assert b"Error in step" in ours.getError()


def test_methods_out_of_order_are_failures(site: Site) -> None:
    ours = client(site)
    assert ours.start("BROWSERID-AES128") == (False, b"", b"")
    assert b"init has not been called" in ours.getError()
    assert ours.step(b"") == (False, b"")
    assert ours.encode(b"") == (False, b"")
    assert ours.getUserId() == (False, b"")
    assert ours.getSSF() == (False, 0)
    assert b"start has not been called" in ours.getError()


@pytest.mark.parametrize(("key", "value"), [("realm", "x"), ("minssf", "56"), ("service", 1)])
def test_unknown_attributes_are_refused(site: Site, key: str, value: str | int) -> None:
    ours = compat.Client(site.config)
    assert not ours.setAttr(key, value)
    assert key.encode() in ours.getError()


def test_a_security_layer_has_to_come_from_tls(site: Site) -> None:
    assert not client(site, minssf=56).init()
    assert client(site, minssf=56, externalssf=256).init()
    ours = client(site, minssf=56)
    ours.init()
    assert b"use TLS" in ours.getError()
