"""A stand-in for the `Client` of the `sasl` package, for programs written for that.

The `sasl` package drives libsasl2; this object has the same methods, which take and return the
same values, and speaks the mechanisms of this package in pure Python::

    import browserid_sasl.compat as sasl
"""

from __future__ import annotations

from typing import Final

from browserid_sasl.api import Client as Facade
from browserid_sasl.config import Config, load
from browserid_sasl.errors import BrowserIDError, Code, LocalProtocolError
from browserid_sasl.sasl.client import ClientMechanism

_TEXTS: Final = frozenset({"service", "username", "authname", "password", "host", "externaluser"})
_NUMBERS: Final = frozenset({"minssf", "maxssf", "externalssf", "maxbufsize"})


class Client:
    """A SASL client with the interface of `sasl.Client`.

    As there, no method raises for a login that fails: each returns whether it went well, and
    `getError` says why not. The attributes `username` and `authname` name the identity to act as
    and, where it differs, the one to authenticate as; without either it is the one signed in.
    `password` is taken and not used.

    :param config: the configuration; the files of the machine and the user when None.
    """

    def __init__(self, config: Config | None = None) -> None:
        self._config = config
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._facade: Facade | None = None
        self._mechanism: ClientMechanism | None = None
        self._error = ""

    def setAttr(self, key: str | bytes, value: str | bytes | int) -> bool:
        """Set an attribute, before `init`.

        :returns: whether there is an attribute of this name and type.
        """
        name = _text(key)
        if isinstance(value, int) and name in _NUMBERS:
            self._numbers[name] = value
        elif not isinstance(value, int) and name in _TEXTS:
            self._texts[name] = _text(value)
        else:
            self._error = f"Error in setAttr (-1) Unknown attribute name - {name}"
            return False
        return True

    def init(self) -> bool:
        """Get ready, once the attributes are set."""
        try:
            self._facade = self._make_facade()
        except BrowserIDError as error:
            return self._failed("init", error)
        return True

    def start(self, mech_list: str | bytes) -> tuple[bool, bytes, bytes]:
        """Begin the exchange.

        :param mech_list: the mechanisms the server offers, separated by spaces or commas.
        :returns: whether it went well, the mechanism chosen, and the initial response.
        """
        try:
            mechanism = self._ready().start(
                _text(mech_list).replace(",", " ").split(), authzid=self._authzid()
            )
            response = mechanism.step()
        except BrowserIDError as error:
            return self._failed("start", error), b"", b""
        self._mechanism = mechanism
        return True, mechanism.name.encode("ascii"), response

    def step(self, challenge: str | bytes) -> tuple[bool, bytes]:
        """Answer a challenge.

        :returns: whether it went well, and the response.
        """
        try:
            return True, self._started().step(_octets(challenge))
        except BrowserIDError as error:
            return self._failed("step", error), b""

    def encode(self, clear_text: str | bytes) -> tuple[bool, bytes]:
        """Protect data to send. There is no security layer: it stays as it is."""
        return self._pass_through("encode", clear_text)

    def decode(self, cipher_text: str | bytes) -> tuple[bool, bytes]:
        """Unprotect data received. There is no security layer: it stays as it is."""
        return self._pass_through("decode", cipher_text)

    def getUserId(self) -> tuple[bool, bytes]:
        """The identity one acts as, once logged in."""
        try:
            return True, self._started().result.authzid.encode()
        except BrowserIDError as error:
            return self._failed("getUserId", error), b""

    def getSSF(self) -> tuple[bool, int]:
        """The strength of the security layer, which is always 0."""
        try:
            self._started()
        except BrowserIDError as error:
            return self._failed("getSSF", error), 0
        return True, 0

    def getError(self) -> bytes:
        """Why the last call failed, empty if none has since the last `getError`."""
        error, self._error = self._error, ""
        return error.encode()

    def _make_facade(self) -> Facade:
        wanted = self._numbers.get("minssf", 0) - self._numbers.get("externalssf", 0)
        if wanted > 0:
            raise LocalProtocolError(
                Code.INVALID_PARAMETER,
                "a security layer is required, and these mechanisms have none",
                "use TLS and set `externalssf` to its strength",
            )
        return Facade(
            load() if self._config is None else self._config,
            self._texts.get("service", ""),
            self._texts.get("host", ""),
            identity=self._texts.get("authname") or self._texts.get("username", ""),
        )

    def _authzid(self) -> str:
        return self._texts.get("username", "") if self._texts.get("authname") else ""

    def _ready(self) -> Facade:
        if self._facade is None:
            raise LocalProtocolError(Code.INVALID_USAGE, "init has not been called")
        return self._facade

    def _started(self) -> ClientMechanism:
        if self._mechanism is None:
            raise LocalProtocolError(Code.INVALID_USAGE, "start has not been called")
        return self._mechanism

    def _pass_through(self, method: str, data: str | bytes) -> tuple[bool, bytes]:
        try:
            self._started()
        except BrowserIDError as error:
            return self._failed(method, error), b""
        return True, _octets(data)

    def _failed(self, method: str, error: BrowserIDError) -> bool:
        self._error = f"Error in {method} ({error.code.text}) {error}"
        return False


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _octets(value: str | bytes) -> bytes:
    return value.encode("utf-8") if isinstance(value, str) else value
