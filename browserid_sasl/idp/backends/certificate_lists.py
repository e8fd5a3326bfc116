"""Lists of revoked certificates (RFC 5280 section 5), in a file that something else keeps fresh.

As long as there is no list of an authority that is of now, nobody can say whether it has revoked a
certificate: then nothing is certified.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.backends import UnavailableError
from browserid_sasl.private_files import Stamp, stamp_if_there
from browserid_sasl.trusted_files import read_trusted
from browserid_sasl.x509.names import UNREADABLE, show_name

_MOST: Final = 64 << 20
_SKEW: Final = timedelta(minutes=5)
_BEGIN, _END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
_KNOWN: Final = frozenset(
    {x509.AuthorityKeyIdentifier.oid, x509.CRLNumber.oid, x509.FreshestCRL.oid}
)
"""Critical extensions that leave a list one of all that its authority has issued."""

_STRONG: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)

Lists = Sequence[x509.CertificateRevocationList]


class RevocationLists:
    """The lists in a file, which is read again when it has changed. Safe for threads.

    :param file: PEM, one list after another, or a single one in DER.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._read: tuple[Stamp, Lists] | None = None

    def has_revoked(self, path: Sequence[x509.Certificate], now: int) -> bool:
        """Whether a certificate was revoked, or one of an authority on the way to its anchor.

        :param path: from the certificate to the trust anchor, which nobody can revoke.
        :param now: ms.
        :raises UnavailableError: an authority on the way has no list that is good now.
        """
        lists = self._lists()
        time = datetime.fromtimestamp(now / 1000, UTC)
        # All of them, even if the first is revoked: a list that is missing is noticed at once.
        answers = [
            _is_on(_list_of(issuer, lists, time), certificate)
            for certificate, issuer in pairwise(path)
        ]
        return any(answers)

    def probe(self, authorities: Sequence[x509.Certificate], now: int) -> None:
        """See that there is a list of each authority.

        :raises UnavailableError: there is not.
        """
        lists, time = self._lists(), datetime.fromtimestamp(now / 1000, UTC)
        for authority in authorities:
            _list_of(authority, lists, time)

    def _lists(self) -> Lists:
        with self._lock:
            seen = stamp_if_there(self._file)
            if seen is None or self._read is None or self._read[0] != seen:
                self._read = None
                lists = self._load()
                # With the stamp from before: if it changes meanwhile, it is read once more.
                if seen is not None:
                    self._read = seen, lists
                return lists
            return self._read[1]

    def _load(self) -> Lists:
        try:
            data = read_trusted(self._file, "the file of revoked certificates", _MOST)
            blocks = [block.partition(_END)[0] for block in data.split(_BEGIN)[1:]]
            pem = [_BEGIN + block + _END for block in blocks]
            return [*map(x509.load_pem_x509_crl, pem)] or [x509.load_der_x509_crl(data)]
        except (OSError, ConfigurationError, *UNREADABLE) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise UnavailableError(f"{self._file} cannot be read: {why}") from None


def _list_of(
    issuer: x509.Certificate, lists: Lists, time: datetime
) -> x509.CertificateRevocationList:
    """The newest list of an authority.

    :raises UnavailableError: there is none that is good.
    """
    who = show_name(issuer.subject)
    own = [each for each in lists if _has_signed(issuer, each)]
    if not own:
        raise UnavailableError(f"there is no list of what {who} has revoked, signed by it")
    newest = max(own, key=lambda each: each.last_update_utc)
    ends = newest.next_update_utc
    if ends is None or time >= ends or time < newest.last_update_utc - _SKEW:
        raise UnavailableError(f"the list of what {who} has revoked is not of now: it is to {ends}")
    return newest


def _has_signed(issuer: x509.Certificate, revoked: x509.CertificateRevocationList) -> bool:
    try:
        # Also a name may be one that nobody can read, and the list another authority's.
        if revoked.issuer != issuer.subject:
            return False
        if not _may_sign_lists(issuer) or not _is_whole(revoked):
            return False
        strong = isinstance(revoked.signature_hash_algorithm, _STRONG)
        return strong and revoked.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, *UNREADABLE):
        return False


def _may_sign_lists(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _is_whole(revoked: x509.CertificateRevocationList) -> bool:
    """Whether it is of everything that its issuer has issued, and of nobody else's.

    Others have a critical extension: deltas, and those of a part (RFC 5280 section 5.2).
    """
    return all(each.oid in _KNOWN for each in revoked.extensions if each.critical)


def _is_on(revoked: x509.CertificateRevocationList, certificate: x509.Certificate) -> bool:
    serial = certificate.serial_number
    try:
        return revoked.get_revoked_certificate_by_serial_number(serial) is not None
    except UNREADABLE:
        who = show_name(revoked.issuer)
        raise UnavailableError(f"the list of what {who} has revoked cannot be read") from None
