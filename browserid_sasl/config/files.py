"""Which files the configuration is read from, and what of them is trusted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import platformdirs

from browserid_sasl.config.configuration import NAMED_SECTIONS, SECTIONS, Config
from browserid_sasl.config.document import read_settings
from browserid_sasl.config.home import in_home
from browserid_sasl.config.options import NOWHERE, SECTION_ITSELF, Key, Setting, options_of
from browserid_sasl.config.sections import APPLICATION
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.trusted_files import read_trusted, unreadable

FILE_NAME: Final = "browserid.toml"
SYSTEM_FILE: Final = Path("/etc") / APPLICATION / FILE_NAME
VARIABLE: Final = "BROWSERID_CONFIG"
MAX_SIZE: Final = 1 << 20

_WHAT: Final = "the configuration file"


def load(
    path: Path | None = None, *, environ: Mapping[str, str] = os.environ, user: bool = True
) -> Config:
    """The configuration.

    It is read from `path` alone if given; else from the file that ``BROWSERID_CONFIG`` names,
    alone; else from the system's file with each option replaced that the user's file gives. No
    file need exist but the first two, and every option has a default.

    :param path: an explicit file.
    :param environ: where ``BROWSERID_CONFIG`` is looked up.
    :param user: whether the process acts for a person. A daemon passes False: then neither the
        variable nor the user's file counts, and folders have a daemon's defaults. It is taken as
        False in a process that runs with a file's set-user-ID or set-group-ID bit.
    :raises ConfigurationError: if a file is not valid, cannot be read or is not to be trusted.
    """
    personal = _is_personal(user)
    settings = {} if personal else _daemon_defaults()
    for file, required in _files(path, environ, user):
        data = _read(file, required)
        if data is not None:
            # There need not be any file, and then no parser either.
            settings |= read_settings(data, file)
    return _configuration(settings, personal)


def candidate_files(
    path: Path | None = None, *, environ: Mapping[str, str] = os.environ, user: bool = True
) -> set[Path]:
    """The files that `load` reads with the same arguments, as far as they exist."""
    return {file for file, _ in _files(path, environ, user)}


def own_file(path: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> Path:
    """The file that has what a person chooses: the one that is named, or else the user's.

    :raises ConfigurationError: none is named, and there is no home folder to have one in.
    """
    *_, (file, named) = _files(path, environ, user=True)
    if file == SYSTEM_FILE and not named:
        raise ConfigurationError(
            "there is no home folder to have a configuration file in",
            "set HOME, or name a file with --config",
        )
    return file


def content_of(file: Path) -> bytes:
    """What a configuration file has; nothing if it is not there.

    :raises ConfigurationError: it cannot be read, or is not to be trusted.
    """
    return _read(file, required=False) or b""


def _is_personal(user: bool) -> bool:
    return user and os.getuid() == os.geteuid() and os.getgid() == os.getegid()


def _files(
    path: Path | None, environ: Mapping[str, str], user: bool
) -> Iterator[tuple[Path, bool]]:
    user = _is_personal(user)
    if path is None and user and environ.get(VARIABLE):
        path = Path(environ[VARIABLE])
    if path is not None:
        yield _absolute(path), True
        return
    yield SYSTEM_FILE, False
    if not user:
        return
    own = in_home(lambda: platformdirs.user_config_path(APPLICATION))
    if own is not None:
        yield own / FILE_NAME, False


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError as error:
        raise ConfigurationError(
            f"there is no current folder for it to be relative to: {error.strerror}",
            "give the configuration file's absolute path",
            file=str(path),
        ) from None


def _read(file: Path, required: bool) -> bytes | None:
    try:
        return read_trusted(file, _WHAT, MAX_SIZE)
    except OSError as error:
        if not required:
            return None
        raise unreadable(file, _WHAT, error) from None


def _daemon_defaults() -> dict[Key, Setting]:
    return {
        (section, name): Setting(option.daemon, NOWHERE)
        for section, of in SECTIONS.items()
        for name, option in options_of(of).items()
        if option.daemon is not None
    }


def _configuration(settings: Mapping[Key, Setting], personal: bool) -> Config:
    values: dict[Key, dict[str, Any]] = {}
    for (*section, name), setting in settings.items():
        given = values.setdefault(tuple(section), {})
        if name == SECTION_ITSELF:
            continue
        field = name + options_of(_section_class(section[0]))[name].kind.suffix
        given[field] = setting.value
    sections: dict[str, Any] = {
        name: of(**values.get((name,), {})) for name, of in SECTIONS.items()
    }
    for kind, named in NAMED_SECTIONS.items():
        sections[kind] = {
            section[1]: named.of(**fields)
            for section, fields in values.items()
            if section[0] == kind
        }
    origins = {
        ".".join(key): setting.origin
        for key, setting in settings.items()
        if setting.origin is not NOWHERE
    }
    return Config(**sections, origins=origins, personal=personal).checked()


def _section_class(name: str) -> type[Any]:
    return NAMED_SECTIONS[name].of if name in NAMED_SECTIONS else SECTIONS[name]
