"""Turns one effect into the partner calls it takes, each of them safe to repeat; and knows which targets answer."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from app.domain.model.incident import IncidentFacts, open_or_newest
from app.domain.model.outcome import (
    BUDGET_SPENT,
    NOT_ASKED,
    TARGET_DOWN,
    TARGET_PAUSED,
    Done,
    Held,
    Refused,
    Reply,
    Retry,
)
from app.domain.model.types import LinkId, Status, Via
from app.domain.sync.circuit_breaker import (
    DOWN,
    PAUSED,
    Breaker,
    PermissionBreaker,
    Verdict,
    is_denied,
    pause_key,
    pause_value,
    verdict,
)
from app.domain.sync.delivery import Facts
from app.domain.sync.effects import (
    KEY_TAKEN_UNSEEN,
    NOT_THERE_YET,
    READS_FOR_AN_ID,
    AddNote,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    ReadNote,
    SetAlert,
    SetIncident,
    is_urgent,
)
from app.domain.sync.incident_draft import draft, with_evidence_link
from app.domain.sync.link import Link
from app.domain.sync.retry import PAUSE_PROBE_DELAY, waiting
from app.ports import (
    ARGUMENTS_REFUSED,
    KEY_TAKEN,
    Alerts,
    Clock,
    Events,
    Incidents,
    KeyValueStore,
    RulebookSource,
    Tx,
    utc_now,
)
from app.remote.trace import trace_id

T = TypeVar("T")

READS_FOR_A_TAKEN_KEY = 8
"""How often the open incident that has our key is looked for: the list lags behind, by seconds, not by the three
minutes that this takes."""

READS_BEFORE_A_PAGE = 2
"""How often a read by REST may fail before a page by event goes out without it."""

LOOK_BACK = timedelta(days=1)
"""An incident of ours cannot be older than its link; a day allows for clocks that disagree."""


@dataclass(frozen=True)
class Perform:
    """Calls the partners. Each is None without its credential: what needs it is held until a person sets it."""

    incidents: Incidents | None
    events: Events | None
    alerts: Alerts | None
    rulebook: RulebookSource
    may_read: Callable[[], bool] = lambda: True
    """Pays for one read of an alert out of TruthVouch's hourly quota; False when nothing is left."""
    evidence_url: Callable[[Link], str | None] | None = None
    """A new evidence link, or None where none can be made: it never raises, for no page waits for it. None: nobody
    knows the bridge's address."""

    def __call__(self, link: Link, effect: Effect) -> Reply[Facts]:
        """Do it; the answer in words. ``Done(None)`` where the partner tells no facts."""
        match effect:
            case SetAlert(status, resolution):
                if self.alerts is None:
                    return Held("no_truthvouch_api_key")
                return self.alerts.set_status(link.alert.alert_id, status, resolution)
            case OpenIncident(look_first):
                return self._open(link, look_first)
            case LookForIncident():
                return self._find_incident(link)
            case SetIncident(status):
                return self._set(link, status)
            case ReadIncident():
                return self._read_incident(link)
            case ReadAlert():
                return self._read_alert(link)
            case ReadNote(note_id):
                return self._read_note(link, note_id)
            case AddNote(ref, content):
                return self._note(link, ref, content)

    def _open(self, link: Link, look_first: bool) -> Reply[IncidentFacts | None]:
        if look_first and self.incidents is not None:
            found = self._find(link, self.incidents)
            if isinstance(found, Done) and found.value is not None:
                return found
            if not isinstance(found, Done) and not _pages_unseen(link, found):
                return found
        return self._create(link)

    def _create(self, link: Link) -> Reply[IncidentFacts | None]:
        assert link.decision is not None
        book = self.rulebook.current()
        made = draft(link.alert, link.decision, book)
        if self.evidence_url and book.console.evidence_links and (url := self.evidence_url(link)):
            made = with_evidence_link(made, url)
        if link.trace:
            made = replace(made, details={**made.details, "trace_id": trace_id(link.trace)})
        if link.via is Via.EVENTS:
            return self.events.trigger(made) if self.events else Held("no_pagerduty_integration_key")
        if self.incidents is None:
            return Held("no_pagerduty_api_key")
        opened = self.incidents.open(made)
        if isinstance(opened, Refused) and opened.code == ARGUMENTS_REFUSED:
            return self._taken(link, self.incidents, opened)
        return opened

    def _taken(self, link: Link, incidents: Incidents, refused: Refused) -> Reply[IncidentFacts | None]:
        """An open incident may have our key. The number says it of any argument that PagerDuty does not take, so a read
        decides: one, and where its text or an unclear call before says that it is the key, some more."""
        reply = incidents.find(link.incident_key)
        if not isinstance(reply, Done):
            return _later(reply)
        still_open = [facts for facts in reply.value if facts.status is not Status.RESOLVED]
        if still_open:
            return Done(still_open[0], reply.at)
        if refused.reason != KEY_TAKEN and not link.open_tried:
            return refused
        delivery = link.pagerduty
        reads = 1 + (delivery.attempt if delivery.failing == KEY_TAKEN_UNSEEN else 0)
        return refused if reads >= READS_FOR_A_TAKEN_KEY else Retry(KEY_TAKEN_UNSEEN, unclear=True)

    def _find_incident(self, link: Link) -> Reply[IncidentFacts | None]:
        if self.incidents is None:
            return Held("no_pagerduty_api_key")
        found = self._find(link, self.incidents)
        nothing = isinstance(found, Done) and found.value is None
        waiting_for_it = link.incident_side.status is not None
        if nothing and (waiting_for_it or link.pagerduty.attempt < READS_FOR_AN_ID):
            return Retry(NOT_THERE_YET)
        return found

    def _find(self, link: Link, incidents: Incidents) -> Reply[IncidentFacts | None]:
        reply = incidents.find(link.incident_key, link.first_seen_at - LOOK_BACK)
        if not isinstance(reply, Done):
            return _later(reply)
        found = [facts for facts in reply.value if facts.incident_id not in link.former_incidents]
        return Done(open_or_newest(found), reply.at)

    def _set(self, link: Link, status: Status) -> Reply[IncidentFacts | None]:
        may_be = link.via is Via.EVENTS and link.wants_incident and not link.shares
        if self.events is not None and (link.by_event or (may_be and self.incidents is None)):
            service = link.decision.service_id if link.decision else None
            if status is Status.RESOLVED:
                return self.events.resolve(link.incident_key, service)
            if status is Status.ACKNOWLEDGED:
                return self.events.acknowledge(link.incident_key, service)
            if self.incidents is None:
                return self._create(link)
            if link.incident_id is None:
                return self._reopen(link, self.incidents)
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        return self.incidents.set_status(link.incident_id, status, link.closing_text)

    def _reopen(self, link: Link, incidents: Incidents) -> Reply[IncidentFacts | None]:
        """A new trigger would be a second incident, so the one that was closed is looked for: REST opens it again.

        A read that does not show it closed came before the event that closes it took effect.
        """
        found = self._find(link, incidents)
        if not isinstance(found, Done):
            return self._create(link) if _pages_unseen(link, found) else found
        facts = found.value
        is_there = facts is not None and facts.status is Status.RESOLVED
        if not is_there and link.pagerduty.attempt < READS_BEFORE_A_PAGE:
            return Retry(NOT_THERE_YET)
        if facts is None:
            return self._create(link)
        return found if facts.merged_into else incidents.set_status(facts.incident_id, Status.OPEN)

    def _read_incident(self, link: Link) -> Reply[Facts]:
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        return self.incidents.get(link.incident_id)

    def _read_alert(self, link: Link) -> Reply[Facts]:
        """Within TruthVouch's hourly quota of reads; ``Refused`` where that is spent, or where it has no such call."""
        if self.alerts is None:
            return Held("no_truthvouch_api_key")
        return self.alerts.get(link.alert.alert_id) if self.may_read() else Refused("quota_spent", 0)

    def _read_note(self, link: Link, note_id: str) -> Reply[Facts]:
        """``Done(None)`` where the note is not among the incident's any more."""
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        there = self.incidents.notes(link.incident_id)
        if not isinstance(there, Done):
            return there
        found = next((note for note in there.value if note.note_id == note_id), None)
        return Done(found)

    def _note(self, link: Link, ref: str, content: str) -> Reply[IncidentFacts | None]:
        """Exactly once: the note's ref is looked for before it is written."""
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        there = self.incidents.notes(link.incident_id)
        if not isinstance(there, Done):
            return there
        if any(f"(ref {ref})" in note.content for note in there.value):
            return Done(None)
        written = self.incidents.add_note(link.incident_id, content)
        return Done(None) if isinstance(written, Done) else written


def _pages_unseen(link: Link, reply: Reply[T]) -> bool:
    """Whether a page goes out although nobody could look for an earlier one: by event, whose key makes a repeat of an
    open incident harmless, when the other API is paused or has failed twice. It must not wait for an API not its
    own."""
    return link.via is Via.EVENTS and (isinstance(reply, Held) or link.pagerduty.attempt >= READS_BEFORE_A_PAGE)


def _later(reply: Reply[T]) -> Retry | Held:
    """A read that failed or was refused tells nothing: it is made again, and nothing is given up for it."""
    if isinstance(reply, Held | Retry):
        return reply
    return Retry(reply.reason if isinstance(reply, Refused) else "unreadable_answer")


# -------------------------------------------------------------------------------------------------------- target health

# A *permission breaker* knows refusals, of our credential or of one alert: what wakes nobody waits for the next probe.
# A *circuit breaker* knows a target that stopped answering. Both are this worker's own knowledge, shown to people as
# values that carry its name and the time, so that neither another worker's success clears them nor a dead worker's
# stay.

log = structlog.get_logger()


@dataclass
class TargetHealth:
    """Admits calls that can wait, and records every reply. Thread-safe."""

    key_values: KeyValueStore
    worker: str = "main"
    """Whose knowledge this is."""
    clock: Clock = utc_now
    _breakers: dict[str, Breaker] = field(default_factory=dict)
    _permission_breakers: dict[str, PermissionBreaker] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self, tx: Tx, targets: Sequence[str]) -> None:
        """Forget what an earlier run of this worker knew; also what versions knew that named no worker."""
        for target in targets:
            for kind in (PAUSED, DOWN):
                self.key_values.clear(tx, kind + target)
                self.key_values.clear(tx, pause_key(kind, target, self.worker))

    def admit(self, target: str, link_id: LinkId, effect: Effect, jitter: float) -> Held | None:
        """None = make the call. Whoever is to be woken is its own probe; the rest waits while another one tries."""
        if is_urgent(effect):
            return None
        with self._lock:
            now = self.clock()
            self._permission_breakers[target], left = self._permission_breakers.get(target, PermissionBreaker()).admit(
                link_id, effect, now
            )
            if left:
                return Held(TARGET_PAUSED, waiting(left, PAUSE_PROBE_DELAY, jitter))
            breaker, wait = self._breakers.get(target, Breaker()).admit(link_id, now)
            self._breakers[target] = breaker
            return Held(TARGET_DOWN, waiting(wait, breaker.probe_delay(), jitter)) if wait else None

    def record_reply(
        self, target: str, link_id: LinkId, effect: Effect, reply: Reply[object]
    ) -> Mapping[str, str | None]:
        """Learn from a reply; the answer is what the key values should now be: key -> text, None = forget it."""
        if isinstance(reply, Held) and reply.reason in NOT_ASKED - {BUDGET_SPENT}:
            return {}
        with self._lock:
            now = self.clock()
            before = self._breakers.get(target, Breaker())
            after = self._breakers[target] = before.after_reply(reply, link_id, now)
            self._report(target, before, after)
            return self._record_outage(target, before, after, reply, now) | self._record_permission(
                target, link_id, effect, reply, now
            )

    def write_value(self, tx: Tx, name: str, text: str | None) -> None:
        """Write a value, or delete it."""
        if text is None:
            self.key_values.clear(tx, name)
        else:
            self.key_values.put(tx, name, text)

    def retry_soon(self, target: str, effect: Effect, reply: Reply[object], jitter: float) -> float | None:
        """After a failure: seconds until what can wait may ask again while its target is paused, None while it is not.

        So that what failed early does not sleep long after somebody else saw the target come back.
        """
        with self._lock:
            breaker = self._breakers.get(target, Breaker())
        if breaker.opened_at is None or is_urgent(effect) or verdict(reply) is not Verdict.FAILS:
            return None
        return waiting(breaker.probe_delay(), breaker.probe_delay(), jitter)

    def _record_outage(
        self, target: str, before: Breaker, after: Breaker, reply: Reply[object], now: datetime
    ) -> dict[str, str | None]:
        name = pause_key(DOWN, target, self.worker)
        if after.opened_at is not None and verdict(reply) is Verdict.FAILS and isinstance(reply, Retry):
            return {name: pause_value(reply.reason, now)}
        return {name: None} if before.opened_at is not None and after.opened_at is None else {}

    def _record_permission(
        self, target: str, link_id: LinkId, effect: Effect, reply: Reply[object], now: datetime
    ) -> dict[str, str | None]:
        before = self._permission_breakers.get(target, PermissionBreaker())
        after = self._permission_breakers[target] = before.after_reply(link_id, effect, reply, now)
        said, says = before.pause_reason(now), after.pause_reason(now)
        if said == says and not is_denied(reply):
            return {}
        return {pause_key(PAUSED, target, self.worker): pause_value(says, now) if says else None}

    def _report(self, target: str, before: Breaker, after: Breaker) -> None:
        if before.opened_at is None and after.opened_at is not None:
            log.error("target.down", target=target, failures=after.failures)
        elif before.opened_at is not None and after.opened_at is None:
            log.info("target.up", target=target, probes=before.probes)
