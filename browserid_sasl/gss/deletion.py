"""Context deletion tokens: one end tells the other that it is done (PROTOCOL.md section 4.2).

The token is an empty JWT under a key that only the two ends of the context have, another one for
either direction. Nobody else can end a context by it, nor an end's own token sent back. Sending
one is optional (RFC 2743 section 2.2.3).
"""

from __future__ import annotations

from browserid_sasl.errors import Code, LocalProtocolError, RemoteProtocolError
from browserid_sasl.gss import keys, tokens
from browserid_sasl.gss.context import SecurityContext
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.jose import jwt
from browserid_sasl.jose.secrets import SecretKey
from browserid_sasl.krb5.message import Role


def deletion_token(context: SecurityContext) -> bytes:
    """The token by which this end says that it will not use the context any more.

    :raises LocalProtocolError: no-session-key without key exchange.
    """
    return tokens.frame(TokenId.DELETE, "~" + jwt.sign({}, _key(context, context.role)))


def check_deletion_token(context: SecurityContext, token: bytes) -> None:
    """Check that a token is the other end's for this context, which is then to be forgotten.

    :raises RemoteProtocolError: wrong-token-id, invalid-assertion, invalid-signature,
        missing-signature, and the errors of `Jwt.parse`.
    :raises LocalProtocolError: no-session-key without key exchange.
    """
    backed = BackedAssertion.parse(tokens.unframe(token, TokenId.DELETE))
    if backed.certificates or backed.assertion.claims:
        raise RemoteProtocolError(Code.INVALID_ASSERTION, "the deletion token has something in it")
    backed.assertion.verify(_key(context, context.role.peer), "the deletion token")


def _key(context: SecurityContext, sender: Role) -> SecretKey:
    if context.root_key is None:
        raise LocalProtocolError(
            Code.NO_SESSION_KEY,
            f"a context of {context.mechanism.name} has no key to sign its deletion with",
        )
    return SecretKey(keys.derive(context.root_key, b"D," + sender.name.encode("ascii")))
