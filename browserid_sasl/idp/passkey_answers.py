"""What browsers answer to WebAuthn, taken apart and verified (WebAuthn Level 3, section 7).

What is hostile here is everything: it is of limited size, and what the library makes of it is an
error of ours in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import webauthn
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from webauthn.authentication.verify_authentication_response import VerifiedAuthentication
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    encode_cbor,
    parse_authenticator_data,
    parse_cbor,
    parse_client_data_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier as Cose
from webauthn.helpers.structs import (
    AuthenticationCredential,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    RegistrationCredential,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from browserid_sasl.errors import BrowserIDError, Code
from browserid_sasl.idp.relying_party import RelyingParty
from browserid_sasl.jose import b64
from browserid_sasl.jose import json as strict_json
from browserid_sasl.web.refusal import RefusedError

MAX_RESPONSE: Final = 16_384
"""Characters of a browser's answer at the most."""

ALGORITHMS: Final = [Cose.ECDSA_SHA_256, Cose.EDDSA, Cose.RSASSA_PKCS1_v1_5_SHA_256]
"""What passkeys may sign with, the preferred one first."""

_MAX_CREDENTIAL_ID: Final = 1023
_MAX_PUBLIC_KEY: Final = 1024
_MAX_REASON: Final = 200
_WHAT: Final = "the browser's answer"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a browser sends, before it is known to be right.

    :param id: of the credential, base64url.
    :param client_data: what the browser says it asked the authenticator.
    :param challenge: of that.
    :param response: its other members, decoded.
    :param handle: whose passkey it says it is, base64url, empty if it does not say.
    :param discoverable: what the browser says on that, None if nothing.
    """

    id: str
    client_data: bytes
    challenge: bytes
    response: dict[str, bytes]
    handle: str
    discoverable: bool | None

    @classmethod
    def parse(cls, text: bytes | str) -> Answer:
        """Read it.

        :raises RefusedError: it is not one.
        """
        try:
            return cls._parse(strict_json.parse_object(text, _WHAT, MAX_RESPONSE))
        except RefusedError:
            raise
        except BrowserIDError as error:
            raise invalid(str(error)) from None
        except Exception:  # The library raises many kinds for what is no client data.
            raise invalid("its client data cannot be read") from None

    @classmethod
    def _parse(cls, members: strict_json.Object) -> Answer:
        identifier = strict_json.string(members, "id", _WHAT, max_length=2 * _MAX_CREDENTIAL_ID)
        if strict_json.string(members, "type", _WHAT) != "public-key":
            raise invalid("it is no public key")
        response = _object(members, "response")
        decoded = {
            name: b64.decode(value, f"`{name}`")
            for name in ("clientDataJSON", "attestationObject", "authenticatorData", "signature")
            if (
                value := strict_json.optional_string(response, name, _WHAT, max_length=MAX_RESPONSE)
            )
        }
        client_data = decoded.pop("clientDataJSON", b"")
        said = parse_client_data_json(client_data)
        if said.cross_origin:
            raise invalid("it was asked for inside of another site's page")
        return cls(
            identifier,
            client_data,
            said.challenge,
            decoded,
            response.get("userHandle") or "",
            _discoverable(members),
        )

    @property
    def raw_id(self) -> bytes:
        """The credential's identifier."""
        return b64.decode(self.id, "the credential's identifier")


def _object(members: strict_json.Object, name: str) -> strict_json.Object:
    member = members.get(name)
    if not isinstance(member, dict):
        raise invalid(f"`{name}` is not an object")
    return member


def _discoverable(members: strict_json.Object) -> bool | None:
    extensions = members.get("clientExtensionResults")
    properties = extensions.get("credProps") if isinstance(extensions, dict) else None
    says = properties.get("rk") if isinstance(properties, dict) else None
    return says if isinstance(says, bool) else None


def registration(answer: Answer, party: RelyingParty) -> VerifiedRegistration:
    """The passkey that a browser has made. Its challenge is for the caller to check.

    :param party: whom it has to be for.
    :raises RefusedError: it is not one that can sign somebody in, with the reason in words.
    """
    try:
        data = parse_cbor(answer.response["attestationObject"])["authData"]
        verified_user = parse_authenticator_data(data).flags.uv
    except Exception:  # As above.
        raise invalid("its attestation object cannot be read") from None
    # These two first, because people can do something about them.
    _check_user_verified(verified_user)
    _check_discoverable(answer.discoverable)
    try:
        made = webauthn.verify_registration_response(
            credential=RegistrationCredential(
                id=answer.id, raw_id=answer.raw_id, response=_without_attestation(answer, data)
            ),
            expected_challenge=answer.challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
        _check_key(made)
    except Exception as error:  # As above.
        raise _ours(error) from None
    if made.credential_id != answer.raw_id:
        raise invalid("it has two identifiers")
    return made


def _without_attestation(answer: Answer, data: bytes) -> AuthenticatorAttestationResponse:
    """The answer without what the authenticator says of its make, which nobody wants to know.

    Some send it unasked. What is not looked at cannot be wrong, nor do harm.
    """
    statement = encode_cbor({"fmt": "none", "attStmt": {}, "authData": data})
    return AuthenticatorAttestationResponse(answer.client_data, statement)


def _check_user_verified(verified: bool) -> None:
    if not verified:
        raise refused(
            400,
            "not-verified",
            "this key did not ask who you are: give it a PIN or a fingerprint in its settings (for"
            " a security key, in those of your system or browser), then try again",
        )


def _check_discoverable(says: bool | None) -> None:
    if says is None:
        raise refused(
            400,
            "unknown-discoverable",
            "this browser does not say whether the passkey is kept on the key, so it might not sign"
            " you in: remove it there if it shows up, and use a newer or another browser",
        )
    if not says:
        raise refused(
            400,
            "not-discoverable",
            "this key has no room for a passkey, or cannot keep one: remove old ones from it, or"
            " use another key",
        )


def _check_key(made: VerifiedRegistration) -> None:
    """Refuse a key that will not verify, or takes long to."""
    if len(made.credential_id) > _MAX_CREDENTIAL_ID:
        raise invalid("its identifier is too long")
    if len(made.credential_public_key) > _MAX_PUBLIC_KEY:
        raise invalid("its public key is too long")
    decoded = decode_credential_public_key(made.credential_public_key)
    key = decoded_public_key_to_cryptography(decoded)
    fits = {
        Cose.ECDSA_SHA_256: isinstance(key, EllipticCurvePublicKey) and key.key_size == 256,
        Cose.EDDSA: isinstance(key, Ed25519PublicKey),
        Cose.RSASSA_PKCS1_v1_5_SHA_256: isinstance(key, RSAPublicKey)
        and 2048 <= key.key_size <= 4096,
    }
    if not fits[decoded.alg]:
        raise invalid("its public key is none for its algorithm")


def authentication(
    answer: Answer, public_key: bytes, party: RelyingParty
) -> VerifiedAuthentication:
    """What a passkey has signed. Its challenge and its counter are for the caller to check.

    :param public_key: of the passkey, as COSE.
    :param party: whom it has to be for.
    :raises RefusedError: it has not signed that, or was not to.
    """
    try:
        verified = webauthn.verify_authentication_response(
            credential=AuthenticationCredential(
                id=answer.id,
                raw_id=answer.raw_id,
                response=AuthenticatorAssertionResponse(
                    answer.client_data,
                    answer.response["authenticatorData"],
                    answer.response["signature"],
                ),
            ),
            expected_challenge=answer.challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            # Looked at by ourselves, who take a passkey that has stopped to count.
            credential_current_sign_count=0,
        )
    except Exception as error:  # As above.
        raise _ours(error) from None
    # By ourselves, for the words.
    _check_user_verified(verified.user_verified)
    return verified


def _ours(error: Exception) -> RefusedError:
    return error if isinstance(error, RefusedError) else invalid(str(error) or type(error).__name__)


def invalid(why: str) -> RefusedError:
    """For what no browser sends that means well."""
    return refused(400, "invalid-passkey", f"the passkey cannot be taken ({_shown(why)})")


def _shown(why: str) -> str:
    # The library quotes what it was given.
    return ascii(why)[1:-1][:_MAX_REASON]


def refused(status: int, word: str, message: str) -> RefusedError:
    """For what somebody can do something about."""
    return RefusedError(status, word, message, Code.INTERACT_FAILURE)
