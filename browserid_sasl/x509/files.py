"""X.509 certificates, trust anchors and the server's own key, read from files.

PROTOCOL.md section 4.3 says what an acceptor's key and an initiator's trust anchors are for.
"""

from __future__ import annotations

import os
import ssl
import stat
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from browserid_sasl.errors import BrowserIDError, Code, ConfigurationError
from browserid_sasl.gss.ports import ServerCredential
from browserid_sasl.jose.keys import PrivateKey, public_key_from
from browserid_sasl.trusted_files import MOST_ANCHORS, read_trusted, require_trusted
from browserid_sasl.x509.names import UNREADABLE
from browserid_sasl.x509.paths import MAX_CHAIN
from browserid_sasl.x509.trust import SIGNING_ALGORITHMS

SYSTEM_BUNDLE: Final = Path("/etc/ssl/certs/ca-certificates.crt")

_FILE: Final = "the file of certificates"
_FOLDER: Final = "the folder of certificates"
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_END: Final = b"-----END CERTIFICATE-----"


class CertificateFileError(ConfigurationError):
    """A file of certificates, or of a key, cannot be used.

    :param code: cert-file-unreadable or key-file-unreadable.
    """

    def __init__(self, code: Code, message: str, remedy: str, *, file: Path) -> None:
        super().__init__(message, remedy, file=str(file), code=code)


def load_anchors(path: Path | None = None) -> tuple[x509.Certificate, ...]:
    """The authorities whose certificates for servers are believed.

    :param path: a PEM file, or a folder of them; the system's authorities when None.
    :raises ConfigurationError: cert-file-unreadable, also when there are none, or when others could
        add some.
    """
    if path is None:
        return _load_system_anchors()
    found = [certificate for file in _files(path) for certificate in _load_anchors(file, path)]
    if not found:
        raise _bad_certificate(path, "there is no certificate in it", "name a PEM file")
    return tuple(dict.fromkeys(found))


def load_believed(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file whose keys are believed for being in it; at least one.

    :raises ConfigurationError: cert-file-unreadable, also when others can write to it.
    """
    return _certificates(_read_believed(path), path)


def _certificates(pem: bytes, path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file, in their order; at least one."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
        for certificate in certificates:
            # Parsed here, because that is when what is odd in them shows.
            _ = certificate.subject, certificate.issuer
        return certificates
    except UNREADABLE:
        raise _bad_certificate(
            path, "it is not a PEM file with certificates", "convert it to PEM"
        ) from None


def load_server_credential(certificate: Path | str, key: Path | str) -> ServerCredential:
    """The key with which an acceptor authenticates itself, and its certificate.

    :param certificate: a PEM file, the server's own certificate first, then those of the
        authorities between it and the trust anchor.
    :param key: a PEM file, not encrypted, that others cannot read.
    :raises ConfigurationError: cert-file-unreadable, key-file-unreadable.
    """
    certificate, key = Path(certificate), Path(key)
    chain = _certificates(_read_public(certificate), certificate)
    private_key = _load_key(key)
    if not _belong_together(chain[0], private_key):
        raise _bad_certificate(
            certificate,
            f"its first certificate is not for the key in {key}",
            "put the server's own certificate first, and name the key it was made for",
        )
    # An initiator has its own copy of the trust anchor, and believes no other.
    sent = chain[:1] + [issuer for issuer in chain[1:] if issuer.subject != issuer.issuer]
    if len(sent) >= MAX_CHAIN:
        raise _bad_certificate(
            certificate,
            f"it has {len(sent)} certificates",
            "leave in it the server's own and those between it and the trust anchor",
        )
    return ServerCredential(private_key, tuple(map(_to_der, sent)))


def _load_system_anchors() -> tuple[x509.Certificate, ...]:
    configured = ssl.get_default_verify_paths().cafile
    candidates = [Path(configured)] if configured else []
    candidates += [SYSTEM_BUNDLE, Path(certifi.where())]
    bundle = next((file for file in candidates if file.is_file()), candidates[-1])
    found = []
    with warnings.catch_warnings():
        # One odd certificate among the system's is nothing its user could mend, and no reason to
        # trust none of the others.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for pem in _split_pem(_read_public(bundle)):
            with suppress(*UNREADABLE):
                certificate = x509.load_pem_x509_certificate(pem)
                _ = certificate.subject, certificate.issuer
                found.append(certificate)
    return tuple(found)


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            return [path]
        require_trusted(path, _FOLDER, path.stat())
        return sorted(path.iterdir())
    except ConfigurationError as error:
        raise _not_trusted(path, error) from None
    except OSError as error:
        raise _unreadable(Code.CERT_FILE_UNREADABLE, path, error) from None


def _load_anchors(file: Path, named: Path) -> list[x509.Certificate]:
    """A file's certificates; in a folder there may be files without any, and other folders."""
    if file != named and not file.is_file():
        return []
    pem = _read_believed(file)
    return [] if file != named and _BEGIN not in pem else _certificates(pem, file)


def _read_believed(file: Path) -> bytes:
    """A file that others must not be able to write, a link's being what it leads to."""
    try:
        return read_trusted(file, _FILE, MOST_ANCHORS)
    except OSError as error:
        raise _unreadable(Code.CERT_FILE_UNREADABLE, file, error) from None
    except ConfigurationError as error:
        raise _not_trusted(file, error) from None


def _read_public(file: Path) -> bytes:
    return _read(file, Code.CERT_FILE_UNREADABLE)


def _split_pem(pem: bytes) -> Iterable[bytes]:
    for block in pem.split(_BEGIN)[1:]:
        yield _BEGIN + block.partition(_END)[0] + _END


def _load_key(file: Path) -> PrivateKey:
    pem = _read(file, Code.KEY_FILE_UNREADABLE, secret=True)
    try:
        key = PrivateKey.from_pem(pem)
    except BrowserIDError as error:
        raise _bad_key(file, error.message, _KEY_KINDS) from None
    if key.algorithm.name not in SIGNING_ALGORITHMS:
        raise _bad_key(file, "the key is not of a kind that signs responses", _KEY_KINDS)
    return key


def _belong_together(certificate: x509.Certificate, key: PrivateKey) -> bool:
    try:
        return public_key_from(certificate.public_key()) == key.public_key
    except (BrowserIDError, *UNREADABLE):
        return False


def _read(file: Path, code: Code, *, secret: bool = False) -> bytes:
    try:
        with file.open("rb") as stream:
            if secret and os.fstat(stream.fileno()).st_mode & stat.S_IRWXO:
                raise _bad_key(file, "every user of this machine has access to it", _CHMOD)
            return stream.read()
    except OSError as error:
        raise _unreadable(code, file, error) from None


def _to_der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _unreadable(code: Code, file: Path, error: OSError) -> CertificateFileError:
    return CertificateFileError(
        code,
        f"it cannot be read: {error.strerror}",
        "name one that this program's user may read",
        file=file,
    )


def _not_trusted(file: Path, error: ConfigurationError) -> CertificateFileError:
    return CertificateFileError(Code.CERT_FILE_UNREADABLE, error.message, error.remedy, file=file)


def _bad_certificate(file: Path, why: str, remedy: str) -> CertificateFileError:
    return CertificateFileError(
        Code.CERT_FILE_UNREADABLE,
        f"the file of certificates cannot be used: {why}",
        remedy,
        file=file,
    )


def _bad_key(file: Path, why: str, remedy: str) -> CertificateFileError:
    return CertificateFileError(
        Code.KEY_FILE_UNREADABLE, f"the file of the key cannot be used: {why}", remedy, file=file
    )


_KEY_KINDS: Final = (
    "use an unencrypted PEM file with an RSA key of 2048 bits or more, or one on P-256"
)
_CHMOD: Final = "chmod o= the file"
