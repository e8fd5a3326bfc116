"""For which service an X.509 certificate is (PROTOCOL.md section 4.3, RFC 4985, RFC 9525).

A certificate with names of the form SRVName (``_imap.mail.example.org``) is for those services
and no others; the DNS names beside them do not count. One without is for every service of the
hosts that its DNS names match. The subject is never looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pyasn1.type.char import IA5String
from service_identity.exceptions import CertificateError, VerificationError
from service_identity.hazmat import (
    DNS_ID,
    SRV_ID,
    CertificatePattern,
    DNSPattern,
    ServiceID,
    SRVPattern,
    verify_service_identity,
)

from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.gss.der import read_der
from browserid_sasl.gss.names import ServiceName

ID_ON_DNS_SRV: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.7")
"""The form of an otherName that is an SRVName (RFC 4985 section 2)."""

UNREADABLE: Final = (
    ValueError,
    TypeError,
    KeyError,  # for a type of text that no name has, by its first releases that are permitted
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for a certificate that is none, or has something odd in it."""

_MAX_SHOWN: Final = 5
_MAX_LENGTH_SHOWN: Final = 80


def show_name(name: x509.Name) -> str:
    """A distinguished name for an error message: quoted, and not longer than a line."""
    return repr(name.rfc4514_string()[:_MAX_LENGTH_SHOWN])


def check_name(
    leaf: x509.Certificate, issuers: Iterable[x509.Certificate], target: ServiceName
) -> None:
    """Check that a certificate is for a service.

    :param leaf: a certificate that chains to a trust anchor.
    :param issuers: the others on that path.
    :raises RemoteProtocolError: bad-subject.
    """
    hosts, services = names_of(leaf)
    if services:
        _match(_service_patterns(services), _service_id(target), services, target)
        # Name constraints on DNS names do not bind SRVNames (RFC 4985 section 4), so that a CA
        # held to one domain could certify the services of any other.
        _check_constraints(issuers, target)
    else:
        _match(_host_patterns(hosts), _host_id(target), hosts, target)


def names_of(leaf: x509.Certificate) -> tuple[list[str], list[str]]:
    """The DNS names, and the SRVNames; an SRVName that cannot be read is an empty one."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    others = names.get_values_for_type(x509.OtherName)
    return (
        names.get_values_for_type(x509.DNSName),
        [_srv_name(other.value) for other in others if other.type_id == ID_ON_DNS_SRV],
    )


def _srv_name(der: bytes) -> str:
    value = read_der(der, IA5String())
    return str(value) if value is not None and str(value).isascii() else ""


def _host_patterns(names: Iterable[str]) -> list[CertificatePattern]:
    """The names that can match a host at all; one that cannot is no reason to refuse others."""
    patterns: list[CertificatePattern] = []
    for name in names:
        try:
            patterns.append(DNSPattern.from_bytes(name.encode("utf-8")))
        except CertificateError:
            continue
    return patterns


def _service_patterns(names: Iterable[str]) -> list[CertificatePattern]:
    patterns: list[CertificatePattern] = []
    for name in names:
        try:
            patterns.append(SRVPattern.from_bytes(name.encode("ascii")))
        except (CertificateError, IndexError):
            continue
    return patterns


def _host_id(target: ServiceName) -> ServiceID | None:
    try:
        return DNS_ID(target.host)
    except ValueError:
        return None


def _service_id(target: ServiceName) -> ServiceID | None:
    # A dot would move the border between the service and the host.
    if "." in target.service:
        return None
    try:
        return SRV_ID(f"_{target.service}.{target.host}")
    except ValueError:
        return None


def _match(
    patterns: Sequence[CertificatePattern],
    wanted: ServiceID | None,
    names: Sequence[str],
    target: ServiceName,
) -> None:
    if wanted is None:
        raise _bad_subject(
            f"no certificate can be for {target}", "connect to the server by a host name"
        )
    try:
        verify_service_identity(patterns, [wanted], [])
    except (CertificateError, VerificationError):
        raise _bad_subject(
            f"the server's certificate is for {_list(names)}, not for {target}",
            "connect to the server by a name its certificate has, or have it certified for "
            "this one",
        ) from None


def _check_constraints(issuers: Iterable[x509.Certificate], target: ServiceName) -> None:
    for issuer in issuers:
        try:
            constraints = issuer.extensions.get_extension_for_class(x509.NameConstraints).value
        except x509.ExtensionNotFound:
            continue
        permitted = _domains(constraints.permitted_subtrees)
        excluded = _domains(constraints.excluded_subtrees)
        outside = permitted and not _is_within(target.host, permitted)
        if outside or _is_within(target.host, excluded):
            raise _bad_subject(
                f"the authority {show_name(issuer.subject)} may not certify "
                f"services of {target.host}"
            )


def _domains(subtrees: Sequence[x509.GeneralName] | None) -> list[str]:
    return [name.value.lower() for name in subtrees or () if isinstance(name, x509.DNSName)]


def _is_within(host: str, domains: Iterable[str]) -> bool:
    """Whether a domain is the host or above it; the empty one is above all.

    RFC 5280 section 4.2.1.10.
    """
    return any(not domain or f".{host}".endswith(f".{domain.lstrip('.')}") for domain in domains)


def _list(names: Sequence[str]) -> str:
    shown = [repr(name[:_MAX_LENGTH_SHOWN]) for name in names[:_MAX_SHOWN]]
    more = [f"{len(names) - _MAX_SHOWN} more"] if len(names) > _MAX_SHOWN else []
    return ", ".join(shown + more) or "no host"


def _bad_subject(message: str, remedy: str = "") -> RemoteProtocolError:
    return RemoteProtocolError(Code.BAD_SUBJECT, message, remedy)
