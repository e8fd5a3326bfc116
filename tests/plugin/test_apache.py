"""Debian's Apache with mod_auth_gssapi, as docs/gss-api.md sets it up, and its clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from browserid_sasl import config
from browserid_sasl.api import Client
from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.jose.keys import PrivateKey
from browserid_sasl.negotiate.client import NegotiateAdapter, NegotiateAuth
from tests.support.gss import GssSite, gss_site
from tests.support.guide import blocks_of
from tests.support.ports import free_port
from tests.support.sample_programs import ALICE, HOST, ROOT
from tests.support.services import AES128, Installation, folder_for_all, run, service

ACCOUNT = "www-data"
PAGE = ROOT / "docs" / "gss-api.md"
APACHE = ROOT / ".unpacked" / "apache"
MODULES = (
    *("mpm_event", "authn_core", "authz_core", "authz_user", "session", "headers"),
    *("session_cookie", "socache_shmcb", "ssl", "auth_gssapi"),
)


class Apache:
    """The server, where every page is behind the login; `X-User` and `X-Attributes` say who came.

    :param further: lines for the location, on top of the page's.
    :param only: the mechanism that is allowed, in place of all that the page names.
    """

    def __init__(self, site: GssSite, further: str = "", only: str = "") -> None:
        self.site = site
        self._only = only
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"http://{HOST}:{self.port}/page"
        self.tls_url = f"https://{HOST}:{self.tls_port}/page"
        self.folder = site.folder / f"apache-{self.port}"
        self.folder.mkdir()
        (self.folder / "page").write_text("hello\n")
        (self.folder / "httpd.conf").write_text(self._settings(further))

    def _settings(self, further: str) -> str:
        [location] = [each.text for each in blocks_of(PAGE) if each.kind == "apache"]
        inside, end, _ = location.partition("</Location>")
        if self._only:
            oid = re.escape(".".join(map(str, mechanism_by_name(self._only).oid)))
            inside = re.sub(rf"GssapiAllowedMech (?!{oid}$).*", "", inside, flags=re.MULTILINE)
        certificate, key = self.site.tls_files
        load = "".join(
            f"LoadModule {name}_module {APACHE}/usr/lib/apache2/modules/mod_{name}.so\n"
            for name in MODULES
        )
        return f"""
            ServerRoot {self.folder}
            ServerName {HOST}
            PidFile {self.folder}/pid
            DefaultRuntimeDir {self.folder}
            ErrorLog {self.folder}/error.log
            DocumentRoot {self.folder}
            User {ACCOUNT}
            Group {ACCOUNT}
            Listen 127.0.0.1:{self.port}
            Listen 127.0.0.1:{self.tls_port}
            {load}
            {inside.replace("/private", "/")}
            {further}
            Header always set X-User expr=%{{REMOTE_USER}}
            Header always set X-Attributes expr=%{{reqenv:GSS_NAME_ATTRS_JSON}}
            {end}
            <VirtualHost 127.0.0.1:{self.tls_port}>
            SSLEngine on
            SSLCertificateFile {certificate}
            SSLCertificateKeyFile {key}
            </VirtualHost>
            """

    @contextmanager
    def running(self) -> Iterator[Apache]:
        """The server, until the end of the block."""
        command = (APACHE / "usr/sbin/apache2", "-f", self.folder / "httpd.conf", "-DFOREGROUND")
        with service(command, self.port, self.site.variables, self.folder / "output"):
            yield self

    def curl(self, *options: str, url: str = "", home: str = "") -> list[tuple[int, str, str]]:
        """Status, user and attributes of each answer that curl has had for one request."""
        shown = ("-s", "-o", "/dev/null", "-D", "-", "--cacert", str(self.site.folder / "ours.pem"))
        environment = self.site.variables | ({"HOME": home} if home else {})
        said = run(("curl", *shown, *options, url or self.tls_url), env=environment).stdout
        return [_answer(each) for each in said.split("\n\n") if each]


def _answer(head: str) -> tuple[int, str, str]:
    status, *lines = head.splitlines()
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    return int(status.split()[1]), fields.get("X-User", ""), fields.get("X-Attributes", "")


@contextmanager
def a_site(installation: Installation, key: PrivateKey, *, keys: bool) -> Iterator[GssSite]:
    """Somebody is signed in, and Apache may accept.

    :param keys: whether it is given contexts' keys, which the page does not.
    """
    with folder_for_all() as folder, gss_site(installation, folder, key, ACCOUNT) as site:
        site.realm.sign_in(role="author")
        [section] = [each.text for each in blocks_of(PAGE) if each.file == "apache"]
        if keys:
            section += "keys = true\n"
        text = site.config_file.read_text().partition("[programs.")[0]
        site.config_file.write_text(text + section)
        site.add(f'[programs."{ACCOUNT}".local_names]\n"{ALICE}" = "al"\n')
        yield site


@pytest.fixture(scope="module")
def site(installation: Installation, provider_key: PrivateKey) -> Iterator[GssSite]:
    with a_site(installation, provider_key, keys=False) as site:
        yield site


@pytest.fixture(scope="module")
def apache(site: GssSite) -> Iterator[Apache]:
    with Apache(site).running() as apache:
        yield apache


NEGOTIATE = ("--negotiate", "-u", ":")


class TestCurl:
    def test_logs_in_by_one_request(self, apache: Apache) -> None:
        for _ in ("afresh", "by ticket"):
            assert apache.curl(*NEGOTIATE) == [(200, ALICE, "")]

    def test_without_it_nobody_is_let_in(self, apache: Apache) -> None:
        assert [status for status, *_ in apache.curl()] == [401]

    def test_nor_who_is_not_signed_in(self, apache: Apache, tmp_path: Path) -> None:
        assert {status for status, *_ in apache.curl(*NEGOTIATE, home=str(tmp_path))} == {401}

    def test_nor_anybody_without_tls(self, apache: Apache) -> None:
        """`GssapiSSLonly` of the page."""
        assert 200 not in [status for status, *_ in apache.curl(*NEGOTIATE, url=apache.url)]

    def test_a_login_of_more_than_one_request(
        self, installation: Installation, provider_key: PrivateKey
    ) -> None:
        """The client's first choice is not allowed: SPNEGO has the change of it proven by a key.

        `GssapiConnectionBound` of the page is how Apache knows what goes on.
        """
        with (
            a_site(installation, provider_key, keys=True) as site,
            Apache(site, only=AES128).running() as apache,
        ):
            *first, last = apache.curl(*NEGOTIATE)
        assert {status for status, *_ in first} == {401}
        assert last == (200, ALICE, "")


class TestRequests:
    """Our own authentication for the package `requests`, which needs no GSS-API."""

    def test_logs_in_afresh_and_by_ticket(self, apache: Apache) -> None:
        own = config.load(apache.site.config_file)
        with requests.Session() as session:
            session.trust_env = False
            session.mount("https://", NegotiateAdapter())
            session.auth = NegotiateAuth(HOST, client=lambda host: Client(own, "http", host))
            session.verify = str(apache.site.folder / "ours.pem")
            for _ in ("afresh", "by ticket"):
                response = session.get(apache.tls_url)
                assert (response.text, response.headers["X-User"]) == ("hello\n", ALICE)


class TestItsOptions:
    def test_names_of_the_machine_and_claims(self, site: GssSite) -> None:
        further = "GssapiLocalName On\nGssapiNameAttributes json\n"
        with Apache(site, further).running() as apache:
            [(status, user, attributes)] = apache.curl(*NEGOTIATE)
        assert (status, user) == (200, "al")
        assert "author" in json.dumps(json.loads(attributes))
