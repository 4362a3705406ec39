"""When a fault of the bridge opens an incident, when that is resolved, and that it does neither too often."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.model.subscription import Fault, Verdict
from app.domain.model.types import Side
from app.ports import StoreUnavailable
from app.remote.payload import RefusedDeliveries
from app.services.diagnostics.self_fault import (
    CLEAR_AFTER,
    REPEAT_AFTER,
    RETURNED_WITHIN,
    RULES,
    Action,
    Memory,
    SelfFault,
    Standing,
    Symptom,
    after,
    merged,
    step,
    symptoms,
)
from tests.conftest import FakeClock
from tests.web_fakes import FakeBridge

THERE = Symptom("It is wrong.", "Mend it.")
SECOND = timedelta(seconds=1)


def faults_of(bridge: FakeBridge) -> set[SelfFault]:
    """Those that the health report shows to be there."""
    found = symptoms(bridge.health(), bridge.clock())
    return {fault for fault, symptom in found.items() if symptom}


@pytest.fixture
def bridge(clock: FakeClock) -> FakeBridge:
    return FakeBridge(clock)


def test_every_fault_has_a_rule():
    assert set(SelfFault) == set(RULES)
    assert {"critical", "error", "warning"} == {rule.severity for rule in RULES.values()}


def test_the_page_about_operating_has_the_same_table():
    page = (Path(__file__).parents[3] / "docs" / "operating.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .+ \| `(critical|error|warning|info)` \|", page, re.M)
    assert [(fault.value, rule.severity) for fault, rule in RULES.items()] == rows


def test_a_bridge_that_works_has_no_fault_and_every_fault_is_known_to_be_absent(bridge: FakeBridge):
    assert dict.fromkeys(SelfFault) == dict(symptoms(bridge.health(), bridge.clock()))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [({"worker_seen_at": None}, SelfFault.WORKER_SILENT), ({"dead": 3, "dead_pages": 1}, SelfFault.PAGE_REFUSED)],
)
def test_what_the_health_report_shows_is_a_fault(bridge: FakeBridge, facts: dict, expected: SelfFault):
    bridge.health_source.set(**facts)
    assert {expected} == faults_of(bridge)


def test_a_page_that_waits_long_is_a_fault_and_a_note_that_does_is_none(bridge: FakeBridge, clock: FakeClock):
    long_ago = clock() - timedelta(minutes=5)
    bridge.health_source.set(waiting=1, oldest_waiting_at=long_ago)
    assert set() == faults_of(bridge)
    clock.advance(2)
    bridge.health_source.set(worker_seen_at=clock(), oldest_page_at=long_ago)
    assert {SelfFault.PAGE_WAITING} == faults_of(bridge)


def test_dead_letters_that_are_no_pages_are_no_fault(bridge: FakeBridge):
    bridge.health_source.set(dead=3)
    assert set() == faults_of(bridge)


def test_a_subscription_that_is_off_is_a_fault_and_a_warning_about_it_is_none(bridge: FakeBridge, clock: FakeClock):
    off = Fault("subscription_temporarily_disabled", "It is off.", "Switch it on.")
    bridge.health_source.set(subscription=Verdict(clock(), (off,)))
    assert {SelfFault.SUBSCRIPTION_OFF} == faults_of(bridge)
    clock.advance(2)
    warning = Fault("public_url_not_set", "Not compared.", "Set it.", warning=True)
    bridge.health_source.set(worker_seen_at=clock(), subscription=Verdict(clock(), (warning,)))
    assert set() == faults_of(bridge)


@pytest.mark.parametrize(
    ("count", "reason", "good_since", "expected"),
    [
        (3, "signature_mismatch", False, True),
        (2, "signature_mismatch", False, False),
        (9, "signature_missing", False, False),
        (9, "signature_mismatch", True, False),
    ],
)
def test_only_several_deliveries_that_do_not_match_with_none_that_does_are_a_fault(
    bridge: FakeBridge, clock: FakeClock, count: int, reason: str, good_since: bool, expected: bool
):
    seen_at = clock() - timedelta(minutes=0 if good_since else 20)
    at = clock() - timedelta(minutes=5)
    refused = RefusedDeliveries(count, reason, at, at)
    bridge.health_source.set(truthvouch_seen_at=seen_at, refused={Side.TRUTHVOUCH: (refused,)})
    assert expected == (SelfFault.SECRETS_MISMATCH in faults_of(bridge))


def test_with_the_store_gone_nothing_is_said_of_the_other_faults(bridge: FakeBridge):
    bridge.inbox.broken = StoreUnavailable('connection to "db.internal" as user "bridge" failed')
    found = symptoms(bridge.health(), bridge.clock())
    assert [SelfFault.STORE_GONE] == list(found)
    symptom = found[SelfFault.STORE_GONE]
    assert symptom
    assert "db.internal" not in symptom.message, "the driver's words stay here"


# ------------------------------------------------------------------------------------------------ one fault in time


class Watched:
    """One fault, looked at every second; PagerDuty takes everything unless told otherwise."""

    def __init__(self, clock: FakeClock, fault: SelfFault = SelfFault.STORE_GONE) -> None:
        self.clock, self.fault = clock, fault
        self.standing: Standing | None = None
        self.sent: list[Action] = []
        self.takes, self.unclear = True, False

    def look(self, there: bool, seconds: float = 1) -> list[Action]:
        """Look once a second for so long; what was sent meanwhile."""
        before = len(self.sent)
        for _ in range(int(seconds)):
            now = self.clock.advance(1)
            self.standing, action = step(self.fault, self.standing, THERE if there else None, now)
            if self.standing and action is not Action.NOTHING:
                self.sent.append(action)
                self.standing = after(self.standing, action, "key", self.takes, self.unclear, now)
        return self.sent[before:]


def test_a_fault_pages_once_when_it_has_lasted_and_is_resolved_once_when_it_is_over(clock: FakeClock):
    watched = Watched(clock)
    assert [] == watched.look(True, 30)
    assert [Action.OPEN] == watched.look(True, 300)
    assert [] == watched.look(False, CLEAR_AFTER.seconds - 1)
    assert [Action.RESOLVE] == watched.look(False, 300)


def test_a_fault_that_does_not_last_pages_nobody(clock: FakeClock):
    watched = Watched(clock)
    assert [] == watched.look(True, 20) + watched.look(False, 60) + watched.look(True, 20)
    assert [] == watched.look(False, CLEAR_AFTER.seconds + 1)
    assert watched.standing is None


def test_a_fault_that_is_known_to_have_lasted_pages_at_once(clock: FakeClock):
    since = clock() - timedelta(seconds=45)
    standing, action = step(SelfFault.WORKER_SILENT, None, Symptom("", "", since), clock())
    assert Action.OPEN is action
    assert standing
    assert since == standing.since


def test_a_fault_that_comes_and_goes_opens_few_incidents(clock: FakeClock):
    watched = Watched(clock, SelfFault.PAGE_WAITING)
    for _ in range(60):
        watched.look(True, 30)
        watched.look(False, 60)
    assert [Action.OPEN, Action.RESOLVE, Action.OPEN] == watched.sent[:3]
    assert {Action.OPEN} == set(watched.sent[3:]), "it stays open, and is said again once an hour"
    assert len(watched.sent) <= 5
    assert [Action.RESOLVE] == watched.look(False, RETURNED_WITHIN.seconds + 2)


def test_a_fault_that_lasts_is_sent_again_once_an_hour(clock: FakeClock):
    watched = Watched(clock, SelfFault.PAGE_WAITING)
    assert [Action.OPEN] * 3 == watched.look(True, 2 * REPEAT_AFTER.seconds + 2)


def test_what_is_not_taken_is_tried_again_ever_more_slowly(clock: FakeClock):
    watched = Watched(clock, SelfFault.PAGE_WAITING)
    watched.takes = False
    assert 10 == len(watched.look(True, 1800)), "after 15, 30, 60, 120, 240 seconds, then every five minutes"
    assert [] == watched.look(False, 600), "nothing was opened"
    assert watched.standing is None


def test_what_may_have_been_taken_is_resolved(clock: FakeClock):
    watched = Watched(clock, SelfFault.PAGE_WAITING)
    watched.takes, watched.unclear = False, True
    watched.look(True)
    watched.takes = True
    assert [Action.RESOLVE] == watched.look(False, 120)


# ------------------------------------------------------------------------------------------------------- memory


def test_what_is_remembered_can_be_written_and_read(clock: FakeClock):
    full = Standing(clock(), clock(), clock(), "k" * 90, clock(), 7, clock(), True)
    memory = Memory("a" * 32, dict.fromkeys(SelfFault, full))
    assert memory == Memory.from_text(memory.as_text())
    assert len(memory.as_text()) < 4096
    assert Memory("x", {}) == Memory.from_text(Memory("x").as_text())


@pytest.mark.parametrize("text", [None, "", "null", "[]", "{}", '{"id": "x", "faults": {"moon_rose": {}}}', "{"])
def test_what_cannot_be_read_is_no_memory(text: str | None):
    assert Memory() == Memory.from_text(text)


def test_of_two_memories_the_newer_counts(clock: FakeClock):
    older, newer = Standing(clock(), clock()), Standing(clock(), clock() + SECOND)
    assert newer == merged(older, newer) == merged(newer, older)
    assert older == merged(older, None) == merged(None, older)


def test_an_incident_that_one_watcher_opened_is_not_forgotten_by_another(clock: FakeClock):
    opened = Standing(clock(), clock(), clock(), "key", clock())
    pending = Standing(clock(), clock() + SECOND)
    found = merged(pending, opened)
    assert found
    assert (True, "key", clock() + SECOND) == (found.is_open, found.key, found.seen_at)
    closed = Standing(clock(), clock(), clock(), "key", clock(), closed_at=clock() + SECOND)
    assert closed == merged(opened, closed)
