"""Where the configuration is read from, what of that is trusted, and the defaults."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl import trusted_files
from browserid_sasl.config import AuthorityOverride, Config, files, load
from browserid_sasl.config.options import Origin
from browserid_sasl.errors import ConfigurationError

FILE = Path("/etc/example/browserid.toml")
ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "configuration.md"

Write = Callable[..., Path]


def test_without_a_file_everything_has_its_default(home: Path) -> None:
    config = load()
    assert config == Config()
    assert config.server.mechanisms == ("BROWSERID-AES128", "BROWSERID-AES256")
    assert config.server.clock_skew_ms == 300_000
    assert config.server.max_certificate_life_ms == 86_400_000
    assert config.server.ticket_lifetime_ms == 36_000_000
    assert config.server.ticket_renew_limit_ms == 604_800_000
    assert config.server.secondary_authorities == ()
    assert not config.server.allow_legacy_keys
    assert config.client.dialect == "draft-04"
    assert config.client.assertion_lifetime_ms == 300_000
    assert config.client.trust_anchors is None
    assert config.authorities == {}
    assert config.store.directory == home / ".local/share/browserid"
    assert config.store.server_directory == home / ".local/state/browserid/server"
    assert config.idp.directory == home / ".local/share/browserid/idp"


def test_a_daemon_keeps_its_things_below_var_lib() -> None:
    config = load(user=False)
    assert config.store.server_directory == Path("/var/lib/browserid")
    assert config.store.directory == Path("/var/lib/browserid/client")
    assert config.idp.directory == Path("/var/lib/browserid-idp")
    assert replace(config, store=Config().store, idp=Config().idp) == Config()


def test_a_process_without_a_home_keeps_its_things_where_a_daemon_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("platformdirs.user_data_path", lambda _: Path("~/.local/share/browserid"))
    assert load().store.directory == Path("/var/lib/browserid/client")


def test_a_configuration_is_immutable_and_can_be_sent_to_another_process(write: Write) -> None:
    config = load(write('[authorities."example.test"]\nurl = "https://127.0.0.1:8443"\n'))
    with pytest.raises(AttributeError):
        config.server = config.server  # type: ignore[misc]
    with pytest.raises(AttributeError):
        config.server.tickets = False  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(config)) == config


def refusal(file: Path, **arguments: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(file, **arguments)
    assert caught.value.file == str(file)
    assert caught.value.remedy
    return caught.value


def test_an_explicit_file_has_to_exist(tmp_path: Path) -> None:
    error = refusal(tmp_path / "none.toml")
    assert error.message == "the configuration file cannot be read: No such file or directory"


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    error = refusal(tmp_path)
    assert error.message == "the configuration file cannot be read: Is a directory"


def test_a_path_that_cannot_be() -> None:
    error = refusal(Path("/etc/a\0b"))
    assert error.message == "the configuration file cannot be read: its path is not valid"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refusal(tmp_path / "pipe").message == "the configuration file is not an ordinary file"


def test_a_file_without_permission(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(trusted_files, "_open_without_waiting", refuse)
    error = refusal(file)
    assert error.message == "the configuration file cannot be read: Permission denied"
    assert "readable" in error.remedy


def test_a_file_of_one_mebibyte_is_read_and_no_larger_one(write: Write) -> None:
    file = write("#" * files.MAX_SIZE)
    assert load(file) == Config()
    error = refusal(write("#" * (files.MAX_SIZE + 1)))
    assert error.message == "the configuration file is too large"


def test_a_large_file_is_read_in_reasonable_time(write: Write) -> None:
    sections = (f'[authorities."d{n}.test"]\nurl = "https://d{n}.test"\n' for n in range(18_000))
    file = write("".join(sections))
    assert 900_000 < file.stat().st_size < files.MAX_SIZE
    before = time.process_time()
    assert len(load(file).authorities) == 18_000
    assert time.process_time() - before < 10


def test_a_file_has_to_be_utf_8(write: Write) -> None:
    file = write("")
    file.write_bytes(b"[server]\n# caf\xe9\n")
    error = refusal(file)
    assert (error.message, error.line) == ("the file is not UTF-8 text", 2)


@pytest.mark.parametrize("opening", ["[", "{a="])
def test_a_file_may_not_be_nested_without_end(opening: str, write: Write) -> None:
    error = refusal(write("a = " + opening * 50_000))
    assert error.message == "arrays or tables are nested too deeply"


@pytest.fixture
def places(write: Write) -> Mapping[str, Path]:
    """A file in each place, with a clock skew of its own."""
    system = write(
        """\
        [server]
        clock_skew = 1
        audiences = ["imap/system.test"]
        ticket_lifetime = 111
        [authorities."example.test"]
        url = "https://system.test"
        ca_file = "system.pem"
        """,
        "etc/browserid.toml",
    )
    user = write(
        """\
        [server]
        clock_skew = 2
        audiences = []
        [authorities."EXAMPLE.test"]
        url = "https://user.test"
        """,
        "home/.config/browserid/browserid.toml",
    )
    variable = write("[server]\nclock_skew = 3\n", "variable.toml")
    explicit = write("[server]\nclock_skew = 4\n", "argument.toml")
    return {"system": system, "user": user, "variable": variable, "explicit": explicit}


def test_the_users_file_replaces_options_of_the_systems(places: Mapping[str, Path]) -> None:
    config = load(environ={})
    assert config.server.clock_skew_ms == 2_000
    assert config.server.audiences == ()
    assert config.server.ticket_lifetime_ms == 111_000
    assert config.authorities == {
        "example.test": AuthorityOverride(
            "https://user.test", ca_file=places["system"].parent / "system.pem"
        )
    }
    assert config.origins["server.clock_skew"] == Origin(str(places["user"]), 2)
    assert config.origins["server.ticket_lifetime"] == Origin(str(places["system"]), 4)
    assert config.origins["authorities.example.test.url"] == Origin(str(places["user"]), 5)


@pytest.mark.usefixtures("places")
def test_the_users_file_is_looked_for_where_xdg_says(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write("[server]\nclock_skew = 5\n", "xdg/browserid/browserid.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(file.parents[1]))
    assert load(environ={}).server.clock_skew_ms == 5_000


def test_the_file_of_the_variable_is_read_alone(places: Mapping[str, Path]) -> None:
    config = load(environ={files.VARIABLE: str(places["variable"])})
    assert config.server.clock_skew_ms == 3_000
    assert config.server.ticket_lifetime_ms == 36_000_000


def test_the_process_environment_is_the_default(
    places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(files.VARIABLE, str(places["variable"]))
    assert load().server.clock_skew_ms == 3_000


@pytest.mark.usefixtures("places")
def test_an_empty_variable_is_none() -> None:
    assert load(environ={files.VARIABLE: ""}).server.clock_skew_ms == 2_000


def test_the_file_of_the_variable_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load(environ={files.VARIABLE: str(tmp_path / "none.toml")})


def test_an_explicit_file_is_read_alone(places: Mapping[str, Path]) -> None:
    config = load(places["explicit"], environ={files.VARIABLE: str(places["variable"])})
    assert config.server.clock_skew_ms == 4_000
    assert config.server.audiences == ()


def test_a_relative_file_is_where_the_process_is(
    places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(places["explicit"].parent)
    config = load(Path("argument.toml"))
    assert config.origins["server.clock_skew"].file == str(places["explicit"])


def test_a_daemon_reads_the_systems_file_only(places: Mapping[str, Path]) -> None:
    config = load(environ={files.VARIABLE: str(places["variable"])}, user=False)
    assert config.server.clock_skew_ms == 1_000
    assert load(places["explicit"], user=False).server.clock_skew_ms == 4_000


@pytest.mark.parametrize("identifier", ["getuid", "getgid"])
def test_a_set_user_id_process_is_treated_as_a_daemon(
    identifier: str, places: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, identifier, lambda: 4711)
    config = load(environ={files.VARIABLE: str(places["variable"])})
    assert config.server.clock_skew_ms == 1_000
    assert config.store.server_directory == Path("/var/lib/browserid")


@pytest.mark.usefixtures("places")
def test_a_process_without_a_home_reads_no_users_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_config_path", lambda _: Path("~/.config/browserid"))
    assert load(environ={}).server.clock_skew_ms == 1_000


def test_options_that_need_each_other_may_be_in_different_files(
    write: Write,
) -> None:
    write('[server]\nx509_certificate = "/a.pem"\n', "etc/browserid.toml")
    write('[server]\nx509_key = "/b.pem"\n', "home/.config/browserid/browserid.toml")
    config = load(environ={})
    assert config.server.x509_certificate == Path("/a.pem")
    assert config.server.x509_key == Path("/b.pem")


def test_a_file_that_others_can_write_is_not_obeyed(write: Write) -> None:
    file = write("")
    file.chmod(0o646)
    error = refusal(file)
    assert error.message == "others can write to the configuration file"
    assert error.remedy == f"chmod go-w {file}"
