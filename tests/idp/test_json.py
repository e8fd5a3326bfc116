"""What the commands of `browserid-idp` print with ``--json``, checked against its schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest

from browserid_sasl.idp.cli import main
from tests.support.provider import ALICE, DOMAIN
from tests.support.sample_programs import ROOT

SCHEMAS: Final = json.loads((ROOT / "docs" / "schemas" / "output.json").read_text())


def test_each_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    password = tmp_path / "password"
    password.write_text("correct horse battery staple")
    password.chmod(0o600)
    place = ["--directory", str(tmp_path / "idp")]
    from_file = ["--password-file", str(password)]
    assert main(["init", "--domain", DOMAIN, *place]) == 0

    def run(name: str, *arguments: str) -> Any:
        capsys.readouterr()
        assert main([name, *place, "--json", *arguments]) == 0
        content = json.loads(capsys.readouterr().out)
        jsonschema.validate(content, {**SCHEMAS, "$ref": f"#/$defs/browserid-idp {name}"})
        return content

    assert run("add-user", *from_file, ALICE) == {"identity": ALICE}
    assert run("list-users") == {"identities": [ALICE]}
    assert run("set-password", *from_file, ALICE) == {"identity": ALICE}
    assert run("sessions", ALICE) == {"machines": []}
    assert run("revoke", "--all", ALICE) == {"revoked": 0}
    assert "https://" in run("invite", "--expires", "60", ALICE)["link"]
    assert run("confirm-rp-id")["broken"] == 0
    assert run("rotate-key", "--key-type", "ES256", "--after", "60")["algorithm"] == "ES256"
    assert run("rotate-key", "--withdraw-old")["key"]
    assert run("remove-user", ALICE) == {"identity": ALICE}


def test_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["--directory", str(tmp_path / "idp")]
    assert main(["init", "--domain", DOMAIN, *place]) == 0
    capsys.readouterr()
    assert main(["rotate-key", "--quiet", *place]) == 0
    assert capsys.readouterr().out == ""
