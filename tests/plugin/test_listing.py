"""What libsasl2 sees of the plugin before anybody logs in."""

from __future__ import annotations

import pytest

from browserid_sasl.gss.mechanisms import MECHANISMS
from tests.support.services import Installation, Site, run

WITH_KEY_EXCHANGE = {row.name for row in MECHANISMS if row.curve is not None}
SECURITY = "NO_ANONYMOUS|NO_PLAINTEXT|NO_ACTIVE|NO_DICTIONARY|FORWARD_SECRECY|MUTUAL_AUTH"
FEATURES = {
    "-s": "WANT_CLIENT_FIRST|PROXY_AUTHENTICATION|DONTUSE_USERPASSWD|GSS_FRAMING|CHANNEL_BINDING",
    "-c": "WANT_CLIENT_FIRST|PROXY_AUTHENTICATION|NEED_SERVER_FQDN|GSS_FRAMING|CHANNEL_BINDING",
}


def view(installation: Installation, side: str, **variables: str) -> str:
    done = run(("saslpluginviewer", side), env=installation.variables | variables)
    assert done.returncode == 0, done.stdout
    return done.stdout


def listed(text: str) -> set[str]:
    prefix = "\tSASL mechanism: BROWSERID"
    lines = [line for line in text.splitlines() if line.startswith(prefix)]
    return {line.split(":")[1].split(",")[0].strip() for line in lines}


@pytest.mark.parametrize("side", ["-s", "-c"])
def test_each_side_has_every_mechanism_with_key_exchange(
    installation: Installation, side: str
) -> None:
    assert listed(view(installation, side)) == WITH_KEY_EXCHANGE


@pytest.mark.parametrize("side", ["-s", "-c"])
def test_flags_and_features_are_true(installation: Installation, side: str) -> None:
    text = view(installation, side)
    assert text.count(f"security flags: {SECURITY}\n") == len(WITH_KEY_EXCHANGE)
    assert text.count(f"features: {FEATURES[side]}\n") == len(WITH_KEY_EXCHANGE)


def test_the_mechanism_without_key_exchange_is_listed_only_if_configured(site: Site) -> None:
    site.configure("pluginviewer", browserid_mechanisms="BROWSERID, browserid-aes128")
    folder = str(site.sasl_folder)
    text = view(site.installation, "-s", SASL_CONF_PATH=folder)
    assert listed(text) == {"BROWSERID", "BROWSERID-AES128"}
    assert text.count("FORWARD_SECRECY") == 1


def test_a_client_has_the_mechanism_without_key_exchange_by_its_environment(
    installation: Installation,
) -> None:
    assert listed(view(installation, "-c", BROWSERID_MECHANISMS="BROWSERID")) == {"BROWSERID"}


def test_a_configuration_that_is_wrong_does_not_hide_the_mechanisms(site: Site) -> None:
    site.config_file.write_text("[server]\nclock_skew = soon\n")
    site.configure("pluginviewer")
    text = view(site.installation, "-s", SASL_CONF_PATH=str(site.sasl_folder))
    assert listed(text) == WITH_KEY_EXCHANGE


def test_listing_does_not_start_the_interpreter(installation: Installation) -> None:
    trace = run(
        ("strace", "-f", "-e", "trace=openat", "saslpluginviewer", "-s"),
        env=installation.variables,
    )
    assert "libbrowserid.so" in trace.stdout
    assert "site-packages" not in trace.stdout
