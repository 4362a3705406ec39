"""Whether the worker is behind: then nothing is read back, for what waits in the inbox is not lost."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.ports import StoreUnavailable
from app.store.command_status import StoredCommandStatus
from app.store.database import Database
from app.store.inbox_reader import CursorInboxReader, FlagInboxReader
from app.store.schema import inbox
from tests.fakes import START
from tests.store.conftest import Stores


def arrives(stores: Stores, name: str, at: datetime) -> None:
    row = {"source": "truthvouch", "delivery_id": name, "received_at": at, "body": b"{}"}
    with stores.inbox.begin() as connection:
        connection.execute(sa.insert(inbox).values(row))


def taken_in(stores: Stores) -> None:
    sqlite = stores.inbox.dialect.name == "sqlite"
    inbox_reader = CursorInboxReader(Database(stores.inbox)) if sqlite else FlagInboxReader(stores.bridge)
    with stores.bridge.begin() as tx:
        inbox_reader.mark_taken(tx, inbox_reader.next_rows(tx, 10), START)


def test_it_is_behind_while_something_has_waited_for_too_long(stores: Stores) -> None:
    command_status = StoredCommandStatus(stores.bridge, stores.inbox)
    assert not command_status.is_behind(START)
    arrives(stores, "e1", START)
    assert not command_status.is_behind(START)
    assert command_status.is_behind(START + timedelta(seconds=1))
    taken_in(stores)
    assert not command_status.is_behind(START + timedelta(seconds=1))


@pytest.mark.parametrize("broken", [False, True], ids=["no free connection", "no database"])
def test_a_store_that_cannot_be_read_is_said_to_be_unavailable(tmp_path: Path, broken: bool) -> None:
    if broken:
        (tmp_path / "inbox.db").write_text("This is no database, and has been none for a long time. " * 20)
    engine = sa.create_engine(
        f"sqlite:///{tmp_path}/inbox.db", pool_size=2 if broken else 1, max_overflow=0, pool_timeout=0.1
    )
    with engine.connect(), pytest.raises(StoreUnavailable):
        StoredCommandStatus(Database(engine), engine).taken("e1")
    engine.dispose()
