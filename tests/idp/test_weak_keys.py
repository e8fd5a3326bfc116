"""Keys with a known defect get no certificate, and others do."""

from __future__ import annotations

import math
import secrets
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.idp.weak_keys import check_strength
from browserid_sasl.jose import b64
from browserid_sasl.jose.keys import PrivateKey, parse_public_key, public_key_from
from tests.support.dsa_group import dsa_key
from tests.support.provider import ALICE, PASSWORD, RunningProvider


def base64url(number: int) -> str:
    return b64.encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def rsa_key(n: int, e: int = 65_537) -> dict[str, str]:
    return {"kty": "RSA", "n": base64url(n), "e": base64url(e)}


SMALL_PRIMES = [n for n in range(2, 2000) if all(n % d for d in range(2, math.isqrt(n) + 1))]
_PRODUCT = math.prod(SMALL_PRIMES)


def is_prime(number: int) -> bool:
    return math.gcd(number, _PRODUCT) == 1 and pow(2, number - 1, number) == 1


def next_prime(number: int) -> int:
    number |= 1
    while not is_prime(number):
        number += 2
    return number


def prime(bits: int) -> int:
    """A prime whose two upper bits are set, so that a product of two has all its bits."""
    if bits < 512:
        return next_prime(secrets.randbits(bits) | 3 << bits - 2)
    return rsa.generate_private_key(65_537, 2 * bits).private_numbers().p


P, Q = prime(1024), prime(1024)


def smooth_prime(bits: int) -> int:
    """A prime that is one more than a product of small ones."""
    while True:
        product, remaining = 2, SMALL_PRIMES[1:]
        while product.bit_length() < bits:
            product *= remaining.pop(secrets.randbelow(len(remaining)))
        if is_prime(product + 1):
            return product + 1


def smart_card_prime() -> int:
    """As the faulty library makes them: k M + (65537^a mod M)."""
    m = math.prod(SMALL_PRIMES[:126])
    while True:
        power = pow(65_537, secrets.randbits(256), m)
        candidate = (secrets.randbits(50) | 3 << 1022 - m.bit_length() + 1) * m + power
        if candidate.bit_length() in (1024, 1025) and is_prime(candidate):
            return candidate


MODULI = {
    "even": lambda: 2 * P * Q,
    "a factor of 3": lambda: 3 * P * Q,
    "a factor of 65,537": lambda: 65_537 * P * Q,
    "a factor of 20 bits": lambda: 1_000_003 * P * Q,
    "several small factors": lambda: 1009 * 1013 * P * Q,
    "a factor that is a known number": lambda: (2**61 - 1) * P * Q,
    "a square": lambda: P**2,
    "a cube": lambda: prime(684) ** 3,
    "a fifth power": lambda: prime(420) ** 5,
    "a thirteenth power": lambda: prime(158) ** 13,
    "a power of a small number": lambda: 3**1300,
    "a square of a product": lambda: (prime(512) * prime(512)) ** 2,
    "a prime": lambda: prime(2048),
    "twins": lambda: P * next_prime(P + 2),
    "close factors": lambda: P * next_prime(P + (1 << 500)),
    "one factor twice the other": lambda: P * next_prime(2 * P),
    "factors as three to two": lambda: next_prime(3 * P) * next_prime(2 * P),
    "smooth": lambda: smooth_prime(1024) * Q,
    "smooth twice": lambda: smooth_prime(1024) * smooth_prime(1024),
    "of a smart card": lambda: smart_card_prime() * smart_card_prime(),
    "too large": lambda: rsa.generate_private_key(65_537, 5120).public_key().public_numbers().n,
}


@pytest.mark.parametrize("defect", MODULI)
def test_a_modulus_with_a_defect_is_refused(defect: str) -> None:
    n = MODULI[defect]()
    assert n.bit_length() >= 2047
    started = time.process_time()
    with pytest.raises(RemoteProtocolError) as raised:
        check_strength(parse_public_key(rsa_key(n)))
    assert raised.value.code is Code.INVALID_KEY
    assert time.process_time() - started < 5


@pytest.mark.parametrize("e", [1, 2, 3, 5, 17, 257, 65_535, 65_536, 65_538, 1 << 31])
def test_an_exponent_that_is_small_or_even_is_refused(e: int) -> None:
    with pytest.raises(RemoteProtocolError) as raised:
        check_strength(parse_public_key(rsa_key(P * Q, e)))
    assert raised.value.code is Code.INVALID_KEY


@pytest.mark.parametrize("size", [2047, 2048, 3072, 4096])
def test_a_good_rsa_key_is_taken(size: int) -> None:
    for _ in range(3):
        key = rsa.generate_private_key(65_537, size).public_key()
        check_strength(public_key_from(key))


def test_a_larger_exponent_is_taken() -> None:
    check_strength(parse_public_key(rsa_key(P * Q, 65_539)))


@pytest.mark.parametrize("algorithm", ["ES256", "DS256"])
def test_another_good_key_is_taken(algorithm: str) -> None:
    if algorithm == "ES256":
        check_strength(PrivateKey.generate("ES256").public_key)
    else:
        check_strength(PrivateKey.generate("DS256").public_key)


@pytest.mark.parametrize("number", [1, 2, 3, 1000, -1, -1000])
def test_a_private_number_that_can_be_guessed_is_refused(number: int) -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    key = ec.derive_private_key(number % order, ec.SECP256R1())
    with pytest.raises(RemoteProtocolError, match="can be guessed") as raised:
        check_strength(public_key_from(key.public_key()))
    assert raised.value.code is Code.INVALID_KEY


class TestDsa:
    @pytest.fixture
    def good(self) -> dict[str, int]:
        numbers = dsa_key().public_key().public_numbers()
        group = numbers.parameter_numbers
        return {"p": group.p, "q": group.q, "g": group.g, "y": numbers.y}

    def refuse(self, **numbers: int) -> None:
        members = {name: base64url(number) for name, number in numbers.items()}
        with pytest.raises(RemoteProtocolError) as raised:
            check_strength(parse_public_key({"kty": "DSA"} | members))
        assert raised.value.code is Code.INVALID_KEY

    def test_outside_its_group_is_refused(self, good: dict[str, int]) -> None:
        self.refuse(**good | {"y": 2})
        self.refuse(**good | {"y": good["p"] - 1})
        self.refuse(**good | {"g": 2})
        self.refuse(**good | {"g": good["p"] - 1})

    def test_with_a_private_number_that_can_be_guessed_is_refused(
        self, good: dict[str, int]
    ) -> None:
        for number in (1, 2, 1000, -1, -1000):
            self.refuse(**good | {"y": pow(good["g"], number, good["p"])})

    def test_with_another_group_is_refused(self, good: dict[str, int]) -> None:
        self.refuse(**good | {"q": next_prime(1 << 255)})
        self.refuse(**good | {"q": (1 << 255) + 2})
        self.refuse(**good | {"p": prime(2048)})

    def test_in_a_group_that_is_no_field_is_refused(self, good: dict[str, int]) -> None:
        q = good["q"]
        while True:
            factor = 2 * q * (secrets.randbits(767) | 3 << 765) + 1
            if is_prime(factor):
                break
        # So that the product has 2048 bits, whatever q is.
        least = (1 << 2047) // (factor * 2 * q) + 1
        while True:
            other = 2 * q * (least + secrets.randbelow(least - 2)) + 1
            if is_prime(other):
                break
        p = factor * other
        g = pow(3, (factor - 1) * (other - 1) // q**2, p)
        self.refuse(p=p, q=q, g=pow(g, 1, p), y=pow(g, 7, p))


def test_a_weak_key_is_not_certified(running: RunningProvider) -> None:
    request = {"email": ALICE, "password": PASSWORD, "public-key": rsa_key(P**2)}
    answer = running.post("/certify", json=request)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid-key"
    assert "is a power" in answer.json()["message"]
    assert '"certified"' not in running.audit_log()


def test_only_people_make_the_provider_look_for_defects(running: RunningProvider) -> None:
    request = {"email": ALICE, "password": "wrong", "public-key": rsa_key(P**2)}
    assert running.post("/certify", json=request).status_code == 401
