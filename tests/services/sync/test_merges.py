"""A merge is the last thing that happens to an incident, and no resolve: whenever it arrives, what the survivor's
people did counts for the alert, what we did there for another alert does not, and nobody's resolve is undone."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType, IncidentEvent, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Reply
from app.domain.model.types import IncidentId, IncidentKey, Side, Status, Via
from app.store.schema import timeline
from tests.services.rigs import TimedRig

OPEN, ACKNOWLEDGED, RESOLVED = Status.OPEN, Status.ACKNOWLEDGED, Status.RESOLVED
EVENT_TYPES = {
    OPEN: IncidentEventType.UNACKNOWLEDGED,
    ACKNOWLEDGED: IncidentEventType.ACKNOWLEDGED,
    RESOLVED: IncidentEventType.RESOLVED,
}
PERSON = "Dana Example"


class Bridge(TimedRig):
    """People act at PagerDuty; what it says of that is heard when, and in which order, the test says."""

    def __init__(self, folder: Path, via: Via = Via.REST, alerts: Sequence[str] = ("one", "two")) -> None:
        super().__init__(folder, via)
        self.clock.move(0.25)
        for alert_id in alerts:
            self.alert(AlertEventType.CREATED, alert_id=alert_id)
            self.wait(5)
        self.pagerduty.calls.clear()
        self.truthvouch.calls.clear()

    def merges(self, source: str, into: str) -> IncidentEvent:
        at = self._passed()
        self.pagerduty.merge(source, into)
        return self._event(IncidentEventType.MERGED, source, at, into)

    def puts(self, incident_id: str, status: Status, event_type: IncidentEventType | None = None) -> IncidentEvent:
        at = self._passed()
        self.pagerduty.put(incident_id, status)
        return self._event(event_type or EVENT_TYPES[status], incident_id, at)

    def receives(self, *events: IncidentEvent) -> None:
        for event in events:
            self.clock.move(0.5)
            self.say(Side.PAGERDUTY, event)

    def run_until_quiet(self) -> None:
        """Whatever is owed is done, and reconciliation finds nothing more."""
        self.wait(60)
        assert () == self.reconcile().findings
        self.wait(400)
        assert {} == self.engine.waiting

    def written(self) -> list[str]:
        """The calls that changed something at PagerDuty, notes aside."""
        return [call for call in self.pagerduty.calls if call.split()[0] in ("put", "open", "event", "trigger")]

    def incident_of(self, alert_id: str) -> tuple[str | None, Status]:
        incident_id = self.link(alert_id).incident_id
        return incident_id, self.pagerduty.incidents[incident_id or ""].status

    def entries(self, event: str) -> list[str]:
        """The alerts whose time line has this."""
        with self.database.engine.connect() as connection:
            rows = connection.execute(timeline.select().where(timeline.c.event == event).order_by(timeline.c.id))
            return [row.alert_id for row in rows]

    def _passed(self) -> datetime:
        return self.clock.move(3.25)

    def _event(
        self, event_type: IncidentEventType, incident_id: str, at: datetime, into: str | None = None
    ) -> IncidentEvent:
        survivor = IncidentId(into) if into else None
        return IncidentEvent(
            event_type, IncidentId(incident_id), f"incident.{event_type}", at, author=PERSON, merged_into=survivor
        )  # fmt: skip


BOTH = pytest.mark.parametrize("via", list(Via))


# ------------------------------------------------------------------------------------------------- a person's doing


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge arrives last"])
def test_a_person_who_resolves_the_survivor_resolves_both_alerts_whenever_the_merge_is_received(
    tmp_path: Path, via: Via, late: bool
) -> None:
    bridge = Bridge(tmp_path, via)
    merged, resolved = bridge.merges("Q1", "Q2"), bridge.puts("Q2", RESOLVED)
    bridge.receives(*((resolved, merged) if late else (merged, resolved)))
    bridge.run_until_quiet()
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q2", RESOLVED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))
    assert [] == bridge.written()


@BOTH
def test_a_merge_that_is_received_long_after_both_alerts_were_closed_opens_neither(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via)
    merged, resolved = bridge.merges("Q1", "Q2"), bridge.puts("Q2", RESOLVED)
    bridge.receives(resolved)
    bridge.wait(300)
    bridge.receives(merged)
    bridge.run_until_quiet()
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status
    assert (RESOLVED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


@pytest.mark.parametrize("known", [True, False], ids=["the merged one is known", "neither is known"])
def test_what_a_person_did_to_a_survivor_whose_own_alert_was_still_looking_for_it_counts_for_that_alert_too(
    tmp_path: Path, known: bool
) -> None:
    """The look-up answers from before the merge, and nobody but the merged alert is there to take the resolve."""
    bridge = Bridge(tmp_path, Via.EVENTS, alerts=[])
    find = bridge.pagerduty.find

    def find_before_the_merge(key: IncidentKey, since: datetime | None = None) -> Reply[tuple[IncidentFacts, ...]]:
        if key == bridge.link("one").incident_key and "Q2" not in bridge.pagerduty.incidents and not known:
            return Done(())
        reply = find(key, since)
        if key == bridge.link("two").incident_key:
            bridge.pagerduty.find = find  # type: ignore[method-assign]
            bridge.receives(bridge.merges("Q1", "Q2"), bridge.puts("Q2", RESOLVED))
            bridge.wait(2)
        return reply

    bridge.pagerduty.find = find_before_the_merge  # type: ignore[method-assign]
    for alert_id in ("one", "two"):
        bridge.alert(AlertEventType.CREATED, alert_id=alert_id)
        bridge.work()
    bridge.run_until_quiet()
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q2", RESOLVED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))
    assert ["trigger", "trigger"] == bridge.written()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_a_chain_of_merges_received_in_any_order_nothing_is_opened_again(
    tmp_path: Path, order: Sequence[int]
) -> None:
    bridge = Bridge(tmp_path, alerts=("one", "two", "three"))
    events = [bridge.merges("Q1", "Q2"), bridge.merges("Q2", "Q3"), bridge.puts("Q3", RESOLVED)]
    bridge.receives(*(events[number] for number in order))
    bridge.run_until_quiet()
    assert {RESOLVED} == set(bridge.truthvouch.status.values())
    assert {"Q3"} == {bridge.link(alert_id).incident_id for alert_id in ("one", "two", "three")}
    assert (RESOLVED, []) == (bridge.pagerduty.incidents["Q3"].status, bridge.written())


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_a_chain_of_merges_the_last_survivor_is_acknowledged_for_all(tmp_path: Path, order: Sequence[int]) -> None:
    bridge = Bridge(tmp_path, alerts=("one", "two", "three"))
    events = [bridge.merges("Q1", "Q2"), bridge.merges("Q2", "Q3"), bridge.puts("Q3", ACKNOWLEDGED)]
    bridge.receives(*(events[number] for number in order))
    bridge.run_until_quiet()
    assert {ACKNOWLEDGED} == set(bridge.truthvouch.status.values())
    assert (ACKNOWLEDGED, []) == (bridge.pagerduty.incidents["Q3"].status, bridge.written())
    for number, alert_id in enumerate(("one", "two", "three"), 1):
        bridge.clock.move(5)
        bridge.alert(AlertEventType.RESOLVED, alert_id=alert_id)
        bridge.wait(20)
        resolved = ["put resolved"] if number == 3 else []
        assert resolved == bridge.written(), "it is resolved with the last of them"


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge arrives last"])
def test_an_alert_nobody_has_in_hand_is_acknowledged_with_the_survivor_it_comes_to(
    tmp_path: Path, via: Via, late: bool
) -> None:
    bridge = Bridge(tmp_path, via)
    acknowledged = bridge.puts("Q2", ACKNOWLEDGED)
    if not late:
        bridge.receives(acknowledged)
        bridge.wait(10)
    merged = bridge.merges("Q1", "Q2")
    bridge.receives(*((merged, acknowledged) if late else (merged,)))
    bridge.run_until_quiet()
    assert {"one": ACKNOWLEDGED, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    assert (ACKNOWLEDGED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


def test_an_alert_that_somebody_has_in_hand_stays_so_and_acknowledges_no_survivor(tmp_path: Path) -> None:
    """Whoever is on call for the survivor has not looked at it; a merge itself changes nothing at PagerDuty."""
    bridge = Bridge(tmp_path)
    bridge.receives(bridge.puts("Q1", ACKNOWLEDGED))
    bridge.wait(10)
    bridge.receives(bridge.merges("Q1", "Q2"))
    bridge.run_until_quiet()
    assert {"one": ACKNOWLEDGED, "two": OPEN} == bridge.truthvouch.status
    assert (OPEN, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


def test_an_incident_resolved_and_reopened_before_the_merge_is_received_is_open_for_both(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    merged, resolved = bridge.merges("Q1", "Q2"), bridge.puts("Q2", RESOLVED)
    reopened = bridge.puts("Q2", OPEN, IncidentEventType.REOPENED)
    bridge.receives(resolved, reopened, merged)
    bridge.run_until_quiet()
    assert (OPEN, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())
    assert {"one": OPEN, "two": OPEN} == bridge.truthvouch.status


# ------------------------------------------------------------------------------------------------- our own doing


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge arrives last"])
def test_an_open_alert_whose_survivor_we_resolved_for_another_one_gets_an_incident_of_its_own(
    tmp_path: Path, via: Via, late: bool
) -> None:
    """TruthVouch closed the other alert, nobody at PagerDuty looked at this one."""
    bridge = Bridge(tmp_path, via)
    merged = bridge.merges("Q1", "Q2")
    if not late:
        bridge.receives(merged)
        bridge.wait(10)
    bridge.alert(AlertEventType.RESOLVED, alert_id="two")
    bridge.wait(20)
    if late:
        bridge.receives(merged)
    bridge.run_until_quiet()
    assert {"one": OPEN, "two": RESOLVED} == bridge.truthvouch.status
    if not late:  # it was known to have a guest: TruthVouch's resolve became a note
        assert (("Q2", OPEN), []) == (bridge.incident_of("one"), bridge.entries("incident.left"))
        return
    assert (("Q3", OPEN), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))
    assert ["one"] == bridge.entries("incident.left")
    assert ["open" if via is Via.REST else "trigger"] == bridge.written()[1:]
    bridge.clock.move(10)
    bridge.alert(AlertEventType.RESOLVED, alert_id="one")
    bridge.run_until_quiet()
    assert ("Q3", RESOLVED) == bridge.incident_of("one")


def test_an_acknowledged_alert_keeps_that_on_the_incident_of_its_own(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    bridge.alert(AlertEventType.ACKNOWLEDGED, alert_id="one")
    bridge.wait(10)
    merged = bridge.merges("Q1", "Q2")
    bridge.alert(AlertEventType.RESOLVED, alert_id="two")
    bridge.wait(10)
    bridge.receives(merged)
    bridge.run_until_quiet()
    assert {"one": ACKNOWLEDGED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q3", ACKNOWLEDGED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))


@BOTH
def test_what_we_do_there_for_one_alert_is_nobodys_word_about_the_other(tmp_path: Path, via: Via) -> None:
    """PagerDuty tells of our acknowledge as of any other; a person's counts for both."""
    bridge = Bridge(tmp_path, via)
    bridge.receives(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    bridge.alert(AlertEventType.ACKNOWLEDGED, alert_id="one")
    bridge.wait(0.5)
    assert ["put acknowledged"] == bridge.written(), "an event would name the key of one alert"
    echo = bridge.pagerduty.incidents["Q2"].status_changed_at
    assert echo is not None
    bridge.receives(bridge._event(IncidentEventType.ACKNOWLEDGED, "Q2", echo))
    bridge.run_until_quiet()
    assert {"one": ACKNOWLEDGED, "two": OPEN} == bridge.truthvouch.status
    bridge.receives(bridge.puts("Q2", OPEN))
    bridge.wait(10)
    assert {"one": OPEN, "two": OPEN} == bridge.truthvouch.status
    bridge.receives(bridge.puts("Q2", ACKNOWLEDGED))
    bridge.run_until_quiet()
    assert {"one": ACKNOWLEDGED, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    assert ["put acknowledged"] == bridge.written()


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "all arrives after our resolve"])
def test_what_people_had_made_of_a_survivor_that_we_resolved_since_counts_whenever_the_merge_is_received(
    tmp_path: Path, via: Via, late: bool
) -> None:
    bridge = Bridge(tmp_path, via)
    acknowledged = bridge.puts("Q2", ACKNOWLEDGED)
    if not late:
        bridge.receives(acknowledged)
        bridge.wait(10)
    merged = bridge.merges("Q1", "Q2")
    bridge.alert(AlertEventType.RESOLVED, alert_id="two")
    bridge.wait(20)
    bridge.receives(*((acknowledged, merged) if late else (merged,)))
    bridge.run_until_quiet()
    assert {"one": ACKNOWLEDGED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q3", ACKNOWLEDGED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))


@BOTH
def test_who_had_a_survivor_in_hand_has_also_the_alert_that_left_it_before_that_was_received(
    tmp_path: Path, via: Via
) -> None:
    bridge = Bridge(tmp_path, via)
    acknowledged = bridge.puts("Q2", ACKNOWLEDGED)
    merged = bridge.merges("Q1", "Q2")
    bridge.alert(AlertEventType.RESOLVED, alert_id="two")
    bridge.wait(20)
    bridge.receives(merged)
    bridge.wait(20)
    assert (["one"], ("Q3", OPEN)) == (bridge.entries("incident.left"), bridge.incident_of("one"))
    bridge.receives(acknowledged, acknowledged)
    bridge.run_until_quiet()
    assert {"one": ACKNOWLEDGED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q3", ACKNOWLEDGED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))


@BOTH
@pytest.mark.parametrize("whose", ["ours", "of a later time"])
def test_no_other_acknowledge_of_a_survivor_is_news_of_an_alert_that_left_it(
    tmp_path: Path, via: Via, whose: str
) -> None:
    bridge = Bridge(tmp_path, via)
    if whose == "ours":
        bridge.alert(AlertEventType.ACKNOWLEDGED, alert_id="two")
        bridge.wait(5)
    acknowledged = bridge._event(IncidentEventType.ACKNOWLEDGED, "Q2", bridge.clock() - timedelta(seconds=4))
    merged = bridge.merges("Q1", "Q2")
    bridge.alert(AlertEventType.RESOLVED, alert_id="two")
    bridge.wait(20)
    bridge.receives(merged)
    bridge.wait(20)
    assert (["one"], ("Q3", OPEN)) == (bridge.entries("incident.left"), bridge.incident_of("one"))
    if whose != "ours":
        bridge.receives(bridge.puts("Q2", OPEN, IncidentEventType.REOPENED))
        acknowledged = bridge.puts("Q2", ACKNOWLEDGED)
    bridge.receives(acknowledged)
    bridge.run_until_quiet()
    assert (OPEN, ("Q3", OPEN)) == (bridge.truthvouch.status["one"], bridge.incident_of("one"))


@BOTH
def test_an_alert_that_opens_again_after_its_resolve_became_a_note_is_open(tmp_path: Path, via: Via) -> None:
    """Who acknowledged the incident meanwhile had the other alert in hand."""
    bridge = Bridge(tmp_path, via)
    bridge.receives(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    bridge.alert(AlertEventType.RESOLVED, alert_id="one")
    bridge.wait(10)
    bridge.receives(bridge.puts("Q2", ACKNOWLEDGED))
    bridge.wait(10)
    assert {"one": RESOLVED, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    bridge.clock.move(10)
    bridge.alert(AlertEventType.REOPENED, alert_id="one")
    bridge.run_until_quiet()
    assert {"one": OPEN, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    assert (ACKNOWLEDGED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


@BOTH
def test_what_a_delivery_reads_of_a_shared_incident_is_news_for_every_alert_on_it(tmp_path: Path, via: Via) -> None:
    """It was resolved for both, and is not opened again for the one that has not heard of it."""
    bridge = Bridge(tmp_path, via)
    bridge.receives(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    resolved = bridge.puts("Q2", RESOLVED)
    bridge.alert(AlertEventType.ACKNOWLEDGED, alert_id="two")
    bridge.clock.move(5)
    bridge.wait(10)
    bridge.receives(resolved)
    bridge.run_until_quiet()
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status
    assert (RESOLVED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


@BOTH
def test_until_the_last_of_them_is_closed_a_resolve_is_a_note(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via)
    bridge.receives(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    bridge.alert(AlertEventType.RESOLVED, alert_id="one", reason="false_positive")
    bridge.run_until_quiet()
    assert (OPEN, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())
    (note,) = bridge.pagerduty.notes_on["Q2"]
    assert "resolved by somebody: false_positive" in note.content
    bridge.clock.move(10)
    bridge.alert(AlertEventType.RESOLVED, alert_id="two")
    bridge.run_until_quiet()
    assert (RESOLVED, ["put resolved"]) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status


# ------------------------------------------------------------------------------------------------- made by hand


@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge arrives last"])
def test_a_person_who_resolves_an_incident_made_by_hand_closes_the_alert_that_was_merged_into_it(
    tmp_path: Path, late: bool
) -> None:
    bridge = Bridge(tmp_path, alerts=("one",))
    bridge.pagerduty.by_hand("H1")
    merged, resolved = bridge.merges("Q1", "H1"), bridge.puts("H1", RESOLVED)
    bridge.receives(*((resolved, merged) if late else (merged, resolved)))
    bridge.run_until_quiet()
    assert ({"one": RESOLVED}, ("H1", RESOLVED), []) == (
        bridge.truthvouch.status, bridge.incident_of("one"), bridge.written(),
    )  # fmt: skip


@BOTH
def test_an_alert_that_opens_again_after_an_incident_made_by_hand_is_over_pages_anew(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via, alerts=("one",))
    bridge.pagerduty.by_hand("H1")
    bridge.receives(bridge.merges("Q1", "H1"))
    bridge.wait(10)
    bridge.receives(bridge.puts("H1", RESOLVED))
    bridge.wait(10)
    assert RESOLVED is bridge.truthvouch.status["one"]
    bridge.clock.move(60)
    bridge.alert(AlertEventType.REOPENED, alert_id="one")
    bridge.run_until_quiet()
    assert ["open" if via is Via.REST else "trigger"] == bridge.written(), "and H1, which is a person's, is left alone"
    opened, status = bridge.incident_of("one")
    assert (OPEN, RESOLVED) == (status, bridge.pagerduty.incidents["H1"].status)
    assert opened not in ("Q1", "H1")
    assert ["one"] == bridge.entries("incident.left")
    bridge.receives(bridge.puts(opened or "", ACKNOWLEDGED))
    bridge.wait(10)
    assert ACKNOWLEDGED is bridge.truthvouch.status["one"]


def test_on_an_incident_made_by_hand_that_is_open_nothing_is_moved_by_us(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, alerts=("one",))
    bridge.pagerduty.by_hand("H1")
    bridge.receives(bridge.merges("Q1", "H1"))
    bridge.wait(10)
    for event_type in (AlertEventType.ACKNOWLEDGED, AlertEventType.RESOLVED, AlertEventType.REOPENED):
        bridge.clock.move(30)
        bridge.alert(event_type, alert_id="one")
        bridge.wait(30)
    assert (("H1", OPEN), []) == (bridge.incident_of("one"), bridge.written())
    assert "resolved by somebody" in bridge.pagerduty.notes_on["H1"][0].content
