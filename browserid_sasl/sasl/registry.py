"""Which mechanism a server offers and a client picks, and what both say of channel binding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from browserid_sasl.errors import Code, LocalProtocolError
from browserid_sasl.gss.mechanisms import PLUS, Mechanism, mechanism_by_name
from browserid_sasl.sasl.gs2 import BindingFlag


@dataclass(frozen=True, slots=True)
class Choice:
    """A client's pick.

    :param mechanism: the mechanism.
    :param name: the name to tell the server.
    :param flag: what to say about channel binding.
    """

    mechanism: Mechanism
    name: str
    flag: BindingFlag


def offer(mechanisms: Iterable[Mechanism], *, channel_binding: bool) -> list[str]:
    """The names a server lists; those with ``-PLUS`` come first when it has binding data."""
    rows = list(mechanisms)
    plus = [row.plus_name for row in rows] if channel_binding else []
    return plus + [row.name for row in rows]


def demand(name: str, *, channel_binding: bool, critical: bool) -> Choice:
    """A client's pick when the user has named the mechanism.

    As with Cyrus SASL, the channel is bound to only if that is critical, or if the name asked
    for has ``-PLUS``: nothing is known of what the server offers.

    :raises LocalProtocolError: wrong-mech; missing-channel-bindings when it is critical and there
        is nothing to bind to.
    """
    mechanism = mechanism_by_name(name)
    used = critical or name.upper().endswith(PLUS)
    _check_critical(channel_binding=channel_binding, critical=used)
    return Choice(mechanism, mechanism.name, BindingFlag.USED if used else BindingFlag.NONE)


def choose(
    offered: Sequence[str],
    preferred: Iterable[Mechanism],
    *,
    channel_binding: bool,
    critical: bool,
) -> Choice:
    """A client's pick from what a server lists (RFC 5801 section 5).

    :param offered: the names the server lists.
    :param preferred: what the client can do, the best first.
    :param channel_binding: whether the client has binding data.
    :param critical: whether it insists on using them.
    :raises LocalProtocolError: wrong-mech when nothing fits; missing-channel-bindings when it is
        critical and there is nothing to bind to.
    """
    _check_critical(channel_binding=channel_binding, critical=critical)
    names = {name.upper() for name in offered}
    rows = list(preferred)
    if channel_binding:
        for row in rows:
            if row.plus_name in names:
                return Choice(row, row.plus_name, BindingFlag.USED)
        if critical:
            raise LocalProtocolError(
                Code.WRONG_MECH,
                "channel binding is required, and the server offers no mechanism that does it",
                f"it offers {' '.join(offered) or 'nothing'}",
            )
    flag = BindingFlag.NOT_OFFERED if channel_binding else BindingFlag.NONE
    for row in rows:
        if row.name in names:
            return Choice(row, row.name, flag)
    raise LocalProtocolError(
        Code.WRONG_MECH,
        "the server offers no mechanism of this family",
        f"it offers {' '.join(offered) or 'nothing'}",
    )


def _check_critical(*, channel_binding: bool, critical: bool) -> None:
    if critical and not channel_binding:
        raise LocalProtocolError(
            Code.MISSING_CHANNEL_BINDINGS,
            "channel binding is required, and there is no channel to bind to",
            "connect with TLS, or do not require it",
        )
