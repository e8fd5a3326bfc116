"""The identity provider of a domain: its name, TLS, document, keys, delegation and clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from browserid_sasl.api.authorities import resolver
from browserid_sasl.config import Config
from browserid_sasl.discovery import HttpsFetcher
from browserid_sasl.doctor.certificates import addresses, certificate
from browserid_sasl.doctor.findings import Finding, Verdict, bad, doubtful, good, of_error
from browserid_sasl.errors import BrowserIDError, DiscoveryError, RemoteProtocolError
from browserid_sasl.identity.authority import AuthorityResolver
from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.identity.ports import IdentityRecord
from browserid_sasl.identity.support import SupportDocument
from browserid_sasl.jose.keys import PublicKey
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.memory import memory_acceptor

_NOTABLE_S: Final = 30


def provider(domain: str, config: Config) -> Iterator[Finding]:
    """Whether addresses of a domain can be vouched for, as this machine sees it."""
    check = f"provider of {domain}"
    override = config.authorities.get(domain)
    if override is not None and override.keys_file is not None:
        yield from _document(check, domain, _resolver(config))
        return
    fetcher = HttpsFetcher(config.discovery, config.authorities)
    origin = fetcher.origin(domain)
    reached = [
        *addresses(check, origin.host),
        *certificate(check, origin.host, origin.port, origin.ca_file),
    ]
    yield from reached
    if any(each.verdict is Verdict.BAD for each in reached):
        return
    yield from _document(check, domain, _resolver(config))
    yield from _clock(check, fetcher.date(domain), config.server.clock_skew_ms / 1000)


def signature(record: IdentityRecord, config: Config) -> Iterator[Finding]:
    """Whether somebody's certificate is signed by a key that is published now."""
    check = "certificate"
    issued = Certificate.parse(record.certificate, allow_legacy=True)
    try:
        keys = _resolver(config).keys_for(issued.issuer, issued.email, system_clock())
    except DiscoveryError:
        return  # the provider's own check says why
    except RemoteProtocolError as error:
        yield of_error(check, error, f"browserid login {record.identity}")
        return
    if any(_signs(key, issued) for key in keys):
        yield good(check, f"that of {record.identity} is signed by a key of {issued.issuer}")
    else:
        yield bad(
            check,
            f"that of {record.identity} is not signed by a key that {issued.issuer} publishes",
            f"browserid login {record.identity}",
        )


def _signs(key: PublicKey, issued: Certificate) -> bool:
    try:
        issued.jwt.verify(key)
    except RemoteProtocolError:
        return False
    return True


def _resolver(config: Config) -> AuthorityResolver:
    return resolver(config, memory_acceptor().authorities)


def _document(check: str, domain: str, authority: AuthorityResolver) -> Iterator[Finding]:
    try:
        yield from _published(check, domain, authority)
    except BrowserIDError as error:
        yield of_error(check, error, f"tell whoever runs the identity provider of {domain}")


def _published(check: str, domain: str, authority: AuthorityResolver) -> Iterator[Finding]:
    now = system_clock()
    end = authority.authority_of(domain, now)
    if end != domain:
        yield good(check, f"{domain} has {end} vouch for its addresses")
    document = authority.document(end, domain, now)
    if isinstance(document, SupportDocument):
        kinds = ", ".join(sorted({key.algorithm.name for key in document.keys}))
        yield good(check, f"{end} publishes {len(document.keys)} keys that can be used ({kinds})")


def _clock(check: str, date: str, skew: float) -> Iterator[Finding]:
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except (TypeError, ValueError):
        return  # a web server need not say what time it is
    ahead = round(theirs - time.time())
    said = f"its clock is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} this machine's"
    remedy = "timedatectl set-ntp true, on the machine whose clock is wrong"
    if abs(ahead) > skew:
        yield bad(check, f"{said}, and {skew:.0f} s are permitted (`clock_skew`)", remedy)
    elif abs(ahead) > _NOTABLE_S:
        yield doubtful(check, said, remedy)
    else:
        yield good(check, "its clock agrees with this machine's")
