"""The end of every transaction on a link: save it, enqueue what is now to be done, write its time line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from app.domain.model.types import IncidentId, Side, Status, Urgency, replace
from app.domain.sync.delivery import enqueued, without_outstanding
from app.domain.sync.effects import (
    HELD_RESOLVE,
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
    held_seconds,
    is_held,
    next_effect,
    priority,
    target_of,
    wanted_incident_status,
)
from app.domain.sync.link import NOT_STORED, DeliveryState, Link, needs_own_incident, with_own_incident
from app.domain.sync.retry import SURELY_ASLEEP, named, overtakes
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import REPEATS, advance
from app.ports import Clock, Engine, Links, Order, TimelineEntry, Tx, utc_now

RESOLUTION_NOTE_GRACE_SECONDS = 1.0
"""PagerDuty sends a resolve and its resolution note as two events, either first and a third of a second apart
(undocumented, seen in captures): the alert's resolve waits this long for the person's words, or the rest of them."""

CHANGES = "-changes"
"""The second queue of a PagerDuty target: status changes and notes, which neither delay pages nor wait behind them."""


@dataclass(frozen=True)
class LinkWriter:
    """Writes links and keeps at most one delivery outstanding per link and side."""

    links: Links
    engine: Engine
    has_api_key: Callable[[], bool]
    """Whether a PagerDuty API key is at hand."""
    clock: Clock = utc_now

    def save(self, tx: Tx, link: Link, at: datetime) -> Link:
        """Save the link and submit a delivery towards each side that needs one and has none outstanding.

        ``at``: when the event that caused it was accepted; the delivery's age counts from there.
        """
        link, orders = self.write(tx, link, at)
        self.submit(tx, orders)
        return link

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        """Enqueue deliveries with this transaction."""
        self.engine.submit(tx, orders)

    def write(self, tx: Tx, link: Link, at: datetime, trace: str | None = None) -> tuple[Link, list[Order]]:
        """Save the link; the answer names what the caller has to submit before this transaction ends. ``trace``: what
        it follows from."""
        link = self.on_its_own(tx, self.as_a_note(tx, self.kept(tx, link)))
        pending: list[tuple[Side, DeliveryState, Effect, float | None]] = []
        for side in Side:
            asleep = self._is_asleep(link.delivery(side))
            if link.delivery(side).outstanding and not asleep:
                continue
            effect, held = self.next_effect(tx, link, side)
            if effect is None and asleep and link.delivery(side).waits_for == HELD_RESOLVE:
                link = without_outstanding(
                    link, side
                )  # the hold is over: the one asleep finds that nobody waits for it
            if effect is None or (asleep and not self._goes_first(link.delivery(side), effect, held)):
                continue
            delay = held if is_held(effect) and held else _grace(link, effect)
            link, delivery = _overtaking(link, side, at) if asleep else enqueued(link, side, at)
            if is_held(effect) and held:
                delivery = self.holding(delivery, held)
                link = link.with_delivery(side, delivery)
            pending.append((side, delivery, effect, delay))
        link = self._store(tx, replace(link, trace=trace) if trace and pending else link)
        return link, [self.order(link, side, delivery.seq, effect, delay) for side, delivery, effect, delay in pending]

    def next_effect(self, tx: Tx, link: Link, side: Side) -> tuple[Effect | None, float]:
        """The next thing to do on that side, and for how many seconds the incident's resolve is still held back."""
        at = self.circumstances(tx, link, side)
        held = held_seconds(link, side, at.shared, at.now)
        return next_effect(link, side, replace(at, held=True) if held else at), held

    def circumstances(self, tx: Tx, link: Link, side: Side) -> Circumstances:
        """What a delivery has to know besides its link, but for a resolve that is held back."""
        return Circumstances(self.clock(), self.shared(tx, link, side), self.has_api_key())

    def kept(self, tx: Tx, link: Link) -> Link:
        """The link, its dead letter closed where a side stands at last where it had not kept, or refused, to be put:
        by whomever."""
        for side in Side:
            state, wanted = link.side(side), link.status
            gave_up = state.unconfirmed_count > REPEATS or link.delivery(side).refused is wanted
            if gave_up and state.status is wanted and (state.confirmed or not state.by_us):
                effect = SetAlert(wanted, None) if side is Side.TRUTHVOUCH else SetIncident(wanted)
                link = self.close_dead_letters_of(tx, link, side, effect)
                link = link.with_side(side, replace(state, unconfirmed_count=0))
        return link

    def close_dead_letters_of(self, tx: Tx, link: Link, side: Side, effect: Effect) -> Link:
        """The link, the dead letters about this effect closed: nobody has to decide about it any more."""
        if not self.links.close_dead_letters(tx, link.link_id, side, named(effect), self.clock()):
            return link
        left = self.links.open_dead_letters(tx, link.link_id, side)
        return link.with_delivery(side, replace(link.delivery(side), dead=left[-1] if left else "", refused=None))

    def as_a_note(self, tx: Tx, link: Link) -> Link:
        """The link, done with a resolve that becomes a note: other alerts on its incident are not over."""
        if not link.shares or link.agreed is Status.RESOLVED or link.alert_side.status is not Status.RESOLVED:
            return link
        wanted = wanted_incident_status(link, self.shared(tx, link, Side.PAGERDUTY), self.has_api_key())
        if link.status is not Status.RESOLVED or wanted is Status.RESOLVED or link.incident_side.pending is not None:
            return link
        return replace(link, agreed=Status.RESOLVED, incident_side=replace(link.incident_side, inherited=True))

    def on_its_own(self, tx: Tx, link: Link) -> Link:
        """The link, off an incident that it was merged into and cannot open again."""
        if not link.merged or not needs_own_incident(link, self.shared(tx, link, Side.PAGERDUTY)):
            return link
        alone = with_own_incident(link)
        self.links.write_timeline(tx, [line(link, "incident.left", self.clock(), {"left": link.incident_id})])
        return alone

    def holding(self, delivery: DeliveryState, seconds: float) -> DeliveryState:
        """The state of a delivery that is not due before the hold is over."""
        due_at = self.clock() + timedelta(seconds=seconds)
        return replace(delivery, waits_for=HELD_RESOLVE, due_at=due_at, since=due_at)

    def _goes_first(self, delivery: DeliveryState, effect: Effect, held: float) -> bool:
        """Whether a fresh delivery takes the place of the one asleep: for something at least as urgent, or because it
        would sleep on when the hold is over."""
        wakes_late = bool(
            held and delivery.due_at and delivery.due_at > self.clock() + timedelta(seconds=held) + SURELY_ASLEEP
        )
        if is_held(effect) and held:
            return wakes_late
        return wakes_late or overtakes(effect, delivery.waits_for)

    def _is_asleep(self, delivery: DeliveryState) -> bool:
        """Whether the outstanding delivery is a delayed one that cannot have begun."""
        return delivery.outstanding and delivery.due_at is not None and self.clock() + SURELY_ASLEEP < delivery.due_at

    def _store(self, tx: Tx, link: Link) -> Link:
        if link.link_id == NOT_STORED:
            return self.links.add(tx, link)
        self.links.save(tx, link)
        return link

    def order(self, link: Link, side: Side, seq: int, effect: Effect, delay: float | None) -> Order:
        """A delivery that begins with this effect, on the queue where it is neither late nor in the way."""
        target = target_of(link, effect)
        calm = side is Side.TRUTHVOUCH or isinstance(effect, OpenIncident)
        queue = target if calm else target + CHANGES
        return Order(queue, link.link_id, side, seq, _priority(link, side, effect), delay)

    def target(self, link: Link, side: Side) -> str:
        """The counter's name of what a delivery goes to."""
        return side.value if side is Side.TRUTHVOUCH else f"{side.value}-{link.via.value}"

    def shared(self, tx: Tx, link: Link, side: Side) -> tuple[Link, ...]:
        """Every link on the same incident, this one as it is now."""
        if side is Side.TRUTHVOUCH or link.incident_id is None or not link.shares:
            return (link,)
        others = self.links.by_incident(tx, link.incident_id)
        return (*(other for other in others if other.link_id != link.link_id), link)


def survivor_of(links: Links, tx: Tx, incident_id: IncidentId) -> SideState | None:
    """What is known of an incident that another was merged into."""
    ours = links.by_incident(tx, incident_id)
    own = [link for link in ours if not link.incident_side.inherited]
    return next((link.incident_side for link in (*own, *ours)), None)


def with_unmatched_events(links: Links, tx: Tx, before: Link, link: Link, now: datetime, has_api_key: bool) -> Link:
    """The link after it learned which incident is its own: it may share it with others (a merge), and events may have
    come for it before anybody knew whose they were."""
    incident_id = link.incident_id
    if incident_id is None or incident_id == before.incident_id:
        return link
    others = [other for other in links.by_incident(tx, incident_id) if other.link_id != link.link_id]
    for other in others:
        links.save(tx, replace(other, guests=True))
        link = replace(link, guests=True)
    if others and before.incident_id is None and has_api_key:
        # They were told what happened there while this link was looking for it: what it found may be older.
        link = link.with_side(Side.PAGERDUTY, replace(link.incident_side, must_read=True))
    for event in links.take_unmatched(tx, incident_id):
        survivor = survivor_of(links, tx, event.merged_into) if event.merged_into else None
        step = advance(link, event, now, survivor=survivor, readable=has_api_key)
        entry = line(step.link, event.name, now, {"outcome": step.outcome.value, "replayed": True}, event.author)
        links.write_timeline(tx, [entry])
        link = step.link
    if link.incident_id != incident_id:  # merged on, before anybody knew that it had come there
        return with_unmatched_events(links, tx, before, link, now, has_api_key)
    return link


def line(link: Link, event: str, at: datetime, facts: Mapping[str, Any], author: str | None = None) -> TimelineEntry:
    """One line of the link's time line."""
    return TimelineEntry(at, event, link.link_id, link.alert.alert_id, link.incident_id, author, facts)


def took_ms(began: datetime | None, answered_at: datetime) -> int:
    """How long a call took, in milliseconds; 0 where nobody was asked, or the clock was put back meanwhile."""
    return max(0, round((answered_at - began).total_seconds() * 1000)) if began else 0


def _grace(link: Link, effect: Effect) -> float | None:
    incomplete = not link.last_note or link.note_to_read
    waits = isinstance(effect, SetAlert) and effect.status is Status.RESOLVED and incomplete
    return RESOLUTION_NOTE_GRACE_SECONDS if waits else None


def _overtaking(link: Link, side: Side, at: datetime) -> tuple[Link, DeliveryState]:
    """The link with a fresh delivery instead of the delayed one, which will find its number outdated."""
    delivery = link.delivery(side)
    since = at if delivery.waits_for == HELD_RESOLVE else delivery.since
    delivery = untried(replace(delivery, seq=delivery.seq + 1, since=since))
    return link.with_delivery(side, delivery), delivery


def untried(delivery: DeliveryState) -> DeliveryState:
    """The state before the first try of what is to be done now."""
    return replace(delivery, attempt=0, failing="", failing_since=None, waits_for="", due_at=None)


def _priority(link: Link, side: Side, effect: Effect) -> int:
    """Somebody to be woken first, a status before a read or a note."""
    if isinstance(effect, SetIncident):
        wakes = effect.status is Status.OPEN and link.decision is not None and link.decision.urgency is Urgency.HIGH
        return URGENT if wakes else SOON
    closes = isinstance(effect, LookForIncident) and link.incident_side.status is None
    if isinstance(effect, AddNote | ReadNote | LookForIncident):
        return SOON if closes else LATER
    if isinstance(effect, ReadIncident | ReadAlert):
        return SOON
    return priority(link, side)
