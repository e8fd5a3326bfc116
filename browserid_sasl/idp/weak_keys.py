"""Keys that anybody could find the private half of, which are not certified.

A key that a program made badly, or that somebody was talked into, would let others log in as its
owner. What is looked for takes a fraction of a second and finds keys with a known defect; that a
key is good can be said by nobody but who has made it.

| RSA | see |
| --- | --- |
| exponent below 65,537, or even | FIPS 186-5, A.1.1 |
| a small factor, a power, a prime | NIST SP 800-89, 5.3.3 |
| factors close to each other, or to a simple ratio | Fermat; Lehman |
| a factor p with nothing but small factors in p - 1 | Pollard |
| factors of the form of a faulty library of smart cards | CVE-2017-15361 |

A DSA key has to be in a group of prime order (NIST SP 800-89, 5.3.1). That a point is on its curve
was seen when the key was read. The private number of either is none of the first, as that of a
program whose source of random numbers gives none may be.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.jose.keys import PublicKey

MAX_RSA_BITS: Final = 4096
"""Of a modulus: the time that the checks take grows with its third power."""

_LEAST_EXPONENT: Final = 65_537
_SMALL: Final = 1 << 20
_SMOOTH: Final = 1 << 11
_CLOSE_STEPS: Final = 100
_RATIOS: Final = ((1, 1), (1, 2), (1, 3), (2, 3), (1, 4), (3, 4))
_FINGERPRINT_PRIMES: Final = 167
_GENERATOR: Final = 65_537
_ROUNDS: Final = 5
_GUESSED: Final = 1 << 10


def check_strength(key: PublicKey) -> None:
    """See that a key has none of the known defects.

    :raises RemoteProtocolError: invalid-key.
    """
    numbers = key.key.public_numbers()
    if isinstance(numbers, rsa.RSAPublicNumbers):
        _check_rsa(numbers.n, numbers.e)
    elif isinstance(numbers, dsa.DSAPublicNumbers):
        group = numbers.parameter_numbers
        _check_dsa(group.p, group.q, group.g, numbers.y)
    elif numbers.x in _guessed_points():
        raise _weak(_GUESSABLE)


def _check_rsa(n: int, e: int) -> None:
    if n.bit_length() > MAX_RSA_BITS:
        raise _weak(f"its modulus has more than {MAX_RSA_BITS} bits")
    if e < _LEAST_EXPONENT or e % 2 == 0:
        raise _weak(f"its exponent is not an odd number from {_LEAST_EXPONENT} on")
    for has_defect, defect in _RSA_DEFECTS:
        if has_defect(n):
            raise _weak(f"its modulus {defect}")


def _check_dsa(p: int, q: int, g: int, y: int) -> None:
    if not (_is_prime(q) and _is_prime(p) and (p - 1) % q == 0):
        raise _weak("its group is not of prime order")
    if g == 1 or pow(g, q, p) != 1 or pow(y, q, p) != 1:
        raise _weak("its numbers are not in its group")
    power = 1
    for _ in range(_GUESSED):
        power = power * g % p
        if power == y or power * y % p == 1:
            raise _weak(_GUESSABLE)


def _has_small_factor(n: int) -> bool:
    return math.gcd(_product_of_small_primes() % n, n) != 1


def _is_power(n: int) -> bool:
    # After that the root, having no small factor, is not small either.
    most = n.bit_length() // _SMALL.bit_length()
    return any(_root(n, k) ** k == n for k in _primes(max(most, 2)))


def _may_be_prime(n: int) -> bool:
    return pow(2, n - 1, n) == 1


def _has_close_factors(n: int) -> bool:
    return any(_are_close(a * b * n) for a, b in _RATIOS)


def _are_close(n: int) -> bool:
    """Whether 4n is a difference of squares, the greater of which is near it."""
    n *= 4
    middle = math.isqrt(n - 1) + 1
    return any(_is_square(each * each - n) for each in range(middle, middle + _CLOSE_STEPS))


def _has_smooth_factor(n: int) -> bool:
    found = math.gcd(pow(2, _smooth_exponent(), n) - 1, n)
    return found != 1


def _has_fingerprint(n: int) -> bool:
    return all(n % prime in residues for prime, residues in _fingerprint())


_RSA_DEFECTS: Final[tuple[tuple[Callable[[int], bool], str], ...]] = (
    (_has_small_factor, f"has a factor below {_SMALL}"),
    (_is_power, "is a power"),
    (_has_close_factors, "has factors that are close to each other"),
    (_has_fingerprint, "was made by a library whose keys can be broken (CVE-2017-15361)"),
    (_may_be_prime, "is a prime"),
    (_has_smooth_factor, "has a factor that is found by Pollard's method"),
)
"""What is looked for in a modulus, the quickest first."""


def _is_square(number: int) -> bool:
    return math.isqrt(number) ** 2 == number


def _is_prime(number: int) -> bool:
    """By Miller and Rabin, with bases that nobody can foresee."""
    if number < 4 or number % 2 == 0:
        return False
    twos = ((number - 1) & (1 - number)).bit_length() - 1
    return all(_is_no_witness(number, twos) for _ in range(_ROUNDS))


def _is_no_witness(number: int, twos: int) -> bool:
    power = pow(2 + secrets.randbelow(number - 3), (number - 1) >> twos, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def _root(number: int, k: int) -> int:
    """The k-th root, rounded down, by Newton's method."""
    root = 1 << -(-number.bit_length() // k)
    while True:
        better = ((k - 1) * root + number // root ** (k - 1)) // k
        if better >= root:
            return root
        root = better


def _primes(most: int) -> Iterator[int]:
    sieve = bytearray([1]) * (most + 1)
    for number in range(2, most + 1):
        if sieve[number]:
            yield number
            sieve[number * number :: number] = bytes(len(range(number * number, most + 1, number)))


def _product(numbers: list[int]) -> int:
    # Numbers of one size are multiplied with each other: otherwise it takes many times as long.
    while len(numbers) > 1:
        numbers = [math.prod(numbers[at : at + 2]) for at in range(0, len(numbers), 2)]
    return numbers[0]


@cache
def _product_of_small_primes() -> int:
    return _product(list(_primes(_SMALL)))


@cache
def _smooth_exponent() -> int:
    powers = [prime ** int(math.log(_SMALL, prime)) for prime in _primes(_SMOOTH)]
    return _product(powers)


@cache
def _fingerprint() -> tuple[tuple[int, frozenset[int]], ...]:
    """For primes, the powers of the number that the library's keys are powers of."""
    return tuple(
        (prime, frozenset(pow(_GENERATOR, power, prime) for power in range(prime)))
        for prime in _primes(_FINGERPRINT_PRIMES)
        if prime > 2
    )


@cache
def _guessed_points() -> frozenset[int]:
    """The points of the first private numbers and of their opposites, which have one x."""
    curve = ec.SECP256R1()
    keys = (ec.derive_private_key(number, curve) for number in range(1, _GUESSED + 1))
    return frozenset(key.public_key().public_numbers().x for key in keys)


_GUESSABLE: Final = "its private number can be guessed"


def _weak(why: str) -> RemoteProtocolError:
    return RemoteProtocolError(
        Code.INVALID_KEY,
        f"the key is not safe: {why}",
        "make another one, with a program that is up to date",
    )
