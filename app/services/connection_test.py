"""Use case: prove the way to PagerDuty by using it: an incident that opens and resolves.

Whatever happens in between, an exception or Ctrl-C included, what was opened is resolved.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from app.domain.incident import IncidentDraft, IncidentFacts
from app.domain.names import IncidentKey, Status, Urgency
from app.domain.outcome import REDIRECTED, UNSENDABLE, Done, Held, Refused, Reply, Retry
from app.ports import Events, Incidents
from app.services.doctor import Finding, State, fine
from app.services.doctor_places import Place

T = TypeVar("T")

CHECK = "test_event"
UNSEEN = "test_event_unseen"
"""Code: PagerDuty took the event, and nobody can look what became of it."""
TITLE = "TruthVouch bridge connection test"
RESOLUTION = "The connection test is over."

APPEARS_SECONDS = 30.0
"""From the 202 of the Events API to the incident; commonly one or two."""
LOOK_EVERY_SECONDS = 0.5
INTEGRATION_KEY, API_KEY = Place("PAGERDUTY_INTEGRATION_KEY"), Place("PAGERDUTY_API_KEY")
TRIES = 3
"""So often a resolve is tried: an incident left open wakes somebody."""

Pause = Callable[[float], None]


def draft(mark: str, service_id: str | None) -> IncidentDraft:
    """The test's incident, under a key of its own: ``mark`` is different at each test."""
    return IncidentDraft(
        IncidentKey(f"truthvouch-connection-test-{mark}"),
        TITLE,
        Urgency.LOW,
        "info",
        "truthvouch-pagerduty-bridge",
        {"note": "Opened and resolved by `truthvouch config pagerduty --test`. Nothing is to be done."},
        service_id=service_id,
    )


@dataclass(frozen=True)
class TestEvent:
    """The look that opens an incident and resolves it, by the Events API where there is a key for it, else by REST."""

    __test__ = False  # for pytest this is no test

    draft: IncidentDraft
    events: Events | None
    incidents: Incidents | None
    pause: Pause
    integration_key: Place = INTEGRATION_KEY
    api_key: Place = API_KEY

    def __call__(self) -> Iterable[Finding]:
        if self.events is not None:
            return self._by_events(self.events)
        if self.incidents is not None:
            return self._by_rest(self.incidents)
        words = "Neither an integration key nor an API key is set: no incident can be opened."
        todo = "Run `truthvouch config pagerduty --integration-key … --service-id …`."
        return (Finding(CHECK, State.WRONG, "no_way_out", words, todo),)

    # ---------------------------------------------------------------- by the Events API

    def _by_events(self, events: Events) -> Iterator[Finding]:
        seen: Reply[IncidentFacts | None] | None = None
        reply: Reply[object] = Retry("interrupted", unclear=True)
        try:
            reply = events.trigger(self.draft)
            if isinstance(reply, Done) and self.incidents is not None:
                seen = self._appeared(self.incidents)
        finally:
            found = seen.value if isinstance(seen, Done) else None
            resolved = self._resolve_event(events, found) if _may_be_open(reply) else None
        if isinstance(reply, Done):
            yield from self._of_event(seen)
        else:
            yield _not_taken("Events API", self.integration_key, reply)
        if resolved is not None:
            yield from _left_open(resolved, self.draft.incident_key, found)

    def _of_event(self, seen: Reply[IncidentFacts | None] | None) -> Iterator[Finding]:
        if seen is None:
            words = (
                "The Events API took a test event and its resolve, as it does with any key of the right length; "
                "without PAGERDUTY_API_KEY nobody can see more."
            )
            todo = (
                f"Look in PagerDuty whether the service has a resolved incident `{TITLE}`, or let the test look: "
                "`truthvouch config pagerduty --api-key - --test`."
            )
            yield Finding(CHECK, State.WARNING, UNSEEN, words, todo)
        elif not isinstance(seen, Done):
            words = (
                f"The Events API took a test event; whether an incident came of it could not be seen ({seen.reason})."
            )
            yield Finding(CHECK, State.UNKNOWN, "test_event_not_seen", words, "See the check `pagerduty_key`.")
        elif seen.value is None:
            words = f"The Events API took the test event, and no incident came of it in {APPEARS_SECONDS:g} seconds."
            todo = (
                "Compare the integration key with the service's Integrations tab (Events API v2), and see that the "
                "service is neither disabled nor in maintenance and no event rule drops the event."
            )
            yield Finding(CHECK, State.WRONG, "test_event_lost", words, todo)
        else:
            yield from self._of_incident(seen.value)

    def _of_incident(self, found: IncidentFacts) -> Iterator[Finding]:
        yield fine(CHECK, f"A test event opened incident {found.incident_id} and was resolved again.")
        wanted, has = self.draft.service_id, found.service_id
        if wanted and has and wanted != has:
            words = f"The integration key is that of service {has}, and service_id names {wanted}."
            todo = "Copy the key from the Integrations tab of the service, or correct service_id."
            yield Finding(CHECK, State.WARNING, "key_of_another_service", words, todo)

    def _resolve_event(self, events: Events, found: IncidentFacts | None) -> Reply[object]:
        """By the event; where REST sees that it had no effect, by REST too."""
        reply: Reply[object] = self._tried(lambda: events.resolve(self.draft.incident_key, self.draft.service_id))
        incidents = self.incidents
        if incidents is None or found is None:
            return reply
        for _ in self._looks(APPEARS_SECONDS):
            seen = incidents.get(found.incident_id)
            if isinstance(seen, Done) and seen.value.status is Status.RESOLVED:
                return seen
        return self._tried(lambda: incidents.set_status(found.incident_id, Status.RESOLVED, RESOLUTION))

    def _appeared(self, incidents: Incidents) -> Reply[IncidentFacts | None]:
        """The incident that came of the event; ``Done(None)`` when none came, else why nobody could see."""
        silent = 0
        for _ in self._looks(APPEARS_SECONDS):
            reply = incidents.find(self.draft.incident_key)
            if isinstance(reply, Done):
                silent = 0
                if reply.value:
                    return Done(reply.value[0])
                continue
            silent += 1
            if silent == TRIES or not isinstance(reply, Retry):
                return reply
        return Done(None)

    # ---------------------------------------------------------------- by REST

    def _by_rest(self, incidents: Incidents) -> Iterator[Finding]:
        reply: Reply[IncidentFacts] = Retry("interrupted", unclear=True)
        try:
            reply = incidents.open(self.draft)
        finally:
            found = [reply.value] if isinstance(reply, Done) else self._after_all(incidents, reply)
            resolved = self._resolve_all(incidents, found)
        if isinstance(reply, Done):
            yield fine(CHECK, f"The REST API opened incident {reply.value.incident_id} and it was resolved again.")
        else:
            yield _not_taken("REST API", self.api_key, reply)
        if resolved is not None:
            yield from _left_open(resolved, self.draft.incident_key, found[0])

    def _after_all(self, incidents: Incidents, reply: Reply[IncidentFacts]) -> list[IncidentFacts]:
        """What an unclear outcome may have opened."""
        if not _may_be_open(reply):
            return []
        found = self._tried(lambda: incidents.find(self.draft.incident_key))
        return list(found.value) if isinstance(found, Done) else []

    def _resolve_all(self, incidents: Incidents, found: list[IncidentFacts]) -> Reply[object] | None:
        for one in found:
            resolved = self._tried(partial(incidents.set_status, one.incident_id, Status.RESOLVED, RESOLUTION))
            if not isinstance(resolved, Done):
                return resolved
        return None

    # ---------------------------------------------------------------- again and again

    def _looks(self, seconds: float) -> Iterator[None]:
        for number in range(int(seconds / LOOK_EVERY_SECONDS)):
            if number:
                self.pause(LOOK_EVERY_SECONDS)
            yield

    def _tried(self, call: Callable[[], Reply[T]]) -> Reply[T]:
        reply = call()
        for _ in range(TRIES - 1):
            if not isinstance(reply, Retry):
                break
            self.pause(min(reply.after_seconds or 1.0, 5.0))
            reply = call()
        return reply


def _may_be_open(reply: Reply[object]) -> bool:
    return isinstance(reply, Done) or (isinstance(reply, Retry) and reply.unclear)


def _not_taken(door: str, where: Place, reply: Reply[object]) -> Finding:
    reason = "" if isinstance(reply, Done) else reply.reason
    if isinstance(reply, Retry):
        words = f"The {door} could not be asked to open a test incident ({reason})."
        return Finding(CHECK, State.UNKNOWN, "not_reachable", words, "See PagerDuty's status page, and the network.")
    if isinstance(reply, Held) and reply.reason in (REDIRECTED, UNSENDABLE):
        words = f"The {door} was not asked to open a test incident ({reply.reason}): its address or the key is odd."
        todo = f"Compare PAGERDUTY_API_URL and PAGERDUTY_EVENTS_URL with PagerDuty's documents. {where.renewal}"
        return Finding(CHECK, State.WRONG, reply.reason, words, todo)
    if isinstance(reply, Held):
        words = f"The {door} does not let us open a test incident ({reason})."
        todo = f"{where.renewal} By REST a service and the e-mail of a user are needed too."
        return Finding(CHECK, State.WRONG, "key_refused", words, todo)
    detail = f": {reply.detail}" if isinstance(reply, Refused) and reply.detail else ""
    words = f"The {door} refused the test incident ({reason}{detail})."
    todo = f"Copy the key in {where.name} anew, and compare the ids in the configuration with PagerDuty's."
    return Finding(CHECK, State.WRONG, "test_event_refused", words, todo)


def _left_open(resolved: Reply[object], key: str, found: IncidentFacts | None) -> Iterator[Finding]:
    if isinstance(resolved, Done):
        return
    name = f"incident {found.incident_id}" if found else f"whatever is open under the key {key}"
    words = f"The test could not be undone ({resolved.reason}): {name} may still be open."
    yield Finding(CHECK, State.WRONG, "test_event_left_open", words, "Resolve it by hand in PagerDuty.")
