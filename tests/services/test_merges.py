"""A merge is the last thing that happens to an incident, and no resolve: whenever it is heard, what the survivor's
people did counts for the alert, what we did there for another alert does not, and nobody's resolve is undone."""

from collections.abc import Sequence
from datetime import datetime
from itertools import permutations
from pathlib import Path

import pytest

from app.domain.names import IncidentId, Side, Status, Via
from app.domain.words import AlertVerb, IncidentVerb, IncidentWord
from app.store.schema import timeline
from tests.services.rigs import TimedRig

OPEN, ACKNOWLEDGED, RESOLVED = Status.OPEN, Status.ACKNOWLEDGED, Status.RESOLVED
VERBS = {OPEN: IncidentVerb.UNACKNOWLEDGED, ACKNOWLEDGED: IncidentVerb.ACKNOWLEDGED, RESOLVED: IncidentVerb.RESOLVED}
PERSON = "Dana Example"


class Bridge(TimedRig):
    """People act at PagerDuty; what it says of that is heard when, and in which order, the test says."""

    def __init__(self, folder: Path, via: Via = Via.REST, alerts: Sequence[str] = ("one", "two")) -> None:
        super().__init__(folder, via)
        self.clock.move(0.25)
        for alert_id in alerts:
            self.alert(AlertVerb.CREATED, alert_id=alert_id)
            self.wait(5)
        self.pagerduty.calls.clear()
        self.truthvouch.calls.clear()

    def merges(self, source: str, into: str) -> IncidentWord:
        at = self._passed()
        self.pagerduty.merge(source, into)
        return self._word(IncidentVerb.MERGED, source, at, into)

    def puts(self, incident_id: str, status: Status, verb: IncidentVerb | None = None) -> IncidentWord:
        at = self._passed()
        self.pagerduty.put(incident_id, status)
        return self._word(verb or VERBS[status], incident_id, at)

    def hears(self, *words: IncidentWord) -> None:
        for word in words:
            self.clock.move(0.5)
            self.say(Side.PAGERDUTY, word)

    def settles(self) -> None:
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

    def told(self, event: str) -> list[str]:
        """The alerts whose time line has this."""
        with self.database.engine.connect() as connection:
            rows = connection.execute(timeline.select().where(timeline.c.event == event).order_by(timeline.c.id))
            return [row.alert_id for row in rows]

    def _passed(self) -> datetime:
        return self.clock.move(3.25)

    def _word(self, verb: IncidentVerb, incident_id: str, at: datetime, into: str | None = None) -> IncidentWord:
        survivor = IncidentId(into) if into else None
        return IncidentWord(
            verb, IncidentId(incident_id), f"incident.{verb}", at, author=PERSON, merged_into=survivor
        )  # fmt: skip


BOTH = pytest.mark.parametrize("via", list(Via))


# ------------------------------------------------------------------------------------------------- a person's doing


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge is heard last"])
def test_a_person_who_resolves_the_survivor_resolves_both_alerts_whenever_the_merge_is_heard(
    tmp_path: Path, via: Via, late: bool
) -> None:
    bridge = Bridge(tmp_path, via)
    merged, resolved = bridge.merges("Q1", "Q2"), bridge.puts("Q2", RESOLVED)
    bridge.hears(*((resolved, merged) if late else (merged, resolved)))
    bridge.settles()
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q2", RESOLVED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))
    assert [] == bridge.written()


@BOTH
def test_a_merge_that_is_heard_long_after_both_alerts_were_closed_opens_neither(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via)
    merged, resolved = bridge.merges("Q1", "Q2"), bridge.puts("Q2", RESOLVED)
    bridge.hears(resolved)
    bridge.wait(300)
    bridge.hears(merged)
    bridge.settles()
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status
    assert (RESOLVED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_a_chain_of_merges_heard_in_any_order_nothing_is_opened_again(tmp_path: Path, order: Sequence[int]) -> None:
    bridge = Bridge(tmp_path, alerts=("one", "two", "three"))
    words = [bridge.merges("Q1", "Q2"), bridge.merges("Q2", "Q3"), bridge.puts("Q3", RESOLVED)]
    bridge.hears(*(words[number] for number in order))
    bridge.settles()
    assert {RESOLVED} == set(bridge.truthvouch.status.values())
    assert {"Q3"} == {bridge.link(alert_id).incident_id for alert_id in ("one", "two", "three")}
    assert (RESOLVED, []) == (bridge.pagerduty.incidents["Q3"].status, bridge.written())


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_a_chain_of_merges_the_last_survivor_is_acknowledged_for_all(tmp_path: Path, order: Sequence[int]) -> None:
    bridge = Bridge(tmp_path, alerts=("one", "two", "three"))
    words = [bridge.merges("Q1", "Q2"), bridge.merges("Q2", "Q3"), bridge.puts("Q3", ACKNOWLEDGED)]
    bridge.hears(*(words[number] for number in order))
    bridge.settles()
    assert {ACKNOWLEDGED} == set(bridge.truthvouch.status.values())
    assert (ACKNOWLEDGED, []) == (bridge.pagerduty.incidents["Q3"].status, bridge.written())
    for number, alert_id in enumerate(("one", "two", "three"), 1):
        bridge.clock.move(5)
        bridge.alert(AlertVerb.RESOLVED, alert_id=alert_id)
        bridge.wait(20)
        resolved = ["put resolved"] if number == 3 else []
        assert resolved == bridge.written(), "it is resolved with the last of them"


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge is heard last"])
def test_an_alert_nobody_has_in_hand_is_acknowledged_with_the_survivor_it_comes_to(
    tmp_path: Path, via: Via, late: bool
) -> None:
    bridge = Bridge(tmp_path, via)
    acknowledged = bridge.puts("Q2", ACKNOWLEDGED)
    if not late:
        bridge.hears(acknowledged)
        bridge.wait(10)
    merged = bridge.merges("Q1", "Q2")
    bridge.hears(*((merged, acknowledged) if late else (merged,)))
    bridge.settles()
    assert {"one": ACKNOWLEDGED, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    assert (ACKNOWLEDGED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


def test_an_alert_that_somebody_has_in_hand_stays_so_and_acknowledges_no_survivor(tmp_path: Path) -> None:
    """Whoever is on call for the survivor has not looked at it; a merge itself changes nothing at PagerDuty."""
    bridge = Bridge(tmp_path)
    bridge.hears(bridge.puts("Q1", ACKNOWLEDGED))
    bridge.wait(10)
    bridge.hears(bridge.merges("Q1", "Q2"))
    bridge.settles()
    assert {"one": ACKNOWLEDGED, "two": OPEN} == bridge.truthvouch.status
    assert (OPEN, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


def test_an_incident_resolved_and_reopened_before_the_merge_is_heard_is_open_for_both(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    merged, resolved = bridge.merges("Q1", "Q2"), bridge.puts("Q2", RESOLVED)
    reopened = bridge.puts("Q2", OPEN, IncidentVerb.REOPENED)
    bridge.hears(resolved, reopened, merged)
    bridge.settles()
    assert (OPEN, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())
    assert {"one": OPEN, "two": OPEN} == bridge.truthvouch.status


# ------------------------------------------------------------------------------------------------- our own doing


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge is heard last"])
def test_an_open_alert_whose_survivor_we_resolved_for_another_one_gets_an_incident_of_its_own(
    tmp_path: Path, via: Via, late: bool
) -> None:
    """TruthVouch closed the other alert, nobody at PagerDuty looked at this one."""
    bridge = Bridge(tmp_path, via)
    merged = bridge.merges("Q1", "Q2")
    if not late:
        bridge.hears(merged)
        bridge.wait(10)
    bridge.alert(AlertVerb.RESOLVED, alert_id="two")
    bridge.wait(20)
    if late:
        bridge.hears(merged)
    bridge.settles()
    assert {"one": OPEN, "two": RESOLVED} == bridge.truthvouch.status
    if not late:  # it was known to have a guest: TruthVouch's resolve became a note
        assert (("Q2", OPEN), []) == (bridge.incident_of("one"), bridge.told("incident.left"))
        return
    assert (("Q3", OPEN), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))
    assert ["one"] == bridge.told("incident.left")
    assert ["open" if via is Via.REST else "trigger"] == bridge.written()[1:]
    bridge.clock.move(10)
    bridge.alert(AlertVerb.RESOLVED, alert_id="one")
    bridge.settles()
    assert ("Q3", RESOLVED) == bridge.incident_of("one")


def test_an_acknowledged_alert_keeps_that_on_the_incident_of_its_own(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path)
    bridge.alert(AlertVerb.ACKNOWLEDGED, alert_id="one")
    bridge.wait(10)
    merged = bridge.merges("Q1", "Q2")
    bridge.alert(AlertVerb.RESOLVED, alert_id="two")
    bridge.wait(10)
    bridge.hears(merged)
    bridge.settles()
    assert {"one": ACKNOWLEDGED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q3", ACKNOWLEDGED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))


@BOTH
def test_what_we_do_there_for_one_alert_is_nobodys_word_about_the_other(tmp_path: Path, via: Via) -> None:
    """PagerDuty tells of our acknowledge as of any other; a person's counts for both."""
    bridge = Bridge(tmp_path, via)
    bridge.hears(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    bridge.alert(AlertVerb.ACKNOWLEDGED, alert_id="one")
    bridge.wait(0.5)
    assert ["put acknowledged"] == bridge.written(), "an event would name the key of one alert"
    echo = bridge.pagerduty.incidents["Q2"].status_changed_at
    assert echo is not None
    bridge.hears(bridge._word(IncidentVerb.ACKNOWLEDGED, "Q2", echo))
    bridge.settles()
    assert {"one": ACKNOWLEDGED, "two": OPEN} == bridge.truthvouch.status
    bridge.hears(bridge.puts("Q2", OPEN))
    bridge.wait(10)
    assert {"one": OPEN, "two": OPEN} == bridge.truthvouch.status
    bridge.hears(bridge.puts("Q2", ACKNOWLEDGED))
    bridge.settles()
    assert {"one": ACKNOWLEDGED, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    assert ["put acknowledged"] == bridge.written()


@BOTH
@pytest.mark.parametrize("late", [False, True], ids=["in order", "all is heard after our resolve"])
def test_what_people_had_made_of_a_survivor_that_we_resolved_since_counts_whenever_the_merge_is_heard(
    tmp_path: Path, via: Via, late: bool
) -> None:
    bridge = Bridge(tmp_path, via)
    acknowledged = bridge.puts("Q2", ACKNOWLEDGED)
    if not late:
        bridge.hears(acknowledged)
        bridge.wait(10)
    merged = bridge.merges("Q1", "Q2")
    bridge.alert(AlertVerb.RESOLVED, alert_id="two")
    bridge.wait(20)
    bridge.hears(*((acknowledged, merged) if late else (merged,)))
    bridge.settles()
    assert {"one": ACKNOWLEDGED, "two": RESOLVED} == bridge.truthvouch.status
    assert (("Q3", ACKNOWLEDGED), ("Q2", RESOLVED)) == (bridge.incident_of("one"), bridge.incident_of("two"))


@BOTH
def test_an_alert_that_opens_again_after_its_resolve_became_a_note_is_open(tmp_path: Path, via: Via) -> None:
    """Who acknowledged the incident meanwhile had the other alert in hand."""
    bridge = Bridge(tmp_path, via)
    bridge.hears(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    bridge.alert(AlertVerb.RESOLVED, alert_id="one")
    bridge.wait(10)
    bridge.hears(bridge.puts("Q2", ACKNOWLEDGED))
    bridge.wait(10)
    assert {"one": RESOLVED, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    bridge.clock.move(10)
    bridge.alert(AlertVerb.REOPENED, alert_id="one")
    bridge.settles()
    assert {"one": OPEN, "two": ACKNOWLEDGED} == bridge.truthvouch.status
    assert (ACKNOWLEDGED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


@BOTH
def test_what_a_delivery_reads_of_a_shared_incident_is_news_for_every_alert_on_it(tmp_path: Path, via: Via) -> None:
    """It was resolved for both, and is not opened again for the one that has not heard of it."""
    bridge = Bridge(tmp_path, via)
    bridge.hears(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    resolved = bridge.puts("Q2", RESOLVED)
    bridge.alert(AlertVerb.ACKNOWLEDGED, alert_id="two")
    bridge.clock.move(5)
    bridge.wait(10)
    bridge.hears(resolved)
    bridge.settles()
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status
    assert (RESOLVED, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())


@BOTH
def test_until_the_last_of_them_is_closed_a_resolve_is_a_note(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via)
    bridge.hears(bridge.merges("Q1", "Q2"))
    bridge.wait(10)
    bridge.alert(AlertVerb.RESOLVED, alert_id="one", reason="false_positive")
    bridge.settles()
    assert (OPEN, []) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())
    (note,) = bridge.pagerduty.notes_on["Q2"]
    assert "resolved by somebody: false_positive" in note.content
    bridge.clock.move(10)
    bridge.alert(AlertVerb.RESOLVED, alert_id="two")
    bridge.settles()
    assert (RESOLVED, ["put resolved"]) == (bridge.pagerduty.incidents["Q2"].status, bridge.written())
    assert {"one": RESOLVED, "two": RESOLVED} == bridge.truthvouch.status


# ------------------------------------------------------------------------------------------------- made by hand


@pytest.mark.parametrize("late", [False, True], ids=["in order", "the merge is heard last"])
def test_a_person_who_resolves_an_incident_made_by_hand_closes_the_alert_that_was_merged_into_it(
    tmp_path: Path, late: bool
) -> None:
    bridge = Bridge(tmp_path, alerts=("one",))
    bridge.pagerduty.by_hand("H1")
    merged, resolved = bridge.merges("Q1", "H1"), bridge.puts("H1", RESOLVED)
    bridge.hears(*((resolved, merged) if late else (merged, resolved)))
    bridge.settles()
    assert ({"one": RESOLVED}, ("H1", RESOLVED), []) == (
        bridge.truthvouch.status, bridge.incident_of("one"), bridge.written(),
    )  # fmt: skip


@BOTH
def test_an_alert_that_opens_again_after_an_incident_made_by_hand_is_over_pages_anew(tmp_path: Path, via: Via) -> None:
    bridge = Bridge(tmp_path, via, alerts=("one",))
    bridge.pagerduty.by_hand("H1")
    bridge.hears(bridge.merges("Q1", "H1"))
    bridge.wait(10)
    bridge.hears(bridge.puts("H1", RESOLVED))
    bridge.wait(10)
    assert RESOLVED is bridge.truthvouch.status["one"]
    bridge.clock.move(60)
    bridge.alert(AlertVerb.REOPENED, alert_id="one")
    bridge.settles()
    assert ["open" if via is Via.REST else "trigger"] == bridge.written(), "and H1, which is a person's, is left alone"
    opened, status = bridge.incident_of("one")
    assert (OPEN, RESOLVED) == (status, bridge.pagerduty.incidents["H1"].status)
    assert opened not in ("Q1", "H1")
    assert ["one"] == bridge.told("incident.left")
    bridge.hears(bridge.puts(opened or "", ACKNOWLEDGED))
    bridge.wait(10)
    assert ACKNOWLEDGED is bridge.truthvouch.status["one"]


def test_on_an_incident_made_by_hand_that_is_open_nothing_is_moved_by_us(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, alerts=("one",))
    bridge.pagerduty.by_hand("H1")
    bridge.hears(bridge.merges("Q1", "H1"))
    bridge.wait(10)
    for verb in (AlertVerb.ACKNOWLEDGED, AlertVerb.RESOLVED, AlertVerb.REOPENED):
        bridge.clock.move(30)
        bridge.alert(verb, alert_id="one")
        bridge.wait(30)
    assert (("H1", OPEN), []) == (bridge.incident_of("one"), bridge.written())
    assert "resolved by somebody" in bridge.pagerduty.notes_on["H1"][0].content
