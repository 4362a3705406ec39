"""The end of every transaction on a link: save it, enqueue what it now owes, write its time line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.damping import HELD_RESOLVE, held_seconds, is_held
from app.domain.delivery import owing, settled
from app.domain.effects import (
    LATER,
    SOON,
    URGENT,
    AddNote,
    Circumstances,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    ReadNote,
    SetAlert,
    SetIncident,
    door,
    next_effect,
    priority,
    wanted_incident_status,
)
from app.domain.link import NOT_STORED, Lane, Link
from app.domain.names import IncidentId, Side, Status, Urgency
from app.domain.retry import SURELY_ASLEEP, named, overtakes
from app.domain.shared_incident import needs_own_incident, with_own_incident
from app.domain.side_state import SideState
from app.domain.transitions import REPEATS, advance
from app.ports import Engine, Links, Order, TimelineEntry, Tx

RESOLUTION_NOTE_GRACE_SECONDS = 1.0
"""PagerDuty sends a resolve and its resolution note as two events, either first and a third of a second apart
(undocumented, seen in captures): the alert's resolve waits this long for the person's words, or the rest of them."""

CHANGES = "-changes"
"""The second queue of a PagerDuty door: status changes and notes, which neither delay pages nor wait behind them."""


@dataclass(frozen=True)
class Settle:
    """Writes links and keeps at most one delivery outstanding per link and side."""

    links: Links
    engine: Engine
    rest: Callable[[], bool]
    """Whether a PagerDuty API key is at hand."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    arm: Callable[[Tx, Link, Link, datetime], None] | None = None
    """Starts the escalation of an incident that a link has just learned of."""
    follow: Callable[[Tx, Link, Link, datetime], Sequence[TimelineEntry]] | None = None
    """Moves the escalation of an incident whose link a delivery changed."""

    def save(self, tx: Tx, link: Link, at: datetime) -> Link:
        """Save the link and submit a delivery towards each side that owes one and has none outstanding.

        ``at``: when the word that caused it was accepted; the delivery's age counts from there.
        """
        link, orders = self.write(tx, link, at)
        self.engine.submit(tx, orders)
        return link

    def write(self, tx: Tx, link: Link, at: datetime) -> tuple[Link, list[Order]]:
        """Save the link; the answer names what the caller has to submit before this transaction ends."""
        link = self.on_its_own(tx, self.as_a_note(tx, self.kept(tx, link)))
        owed: list[tuple[Side, Lane, Effect, float | None]] = []
        for side in Side:
            asleep = self._is_asleep(link.lane(side))
            if link.lane(side).outstanding and not asleep:
                continue
            effect, held = self.missing(tx, link, side)
            if effect is None and asleep and link.lane(side).waits_for == HELD_RESOLVE:
                link = settled(link, side)  # the hold is over: the one asleep finds that nobody waits for it
            if effect is None or (asleep and not self._goes_first(link.lane(side), effect, held)):
                continue
            delay = held if is_held(effect) and held else _grace(link, effect)
            link, lane = _overtaking(link, side, at) if asleep else owing(link, side, at)
            if is_held(effect) and held:
                lane = self.holding(lane, held)
                link = link.with_lane(side, lane)
            owed.append((side, lane, effect, delay))
        link = self._store(tx, link)
        return link, [self.order(link, side, lane.seq, effect, delay) for side, lane, effect, delay in owed]

    def missing(self, tx: Tx, link: Link, side: Side) -> tuple[Effect | None, float]:
        """The next thing to do on that side, and for how many seconds the incident's resolve is still held back."""
        now, shared = self.clock(), self.shared(tx, link, side)
        held = held_seconds(link, side, shared, now)
        return next_effect(link, side, Circumstances(now, shared, self.rest(), held > 0)), held

    def kept(self, tx: Tx, link: Link) -> Link:
        """The link, its dead letter closed where a side stands at last where it had not kept, or refused, to be put:
        by whomever."""
        for side in Side:
            state, wanted = link.side(side), link.status
            gave_up = state.unconfirmed_count > REPEATS or link.lane(side).refused is wanted
            if gave_up and state.status is wanted and (state.confirmed or not state.by_us):
                effect = SetAlert(wanted, None) if side is Side.TRUTHVOUCH else SetIncident(wanted)
                link = self.came_about(tx, link, side, effect)
                link = link.with_side(side, replace(state, unconfirmed_count=0))
        return link

    def came_about(self, tx: Tx, link: Link, side: Side, effect: Effect) -> Link:
        """The link, the dead letters about this effect closed: nobody has to decide about it any more."""
        if not self.links.close_letters(tx, link.link_id, side, named(effect), self.clock()):
            return link
        left = self.links.open_letters(tx, link.link_id, side)
        return link.with_lane(side, replace(link.lane(side), dead=left[-1] if left else "", refused=None))

    def as_a_note(self, tx: Tx, link: Link) -> Link:
        """The link, done with a resolve that becomes a note: other alerts on its incident are not over."""
        if not link.shares or link.agreed is Status.RESOLVED or link.alert_side.status is not Status.RESOLVED:
            return link
        wanted = wanted_incident_status(link, self.shared(tx, link, Side.PAGERDUTY), self.rest())
        if link.status is not Status.RESOLVED or wanted is Status.RESOLVED or link.incident_side.pending is not None:
            return link
        return replace(link, agreed=Status.RESOLVED, incident_side=replace(link.incident_side, inherited=True))

    def on_its_own(self, tx: Tx, link: Link) -> Link:
        """The link, off an incident that it was merged into and cannot open again."""
        if not link.merged or not needs_own_incident(link, self.shared(tx, link, Side.PAGERDUTY)):
            return link
        alone = with_own_incident(link)
        self.links.write_timeline(tx, [line(alone, "incident.left", self.clock(), {"left": link.incident_id})])
        return alone

    def holding(self, lane: Lane, seconds: float) -> Lane:
        """The lane with a delivery that is not owed before the hold is over."""
        due_at = self.clock() + timedelta(seconds=seconds)
        return replace(lane, waits_for=HELD_RESOLVE, due_at=due_at, since=due_at)

    def _goes_first(self, lane: Lane, effect: Effect, held: float) -> bool:
        """Whether a fresh delivery takes the place of the one asleep: for something at least as urgent, or because it
        would sleep on when the hold is over."""
        wakes_late = bool(held and lane.due_at and lane.due_at > self.clock() + timedelta(seconds=held) + SURELY_ASLEEP)
        if is_held(effect) and held:
            return wakes_late
        return wakes_late or overtakes(effect, lane.waits_for)

    def _is_asleep(self, lane: Lane) -> bool:
        """Whether the outstanding delivery is a delayed one that cannot have begun."""
        return lane.outstanding and lane.due_at is not None and self.clock() + SURELY_ASLEEP < lane.due_at

    def _store(self, tx: Tx, link: Link) -> Link:
        if link.link_id == NOT_STORED:
            return self.links.add(tx, link)
        self.links.save(tx, link)
        return link

    def order(self, link: Link, side: Side, seq: int, effect: Effect, delay: float | None) -> Order:
        """A delivery that begins with this effect, on the queue where it is neither late nor in the way."""
        through = door(link, effect)
        calm = side is Side.TRUTHVOUCH or isinstance(effect, OpenIncident)
        queue = through if calm else through + CHANGES
        return Order(queue, link.link_id, side, seq, _priority(link, side, effect), delay)

    def target(self, link: Link, side: Side) -> str:
        """The counter's name of what a delivery goes to."""
        return side.value if side is Side.TRUTHVOUCH else f"{side.value}-{link.via.value}"

    def survivor(self, tx: Tx, incident_id: IncidentId) -> SideState | None:
        """What is known of an incident that another was merged into."""
        ours = self.links.by_incident(tx, incident_id)
        own = [link for link in ours if not link.incident_side.inherited]
        return next((link.incident_side for link in (*own, *ours)), None)

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
            survivor = self.survivor(tx, word.merged_into) if word.merged_into else None
            step = advance(link, word, now, survivor=survivor, readable=self.rest())
            told = line(step.link, word.event, now, {"outcome": step.outcome.value, "kept": True}, word.author)
            self.links.write_timeline(tx, [told])
            link = step.link
        if link.incident_id != incident_id:  # merged on, before anybody knew that it had come there
            return self.attached(tx, before, link, now)
        if self.arm is not None and self.rest():
            self.arm(tx, before, link, now)
        return link

    def followed(self, tx: Tx, before: Link, link: Link, now: datetime) -> None:
        """A delivery changed what both sides should be: the incident's escalation goes with it."""
        if self.follow is not None:
            self.links.write_timeline(tx, self.follow(tx, before, link, now))

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
    incomplete = not link.last_note or link.note_to_read
    waits = isinstance(effect, SetAlert) and effect.status is Status.RESOLVED and incomplete
    return RESOLUTION_NOTE_GRACE_SECONDS if waits else None


def _overtaking(link: Link, side: Side, at: datetime) -> tuple[Link, Lane]:
    """The link with a fresh delivery instead of the delayed one, which will find its number outdated."""
    lane = link.lane(side)
    since = at if lane.waits_for == HELD_RESOLVE else lane.since
    lane = untried(replace(lane, seq=lane.seq + 1, since=since))
    return link.with_lane(side, lane), lane


def untried(lane: Lane) -> Lane:
    """The lane as it is before the first try of what it owes now."""
    return replace(lane, attempt=0, failing="", failing_since=None, waits_for="", due_at=None)


def _priority(link: Link, side: Side, effect: Effect) -> int:
    """Somebody to be woken first, a status before a look or a note."""
    if isinstance(effect, SetIncident):
        wakes = effect.status is Status.OPEN and link.decision is not None and link.decision.urgency is Urgency.HIGH
        return URGENT if wakes else SOON
    closes = isinstance(effect, LookForIncident) and link.incident_side.status is None
    if isinstance(effect, AddNote | ReadNote | LookForIncident):
        return SOON if closes else LATER
    if isinstance(effect, ReadIncident | ReadAlert):
        return SOON
    return priority(link, side)
