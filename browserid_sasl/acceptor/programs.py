"""Which programs of the machine may accept security contexts (docs/gss-api.md).

A program is known by its account, which is the kernel's word. To whom a context's key is given can
speak for the server to that person, and read what the person says to it: so nobody is given one
whom the configuration does not name.
"""

from __future__ import annotations

import pwd

from browserid_sasl.config import Config, ProgramsConfig
from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.wire.peer import Peer


def permitted(config: Config, peer: Peer, service: str) -> ProgramsConfig:
    """What holds for a program that would accept contexts for a service.

    :param service: as the client spells it.
    :raises RemoteProtocolError: wrong-acceptor-name if the program may not.
    """
    account = _account_of(peer)
    section = config.programs.get(account, ProgramsConfig())
    if service in section.services:
        return section
    raise RemoteProtocolError(
        Code.WRONG_ACCEPTOR_NAME,
        f"programs of the account {account} may not accept contexts for the service {service!r}",
        f'`services` in the section [programs."{account}"] says for which they may',
    )


def _account_of(peer: Peer) -> str:
    try:
        return pwd.getpwuid(peer.uid).pw_name
    except KeyError:
        return str(peer.uid)
