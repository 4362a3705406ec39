"""Random scenarios of one alert, its incident and the bridge, played over the state machine alone.

Three clocks run apart, webhooks are late, doubled, crossed and lost, calls are slow, their answers get lost, the worker
dies between a call and its record, and people act on both sides whenever they like. Nothing here is stored and nothing
sleeps, so thousands of scenarios take seconds; ``tests/stateful`` plays fewer of them on real stores.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from math import floor
from random import Random
from typing import Any

from app.domain.model.events import AlertEvent, AlertEventType, Event, IncidentEvent, IncidentEventType
from app.domain.model.incident import AlertFacts, IncidentFacts
from app.domain.model.outcome import Done, Refused, Reply, Retry
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Status, Urgency, Via, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.delivery import Result, intending, may_have_happened, record, without_outstanding
from app.domain.sync.effects import (
    NOT_THERE_YET,
    READS_FOR_AN_ID,
    Circumstances,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetAlert,
    SetIncident,
    next_effect,
)
from app.domain.sync.link import Link
from app.domain.sync.transitions import advance

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
OPEN, ACKNOWLEDGED, RESOLVED = Status
TV, PD = Side
PAGE = Decision(Urgency.HIGH, "rule", "test", "a test")
INCIDENT = IncidentId("Q1")
OUR_WORDS = "what the bridge wrote"
READS_BEFORE_A_PAGE = 2
"""As in ``services/sync/execute_effect.py``."""


@dataclass(frozen=True)
class Switches:
    """What kind of world the scenario plays in."""

    via: Via = Via.REST
    skew: float = 300.0
    """Seconds by which each of the three clocks may be off, either way: two of them are up to ten minutes apart."""
    drift: float = 0.0
    """Seconds that a partner's clock may gain or lose in an hour."""
    ahead: float = 0.0
    """Seconds by which TruthVouch's clock is ahead, besides."""
    gap: tuple[float, float] = (4.0, 10.0)
    """Seconds between two acts."""
    acts: int = 6
    webhook: float = 1.5
    """Longest ordinary delay of a webhook."""
    retried: float = 0.0
    """How often a webhook fails and comes after 1, 5 or 30 minutes."""
    doubled: float = 0.0
    lost: float = 0.0
    shuffled: bool = False
    """Webhooks of one side overtake one another."""
    latency: float = 0.8
    unclear: float = 0.0
    """How often a call is made and its answer lost."""
    failing: float = 0.0
    """How often a call is not made."""
    killed: float = 0.0
    """How often the worker dies between a call and its record."""
    reads: bool = True
    """Reconciliation reads both sides, every half minute or so and once more when all is over."""
    reports_api_changes: bool = True
    keeps_acknowledges: bool = True
    reopens: bool = True
    """TruthVouch opens again what is resolved."""
    alerts_reopen: bool = True
    """PagerDuty's own alert behind an incident opens with it."""
    reports_time: bool = True
    """TruthVouch's webhooks carry a time."""
    readable: bool = True
    """TruthVouch shows one alert by its id."""


@dataclass
class Act:
    """What a person did."""

    at: float
    side: Side
    status: Status
    quiet: bool
    """Both sides and the bridge agreed before it, and nothing was under way."""
    writes: int
    """How many of the bridge's writes had arrived before it."""
    alike: bool
    """Both sides stood alike after it."""
    second: datetime
    """When, by the clock of its side, which tells no more of our writes than that."""
    words: str
    """What the person wrote with it."""


@dataclass
class Far:
    """One partner as it really is."""

    status: Status = OPEN
    changed_at: float = 0.0
    skew: float = 0.0
    drift: float = 0.0
    child_resolved: bool = False
    last_due: float = 0.0
    lost: int = 0


@dataclass
class Outstanding:
    """A delivery: waiting, or amid a call."""

    due: float | None = None
    busy: bool = False
    first_run: bool = True
    since: float = 0.0
    number: int = 0


@dataclass(order=True)
class Happening:
    """Something that happens at a time."""

    at: float
    number: int
    do: Callable[[], None] = field(compare=False)


class Scenario:
    """One scenario. ``play`` it, then look at ``link``, ``far``, ``acts`` and ``calls``."""

    def __init__(self, seed: int, switches: Switches) -> None:
        self.random, self.switches = Random(seed), switches
        self.now, self.queue, self.number = 0.0, list[Happening](), 0
        self.far = {side: Far(skew=self.off(switches.skew), drift=self.off(switches.drift)) for side in Side}
        self.far[TV].skew += switches.ahead
        self.ours = self.off(switches.skew)
        self.acts: list[Act] = []
        self.calls: list[tuple[float, Effect]] = []
        self.log: list[str] = []
        self.outstanding = {side: Outstanding() for side in Side}
        alert = Alert(AlertId("a1"), severity="critical")
        self.link = Link(alert, incident_key(alert.alert_id), self.clock(), via=switches.via)
        self.dead_letters: list[Effect] = []
        self.writes = 0
        self.arrivals: set[tuple[Side, datetime]] = set()
        """The seconds, by each side's clock, in which a write of the bridge arrived there."""
        self.pages = 0
        """How often somebody was paged: incidents that were made."""
        self.found_at = 0.0
        """When a look begins to show the incident."""
        self.under_way = 0
        """Webhooks that set out and are not there yet."""

    # ------------------------------------------------------------ time and chance

    def off(self, most: float) -> float:
        return self.random.uniform(-most, most)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.queue, Happening(self.now + seconds, self.number, do))

    def clock(self, side: Side | None = None) -> datetime:
        """That side's clock; ours."""
        seconds = self.now + self.ours
        if side is not None:
            far = self.far[side]
            seconds = self.now + far.skew + far.drift * self.now / 3600
        return START + timedelta(milliseconds=floor(seconds * 1000))

    def say(self, what: str) -> None:
        self.log.append(f"{self.now:9.3f} {what}")

    def play(self) -> "Scenario":
        """From the alert to long after the last act."""
        self.hook(TV, AlertEventType.CREATED, OPEN, self.clock(TV))
        at = 3.0
        for _ in range(self.random.randint(1, self.switches.acts)):
            self.after(at, self.person)
            at += self.random.uniform(*self.switches.gap)
        end = at + (2000 if self.switches.retried else 60)
        if self.switches.reads:
            every = self.random.uniform(20, 40)
            reads = [every * n for n in range(1, int(at / every) + 1)] + [end + 30 * n for n in range(1, 9)]
            for when in reads:
                for side in Side:
                    self.after(when, lambda side=side: self.begin_read(side))  # type: ignore[misc]
        while self.queue and len(self.calls) < 400:
            event = heapq.heappop(self.queue)
            self.now = event.at
            event.do()
        return self

    # ------------------------------------------------------------ the two sides

    def change(self, side: Side, status: Status, by: str) -> None:
        """The side moves, and tells of it."""
        far = self.far[side]
        before = far.status
        if before is status:
            return
        self.say(f"{side} {before} -> {status} by {by}")
        far.status, far.changed_at = status, self.now
        self.writes += by != "person"
        at = self.clock(side)
        quiet = side is TV and by != "person" and not self.switches.reports_api_changes
        if quiet:
            return
        if side is PD:
            if before is RESOLVED:
                far.child_resolved = not self.switches.alerts_reopen
                self.hook(PD, IncidentEventType.REOPENED, OPEN, at)
            elif status is OPEN:
                self.hook(PD, IncidentEventType.UNACKNOWLEDGED, OPEN, at)
            if status is RESOLVED:
                far.child_resolved = True
            if status is not OPEN:
                event_type = IncidentEventType.ACKNOWLEDGED if status is ACKNOWLEDGED else IncidentEventType.RESOLVED
                self.hook(PD, event_type, status, at)
        else:
            event_types = {
                OPEN: AlertEventType.REOPENED,
                ACKNOWLEDGED: AlertEventType.ACKNOWLEDGED,
                RESOLVED: AlertEventType.RESOLVED,
            }
            self.hook(TV, event_types[status], status, at, self.acts[-1].words if by == "person" else OUR_WORDS)

    def hook(self, side: Side, event_type: Any, status: Status, at: datetime, words: str | None = None) -> None:
        """A webhook sets out."""
        switches, far = self.switches, self.far[side]
        if event_type is not AlertEventType.CREATED and self.chance(switches.lost):
            far.lost += 1
            self.say(f"{side} {event_type} is lost")
            return
        delay = self.random.uniform(0.01, switches.webhook)
        if self.chance(switches.retried):
            delay += self.random.choice((60, 300, 1800))
        if not switches.shuffled and (side is PD or event_type is AlertEventType.CREATED or not switches.retried):
            delay = max(delay, far.last_due - self.now + 0.001)
            far.last_due = self.now + delay
        event: Event
        if side is TV:
            event = AlertEvent(
                event_type, self.link.alert, f"alert.{event_type}", at if switches.reports_time else None, text=words
            )
        else:
            event = IncidentEvent(event_type, INCIDENT, f"incident.{event_type}", at, author="Dana Example")
        self.under_way += 1
        self.after(delay, lambda: self.arrives(event))
        if self.chance(switches.doubled):
            self.after(delay + self.random.choice((0.1, 5, 60, 300)), lambda: self.receive(event))

    def arrives(self, event: Event) -> None:
        self.under_way -= 1
        self.receive(event)

    def person(self) -> None:
        side = self.random.choice([TV, PD]) if self.link.incident_id else TV
        status = self.far[side].status
        possible = {OPEN: [ACKNOWLEDGED, RESOLVED], ACKNOWLEDGED: [RESOLVED], RESOLVED: [OPEN]}[status]
        if side is PD and status is ACKNOWLEDGED:
            possible = [RESOLVED, OPEN]
        becomes = self.random.choice(possible)
        alike = self.far[PD if side is TV else TV].status is becomes
        words = f"words {len(self.acts)}."
        act = Act(self.now, side, becomes, self.is_quiet(), self.writes, alike, self.date(side), words)
        self.acts.append(act)
        self.change(side, becomes, "person")

    def is_quiet(self) -> bool:
        """Whether nothing is under way, and everybody agrees."""
        link, statuses = self.link, {far.status for far in self.far.values()}
        known = {link.alert_side.status, link.incident_side.status, link.status, link.agreed}
        busy = any(outstanding.busy or outstanding.due is not None for outstanding in self.outstanding.values())
        return not busy and not self.under_way and len(statuses | known) == 1

    # ------------------------------------------------------------ the bridge

    def receive(self, event: Event) -> None:
        if isinstance(event, IncidentEvent) and self.link.incident_id is None:
            self.after(0.2, lambda: self.receive(event))  # kept until the incident is known
            return
        decision = PAGE if event.type is AlertEventType.CREATED else None
        step = advance(self.link, event, self.clock(), decision)
        self.say(f"  received {event.name} at {event.at and event.at.time()}: {step.outcome}")
        self.save(step.link)

    def circumstances(self) -> Circumstances:
        return Circumstances(self.clock(), (self.link,))

    def save(self, link: Link) -> None:
        """Keep the link; a side with something to do gets a delivery."""
        before, self.link = self.link, link
        if before.status is not link.status or before.agreed is not link.agreed:
            self.say(f"  should be {link.status}, agreed {link.agreed}")
        for side in Side:
            outstanding = self.outstanding[side]
            effect = next_effect(self.link, side, self.circumstances())
            if effect is None or outstanding.busy:
                continue
            grace = 1.0 if isinstance(effect, SetAlert) and effect.status is RESOLVED else 0.02
            if outstanding.due is None:
                outstanding.since = self.now
                since = replace(self.link.delivery(side), outstanding=True, since=self.clock())
                self.link = self.link.with_delivery(side, since)
                self.wake(side, grace)
            elif outstanding.due > self.now + grace + 0.5 and not isinstance(effect, ReadAlert | ReadIncident):
                self.wake(side, grace)

    def wake(self, side: Side, delay: float) -> None:
        outstanding = self.outstanding[side]
        outstanding.number += 1
        outstanding.due = self.now + delay
        number = outstanding.number
        self.after(delay, lambda: self.deliver(side) if outstanding.number == number else None)

    def deliver(self, side: Side) -> None:
        outstanding = self.outstanding[side]
        effect = next_effect(self.link, side, self.circumstances())
        if effect is None:
            self.idle(side)
            return
        outstanding.due, outstanding.busy = None, True
        self.link = intending(self.link, side, effect, self.clock())
        self.calls.append((self.now, effect))
        began, latency = self.clock(), self.switches.latency
        asked_on = self.link
        if self.chance(self.switches.failing):
            self.after(0.01, lambda: self.answered(side, effect, Retry("connect_failed"), began))
            return

        def arrive() -> None:
            reply = self.effect(side, effect, asked_on)
            self.say(f"  call {effect} -> {reply}")
            back = self.random.uniform(0.005, latency)
            if self.chance(self.switches.killed):
                self.say("  killed before its record")
                self.after(back + 1.0, lambda: self.rerun(side))
            elif self.chance(self.switches.unclear):
                lost = Retry("read_timeout", unclear=True)
                self.after(back, lambda: self.answered(side, effect, lost, began))
            else:
                self.after(back, lambda: self.answered(side, effect, reply, began))

        self.after(self.random.uniform(0.005, latency), arrive)

    def rerun(self, side: Side) -> None:
        """The worker is back, and begins again what was not recorded."""
        outstanding = self.outstanding[side]
        outstanding.busy = False
        self.link = replace(self.link, open_tried=True)
        self.wake(side, 0.0)

    def idle(self, side: Side) -> None:
        self.outstanding[side].due, self.outstanding[side].busy = None, False
        self.link = without_outstanding(self.link, side)

    def answered(self, side: Side, effect: Effect, reply: Reply[Any], began: datetime) -> None:
        outstanding = self.outstanding[side]
        outstanding.busy = False
        tried = isinstance(effect, OpenIncident) and may_have_happened(reply)
        link = replace(self.link, open_tried=self.link.open_tried or tried)
        result: Result = record(link, side, effect, reply, self.clock(), 0.5, began)
        if result.dead:
            self.dead_letters.append(result.given_up or effect)
        self.say(f"  recorded {result.outcome} {result.reason}")
        before, self.link = self.link, result.link
        if before.status is not self.link.status or before.agreed is not self.link.agreed:
            self.say(f"  should be {self.link.status}, agreed {self.link.agreed}")
        wanted = next_effect(self.link, side, self.circumstances())
        if wanted is None:
            self.idle(side)
        else:
            quick = wanted != effect and not isinstance(wanted, ReadAlert | ReadIncident)
            self.wake(side, 0.02 if result.again_after is None or quick else result.again_after)
        self.save(self.link)

    def date(self, side: Side) -> datetime:
        return self.clock(side).replace(microsecond=0)

    def facts(self) -> IncidentFacts:
        far = self.far[PD]
        changed = START + timedelta(seconds=floor(far.changed_at + far.skew + far.drift * far.changed_at / 3600))
        return IncidentFacts(INCIDENT, far.status, incident_key=self.link.incident_key, status_changed_at=changed)

    def effect(self, side: Side, effect: Effect, asked_on: Link) -> Reply[Any]:
        """The call arrives."""
        far, date = self.far[side], self.date(side)
        if isinstance(effect, SetIncident | SetAlert):
            self.arrivals.add((side, date))
        match effect:
            case OpenIncident(look_first):
                if look_first and self.is_found():
                    return Done(self.facts(), date)
                self.page()
                return Done(None if self.switches.via is Via.EVENTS else self.facts(), date)
            case LookForIncident() if self.is_found():
                return Done(self.facts(), date)
            case LookForIncident():
                waits = asked_on.incident_side.status is not None or asked_on.pagerduty.attempt < READS_FOR_AN_ID
                return Retry(NOT_THERE_YET) if waits else Done(None, date)
            case SetIncident(Status.OPEN) if asked_on.by_event and asked_on.incident_id is None:
                # The one that was closed is looked for, and opened by REST.
                closed = self.is_found() and far.status is RESOLVED
                if not closed and asked_on.pagerduty.attempt < READS_BEFORE_A_PAGE:
                    return Retry(NOT_THERE_YET)
                if not self.is_found():
                    self.page()
                    return Done(None, date)
                self.change(PD, OPEN, "bridge")
                return Done(self.facts(), date)
            case SetIncident(status) if asked_on.by_event and status is not OPEN:
                if not far.child_resolved:
                    delay = self.random.uniform(0.0, 0.5)
                    self.after(delay, lambda: None if far.child_resolved else self.by_event(status))
                return Done(None, date)
            case SetIncident(status):
                self.change(PD, status, "bridge")
                return Done(self.facts(), date)
            case ReadIncident():
                return Done(self.facts(), date)
            case ReadAlert():
                if not self.switches.readable:
                    return Refused("not_found", 404)
                return Done(AlertFacts(self.link.alert.alert_id, far.status), date)
            case SetAlert(status):
                if far.status is RESOLVED and status is not RESOLVED and not self.switches.reopens:
                    return Refused("conflict", 409)
                if status is not ACKNOWLEDGED or self.switches.keeps_acknowledges:
                    self.change(TV, status, "bridge")
                return Done(None, date)
            case _:
                return Done(None, date)

    def page(self) -> None:
        """A create arrives: an open incident has this key already, or a new one pages somebody."""
        far, by_event = self.far[PD], self.switches.via is Via.EVENTS
        if far.changed_at and far.status is not RESOLVED:
            return
        self.pages += 1
        self.say(f"page {self.pages}")
        far.status, far.changed_at, far.child_resolved = OPEN, self.now, False
        self.found_at = self.now + (self.random.uniform(0.0, 1.5) if by_event else 0.0)

    def is_found(self) -> bool:
        """Whether a look for the incident shows it: one made by an event takes moments to appear."""
        return self.pages > 0 and self.now >= self.found_at

    def by_event(self, status: Status) -> None:
        """An event has its effect; an open child alert cannot go back."""
        self.arrivals.add((PD, self.date(PD)))
        if self.pages and self.far[PD].status is not RESOLVED:
            self.change(PD, status, "bridge")

    # ------------------------------------------------------------ reconciliation

    def begin_read(self, side: Side) -> None:
        if side is PD and self.link.incident_id is None:
            return
        began, date = self.clock(), self.date(side)
        event: Event
        if side is PD:
            facts = self.facts()
            changed = facts.status_changed_at
            event = IncidentEvent(
                IncidentEventType.READ, INCIDENT, "incident.read", changed, status=facts.status, read_at=began
            )
        else:
            if self.link.decision is None:
                found = AlertEvent(AlertEventType.CREATED, self.link.alert, "alert.read", None, read_at=began)
                self.after(0.01, lambda: self.receive(found))
            event = AlertEvent(
                AlertEventType.READ, self.link.alert, "alert.read", date, status=self.far[TV].status, read_at=began
            )
        self.after(self.random.uniform(0.02, 0.3), lambda: self.receive(event))
