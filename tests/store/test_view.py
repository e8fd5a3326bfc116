"""A store that is looked into, by itself; `tests/cli/test_caches.py` has the rest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from browserid_sasl import store
from browserid_sasl.errors import DamagedStoreError, StoreError
from browserid_sasl.store.base import system_clock
from browserid_sasl.store.sqlite import (
    ACCEPTOR_SCHEMA,
    look_into_acceptor,
    look_into_initiator,
    presented,
)
from browserid_sasl.store.view import DatabaseView, application_of
from tests.support.forks import in_child
from tests.support.services import folder_for_all

NOBODY: Final = 65534
FORMATS: Final = Path(__file__).parent / "formats"


def test_it_cannot_be_written_to(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "server.db"
    store.open_acceptor(path).close()
    with pytest.raises(StoreError, match="cannot be written"):
        look_into_acceptor(path).replay.insert(bytes(32), system_clock() + 1000)


def test_it_goes_on_while_others_begin_to_use_it(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "server.db"
    writer = store.open_acceptor(path)
    writer.close()
    view = DatabaseView(path, ACCEPTOR_SCHEMA)
    assert view.rows("SELECT * FROM replay") == []
    writer.replay.insert(bytes(32), system_clock() + 1000)
    # What it knows of the file is looked at again only after a while.
    view._local.session.trusted_until = 0
    with pytest.raises(DamagedStoreError, match="look again"):
        view.rows("SELECT * FROM replay")
    assert not path.with_name("server.db-lost").exists()
    assert len(list(presented(path))) == 1
    writer.close()


def test_a_folder_of_another_user_is_named() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to be another user")
    with folder_for_all() as house:
        path = house / "stores" / "server.db"
        store.open_acceptor(path).close()
        refused = in_child(lambda: _refusal(DatabaseView(path, ACCEPTOR_SCHEMA)), NOBODY)
    assert f"{path.parent} belongs to another user (number 0): run this as that user" in refused


def _refusal(view: DatabaseView) -> str:
    with pytest.raises(StoreError) as refused:
        view.is_there()
    return str(refused.value)


def test_what_kind_of_file_it_is(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "server.db"
    store.open_acceptor(path).close()
    assert application_of(path) == ACCEPTOR_SCHEMA.application_id
    (tmp_path / "text").write_text("no database")
    assert application_of(tmp_path / "text") == 0
    assert application_of(tmp_path) == 0
    with pytest.raises(StoreError):
        application_of(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("name", "look"),
    [("server-3", look_into_acceptor), ("client-2", look_into_initiator)],
)
def test_an_older_format_is_shown_and_left_as_it_is(
    tmp_path: Path, name: str, look: Callable[[Path], store.AcceptorStores | store.InitiatorStores]
) -> None:
    path = tmp_path / "folder" / "some.db"
    path.parent.mkdir(0o700)
    shutil.copyfile(FORMATS / f"{name}.db", path)
    path.chmod(0o600)
    assert len(list(look(path).tickets.all(0))) > 0
    assert path.read_bytes() == (FORMATS / f"{name}.db").read_bytes()
    assert sorted(path.parent.iterdir()) == [path]
