"""The far sides and the engine, in memory: they keep state, count calls, and do what they are told to go wrong."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.incident import AlertFacts, IncidentDraft, IncidentFacts, NoteFacts
from app.domain.model.outcome import Done, Refused, Reply, Retry
from app.domain.model.types import Alert, AlertId, IncidentId, IncidentKey, LinkId, Side, Source, Status, Urgency
from app.ports import AlertPage, Order, Tx

START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


@dataclass
class FakeClock:
    """Stands still until moved."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@dataclass
class PartnerClock:
    """A partner's own clock: off from ours, and gaining or losing. It tells milliseconds."""

    ours: FakeClock
    offset: timedelta = timedelta(0)
    drift: float = 0.0
    """Seconds that it gains in a second of ours."""

    def __call__(self) -> datetime:
        answer = self.ours.now + self.offset + self.drift * (self.ours.now - START)
        return answer.replace(microsecond=answer.microsecond // 1000 * 1000)

    def move(self, seconds: float) -> datetime:
        """All clocks move; what this one shows then."""
        self.ours.move(seconds)
        return self()


@dataclass
class Faults:
    """What goes wrong next: each entry is used up by one call."""

    queue: deque[str] = field(default_factory=deque)

    def next(self) -> str:
        return self.queue.popleft() if self.queue else ""


@dataclass
class FakePagerDuty:
    """Incidents by REST and by event.

    ``faults``: ``refused`` (never arrived), ``reset`` (arrived, its answer lost), ``429``.
    """

    clock: FakeClock | PartnerClock
    incidents: dict[str, IncidentFacts] = field(default_factory=dict)
    notes_on: dict[str, list[NoteFacts]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    page_size: int = 100

    def _call(self, name: str, act: Callable[[], Reply[Any]]) -> Reply[Any]:
        self.calls.append(name)
        match self.faults.next():
            case "refused":
                return Retry("connection_refused")
            case "429":
                return Retry("http_429", after_seconds=7.0)
            case "reset":
                act()
                return Retry("connection_reset", unclear=True)
            case _:
                return act()

    def open_with(self, key: str) -> list[IncidentFacts]:
        return [i for i in self.incidents.values() if i.incident_key == key and i.status is not Status.RESOLVED]

    def _new(self, draft: IncidentDraft) -> IncidentFacts:
        number = len(self.incidents) + 1
        made = IncidentFacts(
            IncidentId(f"Q{number}"), Status.OPEN, number, f"https://pd.test/{number}", draft.incident_key,
            draft.urgency.value, draft.title, draft.service_id or "PMAIN",
            created_at=self.clock(), status_changed_at=self.clock(),
        )  # fmt: skip
        self.incidents[made.incident_id] = made
        return made

    def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
        def act() -> Reply[IncidentFacts]:
            if self.open_with(draft.incident_key):
                return Refused("key_taken", 400, 2002)
            return Done(self._new(draft))

        return self._call("open", act)

    def find(self, key: IncidentKey, since: datetime | None = None) -> Reply[tuple[IncidentFacts, ...]]:
        found = [i for i in self.incidents.values() if i.incident_key == key]
        found = [i for i in found if since is None or i.created_at is None or i.created_at >= since]
        return self._call("find", lambda: Done(tuple(reversed(found))))

    def open_page(self, services: Sequence[str], offset: int = 0) -> Reply[tuple[tuple[IncidentFacts, ...], bool]]:
        is_open = [i for i in self.incidents.values() if i.status is not Status.RESOLVED and i.service_id in services]
        page = is_open[offset : offset + self.page_size]
        more = len(is_open) > offset + self.page_size
        return self._call("list", lambda: Done((tuple(page), more)))

    def get(self, incident_id: IncidentId) -> Reply[IncidentFacts]:
        return self._call("get", lambda: Done(self.incidents[incident_id]))

    def put(self, incident_id: str, status: Status) -> IncidentFacts:
        """A change on PagerDuty's side, by whomever."""
        self.incidents[incident_id] = replace(
            self.incidents[incident_id], status=status, status_changed_at=self.clock()
        )
        return self.incidents[incident_id]

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None
    ) -> Reply[IncidentFacts]:
        return self._call(f"put {status}", lambda: Done(self.put(incident_id, status)))

    def add_note(self, incident_id: IncidentId, content: str) -> Reply[NoteFacts]:
        def act() -> Reply[NoteFacts]:
            note = NoteFacts(f"N{len(self.notes_on)}", content)
            self.notes_on.setdefault(incident_id, []).append(note)
            return Done(note)

        return self._call("note", act)

    def notes(self, incident_id: IncidentId) -> Reply[tuple[NoteFacts, ...]]:
        return self._call("notes", lambda: Done(tuple(self.notes_on.get(incident_id, ()))))

    # the Events API
    def trigger(self, draft: IncidentDraft) -> Reply[None]:
        def act() -> Reply[None]:
            if not self.open_with(draft.incident_key):
                self._new(draft)
            return Done(None)

        return self._call("trigger", act)

    def _event(self, name: str, key: str, status: Status) -> Reply[None]:
        def act() -> Reply[None]:
            for incident in self.open_with(key):
                self.put(incident.incident_id, status)
            return Done(None)

        return self._call(name, act)

    def acknowledge(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        return self._event("event acknowledge", key, Status.ACKNOWLEDGED)

    def resolve(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        return self._event("event resolve", key, Status.RESOLVED)


@dataclass
class FakeTruthVouch:
    """Alerts by API; *resolved* is terminal, as its documents say."""

    status: dict[str, Status] = field(default_factory=dict)
    calls: list[tuple[str, Status, str | None]] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    """Of changes."""
    created_at: dict[str, datetime] = field(default_factory=dict)
    """When alerts were raised, if not at the start, one after the other."""
    looks: list[str] = field(default_factory=list)
    look_faults: Faults = field(default_factory=Faults)
    """Of looks: whatever it says, nobody answers."""
    shows_single: bool = True
    """Whether one alert can be read by its id."""
    page_size: int = 25
    newest_first: bool = True
    reports_last_page: bool = True
    date: Callable[[], datetime | None] = lambda: None
    """Its clock, as the header ``Date`` of an answer tells it."""

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        self.calls.append((alert_id, status, resolution))
        fault = self.faults.next()
        if fault == "refused":
            return Retry("connection_refused")
        if self.status.get(alert_id) is Status.RESOLVED and status is not Status.RESOLVED:
            return Refused("conflict", 409)
        self.status[alert_id] = status
        return Retry("connection_reset", unclear=True) if fault == "reset" else Done(None)

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]:
        self.looks.append(alert_id)
        if self.look_faults.next():
            return Retry("timeout")
        if not self.shows_single or alert_id not in self.status:
            return Refused("not_found", 404)
        return Done(AlertFacts(alert_id, self.status[alert_id]), self.date())

    def page(self, page: int, status: str | None = None) -> Reply[AlertPage]:
        """Newest first or oldest first, as the order of ``status`` says."""
        self.looks.append(f"page {page}")
        if self.look_faults.next():
            return Retry("timeout")
        first = (page - 1) * self.page_size
        listed = list(reversed(self.status)) if self.newest_first else list(self.status)
        events = tuple(self._listed(AlertId(alert_id)) for alert_id in listed[first : first + self.page_size])
        last_page = max(-(-len(listed) // self.page_size), 1) if self.reports_last_page else None
        return Done(AlertPage(events, len(listed) > first + self.page_size, last_page), self.date())

    def _listed(self, alert_id: AlertId) -> AlertEvent:
        event_types = {Status.OPEN: AlertEventType.CREATED, Status.ACKNOWLEDGED: AlertEventType.ACKNOWLEDGED}
        event_type = event_types.get(self.status[alert_id], AlertEventType.RESOLVED)
        at_the_start = START + timedelta(microseconds=list(self.status).index(alert_id))
        alert = Alert(alert_id, severity="critical", created_at=self.created_at.get(alert_id, at_the_start))
        return AlertEvent(event_type, alert, "alert.listed")


@dataclass
class ManualEngine:
    """Keeps what was submitted; ``run`` delivers it, due or not, in order of priority."""

    waiting: dict[tuple[int, Side, int], tuple[int, float]] = field(default_factory=dict)
    seen: set[tuple[int, Side, int]] = field(default_factory=set)
    begun: set[tuple[int, Side, int]] = field(default_factory=set)
    """Deliveries that were started and cut off."""

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        for order in orders:
            key = (order.link_id, order.side, order.seq)
            if key not in self.seen:
                self.seen.add(key)
                self.waiting[key] = (order.priority, order.delay_seconds or 0.0)

    def run(self, deliver: Callable[..., str], at_most: int = 100) -> list[str]:
        """Deliver until nothing waits; the outcome words."""
        events: list[str] = []
        while self.waiting and len(events) < at_most:
            key = min(self.waiting, key=lambda k: self.waiting[k])
            del self.waiting[key]
            events.append(deliver(LinkId(key[0]), key[1], key[2], key not in self.begun))
        return events


class SilentMeter:
    """Counts nothing."""

    def accepted(self, source: Side, seconds: float) -> None: ...

    def duplicated(self, source: Side) -> None: ...

    def refused(self, source: Side, reason: str) -> None: ...

    def matched(self, source: Side, secret_index: int) -> None: ...

    def called(self, target: str, outcome: str) -> None: ...

    def delivered(self, target: str, seconds: float) -> None: ...

    def paged(self, urgency: Urgency, seconds: float) -> None: ...

    def dropped(self, source: Source, reason: str) -> None: ...

    def parked(self, kind: str, reason: str) -> None: ...

    def drifted(self, side: Side, outcome: str) -> None: ...

    def resubmitted(self, side: Side) -> None: ...

    def escalated(self, outcome: str) -> None: ...
