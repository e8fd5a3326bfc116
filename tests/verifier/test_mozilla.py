"""Assertions of Mozilla's own client side, and the cases in the tests of Mozilla's own verifier."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from browserid_sasl import RemoteVerifier
from browserid_sasl.config import AuthorityOverride, Config, ServerConfig
from browserid_sasl.errors import Code, RemoteProtocolError
from browserid_sasl.identity.origins import WebOrigin
from browserid_sasl.store.base import system_clock
from tests.support.sample_programs import ROOT
from tests.support.verifier import RunningVerifier, running_verifier

CRYPTO: Final = ROOT / ".npm" / "browserid-crypto-0.9.1"
CASES: Final = ROOT / ".npm" / "browserid-local-verify-0.5.2" / "tests"

ORIGIN: Final = "http://site.test"
ISSUER: Final = "idp.test"
EMAIL: Final = "test@idp.test"
MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE

KINDS: Final = [("RS", 256), ("DS", 256)]
QUICK: Final = ("DS", 256)
"""To make a key for RSA takes JavaScript seconds."""
SHORT: Final = [("RS", 64), ("RS", 128), ("DS", 128)]

Make = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes an assertion, and the key of the provider that vouches for it."""
    package = tmp_path_factory.mktemp("npm") / "browserid-crypto"
    shutil.copytree(CRYPTO, package)
    # What npm runs of its own when it is installed: parts of the library are put together.
    subprocess.run(
        ["node", "scripts/package.js"], cwd=package, check=True, capture_output=True, timeout=60
    )

    def make(**changes: Any) -> dict[str, Any]:
        now = system_clock()
        wanted = {
            "idp": QUICK,
            "user": QUICK,
            "issuer": ISSUER,
            "email": EMAIL,
            "audience": ORIGIN,
            "claims": {},
            "certificateIssued": now,
            "certificateExpires": now + HOUR,
            "issued": now,
            "expires": now + 2 * MINUTE,
            **changes,
        }
        done = subprocess.run(
            ["node", str(Path(__file__).with_name("mozilla.js")), str(package)],
            input=json.dumps(wanted),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        made: dict[str, Any] = json.loads(done.stdout)
        return made

    return make


@contextmanager
def believing(folder: Path, *, legacy: bool = False, **keys: object) -> Iterator[RunningVerifier]:
    """A verifier that knows the keys of these domains (``idp_test`` for ``idp.test``)."""
    authorities = {}
    for name, key in keys.items():
        file = folder / f"{name}.json"
        file.write_text(
            json.dumps({"public-key": key, "authentication": "/in", "provisioning": "/provision"})
        )
        authorities[name.replace("_", ".")] = AuthorityOverride(keys_file=file)
    config = Config(server=ServerConfig(allow_legacy_keys=legacy), authorities=authorities)
    with running_verifier(folder, config) as verifier:
        yield verifier


class TestWhatIsGood:
    @pytest.mark.parametrize("idp", KINDS)
    @pytest.mark.parametrize("user", KINDS)
    def test_every_kind_of_key(
        self, tmp_path: Path, make: Make, idp: tuple[str, int], user: tuple[str, int]
    ) -> None:
        made = make(idp=idp, user=user)
        with believing(tmp_path, idp_test=made["key"]) as verifier:
            said = verifier.judge(made["assertion"], ORIGIN)
            remote = RemoteVerifier(f"{verifier.url}/verify", ca_file=verifier.ca_file)
            assert remote.verify(made["assertion"], f"{ORIGIN}:80").email == EMAIL
        assert said == {
            "status": "okay",
            "email": EMAIL,
            "audience": ORIGIN,
            "issuer": ISSUER,
            "expires": said.get("expires"),
        }

    @pytest.mark.parametrize("kind", SHORT)
    def test_short_keys_are_for_those_who_want_them(
        self, tmp_path: Path, make: Make, kind: tuple[str, int]
    ) -> None:
        made = make(user=kind, idp=kind)
        with believing(tmp_path, legacy=True, idp_test=made["key"]) as verifier:
            assert verifier.judge(made["assertion"], ORIGIN)["status"] == "okay"
        with believing(tmp_path, idp_test=made["key"]) as verifier:
            assert verifier.judge(made["assertion"], ORIGIN)["status"] == "failure"

    def test_without_a_time_of_issue(self, tmp_path: Path, make: Make) -> None:
        made = make(issued=None)
        with believing(tmp_path, idp_test=made["key"]) as verifier:
            assert verifier.judge(made["assertion"], ORIGIN)["status"] == "okay"

    def test_with_claims_of_the_provider(self, tmp_path: Path, make: Make) -> None:
        made = make(claims={"uuid": "0ee70eb8"})
        with believing(tmp_path, idp_test=made["key"]) as verifier:
            assert verifier.judge(made["assertion"], ORIGIN)["status"] == "okay"


def published(script: str) -> str:
    return (CASES / script).read_text(encoding="utf-8")


class TestWhatHasToFail:
    """tests/assertion-time.js and tests/domain-authority.js, one by one."""

    @pytest.mark.parametrize(
        ("its_name", "times", "reason"),
        [
            (
                "assertions backed by expired certificates should fail to verify",
                {"certificateIssued": -24 * HOUR, "certificateExpires": -23 * HOUR},
                "the certificate expired",
            ),
            (
                "assertions backed by certificates from the future should fail to verify",
                {"certificateIssued": 24 * HOUR, "certificateExpires": 25 * HOUR},
                "the certificate is not valid yet",
            ),
            # Clocks may differ by five minutes here, and not at all there.
            (
                "expired assertions should fail to verify",
                {"issued": -3 * MINUTE - 5 * MINUTE, "expires": -1 * MINUTE - 5 * MINUTE},
                "the assertion expired",
            ),
            (
                "assertions from the future should fail to verify",
                {"issued": 3 * MINUTE + 5 * MINUTE, "expires": 5 * MINUTE + 5 * MINUTE},
                "the assertion was issued in the future",
            ),
        ],
    )
    def test_times(
        self, tmp_path: Path, make: Make, its_name: str, times: dict[str, int], reason: str
    ) -> None:
        assert f"it('{its_name}'" in published("assertion-time.js")
        now = system_clock()
        made = make(**{name: now + offset for name, offset in times.items()})
        with believing(tmp_path, idp_test=made["key"]) as verifier:
            said = verifier.judge(made["assertion"], ORIGIN)
        assert said["status"] == "failure"
        assert reason in said["reason"]

    def test_every_case_about_time_is_above(self) -> None:
        cases = re.findall(r"it\('(.* should fail to verify)'", published("assertion-time.js"))
        assert len(cases) == 4

    def test_a_fallback_where_the_domain_has_a_provider(self, tmp_path: Path, make: Make) -> None:
        name = "assertion by fallback when primary support is present should fail"
        assert f"it('{name}'" in published("domain-authority.js")
        made = make(issuer="fallback.test")
        others = make()["key"]
        with believing(tmp_path, idp_test=others, fallback_test=made["key"]) as verifier:
            said = verifier.judge(made["assertion"], ORIGIN)
        assert said["status"] == "failure"
        assert "fallback.test may not certify addresses of idp.test" in said["reason"]

    def test_somebody_else_s_key(self, tmp_path: Path, make: Make) -> None:
        with believing(tmp_path, idp_test=make()["key"]) as verifier:
            said = verifier.judge(make()["assertion"], ORIGIN)
        assert said["status"] == "failure"
        assert "is not signed by a key" in said["reason"]

    @pytest.mark.parametrize("part", range(6))
    def test_each_part_that_is_altered(self, tmp_path: Path, make: Make, part: int) -> None:
        made = make()
        parts = re.split(r"([.~])", made["assertion"])
        middle = len(parts[2 * part]) // 2
        letter = "A" if parts[2 * part][middle] != "A" else "B"
        parts[2 * part] = parts[2 * part][:middle] + letter + parts[2 * part][middle + 1 :]
        with believing(tmp_path, idp_test=made["key"]) as verifier:
            assert verifier.judge("".join(parts), ORIGIN)["status"] == "failure"
            assert verifier.judge(made["assertion"], ORIGIN)["status"] == "okay"


MATCHES: Final = re.findall(
    r"'(\w+://\S+) and (\S+)': (true|false)", published("audience-matching.js")
)


class TestAudiences:
    """tests/audience-matching.js and tests/validation.js, read as they are published."""

    @pytest.mark.parametrize(("made_for", "asked_for", "verdict"), MATCHES)
    def test_each_pair(self, made_for: str, asked_for: str, verdict: str) -> None:
        same = WebOrigin.parse(made_for) == WebOrigin.of_site(asked_for)
        assert same is (verdict == "true")

    def test_there_are_such_pairs(self) -> None:
        assert {verdict for _, _, verdict in MATCHES} == {"true", "false"}

    @pytest.mark.parametrize(
        "asked_for",
        re.findall(
            r'compareAudiences\("http://example.com", "([^"]*)"\)',
            published("audience-matching.js"),
        ),
    )
    def test_what_is_caught(self, asked_for: str) -> None:
        own = WebOrigin.parse("http://example.com")
        try:
            assert WebOrigin.of_site(asked_for) != own
        except RemoteProtocolError as error:
            assert error.code is Code.BAD_AUDIENCE

    @pytest.mark.parametrize(
        "url",
        re.findall(
            r'^ +"(.*)",$',
            published("validation.js").partition("INVALID_URLS = [")[2],
            re.MULTILINE,
        ),
    )
    def test_what_is_no_url(self, url: str) -> None:
        for read in (WebOrigin.parse, WebOrigin.of_site):
            with pytest.raises(RemoteProtocolError):
                read(url)


SUPPORT: Final = {"authentication": "/auth.html", "provisioning": "/prov.html"}


class TestSupportDocuments:
    """tests/well-known.js: an assertion fails where the provider's document is none."""

    @pytest.mark.parametrize(
        ("its_name", "change"),
        [
            ("should handle bogus public key", {"public-key": {"algorithm": "RS", "e": "65537"}}),
            ("should handle missing public key", {"public-key": None}),
            ("should handle empty list of public keys", {"public-key": None, "keys": []}),
            ("should handle missing required fields", {"provisioning": None}),
            ("should reject invalid authorities", {"authority": "https://example.com"}),
            ("should reject invalid paths", {"provisioning": "foo"}),
            ("should properly parse disabled: true", {"disabled": True}),
            ("should properly parse disabled: 0", {"disabled": 0}),
            ('should properly parse disabled: "true"', {"disabled": "true"}),
        ],
    )
    def test_each(
        self, tmp_path: Path, make: Make, its_name: str, change: dict[str, object]
    ) -> None:
        assert f"it('{its_name}'" in published("well-known.js")
        made = make()
        members = {"public-key": made["key"], **SUPPORT, **change}
        document = tmp_path / "document.json"
        config = Config(authorities={ISSUER: AuthorityOverride(keys_file=document)})
        with running_verifier(tmp_path, config) as verifier:
            document.write_text(
                json.dumps({name: value for name, value in members.items() if value is not None})
            )
            assert verifier.judge(made["assertion"], ORIGIN)["status"] == "failure"
            document.write_text(json.dumps({"public-key": made["key"], **SUPPORT}))
            assert verifier.judge(made["assertion"], ORIGIN)["status"] == "okay"
