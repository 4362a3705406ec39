"""Links, the events that match none yet, the time line and the dead letters."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, cast
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from app.domain.model.events import IncidentEvent
from app.domain.model.types import AlertId, IncidentId, IncidentKey, LinkId, Side
from app.domain.rules.rulebook import SILENCED, Redaction
from app.domain.sync.link import DeliveryState, Link
from app.ports import PAGES, DeadLetter, OpenKind, TakenBody, TimelineEntry, Tx
from app.store import codec
from app.store.database import connection, upsert
from app.store.figures import MAX_NUMBER, Change, erase_titles, write_figures
from app.store.prepared import Prepared
from app.store.schema import (
    EPOCH,
    OPEN_PAGED,
    OPEN_SILENCED,
    OPEN_UNPAGED,
    dead_letters,
    evidence,
    kept_bodies,
    links,
    timeline,
    unmatched_events,
)

HOLDING_NOTHING = ("AddNote", "ReadNote")
"""What a dead letter is about behind which nothing waits."""
IS_PAGE = sa.or_(
    dead_letters.c.kind == "escalation",
    sa.and_(dead_letters.c.kind == "event", dead_letters.c.side == Side.TRUTHVOUCH),
    sa.and_(dead_letters.c.kind == "effect", dead_letters.c.side == Side.PAGERDUTY, dead_letters.c.effect.in_(PAGES)),
)
"""``DeadLetter.is_page``, asked of the store."""


def newest_page(tx: Tx) -> DeadLetter | None:
    """The newest open dead letter that may be a page which nobody got; None where there is none."""
    waiting = sa.select(dead_letters).where(dead_letters.c.closed_at.is_(None), IS_PAGE)
    return _dead_letter(tx, waiting.order_by(dead_letters.c.id.desc()).limit(1))


def _dead_letter(tx: Tx, query: sa.Select[Any]) -> DeadLetter | None:
    row = connection(tx).execute(query).mappings().one_or_none()
    if row is None:
        return None
    fields = {name: value for name, value in row.items() if name != "id"}
    fields["reason"], fields["side"] = codec.value_of(row["reason"]), row["side"] and Side(row["side"])
    return DeadLetter(row["id"], **fields)


class StoredDeadLetters:
    """Implements ``ports.DeadLetters``; ``StoredLinks.add_dead_letter`` writes them."""

    def get(self, tx: Tx, dead_letter_id: int) -> DeadLetter | None:
        query = sa.select(dead_letters).where(dead_letters.c.id == dead_letter_id).with_for_update()
        return _dead_letter(tx, query)

    def others_of_side(self, tx: Tx, dead_letter: DeadLetter) -> tuple[str, ...]:
        return held_by(tx, dead_letter.link_id, dead_letter.side, dead_letter.dead_letter_id)

    def close(self, tx: Tx, dead_letter_id: int, outcome: str, at: datetime, by: str) -> None:
        values = {"closed_at": at, "outcome": outcome, "closed_by": by}
        connection(tx).execute(sa.update(dead_letters).where(dead_letters.c.id == dead_letter_id).values(values))

    def tried(self, tx: Tx, dead_letter_id: int) -> None:
        once_more = {"attempts": dead_letters.c.attempts + 1}
        connection(tx).execute(sa.update(dead_letters).where(dead_letters.c.id == dead_letter_id).values(once_more))


def held_by(tx: Tx, link_id: LinkId | None, side: Side | None, but: int = 0) -> tuple[str, ...]:
    """The reasons of the open dead letters behind which that link and side waits, oldest first."""
    of_the_side = sa.and_(dead_letters.c.link_id == link_id, dead_letters.c.side == side, dead_letters.c.id != but)
    holding = sa.and_(
        dead_letters.c.kind == "effect",
        dead_letters.c.closed_at.is_(None),
        dead_letters.c.effect.not_in(HOLDING_NOTHING),
    )
    query = sa.select(dead_letters.c.reason).where(of_the_side, holding).order_by(dead_letters.c.id)
    return tuple(map(codec.value_of, connection(tx).execute(query).scalars()))


# Built once: making a statement costs more than running it.
_texts = sa.select(evidence.c.texts).where(evidence.c.link_id == links.c.id).correlate(links).scalar_subquery()
LINK_COLUMNS = (links.c.id, links.c.state, _texts.label("texts"))
"""What ``read_links`` makes links of. No join: for a page of a few links PostgreSQL would read all evidence."""
_select = sa.select(*LINK_COLUMNS)
_by_alert = Prepared(_select.where(links.c.alert_id == sa.bindparam("wanted")).with_for_update())
_by_key = Prepared(_select.where(links.c.incident_key == sa.bindparam("wanted")).with_for_update())
_its_incident = sa.select(links.c.incident_id).where(links.c.id == sa.bindparam("wanted")).scalar_subquery()
# With every link on the same incident, always in one order: two deliveries of a merged incident never wait for each
# other in a circle.
_by_id = Prepared(
    _select.where(sa.or_(links.c.id == sa.bindparam("wanted"), links.c.incident_id == _its_incident))
    .order_by(links.c.id)
    .with_for_update()
)
_by_incident = Prepared(
    _select.where(links.c.incident_id == sa.bindparam("wanted")).order_by(links.c.id).with_for_update()
)
_left = sa.select(timeline.c.link_id).where(
    timeline.c.incident_id == sa.bindparam("wanted"), timeline.c.event == "incident.left"
)
_peek = Prepared(_select.where(links.c.id == sa.bindparam("wanted")))
_add = Prepared(sa.insert(links).returning(links.c.id))
_save = Prepared(sa.update(links).where(links.c.id == sa.bindparam("row_id")))
_say = Prepared(sa.insert(timeline))
_add_evidence = Prepared(sa.insert(evidence))
_unmatched_of = Prepared(
    sa.select(unmatched_events.c.word)
    .where(unmatched_events.c.incident_id == sa.bindparam("wanted"))
    .order_by(unmatched_events.c.id)
)
_keep_unmatched = Prepared(sa.insert(unmatched_events))


def _take(insert: Any) -> Any:
    row = insert(kept_bodies)
    due = sa.or_(kept_bodies.c.due, row.excluded.due)
    return row.on_conflict_do_update(index_elements=["inbox_id", "subject"], set_={"due": due})


_take_bodies = Prepared({"sqlite": _take(sqlite_insert), "postgresql": _take(postgres_insert)})
_erase_evidence = sa.delete(evidence).where(evidence.c.link_id == sa.bindparam("row_id"))


DECODED_LINKS, DECODED_CHARS = 32, 16_384
"""So many links are kept as they were decoded, each with so much text at most."""


@dataclass
class _Batch:
    """The links that one transaction has read, as they are by now; what it changed is written at its end, once."""

    links: dict[LinkId, Link] = field(default_factory=dict)
    by_alert: dict[AlertId, LinkId] = field(default_factory=dict)
    by_key: dict[IncidentKey, LinkId] = field(default_factory=dict)
    whole: set[IncidentId] = field(default_factory=set)
    """Incidents of which every link has been read."""
    changed: set[LinkId] = field(default_factory=set)
    added: set[LinkId] = field(default_factory=set)

    def keep(self, link: Link) -> Link:
        """The link as this transaction knows it; one that was read again is no newer than that."""
        known = self.links.setdefault(link.link_id, link)
        self.by_alert[link.alert.alert_id] = self.by_key[link.incident_key] = link.link_id
        return known

    def on(self, incident_id: IncidentId) -> tuple[Link, ...]:
        return tuple(link for _, link in sorted(self.links.items()) if link.incident_id == incident_id)


_batches: WeakKeyDictionary[sa.Connection, _Batch] = WeakKeyDictionary()
_stored: WeakKeyDictionary[sa.Connection, dict[LinkId, Link]] = WeakKeyDictionary()
"""The links that a transaction has read, as they are stored: their figures are written where they change."""


@dataclass(frozen=True)
class StoredLinks:
    """Implements ``ports.Links``. A read locks until the transaction ends: no two change one link at a time."""

    redaction: Callable[[], Redaction] = Redaction
    """What may be in the titles that are stored beside the links."""

    @contextmanager
    def batch(self, tx: Tx) -> Iterator[None]:
        batch = _batches[connection(tx)] = _Batch()
        try:
            yield
        finally:
            del _batches[connection(tx)]
        if batch.changed:
            _save.run(tx, [_standing(batch.links[one]) | {"row_id": one} for one in sorted(batch.changed)])
        saved = [batch.links[one] for one in sorted(batch.changed | batch.added)]
        self._write_parts(tx, saved, batch.added)

    def by_alert(self, tx: Tx, alert_id: AlertId) -> Link | None:
        batch = _batches.get(connection(tx))
        if batch is not None and alert_id in batch.by_alert:
            return batch.links[batch.by_alert[alert_id]]
        return self._one(tx, _by_alert, alert_id)

    def by_key(self, tx: Tx, key: IncidentKey) -> Link | None:
        batch = _batches.get(connection(tx))
        if batch is not None and key in batch.by_key:
            return batch.links[batch.by_key[key]]
        return self._one(tx, _by_key, key)

    def by_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        batch = _batches.get(connection(tx))
        if batch is None or incident_id not in batch.whole:
            found = _remembered(tx, tuple(map(_link, _by_incident.rows(tx, {"wanted": incident_id}))))
            if batch is None:
                return found
            for link in found:
                batch.keep(link)
            batch.whole.add(incident_id)
        return batch.on(incident_id)

    def left(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        numbers = set(connection(tx).execute(_left, {"wanted": incident_id}).scalars())
        return tuple(self.get(tx, LinkId(number)) for number in sorted(numbers))

    def get(self, tx: Tx, link_id: LinkId) -> Link:
        batch = _batches.get(connection(tx))
        if batch is not None and link_id in batch.links:
            return batch.links[link_id]
        rows = _by_id.rows(tx, {"wanted": link_id})
        found = _found(next((_known_link(row) for row in rows if row.id == link_id), None), link_id)
        _remembered(tx, (found,))
        return found if batch is None else batch.keep(found)

    def peek(self, tx: Tx, link_id: LinkId) -> Link:
        return _found(self._one(tx, _peek, link_id), link_id)

    def add(self, tx: Tx, link: Link) -> Link:
        stored = _add.row(tx, _names(link) | _standing(link))
        added = replace(link, link_id=LinkId(stored.id))
        batch = _batches.get(connection(tx))
        if batch is not None:
            batch.added.add(added.link_id)
            return batch.keep(added)
        self._write_parts(tx, [added], {added.link_id})
        return added

    def save(self, tx: Tx, link: Link) -> None:
        batch = _batches.get(connection(tx))
        if batch is not None:
            batch.keep(link)
            batch.links[link.link_id] = link
            batch.changed.add(link.link_id)
            return
        _save.run(tx, [_standing(link) | {"row_id": link.link_id}])
        self._write_parts(tx, [link])

    def _write_parts(self, tx: Tx, saved: Sequence[Link], added: Collection[LinkId] = ()) -> None:
        """What belongs to links that were saved and lies in tables of its own."""
        erased = _write_evidence(tx, saved, added)
        self._write_figures(tx, saved, added)
        if erased:
            erase_titles(tx, erased)

    def _write_figures(self, tx: Tx, saved: Sequence[Link], added: Collection[LinkId] = ()) -> None:
        before = _stored.setdefault(connection(tx), {})
        changes = [
            Change(None, link, is_new=True) if link.link_id in added else Change(before.get(link.link_id), link)
            for link in saved
        ]
        write_figures(tx, changes, self.redaction)
        before.update((link.link_id, link) for link in saved)

    def keep_unmatched(self, tx: Tx, event: IncidentEvent, inbox_id: int, at: datetime) -> None:
        row = {
            "incident_id": event.incident_id,
            "inbox_id": inbox_id,
            "at": at,
            "word": codec.INCIDENT_EVENT.dump(event),
        }
        _keep_unmatched.run(tx, [row])

    def take_unmatched(self, tx: Tx, incident_id: IncidentId) -> tuple[IncidentEvent, ...]:
        rows = _unmatched_of.rows(tx, {"wanted": incident_id})
        if rows:
            connection(tx).execute(sa.delete(unmatched_events).where(unmatched_events.c.incident_id == incident_id))
        return tuple(codec.INCIDENT_EVENT.load(row.word) for row in rows)

    def take_bodies(self, tx: Tx, bodies: Sequence[TakenBody]) -> None:
        rows = [{"inbox_id": body.inbox_id, "subject": body.subject, "due": body.due} for body in bodies]
        _take_bodies.run(tx, rows)

    def write_timeline(self, tx: Tx, entries: Sequence[TimelineEntry]) -> None:
        _say.run(tx, [_entry(entry) for entry in entries])

    def add_dead_letter(self, tx: Tx, dead_letter: DeadLetter) -> int:
        columns = ("kind", "reason", "at", "attempts", "detail", "link_id", "side", "inbox_id", "effect")
        row = sa.insert(dead_letters).values({name: getattr(dead_letter, name) for name in columns})
        return cast("int", connection(tx).execute(row.returning(dead_letters.c.id)).scalar_one())

    def close_dead_letters(self, tx: Tx, link_id: LinkId, side: Side, effect: str, at: datetime) -> int:
        about = (dead_letters.c.link_id == link_id, dead_letters.c.side == side, dead_letters.c.effect == effect)
        open_ones = sa.update(dead_letters).where(*about, dead_letters.c.closed_at.is_(None))
        return connection(tx).execute(open_ones.values(closed_at=at, outcome="done")).rowcount

    def open_dead_letters(self, tx: Tx, link_id: LinkId, side: Side) -> tuple[str, ...]:
        return held_by(tx, link_id, side)

    def _one(self, tx: Tx, query: Prepared, wanted: str | int) -> Link | None:
        row = query.row(tx, {"wanted": wanted})
        if row is None:
            return None
        (found,) = _remembered(tx, (_known_link(row),))
        batch = _batches.get(connection(tx))
        return found if batch is None else batch.keep(found)


def _remembered(tx: Tx, found: tuple[Link, ...]) -> tuple[Link, ...]:
    """Links as they were read. One that this transaction read again is what it read, or saved, last."""
    _stored.setdefault(connection(tx), {}).update((link.link_id, link) for link in found)
    return found


def _found(link: Link | None, link_id: LinkId) -> Link:
    if link is None:
        raise KeyError(link_id)
    return link


def _link(row: Any) -> Link:
    return codec.LINK.join(row.state, row.texts, LinkId(row.id))


_decoded = lru_cache(DECODED_LINKS)(codec.LINK.join)


def _known_link(row: Any) -> Link:
    """The same. A delivery reads its link before the call and, where nobody changed it, the very same after it."""
    if len(row.state) + len(row.texts or "") > DECODED_CHARS:
        return _link(row)
    return _decoded(row.state, row.texts, LinkId(row.id))


def _write_evidence(tx: Tx, saved: Sequence[Link], added: Collection[LinkId]) -> list[LinkId]:
    """Write evidence where the alert is another one than was read, all that is new at once, and delete that of alerts
    that are erased; the answer is which were."""
    known, first, erased = _stored.get(connection(tx), {}), [], []
    for link in saved:
        before = known.get(link.link_id)
        if before is not None and (before.alert is link.alert or before.alert == link.alert):
            continue
        if link.erased_at is not None:
            connection(tx).execute(_erase_evidence, {"row_id": link.link_id})
            erased.append(link.link_id)
        elif texts := codec.LINK.evidence(link.alert):
            if link.link_id in added:
                first.append({"link_id": link.link_id, "texts": texts})
            elif before is None or texts != codec.LINK.evidence(before.alert):
                upsert(connection(tx), evidence, {"link_id": link.link_id}, {"texts": texts})
    _add_evidence.run(tx, first)
    return erased


def _names(link: Link) -> dict[str, Any]:
    """What never changes: written once, so that no later save touches its indexes."""
    return {"alert_id": link.alert.alert_id, "incident_key": link.incident_key, "first_seen_at": link.first_seen_at}


def _standing(link: Link) -> dict[str, Any]:
    number = link.incident_number or 0
    return {
        "incident_id": link.incident_id,
        "status": link.status.value,
        "paged": link.paged,
        "truthvouch_since": _since(link.truthvouch),
        "pagerduty_since": _since(link.pagerduty),
        "alert_status": link.alert_side.status,
        "incident_status": link.incident_side.status,
        "frozen_at": link.frozen_at,
        # One that no column holds is one that nobody looks for.
        "incident_number": link.incident_number if 0 <= number <= MAX_NUMBER else None,
        "silenced": link.decision is not None and link.decision.reason == SILENCED,
        "state": codec.LINK.split(link),
    }


def _since(delivery: DeliveryState) -> datetime | None:
    return delivery.since if delivery.outstanding else None


def _entry(entry: TimelineEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "event": entry.event,
        "link_id": entry.link_id,
        "alert_id": entry.alert_id,
        "incident_id": entry.incident_id,
        "author": entry.author,
        "facts": codec.FACTS.dump(entry.facts),
    }


DISORDER = timedelta(hours=1)
"""By so much a link may have been seen first before one of a lower number: several workers, a clock that was set."""

_above = links.c.id > sa.bindparam("after")
_words = {OpenKind.PAGED: OPEN_PAGED, OpenKind.SILENCED: OPEN_SILENCED, OpenKind.UNPAGED: OPEN_UNPAGED}
_pages: Mapping[OpenKind, sa.Select[Any]] = {
    kind: _select.where(words, _above).order_by(links.c.id).limit(sa.bindparam("at_most"))
    for kind, words in _words.items()
}
_counts: Mapping[OpenKind, sa.Select[Any]] = {
    kind: sa.select(sa.func.count()).select_from(links).where(words, _above) for kind, words in _words.items()
}
_on_incidents = _select.where(
    sa.or_(
        links.c.incident_id.in_(sa.bindparam("ids", expanding=True)),
        links.c.incident_key.in_(sa.bindparam("keys", expanding=True)),
    )
).order_by(links.c.id)
_of_alerts = _select.where(links.c.alert_id.in_(sa.bindparam("ids", expanding=True)))


class StoredOpenLinks:
    """Implements ``ports.OpenLinks``."""

    def open_after(self, tx: Tx, kind: OpenKind, link_id: LinkId, limit: int) -> tuple[Link, ...]:
        return read_links(tx, _pages[kind], {"after": link_id, "at_most": limit})

    def count_open(self, tx: Tx, kind: OpenKind, link_id: LinkId) -> int:
        return cast("int", connection(tx).execute(_counts[kind], {"after": link_id}).scalar_one())

    def last_before(self, tx: Tx, at: datetime) -> LinkId:
        return LinkId(connection(tx).execute(sa.select(number_before(at))).scalar_one())

    def on_incidents(self, tx: Tx, ids: Collection[IncidentId], keys: Collection[IncidentKey]) -> tuple[Link, ...]:
        return read_links(tx, _on_incidents, {"ids": list(ids), "keys": list(keys)})

    def of_alerts(self, tx: Tx, ids: Collection[AlertId]) -> Mapping[AlertId, Link]:
        return {link.alert.alert_id: link for link in read_links(tx, _of_alerts, {"ids": list(ids)})}


def number_before(at: datetime) -> sa.ColumnElement[int]:
    """``last_before`` as a part of a statement. Numbers follow the times, nearly."""
    before = max(at, EPOCH + DISORDER) - DISORDER
    older = sa.select(links.c.id).where(links.c.first_seen_at < before)
    newest = older.order_by(links.c.first_seen_at.desc(), links.c.id.desc()).limit(1)
    return sa.func.coalesce(newest.scalar_subquery(), 0)


def read_links(tx: Tx, query: sa.Select[Any], values: Mapping[str, Any] | None = None) -> tuple[Link, ...]:
    """The links of a query for ``LINK_COLUMNS``, as they are."""
    return tuple(map(_link, connection(tx).execute(query, values)))


class StoredOverdue:
    """Deliveries that have been owed for long, as they are, locking nobody out."""

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
        delivery = codec.LINK.load(state).delivery(side)
    except ValueError:
        return None
    return delivery.seq if delivery.outstanding else None
