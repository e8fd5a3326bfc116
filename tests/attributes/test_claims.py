"""The claims of an initiator's certificate, as name attributes."""

from __future__ import annotations

from typing import Any

import pytest

from browserid_sasl.attributes.claims import NameAttribute, jwt_attributes
from tests.support.saml import context_with
from tests.support.world import ALICE, World, exchange


class TestClaims:
    @pytest.mark.parametrize(
        ("value", "values"),
        [
            ("Alice Ä", ("Alice Ä",)),
            (["staff", "admins"], ("staff", "admins")),
            ([], ()),
            (17, ("17",)),
            (True, ("true",)),
            (None, ("null",)),
            ({"a": [1, "ä"]}, ('{"a":[1,"ä"]}',)),
            (["x", 1, {}], ("x", "1", "{}")),
        ],
    )
    def test_become_values(self, value: Any, values: tuple[str, ...]) -> None:
        found = {each.name: each for each in jwt_attributes(context_with({"claim": value}))}
        assert found["urn:ietf:params:gss:jwt claim"].values == values

    def test_the_address_and_who_vouches_for_it_are_among_them(self) -> None:
        claims = {"email": "mallory@evil.test", "iss": "evil.test"}
        assert {each.name: each.values for each in jwt_attributes(context_with(claims))} == {
            "urn:ietf:params:gss:jwt email": (ALICE,),
            "urn:ietf:params:gss:jwt iss": ("idp.test",),
        }

    def test_are_authenticated_for_an_acceptor_only(self) -> None:
        claims = {"name": "Alice"}
        assert all(each.authenticated for each in jwt_attributes(context_with(claims)))
        own = jwt_attributes(context_with(claims, is_initiator=True))
        assert not any(each.authenticated for each in own)

    def test_a_saml_assertion_is_not_one_of_them(self) -> None:
        found = jwt_attributes(context_with({"saml": "<Assertion/>"}))
        assert not any("saml" in each.name for each in found)

    def test_outlive_the_certificate_in_a_ticket(self) -> None:
        world = World()
        world.person.claims = {"groups": ["staff"]}
        wanted = NameAttribute("urn:ietf:params:gss:jwt groups", ("staff",), True)
        for ticket_used in (False, True):
            acceptor = world.acceptor()
            exchange(world.initiator(), acceptor)
            assert acceptor.context.ticket_used is ticket_used
            assert wanted in jwt_attributes(acceptor.context)
