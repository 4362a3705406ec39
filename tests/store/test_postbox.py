"""Whether the worker is behind: then nothing is read back, for what waits in the inbox is not lost."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from app.store.arrivals import CursorArrivals, MarkedArrivals
from app.store.postbox import StoredPostbox
from app.store.schema import Instant, inbox
from tests.fakes import START
from tests.store.conftest import Stores


def arrives(stores: Stores, name: str, at: datetime) -> None:
    received_at = Instant().process_bind_param(at, stores.inbox.dialect)
    row = {"source": "truthvouch", "delivery_id": name, "received_at": received_at, "body": b"{}"}
    with stores.inbox.begin() as connection:
        connection.execute(sa.insert(inbox).values(row))


def taken_in(stores: Stores) -> None:
    sqlite = stores.inbox.dialect.name == "sqlite"
    arrivals = CursorArrivals(stores.inbox) if sqlite else MarkedArrivals()
    with stores.bridge.begin() as tx:
        arrivals.mark_taken(tx, arrivals.next_rows(tx, 10), START)


def test_it_is_behind_while_something_has_waited_for_too_long(stores: Stores) -> None:
    post = StoredPostbox(stores.bridge, stores.inbox)
    assert not post.is_behind(START)
    arrives(stores, "e1", START)
    assert not post.is_behind(START)
    assert post.is_behind(START + timedelta(seconds=1))
    taken_in(stores)
    assert not post.is_behind(START + timedelta(seconds=1))
