"""Flap damping: a resolve from TruthVouch waits for its time; nothing else waits for it, and it always goes out."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType, CommandType, IncidentEventType
from app.domain.model.types import LinkId, Side, Status, Via
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook
from app.domain.sync.link import Link, with_note
from app.store.schema import dead_letters, timeline
from tests.fakes import FakePagerDuty, FakeTruthVouch
from tests.services.rigs import TimedEngine, TimedRig

HOLD = 300.0
DAMPED = Rulebook(rules=(Rule("flappy", "true", RuleAction.CREATE_INCIDENT, hold_resolve_minutes=HOLD / 60),))


class Bridge(TimedRig):
    """A bridge whose deliveries run when they are due, and which can be stopped and started on the same store."""

    def __init__(
        self, folder: Path, via: Via = Via.REST, has_api_key: bool = True, before: "Bridge | None" = None
    ) -> None:
        self._before = before
        super().__init__(folder, via, has_api_key)
        self.rulebook.rulebook = DAMPED
        if before is not None:
            self.said, self.clock = before.said, before.clock

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        if self._before is None:
            return super().far_sides()
        self.clock = self._before.clock
        return self._before.pagerduty, self._before.truthvouch

    def an_engine(self) -> TimedEngine:
        return self._before.engine if self._before else super().an_engine()

    def paged(self) -> Link:
        """An alert whose incident is open."""
        self.alert(AlertEventType.CREATED)
        self.wait(1)
        assert Status.OPEN is self.incident_status()
        self.pagerduty.calls.clear()
        return self.link()

    def keep(self, link: Link) -> None:
        """The store holds this link now."""
        with self.database.begin() as tx:
            self.links.save(tx, link)

    def incident_status(self, incident_id: str = "Q1") -> Status:
        return self.pagerduty.incidents[incident_id].status

    def changes(self) -> list[str]:
        """The calls that changed something at PagerDuty."""
        return [call for call in self.pagerduty.calls if call.split()[0] in ("put", "note", "open", "event", "trigger")]

    def entries(self, event: str) -> list[str]:
        """The facts of the time line entries of this kind."""
        with self.database.engine.connect() as connection:
            rows = connection.execute(timeline.select().where(timeline.c.event == event).order_by(timeline.c.id))
            return [row.facts for row in rows]


@pytest.fixture
def bridge(tmp_path: Path) -> Bridge:
    return Bridge(tmp_path)


def test_a_resolve_is_held_back_and_goes_out_when_the_time_is_up(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD - 2)
    assert [] == bridge.changes()
    bridge.wait(3)
    assert ["put resolved"] == bridge.changes()
    assert not bridge.link().pagerduty.outstanding


@pytest.mark.parametrize("delay", [1.0, HOLD - 10, HOLD + 1], ids=["a moment", "most of the hold", "all of it"])
def test_the_hold_counts_from_when_we_received_the_resolve_whatever_its_own_time(bridge: Bridge, delay: float):
    """Whether TruthVouch's clock is behind ours, or its webhook was: nobody can tell, and the hold is ours."""
    bridge.paged()
    said_at = bridge.clock()
    bridge.clock.move(delay)
    bridge.alert(AlertEventType.RESOLVED, at=said_at)
    bridge.wait(HOLD - 2)
    assert [] == bridge.changes()
    assert 1 == len(bridge.entries("incident.resolve_held"))
    bridge.wait(3)
    assert ["put resolved"] == bridge.changes()


def test_an_alert_that_comes_back_within_the_hold_is_reported_to_nobody_and_counted(bridge: Bridge):
    bridge.paged()
    for _ in range(3):
        bridge.alert(AlertEventType.RESOLVED, reason="false_positive")
        bridge.wait(60)
        bridge.alert(AlertEventType.REOPENED)
        bridge.wait(60)
    bridge.wait(3 * HOLD)
    assert [] == bridge.changes()
    assert 3 == bridge.link().flaps
    assert 3 == len(bridge.entries("incident.flap_held")) == len(bridge.entries("incident.resolve_held"))
    assert (Status.OPEN, False) == (bridge.link().status, bridge.link().pagerduty.outstanding)


def test_a_flap_of_what_somebody_has_in_hand_wakes_nobody(bridge: Bridge):
    bridge.paged()
    bridge.clock.move(60)
    bridge.incident(IncidentEventType.ACKNOWLEDGED)
    bridge.wait(10)
    for _ in range(3):
        bridge.alert(AlertEventType.RESOLVED)
        bridge.wait(60)
        bridge.alert(AlertEventType.REOPENED)
        bridge.wait(60)
    bridge.wait(3 * HOLD)
    assert ([], Status.ACKNOWLEDGED) == (bridge.changes(), bridge.incident_status())
    assert (3, Status.ACKNOWLEDGED) == (bridge.link().flaps, bridge.link().status)
    # At TruthVouch each reopened alert is open until it is told that somebody has it: one call a flap.
    acknowledges = [call for call in bridge.truthvouch.calls if call[1] is Status.ACKNOWLEDGED]
    assert 1 + 3 == len(acknowledges) == len(bridge.truthvouch.calls)


def test_what_somebody_acknowledges_while_the_resolve_is_held_is_in_hand_after_the_flap(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(30)
    bridge.incident(IncidentEventType.ACKNOWLEDGED)
    bridge.wait(30)
    bridge.alert(AlertEventType.REOPENED)
    bridge.wait(3 * HOLD)
    assert ([], Status.ACKNOWLEDGED) == (bridge.changes(), bridge.link().status)


@pytest.mark.parametrize(
    ("event_type", "before", "after"),
    [
        (IncidentEventType.ACKNOWLEDGED, Status.OPEN, Status.ACKNOWLEDGED),
        (IncidentEventType.UNACKNOWLEDGED, Status.ACKNOWLEDGED, Status.OPEN),
    ],
)
def test_what_a_person_said_before_a_flap_counts_though_it_arrives_after_it(
    bridge: Bridge, event_type: IncidentEventType, before: Status, after: Status
):
    bridge.paged()
    bridge.clock.move(60)
    if before is Status.ACKNOWLEDGED:
        bridge.incident(IncidentEventType.ACKNOWLEDGED)
        bridge.wait(10)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(10)
    said_at = bridge.clock()
    bridge.wait(10)
    bridge.alert(AlertEventType.REOPENED)
    assert before is bridge.link().status
    bridge.incident(event_type, at=said_at)
    bridge.wait(3 * HOLD)
    assert ([], after, after) == (bridge.changes(), bridge.link().status, bridge.incident_status())


def test_a_reopen_of_what_pagerduty_has_seen_resolved_still_pages_again(bridge: Bridge):
    """After a flap as before it: only a reopen within the hold leaves an acknowledge as it is."""
    bridge.paged()
    bridge.clock.move(60)
    bridge.incident(IncidentEventType.ACKNOWLEDGED)
    for seconds in (60, HOLD + 60, 60, 60):
        bridge.alert(AlertEventType.RESOLVED)
        bridge.wait(seconds)
        bridge.alert(AlertEventType.REOPENED)
        bridge.wait(60)
    assert (["put resolved", "put open"], 3) == (bridge.changes(), bridge.link().flaps)
    assert Status.OPEN is bridge.link().status


def test_what_nobody_has_in_hand_any_more_is_open_after_a_flap(bridge: Bridge):
    bridge.paged()
    for event_type in (IncidentEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED):
        bridge.clock.move(60)
        bridge.incident(event_type)
    bridge.wait(10)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(60)
    bridge.alert(AlertEventType.REOPENED)
    bridge.wait(3 * HOLD)
    assert ([], Status.OPEN) == (bridge.changes(), bridge.link().status)


def test_after_a_flap_pagerduty_is_looked_at_again_at_once(bridge: Bridge):
    """What is left of the hold blinds nobody: the delayed delivery finds that nobody waits for it."""
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(60)
    bridge.alert(AlertEventType.REOPENED)
    assert not bridge.link().pagerduty.outstanding
    bridge.clock.move(60)
    bridge.pagerduty.put("Q1", Status.RESOLVED)  # by a person whose webhook is lost
    bridge.clock.move(60)
    bridge.reconcile()
    assert Status.RESOLVED is bridge.link().status
    bridge.wait(3 * HOLD)
    assert [] == bridge.changes()


def test_a_resolve_after_a_flap_is_owed_once_whatever_is_left_of_the_first_hold(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(60)
    bridge.alert(AlertEventType.REOPENED)
    bridge.wait(60)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD - 2)
    assert [] == bridge.changes()
    bridge.wait(3)
    assert ["put resolved"] == bridge.changes()
    assert not bridge.link().pagerduty.outstanding


def test_a_flap_received_twice_is_counted_once(bridge: Bridge):
    bridge.paged()
    resolved = bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(10)
    reopened = bridge.alert(AlertEventType.REOPENED)
    bridge.say(Side.TRUTHVOUCH, resolved, reopened)
    bridge.wait(2 * HOLD)
    assert (1, []) == (bridge.link().flaps, bridge.changes())


def test_an_alert_that_comes_back_later_opens_its_incident_again(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD + 1)
    bridge.alert(AlertEventType.REOPENED)
    bridge.wait(1)
    assert ["put resolved", "put open"] == bridge.changes()
    assert 0 == bridge.link().flaps


def test_after_a_flap_the_next_resolve_has_a_whole_hold_of_its_own(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD / 2)
    bridge.alert(AlertEventType.REOPENED)
    bridge.wait(10)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD - 2)
    assert [] == bridge.changes()
    bridge.wait(3)
    assert ["put resolved"] == bridge.changes()


def test_a_second_resolve_does_not_prolong_the_hold(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD - 10)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(11)
    assert ["put resolved"] == bridge.changes()


def test_the_note_of_a_resolve_waits_with_it_and_other_notes_do_not(bridge: Bridge):
    bridge.paged()
    bridge.keep(with_note(bridge.link(), "was told of", None, "drill", None))  # owed for another reason
    bridge.alert(AlertEventType.RESOLVED, reason="corrected")
    bridge.wait(1)
    assert ["note"] == bridge.changes()
    bridge.wait(HOLD)
    assert ["note", "put resolved", "note"] == bridge.changes()
    assert "corrected" in bridge.pagerduty.notes_on["Q1"][-1].content


def test_an_acknowledge_after_a_reopen_in_the_hold_goes_out_at_once(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(60)
    bridge.alert(AlertEventType.REOPENED)
    bridge.clock.move(1)
    bridge.alert(AlertEventType.ACKNOWLEDGED)
    bridge.wait(1)
    assert ["put acknowledged"] == bridge.changes()
    bridge.wait(2 * HOLD)
    assert ["put acknowledged"] == bridge.changes()


def test_an_acknowledge_at_pagerduty_during_the_hold_changes_nothing_about_the_resolve(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(60)
    bridge.incident(IncidentEventType.ACKNOWLEDGED)
    bridge.wait(HOLD - 62)
    assert ([], Status.ACKNOWLEDGED) == (bridge.changes(), bridge.incident_status())
    bridge.wait(3)
    assert ["put resolved"] == bridge.changes()


def test_a_person_who_resolves_at_pagerduty_is_not_held_back(bridge: Bridge):
    bridge.paged()
    bridge.incident(IncidentEventType.RESOLVED, author="Dana Example")
    bridge.wait(2)
    assert Status.RESOLVED is bridge.truthvouch.status["a1"]
    assert (None, []) == (bridge.link().hold_until, bridge.changes())


def test_a_person_who_resolves_at_pagerduty_during_the_hold_ends_it(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(60)
    bridge.incident(IncidentEventType.RESOLVED, author="Dana Example")
    bridge.wait(60)
    bridge.alert(AlertEventType.REOPENED)  # what PagerDuty shows as resolved has to be opened again
    bridge.wait(1)
    assert (["put open"], 0) == (bridge.changes(), bridge.link().flaps)


def test_a_rule_that_is_deleted_meanwhile_strands_nothing(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.rulebook.rulebook = Rulebook()
    bridge.wait(HOLD - 2)
    assert [] == bridge.changes()
    bridge.wait(3)
    assert ["put resolved"] == bridge.changes()


def test_a_resolve_of_a_rule_without_a_hold_is_not_held_back(bridge: Bridge):
    bridge.rulebook.rulebook = Rulebook()
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.work()
    assert ["put resolved"] == bridge.changes()


@pytest.mark.parametrize("via", list(Via))
def test_a_hold_survives_a_restart(tmp_path: Path, via: Via):
    bridge = Bridge(tmp_path, via)
    bridge.paged()
    bridge.wait(30)
    bridge.pagerduty.calls.clear()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(60)
    bridge = Bridge(tmp_path, via, before=bridge)
    bridge.wait(HOLD - 62)
    assert [] == bridge.changes()
    bridge.wait(10)
    assert Status.RESOLVED is bridge.incident_status()
    assert 1 == len([call for call in bridge.changes() if "resolve" in call])


def test_a_delivery_that_begins_too_early_goes_back_to_sleep(bridge: Bridge):
    """Another machine's clock, or a crash after the claim."""
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    (key,) = bridge.engine.waiting
    bridge.engine.waiting.clear()
    assert "done" == bridge.deliver(LinkId(key[0]), key[1], key[2], False)
    assert [] == bridge.changes()
    bridge.wait(HOLD + 1)
    assert ["put resolved"] == bridge.changes()


def test_the_resolve_goes_out_in_time_though_something_else_fails_all_the_while(bridge: Bridge):
    bridge.paged()
    bridge.keep(with_note(bridge.link(), "was told of", None, "drill", None))
    bridge.pagerduty.faults.queue.extend(["refused"] * 12)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD - 2)
    bridge.pagerduty.faults.queue.clear()
    assert Status.OPEN is bridge.incident_status()
    assert 8 == bridge.pagerduty.calls.count("notes")  # no oftener than without a hold
    bridge.wait(4)
    assert Status.RESOLVED is bridge.incident_status()


def test_behind_a_dead_letter_the_resolve_still_goes_out_in_time(bridge: Bridge):
    bridge.paged()
    link = with_note(bridge.link(), "was told of", None, "drill", None)  # it waits behind the dead letter
    bridge.keep(replace(link, pagerduty=replace(link.pagerduty, dead="bad_request")))
    bridge.alert(AlertEventType.RESOLVED, reason="corrected")
    bridge.wait(HOLD - 2)
    assert [] == bridge.changes()
    bridge.wait(3)
    assert ["put resolved"] == bridge.changes()


def test_a_resolve_that_comes_while_the_page_is_on_its_way_is_held_as_well(bridge: Bridge):
    bridge.pagerduty.faults.queue.extend(["reset"])
    bridge.alert(AlertEventType.CREATED)
    bridge.work()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(HOLD - 2)
    assert Status.OPEN is bridge.incident_status()
    bridge.wait(5)
    assert Status.RESOLVED is bridge.incident_status()


def test_events_during_the_hold_make_no_further_deliveries(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    seq = bridge.link().pagerduty.seq
    for _ in range(5):
        bridge.wait(10)
        bridge.alert(AlertEventType.RESOLVED)
        bridge.alert(AlertEventType.MENTIONED)
        bridge.incident(IncidentEventType.ANNOTATED, note="looking at it")
    assert (seq, 1) == (bridge.link().pagerduty.seq, len(bridge.engine.waiting))


def test_what_is_held_back_does_not_count_as_waiting_for_long(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(120)
    since = bridge.link().pagerduty.since
    assert since is not None
    assert since > bridge.clock()


def test_an_operator_finds_no_dead_letter_in_a_hold(bridge: Bridge):
    bridge.paged()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.command(CommandType.THAW, "a1")
    bridge.wait(HOLD + 1)
    with bridge.database.engine.connect() as connection:
        assert [] == connection.execute(dead_letters.select()).all()
    assert ["put resolved"] == bridge.changes()


def test_of_alerts_on_one_incident_the_longest_hold_counts(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    bridge.alert(AlertEventType.CREATED, alert_id="a2")
    bridge.wait(1)
    bridge.incident(IncidentEventType.MERGED, "Q2", merged_into="Q1")
    bridge.pagerduty.calls.clear()
    bridge.alert(AlertEventType.RESOLVED)
    bridge.clock.move(100)
    bridge.alert(AlertEventType.RESOLVED, alert_id="a2")
    bridge.wait(HOLD - 2)
    assert "put resolved" not in bridge.changes()
    bridge.wait(3)
    assert "put resolved" in bridge.changes()
