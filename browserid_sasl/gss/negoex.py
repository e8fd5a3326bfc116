"""NegoEx metadata: what the two sides say of themselves before a mechanism is chosen.

PROTOCOL.md section 4.2. NegoEx (draft-zhu-negoex section 6.6) offers every mechanism a message
each way ahead of its own. An acceptor uses it to show its X.509 certificate, from which an
initiator learns whether mutual authentication is to be had. An initiator has nothing to show.

None of it authenticates anybody: the messages can be recorded and sent again. What counts is the
certificate in the context's own response, with the nonce.
"""

from __future__ import annotations

from typing import Final

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss import tokens
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.gss.ports import ServerCredential, ServerTrust
from browserid_sasl.gss.tokens import TokenId
from browserid_sasl.identity.backed import BackedAssertion
from browserid_sasl.jose import jwt

_WHAT: Final = "the server's metadata"


def acceptor_metadata(credential: ServerCredential, now: int) -> bytes:
    """The message by which an acceptor shows its certificate.

    :param now: ms.
    """
    text = jwt.sign({"iat": now}, credential.key, x5c=credential.chain)
    return tokens.frame(TokenId.ACCEPTOR_METADATA, "~" + text)


def initiator_metadata() -> bytes:
    """An initiator's message: its identifier and no more."""
    return TokenId.INITIATOR_METADATA.value


def read_acceptor_metadata(
    token: bytes, trust: ServerTrust, target: ServiceName, now: int
) -> tuple[bytes, ...]:
    """Check an acceptor's message.

    :param trust: opinion on acceptors' certificates.
    :param target: the service it has to be from.
    :param now: ms.
    :returns: the certificates in DER, the acceptor's own first. Mutual authentication may be
        asked for.
    :raises RemoteProtocolError: untrusted-x509-cert, bad-subject, missing-cert,
        invalid-signature, and what is wrong with the token.
    """
    backed = BackedAssertion.parse(tokens.unframe(token, TokenId.ACCEPTOR_METADATA))
    message = backed.assertion
    if backed.certificates or "aud" in message.claims:
        raise RemoteProtocolError(Code.INVALID_ASSERTION, f"{_WHAT} is an assertion")
    if not message.header.x5c:
        raise RemoteProtocolError(Code.MISSING_CERT, f"{_WHAT} has no X.509 certificate in it")
    message.verify(trust.verify(message.header.x5c, target, now), _WHAT)
    return message.header.x5c


def read_initiator_metadata(token: bytes) -> None:
    """Check that a message is an initiator's. Whatever more it says is for later versions.

    :raises RemoteProtocolError: wrong-token-id, bad-direction, token-truncated,
        buffer-too-long.
    """
    tokens.unframe(token, TokenId.INITIATOR_METADATA)
