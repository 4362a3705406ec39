"""What is older than anybody needs is removed, in small transactions, so that writers get their turn in between.

Of an alert that somebody still waits for the newest lines stay, and what an open dead letter would be replayed from.
Links stay: an alert has one for ever. Freed pages of a SQLite file are used again; what is more than a tenth of the
file is given back, some pages at a time. PostgreSQL's autovacuum sees to its own.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.ports import Tx
from app.store.database import KEY_VALUES, Database, connection
from app.store.evidence import StoredBodies
from app.store.inbox_sqlite import CURSOR, WriteLock
from app.store.schema import (
    EPOCH,
    OPEN_PAGED,
    audit,
    dead_letters,
    escalations,
    inbox,
    jobs,
    links,
    stored_silences,
    timeline,
    unmatched_events,
)

BATCH_ROWS = 500
INBOX_ROWS = 100
"""Bodies may be large, and while SQLite frees their pages a delivery that arrives has to wait."""
LOCK_SECONDS = 0.75
PAGES_AT_ONCE = 32
"""Given back in one transaction: a millisecond or some, in which writers wait."""
KEPT_FREE = 10
"""One page in so many may stay free: what comes next takes it, and a file does not shrink and grow each hour."""

Sweep = Callable[[datetime], Iterator[int]]
"""Removes what is older than an instant; each number is the rows of one transaction. Raises ``StoreUnavailable``."""
Place = tuple[datetime, int]
"""Of a row in the inbox: when it arrived, and its number."""

LINES_KEPT = 200
"""Of one link that somebody waits for, beside those that are young: one that flaps for months fills no disk."""

_is_over = sa.and_(escalations.c.finished, escalations.c.letter_id.is_(None))
"""An escalation that is finished, and of which no dead letter waits for a decision."""
_is_waited_for = sa.or_(
    OPEN_PAGED,
    links.c.truthvouch_since.is_not(None),
    links.c.pagerduty_since.is_not(None),
    sa.exists().where(dead_letters.c.link_id == links.c.id, dead_letters.c.closed_at.is_(None)),
)
_newest_lines = sa.select(timeline.c.id).where(timeline.c.link_id == links.c.id).order_by(timeline.c.id.desc())
_first_kept = sa.select(
    links.c.id, sa.func.coalesce(_newest_lines.limit(1).offset(LINES_KEPT - 1).scalar_subquery(), 0)
).where(links.c.id.in_(sa.bindparam("ids", expanding=True)), _is_waited_for)
_old_lines = (
    sa.select(timeline.c.at, timeline.c.id, timeline.c.link_id).order_by(timeline.c.at, timeline.c.id).limit(BATCH_ROWS)
)


class StoredRetention:
    """The sweeps of one store, by what they sweep."""

    def __init__(self, bridge: Database, inbox_engine: sa.Engine, data_dir: Path) -> None:
        """``inbox_engine``: over the inbox; the same database as the bridge on PostgreSQL."""
        self._bridge, self._inbox = bridge, Database(inbox_engine)
        apart = inbox_engine.dialect.name == "sqlite"
        self._write_lock = WriteLock(data_dir / "inbox.db", LOCK_SECONDS) if apart else None
        self._bodies = StoredBodies(bridge, inbox_engine, data_dir)
        self._bodies_until: tuple[datetime, int] = (EPOCH, 0)

    def sweeps(self) -> Mapping[str, Sweep]:
        """Every table's sweep."""
        return {
            "inbox": self._sweep_inbox,
            "unmatched_events": partial(self._sweep, unmatched_events.c.id, unmatched_events.c.at, sa.true()),
            "timeline": self._sweep_timeline,
            "dead_letters": partial(self._sweep, dead_letters.c.id, dead_letters.c.closed_at, sa.true()),
            "escalations": partial(self._sweep, escalations.c.incident_id, escalations.c.changed_at, _is_over),
            "jobs": partial(self._sweep, jobs.c.id, jobs.c.finished_at, sa.true()),
            "silences": partial(self._sweep, stored_silences.c.name, stored_silences.c.until, sa.true()),
            "audit": partial(self._sweep, audit.c.id, audit.c.at, sa.true()),
        }

    def sweep_bodies(self, before: datetime) -> Iterator[int]:
        """Erase the raw bodies of what was taken in and arrived before; the rows stay. A run goes on where the last one
        ended: what was held back then by an open dead letter goes with its row."""
        for rows, needed in self._old_pages(before, self._bodies_until, taken_last=True):
            gone = [inbox_id for _, inbox_id in rows if inbox_id not in needed]
            self._bodies.erase(gone)
            self._bodies.strike_off(gone)
            self._bodies_until = rows[-1]
            yield len(gone)

    def give_back(self) -> Iterator[int]:
        """Give free pages of SQLite files back to the system; each number is the pages of one transaction. The files
        themselves shrink when their logs are written home."""
        if self._write_lock is not None:
            for database, lock in ((self._bridge, nullcontext()), (self._inbox, self._write_lock)):
                while given := _give_back(database, lock):
                    yield given

    def _sweep(
        self, key: sa.Column[Any], at: sa.Column[Any], over: sa.ColumnElement[bool], before: datetime
    ) -> Iterator[int]:
        """The rows that are over and whose time ``at`` lies before."""
        old = sa.select(key).where(over, at < before).order_by(at).limit(BATCH_ROWS)
        while True:
            with self._bridge.begin() as tx:
                ids = connection(tx).execute(old).scalars().all()
                connection(tx).execute(sa.delete(key.table).where(key.in_(ids)))
            if ids:
                yield len(ids)
            if len(ids) < BATCH_ROWS:
                return

    def _sweep_timeline(self, before: datetime) -> Iterator[int]:
        """All old lines, but the newest of each link that somebody waits for."""
        last: tuple[datetime, int] = (EPOCH, 0)
        while True:
            with self._bridge.begin() as tx:
                place = sa.tuple_(timeline.c.at, timeline.c.id) > last
                rows = connection(tx).execute(_old_lines.where(timeline.c.at < before, place)).all()
                kept = dict(connection(tx).execute(_first_kept, {"ids": list({row.link_id for row in rows})}).all())
                gone = [row.id for row in rows if row.link_id not in kept or row.id < kept[row.link_id]]
                connection(tx).execute(sa.delete(timeline).where(timeline.c.id.in_(gone)))
            if gone:
                yield len(gone)
            if len(rows) < BATCH_ROWS:
                return
            last = (rows[-1].at, rows[-1].id)

    def _sweep_inbox(self, before: datetime) -> Iterator[int]:
        """Only what is taken, and never the row last taken: by that the intake knows its inbox again."""
        for rows, needed in self._old_pages(before, (EPOCH, 0)):
            if gone := [inbox_id for _, inbox_id in rows if inbox_id not in needed]:
                with self._write_lock or nullcontext(), self._inbox.begin() as tx:
                    connection(tx).execute(sa.delete(inbox).where(inbox.c.id.in_(gone)))
                self._bodies.strike_off(gone)
                yield len(gone)

    def _old_pages(
        self, before: datetime, last: Place, taken_last: bool = False
    ) -> Iterator[tuple[list[Place], set[int]]]:
        """Old rows that were taken in, a page at a time, and which of them an open dead letter would be replayed from.
        ``taken_last``: also the row that was taken last."""
        while True:
            with self._bridge.read() as tx:
                rows = self._old_rows(tx, before, last, taken_last)
                replayed_from = dead_letters.c.inbox_id.in_([inbox_id for _, inbox_id in rows])
                held = sa.select(dead_letters.c.inbox_id).where(replayed_from, dead_letters.c.closed_at.is_(None))
                needed = set(connection(tx).execute(held).scalars())
            if not rows:
                return
            yield rows, needed
            last = rows[-1]

    def _old_rows(self, tx: Tx, before: datetime, last: Place, taken_last: bool) -> list[Place]:
        """By their age, and not by their number: that would end in a read at every row that is young."""
        at = inbox.c.received_at
        old = sa.select(at, inbox.c.id).where(at < before, sa.tuple_(at, inbox.c.id) > last)
        old = old.order_by(at, inbox.c.id).limit(INBOX_ROWS)
        if self._write_lock is None:
            return [(row[0], row.id) for row in connection(tx).execute(old.where(inbox.c.taken_at.is_not(None)))]
        taken = old.where(inbox.c.id < int(KEY_VALUES.read(tx, CURSOR) or 0) + taken_last)
        with self._inbox.read() as reader:
            return [(row[0], row.id) for row in connection(reader).execute(taken)]


def _give_back(database: Database, lock: AbstractContextManager[object]) -> int:
    """A few free pages; 0 where there are not enough of them, or where the file was made by an older version, which
    keeps them until it is written anew (``truthvouch store compact``)."""
    with lock, database.begin() as tx:
        ask = connection(tx).exec_driver_sql
        free, pages = (ask(f"PRAGMA {count}").scalar_one() for count in ("freelist_count", "page_count"))
        wanted = min(free - pages // KEPT_FREE, PAGES_AT_ONCE)
        if wanted <= 0 or not ask("PRAGMA auto_vacuum").scalar_one():
            return 0
        for _ in range(wanted):  # by one: the driver stops after the first, however many it is asked for
            ask("PRAGMA incremental_vacuum(1)")
        return int(free - ask("PRAGMA freelist_count").scalar_one())
