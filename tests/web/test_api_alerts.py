"""``/api/v1`` on one alert: acknowledged, resolved, judged, noted, escalated, erased; and jobs that call partners."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEventType, CommandType
from app.domain.model.types import FALSE_ALERT, Status
from app.ports.jobs import EraseWanted, JobKind, ReconcileWanted
from app.services.escalation.target import arming
from app.store.jobs import StoredJobs
from tests.web.test_api import Api, an_api, fault
from tests.web.test_api_rules import post


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as made:
        for alert_id in ("a1", "a/2"):
            made.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
        made.rig.run()
        made.beat()
        yield made


def test_what_a_person_says_of_an_alert_reaches_both_sides_once(api: Api):
    assert "carried" == post(api, "/links/a/2/acknowledge", {})["outcome"]
    noted = [post(api, "/links/a1/note", {"note": "Rolled back."}, "k1")["outcome"] for _ in range(2)]
    assert ["noted", "noted"] == noted
    assert "hurried" == post(api, "/escalations/Q1/now", {"raise_urgency": True}, "k2")["outcome"]
    assert "carried" == post(api, "/links/a1/resolve", {"note": "The dose was corrected."})["outcome"]
    assert "judged" == post(api, "/links/a1/false-alert", {})["outcome"]
    assert "in_hand" == post(api, "/escalations/Q1/now", {})["outcome"]
    api.rig.run()
    first, second = api.rig.link("a1"), api.rig.link("a/2")
    assert (Status.RESOLVED, FALSE_ALERT, Status.ACKNOWLEDGED) == (first.status, first.verdict, second.status)
    notes = [note.content.partition(" (ref")[0] for note in api.rig.pagerduty.notes_on["Q1"]]
    assert [
        "[TruthVouch] note by api:admin: Rolled back.",
        "[TruthVouch] resolved by api:admin: The dose was corrected.",
    ] == notes


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/links/a1/note", {}), ("/links/a1/note", {"note": " "}), ("/links/a1/note", {"note": "x" * 10_001}),
        ("/links/a1/resolve", {"text": "x"}), ("/escalations/Q1/now", {"raise_urgency": "yes"}),
        ("/jobs/erase", {"alerts": []}), ("/jobs/erase", {"alerts": [7]}),
    ],
)  # fmt: skip
def test_what_is_not_as_it_has_to_be_is_refused(api: Api, path: str, body: Any):
    assert (400, "bad_parameter") == fault(api.ask("POST", path, json=body))


def test_an_alert_that_nobody_knows_is_not_found(api: Api):
    for action in ("acknowledge", "resolve", "false-alert", "note", "erase"):
        body = {"note": "x"} if action in ("note", "resolve") else {}
        assert (404, "no_such_link") == fault(api.ask("POST", f"/links/nobody/{action}", json=body)), action


def test_one_key_ends_an_escalation_and_asks_for_the_next_level(api: Api):
    operate = api.app.extensions["bridge"].operate
    assert "armed" == operate(CommandType.ESCALATE, "Q1", detail=arming(None, (60.0,))).outcome
    assert "cancelled" == post(api, "/escalations/Q1/cancel", {}, "k1")["outcome"]
    assert "hurried" == post(api, "/escalations/Q1/now", {}, "k1")["outcome"]


def test_two_who_saw_the_same_level_ask_for_one(api: Api):
    assert "hurried" == post(api, "/escalations/Q1/now", {"moves": 0}, "k1")["outcome"]
    assert 0 == api.get("/escalations/Q1")["moves"]
    second = post(api, "/escalations/Q1/now", {"moves": 0}, "k2")
    assert ("done", "already_asked") == (second["status"], second["outcome"])
    assert "Already asked for by api:admin; nothing more is asked for." == second["message"]
    assert "hurried" == post(api, "/escalations/Q1/now", {"moves": 0}, "k1")["outcome"]
    for moves in (-1, "0", 0.5):
        assert (400, "bad_parameter") == fault(api.ask("POST", "/escalations/Q1/now", json={"moves": moves}))


def test_links_are_found_by_words_and_filters(api: Api):
    found = api.get("/search?text=a&limit=1")
    assert (["a/2"], True) == ([one["alert_id"] for one in found["found"]], found["next_after"] is not None)
    rest = api.get(f"/search?text=a&after={found['next_after']}")
    assert (["a1"], None) == ([one["alert_id"] for one in rest["found"]], rest["next_after"])
    assert [] == api.get("/search?text=a&frozen=true")["found"] == api.get("/search?text=nobody&open=true")["found"]
    assert (400, "bad_parameter") == fault(api.ask("GET", "/search"))


def test_how_much_can_be_erased_is_told_and_never_what_it_says(api: Api):
    shown = api.get("/evidence/a/2")
    assert ("a/2", None) == (shown["alert_id"], shown["erased_at"])
    assert {int} == {type(size) for size in shown["texts"].values()} | {type(shown["people"]), type(shown["webhooks"])}
    assert (404, "no_such_link") == fault(api.ask("GET", "/evidence/nobody"))


def test_a_reconciliation_is_asked_for_with_what_it_takes(api: Api):
    since = "2026-05-04T09:00:00+00:00"
    number = post(api, "/jobs/reconcile", {"dry_run": True, "since": since}, "k1")["job_id"]
    assert number == post(api, "/jobs/reconcile", {"dry_run": True, "since": since}, "k1")["job_id"]
    with api.rig.database.read() as tx:
        job = StoredJobs().get(tx, number)
    assert ReconcileWanted(True, datetime.fromisoformat(since)) == (job and job.wanted)
    for body in ({"since": "2999-01-01T00:00:00Z"}, {"since": "yesterday"}, {"dry_run": "yes"}, {"all": True}):
        assert (400, "bad_parameter") == fault(api.ask("POST", "/jobs/reconcile", json=body)), body


def test_alerts_are_erased_and_partners_called_by_jobs(api: Api):
    assert "erased" == post(api, "/links/a1/erase", {})["outcome"]
    assert api.rig.link("a1").erased_at is not None
    started = [post(api, "/jobs/erase", {"alerts": ["a1", "a/2", "a1"]}, "k1")["job_id"] for _ in range(2)]
    started += [post(api, f"/jobs/{kind}", {})["job_id"] for kind in ("repair", "connection-test")]
    assert [1, 1, 2, 3] == started
    with api.rig.database.read() as tx:
        jobs = [StoredJobs().get(tx, number) for number in (1, 2, 3)]
    assert [JobKind.ERASE, JobKind.REPAIR, JobKind.CONNECTION_TEST] == [job and job.kind for job in jobs]
    assert EraseWanted(("a1", "a/2")) == (jobs[0] and jobs[0].wanted)
