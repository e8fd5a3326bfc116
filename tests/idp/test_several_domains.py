"""Several domains in one provider: nothing of one is reached, or good for anything, at another."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.web import cookies
from browserid_sasl.jose.jwt import Jwt
from browserid_sasl.jose.keys import PrivateKey
from tests.support.domains import AT, ONE, TWO, Domains, Served, now, signed_in
from tests.support.grants import Program
from tests.support.patience import PATIENCE
from tests.support.provider import PASSWORD

BROKEN = "three.test"
KEY = PrivateKey.generate("ES256").public_key.to_json()
HOSTS = ((ONE, ONE), (AT, TWO))
"""Where each domain's provider is."""


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Domains:
    sections = {TWO: [f'authority = "{AT}"'], BROKEN: []}
    return Domains(tmp_path_factory.mktemp("domains"), sections, without=[BROKEN])


@pytest.fixture(scope="module")
def served(domains: Domains) -> Iterator[Served]:
    with domains.served() as served:
        yield served


class TestTheHost:
    def test_says_which_domain_is_meant(self, domains: Domains, served: Served) -> None:
        assert served.line.startswith(f"serving {ONE}, {TWO} at ")
        for host, domain in HOSTS:
            key = domains.folder(domain).keys.active(now()).private_key.public_key
            assert served.document(host).json()["public-key"] == key.to_json()

    @pytest.mark.parametrize("host", [AT.upper(), f"{AT}.", f"{AT}:443", f"{AT.title()}.:8443"])
    def test_is_compared_as_names_are(self, served: Served, host: str) -> None:
        assert served.document(host).content == served.document(AT).content

    @pytest.mark.parametrize(
        "host",
        [
            *("other.test", TWO, f"x.{ONE}", f"{ONE}.{AT}", "login.test", "localhost"),
            *("127.0.0.1", "[::1]", "2130706433", f"{AT}..", "xn--tw-lka.test", "_"),
        ],
    )
    def test_of_nobody_is_misdirected(self, served: Served, host: str) -> None:
        answer = served.document(host)
        assert (answer.status_code, answer.json()["error"]) == (421, "misdirected")
        page = served.get(host, "/browserid", Accept="text/html")
        assert page.status_code == 421
        assert page.headers["Content-Type"].startswith("text/plain")
        assert page.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize(
        "host", [f"{ONE}/", f"{ONE}@{AT}", f"{ONE} ", "[", "öne.test", f"{ONE}:x"]
    )
    def test_that_is_none_is_refused(self, served: Served, host: str) -> None:
        assert asked(served, f"GET /browserid HTTP/1.1\r\nHost: {host}x\r\n") == 400

    def test_is_needed(self, served: Served) -> None:
        assert asked(served, "GET /browserid HTTP/1.1\r\n") == 400
        assert asked(served, "GET /browserid HTTP/1.0\r\n") == 421
        assert asked(served, f"GET / HTTP/1.1\r\nHost: {ONE}\r\nHost: {AT}\r\n") == 400

    def test_is_not_what_somebody_else_says(self, served: Served) -> None:
        said = {"X-Forwarded-Host": AT, "Forwarded": f"host={AT}", "X-Original-Host": AT}
        answer = served.get(ONE, "/.well-known/browserid", **said)
        assert answer.content == served.document(ONE).content

    def test_is_not_what_stands_in_the_path(self, served: Served) -> None:
        request = f"GET https://{AT}/.well-known/browserid HTTP/1.1\r\nHost: {ONE}\r\n"
        assert asked(served, request) == 404


def asked(served: Served, request: str) -> int:
    """The status of the answer to a request that no library would make."""
    context = ssl.create_default_context(cafile=str(served.ca_file))
    with (
        socket.create_connection(("127.0.0.1", served.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
    ):
        connection.sendall(f"{request}Connection: close\r\n\r\n".encode("latin-1"))
        return int(connection.makefile("rb").readline().split()[1])


class TestWhatIsOneDomain:
    def test_s_session_is_nobody_s_at_another(self, served: Served) -> None:
        browser, _ = signed_in(served, ONE, ONE)
        other = served.browser(AT)
        for name, value in browser.cookies.items():
            assert name.startswith("__Host-")
            other.put_cookie(name, value)
        assert cookies.SESSION in other.cookies
        assert other.open("/browserid/account").path == "/browserid/sign-in"

    def test_s_forms_are_not_taken_at_another(self, served: Served) -> None:
        browser, page = signed_in(served, ONE, ONE)
        other, _ = signed_in(served, AT, TWO)
        fields = {"csrf": page.csrf()}
        assert other.post("/browserid/sign-out", fields).status == 403
        fields = {"csrf": other.open("/browserid/account").csrf()}
        assert other.post("/browserid/sign-out", fields, {"Origin": f"https://{ONE}"}).status == 403
        assert browser.open("/browserid/account").status == 200

    def test_s_codes_are_unknown_at_another(self, domains: Domains, served: Served) -> None:
        program = Program()
        codes = domains.folder(ONE).open().codes
        code = program.code(codes, now(), email=f"alice@{ONE}")
        request = {"code": code, "code_verifier": program.verifier}
        assert served.post(AT, "/certify", **request).status_code in (400, 401)
        assert served.post(ONE, "/certify", **request).status_code == 200

    def test_s_renewals_are_unknown_at_another(self, domains: Domains, served: Served) -> None:
        for (host, domain), (elsewhere, _) in (HOSTS, HOSTS[::-1]):
            program = Program()
            code = program.code(domains.folder(domain).open().codes, now(), email=f"alice@{domain}")
            given = served.post(host, "/certify", code=code, code_verifier=program.verifier).json()
            for audience in (host, elsewhere):
                aud = f"https://{audience}/certify"
                proof = program.renewal(given["renewal"], now(), aud=aud)
                answer = served.post(elsewhere, "/certify", renewal=proof)
                assert (answer.status_code, answer.json()["error"]) == (401, "renewal-unknown")
            # It is for the host at which programs have found the provider, and for no other.
            proof = program.renewal(given["renewal"], now(), aud=f"https://{elsewhere}/certify")
            assert served.post(host, "/certify", renewal=proof).status_code == 400
            proof = program.renewal(given["renewal"], now(), aud=f"https://{host}/certify")
            assert served.post(host, "/certify", renewal=proof).status_code == 200

    def test_s_device_codes_are_unknown_at_another(self, served: Served) -> None:
        wanted = {"email": f"alice@{ONE}", "public-key": KEY}
        begun = served.post(ONE, "/device-authorization", **wanted).json()
        assert begun["verification_uri"].startswith(f"https://{ONE}/")
        polled = served.post(AT, "/certify", device_code=begun["device_code"])
        assert polled.json()["error"] == "expired_token"
        browser, _ = signed_in(served, AT, TWO)
        page = browser.open(f"/browserid/device?user_code={begun['user_code']}")
        assert "alice@" not in page.text.replace(f"alice@{TWO}", "")
        polled = served.post(ONE, "/certify", device_code=begun["device_code"])
        # Nobody has approved it: it is too early to ask, or it waits.
        assert polled.json()["error"] in ("authorization_pending", "slow_down")

    def test_s_people_are_not_certified_at_another(self, served: Served) -> None:
        for (host, domain), (elsewhere, _) in (HOSTS, HOSTS[::-1]):
            wanted = {"email": f"alice@{domain}", "password": PASSWORD, "public-key": KEY}
            refused = served.post(elsewhere, "/certify", **wanted)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid-address")
            given = served.post(host, "/certify", **wanted).json()
            # Whoever is to believe it has to have found that issuer.
            assert Certificate.parse(given["certificate"]).issuer == host

    def test_s_list_of_revoked_keys_is_its_own(self, served: Served) -> None:
        for host, _ in HOSTS:
            assert Jwt.parse(served.get(host, "/revocations").text).claims["iss"] == host


class TestADomainThatCannotBeOpened:
    def test_is_answered_for_and_told_of(self, domains: Domains, served: Served) -> None:
        answer = served.document(BROKEN)
        assert (answer.status_code, answer.json()["error"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert "administrator" in served.get(BROKEN, "/browserid", Accept="text/html").text
        log = (domains.path / "log").read_text()
        assert f"{BROKEN} is not served: there is no identity provider in " in log

    def test_takes_no_other_down(self, served: Served) -> None:
        assert served.document(ONE).ok
        ready = served.tells("/ready")
        assert ready.status_code == 200
        lines = ready.text.splitlines()
        assert lines[:2] == [f"{ONE}: ready", f"{TWO}: ready"]
        assert lines[2].startswith(f"{BROKEN}: there is no identity provider in ")

    @pytest.mark.parametrize(("domain", "status"), [(TWO, 200), (BROKEN, 503), ("x.test", 404)])
    def test_can_be_asked_for_by_itself(self, served: Served, domain: str, status: int) -> None:
        assert served.tells(f"/ready?domain={domain}").status_code == status


def test_what_is_counted_is_counted_for_each_domain(served: Served) -> None:
    wrong = {"email": f"eve@{TWO}", "password": "x", "public-key": KEY}
    assert served.post(AT, "/certify", **wrong).status_code == 401
    assert served.document("other.test").status_code == 421
    text = served.tells("/metrics").text
    assert f'browserid_idp_events_total{{domain="{TWO}",event="sign-in-failed"}} 1.0' in text
    assert f'browserid_idp_events_total{{domain="{ONE}",event="sign-in-failed"}} 0.0' in text
    assert 'browserid_idp_request_seconds_count{domain="",path="/.well-known/browserid"' in text
    assert "other.test" not in text


def test_audit_logs_are_apart(domains: Domains, served: Served) -> None:
    signed_in(served, AT, TWO)
    assert f"alice@{TWO}" not in (domains.folder(ONE).path / "audit.log").read_text()
    assert f"alice@{TWO}" in (domains.folder(TWO).path / "audit.log").read_text()


def test_folders_of_further_domains_are_in_that_of_the_first(domains: Domains) -> None:
    assert domains.folder(TWO).path == Path(domains.path, "idp", "domains", TWO)
