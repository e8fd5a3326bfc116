"""The Debian packages, as far as that is seen without building them; `make deb-trial` does that.

What is looked at: debian/, and the units of contrib/systemd, which the packages bring along.
"""

from __future__ import annotations

import configparser
import os
import re
import runpy
from pathlib import Path

import pytest

from tests.support.sample_programs import ROOT
from tests.support.services import run
from tools import pins

DEBIAN = ROOT / "debian"
UNITS = sorted(
    unit
    for unit in (ROOT / "contrib" / "systemd").glob("*.service")
    if unit.name != "browserid-agent.service"
)
SCRIPTS = sorted(
    file
    for file in (*DEBIAN.iterdir(), *(ROOT / "tools").glob("[cd]*.sh"))
    if file.is_file() and file.read_text().startswith(("#!/bin/sh", "#!/usr/bin/env bash"))
)
PACKAGES = re.findall(r"^Package: (\S+)$", (DEBIAN / "control").read_text(), re.MULTILINE)
EXAMPLE = re.compile(r"^(\S+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M)


def by_name(file: Path) -> str:
    return file.name


@pytest.mark.parametrize("unit", UNITS, ids=by_name)
def test_a_unit_leaves_its_service_little(unit: Path) -> None:
    done = run(("systemd-analyze", "security", "--offline=true", "--threshold=20", unit))
    assert done.returncode == 0, done.stdout[-300:]


def test_the_agents_unit_leaves_it_what_a_person_may_not_take_away(tmp_path: Path) -> None:
    """docs/packages.md says why it is no less."""
    unit = ROOT / "contrib" / "systemd" / "browserid-agent.service"
    look = ("systemd-analyze", "security", "--user", "--offline=true", "--threshold=65", unit)
    done = run(look, env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout[-300:]
    text = unit.read_text()
    # With any of these root's files are nobody's to the agent, and it refuses its configuration.
    assert not re.search(r"^(Private|Protect|ReadOnly|ReadWrite|Inaccessible)", text, re.MULTILINE)


def test_systemd_hears_from_the_acceptor_and_keeps_its_sockets() -> None:
    text = (ROOT / "contrib" / "systemd" / "browserid-acceptor.service").read_text()
    assert "Type=notify\n" in text
    assert re.search(r"^FileDescriptorStoreMax=[1-9]", text, re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=by_name)
def test_a_unit_runs_its_service_as_the_account_that_its_package_makes(unit: Path) -> None:
    [account] = re.findall(r"^User=(.*)$", unit.read_text(), re.MULTILINE)
    [folder] = re.findall(r"^StateDirectory=(.*)$", unit.read_text(), re.MULTILINE)
    accounts = (DEBIAN / f"{unit.stem}.sysusers").read_text()
    assert accounts.startswith(f"u {account} - ")
    assert accounts.endswith(f" /var/lib/{folder}\n")
    state = (DEBIAN / f"{unit.stem}.tmpfiles").read_text()
    assert state == f"d /var/lib/{folder} 0700 {account} {account}\n"


@pytest.mark.parametrize("unit", UNITS, ids=by_name)
def test_purge_takes_the_state_of_a_service_and_nothing_else(unit: Path, tmp_path: Path) -> None:
    [folder] = re.findall(r"^StateDirectory=(.*)$", unit.read_text(), re.MULTILINE)
    for name in ("browserid", "browserid-idp", "browserid-verifier", "other"):
        (tmp_path / "var" / "lib" / name).mkdir(parents=True)
    text = (DEBIAN / f"{unit.stem}.postrm").read_text().replace("/var/lib", f"{tmp_path}/var/lib")
    script = tmp_path / "postrm"
    script.write_text(text)
    for action in ("remove", "upgrade", "abort-install"):
        assert run(("sh", script, action)).returncode == 0
    assert len(list((tmp_path / "var" / "lib").iterdir())) == 4
    for _ in ("once", "and again"):
        assert run(("sh", script, "purge")).returncode == 0
        left = {path.name for path in (tmp_path / "var" / "lib").iterdir()}
        assert left == {"browserid", "browserid-idp", "browserid-verifier", "other"} - {folder}


def test_who_purges_the_identity_provider_is_told_what_goes(tmp_path: Path) -> None:
    script = tmp_path / "postrm"
    text = (DEBIAN / "browserid-idp.postrm").read_text()
    script.write_text(text.replace("/var/lib", str(tmp_path)))
    (tmp_path / "browserid-idp").mkdir()
    assert "keys and accounts" in run(("sh", script, "purge")).stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=by_name)
def test_a_script_is_one(script: Path) -> None:
    shell = script.read_text().partition("\n")[0].split()[-1].rpartition("/")[2]
    assert run((shell, "-n", script)).returncode == 0
    assert run(("shellcheck", script)).stdout == ""


def test_the_images_are_nobodys_but_their_services() -> None:
    """`make container-trial` builds and runs them; this much is seen in a moment."""
    recipe = (ROOT / "contrib" / "container" / "Containerfile").read_text()
    _, *stages = re.split(r"^FROM \S+ AS (\w+)$", recipe, flags=re.MULTILINE)
    found = dict(zip(stages[::2], stages[1::2], strict=True))
    assert list(found) == ["build", "base", "idp", "acceptor"]
    for name in ("idp", "acceptor"):
        [account] = re.findall(r"^USER (\d+)$", found[name], re.MULTILINE)
        assert f"--uid {account} --gid {account}" in found[name]
        assert f'CMD ["/usr/lib/browserid/answers", "{name}"]' in found[name]
        assert re.search(r"^VOLUME /var/lib/browserid", found[name], re.MULTILINE)
    for file in re.findall(r"^COPY (?!--)(.*) \S+$", recipe, re.MULTILINE):
        assert all((ROOT / each).exists() for each in file.split())


def test_every_wheel_has_its_digest() -> None:
    lines = (DEBIAN / "wheels.txt").read_text()
    found = EXAMPLE.findall(lines)
    assert len(found) == len(re.findall("==", lines)) > 30
    assert len({name for name, *_ in found}) == len(found)


def test_there_is_a_wheel_for_all_that_is_needed() -> None:
    """Of a version that setup.cfg allows, as pip sees it: what a bound says has to be so."""
    pinned = {
        name: version for name, version, _ in EXAMPLE.findall((DEBIAN / "wheels.txt").read_text())
    }
    for requirement in pins.requirements():
        name, least = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement).groups()  # type: ignore[union-attr]
        assert numbers(pinned[name.lower()]) >= numbers(least), requirement


def test_a_package_has_each_extra_that_a_configuration_can_ask_for() -> None:
    """By debian/extras.txt, which tells people whom one is missing."""
    lines = (DEBIAN / "extras.txt").read_text().splitlines()
    found = dict(line.split() for line in lines)
    assert len(found) == len(lines)
    assert found.keys() == {*pins.EXTRAS, *OF_DEBIAN}
    assert set(found.values()) <= set(PACKAGES)
    for extra in pins.EXTRAS:
        files = (DEBIAN / f"{found[extra]}.install").read_text()
        assert f"debian/split.py {GROUPS[extra]}" in files


OF_DEBIAN = ("kerberos", "ldap")
"""Extras whose Python packages are Debian's."""
GROUPS = {
    extra: group
    for group, extras in runpy.run_path(str(DEBIAN / "split.py"))["EXTRAS"].items()
    for extra in extras
}
"""What debian/split.py calls the package of an extra."""


def numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


def test_what_builds_the_packages_is_on_the_list() -> None:
    [text] = re.findall(
        r"^Build-Depends: (.*?)^\S", (DEBIAN / "control").read_text(), re.MULTILINE | re.DOTALL
    )
    listed = (ROOT / "tools" / "debian-deb.txt").read_text().split("\n")
    needed = {re.split(r"[ (]", each.strip())[0] for each in text.split(",")}
    needed = {"debhelper" if each == "debhelper-compat" else each for each in needed}
    assert needed - {"python3"} <= set(listed)


def test_each_command_is_in_one_package() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    scripts = settings["options.entry_points"]["console_scripts"].strip().splitlines()
    links = [
        line.rpartition("/")[2]
        for package in PACKAGES
        for file in DEBIAN.glob(f"{package}.links")
        for line in file.read_text().splitlines()
        if " usr/bin/" in line
    ]
    assert sorted(links) == sorted(line.partition(" ")[0] for line in scripts)


def test_the_configuration_that_comes_along_admits_nobody() -> None:
    text = re.sub("#.*", "", (DEBIAN / "browserid.toml").read_text())
    assert text.strip() == ""


def test_the_units_have_the_commands_where_the_packages_put_them() -> None:
    """debian/units.sh replaces this place, and no other."""
    for unit in (ROOT / "contrib" / "systemd").glob("*.service"):
        [start] = re.findall(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)
        assert start == f"/usr/local/bin/{unit.stem}"
