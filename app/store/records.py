"""What people read: dead letters, links, and the time line of one matter."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.domain.escalation import Climb
from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, LinkId, number_meant
from app.ports import Page, Row, Tx
from app.store import codec
from app.store.database import connection
from app.store.escalations import StoredClimbs
from app.store.open_links import number_before
from app.store.schema import CLOSED_LINK, EPOCH, OPEN_DEAD_LETTER, OPEN_LINK, UNLINKED_LINE, letters, links, timeline

_letters = sa.select(
    letters.c.id,
    letters.c.at,
    letters.c.kind,
    letters.c.reason,
    letters.c.attempts,
    letters.c.side,
    letters.c.effect,
    letters.c.detail,
    links.c.alert_id,
    links.c.incident_id,
    letters.c.inbox_id,
    letters.c.closed_at,
    letters.c.outcome,
    letters.c.closed_by,
).select_from(letters.outerjoin(links, links.c.id == letters.c.link_id))
_links = sa.select(
    links.c.id,
    links.c.alert_id,
    links.c.incident_id,
    links.c.first_seen_at,
    links.c.status,
    links.c.alert_status,
    links.c.incident_status,
    links.c.paged,
    links.c.truthvouch_since,
    links.c.pagerduty_since,
    links.c.frozen_at,
)
_line = sa.select(
    timeline.c.id,
    timeline.c.at,
    timeline.c.event,
    timeline.c.alert_id,
    timeline.c.incident_id,
    timeline.c.author,
    timeline.c.facts,
)
_state = sa.select(links.c.id, links.c.state)


class StoredRecords:
    """Reads only; locks nobody out. An id that no store could hold is an id that nothing has."""

    def letters(self, tx: Tx, page: Page, closed: bool = False) -> tuple[Row, ...]:
        """Those that wait for a decision, or those that had one; oldest first."""
        decided = letters.c.closed_at.is_not(None) if closed else OPEN_DEAD_LETTER
        return _rows(tx, _paged(_letters.where(decided), letters.c.id, page))

    def letter(self, tx: Tx, letter_id: int) -> Row | None:
        """One dead letter with everything that is known of it."""
        query = _letters.add_columns(letters.c.link_id).where(letters.c.id == letter_id)
        return next(iter(_rows(tx, query)), None)

    def links(
        self,
        tx: Tx,
        page: Page,
        is_open: bool | None = None,
        frozen: bool | None = None,
        since: datetime | None = None,
    ) -> tuple[Row, ...]:
        """Links, newest first; None = whether or not. One is open as long as either side is."""
        query = _links if since is None else _since(since)
        if page.after:
            query = query.where(links.c.id < page.after)
        if is_open is not None:
            query = query.where(OPEN_LINK if is_open else CLOSED_LINK)
        if frozen is not None:
            query = query.where(links.c.frozen_at.is_not(None) if frozen else links.c.frozen_at.is_(None))
        return _rows(tx, query.order_by(links.c.id.desc()).limit(page.limit))

    def link(self, tx: Tx, alert_id: AlertId) -> Link | None:
        """The link of an alert."""
        return next(iter(self._those(tx, links.c.alert_id == alert_id)), None) if _is_storable(alert_id) else None

    def link_of(self, tx: Tx, link_id: LinkId) -> Link | None:
        """The link of that number."""
        return next(iter(self._those(tx, links.c.id == link_id)), None)

    def on_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        """Every link on this incident, oldest first."""
        return self._those(tx, links.c.incident_id == incident_id)

    def about(self, tx: Tx, wanted: str) -> tuple[Link, ...]:
        """Links of this alert id or incident id, else of this incident number (``2``, ``#2``), oldest first."""
        if not _is_storable(wanted):
            return ()
        named = self._those(tx, sa.or_(links.c.alert_id == wanted, links.c.incident_id == wanted))
        number = number_meant(wanted)
        return named if named or number is None else self.numbered(tx, number)

    def numbered(self, tx: Tx, number: int) -> tuple[Link, ...]:
        """Links of the incident with this number."""
        return self._those(tx, links.c.incident_number == number)

    def climb(self, tx: Tx, incident_id: IncidentId) -> Climb | None:
        """How the escalation of this incident stands."""
        return StoredClimbs().peek(tx, incident_id) if _is_storable(incident_id) else None

    def climbs(self, tx: Tx, limit: int, every: bool = False) -> tuple[Climb, ...]:
        """Escalations under way, or all that are kept."""
        return StoredClimbs().listed(tx, limit, every)

    def timeline(self, tx: Tx, wanted: str, page: Page) -> tuple[Row, ...]:
        """Every line about this alert id or incident id, oldest first."""
        if not _is_storable(wanted):
            return ()
        matters = sa.select(links.c.id).where(sa.or_(links.c.alert_id == wanted, links.c.incident_id == wanted))
        found: Sequence[int] = connection(tx).execute(matters).scalars().all()
        number = number_meant(wanted)
        if not found and number is not None:
            found = [link.link_id for link in self.numbered(tx, number)]
        # Whatever is about an alert that has no link, or about an incident that none is on any more.
        unlinked = sa.or_(sa.and_(UNLINKED_LINE, timeline.c.alert_id == wanted), timeline.c.incident_id == wanted)
        about = timeline.c.link_id.in_(found) if found else unlinked
        rows = _rows(tx, _paged(_line.where(about), timeline.c.id, page))
        return tuple({**row, "facts": codec.load_facts(row["facts"])} for row in rows)

    def _those(self, tx: Tx, which: sa.ColumnElement[bool]) -> tuple[Link, ...]:
        rows = connection(tx).execute(_state.where(which).order_by(links.c.id))
        return tuple(replace(codec.load_link(row.state), link_id=LinkId(row.id)) for row in rows)


def _rows(tx: Tx, query: sa.Select[Any]) -> tuple[Row, ...]:
    return tuple(dict(row) for row in connection(tx).execute(query).mappings())


def _since(since: datetime) -> sa.Select[Any]:
    """Where they begin is looked up, so that no older ones are looked at."""
    since = max(since, EPOCH)
    return _links.where(links.c.first_seen_at >= since, links.c.id > number_before(since))


def _paged(query: sa.Select[Any], number: sa.ColumnElement[int], page: Page) -> sa.Select[Any]:
    return query.where(number > page.after).order_by(number).limit(page.limit)


def _is_storable(text: str) -> bool:
    """PostgreSQL keeps no NUL, and neither store half a surrogate pair."""
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text
