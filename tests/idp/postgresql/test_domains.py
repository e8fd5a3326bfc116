"""Each domain of a provider has a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from browserid_sasl.idp.cli import main
from tests.support.postgresql import PostgresqlServer

FIRST, SECOND = "first.test", "second.test"


@pytest.mark.option("domain.database")
def test_a_section_names_that_of_its_domain(
    tmp_path: Path, server: PostgresqlServer, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "browserid.toml"
    uris = [server.make_database(f"{name}_{each}") for each in ("first", "second")]

    def configure(second: str) -> None:
        file.write_text(
            f'[idp]\ndomain = "{FIRST}"\ndirectory = "idp"\ndatabase = "{uris[0]}"\n'
            f'[domain."{SECOND}"]\ndatabase = "{second}"\n'
        )

    def run(command: str, domain: str, *arguments: str) -> int:
        return main([command, "--config", str(file), "--domain", domain, *arguments])

    configure(uris[1])
    assert [run("init", each) for each in (FIRST, SECOND)] == [0, 0]
    assert run("invite", SECOND, f"bob@{SECOND}") == 0
    capsys.readouterr()
    assert [run("list-users", each) for each in (FIRST, SECOND)] == [0, 0]
    assert capsys.readouterr().out == f"bob@{SECOND}\n"
    # The same one in another spelling.
    configure(f"{uris[0]}{'&' if '?' in uris[0] else '?'}application_name=x")
    assert run("list-users", SECOND) == 78
    assert f"an identity provider for {FIRST}" in capsys.readouterr().err
