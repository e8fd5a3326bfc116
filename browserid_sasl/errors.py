"""The one table of status codes and the one family of exceptions.

PROTOCOL.md section 4.4 numbers every reason for which an exchange can fail: table A for the
protocol's own reasons and table B for those of the GSS-API layer, which are sent with bit 31 set.
Each reason belongs to a GSS major status (RFC 2744). `Code` is that table, and every exception
of this package carries one of its rows, so that the same failure has the same name in a log line,
an error token, a SASL error detail and a command's exit message.
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final


class Major(IntEnum):
    """GSS-API major status values (RFC 2744 section 3.9.1)."""

    COMPLETE = 0
    BAD_MECH = 1 << 16
    BAD_NAME = 2 << 16
    BAD_NAMETYPE = 3 << 16
    BAD_BINDINGS = 4 << 16
    BAD_STATUS = 5 << 16
    BAD_SIG = 6 << 16
    NO_CRED = 7 << 16
    NO_CONTEXT = 8 << 16
    DEFECTIVE_TOKEN = 9 << 16
    DEFECTIVE_CREDENTIAL = 10 << 16
    CREDENTIALS_EXPIRED = 11 << 16
    CONTEXT_EXPIRED = 12 << 16
    FAILURE = 13 << 16
    BAD_QOP = 14 << 16
    UNAUTHORIZED = 15 << 16
    UNAVAILABLE = 16 << 16

    # Not in RFC 2744; where an implementation has it, its value is that of FAILURE.
    CRED_UNAVAIL = 13 << 16


_TABLE_B_BIT: Final = 0x8000_0000


class Code(Enum):
    """A reason for failure: its table and number on the wire, and its GSS major status.

    PROTOCOL.md section 4.4, tables A and B.
    """

    OK = ("A", 0, Major.COMPLETE)
    NO_CONTEXT = ("A", 1, Major.NO_CONTEXT)
    NO_MEMORY = ("A", 2, Major.FAILURE)
    NOT_IMPLEMENTED = ("A", 3, Major.FAILURE)
    INVALID_PARAMETER = ("A", 4, Major.FAILURE)
    INVALID_USAGE = ("A", 5, Major.FAILURE)
    UNAVAILABLE = ("A", 6, Major.UNAVAILABLE)
    UNKNOWN_JSON_KEY = ("A", 7, Major.DEFECTIVE_TOKEN)
    INVALID_JSON = ("A", 8, Major.DEFECTIVE_TOKEN)
    INVALID_BASE64 = ("A", 9, Major.DEFECTIVE_TOKEN)
    INVALID_ASSERTION = ("A", 10, Major.DEFECTIVE_TOKEN)
    CANNOT_ENCODE_JSON = ("A", 11, Major.FAILURE)
    CANNOT_ENCODE_BASE64 = ("A", 12, Major.FAILURE)
    TOO_MANY_CERTS = ("A", 13, Major.DEFECTIVE_TOKEN)
    UNTRUSTED_ISSUER = ("A", 14, Major.DEFECTIVE_TOKEN)
    INVALID_ISSUER = ("A", 15, Major.DEFECTIVE_TOKEN)
    MISSING_ISSUER = ("A", 16, Major.DEFECTIVE_TOKEN)
    MISSING_AUDIENCE = ("A", 17, Major.DEFECTIVE_TOKEN)
    BAD_AUDIENCE = ("A", 18, Major.BAD_NAME)
    EXPIRED_ASSERTION = ("A", 19, Major.CREDENTIALS_EXPIRED)
    ASSERTION_NOT_YET_VALID = ("A", 20, Major.CREDENTIALS_EXPIRED)
    EXPIRED_CERT = ("A", 21, Major.CREDENTIALS_EXPIRED)
    CERT_NOT_YET_VALID = ("A", 22, Major.CREDENTIALS_EXPIRED)
    INVALID_SIGNATURE = ("A", 23, Major.BAD_SIG)
    MISSING_ALGORITHM = ("A", 24, Major.DEFECTIVE_TOKEN)
    UNKNOWN_ALGORITHM = ("A", 25, Major.DEFECTIVE_TOKEN)
    INVALID_KEY = ("A", 26, Major.DEFECTIVE_TOKEN)
    INVALID_KEYSET = ("A", 27, Major.DEFECTIVE_TOKEN)
    NO_KEY = ("A", 28, Major.FAILURE)
    CRYPTO_ERROR = ("A", 29, Major.FAILURE)
    HTTP_ERROR = ("A", 30, Major.FAILURE)
    BUFFER_TOO_SMALL = ("A", 31, Major.FAILURE)
    BUFFER_TOO_LONG = ("A", 32, Major.DEFECTIVE_TOKEN)
    REMOTE_VERIFY_FAILURE = ("A", 33, Major.FAILURE)
    MISSING_PRINCIPAL = ("A", 34, Major.BAD_NAME)
    UNKNOWN_PRINCIPAL_TYPE = ("A", 35, Major.BAD_NAME)
    MISSING_CERT = ("A", 36, Major.DEFECTIVE_TOKEN)
    UNKNOWN_ATTRIBUTE = ("A", 37, Major.FAILURE)
    MISSING_CHANNEL_BINDINGS = ("A", 38, Major.BAD_BINDINGS)
    CHANNEL_BINDINGS_MISMATCH = ("A", 39, Major.BAD_BINDINGS)
    NO_SESSION_KEY = ("A", 40, Major.FAILURE)
    DOCUMENT_NOT_MODIFIED = ("A", 41, Major.FAILURE)
    INTERACT_UNAVAILABLE = ("A", 42, Major.CRED_UNAVAIL)
    INTERACT_FAILURE = ("A", 43, Major.CRED_UNAVAIL)
    INTERACT_REQUIRED = ("A", 44, Major.CRED_UNAVAIL)
    INVALID_AUDIENCE_URN = ("A", 45, Major.BAD_NAME)
    INVALID_JSON_WEB_TOKEN = ("A", 46, Major.DEFECTIVE_TOKEN)
    NO_MORE_ITEMS = ("A", 47, Major.FAILURE)
    CACHE_ERROR = ("A", 48, Major.FAILURE)
    REPLAYED_ASSERTION = ("A", 62, Major.FAILURE)
    DH_PARAM_GENERATION_FAILURE = ("A", 63, Major.FAILURE)
    DH_KEY_GENERATION_FAILURE = ("A", 64, Major.FAILURE)
    NO_TICKET_CACHE = ("A", 65, Major.FAILURE)
    BAD_TICKET_CACHE = ("A", 66, Major.FAILURE)
    CERT_FILE_UNREADABLE = ("A", 67, Major.FAILURE)
    KEY_FILE_UNREADABLE = ("A", 68, Major.FAILURE)
    UNTRUSTED_X509_CERT = ("A", 69, Major.FAILURE)
    NOT_REAUTH_ASSERTION = ("A", 70, Major.DEFECTIVE_TOKEN)
    BAD_SUBJECT = ("A", 71, Major.FAILURE)
    MISMATCHED_RP_RESPONSE = ("A", 72, Major.FAILURE)
    REFLECTED_RP_RESPONSE = ("A", 73, Major.FAILURE)
    MISSING_SIGNATURE = ("A", 74, Major.BAD_SIG)
    INVALID_SECRET = ("A", 75, Major.FAILURE)
    KEY_TOO_SHORT = ("A", 76, Major.FAILURE)
    UNKNOWN_EC_CURVE = ("A", 77, Major.FAILURE)
    INVALID_EC_CURVE = ("A", 78, Major.FAILURE)
    MISSING_NONCE = ("A", 79, Major.FAILURE)
    UNKNOWN_ERROR_CODE = ("A", 80, Major.FAILURE)

    WRONG_SIZE = ("B", 1, Major.FAILURE)
    WRONG_MECH = ("B", 2, Major.BAD_MECH)
    BAD_TOKEN_HEADER = ("B", 3, Major.DEFECTIVE_TOKEN)
    TOKEN_TRUNCATED = ("B", 4, Major.DEFECTIVE_TOKEN)
    BAD_DIRECTION = ("B", 5, Major.DEFECTIVE_TOKEN)
    WRONG_TOKEN_ID = ("B", 6, Major.DEFECTIVE_TOKEN)
    KEY_UNAVAILABLE = ("B", 7, Major.UNAVAILABLE)
    CONTEXT_KEY_TOO_SHORT = ("B", 8, Major.FAILURE)
    CONTEXT_ESTABLISHED = ("B", 9, Major.FAILURE)
    CONTEXT_INCOMPLETE = ("B", 10, Major.NO_CONTEXT)
    BAD_CONTEXT_TOKEN = ("B", 11, Major.DEFECTIVE_TOKEN)
    BAD_ERROR_TOKEN = ("B", 12, Major.DEFECTIVE_TOKEN)
    BAD_CONTEXT_OPTION = ("B", 13, Major.FAILURE)
    REAUTH_FAILED = ("B", 14, Major.FAILURE)
    BAD_SERVICE_NAME = ("B", 15, Major.BAD_NAME)
    BAD_INITIATOR_NAME = ("B", 16, Major.BAD_NAME)
    NO_HOSTNAME = ("B", 17, Major.BAD_NAME)
    NO_ACCEPTOR_NAME = ("B", 18, Major.BAD_NAME)
    WRONG_ACCEPTOR_NAME = ("B", 19, Major.BAD_NAME)
    BAD_NAME_TOKEN = ("B", 20, Major.BAD_NAME)
    NO_LOCAL_MAPPING = ("B", 21, Major.UNAUTHORIZED)
    BAD_USAGE = ("B", 22, Major.FAILURE)
    CRED_USAGE_MISMATCH = ("B", 23, Major.NO_CRED)
    CRED_MECH_MISMATCH = ("B", 24, Major.NO_CRED)
    CRED_EXPIRED = ("B", 25, Major.CREDENTIALS_EXPIRED)
    BAD_CRED_OPTION = ("B", 26, Major.FAILURE)
    NO_DEFAULT_IDENTITY = ("B", 27, Major.NO_CRED)
    NO_DEFAULT_CRED = ("B", 28, Major.NO_CRED)
    CRED_RESOLVED = ("B", 29, Major.FAILURE)

    def __init__(self, table: str, number: int, major: Major) -> None:
        self.table = table
        self.number = number
        self.major = major

    @property
    def wire(self) -> int:
        """The unsigned 32-bit number that `gss-min` has for this reason."""
        return self.number | (_TABLE_B_BIT if self.table == "B" else 0)

    @property
    def text(self) -> str:
        """The reason's name as PROTOCOL.md spells it, for example ``replayed-assertion``."""
        return self.name.lower().replace("_", "-")

    @classmethod
    def from_wire(cls, number: int) -> Code:
        """The reason with this `gss-min`, or `UNKNOWN_ERROR_CODE` for a number without one.

        Zero is no reason either: where a reason is due, it does not say that all is well.
        """
        return _BY_WIRE.get(number, cls.UNKNOWN_ERROR_CODE)


_BY_WIRE: Final = dict.fromkeys(range(48, 62), Code.CACHE_ERROR) | {
    code.wire: code for code in Code if code is not Code.OK
}


class BrowserIDError(Exception):
    """Anything this package refuses, or cannot do.

    :param code: the reason, as it would be sent to the other side.
    :param message: one sentence on what was wrong. Never holds a secret.
    :param remedy: what the reader can do about it, or empty.
    """

    def __init__(self, code: Code, message: str, remedy: str = "") -> None:
        super().__init__(code, message, remedy)
        self.code = code
        self.message = message
        self.remedy = remedy

    @property
    def major(self) -> int:
        """The GSS major status of `code`, a `Major`."""
        return self.code.major

    def __str__(self) -> str:
        return f"{self.message}: {self.remedy}" if self.remedy else self.message


class LocalProtocolError(BrowserIDError):
    """The calling program used the library in a way the protocol does not allow."""


class RemoteProtocolError(BrowserIDError):
    """What the other side sent is malformed, untrusted, expired, replayed or forged."""


class PeerRefusedError(BrowserIDError):
    """The other side refused and said why in an error token (PROTOCOL.md section 4.4).

    :param major: the GSS major status in the token, which need not be that of `code` nor one
        that has a name here; that of `code` when None.
    :param authenticated: whether the token was signed. What an unsigned token says is a hint:
        anybody on the path could have written it.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        remedy: str = "",
        *,
        major: int | None = None,
        authenticated: bool = False,
    ) -> None:
        super().__init__(code, message, remedy)
        self._major = code.major if major is None else major
        self.authenticated = authenticated

    @property
    def major(self) -> int:
        """The GSS major status that the other side has sent."""
        return self._major


class CredentialError(BrowserIDError):
    """The user's side has no usable credential: signing in is needed, or it failed."""


class DiscoveryError(BrowserIDError):
    """An identity provider's document could not be fetched, or is not what it should be."""

    @classmethod
    def again(cls, error: BrowserIDError) -> DiscoveryError:
        """The same once more: an exception that many threads raise grows without end."""
        kind = type(error) if isinstance(error, DiscoveryError) else cls
        return kind(error.code, error.message, error.remedy)


class NoProviderError(DiscoveryError):
    """A domain publishes no support document: that is known, and nobody is just out of reach."""


class StoreError(BrowserIDError):
    """A replay, ticket, key or authority store cannot be read or written."""


class UnavailableStoreError(StoreError):
    """A store cannot be used at the moment: its server is away, or others have kept it too long."""


class DamagedStoreError(StoreError):
    """A store is not as it was left: something in it was changed from outside, or is lost."""


class ConfigurationError(BrowserIDError):
    """A configuration file, or an option, is not valid.

    :param file: path of the file, or empty when the option came from elsewhere.
    :param line: line in that file, counted from 1, or 0 when there is none.
    :param code: a closer reason than that an option is not valid.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        *,
        file: str = "",
        line: int = 0,
        code: Code = Code.INVALID_PARAMETER,
    ) -> None:
        super().__init__(code, message, remedy)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        return place + super().__str__()
