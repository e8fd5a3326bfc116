"""Mail that waits when a fallback provider ends, in processes that really end."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl.idp.web import paths
from tests.idp.web.test_mailed import ask, give, is_signed_in
from tests.support.browser import Browser
from tests.support.fallback import NOBODY, Mailbox, mail_server
from tests.support.household import Authority, Household
from tests.support.https import answer, scripted_server
from tests.support.patience import wait_until
from tests.support.ports import free_port


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A mail server that says nothing."""
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield server


@pytest.fixture
def provider(authority: Authority, silent: socket.socket, tmp_path: Path) -> Iterator[Household]:
    no = answer(b"no", status="404 Not Found", content_type="text/html")
    with scripted_server(authority.ca.issue_cert("localhost"), no) as domain:
        others: dict[str, object] = {
            'authorities."nobody.test".url': f"https://localhost:{domain.port}",
            'authorities."nobody.test".ca_file': str(authority.file),
        }
        own: dict[str, object] = {
            "fallback": True,
            "mail_server": "127.0.0.1",
            "mail_port": silent.getsockname()[1],
            "mail_tls": "loopback",
        }
        folder = tmp_path / "provider"
        folder.mkdir(mode=0o700)
        provider = Household(folder, authority, own, others)
        provider.start()
        yield provider
        provider.stop()


@pytest.mark.parametrize("kill", [True, False])
def test_it_is_sent_after_the_next_start_and_its_code_signs_in(
    provider: Household, silent: socket.socket, *, kill: bool
) -> None:
    browser = Browser(provider.local_url, provider.authority.file, provider.url)
    page = ask(browser)
    assert (page.path, "one is on its way" in page.text) == (paths.MAIL, True)
    if kill:
        provider.kill()
    provider.stop()
    outbox = provider.folder / "idp" / "outbox"
    assert len(list(outbox.iterdir())) == 1
    mailbox, port = Mailbox(), silent.getsockname()[1]
    silent.close()
    with mail_server(mailbox, port=port):
        provider.start()
        delivery = mailbox.wait()
        assert delivery.recipient == NOBODY
        wait_until(lambda: not list(outbox.iterdir()), "the end of the mail in the folder")
    give(browser, page, delivery.code)
    assert is_signed_in(browser)
    assert len(mailbox.deliveries) == 1
