"""``/api/v1`` on rules, silences, jobs and who did what."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEventType
from app.ports.rules import MAX_SILENCES
from app.services.rules.stored import silence_from
from app.store.database import connection
from app.store.schema import jobs
from tests.web.test_api import LOGIN, Api, an_api, fault, message, people

UNTIL = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
SILENCE = {"name": "drill", "match": "severity == critical", "reason": "a drill", "until": UNTIL}
ALERT = {"alertId": "a9", "severity": "critical", "confidence": 0.2}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with an_api(tmp_path) as made:
        yield people(made)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with an_api(tmp_path_factory.mktemp("unchanged")) as made:
        yield people(made)


def post(api: Api, path: str, body: Any, key: str = "", status: int = 200) -> Any:
    answer = api.ask("POST", path, {**LOGIN, **({"Idempotency-Key": key} if key else {})}, json=body)
    assert status == answer.status_code, answer.text
    return answer.json


def test_the_rules_in_force_are_shown_with_their_version(unchanged: Api):
    shown = unchanged.get("/rules")
    assert "defaults" == shown["version"].partition("+")[0]
    assert {"critical": "high", "high": "low", "medium": "none", "low": "none"} == shown["severity_map"]
    assert [("deploy/2", "in_force", "store", None)] == [
        (one["name"], one["standing"], one["origin"], one["matched"]) for one in shown["silences"]
    ]


def test_an_alert_is_explained_by_its_id_or_as_it_comes(unchanged: Api):
    known, pasted = (
        post(unchanged, "/rules/explain", {"alert_id": "a1"}),
        post(unchanged, "/rules/explain", {"alert": ALERT}),
    )
    assert ("a1", "severity_map", "high") == (
        known["alert_id"], *(known["recorded"][name] for name in ("rule", "urgency")),
    )  # fmt: skip
    assert ("a9", None, "high") == (pasted["alert_id"], pasted["recorded"], pasted["decision"]["urgency"])
    assert ["silence", "severity_map"] == [one["kind"] for one in pasted["tried"]]
    assert pasted["incident"]["title"]


@pytest.mark.parametrize("body", [{}, {"alert_id": "a1", "alert": ALERT}, {"alert": {"type": "x.ping"}}, {"alert": 7}])
def test_what_is_no_alert_is_refused(unchanged: Api, body: Any):
    assert (400, "bad_parameter") == fault(unchanged.ask("POST", "/rules/explain", json=body))


def test_an_alert_that_nobody_knows_is_not_found(unchanged: Api):
    assert (404, "no_such_link") == fault(unchanged.ask("POST", "/rules/explain", json={"alert_id": "nobody"}))


def test_a_silence_is_tried_made_listed_and_ended(api: Api):
    api.rig.clock.move((datetime.now(UTC) - api.rig.clock()).total_seconds() - 60)
    api.rig.alert(AlertEventType.CREATED, alert_id="a7", severity="high")
    tried = post(api, "/silences/preview", {"match": 'severity == "high" and modle == "x"'})
    assert {"alerts": 1, "would_have_silenced": 0, "days": 7} == {
        name: tried[name] for name in ("alerts", "would_have_silenced", "days")
    }
    assert [{"word": "modle", "meant": "model"}] == tried["misspelt"]
    assert 1 == post(api, "/silences/preview", {"match": "severity == high"})["would_have_silenced"]
    assert "silenced" == post(api, "/silences", SILENCE)["outcome"]
    listed = {one["name"]: one for one in api.get("/silences")["silences"]}
    assert ("store", "in_force", "api:admin") == tuple(
        listed["drill"][name] for name in ("origin", "standing", "owner")
    )
    assert "ended" == api.post("/silences/drill/end")["outcome"]
    assert ["deploy/2"] == [one["name"] for one in api.get("/silences")["silences"]]
    assert (404, "no_such_silence") == fault(api.ask("POST", "/silences/drill/end"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"match": "severity <"}, "trigger"),
        ({"until": "2026-01-01T00:00:00Z"}, "over already"),
        ({"until": (datetime.now(UTC) + timedelta(days=40)).isoformat()}, "31 days"),
        ({"from": UNTIL}, "after `from`"),
        ({"name": "two\nlines"}, "Name and owner"),
        ({"color": "red"}, "color"),
    ],
)
def test_a_silence_that_is_none_is_refused(unchanged: Api, change: dict[str, str], said: str):
    answer = unchanged.ask("POST", "/silences", json=SILENCE | change)
    assert (400, "bad_parameter") == fault(answer)
    assert said in message(answer)


def test_too_many_silences_are_told(api: Api):
    with api.rig.database.begin() as tx:
        stored = api.app.extensions["bridge"].stored_rules
        detail = json.dumps({"match": "true", "owner": "d", "reason": "r", "from": None, "until": UNTIL})
        for number in range(MAX_SILENCES):
            stored.put_silence(tx, silence_from(f"s{number}", detail))
    assert "too_many" == post(api, "/silences", SILENCE)["outcome"]


def test_a_job_is_started_once_for_a_key_and_cancelled(api: Api):
    asked = {"since": "2026-05-04T09:00:00Z", "until": "2026-05-05T09:00:00Z", "text": "rules: []"}
    first = post(api, "/jobs/backtest", asked, "k1")
    assert ("queued", "k1", 3) == tuple(first[name] for name in ("outcome", "idempotency_key", "job_id"))
    assert first == post(api, "/jobs/backtest", asked, "k1")
    other = post(api, "/jobs/report", {"from": "2026-05-04", "to": "2026-05-05", "format": "csv"}, "k1")
    assert 4 == other["job_id"], "the same key on another route is another job"
    replay = post(api, "/jobs/replay", {"dead_letters": [1, 2]})
    assert [5, 4, 3, 2, 1] == [job["job_id"] for job in api.get("/jobs")["jobs"]]
    assert ("replay", "waiting", "api", "api:admin") == tuple(
        api.get(f"/jobs/{replay['job_id']}")[name] for name in ("kind", "state", "asked_way", "asked_by")
    )
    assert ["cancel_asked", "already_over"] == [api.post("/jobs/5/cancel")["outcome"] for _ in range(2)]
    assert (404, "no_such_job") == fault(api.ask("POST", "/jobs/99/cancel"))
    with api.rig.database.begin() as tx:
        connection(tx).execute(sa.update(jobs).where(jobs.c.id == 5).values(kind="audit_export"))
    newer = [api.get("/jobs/5"), api.get("/jobs?limit=1")["jobs"][0]]
    assert ["audit_export"] * 2 == [job["kind"] for job in newer], "a newer version's"


def test_other_work_under_the_key_of_work_that_waits_is_another_job(api: Api):
    bridge = api.app.extensions["bridge"]
    bridge.operate = replace(bridge.operate, timeout_seconds=0.0)
    for period in ("weekly", "daily"):  # a 202 is not kept, so nothing but the job's own key tells them apart
        assert "k1" == post(api, "/jobs/report", {"period": period}, "k1", status=202)["idempotency_key"]
    api.rig.intake.take()
    assert [4, 3, 2, 1] == [job["job_id"] for job in api.get("/jobs")["jobs"]]


def test_jobs_come_in_pieces_and_their_result_as_it_was_made(unchanged: Api):
    first = unchanged.get("/jobs?limit=1")
    second = unchanged.get(f"/jobs?limit=1&after={first['next_after']}")
    assert [2, 1] == [job["job_id"] for job in first["jobs"] + second["jobs"]]
    assert ("made.csv", "text/csv", "ü,1\n") == tuple(
        unchanged.get("/jobs/1/result")[name] for name in ("name", "content_type", "text")
    )
    assert (404, "no_result") == fault(unchanged.ask("GET", "/jobs/2/result"))
    assert (404, "no_such_job") == fault(unchanged.ask("GET", "/jobs/99"))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("backtest", {"since": "2026-05-04T09:00:00Z"}),
        ("backtest", {"since": "2026-05-05T09:00:00Z", "until": "2026-05-04T09:00:00Z"}),
        ("backtest", {"since": "2026-05-04T09:00:00Z", "until": UNTIL, "draft": "a", "text": "rules: []"}),
        ("report", {"format": "pdf"}),
        ("report", {"previous": "yes"}),
        ("replay", {}),
        ("replay", {"dead_letters": ["1"]}),
    ],
)
def test_a_job_that_is_none_is_refused(unchanged: Api, kind: str, body: Any):
    assert (400, "bad_parameter") == fault(unchanged.ask("POST", f"/jobs/{kind}", json=body))


def test_who_did_what_is_listed_newest_first(unchanged: Api):
    rows = unchanged.get("/audit")["audit"]
    assert ["start_job", "start_job", "silence", "escalate"] == [row["action"] for row in rows]
    assert [row["number"] for row in rows] == sorted((row["number"] for row in rows), reverse=True)
    one = unchanged.get("/audit?limit=1&subject=deploy/2")
    assert ["silenced"] == [row["outcome"] for row in one["audit"]]
    assert [] == unchanged.get(f"/audit?subject=deploy/2&after={one['next_after']}")["audit"]
    assert [] == unchanged.get("/audit?actor=nobody")["audit"]
