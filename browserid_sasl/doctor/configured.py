"""The configuration: which files there are, and whether they are valid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from browserid_sasl.config import Config, candidate_files, load
from browserid_sasl.doctor.findings import Finding, doubtful, good, of_error
from browserid_sasl.errors import ConfigurationError

_CHECK = "configuration"


def read(config_file: Path | None, *, user: bool) -> tuple[Config | None, list[Finding]]:
    """The configuration, None if it cannot be used, and what is to be said of it.

    :param config_file: in place of the usual ones.
    :param user: whether it is a person's.
    """
    try:
        config = load(config_file, user=user)
    except ConfigurationError as error:
        return None, [of_error(_CHECK, error, "see docs/configuration.md")]
    return config, list(_about(config, config_file, user=user))


def _about(config: Config, config_file: Path | None, *, user: bool) -> Iterator[Finding]:
    files = sorted(file for file in candidate_files(config_file, user=user) if file.exists())
    named = " and ".join(map(str, files))
    yield good(_CHECK, f"{named}: valid" if files else "no file, so all is as by default")
    if config.store.backend == "memory":
        yield doubtful(
            _CHECK,
            "what is remembered ends with each process: `backend` in [store] is `memory`",
            "set `backend` to sqlite",
        )
