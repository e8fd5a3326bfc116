"""What passes between the C half and the Python half of the plugin."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Final

from browserid_sasl.cyrus.codes import Disposition
from browserid_sasl.records import Record, fields
from browserid_sasl.sasl.channel_binding import ChannelBinding
from browserid_sasl.sasl.results import LogLevel


class Outcome(Record):
    """What one step comes to. The C half takes its fields apart: both change together.

    :param code: one of `Sasl`.
    :param output: octets to send, None for none.
    :param level: of `message`.
    :param message: a line for the log.
    :param detail: what `sasl_errdetail` says.
    :param identity: on success, the e-mail address, or on a server the user name it stands for.
    :param authzid: on success, who to act as.
    :param disposition: on success, what the client did about channel binding.
    :param binding: on success, the type of the channel binding.
    :param properties: on success, names and values for the application's property context.
    """

    code: int
    output: bytes | None = None
    level: int = LogLevel.FAIL
    message: str | None = None
    detail: str | None = None
    identity: str | None = None
    authzid: str | None = None
    disposition: int = Disposition.NONE
    binding: str | None = None
    properties: tuple[tuple[str, str], ...] = ()


as_tuple: Final[attrgetter[tuple[object, ...]]] = attrgetter(*fields(Outcome))
"""An outcome's fields in the order of their declaration."""


class Connection(Record):
    """What libsasl2 knows of a connection when a mechanism starts on it.

    :param mechanism: name, without ``-PLUS``.
    :param options: those of `OPTIONS` that the program's configuration gives.
    :param service: for example ``imap``.
    :param host: the server's name, None if the program did not say.
    :param binding_type: of the channel binding the program has, None for none.
    :param binding_data: its octets.
    :param binding_critical: whether the program demands its use.
    :param disposition: on a client, what libsasl2 decided about it.
    :param mutual: whether the program demands mutual authentication.
    :param plus_listed: on a server, whether -PLUS is among the mechanisms that clients are told.
    """

    mechanism: str
    options: Mapping[str, str]
    service: str
    host: str | None
    binding_type: str | None
    binding_data: bytes
    binding_critical: int
    disposition: int
    mutual: int
    plus_listed: int = True

    @property
    def binding(self) -> ChannelBinding | None:
        """The channel binding the program has."""
        if self.binding_type is None:
            return None
        return ChannelBinding(self.binding_type, self.binding_data)
