"""Certificates for people's keys: whether what a program shows is enough for one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.identity import certificate
from browserid_sasl.idp.attempts import Attempts
from browserid_sasl.idp.audit import Event
from browserid_sasl.idp.backends import MoreAskedError
from browserid_sasl.idp.fallback import OWN_PROVIDER
from browserid_sasl.idp.folder import Provider
from browserid_sasl.idp.grants import (
    CodeGrant,
    DeviceGrant,
    Grant,
    PasswordGrant,
    RenewalGrant,
    parse_grant,
    parse_question,
    refused,
)
from browserid_sasl.idp.outside import Standing
from browserid_sasl.idp.password_sign_in import PasswordSignIn
from browserid_sasl.idp.signing_keys import MAX_CERTIFICATE_LIFE_MS
from browserid_sasl.idp.weak_keys import check_strength
from browserid_sasl.idp.web.paths import DEVICE
from browserid_sasl.idp.wishes import Granted, Wish
from browserid_sasl.jose.keys import PublicKey, Spelling
from browserid_sasl.web.refusal import RefusedError

Members = dict[str, Any]
"""An answer's."""


def _nothing() -> None:
    pass


class Certifier:
    """Decides on requests. Safe for threads.

    :param provider: whose people may ask.
    :param life: ms a certificate lives at the most.
    :param spelling: how people's keys are written in certificates.
    """

    def __init__(self, provider: Provider, life: int, spelling: Spelling = "2012.08.15") -> None:
        self._spelling = spelling
        self._provider = provider
        self.life = min(life, MAX_CERTIFICATE_LIFE_MS)
        """Ms for which a certificate is good."""

    def certify(self, body: bytes, client: str, now: int) -> Members:
        """The certificate that is asked for, and what comes with it.

        :param body: the request's octets.
        :param client: IP address it came from.
        :param now: ms.
        :raises RefusedError: it is not granted.
        :raises StoreError: something of the provider is broken.
        """
        grant = parse_grant(body)
        try:
            return self._decide(grant, client, now)
        except RefusedError as error:
            email = grant.question.email if isinstance(grant, PasswordGrant) else ""
            self._provider.refusals.record(error, client, now, email)
            raise

    def _decide(self, grant: Grant, client: str, now: int) -> Members:
        if isinstance(grant, PasswordGrant):
            return self._by_password(grant, client, now)
        if isinstance(grant, CodeGrant):
            codes = self._provider.codes
            granted = codes.redeem(grant.code, grant.verifier, client, now)
            confirm = partial(codes.confirm, grant.code)
            return self.certify_granted(granted, "code", self.life, now, confirm)
        if isinstance(grant, DeviceGrant):
            devices = self._provider.devices
            granted = devices.poll(grant.device_code, now)
            confirm = partial(devices.confirm, grant.device_code)
            return self.certify_granted(granted, "device", self.life, now, confirm)
        return self._by_renewal(grant, client, now)

    def begin_device(self, body: bytes, client: str, now: int) -> Members:
        """The codes for signing in on another device (RFC 8628 section 3.2).

        The answer is the same whether or not there is such an account. For the parameters and
        errors see `certify`.
        """
        question = parse_question(body)
        wish = Wish(self._address(question.email), question.public_key, question.machine, client)
        codes = self._provider.devices.begin(wish, now)
        page = self._provider.public_url + DEVICE
        return {
            "device_code": codes.device_code,
            "user_code": codes.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={codes.user_code}",
            "interval": codes.interval,
            "expires_in": codes.expires_in,
        }

    def _by_password(self, grant: PasswordGrant, client: str, now: int) -> Members:
        if self._provider.fallback is not None:
            raise RefusedError(
                403,
                "no-passwords",
                "this identity provider has no passwords: sign in in a browser",
                Code.INTERACT_FAILURE,
            )
        question = grant.question
        email = self._address(question.email)
        self._authenticate(email, grant.password, client, now)
        wish = Wish(email, question.public_key, question.machine, client)
        life = min(grant.duration or self.life, self.life)
        return self.certify_granted(Granted(wish, renewal=False), "password", life, now)

    def _by_renewal(self, grant: RenewalGrant, client: str, now: int) -> Members:
        renewals = self._provider.renewals
        if grant.revoke:
            renewals.end(grant.proof, client, now)
            return {}
        found = renewals.find(grant.proof, now)
        self._check_renewable(found.email, client, now)
        wish = Wish(found.email, found.public_key, found.machine, client)
        self._provider.second_steps.check(wish.email)
        standing = self._provider.outside.check(wish.email, client, now)
        expires = now + self.life
        text = self._sign(wish, standing, expires, now)
        record = self._record(wish, standing, "renewal", expires, now)
        ends = renewals.use(grant.proof, client, expires, now, record)
        return {"certificate": text, "renewal_expires_in": (ends - now) // 1000}

    def certify_granted(
        self,
        granted: Granted,
        how: str,
        life: int,
        now: int,
        confirm: Callable[[], object] = _nothing,
    ) -> Members:
        """The certificate that somebody has consented to, of whom it is sure who they are.

        :param how: what makes it sure, for the audit log.
        :param life: ms for which it is to be good.
        :param now: ms.
        :param confirm: sees, in the transaction that certifies, that the consent still stands.
        :raises RefusedError: the key cannot be certified, or the account gets no certificate.
        """
        wish, expires = granted.wish, now + life
        if self._provider.fallback is not None:
            self._provider.fallback.check(wish.email, now)
        # Not before: it takes a while, and nobody but the provider's people may cause that.
        _check_strength(wish.public_key)
        self._provider.second_steps.check(wish.email)
        standing = self._provider.outside.check(wish.email, wish.client, now)
        text = self._sign(wish, standing, expires, now)
        write = self._record(wish, standing, how, expires, now)

        def record() -> None:
            confirm()
            write()

        token, ends = self._provider.renewals.issue(granted, expires, now, record)
        if not token:
            return {"certificate": text}
        ends_in = (ends - now) // 1000
        return {"certificate": text, "renewal": token, "renewal_expires_in": ends_in}

    def _check_renewable(self, email: str, client: str, now: int) -> None:
        """See that an address is still one that may be certified here.

        :raises RefusedError: `renewal-revoked` if not, with all that its machines have.
        """
        provider = self._provider
        if provider.fallback is None:
            return
        try:
            provider.fallback.check(email, now)
        except RefusedError as error:
            if error.word != OWN_PROVIDER:
                raise
            provider.audit.write(Event.OWN_PROVIDER, now, email=email, client=client)
            with provider.database.transaction():
                provider.renewals.revoke_all(email, now, client=client)
                provider.sessions.end_all(email)
            raise RefusedError(
                401,
                "renewal-revoked",
                f"the certificate cannot be renewed: {error.message}",
                Code.INTERACT_REQUIRED,
            ) from None

    def _sign(self, wish: Wish, standing: Standing, expires: int, now: int) -> str:
        return certificate.issue(
            self._provider.authority,
            wish.email,
            wish.public_key,
            issued_at=now,
            expires=expires,
            signing_key=self._provider.keys.active(now).private_key,
            attributes=standing.claims,
            spelling=self._spelling,
        )

    def _record(
        self, wish: Wish, standing: Standing, how: str, expires: int, now: int
    ) -> Callable[[], None]:
        """What has to succeed in the transaction that certifies."""

        def record() -> None:
            self._provider.outside.confirm(standing)
            self._provider.audit.write(
                Event.CERTIFIED,
                now,
                email=wish.email,
                client=wish.client,
                key=wish.fingerprint,
                expires=expires,
                grant=how,
                machine=wish.machine,
            )

        return record

    def _address(self, text: str) -> str:
        try:
            return self._provider.accounts.address(text)
        except LocalProtocolError as error:
            raise RefusedError(400, "invalid-address", str(error)) from None

    def _authenticate(self, email: str, password: str, client: str, now: int) -> None:
        provider = self._provider
        try:
            PasswordSignIn(provider).check(email, password, client, now)
        except MoreAskedError as error:
            error.exchange.end()
            raise RefusedError(
                403,
                "more-asked",
                "more than a password is asked for this account: sign in in a browser",
                Code.INTERACT_FAILURE,
            ) from None
        # Before the failures are forgotten: else whoever knows the password could guess at the
        # second factor, here once in a while, for as long as they like.
        if provider.second_steps.follow(email):
            raise RefusedError(
                403,
                "second-factor-needed",
                "this account has a second factor, so a password alone is not enough: sign in in a"
                " browser",
                Code.INTERACT_FAILURE,
            )
        Attempts(provider.limits, provider.audit).succeeded(email, client, now)


def _check_strength(key: PublicKey) -> None:
    try:
        check_strength(key)
    except RemoteProtocolError as error:
        raise refused(error) from None
