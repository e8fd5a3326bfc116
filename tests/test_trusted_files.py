"""Whom a file has to belong to that a program obeys."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.errors import ConfigurationError
from browserid_sasl.trusted_files import read_anchors, read_trusted
from tests.support.ownership import pretend_account, pretend_status

ROOT, ALICE, BOB, MAIL = 0, 1000, 1001, 8
WHAT = "the file"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("x")
    return path


def read(file: Path) -> bytes:
    return read_trusted(file, WHAT, 10)


@pytest.mark.parametrize(
    ("account", "owner", "group", "mode"),
    [
        (ROOT, ROOT, ROOT, 0o664),
        (ROOT, ROOT, MAIL, 0o644),
        (ALICE, ROOT, ROOT, 0o664),
        (ALICE, ROOT, MAIL, 0o640),
        (ALICE, ALICE, ALICE, 0o664),
        (ALICE, ALICE, MAIL, 0o604),
    ],
)
def test_roots_and_ones_own_are_read(
    account: int, owner: int, group: int, mode: int, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_account(monkeypatch, account)
    pretend_status(monkeypatch, mode=mode, uid=owner, gid=group)
    assert read(file) == b"x"


@pytest.mark.parametrize(
    ("account", "owner", "group", "mode", "remedy"),
    [
        (ROOT, ALICE, ROOT, 0o600, "chown root"),
        (ROOT, ROOT, MAIL, 0o660, "chmod go-w"),
        (ROOT, ROOT, ROOT, 0o646, "chmod go-w"),
        (ALICE, BOB, ALICE, 0o644, "chown root"),
        (ALICE, ROOT, MAIL, 0o664, "chmod go-w"),
        (ALICE, ALICE, MAIL, 0o620, "chmod go-w"),
        (ALICE, ALICE, ALICE, 0o602, "chmod go-w"),
        (ALICE, ROOT, ROOT, 0o666, "chmod go-w"),
    ],
)
def test_what_others_can_write_is_not(
    account: int,
    owner: int,
    group: int,
    mode: int,
    remedy: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend_account(monkeypatch, account)
    pretend_status(monkeypatch, mode=mode, uid=owner, gid=group)
    with pytest.raises(ConfigurationError) as caught:
        read(file)
    assert (caught.value.remedy, caught.value.file) == (f"{remedy} {file}", str(file))


def test_a_link_counts_as_what_it_leads_to(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read(link) == b"x"
    file.chmod(0o666)
    with pytest.raises(ConfigurationError):
        read(link)


def test_anchors_may_have_any_text_between_them(file: Path) -> None:
    begin, end = "-----BEGIN CERTIFICATE-----\nAAAA\n", "-----END CERTIFICATE-----\n"
    file.write_bytes("# Főtanúsítvány\n".encode() + f"{begin}{end}".encode() + b"\xff\x00\n")
    assert read_anchors(file).isascii()
    assert begin + end in read_anchors(file)


@pytest.mark.parametrize("content", [b"", b"\n", b"no certificate"])
def test_no_anchors_are_not_the_systems(content: bytes, file: Path) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="there is no certificate in"):
        read_anchors(file)


def test_a_file_of_anchors_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_anchors(tmp_path / "absent")
