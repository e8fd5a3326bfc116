"""The sample client on another SASL library than this package's own.

Here `browserid_sasl.compat` stands in for the package `sasl`; tests/plugin has the real one.
"""

from __future__ import annotations

import sys

import pytest

from browserid_sasl import compat
from browserid_sasl.cli.sample.client import main
from browserid_sasl.cli.sample.library import LibraryError, Wishes
from browserid_sasl.cli.sample.python_sasl import PythonSasl
from browserid_sasl.config.files import VARIABLE
from tests.support.sample_programs import (
    ALICE,
    HOST,
    SERVICE,
    Realm,
    RunningServer,
    scripted_server,
)

FAILED = 255
ON_PYTHON_SASL = ("--sasl-library", "python-sasl")
OFFER = b"{16}\r\nBROWSERID-AES128"


@pytest.fixture
def python_sasl(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `sasl` importable."""
    monkeypatch.setitem(sys.modules, "sasl", compat)
    # The program leaves the configuration's name there for the plugin.
    monkeypatch.setenv(VARIABLE, "")


def run(realm: Realm, port: int, *arguments: str) -> int:
    """Run the client in this process; its exit status."""
    config = ("--config", str(realm.config_file))
    return main([*ON_PYTHON_SASL, *config, "-p", str(port), *arguments, HOST])


@pytest.mark.usefixtures("python_sasl")
class TestLogin:
    def test_says_what_it_says_without(
        self, realm: Realm, server: RunningServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(realm, server.port, "--verbose") == 0
        said, complained = capsys.readouterr()
        assert "using mechanism BROWSERID-AES128\n" in said
        assert "successful authentication\n" in said
        assert f"mechanism: BROWSERID-AES128\nauthorization identity: {ALICE}\n" in said
        assert complained == ""

    def test_nobody_is_signed_in(
        self, fresh_realm: Realm, server: RunningServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(fresh_realm, server.port) == FAILED
        complained = capsys.readouterr().err
        assert complained.startswith("starting SASL negotiation: ")
        assert "browserid login" in complained

    def test_a_refusal_has_the_librarys_reason(
        self, realm: Realm, server: RunningServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(realm, server.port, "-s", "imap") == FAILED
        complained = capsys.readouterr().err
        assert complained.startswith("performing SASL negotiation: ")
        assert "bad-audience" in complained

    def test_a_success_before_the_end_is_not_believed(
        self, realm: Realm, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with scripted_server(OFFER, b"O") as port:
            assert run(realm, port) == FAILED
        said, complained = capsys.readouterr()
        assert "reported success before the exchange had come to its end" in complained
        assert "successful authentication" not in said

    def test_flags_that_do_not_insist_bind_to_nothing(
        self, realm: Realm, server: RunningServer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(realm, server.port, "-c") == 0
        assert "\nn,,c," in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-C"], "-C needs --sasl-library native"),
        (["-D"], "-D needs --sasl-library native"),
        (["-c", "--cb-type", "tls-unique"], "--cb-type needs --sasl-library native"),
        (["--dialect", "draft-04"], "--dialect and --mutual need"),
        (["--mutual", "required"], "--dialect and --mutual need"),
        (["--sasl-library", "perl"], "'perl' is not one of 'native', 'python-sasl'"),
    ],
)
def test_what_it_cannot_do_exits_with_64(
    realm: Realm,
    unused_port: int,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    reason: str,
) -> None:
    assert run(realm, unused_port, *arguments) == 64
    assert reason in " ".join(capsys.readouterr().err.split())


def test_a_missing_package_exits_with_64_and_what_to_install(
    realm: Realm,
    unused_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "sasl", None)
    assert run(realm, unused_port) == 64
    complained = capsys.readouterr().err
    assert complained.startswith("initializing: invalid parameter supplied\n")
    for named in ("sasl 0.3.1", "Cython < 3", "plugin/README.md", "make install", "SASL_PATH"):
        assert named in complained


class Failing:
    """A client of python-sasl whose every call fails for one reason."""

    error = b""

    def setAttr(self, key: str, value: str) -> bool:
        return True

    def init(self) -> bool:
        return False

    def start(self, mech_list: str) -> tuple[bool, bytes, bytes]:
        return False, b"", b""

    def step(self, challenge: bytes) -> tuple[bool, bytes]:
        return False, b""

    def getUserId(self) -> tuple[bool, bytes]:
        return False, b""

    def getError(self) -> bytes:
        return self.error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            b"Error in sasl_client_step (-13) SASL(-13): authentication failure: why: and how",
            "authentication failure",
            "why: and how",
        ),
        (
            b"Error in sasl_client_start (-4) SASL(-4): no mechanism available: No worthy mechs",
            "no mechanism available",
            "No worthy mechs",
        ),
        (
            b"Error in sasl_client_step (-5) SASL(-5): bad protocol / cancel: ",
            "bad protocol / cancel",
            "libsasl2 gives no reason; the system log may have one",
        ),
        (
            b"Error in sasl_client_new (-7) invalid parameter supplied",
            "invalid parameter supplied",
            "libsasl2 gives no reason; the system log may have one",
        ),
        (b"something else \xff", "generic failure", "something else \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_the_words_of_libsasl2_are_taken_apart(error: bytes, kind: str, message: str) -> None:
    class Client(Failing):
        pass

    Client.error = error
    with pytest.raises(LibraryError) as refusal:
        PythonSasl(Client, SERVICE, HOST, "").start([], Wishes(None, "", None, critical=False))
    assert (refusal.value.kind, refusal.value.message) == (kind, message)


def test_who_acts_for_another_is_named_too() -> None:
    told: dict[str, str] = {}

    class Client(Failing):
        def setAttr(self, key: str, value: str) -> bool:
            told[key] = value
            return True

    with pytest.raises(LibraryError):
        PythonSasl(Client, SERVICE, HOST, ALICE).start(
            [], Wishes(None, "bob", None, critical=False)
        )
    assert (told["username"], told["authname"]) == ("bob", ALICE)
