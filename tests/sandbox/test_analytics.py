"""The account's statistics, and the bridge's reader of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.model.outcome import Done, Refused, Reply, Retry
from app.domain.reports.compare import ServiceMetrics
from app.pagerduty.directory import AnalyticsApi
from tests.sandbox.conftest import START, Rig, code_of, service

SINCE = datetime.fromtimestamp(START, UTC)


def requested(**fields: Any) -> dict[str, Any]:
    until = SINCE + timedelta(days=1)
    return {"filters": {"created_at_start": SINCE.isoformat(), "created_at_end": until.isoformat(), **fields}}


def counted(rig: Rig, **fields: Any) -> Any:
    return rig.rest("POST", "/analytics/metrics/incidents/services", requested(**fields), From="").json["data"]


def test_incidents_are_counted_by_service_with_their_times(rig: Rig) -> None:
    first, second = rig.incident()["id"], rig.incident()["id"]
    rig.incident(service=service("PSBXSV2"))
    rig.pass_time(120)
    rig.put(first, status="acknowledged")
    rig.put(second, escalation_level=2)
    rig.pass_time(480)
    rig.put(first, status="resolved")
    mine, other = counted(rig)
    assert ("PSANDBX", 2, 1, 1, 120, 600) == tuple(
        mine[name]
        for name in ("service_id", "total_incident_count", "total_incidents_acknowledged", "total_escalation_count",
                     "mean_seconds_to_first_ack", "mean_seconds_to_resolve")
    )  # fmt: skip
    assert (1, None) == (other["total_incident_count"], other["mean_seconds_to_resolve"])


def test_only_services_with_data_and_only_the_time_asked_for(rig: Rig) -> None:
    rig.incident()
    assert ["PSANDBX"] == [row["service_id"] for row in counted(rig, service_ids=["PSANDBX", "PSBXSV2"])]
    assert [] == counted(rig, created_at_start=(SINCE + timedelta(hours=1)).isoformat())


def test_a_question_without_times_or_over_years_is_refused(rig: Rig) -> None:
    path = "/analytics/metrics/incidents/services"
    assert (400, 2001) == code_of(rig.rest("POST", path, {"filters": {}}))
    assert (400, 2001) == code_of(rig.rest("POST", path, requested(created_at_start="2020-01-01")))


def asked(reply: Reply[object]) -> AnalyticsApi:
    return AnalyticsApi(lambda method, path, params=None, body=None: reply)


def test_the_bridge_reads_what_it_understands() -> None:
    counts = {"total_incident_count": 3, "total_incidents_acknowledged": 2, "total_escalation_count": None}
    row = {"service_id": "P1", **counts, "mean_seconds_to_first_ack": 61, "mean_seconds_to_resolve": None}
    answer = asked(Done({"data": [row, {"service_name": "no id"}, "odd"]})).of_services(["P1"], SINCE, SINCE)
    assert Done((ServiceMetrics("P1", 3, 2, 0, 61.0, None),)) == answer


def test_what_is_no_answer_is_none() -> None:
    assert Retry("unreadable_answer") == asked(Done({"data": "?"})).of_services(["P1"], SINCE, SINCE)
    assert Refused("no", 403) == asked(Refused("no", 403)).of_services(["P1"], SINCE, SINCE)


def test_nobody_asks_for_the_whole_account() -> None:
    with pytest.raises(ValueError, match="every service"):
        asked(Done({"data": []})).of_services([], SINCE, SINCE)
