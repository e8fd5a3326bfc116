"""`Server` and `Client`, as a program uses them."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browserid_sasl import ChannelBinding, Client, Server
from browserid_sasl.config import ClientConfig, Config, ServerConfig
from browserid_sasl.errors import (
    Code,
    ConfigurationError,
    CredentialError,
    LocalProtocolError,
    PeerRefusedError,
    RemoteProtocolError,
)
from browserid_sasl.gss.mechanisms import MECHANISMS
from browserid_sasl.gss.names import ServiceName
from browserid_sasl.sasl.client import ClientMechanism
from browserid_sasl.sasl.server import ServerMechanism
from tests.support.forks import in_child
from tests.support.refusal import refused
from tests.support.site import Site
from tests.support.world import ALICE, key, support_document

HOST = "mail.example.com"
EXPORTER = ChannelBinding("tls-exporter", b"exported keying material")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.sign_in()
    return site


def login(client: ClientMechanism, server: ServerMechanism) -> None:
    """Carry messages to and fro until both are done."""
    response = client.step()
    while not server.complete:
        challenge = server.step(response)
        if challenge is not None:
            response = client.step(challenge)


def test_a_login_names_the_person_to_the_server(site: Site) -> None:
    client = Client(site.config, "imap", HOST).start_with("BROWSERID-AES128")
    server = Server(site.config, "imap", HOST).start("BROWSERID-AES128")
    login(client, server)

    assert server.result.identity == server.result.authzid == ALICE
    assert server.result.issuer == "idp.test"
    assert server.result.mechanism == "BROWSERID-AES128"
    assert not server.result.ticket_used
    assert not server.result.mutual
    assert client.result.context.root_key == server.result.context.root_key
    assert client.result.expires == server.result.expires
    assert client.result.flags == server.result.flags


def test_the_next_login_uses_a_ticket_in_another_process_too(site: Site) -> None:
    for _ in range(2):
        client = Client(site.config, "imap", HOST).start_with("BROWSERID-AES128")
        server = Server(site.config, "imap", HOST).start("BROWSERID-AES128")
        login(client, server)
    assert server.result.ticket_used
    assert client.result.ticket_used


def test_a_program_that_has_logged_in_forks_and_all_of_it_goes_on(site: Site) -> None:
    client, server = Client(site.config, "imap", HOST), Server(site.config, "imap", HOST)

    def log_in() -> str:
        login(ours := client.start_with("BROWSERID-AES128"), server.start("BROWSERID-AES128"))
        return ours.result.identity

    def log_in_by_threads() -> str:
        with ThreadPoolExecutor(3) as threads:
            return str({each.result() for each in [threads.submit(log_in) for _ in range(9)]})

    log_in()
    with ThreadPoolExecutor(1) as meanwhile:
        ours = meanwhile.submit(lambda: [log_in() for _ in range(20)])
        assert [in_child(log_in_by_threads) for _ in range(4)] == [str({ALICE})] * 4
        assert set(ours.result()) == {ALICE}
    assert log_in() == ALICE


def test_a_pinned_document_that_is_replaced_counts_at_the_next_login(site: Site) -> None:
    config = site.config.with_options({"tickets": "no"})
    client, server = Client(config, "imap", HOST), Server(config, "imap", HOST)
    login(client.start_with("BROWSERID-AES128"), server.start("BROWSERID-AES128"))
    pinned = config.authorities["idp.test"].keys_file
    assert pinned is not None
    pinned.write_text(json.dumps(support_document(key("another"))))
    with refused(Code.INVALID_SIGNATURE):
        login(client.start_with("BROWSERID-AES128"), server.start("BROWSERID-AES128"))


@pytest.mark.parametrize("name", [row.name for row in MECHANISMS])
def test_every_mechanism_logs_in(site: Site, name: str) -> None:
    config = site.config.with_options({"mechanisms": name})
    client = Client(config, "imap", HOST).start_with(name)
    server = Server(config, "imap", HOST).start(name)
    login(client, server)
    assert server.result.mechanism == name


def test_success_data_saves_the_last_message(site: Site) -> None:
    client = Client(site.config, "imap", HOST).start_with("BROWSERID-AES128")
    server = Server(site.config, "imap", HOST).start("BROWSERID-AES128", success_data=True)
    data = server.step(client.step())

    assert server.complete
    assert data is not None
    assert client.step(data) == b""
    assert client.complete


def test_the_client_binds_to_the_channel_when_the_server_offers_it(site: Site) -> None:
    service = Server(site.config, "imap", HOST)
    offered = service.mechanisms(channel_binding=True)
    client = Client(site.config, "imap", HOST).start(offered, channel_binding=EXPORTER)
    server = service.start(client.name, channel_bindings={EXPORTER.type: EXPORTER.data})
    login(client, server)

    assert client.name.endswith("-PLUS")
    assert server.result.channel_binding == client.result.channel_binding == "tls-exporter"


def test_a_list_of_mechanisms_that_lost_its_plus_names_is_noticed(site: Site) -> None:
    service = Server(site.config, "imap", HOST)
    altered = service.mechanisms(channel_binding=False)
    client = Client(site.config, "imap", HOST).start(altered, channel_binding=EXPORTER)
    server = service.start(client.name, channel_bindings={EXPORTER.type: EXPORTER.data})
    challenge = server.step(client.step())

    assert server.failure is not None
    assert server.failure.code is Code.CHANNEL_BINDINGS_MISMATCH
    with pytest.raises(PeerRefusedError, match="channel-bindings-mismatch"):
        client.step(challenge)


def test_acting_as_somebody_else_takes_permission(site: Site) -> None:
    service = Server(site.config, "imap", HOST)
    for permitted in (False, True):

        def authorize(identity: str, authzid: str, permitted: bool = permitted) -> bool:
            return permitted

        client = Client(site.config, "imap", HOST).start_with(
            "BROWSERID-AES128", authzid="postmaster"
        )
        server = service.start("BROWSERID-AES128", authorize=authorize)
        challenge = server.step(client.step())
        if permitted:
            server.step(client.step(challenge))
            assert server.result.authzid == "postmaster"
            assert server.result.identity == ALICE
        else:
            with pytest.raises(PeerRefusedError, match="no-local-mapping"):
                client.step(challenge)
            with pytest.raises(RemoteProtocolError, match="may not act as postmaster"):
                server.step(b"")


def test_a_recorded_login_is_refused(site: Site) -> None:
    service = Server(site.config, "imap", HOST)
    message = Client(site.config, "imap", HOST).start_with("BROWSERID-AES128").step()
    service.start("BROWSERID-AES128").step(message)
    again = service.start("BROWSERID-AES128")
    again.step(message)

    assert again.failure is not None
    assert again.failure.code is Code.REPLAYED_ASSERTION


def test_without_a_sign_in_the_error_names_the_command(tmp_path: Path) -> None:
    mechanism = Client(Site(tmp_path).config, "imap", HOST, identity=ALICE).start_with(
        "BROWSERID-AES128"
    )
    with pytest.raises(CredentialError, match=f"browserid login {ALICE}"):
        mechanism.step()


def test_a_mechanism_that_is_not_offered_cannot_be_started(site: Site) -> None:
    config = site.config.with_options({"mechanisms": "BROWSERID-AES128"})
    with pytest.raises(LocalProtocolError, match="BROWSERID-AES256 is not offered"):
        Server(config, "imap", HOST).start("BROWSERID-AES256")
    with pytest.raises(LocalProtocolError, match="no mechanism 'PLAIN'"):
        Server(config, "imap", HOST).start("PLAIN")
    with pytest.raises(LocalProtocolError, match="offers no mechanism of this family"):
        Client(config, "imap", HOST).start(["PLAIN", "SCRAM-SHA-256"])


@pytest.mark.parametrize(
    "config",
    [
        Config(server=ServerConfig(mechanisms=("BROWSERID-AES512",))),
        Config(client=ClientConfig(mechanisms=("BROWSERID-AES512",))),
    ],
)
def test_a_configured_mechanism_that_does_not_exist_is_a_configuration_error(
    config: Config,
) -> None:
    kind = Server if config.server.mechanisms == ("BROWSERID-AES512",) else Client
    with pytest.raises(ConfigurationError, match="BROWSERID-AES512"):
        kind(config, "imap", HOST)


def test_a_server_has_the_name_of_its_machine_unless_told(site: Site) -> None:
    name = Server(site.config, "imap").name
    assert name == ServiceName.make("imap", socket.getfqdn())


def test_stores_in_memory_leave_nothing_on_disk(site: Site) -> None:
    config = site.in_memory()
    before = sorted(site.folder.rglob("*"))
    assert Server(config, "imap", HOST).mechanisms() == ["BROWSERID-AES128", "BROWSERID-AES256"]
    Client(config, "imap", HOST)
    assert sorted(site.folder.rglob("*")) == before
