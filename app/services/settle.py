"""The end of every transaction on a link: save it, enqueue what it now owes, write its time line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.domain.delivery import owing
from app.domain.effects import Effect, SetAlert, missing, priority
from app.domain.lifecycle import advance
from app.domain.link import NOT_STORED, Lane, Link
from app.domain.names import Side, Status
from app.ports import Engine, Links, Order, TimelineEntry, Tx

RESOLUTION_NOTE_GRACE_SECONDS = 1.0
"""PagerDuty sends a resolve and its resolution note as two events, either first and a third of a second apart
(undocumented, seen in captures): the alert's resolve waits this long for the person's words."""


@dataclass(frozen=True)
class Settle:
    """Writes links and keeps at most one delivery outstanding per link and side."""

    links: Links
    engine: Engine
    rest: Callable[[], bool]
    """Whether a PagerDuty API key is at hand."""

    def save(self, tx: Tx, link: Link, at: datetime) -> Link:
        """Save the link and submit a delivery towards each side that owes one and has none outstanding.

        ``at``: when the word that caused it was accepted; the delivery's age counts from there.
        """
        link, orders = self.write(tx, link, at)
        self.engine.submit(tx, orders)
        return link

    def write(self, tx: Tx, link: Link, at: datetime) -> tuple[Link, list[Order]]:
        """Save the link; the answer names what the caller has to submit before this transaction ends."""
        owed: list[tuple[Side, Lane, float | None]] = []
        for side in Side:
            if not link.lane(side).outstanding:
                effect = missing(link, side, self.shared(tx, link, side), rest=self.rest())
                if effect is not None:
                    link, lane = owing(link, side, at)
                    owed.append((side, lane, _grace(link, effect)))
        link = self._store(tx, link)
        return link, [self.order(link, side, lane.seq, delay) for side, lane, delay in owed]

    def _store(self, tx: Tx, link: Link) -> Link:
        if link.link_id == NOT_STORED:
            return self.links.add(tx, link)
        self.links.save(tx, link)
        return link

    def order(self, link: Link, side: Side, seq: int, delay: float | None) -> Order:
        """A delivery on the queue of its target."""
        return Order(self.target(link, side), link.link_id, side, seq, priority(link, side), delay)

    def target(self, link: Link, side: Side) -> str:
        """The queue's and the counter's name of what a delivery goes to."""
        return side.value if side is Side.TRUTHVOUCH else f"{side.value}-{link.via.value}"

    def attached(self, tx: Tx, before: Link, link: Link, now: datetime) -> Link:
        """The link after it learned which incident is its own: it may share it with others (a merge), and words may
        have come for it before anybody knew whose they were."""
        incident_id = link.incident_id
        if incident_id is None or incident_id == before.incident_id:
            return link
        for other in self.links.by_incident(tx, incident_id):
            if other.link_id != link.link_id:
                self.links.save(tx, replace(other, guests=True))
                link = replace(link, guests=True)
        for word in self.links.take_strays(tx, incident_id):
            step = advance(link, word, now)
            told = line(step.link, word.event, now, {"outcome": step.outcome, "kept": True}, word.author)
            self.links.write_timeline(tx, [told])
            link = step.link
        return link

    def shared(self, tx: Tx, link: Link, side: Side) -> tuple[Link, ...]:
        """Every link on the same incident, this one as it is now."""
        if side is Side.TRUTHVOUCH or link.incident_id is None or not link.shares:
            return (link,)
        others = self.links.by_incident(tx, link.incident_id)
        return (*(other for other in others if other.link_id != link.link_id), link)


def line(link: Link, event: str, at: datetime, facts: Mapping[str, Any], author: str | None = None) -> TimelineEntry:
    """One line of the link's time line."""
    return TimelineEntry(at, event, link.link_id, link.alert.alert_id, link.incident_id, author, facts)


def _grace(link: Link, effect: Effect) -> float | None:
    waits = isinstance(effect, SetAlert) and effect.status is Status.RESOLVED and not link.last_note
    return RESOLUTION_NOTE_GRACE_SECONDS if waits else None
