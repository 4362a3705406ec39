"""Deliveries that have been owed for long, in the order of their age: somebody asks whether they are still made."""

from datetime import datetime

import sqlalchemy as sa

from app.domain.names import LinkId, Side
from app.ports import Tx
from app.store import codec
from app.store.database import connection
from app.store.schema import EPOCH, links


class StoredOverdue:
    """Reads them as they are, locking nobody out."""

    def overdue(
        self, tx: Tx, side: Side, before: datetime, after: tuple[datetime, LinkId] | None, limit: int
    ) -> list[tuple[datetime, LinkId, int | None]]:
        """Deliveries towards that side owed since before that instant, the oldest first: since when, of which link,
        and their number; None where the link cannot be read. ``after``: where the last page ended."""
        since = links.c.truthvouch_since if side is Side.TRUTHVOUCH else links.c.pagerduty_since
        at, link_id = after or (EPOCH, LinkId(0))
        further = sa.or_(since > at, sa.and_(since == at, links.c.id > link_id))
        page = sa.select(since, links.c.id, links.c.state).where(since >= at, since < before, further)
        rows = connection(tx).execute(page.order_by(since, links.c.id).limit(limit))
        return [(row[0], LinkId(row.id), _number(row.state, side)) for row in rows]


def _number(state: str, side: Side) -> int | None:
    try:
        lane = codec.load_link(state).lane(side)
    except ValueError:
        return None
    return lane.seq if lane.outstanding else None
