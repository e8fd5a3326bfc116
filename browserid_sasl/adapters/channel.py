"""What a client in Python can bind a login to.

Python's `ssl` has no ``tls-exporter`` (RFC 9266). What is left is

* ``tls-unique`` (RFC 5929 section 3), of the one connection. RFC 9266 has it end with TLS 1.2.
  OpenSSL still makes it for TLS 1.3, of the same handshake messages, and Cyrus imapd 3.6 knows no
  other there;
* ``tls-server-end-point`` (RFC 5929 section 4), of the server's certificate.

No protocol lets a server say which it knows. So both are tried, each in a login of its own; what is
never tried is a login that is bound to nothing, to a server that lists ``-PLUS``.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from browserid_sasl.errors import LocalProtocolError
from browserid_sasl.sasl.channel_binding import TLS_UNIQUE, ChannelBinding, tls_server_end_point


def bindings_of(channel: object) -> list[ChannelBinding]:
    """The bindings of a connection, the one to try first at the head; empty without TLS.

    :param channel: its socket, or the `ssl.SSLObject` in the place of one.
    """
    return list(_bindings(channel)) if isinstance(channel, ssl.SSLSocket | ssl.SSLObject) else []


def _bindings(channel: ssl.SSLSocket | ssl.SSLObject) -> Iterator[ChannelBinding]:
    unique = channel.get_channel_binding(TLS_UNIQUE)
    if unique:
        yield ChannelBinding(TLS_UNIQUE, unique)
    certificate = channel.getpeercert(binary_form=True)
    if certificate:
        try:
            yield tls_server_end_point(certificate)
        except LocalProtocolError:
            return  # such as that of an Ed25519 key: there is no such binding for it
