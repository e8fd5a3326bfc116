"""What a server learns of a person besides the address, through the configuration."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from browserid_sasl import Client, NameAttribute, Server
from browserid_sasl.attributes.saml import ASSERTION_NAME
from browserid_sasl.config import Config, SamlAuthority, load
from browserid_sasl.errors import Code, ConfigurationError, RemoteProtocolError
from browserid_sasl.gss.context import SecurityContext
from tests.support.certificates import DAY, Issued, issue
from tests.support.saml import ISSUER, MEMBER, MEMBER_NAME, assertion
from tests.support.site import Site
from tests.support.world import ALICE

pytest.importorskip("signxml", reason="needs the extra `saml`")

from tests.support.saml_signing import sign

HOST = "mail.example.com"
TODAY = datetime.now(UTC)
AUTHORITY = issue("SAML authority", begins=TODAY - DAY, ends=TODAY + DAY)
SUCCESSOR = issue("its next key", begins=TODAY - DAY, ends=TODAY + DAY)
STRANGER = issue("stranger", begins=TODAY - DAY, ends=TODAY + DAY)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file with both keys of the authority."""
    file = tmp_path / "saml.pem"
    file.write_bytes(AUTHORITY.pem + SUCCESSOR.pem)
    return file


def log_in(site: Site, **claims: object) -> SecurityContext:
    """The server's context after a login with a certificate that has these claims."""
    site.sign_in(attributes=claims)
    config = site.in_memory()
    client = Client(site.config, "imap", HOST).start_with("BROWSERID-AES128")
    server = Server(config, "imap", HOST).start("BROWSERID-AES128", success_data=True)
    server.step(client.step())
    return server.result.context


def attributes(config: Config, context: SecurityContext) -> dict[str, NameAttribute]:
    found = Server(config, "imap", HOST).name_attributes(context)
    return {attribute.name: attribute for attribute in found}


def believing(site: Site, file: Path | None) -> Config:
    """A configuration that knows the authority by the certificates in a file."""
    return replace(site.in_memory(), saml={ISSUER: SamlAuthority(file)})


def test_the_claims_of_the_certificate_are_authenticated(site: Site) -> None:
    context = log_in(site, groups=["staff", "admins"])
    assert attributes(site.in_memory(), context) == {
        name: NameAttribute(name, values, authenticated=True)
        for name, values in {
            "urn:ietf:params:gss:jwt email": (ALICE,),
            "urn:ietf:params:gss:jwt iss": ("idp.test",),
            "urn:ietf:params:gss:jwt groups": ("staff", "admins"),
        }.items()
    }


@pytest.mark.parametrize("signer", [AUTHORITY, SUCCESSOR], ids=["present key", "next key"])
def test_an_assertion_signed_by_a_configured_authority_is_authenticated(
    site: Site, keys: Path, signer: Issued
) -> None:
    context = log_in(site, saml=sign(assertion(MEMBER), signer))
    found = attributes(believing(site, keys), context)
    assert found[MEMBER_NAME] == NameAttribute(MEMBER_NAME, ("staff", "member"), True)
    assert found[ASSERTION_NAME].authenticated
    assert found["urn:ietf:params:gss:jwt email"].values == (ALICE,)


def test_any_other_assertion_is_there_and_not_authenticated(site: Site, keys: Path) -> None:
    for signer in (AUTHORITY, STRANGER):
        context = log_in(site, saml=sign(assertion(MEMBER), signer))
        config = believing(site, keys) if signer is STRANGER else believing(site, None)
        assert attributes(config, context)[MEMBER_NAME].values == ("staff", "member")
        assert not attributes(config, context)[MEMBER_NAME].authenticated
        assert not attributes(site.in_memory(), context)[MEMBER_NAME].authenticated


def test_the_file_is_named_in_the_configuration_by_the_authority(site: Site, keys: Path) -> None:
    file = site.folder / "browserid.toml"
    file.write_text(f'[saml."{ISSUER}"]\ncertificate_file = "{keys.name}"\n')
    context = log_in(site, saml=sign(assertion(MEMBER), AUTHORITY))
    config = replace(site.in_memory(), saml=load(file).saml)
    assert attributes(config, context)[MEMBER_NAME].authenticated


def test_a_plain_context_has_them_too(site: Site, keys: Path) -> None:
    site.sign_in(attributes={"saml": sign(assertion(MEMBER), AUTHORITY)})
    server = Server(believing(site, keys), "imap", HOST)
    acceptor = server.accept()
    acceptor.step(Client(site.config, "imap", HOST).initiate("BROWSERID-AES128").step() or b"")
    found = {each.name: each for each in server.name_attributes(acceptor.context)}
    assert found[MEMBER_NAME].authenticated


def test_an_assertion_that_cannot_be_read_is_told(site: Site) -> None:
    context = log_in(site, saml="<broken")
    with pytest.raises(RemoteProtocolError) as caught:
        attributes(site.in_memory(), context)
    assert caught.value.code is Code.UNKNOWN_ATTRIBUTE


def test_a_file_that_cannot_be_used_is_told(site: Site) -> None:
    context = log_in(site)
    absent = site.folder / "absent.pem"
    with pytest.raises(ConfigurationError, match="No such file") as caught:
        attributes(believing(site, absent), context)
    assert caught.value.file == str(absent)


def test_without_the_extra_it_says_what_to_install(
    site: Site, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = site.folder / "browserid.toml"
    file.write_text(f'[saml."{ISSUER}"]\ncertificate_file = "{keys.name}"\n')
    configured = load(file)
    context = log_in(site, saml=sign(assertion(MEMBER), AUTHORITY))
    monkeypatch.delitem(sys.modules, "browserid_sasl.attributes.saml_signatures", raising=False)
    monkeypatch.setitem(sys.modules, "signxml.algorithms", None)

    assert not attributes(site.in_memory(), context)[MEMBER_NAME].authenticated
    server = Server(replace(configured, store=site.in_memory().store), "imap", HOST)
    with pytest.raises(ConfigurationError) as caught:
        server.name_attributes(context)
    assert str(caught.value) == (
        f"{file}:2: the Python package signxml is not installed, which the extra `saml` brings:"
        ' in a checkout of this package, run pip install ".[saml]"'
    )
