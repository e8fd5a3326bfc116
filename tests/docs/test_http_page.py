"""The examples of docs/http.md, run as the one program they are."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from browserid_sasl.jose.keys import PrivateKey
from tests.support import pages
from tests.support.negotiate import Web
from tests.support.sample_programs import ROOT, Realm

PAGE = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
SERVER, ASGI, CLIENT, PROVIDER = pages.blocks(PAGE, "python")
PRINTED = re.compile(r"^print\(.*\)  # (.*)$", re.MULTILINE)


def test_the_examples_print_what_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    realm = Realm(tmp_path, PrivateKey.generate("ES256"))
    realm.sign_in()
    monkeypatch.setenv("BROWSERID_CONFIG", str(realm.config_file))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)  # which requests heeds before the session's own
    with ExitStack() as stack:
        web = Web(realm, tmp_path, stack)
        program: dict[str, Any] = {
            "certificate": web.certificate(),
            "authority": str(web.anchors),
        }
        exec(SERVER, program)
        program["port"] = web.serve(program["application"], program["certificate"])
        exec(CLIENT, program)
        session = stack.enter_context(program["session"])
        exec(ASGI, program)
        port = web.serve(program["asgi_application"], program["certificate"], "asgi")
        assert session.get(f"https://localhost:{port}/").text == "hello alice@example.test"
        exec(PROVIDER, program)
    expected = PRINTED.findall(CLIENT + PROVIDER)
    assert len(expected) == 3
    assert capsys.readouterr().out.splitlines() == expected


def test_every_block_of_code_is_an_example() -> None:
    assert PAGE.count("\n```") == 8
