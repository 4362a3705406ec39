"""What people read: the time line of one matter, and the dead letters."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from app.ports import Tx
from app.store import codec
from app.store.database import connection
from app.store.schema import letters, links, timeline

Row = Mapping[str, Any]


class StoredRecords:
    """Reads only; locks nobody out."""

    def timeline(self, tx: Tx, wanted: str) -> tuple[Row, ...]:
        """Every line about this alert id or incident id, oldest first; empty when neither is known."""
        matters = sa.select(links.c.id).where(sa.or_(links.c.alert_id == wanted, links.c.incident_id == wanted))
        query = (
            sa.select(
                timeline.c.at,
                timeline.c.event,
                timeline.c.alert_id,
                timeline.c.incident_id,
                timeline.c.author,
                timeline.c.facts,
            )
            .where(sa.or_(timeline.c.link_id.in_(matters), timeline.c.alert_id == wanted))
            .order_by(timeline.c.id)
        )
        rows = connection(tx).execute(query).mappings()
        return tuple({**row, "facts": codec.load_facts(row["facts"])} for row in rows)

    def dead_letters(self, tx: Tx) -> tuple[Row, ...]:
        """Every dead letter nobody has replayed or discarded, oldest first."""
        query = (
            sa.select(
                letters.c.id,
                letters.c.at,
                letters.c.kind,
                letters.c.reason,
                letters.c.attempts,
                letters.c.side,
                links.c.alert_id,
                links.c.incident_id,
                letters.c.inbox_id,
            )
            .select_from(letters.outerjoin(links, links.c.id == letters.c.link_id))
            .where(letters.c.closed_at.is_(None))
            .order_by(letters.c.id)
        )
        return tuple(dict(row) for row in connection(tx).execute(query).mappings())
