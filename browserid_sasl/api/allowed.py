"""Who may log in to a server, as its configuration says."""

from __future__ import annotations

from typing import Final

from browserid_sasl.api.allow_file import AllowFile
from browserid_sasl.config import Config
from browserid_sasl.errors import Code, ConfigurationError, RemoteProtocolError
from browserid_sasl.identity.allow_list import AllowList

_NOT_SAID: Final = (
    "nobody may log in to this server, as it is not said who may",
    "set `allow` in [server] (in the configuration of a SASL program: `browserid_allow`) to the"
    " domains or addresses that may log in, for example to example.org",
)


class Allowed:
    """What `allow`, `allow_file` and `strip_domain` come to.

    :param config: the configuration.
    :param said: whether the program has given `allow`, so that an empty one means nobody.
    :raises ConfigurationError: when `allow_file` cannot be put to use.
    """

    def __init__(self, config: Config, *, said: bool = False) -> None:
        server = config.server
        self.is_said: Final = said or bool(server.allow) or server.allow_file is not None
        """Whether `allow` or `allow_file` is given."""
        self._file: AllowFile | None = None
        if server.allow_file is not None:
            self._file = AllowFile(server.allow_file)
            self._file.read()
        entries = server.allow
        if not self.is_said and server.strip_domain:
            entries = (server.strip_domain,)
        self._list = AllowList(frozenset(entries))

    def check(self, address: str) -> None:
        """Refuse whoever may not log in.

        :param address: an e-mail address, which need not be proven yet.
        :raises RemoteProtocolError: no-local-mapping.
        :raises ConfigurationError: no-local-mapping when the configuration does not say who may
            log in; invalid-parameter when `allow_file` cannot be read.
        """
        # The file first: while nobody knows what it says, nobody is admitted, not even by `allow`.
        admitted = self._file is not None and self._file.read().admits(address)
        if admitted or self._list.admits(address):
            return
        if not self.is_said and not self._list.entries:
            raise ConfigurationError(*_NOT_SAID, code=Code.NO_LOCAL_MAPPING)
        raise RemoteProtocolError(
            Code.NO_LOCAL_MAPPING,
            f"{address} may not log in to this service",
            "if it should, add the address or its domain to `allow`",
        )


def anybody(address: str) -> None:
    """The check of a server whose program decides who may log in."""
