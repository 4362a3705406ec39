"""Silences: what they silence opens nothing; when one ends, what is still open is decided anew, once."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.types import Status
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook, Silence
from app.ports import StoreUnavailable
from app.services.sync.silence_watch import WatchSilences
from app.store.database import StoredKeyValues
from app.store.history import StoredSilenced
from app.store.schema import links, timeline
from tests.fakes import START
from tests.rig import Rig


def silence(name: str = "deploy", match: str = "severity == critical", hours: float = 2, **more: Any) -> Silence:
    return Silence(name, match, "dana", "a release", START + timedelta(hours=hours), **more)


class Bridge(Rig):
    """A bridge with its watch over silences."""

    def __init__(self, folder: Path, *silences: Silence) -> None:
        super().__init__(folder)
        self.rulebook.rulebook = Rulebook(silences=silences)
        self.watch = self.a_watch()

    def a_watch(self) -> WatchSilences:
        """As a worker that was just started has it."""
        process_event = self.intake.process_event
        return WatchSilences(
            self.database,
            StoredKeyValues(),
            StoredSilenced(),
            process_event.links,
            process_event.writer,
            process_event,
            self.rulebook,
            self.clock,
        )

    def silences(self, *silences: Silence) -> None:
        """The file says this now."""
        self.rulebook.rulebook = replace(self.rulebook.rulebook, silences=silences)

    def at(self, hours: float) -> int:
        """Time passes and the watch looks; the answer is how many alerts it decided anew."""
        self.clock.now = START + timedelta(hours=hours)
        return self.watch()

    def at_pagerduty(self) -> str:
        """Where the incident stands."""
        return self.pagerduty.incidents["Q1"].status.value

    def entries(self, event: str) -> list[Any]:
        with self.database.engine.connect() as connection:
            rows = connection.execute(timeline.select().where(timeline.c.event == event).order_by(timeline.c.id))
            return [json.loads(row.facts) for row in rows]


@pytest.fixture
def bridge(tmp_path: Path) -> Bridge:
    made = Bridge(tmp_path, silence())
    made.watch()
    return made


def test_an_alert_that_a_silence_matches_opens_nothing_and_says_which(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    bridge.alert(AlertEventType.CREATED, alert_id="a2", severity="high")
    bridge.run()
    assert ["Q1"] == list(bridge.pagerduty.incidents)
    decision = bridge.link("a1").decision
    assert decision is not None
    assert ("deploy", "silenced", None) == (decision.rule, decision.reason, decision.urgency)
    assert "a2" == bridge.link("a2").alert.alert_id
    assert [("deploy", "silenced"), ("severity_map", "severity_map")] == [
        (facts["rule"], facts["reason"]) for facts in bridge.entries("alert.created")
    ]


def test_a_silence_is_asked_before_any_rule(bridge: Bridge):
    rule = Rule("page", "true", RuleAction.CREATE_INCIDENT)
    bridge.rulebook.rulebook = replace(bridge.rulebook.rulebook, rules=(rule,))
    bridge.alert(AlertEventType.CREATED)
    assert not bridge.link().paged


def test_what_is_silenced_goes_on_in_every_other_way(bridge: Bridge):
    """Resolves, acknowledges and looks pass; a silence that begins later closes no open incident."""
    bridge.silences()
    bridge.alert(AlertEventType.CREATED)
    bridge.run()
    bridge.silences(silence())
    bridge.clock.move(1)
    bridge.alert(AlertEventType.ACKNOWLEDGED)
    bridge.run()
    assert "acknowledged" == bridge.at_pagerduty()
    bridge.clock.move(60)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.run()
    assert "resolved" == bridge.at_pagerduty()
    bridge.clock.move(60)
    bridge.incident(IncidentEventType.REOPENED)
    bridge.run()
    assert Status.OPEN is bridge.link().status


def test_when_a_silence_expires_what_is_still_open_pages_once(bridge: Bridge):
    for alert_id in ("a1", "a2", "a3"):
        bridge.alert(AlertEventType.CREATED, alert_id=alert_id)
    bridge.clock.move(1)
    bridge.alert(AlertEventType.RESOLVED, alert_id="a2")
    assert (0, 2, 0) == (bridge.at(1.99), bridge.at(2), bridge.at(2.01))
    bridge.run()
    assert {bridge.link("a1").incident_key, bridge.link("a3").incident_key} == {
        facts.incident_key for facts in bridge.pagerduty.incidents.values()
    }
    assert [("opened", "severity_map")] * 2 == [
        (facts["outcome"], facts["rule"]) for facts in bridge.entries("silence.ended")
    ]
    for hours in (2.1, 2.2, 3, 24):
        assert 0 == bridge.at(hours)
    assert 2 == len(bridge.pagerduty.incidents)


def test_when_a_silence_is_removed_what_it_silenced_is_decided_anew(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    bridge.silences()
    assert 1 == bridge.at(0.5)
    bridge.run()
    assert ["Q1"] == list(bridge.pagerduty.incidents)


def test_an_alert_that_deserves_no_page_anyway_gets_none(bridge: Bridge):
    bridge.silences(silence(match="true"))
    bridge.watch()
    bridge.alert(AlertEventType.CREATED, severity="low")
    assert 1 == bridge.at(2)
    bridge.run()
    assert {} == bridge.pagerduty.incidents
    decision = bridge.link().decision
    assert decision is not None
    assert ("severity_map", "severity_none") == (decision.rule, decision.reason)
    assert 0 == bridge.at(3)


def test_what_another_silence_matches_stays_silent_until_that_one_ends(bridge: Bridge):
    bridge.silences(silence(), silence("longer", hours=5))
    bridge.watch()
    bridge.alert(AlertEventType.CREATED)
    assert (0, 0, 1) == (bridge.at(2), bridge.at(4), bridge.at(5))


def test_a_silence_that_was_narrowed_has_ended_for_what_it_lets_go(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    bridge.silences(silence(match="severity == high"))
    assert 1 == bridge.at(0.1)


def test_a_silence_that_was_prolonged_silences_on(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    bridge.silences(silence(hours=4))
    assert (0, 0, 1) == (bridge.at(1), bridge.at(3), bridge.at(4))


def test_an_end_during_a_standstill_is_found_at_the_start(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    bridge.watch = bridge.a_watch()
    assert 1 == bridge.at(300)


def test_an_alert_that_was_written_down_after_the_end_is_found_by_a_later_look(bridge: Bridge):
    """Its decision was made while the silence was in force, its transaction ended after the first look."""
    assert 0 == bridge.at(2)
    bridge.clock.now = START + timedelta(hours=1.99)
    bridge.alert(AlertEventType.CREATED)
    assert 0 == bridge.at(2.001)
    bridge.clock.now = START + timedelta(hours=2, seconds=70)
    assert 1 == bridge.watch()


def test_what_is_silenced_is_looked_at_once_a_minute_and_no_oftener(bridge: Bridge):
    looks: list[int] = []
    bridge.watch.silenced = Counting(looks)
    for seconds in range(5, 305, 5):  # it looked at the start
        bridge.clock.now = START + timedelta(seconds=seconds)
        bridge.watch()
    assert 5 == len(looks)
    bridge.clock.now -= timedelta(hours=1)  # the machine's clock was wrong, and nobody waits until it comes there again
    bridge.watch()
    assert 6 == len(looks)


def test_a_look_takes_no_lock_for_what_stays_silenced(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    bridge.alert(AlertEventType.CREATED)

    def locked() -> Any:
        raise Cut

    monkeypatch.setattr(bridge.database, "begin", locked)
    assert (0, 0) == (bridge.at(0.5), bridge.at(0.6))


def test_a_silence_that_came_and_went_between_two_looks_is_over_all_the_same(bridge: Bridge):
    bridge.silences()
    bridge.watch()
    bridge.silences(silence("slip"))
    bridge.clock.move(1)
    bridge.alert(AlertEventType.CREATED)
    bridge.silences()  # corrected, before anybody has looked
    bridge.clock.move(60)
    assert 1 == bridge.watch()
    bridge.run()
    assert ["Q1"] == list(bridge.pagerduty.incidents)


def test_a_silence_that_no_living_worker_has_seen_is_over_all_the_same(tmp_path: Path):
    """The one that took the alert in was killed before it looked."""
    bridge = Bridge(tmp_path, silence())
    bridge.alert(AlertEventType.CREATED)
    bridge.silences()
    bridge.watch = bridge.a_watch()
    assert (1, 0) == (bridge.watch(), bridge.at(1))


def test_what_was_over_when_its_silence_ended_is_decided_anew_when_it_is_reopened(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    bridge.clock.move(1)
    bridge.alert(AlertEventType.RESOLVED)
    assert (0, 0, 0) == (bridge.at(2), bridge.at(2.5), bridge.at(4))
    bridge.alert(AlertEventType.REOPENED)
    bridge.clock.move(60)
    assert (1, 0) == (bridge.watch(), bridge.at(5))
    bridge.run()
    assert ["Q1"] == list(bridge.pagerduty.incidents)


def test_an_alert_that_cannot_be_decided_keeps_no_other_silent(bridge: Bridge):
    for alert_id in ("a1", "a2"):
        bridge.alert(AlertEventType.CREATED, alert_id=alert_id)
    with bridge.database.engine.begin() as connection:
        spoilt = links.c.state.like("%first_seen_at%"), links.c.alert_id == "a1"
        state = sa.func.replace(links.c.state, "first_seen_at", "spoilt")
        connection.execute(links.update().where(*spoilt).values(state=state))
    with capture_logs() as lines:
        assert 1 == bridge.at(2)
    bridge.run()
    assert ["Q1"] == list(bridge.pagerduty.incidents)
    assert ["a1"] == [line["alert_id"] for line in lines if line["event"] == "silence.decision_failed"]


def test_a_store_that_is_gone_is_no_fault_of_an_alert(bridge: Bridge, monkeypatch: pytest.MonkeyPatch):
    """The look ends, and the next one begins with everything that is left."""
    bridge.alert(AlertEventType.CREATED)

    def gone() -> Any:
        raise StoreUnavailable

    bridge.clock.now = START + timedelta(hours=2)
    with monkeypatch.context() as patch:
        patch.setattr(bridge.database, "begin", gone)
        with pytest.raises(StoreUnavailable):
            bridge.watch()
    bridge.clock.move(5)
    assert 1 == bridge.watch()


def test_an_alert_that_is_resolved_while_the_watch_looks_is_left_alone(bridge: Bridge):
    bridge.alert(AlertEventType.CREATED)
    found = AllOfThem([(1, bridge.link().alert.alert_id)])
    bridge.clock.move(1)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.watch.silenced = found
    assert 0 == bridge.at(2)
    assert [] == bridge.entries("silence.ended")


class AllOfThem(StoredSilenced):
    """Finds once what it is told to find."""

    def __init__(self, found: list[Any]) -> None:
        self.found = found

    def after(self, tx: Any, link_id: int, limit: int) -> Any:
        return () if link_id else tuple(self.found)


class Counting(StoredSilenced):
    def __init__(self, looks: list[int]) -> None:
        self.looks = looks

    def after(self, tx: Any, link_id: int, limit: int) -> Any:
        self.looks.append(link_id)
        return super().after(tx, link_id, limit)


class Cut(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("commits", range(3))
def test_a_crash_between_any_two_commits_loses_no_page_and_doubles_none(bridge: Bridge, commits: int):
    for alert_id in ("a1", "a2"):
        bridge.alert(AlertEventType.CREATED, alert_id=alert_id)
    begin, left = bridge.database.begin, [commits]

    def dying() -> Any:
        if not left[0]:
            raise Cut
        left[0] -= 1
        return begin()

    bridge.clock.now = START + timedelta(hours=2)
    bridge.database.begin = dying  # type: ignore[method-assign]
    dies: Callable[[], object] = bridge.watch
    if commits < 2:
        with pytest.raises(Cut):
            dies()
    else:
        dies()
    bridge.database.begin = begin  # type: ignore[method-assign]
    bridge.watch = bridge.a_watch()
    bridge.watch()
    bridge.run()
    assert 2 == len(bridge.pagerduty.incidents)
    assert 2 == len(bridge.entries("silence.ended"))


def test_an_end_that_is_near_is_announced_once(bridge: Bridge):
    answer = []
    for hours in (0.5, 0.99, 1.0, 1.01, 1.5, 1.99, 2, 2.5):
        bridge.watch = bridge.a_watch()  # a restart between each two looks
        with capture_logs() as lines:
            bridge.at(hours)
        answer += [(hours, line["silence"]) for line in lines if line["event"] == "silence.expires_soon"]
    assert [(1.0, "deploy")] == answer


def test_a_planned_silence_begins_by_itself(bridge: Bridge):
    start: datetime = START + timedelta(hours=1)
    bridge.silences(silence(starts=start))
    bridge.alert(AlertEventType.CREATED)
    bridge.at(1)
    bridge.alert(AlertEventType.CREATED, alert_id="a2")
    bridge.run()
    assert [True, False] == [bridge.link(alert_id).paged for alert_id in ("a1", "a2")]
