"""The two far sides as they are: every change is told by webhook, every change has its time, and calls go wrong."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.domain.alert import Alert
from app.domain.incident import AlertFacts, IncidentDraft, IncidentFacts, NoteFacts
from app.domain.names import AlertId, IncidentId, Side, Status
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Reading, Word
from tests.fakes import FakeClock, FakePagerDuty, FakeTruthVouch

FAULTS = ("refused", "429", "503", "reset before", "reset after", "400", "401")
"""What can come of a call: never arrived, too many, broken, lost before or after its effect, a final no, no key."""

Tell = Callable[[Side, Word], None]


@dataclass(frozen=True)
class Write:
    """One change that the bridge made."""

    at: datetime
    side: Side
    subject: str
    status: Status | None
    """None: a create or a note."""
    by_event: bool = False
    """It named our key, and no incident."""


@dataclass
class Trouble:
    """The calls that go wrong next."""

    queue: deque[tuple[str, str]] = field(default_factory=deque)
    """What happens, and to the next call whose name begins how."""
    met: int = 0
    """How many calls went wrong."""

    def around(self, act: Callable[[], Reply[Any]], writes: bool, name: str) -> Reply[Any]:
        meant = bool(self.queue) and name.startswith(self.queue[0][1])
        kind = self.queue.popleft()[0] if meant else ""
        self.met += bool(kind)
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


class PagerDuty(FakePagerDuty):
    """Incidents that people and the bridge move, with children by key: what a merge moves and an event resolves."""

    def __init__(self, clock: FakeClock, tell: Tell, shows_keys: bool) -> None:
        super().__init__(clock)
        self.trouble, self.writes, self.tell, self.shows_keys = Trouble(), list[Write](), tell, shows_keys
        self.asked: list[Write] = []
        """Every change of status that was asked for, whatever came of it."""
        self.children: dict[str, dict[str, bool]] = {}
        """Incident -> key of each alert in it -> whether that is resolved."""
        self.by_hand: set[str] = set()

    # ------------------------------------------------------------ what happens there

    def by_person(self, title: str) -> str:
        """Somebody opens an incident by hand."""
        number = len(self.incidents) + 1
        made = IncidentId(f"Q{number}")
        now = self.clock.move(0.001)
        self.incidents[made] = IncidentFacts(
            made, Status.OPEN, number, title=title, service_id="PMAIN", created_at=now, status_changed_at=now
        )
        self.children[made] = {}
        self.by_hand.add(made)
        self._say(IncidentVerb.TRIGGERED, made, now)
        return made

    def _new(self, draft: IncidentDraft) -> IncidentFacts:
        self.clock.move(0.001)
        made = super()._new(draft)
        self.children[made.incident_id] = {draft.incident_key: False}
        self.writes.append(Write(self.clock(), Side.PAGERDUTY, made.incident_id, None))
        self._say(IncidentVerb.TRIGGERED, made.incident_id, self.clock())
        return made

    def move(self, incident_id: str, status: Status, author: str | None = None) -> IncidentFacts:
        """To another status, by whomever. What is there already, or was merged away, stays as it is."""
        seen = self.incidents[incident_id]
        if seen.status is status or seen.merged_into:
            return seen
        now = self.clock.move(0.001)
        if seen.status is Status.RESOLVED:
            self._say(IncidentVerb.REOPENED, incident_id, now, author)
        elif status is Status.OPEN:
            self._say(IncidentVerb.UNACKNOWLEDGED, incident_id, now, author)
        if status is not Status.OPEN:
            verb = IncidentVerb.RESOLVED if status is Status.RESOLVED else IncidentVerb.ACKNOWLEDGED
            self._say(verb, incident_id, now, author)
        self.children[incident_id] = dict.fromkeys(self.children[incident_id], status is Status.RESOLVED)
        self.incidents[incident_id] = replace(seen, status=status, status_changed_at=now)
        return self.incidents[incident_id]

    def annotate(self, incident_id: str, text: str) -> None:
        """A person's note."""
        self.notes_on.setdefault(incident_id, []).append(NoteFacts(f"H{self.clock.now}", text))
        self._say(IncidentVerb.ANNOTATED, incident_id, self.clock.move(0.001), "Dana Example", note=text)

    def merge(self, source: str, target: str) -> None:
        """https://support.pagerduty.com/main/docs/merge-incidents: the source looks resolved."""
        now = self.clock.move(0.001)
        self.children[target] |= self.children.pop(source)
        self.children[source] = {}
        facts = self.incidents[source]
        self.incidents[source] = replace(
            facts, status=Status.RESOLVED, status_changed_at=now, merged_into=IncidentId(target)
        )
        self._say(IncidentVerb.MERGED, source, now, "Dana Example", merged_into=IncidentId(target))

    def _say(self, verb: IncidentVerb, incident_id: str, at: datetime, author: str | None = None, **told: Any) -> None:
        facts = self.incidents[incident_id]
        key = facts.incident_key if self.shows_keys else None
        event = "resolved" if verb is IncidentVerb.MERGED else verb
        self.tell(
            Side.PAGERDUTY,
            IncidentWord(
                verb, IncidentId(incident_id), f"incident.{event}", at, incident_key=key, author=author, **told
            ),
        )

    # ------------------------------------------------------------ what the bridge asks

    def _call(self, name: str, act: Callable[[], Reply[Any]]) -> Reply[Any]:
        self.calls.append(name)
        return _by_the_second(self.trouble.around(act, writes=name not in ("find", "get", "notes", "list"), name=name))

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None
    ) -> Reply[IncidentFacts]:
        self.asked.append(Write(self.clock(), Side.PAGERDUTY, incident_id, status))
        return self._call(f"put {status}", lambda: Done(self._written(incident_id, status)))

    def _written(self, incident_id: str, status: Status, by_event: bool = False) -> IncidentFacts:
        before = self.incidents[incident_id]
        after = self.move(incident_id, status)
        if after != before:
            self.writes.append(Write(self.clock(), Side.PAGERDUTY, incident_id, status, by_event))
        return after

    def add_note(self, incident_id: IncidentId, content: str) -> Reply[NoteFacts]:
        self.writes.append(Write(self.clock(), Side.PAGERDUTY, incident_id, None))
        return super().add_note(incident_id, content)

    def open_with(self, key: str) -> list[IncidentFacts]:
        """The open incident with an open child of that key: after a merge that is another one than was opened."""
        return [
            facts
            for facts in self.incidents.values()
            if facts.status is not Status.RESOLVED and self.children[facts.incident_id].get(key) is False
        ]

    def _event(self, name: str, key: str, status: Status) -> Reply[None]:
        self.asked.append(Write(self.clock(), Side.PAGERDUTY, key, status))

        def act() -> Reply[None]:
            for facts in self.open_with(key):
                if status is Status.RESOLVED:
                    self.children[facts.incident_id][key] = True
                if status is not Status.RESOLVED or all(self.children[facts.incident_id].values()):
                    self._written(facts.incident_id, status, by_event=True)
            return Done(None)

        return self._call(name, act)


def _by_the_second(reply: Reply[Any]) -> Reply[Any]:
    """The REST API tells times in whole seconds."""
    return Done(_coarse(reply.value)) if isinstance(reply, Done) else reply


def _coarse(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_coarse, value))
    if isinstance(value, IncidentFacts) and value.status_changed_at is not None:
        return replace(value, status_changed_at=value.status_changed_at.replace(microsecond=0))
    return value


class TruthVouch(FakeTruthVouch):
    """Alerts. *Resolved* is terminal for the API; no look tells a time."""

    def __init__(self, clock: FakeClock, tell: Tell) -> None:
        super().__init__()
        self.clock, self.tell = clock, tell
        self.severity: dict[str, str] = {}
        self.trouble, self.writes, self.asked = Trouble(), list[Write](), list[Write]()

    def raise_alert(self, alert_id: str, severity: str) -> None:
        """TruthVouch finds something."""
        self.severity[alert_id] = severity
        self.created_at[alert_id] = self.clock()
        self.status[alert_id] = Status.OPEN
        self._say(AlertVerb.CREATED, alert_id, "created")

    def act(self, alert_id: str, verb: AlertVerb, event: str, status: Status, **told: Any) -> None:
        """A person moves an alert in the dashboard."""
        self.status[alert_id] = status
        self._say(verb, alert_id, event, **told)

    def alert(self, alert_id: str) -> Alert:
        """What every word about it carries."""
        return Alert(AlertId(alert_id), severity=self.severity[alert_id], created_at=self.created_at[alert_id])

    def _say(self, verb: AlertVerb, alert_id: str, event: str, **told: Any) -> None:
        word = AlertWord(verb, self.alert(alert_id), f"alert.{event}", self.clock.move(0.001), **told)
        self.tell(Side.TRUTHVOUCH, word)

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        self.calls.append((alert_id, status, resolution))
        self.asked.append(Write(self.clock(), Side.TRUTHVOUCH, alert_id, status))
        return self.trouble.around(lambda: self._written(alert_id, status), writes=True, name="put")

    def _written(self, alert_id: str, status: Status) -> Reply[None]:
        before = self.status[alert_id]
        if before is status:
            return Done(None)
        if before is Status.RESOLVED:
            return Refused("conflict", 409)
        verbs = {Status.OPEN: AlertVerb.REOPENED, Status.ACKNOWLEDGED: AlertVerb.ACKNOWLEDGED}
        verb = verbs.get(status, AlertVerb.RESOLVED)
        self.act(alert_id, verb, verb.value, status, author="the bridge's key")
        self.writes.append(Write(self.clock(), Side.TRUTHVOUCH, alert_id, status))
        return Done(None)

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]:
        return self.trouble.around(lambda: super(TruthVouch, self).get(alert_id), writes=False, name="get")

    def page(self, page: int, status: str | None = None) -> Reply[tuple[tuple[Reading, ...], bool]]:
        return self.trouble.around(lambda: super(TruthVouch, self).page(page, status), writes=False, name="list")

    def _listed(self, alert_id: AlertId) -> AlertWord:
        return replace(super()._listed(alert_id), alert=self.alert(alert_id))
