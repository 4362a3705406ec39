"""The test event: opened once, resolved always; the ping: asked for once, believed when it is in the inbox."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import pytest

from app.domain.model.incident import IncidentDraft, IncidentFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.subscription import Scope, Subscription
from app.domain.model.types import IncidentId, IncidentKey, Status
from app.ports import Created, StoreUnavailable, Subscriptions
from app.ports.jobs import JobCancelled
from app.remote.payload import RefusedDeliveries
from app.services.diagnostics import connection_test
from app.services.diagnostics.connection_test import (
    APPEARS_SECONDS,
    LEFT_OPEN,
    PING_TIMEOUT_SECONDS,
    TestEvent,
    draft,
    ping,
)
from app.services.diagnostics.doctor import Finding, State, place
from tests.fakes import START, FakeClock, FakePagerDuty

PUBLIC = "https://bridge.example.com"


def codes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    found = list(findings)
    assert all(finding.remedy for finding in found if finding.state is not State.FINE)
    return [(finding.code, finding.state.value) for finding in found]


@dataclass
class Stage:
    """A PagerDuty, and a clock that moves only when the test waits."""

    far: FakePagerDuty = field(default_factory=lambda: FakePagerDuty(FakeClock()))
    waited: float = 0.0

    is_cancelled: bool = False

    def pause(self, seconds: float) -> None:
        if self.is_cancelled:
            raise JobCancelled
        self.waited += seconds

    def sleep(self, seconds: float) -> None:
        self.waited += seconds

    def run(self, events: bool = True, has_api_key: bool = True, service_id: str | None = None) -> list[Finding]:
        look = TestEvent(
            draft("mark", service_id), self.far if events else None, self.far if has_api_key else None, self.pause,
            sleep=self.sleep,
        )  # fmt: skip
        return list(look())

    @property
    def statuses(self) -> list[Status]:
        return [one.status for one in self.far.incidents.values()]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_it_comes_and_goes_by_the_events_api(stage: Stage) -> None:
    assert [("ok", "fine")] == codes(stage.run())
    assert [Status.RESOLVED] == stage.statuses
    assert ["trigger", "find", "event resolve", "get"] == stage.far.calls
    (incident,) = stage.far.incidents.values()
    assert (connection_test.TITLE, "low") == (incident.title, incident.urgency)


def test_without_an_api_key_it_says_what_nobody_saw(stage: Stage) -> None:
    (found,) = stage.run(has_api_key=False)
    assert [("test_event_unseen", "warning")] == codes([found])
    assert "nobody can see more" in found.message
    assert connection_test.TITLE in found.remedy
    assert ["trigger", "event resolve"] == stage.far.calls


def test_without_an_integration_key_it_goes_by_rest(stage: Stage) -> None:
    assert [("ok", "fine")] == codes(stage.run(events=False))
    assert ["open", "put resolved"] == stage.far.calls
    assert [("no_way_out", "wrong")] == codes(stage.run(events=False, has_api_key=False))


def test_an_event_that_opens_nothing_is_a_fault(stage: Stage) -> None:
    class Swallows(FakePagerDuty):
        def trigger(self, draft: IncidentDraft) -> Reply[None]:
            return Done(None)

    stage.far = Swallows(FakeClock())
    assert [("test_event_lost", "wrong")] == codes(stage.run())
    assert APPEARS_SECONDS - 1 <= stage.waited <= APPEARS_SECONDS
    assert "event resolve" == stage.far.calls[-1]


@pytest.mark.parametrize(("reply", "looks"), [(Held("unauthorized"), 1), (Retry("connect_timeout"), 3)])
def test_where_nobody_can_look_it_does_not_wait_long(stage: Stage, reply: Reply[None], looks: int) -> None:
    class Blind(FakePagerDuty):
        def find(self, key: IncidentKey, since: object = None) -> Reply[tuple[IncidentFacts, ...]]:
            self.calls.append("find")
            assert not isinstance(reply, Done)
            return reply

    stage.far = Blind(FakeClock())
    assert [("test_event_not_seen", "unknown")] == codes(stage.run())
    assert looks == stage.far.calls.count("find")
    assert [Status.RESOLVED] == stage.statuses


def test_the_key_of_another_service_is_reported(stage: Stage) -> None:
    assert [("ok", "fine")] == codes(stage.run(service_id="PMAIN"))

    class Elsewhere(FakePagerDuty):
        def find(self, key: IncidentKey, since: object = None) -> Reply[tuple[IncidentFacts, ...]]:
            found = super().find(key)
            return (
                Done(tuple(replace(one, service_id="POTHER") for one in found.value))
                if isinstance(found, Done)
                else found
            )

    stage.far = Elsewhere(FakeClock())
    assert [("ok", "fine"), ("key_of_another_service", "warning")] == codes(stage.run(service_id="PMAIN"))


@pytest.mark.parametrize("events", [True, False])
@pytest.mark.parametrize("fault", ["refused", "reset", "429"])
def test_whatever_became_of_the_opening_nothing_stays_open(stage: Stage, events: bool, fault: str) -> None:
    stage.far.faults.queue.append(fault)
    assert [("not_reachable", "unknown")] == codes(stage.run(events=events))
    assert Status.OPEN not in stage.statuses


@pytest.mark.parametrize("events", [True, False])
def test_a_resolve_that_fails_is_tried_again(stage: Stage, events: bool) -> None:
    stage.far.faults.queue.extend(["", *([""] if events else []), "refused", "429"])
    assert [("ok", "fine")] == codes(stage.run(events=events))
    assert [Status.RESOLVED] == stage.statuses


def test_what_stays_open_is_named(stage: Stage) -> None:
    stage.far.faults.queue.extend(["", "refused", "refused", "refused"])
    found = stage.run(events=False)
    assert [("ok", "fine"), ("test_event_left_open", "wrong")] == codes(found)
    assert "Q1" in found[1].message


@pytest.mark.parametrize("shows_at_once", [True, False])
def test_a_cancelled_test_still_tries_its_resolve_again(stage: Stage, shows_at_once: bool) -> None:
    class Slow(FakePagerDuty):
        def find(self, key: IncidentKey, since: object = None) -> Reply[tuple[IncidentFacts, ...]]:
            self.faults.queue.extend(["", "429", "refused"])
            found = super().find(key)
            return found if shows_at_once else Done(())

    stage.far, stage.is_cancelled = Slow(FakeClock()), True
    (found,) = stage.run()
    assert ("ok" if shows_at_once else "test_event_not_seen") == found.code
    assert ([Status.RESOLVED], 3) == (stage.statuses, stage.far.calls.count("event resolve"))


def test_what_a_cancelled_test_leaves_open_is_named(stage: Stage) -> None:
    stage.far.faults.queue.extend(["", "refused", "refused", "refused", "refused"])
    stage.is_cancelled = True
    assert [("test_event_not_seen", "unknown"), (LEFT_OPEN, "wrong")] == codes(stage.run())


def test_a_test_by_rest_that_is_begun_again_resolves_the_incident_of_its_first_run(stage: Stage) -> None:
    stage.far.open(draft("mark", None))
    (found,) = stage.run(events=False)
    assert (State.FINE, True, [Status.RESOLVED]) == (found.state, "Q1" in found.message, stage.statuses)


@pytest.mark.parametrize("looks", [2, 99])
def test_an_incident_of_the_first_run_that_is_not_found_is_looked_for_again_and_named(stage: Stage, looks: int) -> None:
    class Late(FakePagerDuty):
        def find(self, key: IncidentKey, since: object = None) -> Reply[tuple[IncidentFacts, ...]]:
            found = super().find(key)
            return found if self.calls.count("find") > looks else Done(())

    stage.far = Late(FakeClock())
    stage.far.open(draft("mark", None))
    found = stage.run(events=False)
    if looks == 2:
        assert ([("ok", "fine")], [Status.RESOLVED]) == (codes(found), stage.statuses)
    else:
        assert [("test_event_refused", "wrong"), (LEFT_OPEN, "wrong")] == codes(found)
        assert draft("mark", None).incident_key in found[1].message


@pytest.mark.parametrize("events", [True, False])
def test_ctrl_c_resolves_what_was_opened(stage: Stage, events: bool) -> None:
    class Interrupted(FakePagerDuty):
        def find(self, key: IncidentKey, since: object = None) -> Reply[tuple[IncidentFacts, ...]]:
            if "find" not in self.calls:
                self.calls.append("find")
                raise KeyboardInterrupt
            return super().find(key)

        def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
            super().open(draft)
            self.calls.append("find")
            raise KeyboardInterrupt

    stage.far = Interrupted(FakeClock())
    with pytest.raises(KeyboardInterrupt):
        stage.run(events=events)
    assert [Status.RESOLVED] == stage.statuses


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Held("unauthorized"), ("key_refused", "wrong")),
        (Held("no_from_email"), ("key_refused", "wrong")),
        (Refused("bad_request", 400, detail="Length of routing_key"), ("test_event_refused", "wrong")),
        (Retry("connect_failed"), ("not_reachable", "unknown")),
    ],
)
def test_a_refusal_is_reported_and_nothing_is_resolved(stage: Stage, reply: Reply[None], code: tuple[str, str]) -> None:
    class Refuses(FakePagerDuty):
        def trigger(self, draft: IncidentDraft) -> Reply[None]:
            return reply

        def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
            assert not isinstance(reply, Done)
            return reply

    stage.far = Refuses(FakeClock())
    for events in (True, False):
        assert [code] == codes(stage.run(events=events))
    assert [] == stage.far.calls


# ------------------------------------------------------------------------------------------------ the ping


def test_a_key_of_the_file_is_changed_in_the_file(stage: Stage) -> None:
    stage.far.open = lambda draft: Held("unauthorized")  # type: ignore[method-assign]
    key = place("pagerduty.api_key", "PAGERDUTY_API_KEY", {"pagerduty.api_key"})
    (found,) = TestEvent(draft("mark", None), None, stage.far, stage.pause, api_key=key)()
    assert "`truthvouch config pagerduty --api-key -`" in found.remedy
    assert "PAGERDUTY_API_KEY" not in found.message + found.remedy


@dataclass
class Hooks(Subscriptions):
    """PagerDuty's subscriptions, as far as a ping goes."""

    reply: Reply[None] = field(default_factory=lambda: Done(None))
    pinged: list[str] = field(default_factory=list)

    def list(self) -> Reply[tuple[Subscription, ...]]:
        return Done(())

    def create(self, url: str, events: object, scope: Scope) -> Reply[Created]:
        return Refused("no", 400)

    def update(self, subscription_id: str, events: object) -> Reply[Subscription]:
        return Refused("no", 400)

    def enable(self, subscription_id: str) -> Reply[None]:
        return Refused("no", 400)

    def ping(self, subscription_id: str) -> Reply[None]:
        self.pinged.append(subscription_id)
        return self.reply


@dataclass
class Inbox:
    """Deliveries by number; a test event comes after so many looks."""

    looks: int = 1_000
    there: bool = True
    refused_at: int | None = None
    """At which look a refused delivery is known."""
    refused_before: RefusedDeliveries | None = None

    def newest(self) -> int:
        if not self.there:
            raise StoreUnavailable("there is no inbox.db")
        return 7

    def came_after(self, number: int) -> bool:
        assert 7 == number
        self.looks -= 1
        return self.looks < 0

    def refused(self) -> RefusedDeliveries | None:
        known = self.refused_at is not None and self.looks <= self.refused_at
        return RefusedDeliveries(1, "signature_mismatch", START, START) if known else self.refused_before


LIVE = Subscription("W1", f"{PUBLIC}/pagerduty/webhook")


def pinged(
    hooks: Hooks | None,
    inbox: Inbox,
    url: str | None = PUBLIC,
    ours: tuple[Subscription, ...] = (LIVE,),
    waited: list[float] | None = None,
) -> list[tuple[str, str]]:
    return codes(ping(hooks, lambda: ours, url, inbox, (waited if waited is not None else []).append)())


def test_a_ping_that_comes_back_is_well() -> None:
    hooks, waited = Hooks(), list[float]()
    assert [("ok", "fine")] == pinged(hooks, Inbox(3), waited=waited)
    assert ["W1"] == hooks.pinged
    assert 3 == len(waited)


def test_a_ping_that_does_not_come_is_lost() -> None:
    waited: list[float] = []
    assert [("ping_lost", "wrong")] == pinged(Hooks(), Inbox(), waited=waited)
    assert PING_TIMEOUT_SECONDS == sum(waited)
    assert [("ping_not_sent", "unknown")] == pinged(Hooks(Held("forbidden")), Inbox())


def test_a_ping_that_is_refused_is_reported_at_once_and_why() -> None:
    waited: list[float] = []
    assert [("ping_refused", "wrong")] == pinged(Hooks(), Inbox(refused_at=998), waited=waited)
    assert 1 == len(waited)
    earlier = RefusedDeliveries(1, "signature_mismatch", START, START)
    assert [("ok", "fine")] == pinged(Hooks(), Inbox(3, refused_before=earlier))


@pytest.mark.parametrize("case", ["no key", "no address", "no store", "none ours", "switched off"])
def test_without_what_it_needs_it_is_skipped_and_nobody_is_asked(case: str) -> None:
    hooks = Hooks()
    off = replace(LIVE, temporarily_disabled=True)
    found = pinged(
        None if case == "no key" else hooks,
        Inbox(0, there=case != "no store"),
        None if case == "no address" else PUBLIC,
        () if case == "none ours" else (off,) if case == "switched off" else (LIVE,),
    )
    assert [("skipped", "warning")] == found
    assert [] == hooks.pinged


def test_the_key_of_a_test_is_its_own() -> None:
    assert draft("a", None).incident_key != draft("b", None).incident_key
    assert IncidentId(draft("a", None).incident_key).startswith("truthvouch-connection-test-")
