"""Passwords given to commands: at the terminal, in a file, through a descriptor."""

from __future__ import annotations

import getpass
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from browserid_sasl.cli.passwords import PasswordSource, password_source
from browserid_sasl.errors import Code, CredentialError


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes, mode: int = 0o600) -> Path:
        path = tmp_path / "password"
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


def piped(content: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)
    return reading


def refused(source: PasswordSource) -> CredentialError:
    with pytest.raises(CredentialError) as raised:
        source.read("Password")
    return raised.value


LINES = [
    (b"secret", "secret"),
    (b"secret\n", "secret"),
    (b"secret\r\n", "secret"),
    (b"\xef\xbb\xbfsecret\n", "secret"),
    (b"secret\nsecond line\n", "secret"),
    (b" spaces count ", " spaces count "),
    ("p\u00e4sswort\n".encode(), "p\u00e4sswort"),
]
NO_PASSWORDS = [b"", b"\n", b"\nsecret", b"\xff\xfe\n", b"x" * 5000]


class TestFile:
    @pytest.mark.parametrize(("content", "password"), LINES)
    def test_its_first_line_counts(
        self, write: Callable[[bytes], Path], content: bytes, password: str
    ) -> None:
        assert PasswordSource(file=write(content)).read("Password") == password

    @pytest.mark.parametrize("content", NO_PASSWORDS)
    def test_there_has_to_be_one(self, write: Callable[[bytes], Path], content: bytes) -> None:
        assert refused(PasswordSource(file=write(content))).code is Code.INTERACT_FAILURE

    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o602])
    def test_others_may_not_have_access(
        self, write: Callable[[bytes, int], Path], mode: int
    ) -> None:
        error = refused(PasswordSource(file=write(b"secret\n", mode)))
        assert "others" in error.message
        assert "chmod 600" in error.remedy
        assert "secret" not in str(error)

    def test_it_can_be_read_before_the_process_becomes_another_user(
        self, write: Callable[[bytes], Path]
    ) -> None:
        source = PasswordSource(file=write(b"secret\n")).opened()
        write(b"another\n")
        assert source.read("Password", confirm=True) == "secret"
        assert "secret" not in repr(source)

    def test_it_has_to_be_there(self, tmp_path: Path) -> None:
        assert "No such file" in refused(PasswordSource(file=tmp_path / "none")).message

    def test_it_has_to_be_an_ordinary_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe", 0o600)
        for path in (tmp_path, tmp_path / "pipe"):
            assert "not an ordinary file" in refused(PasswordSource(file=path)).message


class TestDescriptor:
    @pytest.mark.parametrize(("content", "password"), LINES)
    def test_its_first_line_counts(self, content: bytes, password: str) -> None:
        assert PasswordSource(descriptor=piped(content)).read("Password") == password

    @pytest.mark.parametrize("content", NO_PASSWORDS)
    def test_there_has_to_be_one(self, content: bytes) -> None:
        assert refused(PasswordSource(descriptor=piped(content))).code is Code.INTERACT_FAILURE

    def test_it_may_come_in_pieces(self) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"sec")
        timer = threading.Timer(0.1, os.write, (writing, b"ret\n"))
        timer.start()
        assert PasswordSource(descriptor=reading).read("Password") == "secret"
        timer.join()
        os.close(writing)

    def test_it_has_to_be_open(self) -> None:
        descriptor = piped(b"")
        os.close(descriptor)
        error = refused(PasswordSource(descriptor=descriptor))
        assert "Bad file descriptor" in error.message
        assert f"{descriptor}< FILE" in error.remedy


class TestTerminal:
    def test_a_person_is_asked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(getpass, "getpass", lambda prompt: f"answer to {prompt}")
        assert PasswordSource().read("Password for x") == "answer to Password for x: "

    def test_no_password_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(getpass, "getpass", lambda prompt: "")
        assert "no password was given" in refused(PasswordSource()).message

    def test_it_is_never_read_with_echo(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def no_terminal(prompt: str) -> str:
            warnings.warn("Cannot control echo", getpass.GetPassWarning, stacklevel=1)
            return "typed in the open"

        monkeypatch.setattr(getpass, "getpass", no_terminal)
        error = refused(PasswordSource())
        assert error.code is Code.INTERACT_UNAVAILABLE
        assert "--password-fd" in error.remedy


def test_file_and_descriptor_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError):
        password_source(tmp_path, 3)
    assert password_source(tmp_path, None) == PasswordSource(file=tmp_path)
    assert password_source(None, 3) == PasswordSource(descriptor=3)
    assert password_source(None, None) == PasswordSource()
