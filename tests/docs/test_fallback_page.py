"""What docs/fallback.md shows is what works."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import pytest

from browserid_sasl.config import load
from browserid_sasl.idp.backends import Journey
from browserid_sasl.idp.backends.configured import configured_backends
from browserid_sasl.idp.mail_limits import BOUNCED_MS, DAY_MS, NOT_ME_MS, OF_ADDRESS, OF_NETWORK
from browserid_sasl.idp.mailed_codes import LIFE_MS, TRIES
from browserid_sasl.idp.outbox import MOST_WAITING
from tests.support.guide import blocks_of
from tests.support.oidc import SECRET, oidc_provider
from tests.support.patience import PATIENCE
from tests.support.sample_programs import ROOT

PAGE: Final = ROOT / "docs" / "fallback.md"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The configuration of a provider, as the page has it."""
    file = tmp_path / "browserid.toml"
    file.write_text(shown("toml")[0])
    return file


def shown(kind: str) -> list[str]:
    """The page's blocks of a kind."""
    return [block.text for block in blocks_of(PAGE) if block.kind == kind]


def shell(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a block of the page."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["sh", "-ec", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), "BROWSERID_CONFIG": "browserid.toml", **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_the_configurations_are_good(file: Path) -> None:
    provider, _, person, service = shown("toml")
    file.write_text("\n".join((provider, person, service)))
    config = load(file)
    assert config.idp.fallback
    assert config.client.fallback == config.idp.domain
    assert config.server.secondary_authorities == (config.idp.domain,)
    assert tomllib.loads(service)["server"]["revocations"] == "required"


def test_a_large_mail_domain_as_it_is_shown(tmp_path: Path) -> None:
    big = shown("toml")[1]
    secret, origin = tmp_path / "bigmail-secret", "https://fallback.example"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")
    folder = tmp_path / "bigmail"
    folder.mkdir()
    with oidc_provider(folder, ["bigmail"], origin) as bigmail:
        bigmail.put("lena", email="lena@bigmail.co.example", email_verified=True)
        assert "https://login.bigmail.example" in big
        ours = big.replace("https://login.bigmail.example", bigmail.issuer)
        file = tmp_path / "browserid.toml"
        file.write_text(f'{ours}ca_file = "{bigmail.ca_file}"\n')
        backends = configured_backends(load(file))
        backend = backends.authority_of("lena@bigmail.co.example")
        assert backend is not None
        back = f"{origin}/browserid/upstream/bigmail/back"
        journey = Journey(back, "state", "nonce", "v" * 43)
        url = bigmail.visitor().sign_in(backend.page_for(journey), "lena", origin)
        fields = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        arrival = backend.arrive(journey, fields)
    assert (backend.label, arrival.vouched.email) == ("Bigmail", "lena@bigmail.co.example")
    assert arrival.token
    assert backends.authority_of("lena@mail.bigmail.example") is None


def test_the_commands_do_what_the_page_says(file: Path) -> None:
    """All but `serve`, which the demonstration runs, and the browser tests."""
    start, bounce, allow = shown("sh")
    init, serve = start.splitlines()
    done = shell(init, file.parent)
    assert "made an identity provider for fallback.example" in done.stdout
    # Nobody has put the password there yet.
    assert "mail-password" in shell(serve, file.parent).stderr
    mail = file.parent / "mail"
    mail.write_text("Subject: something else\n\n")
    recipient = "bounces+0@fallback.example"
    done = shell(bounce, file.parent, recipient=recipient, mail=str(mail))
    assert done.stdout == "nothing is changed\n"
    done = shell(allow, file.parent)
    assert "mail to alice@nobody.example is not held back" in done.stderr


def test_the_numbers_are_those_of_the_program() -> None:
    assert [most for _, most in OF_ADDRESS] == [1, 5, 10]
    assert (OF_NETWORK, TRIES, MOST_WAITING) == (20, 5, 100)
    assert (LIFE_MS, BOUNCED_MS, NOT_ME_MS) == (900_000, 7 * DAY_MS, 180 * DAY_MS)
