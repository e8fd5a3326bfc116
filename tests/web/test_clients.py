"""Which client a request comes from: the other end, or what a proxy of ours says, if it is one."""

from __future__ import annotations

import pytest

from browserid_sasl.web.clients import Proxies, network_of, plain_address

PROXIES = Proxies(["192.0.2.1", "10.0.0.0/8", "2001:db8:9::/48"])
PROXY = "192.0.2.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        (PROXY, ["203.0.113.9"], "203.0.113.9"),
        (PROXY, ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (PROXY, ["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (PROXY, ["203.0.113.9, 10.1.2.3, 10.4.5.6"], "203.0.113.9"),
        (PROXY, ["10.1.2.3"], "10.1.2.3"),
        (PROXY, ["203.0.113.9:4711"], "203.0.113.9"),
        (PROXY, ["[2001:db8::7]:4711"], "2001:db8::7"),
        (PROXY, ["[2001:db8::7]"], "2001:db8::7"),
        (PROXY, ["2001:DB8:0:0::7"], "2001:db8::7"),
        (PROXY, ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("2001:db8:9::1", ["203.0.113.9"], "203.0.113.9"),
    ],
)
def test_a_client_is_who_a_proxy_of_ours_was_asked_by(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert PROXIES.client(peer, forwarded) == client


@pytest.mark.parametrize(
    "said",
    [
        "",
        " ",
        ",",
        "unknown",
        "_hidden",
        "localhost",
        "203.0.113.9x",
        "203.0.113.256",
        "0x7f.1",
        "1" * 5000,
        "fe80::1%eth0",
        'fe80::1%"}\n{"event":"certified"',
        "198.51.100.7, junk",
        "[198.51.100.7",
        "203.0.113.9\r\nforged",
        "\u0661.\u0662.\u0663.\u0664",
    ],
)
def test_what_is_no_address_counts_as_the_proxy_that_said_it(said: str) -> None:
    client = PROXIES.client(PROXY, [said])
    assert client in (PROXY, "198.51.100.7")
    assert (client == PROXY) == (said != "[198.51.100.7")


def test_an_end_that_is_not_known_is_nobody_s_proxy() -> None:
    assert PROXIES.client("", ["203.0.113.9"]) == ""


def test_nobody_is_believed_unless_it_is_said() -> None:
    assert Proxies().client("127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("2001:DB8::1", "2001:db8::1"),
    ],
)
def test_an_address_has_one_form(text: str, plain: str) -> None:
    assert plain_address(text) == plain


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_ipv6_client_counts_as_its_network(client: str, network: str) -> None:
    assert network_of(client) == network


@pytest.mark.parametrize("text", ["", "not an address", "198.51.100.7/32"])
def test_what_is_none_has_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="IPv4 or IPv6"):
        network_of(text)
