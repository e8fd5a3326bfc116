"""Another provider, at whose page people sign in: OpenID Connect (Core 1.0 section 3.1).

They come back with a code, for which that provider says who they are. With a refresh token it is
asked again for each certificate, so who is put out there, or signs out of everything, is out here.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.idp.backends import (
    Arrival,
    Denial,
    DeniedError,
    Identity,
    Journey,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.oidc_tokens import Claims, Expected, UnknownKeyError, verified
from browserid_sasl.idp.backends.oidc_upstream import GrantEndedError, Tokens, Upstream
from browserid_sasl.idp.database import Database
from browserid_sasl.idp.upstream_tokens import Kept, UpstreamTokens

_SKEW_S: Final = 60
_ANSWERS: Final = 5
"""Of the other provider, that one sign-in or one certificate takes at the most."""

_WITHOUT_TOKEN_MS: Final = 600_000
"""For how long a sign-in is good where nobody can be asked again, and nothing else is said."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of another provider, and what is taken from it.

    :param label: what people call it.
    :param scopes: besides `openid`.
    :param parameters: further ones of the request, by name.
    :param acr_values: one of which a sign-in has to be; empty: any.
    :param max_age: ms for which a sign-in there is good, 0 for what that provider says.
    :param local_part_claim: what has the part before the @, empty: `email` has the whole address.
    :param domain: what comes after it then.
    :param domains: of one of which an address has to be, where it is a fallback provider that asks.
    :param mail_too: see `RedirectBackend`.
    """

    label: str
    scopes: tuple[str, ...] = ("email",)
    parameters: Mapping[str, str] | None = None
    acr_values: tuple[str, ...] = ()
    max_age: int = 0
    local_part_claim: str = ""
    domain: str = ""
    domains: tuple[str, ...] = ()
    mail_too: bool = False


class OidcBackend:
    """See `RedirectBackend`.

    :param name: what the configuration calls it.
    :param upstream: the other provider.
    :param terms: what is asked of it.
    """

    def __init__(self, name: str, upstream: Upstream, terms: Terms) -> None:
        self.name = name
        self.label = terms.label
        self.domains = terms.domains
        self.mail_too = terms.mail_too
        self._upstream = upstream
        self._terms = terms
        self._kept: UpstreamTokens | None = None

    def keep_in(self, database: Database) -> None:
        """See `RedirectBackend`."""
        self._kept = UpstreamTokens(database)

    def page_for(self, journey: Journey) -> str:
        """See `RedirectBackend`."""
        described, terms = self._upstream.describe(), self._terms
        digest = hashlib.sha256(journey.verifier.encode()).digest()
        fields = dict(terms.parameters or {})
        if "offline_access" in terms.scopes:
            # Without it no refresh token is given (OpenID Connect Core 1.0 section 11).
            fields.setdefault("prompt", "consent")
        if age := self._age_s(journey):
            fields["max_age"] = str(age)
        if terms.acr_values:
            fields["acr_values"] = " ".join(terms.acr_values)
        if journey.email:
            fields["login_hint"] = journey.email
        fields |= {
            "response_type": "code",
            "client_id": self._upstream.access.client_id,
            "redirect_uri": journey.back,
            "scope": " ".join(("openid", *terms.scopes)),
            "state": journey.state,
            "nonce": journey.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        joined = "&" if "?" in described.authorization else "?"
        return described.authorization + joined + urlencode(fields)

    def arrive(self, journey: Journey, answer: Mapping[str, str]) -> Arrival:
        """See `RedirectBackend`."""
        self._check_sender(answer)
        if "error" in answer:
            raise _denied_or_broken(answer["error"])
        try:
            tokens = self._upstream.give(
                grant_type="authorization_code",
                code=answer.get("code", ""),
                redirect_uri=journey.back,
                code_verifier=journey.verifier,
            )
            claims = self._claims(tokens, journey.nonce)
            self._check_sign_in(claims, journey)
            # Not by what is not signed: it says for how long a sign-in is good.
            since = claims.get("auth_time", time.time())
            claims = self._with_address(claims, tokens)
        except GrantEndedError:
            raise UnavailableError("it does not take the code that it has given") from None
        return Arrival(self._vouched(claims), tokens.refresh_token, int(since * 1000))

    def keep(self, email: str, arrival: Arrival) -> None:
        """See `RedirectBackend`."""
        self._tokens.put(email, arrival.token, arrival.since)

    def check(self, identity: Identity) -> Vouched:
        """See `Backend`."""
        most = _ANSWERS * self._upstream.access.timeout
        with self._tokens.turn(identity.email, most) as kept:
            if kept is None:
                raise DeniedError(Denial.OVER)
            if self._is_over(kept):
                raise DeniedError(Denial.OVER)
            if not kept.token:
                return Vouched(identity.email, identity.subject, claims=identity.claims)
            return self._ask_again(identity, kept)

    def probe(self) -> list[str]:
        """See `ProbedBackend`."""
        self._upstream.probe()
        return []

    @property
    def _tokens(self) -> UpstreamTokens:
        if self._kept is None:
            raise RuntimeError("nobody has said where tokens are kept")
        return self._kept

    def over_at(self, email: str) -> int | None:
        """See `RedirectBackend`."""
        kept = self._tokens.find(email)
        return self._over_at(kept) if kept else None

    def _over_at(self, kept: Kept) -> int | None:
        good = self._terms.max_age or (0 if kept.token else _WITHOUT_TOKEN_MS)
        return kept.since + good if good else None

    def _is_over(self, kept: Kept) -> bool:
        over = self._over_at(kept)
        return over is not None and time.time() * 1000 >= over

    def _ask_again(self, identity: Identity, kept: Kept) -> Vouched:
        try:
            tokens = self._upstream.give(grant_type="refresh_token", refresh_token=kept.token)
            # Before anything else can fail: the one before may be good no more.
            if tokens.refresh_token:
                self._tokens.replace(kept, tokens.refresh_token)
            claims: Claims = self._claims(tokens, "") if tokens.id_token else {}
            claims = self._with_address(claims, tokens)
        except GrantEndedError:
            if not self._tokens.is_of_now(kept):
                raise UnavailableError("there was another sign-in meanwhile") from None
            raise DeniedError(Denial.OVER) from None
        return self._vouched(claims)

    def _check_sender(self, answer: Mapping[str, str]) -> None:
        """See that it is this provider that has sent somebody back (RFC 9207 section 2.4)."""
        said = answer.get("iss")
        wanted = self._upstream.access.issuer
        if said is None and not self._upstream.describe().names_itself:
            return
        if said is None or not hmac.compare_digest(said.encode(), wanted.encode()):
            raise UnavailableError("it was another provider that has sent somebody back")

    def _claims(self, tokens: Tokens, nonce: str) -> Claims:
        access = self._upstream.access
        expected = Expected(
            access.issuer, access.client_id, time.time(), nonce, tokens.access_token
        )
        check = partial(verified, tokens.id_token, expected=expected)
        try:
            return check(self._upstream.keys())
        except UnknownKeyError:
            return check(self._upstream.keys(anew=True))

    def _check_sign_in(self, claims: Claims, journey: Journey) -> None:
        if self._terms.acr_values and claims.get("acr") not in self._terms.acr_values:
            raise DeniedError(Denial.WEAK)
        age = self._age_s(journey)
        if age and claims.get("auth_time", 0) < time.time() - age - _SKEW_S:
            raise UnavailableError("the sign-in there is older than was asked for")

    def _age_s(self, journey: Journey) -> int:
        ages = [each // 1000 for each in (self._terms.max_age, journey.max_age) if each]
        return min(ages, default=0)

    def _with_address(self, claims: Claims, tokens: Tokens) -> Claims:
        """What is said of somebody, in the ID token or elsewhere."""
        wanted = self._terms.local_part_claim or "email"
        if wanted in claims:
            return claims
        if not self._upstream.describe().userinfo or not tokens.access_token:
            raise UnavailableError(f"it does not say the claim {wanted} of somebody")
        said = self._upstream.userinfo(tokens.access_token)
        # Somebody else's access token may have come with it (Core 1.0 section 5.3.2).
        if not isinstance(said.get("sub"), str) or claims.get("sub", said["sub"]) != said["sub"]:
            raise UnavailableError("its userinfo is about somebody else")
        # Nothing of both: whether an address is verified is said of the one that comes with it.
        return said

    def _vouched(self, claims: Claims) -> Vouched:
        return Vouched(self._address(claims), f"{self._upstream.access.issuer} {claims['sub']}")

    def _address(self, claims: Claims) -> str:
        name = self._terms.local_part_claim
        said: Any = claims.get(name or "email")
        if not isinstance(said, str) or not said:
            raise DeniedError(Denial.UNVERIFIED)
        if name:
            # With an @ in it, it would be somebody's at another domain.
            if "@" in said:
                raise DeniedError(Denial.FOREIGN)
            return f"{in_lower_case(said)}@{self._terms.domain}"
        if claims.get("email_verified") is not True:
            raise DeniedError(Denial.UNVERIFIED)
        # What is no letter of ASCII stays what it is: there is a Kelvin sign that becomes a k.
        return in_lower_case(said)


def _denied_or_broken(word: str) -> Exception:
    if word in ("access_denied", "login_required", "consent_required", "interaction_required"):
        return DeniedError(Denial.CANCELLED)
    if word == "unmet_authentication_requirements":
        return DeniedError(Denial.WEAK)
    return UnavailableError(f"it sends somebody back with the error {word[:40]!a}")
