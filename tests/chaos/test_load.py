"""People date nothing: the partners do, by their own clocks, and for the judge the machine's clock does."""

from collections.abc import Mapping
from typing import Any

from tests.chaos.evidence import Act
from tests.chaos.load import Load
from tests.chaos.partners import Json, Partners
from tests.chaos.plan import SCRIPTS, plan
from tests.system.signing import key_of


class Screens(Partners):
    """Both partners' screens, with these incidents (newest first); remembers every click."""

    def __init__(self, *incidents: Json) -> None:
        self.shown = incidents
        self.clicks: list[tuple[str, Json]] = []

    def look(self, path: str, **query: object) -> Json:
        return {"incidents": list(self.shown)}

    def order(self, path: str, body: Mapping[str, Any] | None = None) -> Json | None:
        self.clicks.append((path, dict(body or {})))
        return {"incident": {"id": "Q9"}}

    def alert(self, alert_id: str) -> Json:
        return {"status": "open"}

    def incident(self, incident_id: str) -> Json:
        return next(dict(shown) for shown in self.shown if shown["id"] == incident_id)


def incident(name: str, alert_id: str, status: str = "triggered", into: str | None = None) -> Json:
    return {"id": name, "status": status, "incident_key": key_of(alert_id), "alert_keys": [], "merged_into": into}


def play(screens: Screens, *steps: tuple[str, str]) -> Load:
    """Raise ``a-1`` at 1000.0 and do this about it; every look at the clock takes a second."""
    seconds = iter(range(1000, 2000))
    load = Load(screens, lambda: float(next(seconds)))
    script = [(side, action, 0.0) for side, action in steps]
    load.raise_alert({"alert_id": "a-1", "severity": "critical", "deliver": 1, "steps": script})
    for _ in steps:
        load.tick()
    return load


def test_the_partners_date_what_people_do_and_the_judge_gets_the_machines_time():
    screens = Screens(incident("Q1", "a-1"))
    load = play(screens, ("truthvouch", "acknowledge"), ("pagerduty", "resolve"))
    assert {"a-1": 1000.0} == load.raised
    assert [Act(1002.0, "a-1", "truthvouch", "acknowledge"), Act(1004.0, "a-1", "pagerduty", "resolve")] == load.acts
    assert 3 == len(screens.clicks)
    assert [] == [path for path, said in screens.clicks if "at" in said]


def test_a_merge_goes_into_the_newest_open_incident_and_a_merge_back_into_an_older_one():
    open_ones = [incident("Q4", "a-4"), incident("Q3", "a-3"), incident("Q1", "a-1"), incident("Q0", "a-0")]
    shown = [incident("Q5", "a-5", "resolved"), *open_ones]
    for action, into in (("merge", "Q4"), ("merge_back", "Q0")):
        screens = Screens(*shown)
        load = play(screens, ("pagerduty", action))
        path, said = screens.clicks[-1]
        assert ("pagerduty/incidents/Q1/merge", into, "pagerduty") == (path, said["into"], load.acts[0].side)


def test_people_open_an_incident_by_hand_and_merge_into_it():
    screens = Screens(incident("Q1", "a-1"))
    load = play(screens, ("pagerduty", "merge_by_hand"))
    assert ["pagerduty/incidents", "pagerduty/incidents/Q1/merge"] == [path for path, _ in screens.clicks[1:]]
    assert ("Q9", {"Q9"}) == (screens.clicks[-1][1]["into"], load.by_hand)


def test_people_go_on_with_the_incident_that_theirs_was_merged_into():
    gone = [incident("Q1", "a-1", "resolved", into="Q2"), incident("Q2", "a-2", "resolved", into="Q3")]
    screens = Screens(incident("Q4", "a-4"), incident("Q3", "a-3"), *gone)
    load = play(screens, ("survivor", "acknowledge"), ("pagerduty", "resolve"), ("survivor", "merge"))
    assert ["pagerduty/incidents/Q3/acknowledge", "pagerduty/incidents/Q3/merge"] == [p for p, _ in screens.clicks[1:]]
    assert "Q4" == screens.clicks[-1][1]["into"]
    assert [("pagerduty", "acknowledge"), ("pagerduty", "merge")] == [(act.side, act.action) for act in load.acts]


def scripts(via: str) -> set[tuple[tuple[str, str], ...]]:
    alerts = [moment.facts["steps"] for moment in plan(7, 600, "sqlite", via) if moment.what == "alert"]
    return {tuple((side, action) for side, action, _ in steps) for steps in alerts}


def test_every_script_is_played_and_merges_become_chains():
    assert set(SCRIPTS) == scripts("rest")
    assert any(script[:2] == (("pagerduty", "merge"), ("survivor", "merge")) for script in SCRIPTS)


def test_by_event_nothing_is_merged_into_what_people_opened():
    by_hand = {script for script in SCRIPTS if ("pagerduty", "merge_by_hand") in script}
    assert by_hand
    assert set(SCRIPTS) - by_hand < scripts("events")
    assert ("pagerduty", "merge_by_hand") not in {step for script in scripts("events") for step in script}
