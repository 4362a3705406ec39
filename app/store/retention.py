"""What is older than anybody needs is removed, in small transactions, so that writers get their turn in between.

Of an alert that somebody still waits for the newest lines stay, and what an open dead letter would be replayed from.
Links stay: an alert has one for ever. Freed pages of a SQLite file are used again, so it grows to one window's worth of
rows and no further; giving the space back (``VACUUM``) would lock the writers out for as long as it takes to copy the
file.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.ports import Tx
from app.store.arrivals import CURSOR
from app.store.database import Database, connection
from app.store.marks import StoredMarks
from app.store.schema import EPOCH, OPEN_PAGED, Instant, escalations, inbox, letters, links, strays, timeline
from app.store.write_turn import WriteTurn

BATCH_ROWS = 500
INBOX_ROWS = 100
"""Bodies may be large, and while SQLite frees their pages a delivery that arrives has to wait."""
TURN_SECONDS = 0.75

Sweep = Callable[[datetime], Iterator[int]]
"""Removes what is older than an instant; each number is the rows of one transaction. Raises ``StoreUnavailable``."""

LINES_KEPT = 200
"""Of one link that somebody waits for, beside those that are young: one that flaps for months fills no disk."""

_is_waited_for = sa.or_(
    OPEN_PAGED,
    links.c.truthvouch_since.is_not(None),
    links.c.pagerduty_since.is_not(None),
    sa.exists().where(letters.c.link_id == links.c.id, letters.c.closed_at.is_(None)),
)
_newest_lines = sa.select(timeline.c.id).where(timeline.c.link_id == links.c.id).order_by(timeline.c.id.desc())
_first_kept = sa.select(
    links.c.id, sa.func.coalesce(_newest_lines.limit(1).offset(LINES_KEPT - 1).scalar_subquery(), 0)
).where(links.c.id.in_(sa.bindparam("ids", expanding=True)), _is_waited_for)
_old_lines = (
    sa.select(timeline.c.at, timeline.c.id, timeline.c.link_id).order_by(timeline.c.at, timeline.c.id).limit(BATCH_ROWS)
)


class StoredRetention:
    """The brooms of one store, by what they sweep."""

    def __init__(self, bridge: Database, inbox_engine: sa.Engine, data_dir: Path) -> None:
        """``inbox_engine``: over the inbox; the same database as the bridge on PostgreSQL."""
        self._bridge, self._inbox = bridge, Database(inbox_engine)
        self._marks = StoredMarks()
        self._in_turn = WriteTurn(data_dir / "inbox.db", TURN_SECONDS) if self._apart else None

    @property
    def _apart(self) -> bool:
        return self._inbox.engine.dialect.name == "sqlite"

    def sweeps(self) -> Mapping[str, Sweep]:
        """Every table's broom."""
        return {
            "inbox": self._sweep_inbox,
            "strays": partial(self._sweep, strays, strays.c.at),
            "timeline": self._sweep_timeline,
            "letters": partial(self._sweep, letters, letters.c.closed_at),
            "escalations": self._sweep_escalations,
        }

    def _sweep(self, table: sa.Table, at: sa.Column[Any], before: datetime) -> Iterator[int]:
        old = sa.select(table.c.id).where(at < before).order_by(at).limit(BATCH_ROWS)
        while True:
            with self._bridge.begin() as tx:
                ids = connection(tx).execute(old).scalars().all()
                if ids:
                    connection(tx).execute(sa.delete(table).where(table.c.id.in_(ids)))
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

    def _sweep_escalations(self, before: datetime) -> Iterator[int]:
        """Those that are finished, and of which no dead letter waits for a decision."""
        over = sa.and_(escalations.c.finished, escalations.c.letter_id.is_(None), escalations.c.changed_at < before)
        old = sa.select(escalations.c.incident_id).where(over).order_by(escalations.c.changed_at).limit(BATCH_ROWS)
        while True:
            with self._bridge.begin() as tx:
                ids = connection(tx).execute(old).scalars().all()
                connection(tx).execute(sa.delete(escalations).where(escalations.c.incident_id.in_(ids)))
            if ids:
                yield len(ids)
            if len(ids) < BATCH_ROWS:
                return

    def _sweep_inbox(self, before: datetime) -> Iterator[int]:
        """Only what is taken, and never the row last taken: by that the intake knows its inbox again."""
        last: tuple[datetime, int] = (EPOCH, 0)
        while True:
            with self._bridge.read() as tx:
                rows = self._old_rows(tx, before, last)
                needed = self._needed(tx, [inbox_id for _, inbox_id in rows])
            if not rows:
                return
            last = rows[-1]
            if gone := [inbox_id for _, inbox_id in rows if inbox_id not in needed]:
                self._remove(gone)
                yield len(gone)

    def _old_rows(self, tx: Tx, before: datetime, last: tuple[datetime, int]) -> list[tuple[datetime, int]]:
        """By their age, and not by their number: that would end in a look at every row that is young."""
        at = sa.type_coerce(inbox.c.received_at, Instant)
        old = sa.select(at, inbox.c.id).where(at < before, sa.tuple_(at, inbox.c.id) > last)
        old = old.order_by(inbox.c.received_at, inbox.c.id).limit(INBOX_ROWS)
        if not self._apart:
            return _pairs(connection(tx).execute(old.where(inbox.c.taken_at.is_not(None))))
        taken = old.where(inbox.c.id < int(self._marks.read(tx, CURSOR) or 0))
        with self._inbox.read() as reader:
            return _pairs(connection(reader).execute(taken))

    def _needed(self, tx: Tx, ids: list[int]) -> set[int]:
        held = sa.select(letters.c.inbox_id).where(letters.c.inbox_id.in_(ids), letters.c.closed_at.is_(None))
        return set(connection(tx).execute(held).scalars())

    def _remove(self, ids: list[int]) -> None:
        if self._in_turn is None:
            return self._delete(ids)
        with self._in_turn:
            return self._delete(ids)

    def _delete(self, ids: list[int]) -> None:
        with self._inbox.begin() as tx:
            connection(tx).execute(sa.delete(inbox).where(inbox.c.id.in_(ids)))


def _pairs(rows: Any) -> list[tuple[datetime, int]]:
    return [(row[0], row[1]) for row in rows]
