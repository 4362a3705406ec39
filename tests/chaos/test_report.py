"""What is read from the partners' records, and what a report tells."""

from dataclasses import replace

from tests.chaos.evidence import ACKNOWLEDGED, OPEN, RESOLVED, failed_looks_in, incidents_in, key_in, writes_in
from tests.chaos.judge import Judge
from tests.chaos.report import Outcome, as_json, figures, print_report, to_prove
from tests.chaos.settings import described, drawn
from tests.chaos.test_judge import ACKNOWLEDGE, ALERT, created, seen
from tests.chaos.verdict import Finding, Verdict


def test_what_is_reported_but_no_failure_lets_a_run_pass():
    evidence = seen(OPEN, OPEN, ACKNOWLEDGE)
    run = Outcome("sqlite", "rest", 1, evidence, Judge(evidence).verdict())
    assert run.passed
    failed = replace(evidence, incidents=[])
    assert not Outcome("sqlite", "rest", 1, failed, Judge(failed).verdict()).passed


def test_the_report_shows_every_figure_and_every_finding():
    evidence = replace(seen(writes=[created(103.5)]), alerts=[ALERT, replace(ALERT, alert_id="a-2")])
    run = Outcome("sqlite", "events", 7, evidence, Judge(evidence).verdict(), ["proof"], "somewhere")
    lines: list[str] = []
    print_report([run], lines.append)
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
    answer = [(write.subject, write.says, write.took, write.creates) for write in writes_in(calls)]
    assert [
        ("a 1", RESOLVED, True, False), ("k", OPEN, True, True), ("Q1", OPEN, False, False), ("Q1", "note", True, False)
    ] == answer  # fmt: skip


def test_calls_by_event_say_the_same_as_calls_by_rest():
    call = {"at": 1.0, "fault": None, "status": 202, "partner": "pagerduty", "method": "POST", "path": "/v2/enqueue"}
    actions = ("trigger", "acknowledge", "resolve", "moon")
    calls = [{**call, "body": {"event_action": action, "dedup_key": "k"}} for action in actions]
    answer = [(write.subject, write.says, write.took, write.creates) for write in writes_in(calls)]
    assert [("k", OPEN, True, True), ("k", ACKNOWLEDGED, True, False), ("k", RESOLVED, True, False)] == answer


def test_an_incident_opened_by_event_keeps_its_key_when_it_is_merged():
    """A merge moves its alerts to the other incident, where they stand in the order of the alphabet."""
    common = {"status": "triggered", "notes": [], "incident_key": None, "merged_into": None,
              "created_at": "2026-05-04T09:00:00Z", "log": []}  # fmt: skip
    one, two = ({**common, "id": name, "alert_keys": [key]} for name, key in (("Q1", "k-a"), ("Q2", "k-b")))
    keys = {incident["id"]: key_in(incident) for incident in (one, two)}
    merged = {**one, "alert_keys": [], "merged_into": "Q2", "status": "resolved"}
    seen = incidents_in({"incidents": [{**two, "alert_keys": ["k-a", "k-b"]}, merged]}, keys)
    assert [("Q1", "k-a", "Q2"), ("Q2", "k-b", None)] == [(i.incident_id, i.key, i.merged_into) for i in seen]


def test_the_past_of_an_incident_is_read_from_its_log():
    """A repeated trigger, a note or an escalation is no change of status."""
    summaries = ("trigger by x", "acknowledge by y", "annotate by y", "trigger by x", "unacknowledge by y",
                 "resolve by y", "reopen by y", "escalate by y")  # fmt: skip
    log = [{"at": f"2026-05-04T09:00:{second:02}Z", "summary": text} for second, text in enumerate(summaries)]
    incident = {"id": "Q1", "status": "triggered", "notes": [], "incident_key": "k", "merged_into": None,
                "created_at": "2026-05-04T09:00:00Z", "log": log}  # fmt: skip
    (seen,) = incidents_in({"incidents": [incident]})
    assert [(1, ACKNOWLEDGED), (4, OPEN), (5, RESOLVED), (6, OPEN)] == [
        (at - seen.opened_at, status) for at, status in seen.past
    ]


def test_a_write_lasts_until_its_answer():
    call = {"at": 1.0, "fault": None, "status": 200, "partner": "pagerduty", "method": "PUT", "path": "/incidents/Q1",
            "body": {"incident": {"status": "resolved"}}, "milliseconds": 800.0}  # fmt: skip
    assert [(1.0, 1.8)] == [(write.at, write.ended_at) for write in writes_in([call])]


def test_failures_and_what_people_did_not_say_last_are_proved():
    found = [Finding("lost", f"a-{number}", "") for number in (1, 1, 2, 3, 4)]
    rest = [Finding(kind, f"a-{n}", "") for n, kind in enumerate(("refused", "crossed", "write_lost", "overruled"), 5)]
    assert ["a-1", "a-2", "a-3", "a-8", "a-6", "a-5"] == to_prove(Verdict([*found, *rest, Finding("doubled", "", "")]))


def test_the_settings_are_in_the_report_of_people_and_of_machines():
    evidence = replace(seen(), settings=drawn(7), dead_letters=[("a-1", "write_lost"), ("a-2", "write_lost")])
    run = Outcome("sqlite", "rest", 7, evidence, Judge(evidence).verdict())
    lines: list[str] = []
    print_report([run], lines.append)
    assert f"sqlite: settings: {described(drawn(7))}" in lines
    assert "2: write_lost 2" in next(line for line in lines if line.startswith("dead letters"))
    assert drawn(7) == as_json(run)["settings"]


def test_only_searches_by_key_that_were_not_answered_are_failed_looks():
    search = {"at": 1.0, "method": "GET", "path": "/incidents", "status": 503, "query": {"incident_key": ["k"]}}
    calls = [search, {**search, "status": None, "at": 2.0}, {**search, "status": 200}, {**search, "query": {}},
             {**search, "path": "/services/P1"}, {**search, "method": "POST"}]  # fmt: skip
    assert [(1.0, "k"), (2.0, "k")] == [(look.at, look.key) for look in failed_looks_in(calls)]
