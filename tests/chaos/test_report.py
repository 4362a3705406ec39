"""What is read from the partners' records, and what a report tells."""

from dataclasses import replace

from tests.chaos.evidence import ACKNOWLEDGED, OPEN, RESOLVED, failed_looks_in, incidents_in, key_in, writes_in
from tests.chaos.judge import Judge
from tests.chaos.report import Outcome, figures, tell
from tests.chaos.test_judge import ACKNOWLEDGE, ALERT, created, seen


def test_what_is_told_but_no_failure_lets_a_run_pass():
    evidence = seen(OPEN, OPEN, ACKNOWLEDGE)
    run = Outcome("sqlite", "rest", 1, evidence, Judge(evidence).verdict())
    assert run.passed
    failed = replace(evidence, incidents=[])
    assert not Outcome("sqlite", "rest", 1, failed, Judge(failed).verdict()).passed


def test_the_report_shows_every_figure_and_every_finding():
    evidence = replace(seen(writes=[created(103.5)]), alerts=[ALERT, replace(ALERT, alert_id="a-2")])
    run = Outcome("sqlite", "events", 7, evidence, Judge(evidence).verdict(), ["proof"], "somewhere")
    lines: list[str] = []
    tell([run], lines.append)
    assert [] == [name for name in figures(run) if not any(line.startswith(name) for line in lines)]
    assert 3.5 == figures(run)["slowest incident"]
    assert "sqlite: lost a-2: no incident was ever opened" in lines
    assert {"proof", "sqlite: logs and stores are kept in somewhere"} < set(lines)


def test_calls_are_read_as_the_partners_saw_them():
    common = {"at": 1.0, "fault": None, "status": 200}
    calls = [
        {**common, "partner": "truthvouch", "method": "PATCH", "path": "/api/v1/alerts/a%201",
         "body": {"status": "resolved"}},
        {**common, "partner": "pagerduty", "method": "POST", "path": "/incidents", "status": None,
         "fault": "reset_after", "body": {"incident": {"incident_key": "k"}}},
        {**common, "partner": "pagerduty", "method": "PUT", "path": "/incidents/Q1", "status": 503,
         "body": {"incident": {"status": "triggered"}}},
        {**common, "partner": "pagerduty", "method": "POST", "path": "/incidents/Q1/notes", "body": {"note": {}}},
        {**common, "partner": "pagerduty", "method": "PUT", "path": "/incidents/Q1", "body": {"incident": {}}},
        {**common, "partner": "pagerduty", "method": "GET", "path": "/incidents", "body": None},
        {**common, "partner": "pagerduty", "method": "POST", "path": "/incidents", "body": '{"incid', "status": 400},
    ]  # fmt: skip
    told = [(write.subject, write.says, write.took, write.creates) for write in writes_in(calls)]
    assert [
        ("a 1", RESOLVED, True, False), ("k", OPEN, True, True), ("Q1", OPEN, False, False), ("Q1", "note", True, False)
    ] == told  # fmt: skip


def test_calls_by_event_say_the_same_as_calls_by_rest():
    call = {"at": 1.0, "fault": None, "status": 202, "partner": "pagerduty", "method": "POST", "path": "/v2/enqueue"}
    actions = ("trigger", "acknowledge", "resolve", "moon")
    calls = [{**call, "body": {"event_action": action, "dedup_key": "k"}} for action in actions]
    told = [(write.subject, write.says, write.took, write.creates) for write in writes_in(calls)]
    assert [("k", OPEN, True, True), ("k", ACKNOWLEDGED, True, False), ("k", RESOLVED, True, False)] == told


def test_an_incident_opened_by_event_keeps_its_key_when_it_is_merged():
    """A merge moves its alerts to the other incident, where they stand in the order of the alphabet."""
    common = {"status": "triggered", "notes": [], "incident_key": None, "merged_into": None}
    one, two = ({**common, "id": name, "alert_keys": [key]} for name, key in (("Q1", "k-a"), ("Q2", "k-b")))
    keys = {incident["id"]: key_in(incident) for incident in (one, two)}
    merged = {**one, "alert_keys": [], "merged_into": "Q2", "status": "resolved"}
    seen = incidents_in({"incidents": [merged, {**two, "alert_keys": ["k-a", "k-b"]}]}, keys)
    assert [("Q1", "k-a", "Q2"), ("Q2", "k-b", None)] == [(i.incident_id, i.key, i.merged_into) for i in seen]


def test_only_searches_by_key_that_were_not_answered_are_failed_looks():
    search = {"at": 1.0, "method": "GET", "path": "/incidents", "status": 503, "query": {"incident_key": ["k"]}}
    calls = [search, {**search, "status": None, "at": 2.0}, {**search, "status": 200}, {**search, "query": {}},
             {**search, "path": "/services/P1"}, {**search, "method": "POST"}]  # fmt: skip
    assert [(1.0, "k"), (2.0, "k")] == [(look.at, look.key) for look in failed_looks_in(calls)]
