"""The escalations of incidents: what is looked up is a column, the rest is one JSON value."""

from datetime import datetime

import sqlalchemy as sa

from app.domain.escalation.state import Escalation, State
from app.domain.model.types import IncidentId, Status
from app.domain.sync.link import Link
from app.ports import Tx
from app.store import codec
from app.store.database import connection, upsert
from app.store.prepared import Prepared
from app.store.schema import OPEN_PAGED, UNFINISHED, escalations, links

_select = sa.select(escalations.c.state)
_of_incident = _select.where(escalations.c.incident_id == sa.bindparam("wanted"))
_peek, _find = Prepared(_of_incident), Prepared(_of_incident.with_for_update())
_of_dead_letter = Prepared(_select.where(escalations.c.letter_id == sa.bindparam("wanted")).with_for_update())
_due = (
    sa.select(escalations.c.incident_id)
    .where(escalations.c.due_at.is_not(None), escalations.c.due_at <= sa.bindparam("now"))
    .order_by(escalations.c.due_at)
    .limit(sa.bindparam("at_most"))
)
_list = _select.order_by(escalations.c.due_at.asc().nulls_last(), escalations.c.changed_at.desc())
_escalated = sa.exists().where(escalations.c.incident_id == links.c.incident_id)
_without_escalation = (
    sa.select(links.c.state)
    .where(
        OPEN_PAGED,
        links.c.first_seen_at >= sa.bindparam("since"),
        links.c.status != Status.RESOLVED.value,
        links.c.incident_id.is_not(None),
        ~_escalated,
    )
    .order_by(links.c.id)
)


class StoredEscalations:
    """Implements ``ports.EscalationStore``."""

    def find(self, tx: Tx, incident_id: IncidentId) -> Escalation | None:
        return _one(tx, _find, incident_id)

    def peek(self, tx: Tx, incident_id: IncidentId) -> Escalation | None:
        return _one(tx, _peek, incident_id)

    def of_dead_letter(self, tx: Tx, dead_letter_id: int) -> Escalation | None:
        return _one(tx, _of_dead_letter, dead_letter_id)

    def due(self, tx: Tx, now: datetime, limit: int) -> tuple[IncidentId, ...]:
        rows = connection(tx).execute(_due, {"now": now, "at_most": limit}).scalars()
        return tuple(IncidentId(row) for row in rows)

    def save(self, tx: Tx, escalation: Escalation, at: datetime) -> None:
        row = {
            "link_id": escalation.link_id,
            "finished": escalation.state is State.FINISHED,
            "due_at": escalation.due_at,
            "letter_id": escalation.dead_letter_id,
            "changed_at": at,
            "state": codec.ESCALATION.dump(escalation),
        }
        upsert(connection(tx), escalations, {"incident_id": escalation.incident_id}, row)

    def without_escalation(self, tx: Tx, since: datetime) -> tuple[Link, ...]:
        return tuple(map(codec.LINK.load, connection(tx).execute(_without_escalation, {"since": since}).scalars()))

    def listed(self, tx: Tx, limit: int, every: bool = False) -> tuple[Escalation, ...]:
        query = _list if every else _list.where(UNFINISHED)
        return tuple(map(codec.ESCALATION.load, connection(tx).execute(query.limit(limit)).scalars()))


def _one(tx: Tx, query: Prepared, wanted: str | int) -> Escalation | None:
    row = query.row(tx, {"wanted": wanted})
    return None if row is None else codec.ESCALATION.load(row.state)
