"""The climbs of incidents: what is looked up is a column, the rest is one JSON value."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from app.domain.escalation import Climb, State
from app.domain.link import Link
from app.domain.names import IncidentId, Status
from app.ports import Tx
from app.store import codec
from app.store.database import connection
from app.store.schema import OPEN_PAGED, UNFINISHED, escalations, links

_select = sa.select(escalations.c.state)
_peek = _select.where(escalations.c.incident_id == sa.bindparam("wanted"))
_find = _peek.with_for_update()
_of_letter = _select.where(escalations.c.letter_id == sa.bindparam("wanted")).with_for_update()
_due = (
    sa.select(escalations.c.incident_id)
    .where(escalations.c.due_at.is_not(None), escalations.c.due_at <= sa.bindparam("now"))
    .order_by(escalations.c.due_at)
    .limit(sa.bindparam("at_most"))
)
_list = _select.order_by(escalations.c.due_at.asc().nulls_last(), escalations.c.changed_at.desc())
_climbing = sa.exists().where(escalations.c.incident_id == links.c.incident_id)
_missing = (
    sa.select(links.c.state)
    .where(
        OPEN_PAGED,
        links.c.first_seen_at >= sa.bindparam("since"),
        links.c.status != Status.RESOLVED.value,
        links.c.incident_id.is_not(None),
        ~_climbing,
    )
    .order_by(links.c.id)
)
_inserts: Mapping[str, Any] = {"sqlite": sqlite_insert, "postgresql": postgres_insert}


class StoredClimbs:
    """Implements ``ports.Climbs``."""

    def find(self, tx: Tx, incident_id: IncidentId) -> Climb | None:
        """The climb of this incident, locked, or None."""
        return _one(tx, _find, incident_id)

    def peek(self, tx: Tx, incident_id: IncidentId) -> Climb | None:
        """The climb as it is, or None."""
        return _one(tx, _peek, incident_id)

    def of_letter(self, tx: Tx, letter_id: int) -> Climb | None:
        """The climb that became this dead letter, or None."""
        return _one(tx, _of_letter, letter_id)

    def due(self, tx: Tx, now: datetime, limit: int) -> tuple[IncidentId, ...]:
        """Incidents to look at by now."""
        rows = connection(tx).execute(_due, {"now": now, "at_most": limit}).scalars()
        return tuple(IncidentId(row) for row in rows)

    def save(self, tx: Tx, climb: Climb, at: datetime) -> None:
        """Write it over whatever was there."""
        row = {
            "link_id": climb.link_id,
            "finished": climb.state is State.FINISHED,
            "due_at": climb.due_at,
            "letter_id": climb.letter_id,
            "changed_at": at,
            "state": codec.dump_climb(climb),
        }
        made = _inserts[connection(tx).dialect.name](escalations).values(incident_id=climb.incident_id, **row)
        connection(tx).execute(made.on_conflict_do_update(index_elements=["incident_id"], set_=row))

    def missing(self, tx: Tx, since: datetime) -> tuple[Link, ...]:
        """Open links since then, with an incident that has no climb."""
        return tuple(map(codec.load_link, connection(tx).execute(_missing, {"since": since}).scalars()))

    def listed(self, tx: Tx, limit: int, every: bool = False) -> tuple[Climb, ...]:
        """Those that are not finished, or all."""
        query = _list if every else _list.where(UNFINISHED)
        rows = connection(tx).execute(query.limit(limit)).scalars()
        return tuple(codec.load_climb(row) for row in rows)


def _one(tx: Tx, query: sa.Select[Any], wanted: str | int) -> Climb | None:
    row = connection(tx).execute(query, {"wanted": wanted}).scalar_one_or_none()
    return None if row is None else codec.load_climb(row)
