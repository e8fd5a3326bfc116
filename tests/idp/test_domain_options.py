"""What a section of a further domain says, from the file to what people and programs see there."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from browserid_sasl.identity.certificate import Certificate
from browserid_sasl.idp.cli import main
from browserid_sasl.idp.folder import ProviderFolder
from browserid_sasl.idp.web import paths
from browserid_sasl.jose.keys import PrivateKey
from tests.support.domains import AT, ONE, TWO, Domains, Served, now, signed_in
from tests.support.grants import Program
from tests.support.household import Authority
from tests.support.patience import PATIENCE
from tests.support.pictures import png
from tests.support.provider import PASSWORD

PLAIN = "plain.test"
KEY = PrivateKey.generate("RS256").public_key.to_json()


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Domains:
    path = tmp_path_factory.mktemp("options")
    (path / "logo.png").write_bytes(png())
    chain, key = Authority(path / "other").certificate(AT)
    of_idp = [
        *('name = "The First"', 'accent_colour = "#7a0019"', 'logo_file = "logo.png"'),
        *("certificate_life = 3000", "renewal_life = 7000", "document_life = 77"),
        *("session_life = 4000", "session_idle = 400"),
        *('second_step = "passkey"', 'embedders = ["https://first.test"]'),
    ]
    of_two = [
        *(f'authority = "{AT}"', f'public_url = "https://id.{TWO}:8443"', f'rp_id = "{TWO}"'),
        *('name = "Zwei & Söhne"', 'accent_colour = "#0B57D0"', 'logo_file = "logo.png"'),
        *("certificate_life = 600", "renewal_life = 3600", "document_life = 11"),
        *("session_life = 5000", "session_idle = 500", 'second_step = "required"'),
        *('directory = "elsewhere"', 'key_encryption_file = "key"', 'key_spelling = "jwk"'),
        *(f'tls_certificate = "{chain}"', f'tls_key = "{key}"', 'backends = ["accounts", "desks"]'),
        *("", '[pam."desks"]'),
    ]
    (path / "key").touch(mode=0o600)
    (path / "key").write_text("A" * 43 + "=\n")
    return Domains(path, {PLAIN: [], TWO: of_two}, of_idp)


@pytest.fixture(scope="module")
def served(domains: Domains) -> Iterator[Served]:
    with domains.served() as served:
        yield served


@pytest.mark.option("domain.authority", "domain.document_life", "domain.key_spelling")
def test_documents_are_as_each_section_says(served: Served) -> None:
    assert served.document(AT).headers["Cache-Control"] == "max-age=11"
    assert served.document(ONE).headers["Cache-Control"] == "max-age=77"
    assert served.document(PLAIN).headers["Cache-Control"] == "max-age=77"


@pytest.mark.option("domain.public_url", "domain.rp_id")
def test_people_find_the_pages_where_it_says(served: Served) -> None:
    query = "email=alice%40two.test&state=a&public-key="
    page = served.get(AT, f"/authentication?{query}")
    assert page.headers["Location"] == f"https://id.{TWO}:8443/browserid/authentication?{query}"
    browser = served.browser(f"id.{TWO}")
    browser.origin += ":8443"
    fields = browser.open("/browserid/sign-in").form("/browserid/passkey").fields
    answer = browser.post("/browserid/passkey/options", fields, {"Accept": "application/json"})
    assert answer.answer.json()["rpId"] == TWO
    # Of the one above there is nothing here: its pages are at its own domain.
    assert served.get(PLAIN, "/authentication").headers["Location"].startswith("/browserid/")


@pytest.mark.option("domain.name", "domain.logo_file", "domain.accent_colour")
def test_pages_look_as_each_section_says(served: Served) -> None:
    page = served.browser(f"id.{TWO}").open(paths.SIGN_IN)
    assert "Zwei & Söhne Zwei & Söhne two.test" in page.text
    assert "--accent: #0b57d0;" in page.html
    logo = next(given for tag, given in page.tags if tag == "img")
    assert logo["alt"] == ""
    picture = served.get(f"id.{TWO}", logo["src"])
    assert (picture.headers["Content-Type"], picture.content) == ("image/png", png())
    first = served.browser(ONE).open(paths.SIGN_IN)
    assert "The First" in first.text
    assert "--accent: #7a0019;" in first.html
    plain = served.browser(PLAIN).open(paths.SIGN_IN)
    assert f"{PLAIN} {PLAIN}" in plain.text
    assert "<img" not in plain.html
    assert "<style" not in plain.html
    assert served.get(PLAIN, paths.LOGO).status_code == 404


@pytest.mark.option("domain.certificate_life", "domain.renewal_life", "domain.second_step")
def test_what_is_certified_lives_as_long_as_each_section_says(
    domains: Domains, served: Served
) -> None:
    wanted = {"email": f"alice@{TWO}", "password": PASSWORD, "public-key": KEY}
    assert served.post(AT, "/certify", **wanted).json()["error"] == "second-step-missing"
    for domain, life, renewal in ((ONE, 3000, 7000), (PLAIN, 3000, 7000)):
        assert lives(domains, served, domain) == (life, renewal)
    options = domains.configured[TWO].idp
    assert (options.certificate_life_ms, options.renewal_life_ms) == (600_000, 3_600_000)


def lives(domains: Domains, served: Served, domain: str) -> tuple[int, int]:
    """Of a certificate and of its renewal, in s."""
    program = Program()
    code = program.code(domains.folder(domain).open().codes, now(), email=f"alice@{domain}")
    given = served.post(domain, "/certify", code=code, code_verifier=program.verifier).json()
    issued = Certificate.parse(given["certificate"])
    return (issued.expires - (issued.issued_at or 0)) // 1000, given["renewal_expires_in"]


@pytest.mark.option("domain.directory", "domain.key_encryption_file")
def test_what_a_domain_has_is_where_it_says(domains: Domains, served: Served) -> None:
    assert served.document(AT).ok
    folder = domains.path / "elsewhere"
    assert (folder / "provider.sqlite").exists()
    assert not (folder / "keys").exists()
    assert (domains.path / "idp" / "keys").exists()
    assert ProviderFolder(domains.path / "idp" / "domains" / PLAIN).open().domain == PLAIN


@pytest.mark.option("domain.tls_certificate", "domain.tls_key")
def test_the_certificate_is_that_of_the_host_a_client_asks_for(served: Served) -> None:
    assert names_shown(served, AT) == [AT]
    assert names_shown(served, AT.upper()) == [AT]
    assert ONE in names_shown(served, ONE)
    assert ONE in names_shown(served, PLAIN)
    assert ONE in names_shown(served, "nobody.test")


def names_shown(served: Served, host: str) -> list[str]:
    """What the certificate is for that is shown to whoever asks for a host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", served.port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname=host) as connection,
    ):
        shown = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.DNSName)


@pytest.mark.option("domain.embedders")
def test_pages_may_be_framed_by_whom_each_section_says(served: Served) -> None:
    policy = served.get(ONE, paths.PROVISIONING).headers["Content-Security-Policy"]
    assert "https://first.test" in policy
    assert "first.test" not in str(served.get(PLAIN, paths.PROVISIONING).headers)


@pytest.mark.option("domain.session_life", "domain.session_idle", "domain.backends")
def test_what_else_it_says_is_that_domain_s_alone(domains: Domains, served: Served) -> None:
    assert served.line.startswith(f"serving {ONE}, {PLAIN}, {TWO} at ")
    first, plain, two = (domains.configured[each].idp for each in (ONE, PLAIN, TWO))
    assert (plain.session_life_ms, plain.session_idle_ms) == (4_000_000, 400_000)
    assert (two.session_life_ms, two.session_idle_ms) == (5_000_000, 500_000)
    assert two.backends == ("accounts", "desks")
    assert plain.backends == first.backends == ("accounts",)
    signed_in(served, PLAIN, PLAIN)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no PNG file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "is no PNG file"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 64, "is no PNG file"),
        (png(0, 1), "is no PNG file"),
        (png(2049, 1), "has 2049 by 1 pixels"),
        (png() + b"\0" * 65_536, "is too large"),
    ],
)
def test_a_logo_is_a_small_picture_that_runs_nothing(
    tmp_path: Path, content: bytes, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    domains = Domains(tmp_path, {}, ['logo_file = "logo.png"'])
    (tmp_path / "logo.png").write_bytes(content)
    assert main(["serve", "--config", str(domains.file)]) == 78
    said = capsys.readouterr().err
    assert f"logo.png {words}" in said
    assert "make a PNG file of at most 64 KiB" in said
