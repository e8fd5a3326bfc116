"""The keys a provider signs certificates with: made, published, replaced and retired.

Of each key it is known from when it signs and until when it is published. Everything else follows
from that and the clock: the key that signs is the one that began last, and a key that was replaced
stays published until every certificate it signed has expired. Where they are kept, in a folder
(`key_folder`) or in the database (`sealed_keys`), they are replaced as a whole: a rotation either
took place or did not, and a running provider notices it at its next request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, TypeVar

from browserid_sasl.errors import Code, LocalProtocolError, StoreError, UnavailableStoreError
from browserid_sasl.identity.support import MAX_KEYS
from browserid_sasl.jose.keys import PrivateKey, PublicKey

Algorithm = Literal["RS256", "ES256"]
"""What a provider's key can sign with."""

MAX_CERTIFICATE_LIFE_MS: Final = 24 * 3_600_000
"""The longest life of a certificate (PROTOCOL.md section 1.3)."""

GRACE_MS: Final = 300_000
"""Verifiers' clocks may be this slow, and so take a certificate for valid for longer."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a key is good for what, see `SigningKey`."""

    name: str
    signs_from: int
    published_until: int | None = None


@dataclass(frozen=True, slots=True)
class SigningKey(Times):
    """A key of the provider.

    :param name: the start of its thumbprint.
    :param signs_from: ms from which it is the one that signs, until a later key takes over.
    :param published_until: ms after which nobody needs it, None as long as it is not replaced.
    :param private_key: the key, secret.
    """

    private_key: PrivateKey = field(repr=False, kw_only=True)

    @property
    def algorithm(self) -> Algorithm:
        """What it signs with."""
        return "ES256" if self.private_key.algorithm.name == "ES256" else "RS256"

    def is_published(self, now: int) -> bool:
        """Whether the support document has it at `now` (ms)."""
        return self.published_until is None or now < self.published_until


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key that is published, for those who look after them.

    :param name: the start of its thumbprint.
    :param algorithm: what it signs with.
    :param signs: whether it is the one that signs.
    :param signs_from: ms, see `Times`.
    :param published_until: ms, None as long as it is not replaced.
    """

    name: str
    algorithm: Algorithm
    signs: bool
    signs_from: int
    published_until: int | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a place has when a key is to be made if need be.

    :param listed: the keys that there should be.
    :param keys: those of them that there are.
    :param complete: whether nothing has to be written to have just these.
    """

    listed: Sequence[Times]
    keys: tuple[SigningKey, ...]
    complete: bool


class KeyPlace(Protocol):
    """Where a provider's keys are kept. Safe for threads and processes."""

    def load(self) -> tuple[SigningKey, ...]:
        """The keys, as they are now.

        :raises StoreError: they cannot be read.
        """

    def find(self, now: int) -> Found:
        """The keys that there are, where some may be missing.

        :param now: ms.
        :raises StoreError: what is there cannot be read.
        """

    def changing(self) -> AbstractContextManager[None]:
        """Surrounds what reads the keys and writes others: one at a time does that.

        :raises ConfigurationError: they cannot be changed.
        """

    def write(self, keys: Sequence[SigningKey]) -> None:
        """Have these keys, and no others."""


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """What the support document has.

    :param keys: the one that signs first.
    :param age: ms since they were read from where they are kept.
    """

    keys: tuple[PublicKey, ...]
    age: int


class SigningKeys:
    """The keys of a provider. Safe for threads.

    :param place: where they are kept.
    """

    def __init__(self, place: KeyPlace) -> None:
        self._place = place
        # What was read last, and when (ms): set together for threads' sake.
        self._seen: tuple[int, tuple[SigningKey, ...]] | None = None

    def create(self, algorithm: Algorithm, now: int) -> SigningKey | None:
        """Make a key, unless there is one that signs. Keys that are missing are given up.

        :param now: ms.
        :returns: the key that was made, None if none had to be.
        :raises ConfigurationError: they cannot be written.
        :raises StoreError: what is there cannot be read.
        """
        with self._place.changing():
            found = self._place.find(now)
            keys, made = list(found.keys), None
            if not found.listed or _active(found.listed, now).name not in {k.name for k in keys}:
                made = _generate(algorithm, now)
                keys.append(made)
            if made or not found.complete:
                self._place.write(keys)
            return made

    def generate(self, now: int) -> PrivateKey:
        """A key like the one that signs at `now` (ms), for `rotate`. It takes a while.

        :raises StoreError: bad keys, or none.
        """
        return PrivateKey.generate(self.active(now).algorithm)

    def rotate(
        self,
        made: Algorithm | PrivateKey | None,
        now: int,
        *,
        lead: int = 0,
        withdraw: bool = False,
    ) -> SigningKey:
        """Make a new key, which is published at once and signs from `lead` ms after `now`.

        Keys that nobody needs any more are deleted.

        :param made: the new key, or what it is to sign with; None for what the present one does.
        :param now: ms.
        :param withdraw: the other keys are deleted too: what they signed is void.
        :raises LocalProtocolError: invalid-keyset: a support document cannot have more keys.
        :raises ConfigurationError: they cannot be written.
        """
        with self._place.changing():
            before = self._place.load()
            present = _active(before, now)
            new = _generate(made or present.algorithm, now + lead)
            until = new.signs_from + MAX_CERTIFICATE_LIFE_MS + GRACE_MS
            kept = [] if withdraw else list(_still_needed(before, present, until, now))
            if len(kept) >= MAX_KEYS:
                raise LocalProtocolError(
                    Code.INVALID_KEYSET,
                    f"{len(kept)} keys have to stay published, a document cannot have more",
                    "wait until the certificates signed by the oldest have expired",
                )
            self._place.write([*kept, new])
            return new

    def replace(self, keys: Sequence[SigningKey]) -> None:
        """Have other keys in place of all that there are.

        :raises ConfigurationError: they cannot be written.
        """
        with self._place.changing():
            self._place.write(keys)

    def all(self) -> tuple[SigningKey, ...]:
        """All of them, whatever they are good for.

        :raises StoreError: bad keys.
        """
        return self._place.load()

    def listed(self, now: int) -> list[ListedKey]:
        """Those that are published at `now` (ms), the one that signs first.

        :raises StoreError: bad keys, or none.
        """
        active, *others = _in_order(self._load(now), now)
        return [_listed(active, signs=True), *(_listed(key, signs=False) for key in others)]

    def active(self, now: int) -> SigningKey:
        """The key that signs at `now` (ms).

        :raises StoreError: bad keys, or none.
        """
        return _active(self._load(now), now)

    def published(self, now: int) -> tuple[PublicKey, ...]:
        """The keys for the support document at `now` (ms), the one that signs first.

        :raises StoreError: bad keys, or none.
        """
        return _published(self._load(now), now)

    def published_or_remembered(self, now: int, longest: int) -> PublishedKeys:
        """The same, from memory where the place cannot be reached.

        :param longest: ms for which what was read may be taken from memory.
        :raises StoreError: bad keys, or none; or it cannot be reached, for longer than that.
        """
        try:
            return PublishedKeys(self.published(now), 0)
        except UnavailableStoreError:
            seen = self._seen
            if seen is None or not self.remembered_for(now, longest):
                raise
            read, keys = seen
            return PublishedKeys(_published(keys, now), now - read)

    def remembered_for(self, now: int, longest: int) -> int:
        """Ms for which the keys can be taken from memory yet.

        :param longest: see `published_or_remembered`.
        """
        if self._seen is None:
            return 0
        age = now - self._seen[0]
        # Of the future if the clock was set back: nobody knows how old that is.
        return max(0, longest - age) if age >= 0 else 0

    def _load(self, now: int) -> tuple[SigningKey, ...]:
        keys = self._place.load()
        self._seen = (now, keys)
        return keys


def _published(keys: Sequence[SigningKey], now: int) -> tuple[PublicKey, ...]:
    return tuple(key.private_key.public_key for key in _in_order(keys, now))


def _in_order(keys: Sequence[SigningKey], now: int) -> list[SigningKey]:
    """Those that are published, the one that signs first."""
    active = _active(keys, now)
    return [active, *(key for key in keys if key is not active and key.is_published(now))]


def _listed(key: SigningKey, *, signs: bool) -> ListedKey:
    return ListedKey(key.name, key.algorithm, signs, key.signs_from, key.published_until)


def _generate(made: Algorithm | PrivateKey, signs_from: int) -> SigningKey:
    key = made if isinstance(made, PrivateKey) else PrivateKey.generate(made)
    name = key.public_key.thumbprint.hex()[:16]
    return SigningKey(name, signs_from, private_key=key)


_T = TypeVar("_T", Times, SigningKey)


def _active(keys: Sequence[_T], now: int) -> _T:
    if not keys:
        raise StoreError(Code.NO_KEY, "the provider has no signing key")
    begun = [key for key in keys if key.signs_from <= now]
    # None has begun only if the clock was set back: then the oldest has to do.
    return max(reversed(begun), key=_signs_from) if begun else min(keys, key=_signs_from)


def _signs_from(key: Times) -> int:
    return key.signs_from


def _still_needed(
    keys: Sequence[SigningKey], present: SigningKey, until: int, now: int
) -> Iterator[SigningKey]:
    """The keys besides a new one; those that were announced and never signed are not among them.

    :param present: the one that signs until the new one does.
    :param until: ms when the last certificate it signs has expired.
    """
    for key in keys:
        if key is present:
            yield replace(key, published_until=until)
        elif key.signs_from <= now and key.is_published(now):
            yield key
