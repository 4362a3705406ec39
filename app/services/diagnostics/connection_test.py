"""Use case: prove the way to PagerDuty by using it: an incident that opens and resolves.

Whatever happens in between, an exception or Ctrl-C included, what was opened is resolved.

Use case: PagerDuty's own test event, there and back: through our public address, the proxy, the web process, the inbox.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from app.domain.model.incident import IncidentDraft, IncidentFacts
from app.domain.model.outcome import REDIRECTED, UNSENDABLE, Done, Held, Refused, Reply, Retry
from app.domain.model.subscription import Subscription
from app.domain.model.types import IncidentId, IncidentKey, Status, Urgency
from app.ports import KEY_TAKEN, Events, Incidents, StoreUnavailable, Subscriptions
from app.ports.jobs import JobCancelled
from app.remote.payload import RefusedDeliveries
from app.services.diagnostics.doctor import Finding, Place, State, fine, probe

T = TypeVar("T")

CHECK = "test_event"
UNSEEN = "test_event_unseen"
"""Code: PagerDuty took the event, and nobody can look what became of it."""
LEFT_OPEN = "test_event_left_open"
"""Code: the resolve failed, and somebody has to resolve by hand."""
TITLE = "TruthVouch bridge connection test"
RESOLUTION = "The connection test is over."

APPEARS_SECONDS = 30.0
"""From the 202 of the Events API to the incident; commonly one or two."""
POLL_EVERY_SECONDS = 0.5
INTEGRATION_KEY, API_KEY = Place("PAGERDUTY_INTEGRATION_KEY"), Place("PAGERDUTY_API_KEY")
TRIES = 3
"""So often a resolve is tried, and what it needs to know: an incident left open wakes somebody."""

Pause = Callable[[float], None]
_found = partial(Finding, CHECK)


def draft(nonce: str, service_id: str | None) -> IncidentDraft:
    """The test's incident, under a key of its own: ``nonce`` is different at each test."""
    key = IncidentKey(f"truthvouch-connection-test-{nonce}")
    details = {"note": "Opened and resolved by `truthvouch config pagerduty --test`. Nothing is to be done."}
    source = "truthvouch-pagerduty-bridge"
    return IncidentDraft(key, TITLE, Urgency.LOW, "info", source, details, service_id=service_id)


@dataclass(frozen=True)
class TestEvent:
    """The check that opens an incident and resolves it, by the Events API where there is a key for it, else by REST."""

    __test__ = False  # for pytest this is no test

    draft: IncidentDraft
    events: Events | None
    incidents: Incidents | None
    pause: Pause
    """While the incident is waited for. What is raised here ends the test; ``JobCancelled`` only the waiting."""
    integration_key: Place = INTEGRATION_KEY
    api_key: Place = API_KEY
    sleep: Pause = time.sleep
    """Between the tries of the resolve, which nobody cancels."""

    def __call__(self) -> Iterable[Finding]:
        if self.events is not None:
            return self._by_events(self.events)
        if self.incidents is not None:
            return self._by_rest(self.incidents)
        message = "Neither an integration key nor an API key is set: no incident can be opened."
        remedy = "Run `truthvouch config pagerduty --integration-key … --service-id …`."
        return (_found(State.WRONG, "no_way_out", message, remedy),)

    def _by_events(self, events: Events) -> Iterator[Finding]:
        seen: Reply[IncidentFacts | None] | None = None
        reply: Reply[object] = Retry("interrupted", unclear=True)
        try:
            reply = events.trigger(self.draft)
            if isinstance(reply, Done) and self.incidents is not None:
                seen = self._appeared_unless_cancelled(self.incidents)
        finally:
            found = seen.value if isinstance(seen, Done) else None
            resolved = self._resolve_event(events, found) if _may_be_open(reply) else None
        if isinstance(reply, Done):
            yield from self._of_event(seen)
        else:
            yield _not_taken("Events API", self.integration_key, reply)
        yield from _left_open(resolved, self.draft.incident_key, found)

    def _of_event(self, seen: Reply[IncidentFacts | None] | None) -> Iterator[Finding]:
        if seen is None:
            message = (
                "The Events API took a test event and its resolve, as it does with any key of the right length; "
                "without PAGERDUTY_API_KEY nobody can see more."
            )
            remedy = (
                f"Look in PagerDuty whether the service has a resolved incident `{TITLE}`, or let the test look: "
                "`truthvouch config pagerduty --api-key - --test`."
            )
            yield _found(State.WARNING, UNSEEN, message, remedy)
        elif not isinstance(seen, Done):
            message = "The Events API took a test event; whether an incident came of it could not be seen"
            remedy = "See the check `pagerduty_key`."
            yield _found(State.UNKNOWN, "test_event_not_seen", f"{message} ({seen.reason}).", remedy)
        elif seen.value is None:
            message = f"The Events API took the test event, and no incident came of it in {APPEARS_SECONDS:g} seconds."
            remedy = (
                "Compare the integration key with the service's Integrations tab (Events API v2), and see that the "
                "service is neither disabled nor in maintenance and no event rule drops the event."
            )
            yield _found(State.WRONG, "test_event_lost", message, remedy)
        else:
            yield fine(CHECK, f"A test event opened incident {seen.value.incident_id} and was resolved again.")
            wanted, has = self.draft.service_id, seen.value.service_id
            if wanted and has and wanted != has:
                message = f"The integration key is that of service {has}, and service_id names {wanted}."
                remedy = "Copy the key from the Integrations tab of the service, or correct service_id."
                yield _found(State.WARNING, "key_of_another_service", message, remedy)

    def _resolve_event(self, events: Events, found: IncidentFacts | None) -> Reply[object]:
        """By the event; where REST sees that it had no effect, by REST too."""
        reply: Reply[object] = self._tried(lambda: events.resolve(self.draft.incident_key, self.draft.service_id))
        incidents = self.incidents
        if incidents is None or found is None:
            return reply
        for _ in _attempts(self.sleep):
            seen = incidents.get(found.incident_id)
            if isinstance(seen, Done) and seen.value.status is Status.RESOLVED:
                return seen
        return self._resolve(incidents, found.incident_id)

    def _resolve(self, incidents: Incidents, incident_id: IncidentId) -> Reply[IncidentFacts]:
        return self._tried(partial(incidents.set_status, incident_id, Status.RESOLVED, RESOLUTION))

    def _appeared_unless_cancelled(self, incidents: Incidents) -> Reply[IncidentFacts | None]:
        """Whoever cancels the test still hears what stayed open."""
        try:
            return self._appeared(incidents)
        except JobCancelled:
            return Retry("cancelled")

    def _appeared(self, incidents: Incidents) -> Reply[IncidentFacts | None]:
        """The incident that came of the event; ``Done(None)`` when none came, else why nobody could see."""
        silent = 0
        for _ in _attempts(self.pause):
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

    def _by_rest(self, incidents: Incidents) -> Iterator[Finding]:
        reply: Reply[IncidentFacts] = Retry("interrupted", unclear=True)
        try:
            reply = incidents.open(self.draft)
        finally:
            seen = self._opened(incidents, reply)
            found = seen.value if isinstance(seen, Done) else ()
            replies = [seen, *(self._resolve(incidents, one.incident_id) for one in found)]
            resolved = next((one for one in replies if not isinstance(one, Done)), None)
        if isinstance(reply, Done) or (found and _was_begun_before(reply)):
            yield fine(CHECK, f"The REST API opened incident {found[0].incident_id} and it was resolved again.")
        else:
            yield _not_taken("REST API", self.api_key, reply)
        yield from _left_open(resolved, self.draft.incident_key, found[0] if found else None)

    def _opened(self, incidents: Incidents, reply: Reply[IncidentFacts]) -> Reply[Sequence[IncidentFacts]]:
        """What was opened, or may have been where the outcome is unclear, or by an earlier run of the same test."""
        if isinstance(reply, Done):
            return Done((reply.value,))
        if not _may_be_open(reply):
            return Done(())
        return self._tried(lambda: self._found_by_key(incidents, _was_begun_before(reply)))

    def _found_by_key(self, incidents: Incidents, is_there: bool) -> Reply[Sequence[IncidentFacts]]:
        reply = incidents.find(self.draft.incident_key)
        return Retry("not_found_yet") if is_there and isinstance(reply, Done) and not reply.value else reply

    def _tried(self, call: Callable[[], Reply[T]]) -> Reply[T]:
        reply = call()
        for _ in range(TRIES - 1):
            if not isinstance(reply, Retry):
                break
            self.sleep(min(reply.after_seconds or 1.0, 5.0))
            reply = call()
        return reply


def _attempts(pause: Pause) -> Iterator[None]:
    for number in range(int(APPEARS_SECONDS / POLL_EVERY_SECONDS)):
        if number:
            pause(POLL_EVERY_SECONDS)
        yield


def _may_be_open(reply: Reply[object]) -> bool:
    return isinstance(reply, Done) or (isinstance(reply, Retry) and reply.unclear) or _was_begun_before(reply)


def _was_begun_before(reply: Reply[object]) -> bool:
    """The key is this test's own: what is open under it is of a run of this test that was ended in its midst."""
    return isinstance(reply, Refused) and reply.reason == KEY_TAKEN


def _not_taken(api: str, where: Place, reply: Retry | Held | Refused) -> Finding:
    match reply:
        case Retry(reason):
            message = f"The {api} could not be asked to open a test incident ({reason})."
            return _found(State.UNKNOWN, "not_reachable", message, "See PagerDuty's status page, and the network.")
        case Held(reason) if reason in (REDIRECTED, UNSENDABLE):
            message = f"The {api} was not asked to open a test incident ({reason}): its address or the key is odd."
            remedy = f"Compare PAGERDUTY_API_URL and PAGERDUTY_EVENTS_URL with PagerDuty's documents. {where.renewal}"
            return _found(State.WRONG, reason, message, remedy)
        case Held(reason):
            remedy = f"{where.renewal} By REST a service and the e-mail of a user are needed too."
            message = f"The {api} does not let us open a test incident ({reason})."
            return _found(State.WRONG, "key_refused", message, remedy)
        case Refused(reason, detail=detail):
            message = f"The {api} refused the test incident ({reason}{f': {detail}' if detail else ''})."
            remedy = f"Copy the key in {where.name} anew, and compare the ids in the configuration with PagerDuty's."
            return _found(State.WRONG, "test_event_refused", message, remedy)


def _left_open(resolved: Reply[object] | None, key: str, found: IncidentFacts | None) -> Iterator[Finding]:
    if resolved is None or isinstance(resolved, Done):
        return
    name = f"incident {found.incident_id}" if found else f"whatever is open under the key {key}"
    message = f"The test could not be undone ({resolved.reason}): {name} may still be open."
    yield _found(State.WRONG, LEFT_OPEN, message, "Resolve it by hand in PagerDuty.")


PING_CHECK = "webhook_ping"

PING_TIMEOUT_SECONDS = 10.0
POLL_FOR_PING_EVERY_SECONDS = 0.25


class PingDeliveries(Protocol):
    """The test events in the inbox. Everything may raise ``StoreUnavailable``."""

    def newest(self) -> int:
        """The number of the newest delivery of any kind; 0 where there is none."""
        ...

    def came_after(self, number: int) -> bool:
        """Whether a test event arrived after that delivery."""
        ...

    def refused(self) -> RefusedDeliveries | None:
        """PagerDuty's newest deliveries whose signature proved nothing."""
        ...


@probe
def ping(
    subscriptions: Subscriptions | None,
    ours: Callable[[], Sequence[Subscription]],
    public_url: str | None,
    ping_deliveries: PingDeliveries,
    pause: Pause,
) -> Iterable[Finding]:
    """Whether a test event that we ask PagerDuty for arrives here. ``subscriptions`` None: no API key."""
    if subscriptions is None:
        return (_skipped("PAGERDUTY_API_KEY is not set", "Set it, or use `Send Test Event` in PagerDuty."),)
    if public_url is None:
        return (_skipped("BRIDGE_PUBLIC_URL is not set", "Set it to the address PagerDuty reaches the bridge at."),)
    try:
        before, refused = ping_deliveries.newest(), ping_deliveries.refused()
    except StoreUnavailable as fault:
        remedy = "Run the test where the bridge runs, with its BRIDGE_DATA_DIR or DATABASE_URL."
        return (_skipped(f"the bridge's store is not here ({fault})", remedy),)
    there = [one for one in ours() if one.active and not one.temporarily_disabled]
    if not there:
        return (_skipped("no subscription that is switched on comes here", "See the check `subscription`."),)
    ident = there[0].subscription_id
    reply = subscriptions.ping(ident)
    if not isinstance(reply, Done):
        message = f"PagerDuty was not willing to send its test event to subscription {ident} ({reply.reason})."
        remedy = "Use a key that may, or press `Send Test Event`."
        return (Finding(PING_CHECK, State.UNKNOWN, "ping_not_sent", message, remedy),)
    for _ in range(int(PING_TIMEOUT_SECONDS / POLL_FOR_PING_EVERY_SECONDS)):
        if ping_deliveries.came_after(before):
            return (fine(PING_CHECK, f"PagerDuty's test event came back through {public_url}."),)
        if (now_refused := ping_deliveries.refused()) is not None and now_refused != refused:
            message = f"PagerDuty's test event arrived and was refused: {now_refused.reason}."
            remedy = (
                f"Put the secret that PagerDuty showed when subscription {ident} was created first in "
                "PAGERDUTY_WEBHOOK_SECRETS and restart; it shows it only once, so for a lost one make a new "
                "subscription: `truthvouch doctor --create-subscription`."
            )
            return (Finding(PING_CHECK, State.WRONG, "ping_refused", message, remedy),)
        pause(POLL_FOR_PING_EVERY_SECONDS)
    message = f"PagerDuty's test event did not arrive through {public_url} in {PING_TIMEOUT_SECONDS:g} seconds."
    remedy = (
        "See that the bridge runs, and that its address is reached from outside with a certificate PagerDuty trusts."
    )
    return (Finding(PING_CHECK, State.WRONG, "ping_lost", message, remedy),)


def _skipped(why: str, remedy: str) -> Finding:
    return Finding(PING_CHECK, State.WARNING, "skipped", f"No test event was asked for: {why}.", remedy)
