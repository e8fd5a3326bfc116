"""What libsasl2 sees of the plugin before anybody logs in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from browserid_sasl.gss.mechanisms import MECHANISMS
from tests.support.provider import DOMAIN, PASSWORD, running_provider
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
def test_each_side_has_every_mechanism_with_key_exchange(site: Site, side: str) -> None:
    assert listed(view(site.installation, side, HOME=str(site.folder))) == WITH_KEY_EXCHANGE


@pytest.mark.parametrize("side", ["-s", "-c"])
def test_flags_and_features_are_true(site: Site, side: str) -> None:
    text = view(site.installation, side, HOME=str(site.folder))
    assert text.count(f"security flags: {SECURITY}\n") == len(WITH_KEY_EXCHANGE)
    assert text.count(f"features: {FEATURES[side]}\n") == len(WITH_KEY_EXCHANGE)


def test_the_mechanism_without_key_exchange_is_listed_only_if_configured(site: Site) -> None:
    site.configure("pluginviewer", browserid_mechanisms="BROWSERID, browserid-aes128")
    folder = str(site.sasl_folder)
    text = view(site.installation, "-s", SASL_CONF_PATH=folder)
    assert listed(text) == {"BROWSERID", "BROWSERID-AES128"}
    assert text.count("FORWARD_SECRECY") == 1


def test_a_client_has_the_mechanism_without_key_exchange_by_its_environment(
    site: Site,
) -> None:
    variables = {"HOME": str(site.folder), "BROWSERID_MECHANISMS": "BROWSERID"}
    assert listed(view(site.installation, "-c", **variables)) == {"BROWSERID"}


class TestClientOfWhoHasNotSignedIn:
    """A program that has another way to log in goes on using it."""

    @pytest.fixture
    def home(self, new_site: Callable[[str], Site]) -> Path:
        return new_site("root").folder

    @pytest.fixture
    def seen(self, installation: Installation, home: Path) -> Callable[..., set[str]]:
        """What a client lists, in the environment of that person."""

        def look(**variables: str) -> set[str]:
            return listed(view(installation, "-c", **{"HOME": str(home)} | variables))

        return look

    def test_lists_nothing_and_makes_nothing(
        self, seen: Callable[..., set[str]], home: Path
    ) -> None:
        before = sorted(home.rglob("*"))
        assert seen() == set()
        assert sorted(home.rglob("*")) == before

    def test_lists_nothing_where_an_agent_merely_runs(
        self, installation: Installation, seen: Callable[..., set[str]], home: Path
    ) -> None:
        variables = installation.variables | {"HOME": str(home)}
        done = run((installation.prefix / "bin" / "browserid", "list"), env=variables)
        assert "nobody is signed in" in done.stdout
        assert (home / ".local" / "state" / "browserid" / "agent").is_socket()
        assert seen() == set()
        assert seen(BROWSERID_AGENT="/elsewhere") == WITH_KEY_EXCHANGE

    def test_lists_the_mechanisms_from_the_first_sign_in_to_the_last_sign_out(
        self, installation: Installation, seen: Callable[..., set[str]], home: Path
    ) -> None:
        with running_provider(home / "idp") as provider:
            provider.provider.accounts.add(f"bob@{DOMAIN}", PASSWORD, provider.clock.now)
            config = home / "own.toml"
            config.write_text(
                f'[store]\ndirectory = "{home}/elsewhere"\n[authorities."{DOMAIN}"]\n'
                f'url = "{provider.url}"\nca_file = "{provider.ca_file}"\n'
            )
            (home / "password").write_text(PASSWORD)
            (home / "password").chmod(0o600)

            def browserid(*arguments: str | Path) -> None:
                command = (installation.prefix / "bin" / "browserid", *arguments)
                done = run(command, env=installation.variables | {"HOME": str(home)})
                assert done.returncode == 0, done.stdout

            login = ("login", "--config", config, "--password-file", home / "password")
            for person in ("alice", "bob"):
                browserid(*login, f"{person}@{DOMAIN}")
                assert seen() == WITH_KEY_EXCHANGE
            browserid("logout", "--config", config, f"alice@{DOMAIN}")
            assert seen() == WITH_KEY_EXCHANGE
            browserid("logout", "--config", config, f"bob@{DOMAIN}")
            assert seen() == set()

    def test_finds_the_folder_where_python_does(
        self, installation: Installation, seen: Callable[..., set[str]], home: Path
    ) -> None:
        signed_in = home / "data" / "browserid" / "signed-in"
        signed_in.mkdir(parents=True)
        (signed_in / "0123456789abcdef").symlink_to(home / "browserid.toml")
        assert seen() == seen(XDG_DATA_HOME="") == seen(XDG_DATA_HOME="data") == set()
        assert seen(XDG_DATA_HOME=str(home / "data")) == WITH_KEY_EXCHANGE
        assert seen(XDG_DATA_HOME="/" * 5000) == set()

    def test_does_not_count_a_store_that_is_gone(
        self, seen: Callable[..., set[str]], home: Path
    ) -> None:
        signed_in = home / ".local" / "share" / "browserid" / "signed-in"
        signed_in.mkdir(parents=True)
        (signed_in / "0123456789abcdef").symlink_to(home / "client" / "client.db")
        assert seen() == set()

    def test_without_a_home_is_the_account_s(self, installation: Installation) -> None:
        command = ("setpriv", "--reuid", "2000000001", "--clear-groups", "saslpluginviewer", "-c")
        done = run(command, env=installation.variables)
        assert done.returncode == 0, done.stdout
        assert listed(done.stdout) == set()


def test_a_configuration_that_is_wrong_does_not_hide_the_mechanisms(site: Site) -> None:
    site.configure("pluginviewer", browserid_allow="*.*")
    text = view(site.installation, "-s", SASL_CONF_PATH=str(site.sasl_folder))
    assert listed(text) == WITH_KEY_EXCHANGE


def test_listing_asks_nobody_and_starts_nothing(installation: Installation, site: Site) -> None:
    trace = run(
        ("strace", "-f", "-e", "trace=openat,connect,execve", "saslpluginviewer", "-s", "-c"),
        env=installation.variables | {"HOME": str(site.folder)},
    )
    assert "libbrowserid.so" in trace.stdout
    assert "signed-in" in trace.stdout
    assert "browserid/agent" not in trace.stdout
    assert "/acceptor" not in trace.stdout
    assert trace.stdout.count("execve(") == 1
