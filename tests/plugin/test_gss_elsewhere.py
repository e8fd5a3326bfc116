"""What docs/gss-api.md says of programs that take Kerberos, or whose other side does."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from browserid_sasl.gss.mechanisms import mechanism_by_name
from browserid_sasl.jose.keys import PrivateKey
from tests.support.gss import GssSite, gss_site
from tests.support.ports import free_port
from tests.support.postgresql import PostgresqlServer, postgresql_server
from tests.support.sample_programs import HOST, ROOT
from tests.support.services import AES128, Installation, folder_for_all, run, service

ACCOUNT = "postgres"
NO_KERBEROS = "No Kerberos credentials available"


@pytest.fixture(scope="module")
def site(installation: Installation, provider_key: PrivateKey) -> Iterator[GssSite]:
    with folder_for_all() as folder, gss_site(installation, folder, provider_key, ACCOUNT) as site:
        site.realm.sign_in()
        yield site


class TestPostgresql:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, site: GssSite) -> Iterator[PostgresqlServer]:
        admitted = site.folder / "pg_hba.conf"
        admitted.write_text(
            "host all alice,bob 127.0.0.1/32 gss include_realm=0\nhost all all 127.0.0.1/32 trust\n"
        )
        names = ("GSS_MECH_CONFIG", "BROWSERID_ACCEPTOR")
        variables = {name: site.variables[name] for name in names}
        with postgresql_server(f"hba_file={admitted}", variables=variables) as server:
            server.sql("postgres", "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN")
            yield server

    def log_in(self, site: GssSite, server: PostgresqlServer, role: str) -> str:
        program = ROOT / "tests" / "plugin" / "gss_postgres.py"
        oid = ".".join(map(str, mechanism_by_name(AES128).oid))
        return site.run("/usr/bin/python3", program, HOST, str(server.port), oid, role).stdout

    def test_its_server_takes_a_client_that_chooses_the_mechanism(
        self, site: GssSite, server: PostgresqlServer
    ) -> None:
        for _ in ("afresh", "by ticket"):
            said = self.log_in(site, server, "alice")
            assert said == "logged in as alice, by a context: True\n"

    def test_and_takes_nobody_for_somebody_else(
        self, site: GssSite, server: PostgresqlServer
    ) -> None:
        assert "GSSAPI authentication failed" in self.log_in(site, server, "bob")

    def psql(self, site: GssSite, server: PostgresqlServer, user: str, encryption: str) -> str:
        where = f"host={HOST} port={server.port} dbname=postgres user={user}"
        command = ("psql", "-X", "-A", "-t", f"{where} gssencmode={encryption}")
        return site.run(*command, "-c", "SELECT 1").stdout

    def test_libpq_takes_the_default_mechanism_which_is_kerberos(
        self, site: GssSite, server: PostgresqlServer
    ) -> None:
        assert NO_KERBEROS in self.psql(site, server, "alice", "disable")
        assert NO_KERBEROS in self.psql(site, server, "alice", "require")

    def test_who_is_signed_in_connects_as_before(
        self, site: GssSite, server: PostgresqlServer
    ) -> None:
        """libpq finds a credential, tries to encrypt by GSS-API, and goes on without."""
        assert self.psql(site, server, ACCOUNT, "prefer") == "1\n"


class TestOpenssh:
    OPTIONS = (
        *("-o", "GSSAPIAuthentication=yes", "-o", "GSSAPIKeyExchange=yes"),
        *("-o", "PreferredAuthentications=gssapi-keyex,gssapi-with-mic"),
    )

    def test_the_client_offers_what_the_server_does_not_take(self, site: GssSite) -> None:
        folder = site.folder / "ssh"
        folder.mkdir()
        run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "host"))
        port = free_port()
        known = (folder / "host.pub").read_text()
        (folder / "known").write_text(f"[{HOST}]:{port} {known}")
        (folder / "config").write_text(
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
            "GSSAPIAuthentication yes\nGSSAPIKeyExchange yes\nGSSAPIStrictAcceptorCheck no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
        )
        said = self._log_in(site, folder, port)
        # One attempt for each of the five mechanisms, and one refusal.
        assert len(re.findall("we sent a gssapi-with-mic packet", said)) >= 5, said
        assert "Permission denied" in said

    def _log_in(self, site: GssSite, folder: Path, port: int) -> str:
        account = pwd.getpwnam(ACCOUNT)
        os.chown(folder / "host", account.pw_uid, account.pw_gid)
        daemon = ROOT / ".unpacked" / "openssh" / "usr" / "sbin" / "sshd"
        start = ("setpriv", "--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups", daemon)
        command = (*start, "-D", "-e", "-f", folder / "config")
        with service(command, port, site.variables, folder / "log"):
            client = ("ssh", "-vv", "-p", str(port), *self.OPTIONS)
            known = ("-o", f"UserKnownHostsFile={folder}/known")
            return site.run(*client, *known, f"{ACCOUNT}@{HOST}", "true").stdout
