"""The npm packages that tests need are those that were looked at, or none."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from tools import npm_packages


def packed(**files: str) -> bytes:
    octets = io.BytesIO()
    with tarfile.open(fileobj=octets, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
        archive.addfile(link_out_of_it())
    return octets.getvalue()


def link_out_of_it() -> tarfile.TarInfo:
    member = tarfile.TarInfo("package/link")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc"
    return member


def integrity(archive: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()


def test_what_is_in_it_is_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = packed(**{"package/index.js": "1", "../out.js": "2"})
    asked: list[tuple[str, str]] = []

    def fetch(name: str, version: str) -> bytes:
        asked.append((name, version))
        return archive

    monkeypatch.setattr(npm_packages, "fetch", fetch)
    for _ in range(2):
        npm_packages.provide("some", "1.0", integrity(archive), tmp_path / "npm")
    assert asked == [("some", "1.0")]
    assert [each.name for each in (tmp_path / "npm" / "some-1.0").iterdir()] == ["index.js"]
    assert sorted(each.name for each in tmp_path.rglob("*.js")) == ["index.js"]


def test_another_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npm_packages, "fetch", lambda *_: packed(**{"package/index.js": "1"}))
    with pytest.raises(ValueError, match="is not the package it was"):
        npm_packages.provide("some", "1.0", integrity(b""), tmp_path / "npm")
    assert not (tmp_path / "npm").exists()
