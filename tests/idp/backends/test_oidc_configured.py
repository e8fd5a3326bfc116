"""From the configuration file to who is let in by another provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from browserid_sasl import config
from browserid_sasl.errors import ConfigurationError
from browserid_sasl.idp.backends import (
    Denial,
    DeniedError,
    Journey,
    RedirectBackend,
    UnavailableError,
    Vouched,
)
from browserid_sasl.idp.backends.configured import configured_backends
from tests.support.oidc import CLIENT, ORIGIN, SECRET, OidcProvider, oidc_provider
from tests.support.provider import DOMAIN

LENA = f"lena@{DOMAIN}"
JOURNEY = Journey(f"{ORIGIN}/browserid/upstream/company/back", "state", "nonce", "v" * 43)
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """The other provider, with Lena."""
    with oidc_provider(tmp_path_factory.mktemp("company")) as provider:
        provider.put("lena", email=LENA, email_verified=True, preferred_username="lena")
        yield provider


@pytest.fixture
def write(company: OidcProvider, tmp_path: Path) -> Write:
    """Writes a file with a provider called `company`, whose options can be changed."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")

    def file(
        *,
        idp: str = f'domain = "{DOMAIN}"',
        backends: str = '["company"]',
        others: str = "",
        **changed: str,
    ) -> Path:
        options = {
            "issuer": f'"{company.issuer}"',
            "client_id": f'"{CLIENT}"',
            "client_secret_file": '"secret"',
            "ca_file": f'"{company.ca_file}"',
            "timeout": "20",
        } | changed
        lines = [f"{name} = {value}" for name, value in options.items() if value]
        path = tmp_path / "browserid.toml"
        named = ["[idp]", f"backends = {backends}", idp, '[oidc."company"]']
        path.write_text("\n".join([*named, *lines, others, ""]))
        return path

    return file


def backend_of(file: Path) -> RedirectBackend:
    [backend] = configured_backends(config.load(file)).redirecting
    return backend


def vouched(company: OidcProvider, file: Path) -> Vouched:
    """What comes of a sign-in of Lena's."""
    backend = backend_of(file)
    url = company.visitor().sign_in(backend.page_for(JOURNEY), "lena")
    fields = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return backend.arrive(JOURNEY, fields).vouched


def asked(file: Path) -> dict[str, list[str]]:
    return parse_qs(urlsplit(backend_of(file).page_for(JOURNEY)).query)


def refused(file: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        configured_backends(config.load(file))
    return caught.value.message


@pytest.mark.option("oidc.issuer", "oidc.client_id", "oidc.client_secret_file")
def test_a_provider_is_asked(company: OidcProvider, write: Write, tmp_path: Path) -> None:
    assert vouched(company, write()) == Vouched(LENA, f"{company.issuer} lena")
    assert "has no issuer" in refused(write(issuer=""))
    assert "has no client_id" in refused(write(client_id=""))
    other = tmp_path / "other"
    other.touch(0o600)
    assert "the secret of this client is not in" in refused(write(client_secret_file='"other"'))
    other.write_text("another secret")
    with pytest.raises(UnavailableError, match="401"):
        vouched(company, write(client_secret_file='"other"'))
    with pytest.raises(UnavailableError, match="another issuer"):
        vouched(company, write(issuer=f'"{company.issuer}/"'))


def test_a_secret_that_others_can_read(write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        configured_backends(config.load(write()))


@pytest.mark.option("oidc.ca_file")
def test_its_server_is_believed_by_these_authorities_only(write: Write) -> None:
    with pytest.raises(UnavailableError, match="cannot prove who it is"):
        asked(write(ca_file=""))


@pytest.mark.option("oidc.label")
def test_what_people_call_it(write: Write) -> None:
    assert backend_of(write()).label == "company"
    assert backend_of(write(label='"the Company"')).label == "the Company"


@pytest.mark.option("oidc.scopes", "oidc.parameters")
def test_what_it_is_asked_for(write: Write) -> None:
    assert asked(write())["scope"] == ["openid email"]
    assert "prompt" not in asked(write())
    fields = asked(write(scopes='["email", "offline_access"]'))
    assert fields["scope"] == ["openid email offline_access"]
    assert fields["prompt"] == ["consent"]
    table = '{ "access_type" = "offline", "prompt" = "select_account" }'
    fields = asked(write(scopes='["offline_access"]', parameters=table))
    assert (fields["access_type"], fields["prompt"]) == (["offline"], ["select_account"])
    for ours in ("state", "nonce", "redirect_uri", "code_challenge", "request"):
        assert f"has {ours} in parameters" in refused(write(parameters=f'{{ "{ours}" = "x" }}'))


@pytest.mark.option("oidc.acr_values", "oidc.max_age")
def test_what_kind_of_sign_in_it_has_to_be(company: OidcProvider, write: Write) -> None:
    file = write(acr_values='["urn:strong", "urn:other"]', max_age="90")
    fields = asked(file)
    assert (fields["acr_values"], fields["max_age"]) == (["urn:strong urn:other"], ["90"])
    with pytest.raises(DeniedError) as caught:
        vouched(company, file)
    assert caught.value.denial is Denial.WEAK


@pytest.mark.option("oidc.local_part_claim")
def test_which_claim_has_the_address(company: OidcProvider, write: Write) -> None:
    changed = {"local_part_claim": '"preferred_username"', "scopes": '["profile"]'}
    assert vouched(company, write(**changed)).email == LENA
    assert "[idp] has no domain" in refused(write(idp="", **changed))


@pytest.mark.option("oidc.timeout")
def test_how_long_it_may_take(write: Write, company: OidcProvider) -> None:
    backend = backend_of(write(timeout="7"))
    assert backend._upstream.access.timeout == 7_000  # type: ignore[attr-defined]


BY_MAIL_TOO = {
    "idp": f'domain = "{DOMAIN}"\nfallback = true',
    "backends": '["company", "accounts"]',
}
BIG, ALSO_BIG = '["bigmail.test"]', '["bigmail.test", "bigmail.co.test"]'


@pytest.mark.option("oidc.domains", "oidc.mail_too")
def test_for_which_domains_it_is_at_a_fallback_provider(write: Write) -> None:
    backends = configured_backends(config.load(write(**BY_MAIL_TOO, domains=ALSO_BIG)))
    for domain in ("bigmail.test", "bigmail.co.test"):
        authority = backends.authority_of(f"lena@{domain}")
        assert authority is not None
        assert authority.name == "company"
        assert not backends.may_vouch("accounts", f"lena@{domain}")
    assert backends.authority_of("lena@nobody.test") is None
    assert not backends.may_vouch("company", "lena@nobody.test")
    either = write(**BY_MAIL_TOO, domains=BIG, mail_too="true")
    assert configured_backends(config.load(either)).may_vouch("accounts", "lena@bigmail.test")


def test_what_a_fallback_provider_cannot_use(write: Write) -> None:
    assert "has no domains" in refused(write(**BY_MAIL_TOO))
    assert "no fallback provider" in refused(write(domains=BIG))
    claim = {"domains": BIG, "local_part_claim": '"sub"'}
    assert "domains and local_part_claim" in refused(write(**BY_MAIL_TOO, **claim))
    without_mail = BY_MAIL_TOO | {"backends": '["company"]'}
    assert "has no 'accounts'" in refused(write(**without_mail, domains=BIG))
    pam = BY_MAIL_TOO | {"backends": '["company", "desks", "accounts"]'}
    desks = '[pam."desks"]'
    assert "'desks', which" in refused(write(**pam, domains=BIG, others=desks))
    twice = BY_MAIL_TOO | {"backends": '["company", "second", "accounts"]'}
    second = f'[oidc."second"]\ndomains = {ALSO_BIG}'
    assert "both have bigmail.test" in refused(write(**twice, domains=BIG, others=second))
    steps = BY_MAIL_TOO | {"idp": f'{BY_MAIL_TOO["idp"]}\nsecond_step = "required"'}
    assert "no second step" in refused(write(**steps, domains=BIG))
