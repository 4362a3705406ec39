"""Links, the words that match none yet, the time line and the dead letters."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from app.domain.link import Lane, Link
from app.domain.names import AlertId, IncidentId, IncidentKey, LinkId, Side
from app.domain.silences import SILENCED
from app.domain.words import IncidentWord
from app.ports import Letter, TimelineEntry, Tx
from app.store import codec
from app.store.database import connection
from app.store.letters import held_by
from app.store.schema import letters, links, strays, timeline

# Built once: making a statement costs more than running it.
_select = sa.select(links.c.id, links.c.state)
_by_alert = _select.where(links.c.alert_id == sa.bindparam("wanted")).with_for_update()
_by_key = _select.where(links.c.incident_key == sa.bindparam("wanted")).with_for_update()
_its_incident = sa.select(links.c.incident_id).where(links.c.id == sa.bindparam("wanted")).scalar_subquery()
# With every link on the same incident, always in one order: two deliveries of a merged incident never wait for each
# other in a circle.
_by_id = (
    _select.where(sa.or_(links.c.id == sa.bindparam("wanted"), links.c.incident_id == _its_incident))
    .order_by(links.c.id)
    .with_for_update()
)
_by_incident = _select.where(links.c.incident_id == sa.bindparam("wanted")).order_by(links.c.id).with_for_update()
_peek = _select.where(links.c.id == sa.bindparam("wanted"))
_add = sa.insert(links).returning(links.c.id)
_save = sa.update(links).where(links.c.id == sa.bindparam("row_id"))
_say = sa.insert(timeline)
MAX_NUMBER = 2**63 - 1


@dataclass
class _Batch:
    """The links that one transaction has read, as they are by now; what it changed is written at its end, once."""

    links: dict[LinkId, Link] = field(default_factory=dict)
    by_alert: dict[AlertId, LinkId] = field(default_factory=dict)
    by_key: dict[IncidentKey, LinkId] = field(default_factory=dict)
    whole: set[IncidentId] = field(default_factory=set)
    """Incidents of which every link has been read."""
    changed: set[LinkId] = field(default_factory=set)

    def keep(self, link: Link) -> Link:
        """The link as this transaction knows it; one that was read again is no newer than that."""
        known = self.links.setdefault(link.link_id, link)
        self.by_alert[link.alert.alert_id] = self.by_key[link.incident_key] = link.link_id
        return known

    def on(self, incident_id: IncidentId) -> tuple[Link, ...]:
        return tuple(link for _, link in sorted(self.links.items()) if link.incident_id == incident_id)


_batches: WeakKeyDictionary[sa.Connection, _Batch] = WeakKeyDictionary()


class StoredLinks:
    """Every read of a link locks it until the transaction ends: no two judge one link at a time."""

    @contextmanager
    def batch(self, tx: Tx) -> Iterator[None]:
        """Inside, this transaction reads every link once and writes it once, at the end, however often it changes: so
        an alert that says a thousand things holds nobody up."""
        batch = _batches[connection(tx)] = _Batch()
        try:
            yield
        finally:
            del _batches[connection(tx)]
        if batch.changed:
            rows = [_standing(batch.links[one]) | {"row_id": one} for one in sorted(batch.changed)]
            connection(tx).execute(_save, rows)

    def by_alert(self, tx: Tx, alert_id: AlertId) -> Link | None:
        """The link of this alert, or None."""
        batch = _batches.get(connection(tx))
        if batch is not None and alert_id in batch.by_alert:
            return batch.links[batch.by_alert[alert_id]]
        return self._one(tx, _by_alert, alert_id)

    def by_key(self, tx: Tx, key: IncidentKey) -> Link | None:
        """The link whose incident carries this key, or None."""
        batch = _batches.get(connection(tx))
        if batch is not None and key in batch.by_key:
            return batch.links[batch.by_key[key]]
        return self._one(tx, _by_key, key)

    def by_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        """Every link on this incident, oldest first: several after a merge."""
        batch = _batches.get(connection(tx))
        if batch is None or incident_id not in batch.whole:
            found = tuple(_link(row) for row in connection(tx).execute(_by_incident, {"wanted": incident_id}))
            if batch is None:
                return found
            for link in found:
                batch.keep(link)
            batch.whole.add(incident_id)
        return batch.on(incident_id)

    def get(self, tx: Tx, link_id: LinkId) -> Link:
        """The link of that number. Raises ``KeyError`` when there is none."""
        batch = _batches.get(connection(tx))
        if batch is not None and link_id in batch.links:
            return batch.links[link_id]
        rows = connection(tx).execute(_by_id, {"wanted": link_id})
        found = _found(next((_link(row) for row in rows if row.id == link_id), None), link_id)
        return found if batch is None else batch.keep(found)

    def peek(self, tx: Tx, link_id: LinkId) -> Link:
        """The link as it is, unlocked. Raises ``KeyError``."""
        return _found(self._one(tx, _peek, link_id), link_id)

    def add(self, tx: Tx, link: Link) -> Link:
        """Store a new link; the answer carries its number."""
        stored = connection(tx).execute(_add, _names(link) | _standing(link))
        added = replace(link, link_id=LinkId(stored.scalar_one()))
        batch = _batches.get(connection(tx))
        return added if batch is None else batch.keep(added)

    def save(self, tx: Tx, link: Link) -> None:
        """Write a link read in this transaction."""
        batch = _batches.get(connection(tx))
        if batch is not None:
            batch.keep(link)
            batch.links[link.link_id] = link
            batch.changed.add(link.link_id)
            return
        connection(tx).execute(_save, _standing(link) | {"row_id": link.link_id})

    def keep_stray(self, tx: Tx, word: IncidentWord, inbox_id: int, at: datetime) -> None:
        """Keep a word about an incident no link knows yet."""
        row = {"incident_id": word.incident_id, "inbox_id": inbox_id, "at": at, "word": codec.dump_word(word)}
        connection(tx).execute(sa.insert(strays).values(row))

    def take_strays(self, tx: Tx, incident_id: IncidentId) -> tuple[IncidentWord, ...]:
        """Remove and return the words kept for this incident, in the order they came."""
        where = strays.c.incident_id == incident_id
        rows = connection(tx).execute(sa.select(strays.c.word).where(where).order_by(strays.c.id)).scalars().all()
        if rows:
            connection(tx).execute(sa.delete(strays).where(where))
        return tuple(codec.load_word(row) for row in rows)

    def write_timeline(self, tx: Tx, entries: Sequence[TimelineEntry]) -> None:
        """Append to the time line."""
        if entries:
            connection(tx).execute(_say, [_entry(entry) for entry in entries])

    def add_letter(self, tx: Tx, letter: Letter) -> int:
        """Keep a dead letter; the answer is its number."""
        row = {
            "kind": letter.kind,
            "reason": letter.reason,
            "at": letter.at,
            "attempts": letter.attempts,
            "detail": letter.detail,
            "link_id": letter.link_id,
            "side": letter.side,
            "inbox_id": letter.inbox_id,
            "effect": letter.effect,
        }
        stored: int = connection(tx).execute(sa.insert(letters).values(row).returning(letters.c.id)).scalar_one()
        return stored

    def close_letters(self, tx: Tx, link_id: LinkId, side: Side, effect: str, at: datetime) -> int:
        """Close the open dead letters about this effect, which was done after all; the answer is how many."""
        about = (letters.c.link_id == link_id, letters.c.side == side, letters.c.effect == effect)
        open_ones = sa.update(letters).where(*about, letters.c.closed_at.is_(None))
        return connection(tx).execute(open_ones.values(closed_at=at, outcome="done")).rowcount

    def open_letters(self, tx: Tx, link_id: LinkId, side: Side) -> tuple[str, ...]:
        """The reasons of the open letters behind which that link and side waits, oldest first."""
        return held_by(tx, link_id, side)

    def _one(self, tx: Tx, query: sa.Select[Any], wanted: str | int) -> Link | None:
        row = connection(tx).execute(query, {"wanted": wanted}).one_or_none()
        batch = _batches.get(connection(tx))
        return None if row is None else _link(row) if batch is None else batch.keep(_link(row))


def _found(link: Link | None, link_id: LinkId) -> Link:
    if link is None:
        raise KeyError(link_id)
    return link


def _link(row: Any) -> Link:
    return replace(codec.load_link(row.state), link_id=LinkId(row.id))


def _names(link: Link) -> dict[str, Any]:
    """What never changes: written once, so that no later save touches its indexes."""
    return {
        "alert_id": link.alert.alert_id,
        "incident_key": link.incident_key,
        "first_seen_at": link.first_seen_at,
    }


def _standing(link: Link) -> dict[str, Any]:
    return {
        "incident_id": link.incident_id,
        "status": link.status.value,
        "paged": link.paged,
        "truthvouch_since": _since(link.truthvouch),
        "pagerduty_since": _since(link.pagerduty),
        "alert_status": link.alert_side.status,
        "incident_status": link.incident_side.status,
        "frozen_at": link.frozen_at,
        "incident_number": _storable(link.incident_number),
        "silenced": link.decision is not None and link.decision.reason == SILENCED,
        "state": codec.dump_link(link),
    }


def _storable(number: int | None) -> int | None:
    """A number that no column holds is one that nobody looks for."""
    return number if number is not None and 0 <= number <= MAX_NUMBER else None


def _since(lane: Lane) -> datetime | None:
    return lane.since if lane.outstanding else None


def _entry(entry: TimelineEntry) -> dict[str, Any]:
    return {
        "at": entry.at,
        "event": entry.event,
        "link_id": entry.link_id,
        "alert_id": entry.alert_id,
        "incident_id": entry.incident_id,
        "author": entry.author,
        "facts": codec.dump_facts(entry.facts),
    }
