"""Evidence as it is erased: which links are due, what else of the store repeats it, the raw bodies, and the logs.

``kept_bodies`` says which rows of the inbox are about which alert or incident. A body is erased in the inbox's own
transactions, so what is to be erased is written down first (``due``), and struck off only when no file holds it any
more: whatever ends the worker in between, the next one goes on.

SQLite overwrites what is deleted (``secure_delete``), but its log keeps older copies of pages until it is truncated.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.domain.model.types import LinkId
from app.ports import NO_BODY, TakenBody, Tx
from app.store import codec, schema
from app.store.database import Database, connection
from app.store.inbox_sqlite import WriteLock
from app.store.links import StoredLinks, number_before
from app.store.plain import PRAGMAS
from app.store.schema import OPEN_DEAD_LETTER, dead_letters, evidence, inbox, kept_bodies, links, timeline

BODIES = 100
"""Of one transaction: while they are written a delivery that arrives has to wait."""
LOCK_SECONDS = 0.75
BUSY_MILLISECONDS = 200
"""How long the truncation of a log waits for whoever reads or writes; meanwhile nobody else may write."""

_of_subjects = kept_bodies.c.subject.in_(sa.bindparam("subjects", expanding=True))
_make_due = sa.update(kept_bodies).where(_of_subjects).values(due=sa.true())
_count = sa.select(sa.func.count(sa.distinct(kept_bodies.c.inbox_id))).where(_of_subjects)
_due = (
    sa.select(kept_bodies.c.inbox_id)
    .distinct()
    .where(sa.text("due"), kept_bodies.c.inbox_id > sa.bindparam("after"))
    .order_by(kept_bodies.c.inbox_id)
    .limit(BODIES)
)
_strike_off = sa.delete(kept_bodies).where(kept_bodies.c.inbox_id.in_(sa.bindparam("ids", expanding=True)))
_bodies = sa.select(inbox.c.id, inbox.c.body).where(
    inbox.c.id.in_(sa.bindparam("ids", expanding=True)), inbox.c.erased_sha256.is_(None)
)
_erase = (
    sa.update(inbox).where(inbox.c.id == sa.bindparam("row_id")).values(body=b"", erased_sha256=sa.bindparam("digest"))
)
_lines = sa.select(timeline.c.id, timeline.c.author, timeline.c.facts).where(
    timeline.c.link_id == sa.bindparam("wanted")
)
_change_line = (
    sa.update(timeline)
    .where(timeline.c.id == sa.bindparam("row_id"))
    .values(author=sa.bindparam("new_author"), facts=sa.bindparam("new_facts"))
)
_details = sa.select(dead_letters.c.id, dead_letters.c.detail).where(
    dead_letters.c.link_id == sa.bindparam("wanted"), dead_letters.c.detail != ""
)
_change_detail = (
    sa.update(dead_letters).where(dead_letters.c.id == sa.bindparam("row_id")).values(detail=sa.bindparam("new_detail"))
)
_over = (
    sa.select(evidence.c.link_id)
    .select_from(evidence.join(links, evidence.c.link_id == links.c.id))
    .where(
        evidence.c.link_id > sa.bindparam("after"),
        evidence.c.link_id <= sa.bindparam("newest"),
        links.c.first_seen_at < sa.bindparam("before", type_=schema.Instant),
        sa.func.coalesce(links.c.incident_status, "resolved") == "resolved",
        # A page that is pending, and a silence whose end decides anew, read the texts.
        links.c.truthvouch_since.is_(None),
        links.c.pagerduty_since.is_(None),
        ~sa.and_(links.c.silenced, ~links.c.paged, links.c.status != "resolved"),
        ~sa.exists().where(dead_letters.c.link_id == links.c.id, OPEN_DEAD_LETTER),
        ~sa.exists().where(
            timeline.c.link_id == links.c.id, timeline.c.at >= sa.bindparam("before", type_=schema.Instant)
        ),
    )
    .order_by(evidence.c.link_id)
    .limit(sa.bindparam("at_most"))
)


class StoredEvidence:
    """Implements ``ports.Evidence``."""

    def over(self, tx: Tx, before: datetime, after: LinkId, limit: int) -> tuple[LinkId, ...]:
        newest = connection(tx).execute(sa.select(number_before(before))).scalar_one()
        values = {"before": before, "after": after, "newest": newest, "at_most": limit}
        return tuple(map(LinkId, connection(tx).execute(_over, values).scalars()))

    def take_out(self, tx: Tx, link_id: LinkId, taken_out: Callable[[str], str]) -> None:
        changed: list[dict[str, Any]] = []
        for row in connection(tx).execute(_lines, {"wanted": link_id}):
            author, facts = row.author and taken_out(row.author), _freed(row.facts, taken_out)
            if (author, facts) != (row.author, row.facts):
                changed.append({"row_id": row.id, "new_author": author, "new_facts": facts})
        if changed:
            connection(tx).execute(_change_line, changed)
        found = connection(tx).execute(_details, {"wanted": link_id}).all()
        if said := [{"row_id": row.id, "new_detail": taken_out(row.detail)} for row in found]:
            connection(tx).execute(_change_detail, said)

    def make_due(self, tx: Tx, subjects: Sequence[str]) -> None:
        connection(tx).execute(_make_due, {"subjects": list(subjects)})
        StoredLinks().take_bodies(tx, [TakenBody(NO_BODY, subjects[0], due=True)])


def count_bodies(tx: Tx, subjects: Sequence[str]) -> int:
    """How many bodies about these are kept. Until no file holds what is erased, it counts as one."""
    return connection(tx).execute(_count, {"subjects": list(subjects)}).scalar_one()


def _freed(facts: str, taken_out: Callable[[str], str]) -> str:
    """Facts without repetitions, each text by itself: inside JSON a text is written otherwise."""

    def freed(value: Any) -> Any:
        match value:
            case str():
                return taken_out(value)
            case dict():
                return {name: freed(one) for name, one in value.items()}
            case list():
                return [freed(one) for one in value]
            case _:
                return value

    known = codec.FACTS.load(facts)
    after = freed(known)
    return facts if after == known else codec.FACTS.dump(after)


class StoredBodies:
    """Raw bodies in the inbox, and the logs of both stores. Everything raises ``StoreUnavailable``."""

    def __init__(self, bridge: Database, inbox_engine: sa.Engine, data_dir: Path) -> None:
        """``inbox_engine``: over the inbox; the same database as the bridge on PostgreSQL."""
        self._bridge, self._inbox = bridge, Database(inbox_engine)
        self._write_lock = (
            WriteLock(data_dir / "inbox.db", LOCK_SECONDS) if inbox_engine.dialect.name == "sqlite" else None
        )

    def erase(self, ids: Sequence[int]) -> None:
        """Erase these bodies; of each its digest stays."""
        with self._write_lock or nullcontext(), self._inbox.begin() as tx:
            rows = connection(tx).execute(_bodies, {"ids": list(ids)}).all()
            erased = [{"row_id": row.id, "digest": hashlib.sha256(bytes(row.body)).hexdigest()} for row in rows]
            if erased:
                connection(tx).execute(_erase, erased)

    def strike_off(self, ids: Sequence[int]) -> None:
        """These bodies are kept no more, neither in the inbox nor in a log."""
        with self._bridge.begin() as tx:
            connection(tx).execute(_strike_off, {"ids": list(ids)})

    def erase_due(self) -> Iterator[Sequence[int]]:
        """Erase every body that is due; the numbers of each transaction, which are then to be struck off."""
        after = NO_BODY - 1
        while True:
            with self._bridge.read() as tx:
                ids = connection(tx).execute(_due, {"after": after}).scalars().all()
            if not ids:
                return
            self.erase(ids)
            yield ids
            after = ids[-1]

    def truncate_logs(self) -> bool:
        """Have no log hold older copies of pages. False: somebody reads or writes; it has to be tried again."""
        if self._write_lock is None:
            return True
        done = _truncated(self._bridge.engine)
        with self._write_lock:
            return _truncated(self._inbox.engine) and done


def _truncated(engine: sa.Engine) -> bool:
    with Database(engine).read() as tx:
        ask = connection(tx).exec_driver_sql
        ask(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")
        try:
            return not ask("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        finally:
            ask(f"PRAGMA busy_timeout={PRAGMAS['busy_timeout']}")
