"""Which provider a command is about, as ``--directory``, ``--config`` and ``--domain`` say."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from browserid_sasl import config
from browserid_sasl.cli.options import config_option
from browserid_sasl.config import Config, IdpConfig
from browserid_sasl.config.domains import domains_of
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.identity.addresses import in_lower_case
from browserid_sasl.idp.folder import DATABASE

F = TypeVar("F", bound=Callable[..., Any])

_HINT: Final = "--domain"


@dataclass(frozen=True, slots=True)
class Place:
    """A provider, or all of them.

    :param directory: its folder, in place of the configured one.
    :param config_file: in place of the usual ones.
    :param domain: its domain in lower case, empty where there is one only.
    """

    directory: Path | None
    config_file: Path | None
    domain: str

    def domains(self, **given: object) -> list[Config]:
        """The configurations that are meant, in each of which `idp` is one domain's.

        :param given: options of [idp] from the command line.
        :raises ConfigurationError: something in the file is not valid.
        :raises UsageError: there is no such domain.
        """
        whole = config.load(self.config_file)
        whole = replace(whole, idp=replace(whole.idp, **cast(dict[str, Any], given)))
        if not whole.domain:
            return [self._placed(self._only(whole))]
        _check_named(whole.idp)
        domains = domains_of(whole)
        if not self.domain:
            return [self._placed(each) for each in domains.values()]
        if self.domain not in domains:
            known = ", ".join(domains)
            raise click.UsageError(f"{_HINT}: {self.domain!a} is none of the domains: {known}")
        return [self._placed(domains[self.domain])]

    def one(self) -> Config:
        """The configuration of the domain that is meant.

        :raises ConfigurationError: something in the file is not valid.
        :raises UsageError: it is not said which that is.
        """
        domains = self.domains()
        if len(domains) > 1:
            known = ", ".join(each.idp.domain for each in domains)
            raise click.UsageError(f"there are several domains, say which with {_HINT}: {known}")
        return domains[0]

    @property
    def options(self) -> IdpConfig:
        """`idp` of that configuration. See `one`."""
        return self.one().idp

    def _only(self, whole: Config) -> Config:
        return replace(whole, idp=replace(whole.idp, domain=self.domain or whole.idp.domain))

    def _placed(self, one: Config) -> Config:
        if self.directory is None:
            return one
        return replace(one, idp=replace(one.idp, directory=self.directory.absolute()))


def place_options(function: F) -> F:
    """Add ``--directory``, ``--config`` and ``--domain``, as the argument `place`."""

    @wraps(function)
    def placed(
        *, directory: Path | None, config_file: Path | None, domain: str, **options: Any
    ) -> Any:
        return function(place=Place(directory, config_file, in_lower_case(domain)), **options)

    directory = click.option(
        "--directory",
        metavar="DIR",
        # Whether this user may read it is found out later, by a better message.
        type=click.Path(readable=False, path_type=Path),
        help="Folder of the provider, in place of the configured one.",
    )
    domain = click.option(
        _HINT, metavar="DOMAIN", default="", help="Which domain, where there are several."
    )
    return cast(F, directory(domain(config_option(placed))))


def _check_named(options: IdpConfig) -> None:
    """See that no provider is forgotten that was there before there were several.

    :raises ConfigurationError: [idp] has one, and does not name its domain.
    """
    present = options.database or os.path.exists(options.directory / DATABASE)
    if not options.domain and present:
        raise ConfigurationError(
            f"there are sections for further domains, and [idp] does not say which domain the"
            f" provider in {(options.database and 'its database') or options.directory} is for",
            "give `domain` in [idp]",
        )
