"""Whether a program can be kept signed in, and how long: what pages say before it is allowed."""

from __future__ import annotations

from dataclasses import dataclass

from browserid_sasl.idp.web.visit import Visit


@dataclass(frozen=True, slots=True)
class Keeping:
    """What it means to keep somebody's programs signed in.

    :param possible: whether they could renew a certificate when it has expired.
    :param ends: ms, until when they could.
    :param extends: whether it is longer as long as they do.
    """

    possible: bool
    ends: int
    extends: bool


def keeping(visit: Visit) -> Keeping:
    """What it means for whom is signed in."""
    renewals, over = visit.provider.renewals, visit.provider.outside.over_at(visit.email)
    ends = visit.now + renewals.life
    if over is None:
        return Keeping(True, ends, renewals.extends)
    possible = over > visit.now + visit.house.certifier.life
    return Keeping(possible, min(ends, over), renewals.extends and over > ends)
