"""Another certificate for a key that has one, without a question (PROTOCOL.md section 8).

The provider gave a secret with the first certificate, and takes it in a statement that the key has
signed: neither is of use without the other. Being unable to reach the provider says nothing about
whether it would still take it. Only a definite refusal does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from browserid_sasl.agent.application import (
    Application,
    Clock,
    Provider,
    ProviderAccess,
    RefusedError,
    renewal_life,
)
from browserid_sasl.errors import Code, CredentialError, DiscoveryError, RemoteProtocolError
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord, IdentityStore
from browserid_sasl.jose import jwt
from browserid_sasl.jose.keys import PrivateKey

DEFINITE: Final = frozenset({"renewal-revoked", "renewal-expired", "renewal-unknown"})
"""The provider's words for a renewal that it will never take again."""

_STATEMENT_LIFE_MS: Final = 120_000


class RenewalOverError(CredentialError):
    """The provider does not renew it any more."""


def renew(
    record: IdentityRecord, http: ProviderAccess, clock: Clock, fallback: str = ""
) -> IdentityRecord:
    """Have a key certified again.

    :param record: with the key and what renews it.
    :param fallback: see `Provider.of`.
    :returns: what is to be kept in its place.
    :raises RenewalOverError: interact-required when signing in is needed, for good.
    :raises CredentialError: the provider refuses for now, or gives something else.
    :raises DiscoveryError: it cannot be reached, or its answer makes no sense.
    """
    application = _application(record, http, clock, fallback)
    if (
        Certificate.parse(record.certificate, allow_legacy=True).issuer
        != application.provider.domain
    ):
        # What renews it is the other one's, and is told to nobody else.
        raise RenewalOverError(
            Code.INTERACT_REQUIRED,
            f"the addresses of {record.identity} have another identity provider now,"
            f" {application.provider.domain}",
            f"sign in again: browserid login {record.identity}",
        )
    try:
        granted = application.provider.ask(
            application.provider.certify, _statement(record, application)
        )
    except RefusedError as error:
        if error.word not in DEFINITE:
            raise
        raise RenewalOverError(
            Code.INTERACT_REQUIRED,
            f"{application.provider.domain} does not renew the certificate of {record.identity}"
            f" any more ({error.word})",
            f"sign in again: browserid login {record.identity}",
        ) from None
    renewed = application.record(granted)
    try:
        expires = clock() + renewal_life(granted)
    except RemoteProtocolError as error:
        raise DiscoveryError(error.code, error.message) from None
    return replace(
        renewed,
        identity=record.identity,
        renewal=renewed.renewal or record.renewal,
        renewal_expires=expires,
    )


def renewed(
    record: IdentityRecord,
    store: IdentityStore,
    http: ProviderAccess,
    clock: Clock,
    fallback: str = "",
) -> IdentityRecord:
    """Have a key certified again, and keep what comes of it.

    What renews it is forgotten on a definite refusal only.

    :raises BrowserIDError: see `renew`; the store cannot be written to.
    """
    try:
        result = renew(record, http, clock, fallback)
    except RenewalOverError:
        _replace(record, replace(record, renewal="", renewal_expires=0), store)
        raise
    _replace(record, result, store)
    return result


def end(record: IdentityRecord, http: ProviderAccess, clock: Clock, fallback: str = "") -> None:
    """Have the provider forget the renewal of a key.

    :raises CredentialError: it refuses. That it knows of none, or of none any more, is no refusal.
    :raises DiscoveryError: it cannot be reached, or its answer makes no sense.
    """
    application = _application(record, http, clock, fallback)
    try:
        application.provider.ask(
            application.provider.certify, _statement(record, application) | {"revoke": True}
        )
    except RefusedError as error:
        if error.word not in DEFINITE:
            raise


def _replace(old: IdentityRecord, new: IdentityRecord, store: IdentityStore) -> None:
    # Meanwhile somebody may have signed in anew, or out.
    kept = store.get(old.identity)
    if kept is not None and kept.private_key_pem == old.private_key_pem:
        store.put(new)


def _application(
    record: IdentityRecord, http: ProviderAccess, clock: Clock, fallback: str
) -> Application:
    provider = Provider.of(record.identity, http, clock(), fallback)
    return Application(
        record.identity, PrivateKey.from_pem(record.private_key_pem), provider, clock
    )


def _statement(record: IdentityRecord, application: Application) -> dict[str, Any]:
    provider = application.provider
    claims = {
        "renewal": record.renewal,
        "aud": f"https://{provider.domain}{provider.certify}",
        "exp": application.clock() + _STATEMENT_LIFE_MS,
    }
    return {"renewal": jwt.sign(claims, application.key)}
