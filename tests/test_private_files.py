"""Files that only their owner reads, and the passwords in them: the same for all that name one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from browserid_sasl import config
from browserid_sasl.api.shared import shared_stores
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.postman import MailServer
from browserid_sasl.private_files import MOST_OF_SECRET, read_private, read_secret
from browserid_sasl.store.sealing import SiteKeys, write_site_keys

SECRET = "a secret: of 100% strange letters+, and a \N{LATIN SMALL LETTER U WITH DIAERESIS}"


def of_store(folder: Path) -> None:
    write_site_keys(folder / "key", SiteKeys.generate())
    options = 'url = "redis://127.0.0.1:1/0"\npassword_file = "secret"\nkey_file = "key"\n'
    shared_stores(load(folder, f"[store]\n{options}"), grace=0)


def of_directory(folder: Path) -> None:
    options = 'servers = ["ldaps://localhost"]\nbase = "dc=x"\nbind_dn = "cn=x"\n'
    section = f'[ldap."x"]\n{options}bind_password_file = "secret"\n'
    configured_backends(load(folder, f'[idp]\nbackends = ["x"]\n{section}'))


def of_other_provider(folder: Path) -> None:
    options = 'issuer = "https://localhost"\nclient_id = "x"\nclient_secret_file = "secret"\n'
    configured_backends(load(folder, f'[idp]\nbackends = ["x"]\n[oidc."x"]\n{options}'))


def of_mail_server(folder: Path) -> None:
    MailServer("localhost", 25, "tls", "x.test", "user", folder / "secret").check()


def load(folder: Path, text: str) -> config.Config:
    file = folder / "browserid.toml"
    file.write_text(text)
    return config.load(file)


DOORS = [of_store, of_directory, of_other_provider, of_mail_server]

UNFIT: dict[str, bytes] = {
    "nothing": b"",
    "an empty line": b"\n",
    "two lines": b"one\ntwo\n",
    "two ends of a line": b"one\n\n",
    "a space before it": b" one\n",
    "a space after it": b"one \n",
    "what cannot be printed": b"one\x07\n",
    "a null": b"one\0",
    "no text": b"\xff\xfe",
    "too much": b"a" * (MOST_OF_SECRET + 1),
    "far too much": b"a" * (17 << 20),
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(0o600)
    return file


@pytest.mark.parametrize("text", [SECRET, f"{SECRET}\n", f"{SECRET}\r\n"])
def test_a_secret_is_a_line(secret: Path, text: str) -> None:
    secret.write_bytes(text.encode())
    assert read_secret(secret, "it") == SECRET


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("unfit", UNFIT)
def test_what_is_none_is_refused_by_all_that_name_a_file(
    door: Callable[[Path], None], tmp_path: Path, secret: Path, unfit: str
) -> None:
    secret.write_bytes(UNFIT[unfit])
    with pytest.raises(ConfigurationError) as caught:
        door(tmp_path)
    assert "secret" in caught.value.message
    assert caught.value.remedy
    assert "one" not in caught.value.message.split()


@pytest.mark.parametrize("door", DOORS)
def test_so_is_what_others_can_read(
    door: Callable[[Path], None], tmp_path: Path, secret: Path
) -> None:
    secret.write_text(SECRET)
    secret.chmod(0o640)
    with pytest.raises(ConfigurationError, match=f"chmod 600 {secret}"):
        door(tmp_path)


@pytest.mark.parametrize("door", DOORS)
def test_so_is_what_is_not_there(door: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read from"):
        door(tmp_path)


@pytest.mark.parametrize("door", DOORS)
def test_nobody_waits_for_a_pipe_to_which_nobody_writes(
    door: Callable[[Path], None], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "secret", 0o600)
    with pytest.raises(ConfigurationError, match="no ordinary file"):
        door(tmp_path)


def test_where_it_is_named_is_said(tmp_path: Path, secret: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        of_directory(tmp_path)
    assert caught.value.line == 7


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_any_private_file_is_an_ordinary_one(
    make: Callable[[Path, int], None], tmp_path: Path
) -> None:
    make(tmp_path / "x", 0o600)
    with pytest.raises(OSError, match=r"ordinary|directory"):
        read_private(tmp_path / "x")
