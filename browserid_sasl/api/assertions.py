"""Assertions by themselves, without SASL: one is made for an audience, another is verified.

This is what a web site does (PROTOCOL.md sections 1.4 and 3): a person's program makes an assertion
for the site's origin, and the site verifies it. An audience is such an origin, or the service
principal name of a service.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from browserid_sasl.agent.credential import AgentCredentialSource
from browserid_sasl.api.authorities import resolver, revocation_lists
from browserid_sasl.api.client import initiator_stores
from browserid_sasl.api.environment import SYSTEM
from browserid_sasl.config import Config, load
from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss.dialects import dialect_by_name, read_audience
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import CredentialSource, ReplayStore
from browserid_sasl.identity.authority import Authority
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.identity.origins import WebOrigin
from browserid_sasl.identity.ports import AuthorityCache
from browserid_sasl.identity.verifier import RevokedKeys, Validity, Verifier, replay_digest
from browserid_sasl.jose import json as strict_json
from browserid_sasl.store.memory import memory_acceptor

_WHAT: Final = "the assertion"
_SHOWN: Final = 60

Audience = WebOrigin | ServiceName


@dataclass(frozen=True, slots=True)
class VerifiedAssertion:
    """What an assertion has proven.

    :param email: whose it is.
    :param audience: whom it is for, as who verified it has spelled it.
    :param expires: ms; until then it is good, and so is the certificate.
    :param issuer: the domain that has vouched for the address.
    :param claims: what else the certificate says.
    """

    email: str
    audience: str
    expires: int
    issuer: str
    claims: Mapping[str, Any] = field(default_factory=dict)


def get_assertion(
    audience: str,
    config: Config | None = None,
    *,
    identity: str = "",
    credentials: CredentialSource | None = None,
) -> str:
    """Make a backed assertion for an audience.

    :param audience: an origin such as ``https://example.org``, or a service principal name such as
        ``imap/mail.example.org``.
    :param config: the configuration; the files of the machine and the user when None.
    :param identity: who is meant, see `Client`.
    :param credentials: who signs; the keys of this user when None.
    :returns: ``certificate~assertion``. Who has it can be that person at the audience until it
        expires: `assertion_lifetime`.
    :raises LocalProtocolError: bad-audience.
    :raises CredentialError: when signing in is needed, or it is not clear who is meant.
    """
    config = load() if config is None else config
    claims = {
        "exp": SYSTEM.clock() + config.client.assertion_lifetime_ms,
        "aud": _written(audience, config),
    }
    source = credentials or AgentCredentialSource(
        initiator_stores(config).identities, identity, SYSTEM.clock, default=config.client.identity
    )
    return source.assertion(strict_json.dumps(claims))


class AssertionVerifier:
    """Verifies assertions for web sites and services. Safe for threads.

    That an assertion verifies says who somebody is, and not that they may do anything.

    :param config: the configuration; the files of the machine when None. Of the section
        ``[server]`` it takes `clock_skew`, `max_certificate_life`, `allow_legacy_keys`,
        `secondary_authorities` and `revocations`.
    :param replay: remembers what was presented, so that nothing is accepted twice; without it
        that is up to the caller.
    :param documents: keeps identity providers' documents; this object does when None.
    :param authority: whose certificates to believe, in place of the configuration.
    :param revoked: which keys not to believe any more, likewise.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        replay: ReplayStore | None = None,
        documents: AuthorityCache | None = None,
        authority: Authority | None = None,
        revoked: RevokedKeys | None = None,
    ) -> None:
        config = load() if config is None else config
        options = config.server
        self._replay = replay
        documents = documents or memory_acceptor().authorities
        authority = authority or resolver(config, documents)
        self._verifier = Verifier(
            authority,
            skew=options.clock_skew_ms,
            max_life=options.max_certificate_life_ms,
            allow_legacy=options.allow_legacy_keys,
            revoked=revoked or revocation_lists(config, authority, documents),
        )

    def verify(self, assertion: str, audience: str) -> VerifiedAssertion:
        """Verify a backed assertion, in the order of PROTOCOL.md section 3.

        :param assertion: ``certificate~assertion``.
        :param audience: whom it has to be for: the verifier's own origin or service principal name,
            which it knows, and does not take from whoever sends the assertion.
        :raises LocalProtocolError: bad-audience when `audience` is none.
        :raises RemoteProtocolError: why the assertion is not good.
        :raises DiscoveryError: when the issuer's document cannot be had.
        """
        wanted = _expected(audience)
        now = SYSTEM.clock()
        backed = BackedAssertion.parse(assertion.encode("utf-8", "surrogatepass"))
        claims = backed.assertion.claims
        # Before anybody's document is fetched: what is not for us is not worth a look-up.
        _check_audience(claims, wanted)
        _refuse_bound(claims)
        validity = _validity(claims)
        self._verifier.check_times(validity, now)
        certificate = self._verifier.certificate_of(backed)
        self._verifier.verify_signatures(backed, certificate, now)
        # After everything else: nobody can have remembered what somebody else has yet to present.
        if self._replay is not None:
            digest = replay_digest(backed, certificate)
            if not self._replay.insert(digest, validity.expires):
                raise RemoteProtocolError(
                    Code.REPLAYED_ASSERTION, "the assertion was presented before"
                )
        return VerifiedAssertion(
            email=certificate.email,
            audience=audience,
            expires=min(validity.expires, certificate.expires),
            issuer=certificate.issuer,
            claims=certificate.attributes,
        )


def _written(audience: str, config: Config) -> str:
    """An audience as `aud` spells it."""
    wanted = _expected(audience)
    if isinstance(wanted, WebOrigin):
        return str(wanted)
    return dialect_by_name(config.client.dialect).audience(wanted)


def _expected(text: str) -> Audience:
    try:
        return read(text)
    except RemoteProtocolError as error:
        raise LocalProtocolError(
            Code.BAD_AUDIENCE,
            f"{text[:_SHOWN]!a} is no audience",
            error.remedy
            or "give an origin such as https://example.org, or a service principal name such as"
            " imap/mail.example.org",
        ) from None


def read(text: str) -> Audience:
    """An audience as it is spelled on the wire.

    :raises RemoteProtocolError: it is none.
    """
    return WebOrigin.parse(text) if "://" in text else read_audience(text)[1]


def _check_audience(claims: Mapping[str, Any], wanted: Audience) -> None:
    if "aud" not in claims:
        raise RemoteProtocolError(Code.MISSING_AUDIENCE, f"{_WHAT} does not say whom it is for")
    claimed = strict_json.string(claims, "aud", _WHAT)
    if read(claimed) != wanted:
        raise RemoteProtocolError(
            Code.BAD_AUDIENCE, f"{_WHAT} is for {claimed[:_SHOWN]!a}, and not for {str(wanted)!a}"
        )


def _refuse_bound(claims: Mapping[str, Any]) -> None:
    """Refuse what was made for a login: whoever has seen that login would be the person here."""
    if "cb" in claims:
        raise RemoteProtocolError(
            Code.CHANNEL_BINDINGS_MISMATCH,
            f"{_WHAT} was made for a login by SASL, and is good in that login alone",
            "make one by `get_assertion`, or `bidtool get`",
        )


def _validity(claims: Mapping[str, Any]) -> Validity:
    return Validity(
        strict_json.time(claims, "exp", _WHAT),
        strict_json.optional_time(claims, "iat", _WHAT),
        strict_json.optional_time(claims, "nbf", _WHAT),
    )
