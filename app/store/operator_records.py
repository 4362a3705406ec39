"""What people read: dead letters, links, and the time line of one matter."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from app.domain.escalation.state import Escalation
from app.domain.model.types import AlertId, IncidentId, LinkId, number_meant
from app.domain.sync.erasure import subjects_of
from app.domain.sync.link import Link
from app.ports import DeadLetterRow, LinkSummary, Page, Row, TimelineRow, Tx
from app.store import codec
from app.store.database import connection
from app.store.escalations import StoredEscalations
from app.store.evidence import count_bodies
from app.store.links import LINK_COLUMNS, number_before, read_links
from app.store.schema import (
    CLOSED_LINK,
    EPOCH,
    OPEN_DEAD_LETTER,
    OPEN_LINK,
    UNLINKED_LINE,
    dead_letters,
    links,
    timeline,
)

_dead_letters = sa.select(
    *dead_letters.c["id", "at", "kind", "reason", "attempts", "side", "effect", "detail"],
    *links.c["alert_id", "incident_id"],
    *dead_letters.c["inbox_id", "closed_at", "outcome", "closed_by"],
).select_from(dead_letters.outerjoin(links, links.c.id == dead_letters.c.link_id))
_links = sa.select(
    *links.c["id", "alert_id", "incident_id", "first_seen_at", "status", "alert_status", "incident_status", "paged"],
    *links.c["truthvouch_since", "pagerduty_since", "frozen_at"],
)
_line = sa.select(*timeline.c["id", "at", "event", "alert_id", "incident_id", "author", "facts"])
_state = sa.select(*LINK_COLUMNS)
_open_of_link = (
    _dead_letters.where(OPEN_DEAD_LETTER, dead_letters.c.link_id == sa.bindparam("link_id"))
    .order_by(dead_letters.c.id)
    .limit(100)
)


class StoredRecords:
    """Implements ``ports.Records``. An id that no store could hold is an id that nothing has."""

    def dead_letters(self, tx: Tx, page: Page, closed: bool = False) -> tuple[DeadLetterRow, ...]:
        decided = dead_letters.c.closed_at.is_not(None) if closed else OPEN_DEAD_LETTER
        return cast(tuple[DeadLetterRow, ...], _rows(tx, _paged(_dead_letters.where(decided), dead_letters.c.id, page)))

    def dead_letter(self, tx: Tx, dead_letter_id: int) -> Row | None:
        query = _dead_letters.add_columns(dead_letters.c.link_id).where(dead_letters.c.id == dead_letter_id)
        return next(iter(_rows(tx, query)), None)

    def dead_letters_of(self, tx: Tx, link_id: LinkId) -> tuple[Row, ...]:
        return _rows(tx, _open_of_link.params(link_id=link_id))

    def links(
        self, tx: Tx, page: Page, is_open: bool | None = None, frozen: bool | None = None, since: datetime | None = None
    ) -> tuple[LinkSummary, ...]:
        query = _links if since is None else _since(since)
        if page.after:
            query = query.where(links.c.id < page.after)
        if is_open is not None:
            query = query.where(OPEN_LINK if is_open else CLOSED_LINK)
        if frozen is not None:
            query = query.where(links.c.frozen_at.is_not(None) if frozen else links.c.frozen_at.is_(None))
        return cast(tuple[LinkSummary, ...], _rows(tx, query.order_by(links.c.id.desc()).limit(page.limit)))

    def link(self, tx: Tx, alert_id: AlertId) -> Link | None:
        return next(iter(self._those(tx, links.c.alert_id == alert_id)), None) if is_storable(alert_id) else None

    def link_of(self, tx: Tx, link_id: LinkId) -> Link | None:
        return next(iter(self._those(tx, links.c.id == link_id)), None)

    def on_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        return self._those(tx, links.c.incident_id == incident_id)

    def about(self, tx: Tx, wanted: str) -> tuple[Link, ...]:
        if not is_storable(wanted):
            return ()
        named = self._those(tx, sa.or_(links.c.alert_id == wanted, links.c.incident_id == wanted))
        number = number_meant(wanted)
        return named if named or number is None else self.numbered(tx, number)

    def numbered(self, tx: Tx, number: int) -> tuple[Link, ...]:
        return self._those(tx, links.c.incident_number == number)

    def kept_bodies(self, tx: Tx, link: Link) -> int:
        return count_bodies(tx, subjects_of(link))

    def escalation(self, tx: Tx, incident_id: IncidentId) -> Escalation | None:
        return StoredEscalations().peek(tx, incident_id) if is_storable(incident_id) else None

    def escalations(self, tx: Tx, limit: int, every: bool = False) -> tuple[Escalation, ...]:
        return StoredEscalations().listed(tx, limit, every)

    def timeline(self, tx: Tx, wanted: str, page: Page) -> tuple[TimelineRow, ...]:
        if not is_storable(wanted):
            return ()
        # By number alone: what happened to a link is told even where its state cannot be read.
        found = _numbers(tx, sa.or_(links.c.alert_id == wanted, links.c.incident_id == wanted))
        if not found and (number := number_meant(wanted)) is not None:
            found = _numbers(tx, links.c.incident_number == number)
        # Whatever is about an alert that has no link, or about an incident that none is on any more.
        unlinked = sa.or_(sa.and_(UNLINKED_LINE, timeline.c.alert_id == wanted), timeline.c.incident_id == wanted)
        about = timeline.c.link_id.in_(found) if found else unlinked
        rows = _rows(tx, _paged(_line.where(about), timeline.c.id, page))
        return tuple(cast(TimelineRow, {**row, **codec.load_entry(row["event"], row["facts"])}) for row in rows)

    def _those(self, tx: Tx, which: sa.ColumnElement[bool]) -> tuple[Link, ...]:
        return read_links(tx, _state.where(which).order_by(links.c.id))


def _numbers(tx: Tx, which: sa.ColumnElement[bool]) -> Sequence[int]:
    return connection(tx).execute(sa.select(links.c.id).where(which)).scalars().all()


def _rows(tx: Tx, query: sa.Select[Any]) -> tuple[Row, ...]:
    rows = [dict(row) for row in connection(tx).execute(query).mappings()]
    return tuple(row | {"reason": codec.value_of(row["reason"])} if "reason" in row else row for row in rows)


def _since(since: datetime) -> sa.Select[Any]:
    """Where they begin is looked up, so that no older ones are looked at."""
    since = max(since, EPOCH)
    return _links.where(links.c.first_seen_at >= since, links.c.id > number_before(since))


def _paged(query: sa.Select[Any], number: sa.ColumnElement[int], page: Page) -> sa.Select[Any]:
    return query.where(number > page.after).order_by(number).limit(page.limit)


def is_storable(text: str) -> bool:
    """PostgreSQL keeps no NUL, and neither store half a surrogate pair."""
    return "\0" not in text and text.encode("utf-8", "replace").decode() == text
