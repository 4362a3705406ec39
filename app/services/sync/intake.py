"""Takes rows of the inbox in, in order: each event is applied to its links, and what is then to be done is enqueued.

One transaction holds the links, the time line, the enqueued deliveries and the place in the inbox, so a crash at any
instant either did all of it or none, and a row is taken exactly once. No partner is called here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import structlog

from app.domain.model.events import (
    AlertEvent,
    AlertEventType,
    Command,
    Event,
    Ignored,
    IncidentEvent,
    IncidentEventType,
    Reading,
    Unreadable,
)
from app.domain.model.types import AlertId, Side, Source, Status, Via, incident_key
from app.domain.rules.decide import decide
from app.domain.rules.rulebook import fit_to_leave
from app.domain.sync.delivery import WRITE_LOST, not_kept_dead_letter
from app.domain.sync.erasure import fit_to_keep
from app.domain.sync.link import Link
from app.domain.sync.retry import named
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import Outcome, Step, acknowledged_before_leaving, adopting, advance, hinted
from app.ports import (
    SHADOW_DIFFERS,
    Clock,
    DeadLetter,
    Escalator,
    InboxReader,
    InboxRow,
    Links,
    Meter,
    Order,
    Read,
    RulebookSource,
    ShadowRules,
    StoreUnavailable,
    TakenBody,
    TimelineEntry,
    Transactions,
    Tx,
    utc_now,
)
from app.remote.trace import trace_id
from app.services.sync.link_writer import LinkWriter, line, survivor_of, with_unmatched_events

# -------------------------------------------------------------------------------------------------------- process event

IGNORED = "event.ignored"
NO_NEWS = frozenset({Outcome.ALREADY_SO, Outcome.UNDER_WAY, Outcome.STALE, Outcome.TIMELINE_ONLY})
"""What a read mostly finds: not worth a line every few minutes."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of something that was read from the inbox, for the log and the counters."""

    event: str
    facts: Mapping[str, Any]
    reason: str = ""
    """Why it was ignored or parked."""
    counted_as: str = ""
    """What kind of dead letter it became; empty where it became none."""
    source: Source | None = None
    """Whose event it was, where that is not who delivered it."""


@dataclass
class Gathered:
    """What a batch of events leaves to be written at its end, all at once; and to be said once that stands."""

    entries: list[TimelineEntry] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    taken: list[tuple[InboxRow, Reading, Taken]] = field(default_factory=list)
    bodies: list[TakenBody] = field(default_factory=list)
    """What the raw bodies are about: each can be erased with its alert."""
    trace: str | None = None
    """That of the row which is applied now."""


@dataclass(frozen=True)
class ProcessEvent:
    """Applies events inside the caller's transaction; calls no partner."""

    links: Links
    writer: LinkWriter
    rulebook: RulebookSource
    via: Callable[[], Via]
    escalations: Escalator | None = None
    shadow: ShadowRules | None = None
    """The draft that is asked beside the rulebook."""

    def __call__(self, tx: Tx, event: Event, at: datetime, inbox_id: int, gathered: Gathered) -> Taken:
        """Apply one event that was accepted ``at``."""
        found = self._links_of(tx, event, at, gathered)
        erased_at = next((link.erased_at for link in found if link.erased_at), None)
        gathered.bodies += [TakenBody(inbox_id, one, erased_at is not None) for one in _subjects(event) if inbox_id]
        if erased_at is not None and isinstance(event, AlertEvent):
            event = fit_to_keep(event, erased_at)
        if not found:
            self._update_escalations(tx, event, found, found, at, gathered)
            return self._unmatched(tx, event, at, inbox_id)
        steps = [self._apply(tx, link, found, event, at, gathered) for link in found]
        self._pass_to_those_who_left(tx, event, found, at, gathered)
        self._update_escalations(tx, event, found, [step.link for step in steps], at, gathered)
        recorded = [step for step in steps if not (_is_read(event) and step.outcome in NO_NEWS)]
        traced = {"trace_id": trace_id(gathered.trace)} if gathered.trace else {}
        gathered.entries += [
            line(step.link, event.name, at, _facts(step, event) | traced, event.author) for step in recorded
        ]
        return _applied(steps[0], event)

    def _apply(
        self, tx: Tx, link: Link, shared: Sequence[Link], event: Event, at: datetime, gathered: Gathered
    ) -> Step:
        decision = None
        if isinstance(event, AlertEvent) and event.type is AlertEventType.CREATED:
            decision = decide(self.rulebook.current(), link.alert.updated_by(event.alert), self.writer.clock())
        redacted = fit_to_leave(event, self.rulebook.current().redaction)
        readable = isinstance(event, AlertEvent) or self.writer.has_api_key()
        step = advance(link, redacted, at, decision, self._survivor(tx, event), readable, shared)
        attached = with_unmatched_events(self.links, tx, link, step.link, at, self.writer.has_api_key())
        if self.escalations is not None and self.writer.has_api_key():
            self.escalations.attached(tx, link, attached, at)
        saved, orders = self.writer.write(tx, attached, at, gathered.trace)
        gathered.orders += orders
        gathered.entries += [*_about_a_hold(link, saved, at), *self._shadowed(link, saved, at)]
        gathered.entries += _about_bounds(link, saved, at)
        self._give_up(tx, saved, step.outcome, event, at)
        if step.outcome is Outcome.FROZEN:
            facts = {
                "because": "ten changes within a minute, the sides taking turns",
                "end_it": "truthvouch links thaw",
            }
            gathered.entries.append(line(saved, "link.frozen", at, facts))
        return Step(saved, step.outcome)

    def _pass_to_those_who_left(
        self, tx: Tx, event: Event, shared: Sequence[Link], at: datetime, gathered: Gathered
    ) -> None:
        """An acknowledge may come in late, when alerts it was meant for have an incident of their own."""
        guests = isinstance(event, IncidentEvent) and any(link.guests for link in shared)
        if not guests or event.type is not IncidentEventType.ACKNOWLEDGED:
            return
        for link in self.links.left(tx, event.incident_id):
            step = acknowledged_before_leaving(link, event, shared[0].incident_side, at)
            if step.link != link:
                saved, orders = self.writer.write(tx, step.link, at, gathered.trace)
                gathered.orders += orders
                gathered.entries.append(line(saved, event.name, at, _facts(step, event), event.author))

    def _give_up(self, tx: Tx, link: Link, outcome: Outcome, event: Event, at: datetime) -> None:
        """A write that a side did not keep once too often becomes a dead letter."""
        side = Side.TRUTHVOUCH if isinstance(event, AlertEvent) else Side.PAGERDUTY
        effect = not_kept_dead_letter(link, side) if outcome is Outcome.WRITE_LOST else None
        if effect is not None:
            count = link.side(side).unconfirmed_count
            dead_letter = DeadLetter(0, "effect", WRITE_LOST, at, count, "", link.link_id, side, effect=named(effect))
            self.links.add_dead_letter(tx, dead_letter)

    def _shadowed(self, before: Link, link: Link, at: datetime) -> list[TimelineEntry]:
        """What the draft would have decided, where this event was decided and the draft says otherwise."""
        if self.shadow is None or link.decision is None or link.decision == before.decision:
            return []
        facts = self.shadow.differs(link.decision, link.alert, self.writer.clock())
        return [line(link, SHADOW_DIFFERS, at, facts)] if facts else []

    def _update_escalations(
        self, tx: Tx, event: Event, before: Sequence[Link], links: Sequence[Link], at: datetime, gathered: Gathered
    ) -> None:
        """Whatever is said of an incident stops or starts its escalation, whether an alert is behind it or not."""
        if self.escalations is None:
            return
        if isinstance(event, IncidentEvent):
            gathered.entries += self.escalations.event_applied(tx, event, before, links, at)
            return
        for known, link in zip(before, links, strict=True):
            gathered.entries += self.escalations.followed(tx, known, link, at, event.author)

    def _links_of(self, tx: Tx, event: Event, at: datetime, gathered: Gathered) -> Sequence[Link]:
        if isinstance(event, AlertEvent):
            known_alert = self.links.by_alert(tx, event.alert.alert_id)
            if known_alert is None and event.type is AlertEventType.READ:
                return []
            return [known_alert or self._new_link(event, at)]
        known = self.links.by_incident(tx, event.incident_id)
        if known:
            return known
        by_key = self.links.by_key(tx, event.incident_key) if event.incident_key else None
        if by_key is None and event.alert_id_hint:
            by_key = self.links.by_key(tx, incident_key(AlertId(event.alert_id_hint)))
        if by_key is None or by_key.incident_id is not None:
            return []  # after a resolve the key is free again: this is another incident than the one we opened
        if event.type is IncidentEventType.READ:
            return [by_key]
        if event.alert_id_hint and not event.incident_key and not by_key.wants_incident:
            # Somebody's own incident about an alert that pages nobody: no page can be kept from being made.
            return [adopting(by_key, event.incident_id)]
        self._hint(tx, by_key, event, at, gathered)
        return []

    def _hint(self, tx: Tx, link: Link, event: IncidentEvent, at: datetime, gathered: Gathered) -> None:
        """A webhook is no proof: what it says is kept until our own answer or read shows that the incident is ours."""
        updated = hinted(link, event.incident_id)
        if updated != link:
            _, orders = self.writer.write(tx, updated, at)
            gathered.orders += orders

    def _new_link(self, event: AlertEvent, at: datetime) -> Link:
        """An alert found by looking may have been paged before, by a bridge that lost its store: look for the page."""
        alert, found = event.alert, event.read_at is not None
        return Link(alert, incident_key(alert.alert_id), first_seen_at=at, via=self.via(), open_tried=found)

    def _survivor(self, tx: Tx, event: Event) -> SideState | None:
        """What is known of the incident that another was merged into, which from now on has guests."""
        if not isinstance(event, IncidentEvent) or event.merged_into is None:
            return None
        for link in self.links.by_incident(tx, event.merged_into):
            self.links.save(tx, replace(link, guests=True))
        return survivor_of(self.links, tx, event.merged_into)

    def _unmatched(self, tx: Tx, event: Event, at: datetime, inbox_id: int) -> Taken:
        if isinstance(event, AlertEvent):
            return Taken(IGNORED, {"alert_id": event.alert.alert_id}, "unknown_alert", source=Source.TRUTHVOUCH)
        facts = {"incident_id": event.incident_id}
        if event.type in (IncidentEventType.MENTIONED, IncidentEventType.READ):
            return Taken(IGNORED, facts, "unknown_incident", source=Source.PAGERDUTY)
        self.links.keep_unmatched(tx, event, inbox_id, at)
        return Taken(IGNORED, facts, "unknown_incident_kept", source=Source.PAGERDUTY)


def _subjects(event: Event) -> tuple[str, ...]:
    """Whom an event is about; a merge is about both incidents."""
    if isinstance(event, AlertEvent):
        return (event.alert.alert_id,)
    return (event.incident_id, event.merged_into) if event.merged_into else (event.incident_id,)


def _about_a_hold(before: Link, link: Link, at: datetime) -> list[TimelineEntry]:
    """Why PagerDuty is not told of a resolve yet, or of one that did not last."""
    if link.flaps > before.flaps:
        return [line(link, "incident.flap_held", at, {"flaps": link.flaps, "sent": "nothing"})]
    until, there = link.hold_until, link.incident_side.status not in (None, Status.RESOLVED)
    if until is None or until == before.hold_until or until <= at or not there or link.decision is None:
        return []
    facts = {"until": until.isoformat(), "minutes": link.decision.hold_resolve_minutes}
    return [line(link, "incident.resolve_held", at, facts)]


def _about_bounds(before: Link, link: Link, at: datetime) -> list[TimelineEntry]:
    """What a link that says too much lets go."""
    lines = []
    if link.history_dropped and not before.history_dropped:
        lines.append(
            line(link, "link.history_full", at, {"kept": len(link.history), "dropped": "the oldest, from now on"})
        )
    if link.notes_dropped > before.notes_dropped:
        lines.append(line(link, "link.note_dropped", at, {"notes": link.notes_dropped - before.notes_dropped}))
    return lines


def _is_read(event: Event) -> bool:
    return event.type in (AlertEventType.READ, IncidentEventType.READ)


def _facts(step: Step, event: Event) -> dict[str, Any]:
    facts: dict[str, Any] = {"outcome": step.outcome.value, "status": step.link.status.value}
    decision = step.link.decision
    if isinstance(event, AlertEvent) and event.type is AlertEventType.CREATED and decision is not None:
        facts |= {"rule": decision.rule, "rulebook": decision.version, "reason": decision.reason}
        facts["urgency"] = decision.urgency.value if decision.urgency else "none"
    if event.read_at is not None:
        facts |= {"found_by": "reconciliation"} | ({"found": event.status.value} if event.status else {})
    return facts


def _applied(step: Step, event: Event) -> Taken:
    link, side = step.link, "alert" if isinstance(event, AlertEvent) else "incident"
    facts: dict[str, Any] = {"event_name": event.name, "outcome": step.outcome.value, "link_id": link.link_id}
    facts |= {"alert_id": link.alert.alert_id, "incident_id": link.incident_id, "status": link.status.value}
    return Taken(f"{side}.event_applied", facts)


# --------------------------------------------------------------------------------------------------------------- intake

log = structlog.get_logger()

BATCH_ROWS = 32
"""Rows per transaction: enough to share a commit, few enough not to hold the store's lock long."""

BROKEN_BATCHES = 3
"""After so many failures in a row the rows are taken one by one, and the one that fails is parked."""

PARKED = "event.parked"

TIME_UNREAD = "time_not_understood"
"""The reason word of an event whose time is there and cannot be read: it counts as told without one."""


@dataclass
class Intake:
    """Reads, applies and records; calls no partner."""

    transactions: Transactions
    inbox_reader: InboxReader
    links: Links
    writer: LinkWriter
    process_event: ProcessEvent
    execute_command: Callable[[Tx, Command, datetime, Gathered], Taken]
    """``commands.ExecuteCommand``."""
    readers: Mapping[Source, Read]
    meter: Meter
    clock: Clock = utc_now
    erase_bodies: Callable[[], None] = lambda: None
    """Asks for what is due to be erased soon."""
    _broken: int = field(default=0, init=False)

    def take(self) -> int:
        """Take in one batch; the answer is how many rows, 0 when the inbox is empty.

        A row that breaks its batch is parked under its reason, and the rest goes on.
        """
        try:
            taken = self._take(BATCH_ROWS)
        except _Poison as poison:
            return self._park(poison.row, poison.reason)
        except StoreUnavailable:
            raise
        except Exception as fault:
            self._broken += 1
            if self._broken < BROKEN_BATCHES:
                raise
            return self._one_by_one(f"poison:{type(fault).__name__}")
        self._broken = 0
        return taken

    def _one_by_one(self, reason: str) -> int:
        """The store itself refuses something in this batch: take what it does not refuse, and park what it does."""
        tried = self._next_id()
        try:
            return self._take(1)
        except StoreUnavailable:
            raise
        except Exception:
            with self.transactions.begin() as tx:
                rows = self.inbox_reader.next_rows(tx, 1)
            return self._park(rows[0], reason) if rows and rows[0].inbox_id == tried else 0

    def _next_id(self) -> int | None:
        with self.transactions.begin() as tx:
            rows = self.inbox_reader.next_rows(tx, 1)
        return rows[0].inbox_id if rows else None

    def _take(self, limit: int) -> int:
        if not self.inbox_reader.waits():
            return 0
        gathered = Gathered()
        with self.transactions.begin() as tx:
            rows = self.inbox_reader.next_rows(tx, limit)
            if rows:
                with self.links.batch(tx):
                    for row in rows:
                        self._apply_row(tx, row, gathered)
                self._write_down(tx, gathered)
                self.inbox_reader.mark_taken(tx, rows, self.clock())
        self._report(gathered)
        return len(rows)

    def _write_down(self, tx: Tx, gathered: Gathered) -> None:
        self.links.write_timeline(tx, gathered.entries)
        self.links.take_bodies(tx, gathered.bodies)
        self.writer.submit(tx, gathered.orders)

    def _report(self, gathered: Gathered) -> None:
        if any(body.due for body in gathered.bodies):
            self.erase_bodies()
        for row, reading, taken in gathered.taken:
            source = taken.source or row.delivery.source
            facts = {**taken.facts, "request_id": row.delivery.request_id}
            if row.delivery.trace:
                facts["trace_id"] = trace_id(row.delivery.trace)
            if taken.reason:
                facts |= {"reason": taken.reason, "source": source.value}
            if isinstance(reading, AlertEvent | IncidentEvent) and reading.time_unread:
                facts[TIME_UNREAD] = row.delivery.source.value
                self.meter.dropped(row.delivery.source, TIME_UNREAD)
            if taken.counted_as:
                _loud(taken.counted_as, log.warning)(taken.event, kind=taken.counted_as, **facts)
                self.meter.parked(taken.counted_as, taken.reason)
            else:
                log.info(taken.event, **facts)
            if taken.event == IGNORED:
                self.meter.dropped(source, taken.reason)

    def _apply_row(self, tx: Tx, row: InboxRow, gathered: Gathered) -> None:
        gathered.trace = row.delivery.trace
        try:
            for reading in self.readers[row.delivery.source](row.delivery.body, row.delivery.content_encoding):
                gathered.taken.append((row, reading, self._apply(tx, row, reading, gathered)))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError) as fault:
            raise _Poison(row, f"poison:{type(fault).__name__}") from fault

    def _apply(self, tx: Tx, row: InboxRow, reading: Reading, gathered: Gathered) -> Taken:
        received_at = row.delivery.received_at
        if isinstance(reading, Unreadable):
            dead_letter = self._dead_letter(row, reading.reason, reading.detail)
            self.links.add_dead_letter(tx, dead_letter)
            return Taken(PARKED, {}, reading.reason, dead_letter.counted_as)
        if isinstance(reading, Ignored):
            return Taken(IGNORED, {}, reading.reason)
        if isinstance(reading, Command):
            return self.execute_command(tx, reading, received_at, gathered)
        return self.process_event(tx, reading, received_at, row.inbox_id, gathered)

    def _dead_letter(self, row: InboxRow, reason: str, detail: str = "") -> DeadLetter:
        # A command or an observed event of ours has no side.
        side = None if row.delivery.source is Source.BRIDGE else row.delivery.source.side
        return DeadLetter(0, "event", reason, self.clock(), detail=detail, side=side, inbox_id=row.inbox_id)

    def _park(self, poison_row: InboxRow, reason: str) -> int:
        """Take in what stood before the poisonous row one by one, then park it."""
        dead_letter = self._dead_letter(poison_row, reason)
        say = _loud(dead_letter.counted_as, log.error)
        say(PARKED, inbox_id=poison_row.inbox_id, kind=dead_letter.counted_as, reason=reason)
        self.meter.parked(dead_letter.counted_as, "poison")
        self._broken = 0
        while True:
            gathered = Gathered()
            with self.transactions.begin() as tx:
                row = self.inbox_reader.next_rows(tx, 1)[0]
                if row.inbox_id == poison_row.inbox_id:
                    self.links.add_dead_letter(tx, dead_letter)
                else:
                    self._apply_row(tx, row, gathered)
                self._write_down(tx, gathered)
                self.inbox_reader.mark_taken(tx, [row], self.clock())
            self._report(gathered)
            if row.inbox_id == poison_row.inbox_id:
                return 1


def _loud(kind: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """What may be a page that nobody gets is as loud as one that was refused."""
    return log.critical if kind == "page" else otherwise


class _Poison(Exception):
    """A row whose taking-in fails every time. Rolls its batch back."""

    def __init__(self, row: InboxRow, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.reason = reason
