"""A provider of OpenID Connect that really runs: oidc-provider, of npm, on loopback with TLS."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
import trustme
from joserfc.jwk import ECKey, Key, RSAKey

from browserid_sasl.idp.backends.oidc import OidcBackend, Terms
from browserid_sasl.idp.backends.oidc_upstream import Access, Upstream
from tests.support.browser import Shown
from tests.support.patience import PATIENCE
from tests.support.ports import free_port
from tests.support.provider import DOMAIN
from tests.support.sample_programs import ROOT

CLIENT, WITHOUT_REFRESH = "browserid", "browserid-without-refresh"
SECRET = "a secret: of 100% strange letters+"
"""Which has to be encoded to be sent."""

ORIGIN = f"https://{DOMAIN}"
_MODULE = ROOT / ".npm" / "oidc-provider" / "node_modules" / "oidc-provider" / "lib" / "index.js"
_MAX_STEPS = 15


@dataclass
class OidcProvider:
    """One that runs.

    :param issuer: its name, and its URL.
    :param ca_file: what its server is believed by.
    :param people: file with the claims of everybody, by subject.
    :param signing: the key that its tokens are signed with.
    """

    issuer: str
    ca_file: Path
    people: Path
    signing: Key

    def put(self, subject: str, **claims: object) -> None:
        """Have somebody with these claims, in place of what was said of them."""
        self._write({**self._read(), subject: claims})

    def remove(self, subject: str) -> None:
        """Have somebody no longer."""
        self._write({name: each for name, each in self._read().items() if name != subject})

    def access(self, **changed: object) -> Access:
        """How it is reached."""
        given: dict[str, Any] = {
            "issuer": self.issuer,
            "client_id": CLIENT,
            "client_secret": SECRET,
            "ca_file": self.ca_file,
            "timeout": 20_000,
        }
        return Access(**(given | changed))

    def backend(
        self, name: str = "company", client_id: str = CLIENT, **terms: object
    ) -> OidcBackend:
        """A backend that asks it."""
        given: dict[str, Any] = {"label": "the Company", "domain": DOMAIN}
        access = self.access(client_id=client_id)
        return OidcBackend(name, Upstream(access), Terms(**(given | terms)))

    def visitor(self) -> Visitor:
        """A browser that has never been there."""
        return Visitor(self)

    def _read(self) -> dict[str, Any]:
        people: dict[str, Any] = json.loads(self.people.read_text())
        return people

    def _write(self, people: dict[str, Any]) -> None:
        new = self.people.with_suffix(".new")
        new.write_text(json.dumps(people))
        os.replace(new, self.people)


class Visitor:
    """Somebody's browser at the provider's pages.

    :param provider: the provider.
    """

    def __init__(self, provider: OidcProvider) -> None:
        self._provider = provider
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(provider.ca_file)

    def sign_in(self, page: str, subject: str, origin: str = ORIGIN) -> str:
        """Sign in where a URL leads, and consent; the URL of an origin to which it leads back."""
        typed = {"login": subject, "password": "any"}
        return self._walk(page, lambda form: form.fields | typed, origin)

    def cancel(self, page: str) -> str:
        """Do not."""
        shown = self._open(page)
        [link] = [given["href"] for tag, given in shown.tags if "/abort" in given.get("href", "")]
        return self._walk(link, lambda _: {})

    def sign_out(self) -> None:
        """Sign out of the provider."""
        url = f"{self._provider.issuer}/session/end"
        [form] = self._open(url).forms
        fields = form.fields | {"logout": "yes"}
        answer = self._session.post(form.action, fields, timeout=PATIENCE)
        assert answer.status_code == 200, answer.text

    def _walk(self, url: str, fields: Callable[[Any], dict[str, str]], origin: str = ORIGIN) -> str:
        answer = self._get(url)
        for _ in range(_MAX_STEPS):
            if answer.is_redirect:
                to = urljoin(answer.url, answer.headers["Location"])
                if to.startswith(f"{origin}/"):
                    return to
                answer = self._get(to)
                continue
            assert answer.status_code == 200, answer.text
            [form] = Shown(answer).forms
            answer = self._session.post(
                urljoin(answer.url, form.action),
                fields(form),
                timeout=PATIENCE,
                allow_redirects=False,
            )
        raise AssertionError("it leads nowhere")

    def _open(self, url: str) -> Shown:
        return Shown(self._session.get(url, timeout=PATIENCE))

    def _get(self, url: str) -> requests.Response:
        return self._session.get(url, timeout=PATIENCE, allow_redirects=False)


def path_of(url: str) -> str:
    """The path and the query of a URL of ours."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


@contextmanager
def oidc_provider(
    folder: Path,
    names: Sequence[str] = ("company",),
    origin: str = ORIGIN,
    authority: trustme.CA | None = None,
    port: int = 0,
) -> Iterator[OidcProvider]:
    """Run one until the block ends.

    :param folder: an empty one.
    :param names: what we call it: people are sent back to the page of one of these.
    :param origin: of our pages.
    :param authority: of its web server.
    :param port: of that, 0 for any that is free.
    """
    port, authority = port or free_port(), authority or trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    signing = RSAKey.generate_key(2048, {"kid": "signing", "use": "sig"}, private=True)
    keys: list[Key] = [
        signing,
        ECKey.generate_key("P-256", {"kid": "other", "use": "sig"}, private=True),
    ]
    issuer = f"https://localhost:{port}"
    back = [f"{origin}/browserid/upstream/{name}/back" for name in names]
    client = {"client_secret": SECRET, "redirect_uris": back}
    grants = {
        CLIENT: ["authorization_code", "refresh_token"],
        WITHOUT_REFRESH: ["authorization_code"],
    }
    (folder / "people.json").write_text("{}")
    settings = {
        "issuer": issuer,
        "port": port,
        "clients": [
            client | {"client_id": name, "grant_types": types} for name, types in grants.items()
        ],
        "jwks": {"keys": [key.as_dict(private=True) for key in keys]},
        "people": str(folder / "people.json"),
        "certificate": str(folder / "server.pem"),
        "key": str(folder / "server.key"),
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    program = Path(__file__).with_name("oidc_provider.mjs")
    log = folder / "log"
    with (
        log.open("w") as err,
        subprocess.Popen(
            ["node", str(program), str(_MODULE), str(folder / "settings.json")],
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", log.read_text()
            yield OidcProvider(issuer, folder / "ca.pem", folder / "people.json", signing)
        finally:
            process.kill()
