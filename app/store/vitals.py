"""Reads how the bridge is, without locking anybody out: for ``readyz`` and ``metrics``."""

from datetime import UTC, datetime

import sqlalchemy as sa

from app.domain.holds import shut_doors
from app.domain.names import Side, instant
from app.domain.subscription import from_text
from app.ports import Pulse, StoreUnavailable, Tx
from app.store.arrivals import CURSOR
from app.store.database import Database, connection
from app.store.letters import IS_PAGE
from app.store.marks import StoredMarks
from app.store.schema import OPEN_DEAD_LETTER, Instant, inbox, links
from app.store.secrets_seen import refusals

WORKER_SEEN = "worker.seen"
SUBSCRIPTION = "subscription.health"


class StoredVitals:
    """A pulse from the bridge's tables and its inbox (the same engine twice on PostgreSQL)."""

    def __init__(self, bridge: Database, inbox_engine: sa.Engine) -> None:
        self._bridge = bridge
        self._inbox = inbox_engine
        self._cursor_mode = inbox_engine.dialect.name == "sqlite"

    def read(self) -> Pulse:
        """The pulse now. Raises ``StoreUnavailable``."""
        try:
            with self._bridge.read() as tx, self._inbox.connect() as reader:
                return self._pulse(tx, reader)
        except sa.exc.DBAPIError as fault:
            raise StoreUnavailable(str(fault.orig)) from fault

    def _pulse(self, tx: Tx, reader: sa.Connection) -> Pulse:
        facts = StoredMarks().all(tx)
        untaken = inbox.c.id > int(facts.get(CURSOR, 0)) if self._cursor_mode else inbox.c.taken_at.is_(None)
        rows, first = reader.execute(sa.select(sa.func.count(), sa.func.min(inbox.c.received_at)).where(untaken)).one()
        owed, oldest = _owed(tx)
        page = sa.select(sa.func.min(links.c.pagerduty_since)).where(
            links.c.pagerduty_since.is_not(None), links.c.paged, links.c.incident_status.is_(None)
        )
        oldest_page = connection(tx).execute(page).scalar_one()
        counts = sa.select(sa.func.count(), sa.func.sum(sa.case((IS_PAGE, 1), else_=0)))
        dead, dead_pages = connection(tx).execute(counts.where(OPEN_DEAD_LETTER)).one()
        frozen = connection(tx).execute(sa.select(sa.func.count()).where(links.c.frozen_at.is_not(None))).scalar_one()
        arrived = Instant().process_result_value(first, reader.dialect)
        return Pulse(
            worker_seen_at=instant(facts.get(WORKER_SEEN)),
            waiting=rows + owed,
            oldest_waiting_at=min((at for at in (arrived, oldest) if at), default=None),
            oldest_page_at=min((at for at in (arrived, oldest_page) if at), default=None),
            dead=dead,
            dead_pages=dead_pages or 0,
            truthvouch_seen_at=_last_seen(reader, Side.TRUTHVOUCH),
            pagerduty_seen_at=_last_seen(reader, Side.PAGERDUTY),
            holds=shut_doors(facts, datetime.now(UTC)),
            frozen=frozen,
            subscription=from_text(facts.get(SUBSCRIPTION)),
            refused={side: found for side in Side if (found := refusals(facts, side))},
        )


def _owed(tx: Tx) -> tuple[int, datetime | None]:
    total, oldest = 0, None
    for since in (links.c.truthvouch_since, links.c.pagerduty_since):
        count, first = (
            connection(tx).execute(sa.select(sa.func.count(), sa.func.min(since)).where(since.is_not(None))).one()
        )
        total += count
        oldest = min((at for at in (oldest, first) if at), default=None)
    return total, oldest


def _last_seen(reader: sa.Connection, side: Side) -> datetime | None:
    newest = sa.select(inbox.c.received_at).where(inbox.c.source == side).order_by(inbox.c.id.desc()).limit(1)
    seen = reader.execute(newest).scalar_one_or_none()
    return Instant().process_result_value(seen, reader.dialect)
