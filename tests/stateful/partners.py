"""The two far sides as they are: changes have times by their own clock, most are told by webhook, calls go wrong."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from app.domain.model.events import AlertEvent, AlertEventType, Event, IncidentEvent, IncidentEventType
from app.domain.model.incident import AlertFacts, IncidentDraft, IncidentFacts, NoteFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import Alert, AlertId, IncidentId, IncidentKey, Side, Status, Via, incident_key
from app.ports import AlertPage
from tests.fakes import FakeClock, FakePagerDuty, FakeTruthVouch, PartnerClock
from tests.stateful.model import Change

FAULTS = ("refused", "429", "503", "reset before", "reset after", "400", "401")
"""What can come of a call: never arrived, too many, broken, lost before or after its effect, a final no, no key."""

SOMEBODY = "Dana Example"
"""Every person's name; what the bridge does has another author, or none."""
MOMENT = 0.002
"""Seconds between two things that happen one after the other: more than the millisecond that webhooks tell."""

Emit = Callable[[Side, str, Event], None]
"""A webhook sets out: whose, about which incident or alert, and what it says."""


@dataclass(frozen=True)
class Switches:
    """What kind of partners these are, and what may befall their webhooks."""

    via: Via = Via.REST
    pagerduty_ahead: float = 0.0
    """Seconds by which its clock is ahead of ours."""
    truthvouch_ahead: float = 0.0
    pagerduty_drift: float = 0.0
    """Seconds that it gains in an hour."""
    truthvouch_drift: float = 0.0
    reports_api_changes: bool = True
    """TruthVouch sends webhooks about what its API changed."""
    keeps_acknowledges: bool = True
    """It does not only say yes to them."""
    reopens: bool = True
    """It opens by API what is resolved."""
    shows_single: bool = True
    """It shows one alert by its id."""
    newest_first: bool = True
    reports_times: bool = True
    """Its webhooks carry a time."""
    alerts_reopen: bool = True
    """PagerDuty's own alert behind an incident opens with it."""
    events_take: float = 0.0
    """Seconds from a 202 of the Events API to its effect."""
    shuffled: bool = False
    """Webhooks about one incident or alert overtake one another."""
    hold: float = 0.0
    """Minutes for which the rulebook holds a resolve from TruthVouch back."""


@dataclass
class Trouble:
    """The calls that go wrong next."""

    queue: deque[tuple[str, str]] = field(default_factory=deque)
    """What happens, and to the next call whose name begins how."""
    met: int = 0
    """How many calls went wrong."""
    said_no: bool = False
    """One of them got a final no."""

    def around(self, act: Callable[[], Reply[Any]], writes: bool, name: str) -> Reply[Any]:
        meant = bool(self.queue) and name.startswith(self.queue[0][1])
        kind = self.queue.popleft()[0] if meant else ""
        self.met += bool(kind)
        self.said_no |= kind == "400"
        match kind:
            case "":
                return act()
            case "refused":
                return Retry("connection_refused")
            case "429":
                return Retry("http_429", after_seconds=7.0)
            case "400":
                return Refused("bad_request", 400)
            case "401":
                return Held("unauthorized")
            case "reset after":
                act()
        return Retry("http_503" if kind == "503" else "connection_reset", unclear=writes)


def partner_clock(ours: FakeClock, ahead: float, drift: float) -> PartnerClock:
    """The clock of a partner that is so many seconds ahead, and gains so many in an hour."""
    return PartnerClock(ours, timedelta(seconds=ahead), drift / 3600)


class PagerDuty(FakePagerDuty):
    """Incidents that people and the bridge move, with children by key: what a merge moves and an event resolves."""

    def __init__(self, ours: FakeClock, emit: Emit, switches: Switches, journal: list[Change]) -> None:
        super().__init__(partner_clock(ours, switches.pagerduty_ahead, switches.pagerduty_drift))
        self.ours, self.switches, self.journal, self.emit = ours, switches, journal, emit
        self.trouble = Trouble()
        self.shows_keys = switches.via is Via.REST
        self.asked: list[Status] = []
        """Every change of status that was asked for, whatever came of it."""
        self.children: dict[str, dict[str, bool]] = {}
        """Incident -> key of each alert in it -> whether that is resolved."""
        self.by_hand: set[str] = set()
        self.moved_by_person: set[str] = set()
        """Incidents that stand where they stand because a person put them there."""
        self.moved_by_hit: set[str] = set()
        """Those that an event of ours put there, which met alerts of others."""
        self.coming: list[tuple[datetime, Callable[[], None]]] = []
        """Events that were taken, and when they have their effect."""

    # ------------------------------------------------------------ what happens there

    def by_person(self, title: str) -> str:
        """Somebody opens an incident by hand."""
        number = len(self.incidents) + 1
        made = IncidentId(f"Q{number}")
        now = self.clock.move(MOMENT)
        self.incidents[made] = IncidentFacts(
            made, Status.OPEN, number, title=title, service_id="PMAIN", created_at=now, status_changed_at=now
        )
        self.children[made] = {}
        self.by_hand.add(made)
        self._say(IncidentEventType.TRIGGERED, made, now)
        return made

    def _new(self, draft: IncidentDraft) -> IncidentFacts:
        self.clock.move(MOMENT)
        made = super()._new(draft)
        for others in self.children.values():
            others.pop(draft.incident_key, None)
        self.children[made.incident_id] = {draft.incident_key: False}
        self._say(IncidentEventType.TRIGGERED, made.incident_id, self.clock())
        return made

    def move(
        self, incident_id: str, status: Status, *, by_person: bool = False, by_event: bool = False
    ) -> IncidentFacts:
        """To another status, by whomever. What is there already, or was merged away, stays as it is.

        To acknowledge what is resolved opens it first, and both are said of the same instant.
        """
        seen = self.incidents[incident_id]
        if seen.status is status or seen.merged_into:
            return seen
        now, author = self.clock.move(MOMENT), SOMEBODY if by_person else None
        if seen.status is Status.RESOLVED:
            self._say(IncidentEventType.REOPENED, incident_id, now, author)
        elif status is Status.OPEN:
            self._say(IncidentEventType.UNACKNOWLEDGED, incident_id, now, author)
        if status is not Status.OPEN:
            event_type = IncidentEventType.RESOLVED if status is Status.RESOLVED else IncidentEventType.ACKNOWLEDGED
            self._say(event_type, incident_id, now, author)
        children = self.children[incident_id]
        if status is Status.RESOLVED:
            self.children[incident_id] = dict.fromkeys(children, True)
        elif seen.status is Status.RESOLVED and self.switches.alerts_reopen:
            self.children[incident_id] = dict.fromkeys(children, False)
        self.incidents[incident_id] = replace(seen, status=status, status_changed_at=now)
        (self.moved_by_person.add if by_person else self.moved_by_person.discard)(incident_id)
        change = Change(Side.PAGERDUTY, incident_id, status, by_person, tuple(children), seen.status, by_event)
        (self.moved_by_hit.add if change.hits_others else self.moved_by_hit.discard)(incident_id)
        self.journal.append(change)
        return self.incidents[incident_id]

    def annotate(self, incident_id: str, text: str) -> None:
        """A person's note."""
        now = self.clock.move(MOMENT)
        note = NoteFacts(f"H{now.isoformat()}", text)
        self.notes_on.setdefault(incident_id, []).append(note)
        self._say(IncidentEventType.ANNOTATED, incident_id, now, SOMEBODY, note=text, note_id=note.note_id)

    def merge(self, source: str, target: str) -> None:
        """https://support.pagerduty.com/main/docs/merge-incidents: the source looks resolved."""
        now, facts = self.clock.move(MOMENT), self.incidents[source]
        about = tuple(self.children[source])
        there = self.incidents[target].status
        reached = there if target in self.moved_by_person else Status.OPEN
        hit = there if target in self.moved_by_hit else reached
        if facts.status is not Status.RESOLVED:
            self.children[target] |= self.children.pop(source)
            self.children[source] = {}
        into = IncidentId(target)
        self.incidents[source] = replace(facts, status=Status.RESOLVED, status_changed_at=now, merged_into=into)
        self.journal.append(
            Change(Side.PAGERDUTY, source, Status.RESOLVED, True, about, facts.status, False, target, reached, hit)
        )
        self._say(IncidentEventType.MERGED, source, now, SOMEBODY, merged_into=into)

    def _say(
        self, event_type: IncidentEventType, incident_id: str, at: datetime, author: str | None = None, **fields: Any
    ) -> None:
        facts = self.incidents[incident_id]
        key = facts.incident_key if self.shows_keys else None
        suffix = "resolved" if event_type is IncidentEventType.MERGED else event_type
        event = IncidentEvent(
            event_type, IncidentId(incident_id), f"incident.{suffix}", at, incident_key=key, author=author, **fields
        )
        self.emit(Side.PAGERDUTY, incident_id, event)

    # ------------------------------------------------------------ what the bridge asks

    def _call(self, name: str, act: Callable[[], Reply[Any]]) -> Reply[Any]:
        self.calls.append(name)
        reads = name in ("find", "get", "notes", "list")
        reply = self.trouble.around(act, writes=not reads, name=name)
        # The REST API tells times in whole seconds, and so does the header `Date`.
        return Done(self._shown(reply.value), self.clock().replace(microsecond=0)) if isinstance(reply, Done) else reply

    def _shown(self, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(self._shown, value))
        if not isinstance(value, IncidentFacts):
            return value
        assert value.created_at is not None
        assert value.status_changed_at is not None
        return replace(
            value,
            incident_key=value.incident_key if self.shows_keys else None,
            created_at=value.created_at.replace(microsecond=0),
            status_changed_at=value.status_changed_at.replace(microsecond=0),
        )

    def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
        def act() -> Reply[IncidentFacts]:
            ours = [facts for facts in self.incidents.values() if facts.incident_key == draft.incident_key]
            if any(facts.status is not Status.RESOLVED for facts in ours):
                return Refused("key_taken", 400, 2002)
            return Done(self._new(draft))

        return self._call("open", act)

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None
    ) -> Reply[IncidentFacts]:
        self.asked.append(status)
        return self._call(f"put {status}", lambda: Done(self.move(incident_id, status)))

    def open_with(self, key: str) -> list[IncidentFacts]:
        """The open incident with an open child of that key: after a merge that is another one than was opened."""
        return [
            facts
            for facts in self.incidents.values()
            if facts.status is not Status.RESOLVED and self.children[facts.incident_id].get(key) is False
        ]

    def _event(self, name: str, key: str, status: Status) -> Reply[None]:
        self.asked.append(status)
        return self._call(name, lambda: self._taken(lambda: self._follow_up(key, status)))

    def _follow_up(self, key: str, status: Status) -> None:
        """What is about no open alert is dropped."""
        for facts in self.open_with(key):
            if status is Status.RESOLVED:
                self.children[facts.incident_id][key] = True
            if status is not Status.RESOLVED or all(self.children[facts.incident_id].values()):
                self.move(facts.incident_id, status, by_event=True)

    def trigger(self, draft: IncidentDraft) -> Reply[None]:
        return self._call("trigger", lambda: self._taken(lambda: self._triggered(draft)))

    def _triggered(self, draft: IncidentDraft) -> None:
        if not self.open_with(draft.incident_key):
            self._new(draft)

    def _taken(self, effect: Callable[[], None]) -> Reply[None]:
        """202: it will have its effect, in the order of arrival."""
        if self.switches.events_take:
            self.coming.append((self.ours() + timedelta(seconds=self.switches.events_take), effect))
        else:
            effect()
        return Done(None)

    def take_effect(self) -> None:
        """What is due by now has its effect."""
        while self.coming and self.coming[0][0] <= self.ours():
            self.coming.pop(0)[1]()

    def acknowledge(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        return self._event("event acknowledge", key, Status.ACKNOWLEDGED)

    def resolve(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        return self._event("event resolve", key, Status.RESOLVED)


class TruthVouch(FakeTruthVouch):
    """Alerts. No look tells since when an alert stands where it stands."""

    def __init__(self, ours: FakeClock, emit: Emit, switches: Switches, journal: list[Change]) -> None:
        super().__init__(shows_single=switches.shows_single, newest_first=switches.newest_first)
        self.clock = partner_clock(ours, switches.truthvouch_ahead, switches.truthvouch_drift)
        self.emit, self.switches, self.journal = emit, switches, journal
        self.severity: dict[str, str] = {}
        self.trouble = Trouble()
        self.asked: list[Status] = []

    # ------------------------------------------------------------ what happens there

    def raise_alert(self, alert_id: str, severity: str) -> None:
        """TruthVouch finds something."""
        self.severity[alert_id] = severity
        self.created_at[alert_id] = self.clock()
        self.status[alert_id] = Status.OPEN
        self._say(AlertEventType.CREATED, alert_id, "created")

    def by_person(self, alert_id: str, event_type: AlertEventType, event: str, status: Status, **fields: Any) -> None:
        """A person moves an alert in the dashboard."""
        self._move(alert_id, status, by_person=True)
        self._say(event_type, alert_id, event, author=SOMEBODY, **fields)

    def alert(self, alert_id: str) -> Alert:
        """What every event about it carries."""
        return Alert(AlertId(alert_id), severity=self.severity[alert_id], created_at=self.created_at[alert_id])

    def _move(self, alert_id: str, status: Status, by_person: bool) -> None:
        about, before = (incident_key(AlertId(alert_id)),), self.status[alert_id]
        self.status[alert_id] = status
        self.journal.append(Change(Side.TRUTHVOUCH, alert_id, status, by_person, about, before))

    def _say(self, event_type: AlertEventType, alert_id: str, event: str, **fields: Any) -> None:
        now = self.clock.move(MOMENT)
        at = now if self.switches.reports_times else None
        self.emit(
            Side.TRUTHVOUCH, alert_id, AlertEvent(event_type, self.alert(alert_id), f"alert.{event}", at, **fields)
        )

    # ------------------------------------------------------------ what the bridge asks

    def _dated(self, reply: Reply[Any]) -> Reply[Any]:
        return replace(reply, at=self.clock().replace(microsecond=0)) if isinstance(reply, Done) else reply

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        self.calls.append((alert_id, status, resolution))
        self.asked.append(status)
        return self._dated(self.trouble.around(lambda: self._written(alert_id, status), writes=True, name="put"))

    def _written(self, alert_id: str, status: Status) -> Reply[None]:
        before = self.status[alert_id]
        if before is Status.RESOLVED and status is not before and not self.switches.reopens:
            return Refused("conflict", 409)
        if before is status or (status is Status.ACKNOWLEDGED and not self.switches.keeps_acknowledges):
            return Done(None)
        self._move(alert_id, status, by_person=False)
        if self.switches.reports_api_changes:
            event_types = {Status.OPEN: AlertEventType.REOPENED, Status.ACKNOWLEDGED: AlertEventType.ACKNOWLEDGED}
            event_type = event_types.get(status, AlertEventType.RESOLVED)
            self._say(event_type, alert_id, event_type.value, author="the bridge's key")
        return Done(None)

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]:
        return self._dated(self.trouble.around(lambda: super(TruthVouch, self).get(alert_id), writes=False, name="get"))

    def page(self, page: int, status: str | None = None) -> Reply[AlertPage]:
        def act() -> Reply[AlertPage]:
            return super(TruthVouch, self).page(page, status)

        return self._dated(self.trouble.around(act, writes=False, name="list"))

    def _listed(self, alert_id: AlertId) -> AlertEvent:
        return replace(super()._listed(alert_id), alert=self.alert(alert_id))
