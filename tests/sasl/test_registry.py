"""Which mechanism a server offers, and which one a client takes."""

from __future__ import annotations

import pytest

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.gss.mechanisms import MECHANISMS, mechanism_by_name
from browserid_sasl.sasl.gs2 import BindingFlag
from browserid_sasl.sasl.registry import Choice, choose, demand, offer
from tests.support.refusal import refused

AES128 = mechanism_by_name("BROWSERID-AES128")
AES256 = mechanism_by_name("BROWSERID-AES256")
PLAIN = mechanism_by_name("BROWSERID")
PREFERRED = (AES256, AES128)
BOTH = ["BROWSERID-AES128-PLUS", "BROWSERID-AES128"]


class TestAServersOffer:
    def test_without_binding_data(self) -> None:
        assert offer([AES128, PLAIN], channel_binding=False) == ["BROWSERID-AES128", "BROWSERID"]

    def test_with_it_names_with_plus_come_first(self) -> None:
        assert offer(PREFERRED, channel_binding=True) == [
            "BROWSERID-AES256-PLUS",
            "BROWSERID-AES128-PLUS",
            "BROWSERID-AES256",
            "BROWSERID-AES128",
        ]

    def test_the_mechanism_without_keys_binds_to_the_channel_too(self) -> None:
        assert offer([PLAIN], channel_binding=True) == ["BROWSERID-PLUS", "BROWSERID"]

    def test_every_name_offered_is_known(self) -> None:
        for name in offer(MECHANISMS, channel_binding=True):
            assert mechanism_by_name(name) in MECHANISMS


class TestAClientsChoice:
    def take(
        self, offered: list[str], *, channel_binding: bool = False, critical: bool = False
    ) -> Choice:
        return choose(offered, PREFERRED, channel_binding=channel_binding, critical=critical)

    def test_the_best_of_what_is_offered_in_any_order_and_case(self) -> None:
        offered = ["plain", "browserid-aes128", "BROWSERID-AES256", "GSSAPI"]
        assert self.take(offered) == Choice(AES256, "BROWSERID-AES256", BindingFlag.NONE)
        assert self.take(offered[:2]).mechanism is AES128

    def test_plus_where_both_can(self) -> None:
        taken = self.take(BOTH, channel_binding=True)
        assert taken == Choice(AES128, "BROWSERID-AES128-PLUS", BindingFlag.USED)

    def test_a_client_without_binding_says_that_it_has_none(self) -> None:
        assert self.take(BOTH) == Choice(AES128, "BROWSERID-AES128", BindingFlag.NONE)

    def test_a_client_with_binding_says_that_it_was_offered_none(self) -> None:
        taken = self.take(["BROWSERID-AES128"], channel_binding=True)
        assert taken == Choice(AES128, "BROWSERID-AES128", BindingFlag.NOT_OFFERED)

    def test_binding_is_better_than_strength(self) -> None:
        offered = ["BROWSERID-AES256", *BOTH]
        assert self.take(offered, channel_binding=True).name == "BROWSERID-AES128-PLUS"

    def test_who_insists_on_binding_takes_nothing_else(self) -> None:
        assert self.take(BOTH, channel_binding=True, critical=True).flag is BindingFlag.USED
        with refused(Code.WRONG_MECH, "it offers BROWSERID-AES128", LocalProtocolError):
            self.take(["BROWSERID-AES128"], channel_binding=True, critical=True)

    def test_who_insists_without_a_channel_is_told_so(self) -> None:
        with refused(Code.MISSING_CHANNEL_BINDINGS, kind=LocalProtocolError):
            self.take(BOTH, critical=True)

    @pytest.mark.parametrize("offered", [[], ["PLAIN"], ["BROWSERID"], ["BROWSERID-AES128-PLUS"]])
    def test_nothing_fits(self, offered: list[str]) -> None:
        told = " ".join(offered) or "nothing"
        with refused(Code.WRONG_MECH, f"it offers {told}", LocalProtocolError):
            self.take(offered)


class TestAUsersDemand:
    @pytest.mark.parametrize(
        ("name", "critical", "flag"),
        [
            ("BROWSERID-AES128", False, BindingFlag.NONE),
            ("BROWSERID-AES128", True, BindingFlag.USED),
            ("browserid-aes128-plus", False, BindingFlag.USED),
        ],
    )
    def test_binding_has_to_be_asked_for(
        self, name: str, critical: bool, flag: BindingFlag
    ) -> None:
        taken = demand(name, channel_binding=True, critical=critical)
        assert taken == Choice(AES128, "BROWSERID-AES128", flag)

    @pytest.mark.parametrize(
        ("name", "critical"), [("BROWSERID-AES128", True), ("BROWSERID-AES128-PLUS", False)]
    )
    def test_what_is_asked_for_without_a_channel_is_not_left_out_silently(
        self, name: str, critical: bool
    ) -> None:
        with refused(Code.MISSING_CHANNEL_BINDINGS, kind=LocalProtocolError):
            demand(name, channel_binding=False, critical=critical)

    def test_a_mechanism_nobody_knows(self) -> None:
        with refused(Code.WRONG_MECH, kind=LocalProtocolError):
            demand("PLAIN", channel_binding=False, critical=False)
