"""What the inbox of both stores promises."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.types import Source
from app.ports import Delivery, StoreUnavailable
from app.store.database import open_inbox
from app.store.inbox import ClosableInbox, inbox_for
from app.store.inbox_sqlite import bounds_of, newest_statement
from app.store.schema import inbox as inbox_table
from app.store.schema import inbox_metadata

ROOT = Path(__file__).parents[2]
DELIVERY = Delivery(
    Source.TRUTHVOUCH, "evt-1", datetime(2026, 1, 15, 10, 0, 0, 123456, tzinfo=UTC), b'{"id": "evt-1"}', "req-1", "gzip"
)


@dataclass(frozen=True)
class Place:
    data_dir: Path
    database_url: str | None


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None


@pytest.fixture
def engine(tmp_path: Path, url: str | None) -> Iterator[sa.Engine]:
    engine = open_inbox(tmp_path, url)
    inbox_metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def inbox_store(tmp_path: Path, url: str | None, engine: sa.Engine) -> Iterator[ClosableInbox]:
    inbox_store = inbox_for(Place(tmp_path, url))
    yield inbox_store
    inbox_store.close()


def stored(engine: sa.Engine) -> list[str]:
    with engine.connect() as reader:
        return list(reader.execute(sa.select(inbox_table.c.delivery_id).order_by(inbox_table.c.id)).scalars())


def numbered(n: int) -> Delivery:
    return replace(DELIVERY, delivery_id=f"evt-{n}")


def test_a_delivery_is_new_once_and_a_duplicate_ever_after(inbox_store, engine):
    answers = [inbox_store.add(DELIVERY), inbox_store.add(DELIVERY), inbox_store.add(replace(DELIVERY, body=b"other"))]
    assert [True, False, False] == answers
    assert ["evt-1"] == stored(engine)


def test_the_newest_of_a_series_is_found_among_others(inbox_store, engine):
    """However the database sorts texts."""
    mine, others = "body" + "a" * 32, "body" + "ab" * 16
    assert None is inbox_store.newest_of(Source.TRUTHVOUCH, mine)
    for delivery_id in (f"{mine}9x", f"{mine}0y", "zzz", f"{others}0", f"{mine}f", "body", f"{mine}0yafter3"):
        inbox_store.add(replace(DELIVERY, delivery_id=delivery_id))
    inbox_store.add(replace(DELIVERY, source=Source.PAGERDUTY, delivery_id=f"{mine}0elsewhere"))
    with engine.connect() as reader:
        ids = dict(reader.execute(sa.select(inbox_table.c.delivery_id, inbox_table.c.id)).all())
    assert (ids[f"{mine}0yafter3"], f"{mine}0yafter3") == inbox_store.newest_of(Source.TRUTHVOUCH, mine)
    assert (ids[f"{others}0"], f"{others}0") == inbox_store.newest_of(Source.TRUTHVOUCH, others)


def test_both_partners_may_use_the_same_id(inbox_store):
    assert (True, True) == (inbox_store.add(DELIVERY), inbox_store.add(replace(DELIVERY, source=Source.PAGERDUTY)))


def test_what_was_stored_is_what_came(inbox_store, engine):
    plain = replace(DELIVERY, delivery_id="evt-2", body=bytes(range(256)), request_id="", content_encoding=None)
    inbox_store.add(DELIVERY)
    inbox_store.add(plain)
    with engine.connect() as reader:
        rows = reader.execute(sa.select(inbox_table).order_by(inbox_table.c.id)).all()
    assert [DELIVERY, plain] == [delivery_of(row) for row in rows]


def delivery_of(row: sa.Row) -> Delivery:
    return Delivery(
        Source(row.source), row.delivery_id, row.received_at, bytes(row.body), row.request_id, row.content_encoding
    )


def test_threads_that_bring_the_same_delivery_hear_new_exactly_once(inbox_store):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: inbox_store.add(DELIVERY), range(40)))
    assert [False] * 39 + [True] == sorted(answers)


def test_threads_that_bring_different_deliveries_store_each(inbox_store, engine):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: inbox_store.add(numbered(n)), range(100)))
    assert [True] * 100 == answers
    assert {f"evt-{n}" for n in range(100)} == set(stored(engine))


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "é" * 300, "x" * 5000, "", "日本", "\x7f"])
def test_any_id_a_sender_can_write_is_stored_and_known_again(inbox_store, text):
    odd = replace(DELIVERY, delivery_id=text)
    assert (True, False, True) == (
        inbox_store.add(odd),
        inbox_store.add(odd),
        inbox_store.add(replace(odd, delivery_id=text + "!")),
    )


def test_odd_request_ids_and_encodings_do_not_keep_a_delivery_out(inbox_store):
    assert inbox_store.add(replace(DELIVERY, request_id="\udcff\0" * 300, content_encoding="\ud801\0"))


def test_a_body_of_one_mebibyte_is_stored(inbox_store):
    assert inbox_store.add(replace(DELIVERY, body=b"\0" * 2**20))


def test_a_store_without_its_table_refuses_and_accepts_once_it_is_there(tmp_path, url, engine):
    inbox_metadata.drop_all(engine)
    inbox_store = inbox_for(Place(tmp_path, url))
    for refused in (lambda: inbox_store.add(DELIVERY), inbox_store.check_writable):
        with pytest.raises(StoreUnavailable):
            refused()
    inbox_metadata.create_all(engine)
    assert inbox_store.add(DELIVERY)
    inbox_store.close()


def test_checking_leaves_nothing_behind(inbox_store, engine):
    inbox_store.check_writable()
    inbox_store.check_writable()
    assert [] == stored(engine)


def test_a_closed_inbox_opens_again(inbox_store):
    inbox_store.add(DELIVERY)
    inbox_store.close()
    assert not inbox_store.add(DELIVERY)


FORKED = """
import os, sys, pathlib
from dataclasses import replace
from app.store.inbox import inbox_for
from tests.store.test_inbox import Place, numbered
inbox_store = inbox_for(Place(pathlib.Path(sys.argv[1]), sys.argv[2] or None))
inbox_store.add(numbered(0))
child = os.fork()
if not child:
    os._exit(0 if all(inbox_store.add(numbered(n)) for n in range(100, 150)) else 1)
mine = all(inbox_store.add(numbered(n)) for n in range(1, 50))
_, status = os.waitpid(child, 0)
inbox_store.close()
sys.exit(0 if mine and status == 0 else 1)
"""


def test_an_inbox_opened_before_a_fork_serves_both_processes(tmp_path, url, engine):
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path), url or ""], check=True, cwd=ROOT, timeout=60)
    assert {f"evt-{n}" for n in (*range(50), *range(100, 150))} == set(stored(engine))


KILLED = """
import sys, pathlib, threading
from app.store.inbox import inbox_for
from tests.store.test_inbox import Place, numbered
inbox_store = inbox_for(Place(pathlib.Path(sys.argv[1]), sys.argv[2] or None))
def pour(start):
    for n in range(start, start + 10**6):
        inbox_store.add(numbered(n))
        sys.stdout.write(f"evt-{n}\\n")
        sys.stdout.flush()
for k in range(4):
    threading.Thread(target=pour, args=(k * 10**6,)).start()
"""


def test_what_was_accepted_before_kill_9_is_there(tmp_path, url, engine):
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), url or ""]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True) as pouring:
        assert pouring.stdout is not None
        accepted = [pouring.stdout.readline().strip() for _ in range(200)]
        pouring.kill()
        accepted += [line.strip() for line in pouring.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    assert set() == set(accepted) - set(stored(engine))
    inbox_store = inbox_for(Place(tmp_path, url))
    assert inbox_store.add(numbered(-1))
    inbox_store.close()


def test_what_is_asked_past_sqlalchemy_is_found_by_an_index(engine: sa.Engine) -> None:
    """However many deliveries are there."""
    on_sqlite = engine.dialect.name == "sqlite"
    mark = "?" if on_sqlite else "%s"
    rows = [
        {"source": "bridge", "delivery_id": f"{series}-{number}", "received_at": DELIVERY.received_at, "body": b"{}"}
        for series in ("a", "z")
        for number in range(2_000)
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(inbox_table), [{"request_id": "r", **row} for row in rows])
        connection.exec_driver_sql("ANALYZE")
        explain = "EXPLAIN QUERY PLAN " if on_sqlite else "EXPLAIN "
        newest = connection.exec_driver_sql(explain + newest_statement(mark), ("bridge", *bounds_of("x-"))).all()
    (step,) = [str(row[-1]) for row in newest if "SEARCH" in str(row) or "Index Cond" in str(row)]
    assert ("delivery_id>?" if on_sqlite else "(delivery_id >=") in step.replace(")::text", "").replace("((", "(")
