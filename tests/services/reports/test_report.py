"""Reports over a real store: what was said and done comes back as numbers and lines, the same on both stores."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.outcome import Done, Refused, Reply, Retry
from app.domain.model.types import Alert, AlertId, Side, Urgency, incident_key
from app.domain.reports.compare import ServiceMetrics
from app.domain.reports.figures import Comparison
from app.domain.reports.period import BadPeriod
from app.domain.rules.rulebook import Decision, Rule, RuleAction, Rulebook, Sla
from app.domain.sync.link import HISTORY_LIMIT, HistoryEntry, Link, remembering
from app.services.reports.report import Compare, Reports
from app.store.database import Database, open_bridge, open_inbox
from app.store.history import StoredHistory
from app.store.links import StoredLinks
from tests.fakes import START, FakeClock
from tests.rig import FixedRulebook, Rig
from tests.shapes import shape

RULEBOOK = Rulebook(
    rules=(
        Rule("Noise", 'category == "Paraphrase"', RuleAction.SUPPRESS),
        Rule("Other team", 'kind == "pii"', RuleAction.CREATE_INCIDENT, title="PII leaked", service_id="POTHER"),
    ),
    service_id="PMAIN",
    sla={"critical": Sla(15, 60)},
)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.rulebook.rulebook = RULEBOOK
    return made


def reports(rig: Rig) -> Reports:
    return Reports(rig.database, StoredHistory(), rig.rulebook, "PMAIN", rig.clock)


def opened(rig: Rig, alert_id: str, **fields: Any) -> str:
    """An alert and its incident, opened at PagerDuty; the incident's id."""
    rig.alert(AlertEventType.CREATED, alert_id=alert_id, **fields)
    rig.run()
    return rig.link(alert_id).incident_id or ""


# ------------------------------------------------------------------------------------------ through the whole bridge


def test_a_day_on_the_bridge_is_what_the_report_says(rig: Rig) -> None:
    """Monday, 4 May 2026: two alerts page, one is medium. One incident is resolved, reopened, and resolved."""
    first, second = opened(rig, "a1"), opened(rig, "a2")
    rig.alert(AlertEventType.CREATED, alert_id="a3", severity="medium")
    rig.clock.move(240)
    rig.incident(IncidentEventType.ACKNOWLEDGED, first, author="Ada")
    rig.clock.move(360)
    rig.incident(IncidentEventType.RESOLVED, first, author="Ada")
    rig.clock.move(600)
    rig.incident(IncidentEventType.REOPENED, first)
    rig.clock.move(600)
    rig.incident(IncidentEventType.RESOLVED, first, author="Ada")
    rig.alert(AlertEventType.RESOLVED, alert_id="a2", reason="false_positive")
    rig.run()
    answer = reports(rig).report(period="daily")
    stats = answer["stats"]
    assert (2, 2, 1, 0, 1, 1) == tuple(
        stats[name] for name in ("total", "resolved", "acknowledged", "open", "reopened", "never_acknowledged")
    )
    assert 30.0 == stats["avg_resolution_minutes"] == stats["mttr_minutes"]["mean"] == stats["mttr_minutes"]["p95"]
    assert {"count": 1, "mean": 4.0, "median": 4.0, "p90": 4.0, "p95": 4.0} == stats["mtta_minutes"]
    assert {"severity_none": 1} == stats["alerts"]["suppressed_by_reason"]
    assert 1.5 == stats["alerts"]["per_incident"]
    assert {"false": 1, "true": 0, "judged": 1, "unjudged": 1, "rate": 1.0} == stats["false_alerts"]
    kept = {"minutes": 15, "kept": 1, "broken": 1, "running": 0}
    assert {"acknowledge": kept, "resolve": kept | {"minutes": 60, "kept": 2, "broken": 0}} == stats["sla"]["critical"]
    assert {"Monday": 2} == {one["name"]: one["total"] for one in stats["by_weekday"] if one["total"]}
    assert [first, second] == [line["incident_id"] for line in answer["incidents"]]
    json.dumps(answer)


def test_a_line_says_everything_of_its_incident(rig: Rig) -> None:
    incident_id = opened(rig, "a1", severity="critical")
    rig.clock.move(90)
    rig.incident(IncidentEventType.ACKNOWLEDGED, incident_id, author="Ada")
    rig.clock.move(90)
    rig.incident(IncidentEventType.RESOLVED, incident_id, note="#true-alert")
    link = rig.link("a1")
    (line,) = reports(rig).report(period="daily")["incidents"]
    assert {
        "incident_number": link.incident_number,
        "incident_id": incident_id,
        "title": "[critical] Alert: a1",
        "status": "resolved",
        "urgency": "high",
        "service_id": "PMAIN",
        "triggered_at": "2026-05-04T09:00:00+00:00",
        "acknowledged_at": "2026-05-04T09:01:30+00:00",
        "acknowledged_by": "Ada",
        "acknowledged_after_minutes": 1.5,
        "resolved_at": "2026-05-04T09:03:00+00:00",
        "duration_minutes": 3.0,
        "escalated": False,
        "reopened": 0,
        "merged": False,
        "history_incomplete": False,
        "rule": "severity_map",
        "severity": "critical",
        "alert_id": "a1",
        "verdict": "true_alert",
        "url": link.incident_url,
    } == line


def test_an_open_incident_has_lasted_until_now(rig: Rig) -> None:
    opened(rig, "a1")
    rig.clock.move(600)
    answer = reports(rig).report(period="daily")
    assert (10.0, None, "triggered") == tuple(
        answer["incidents"][0][name] for name in ("duration_minutes", "resolved_at", "status")
    )
    assert None is answer["stats"]["avg_resolution_minutes"]
    period = answer["period"]
    assert ("2026-05-04T09:10:00+00:00", False) == (period["as_of"], period["complete"])


def test_clocks_that_are_off_make_no_time_longer_or_shorter(rig: Rig) -> None:
    """TruthVouch's clock is ten minutes ahead. Acknowledged there after four minutes, as the bridge receives it;
    resolved in PagerDuty after ten by its own clock, and heard of two minutes later."""
    incident_id = opened(rig, "a1")
    rig.clock.move(240)
    rig.alert(AlertEventType.ACKNOWLEDGED, at=rig.clock() + timedelta(minutes=10))
    rig.run()
    rig.clock.move(480)
    rig.incident(IncidentEventType.RESOLVED, incident_id, at=rig.clock() - timedelta(minutes=2), author="Ada")
    rig.run()
    answer = reports(rig).report(period="daily")
    (line,), stats = answer["incidents"], answer["stats"]
    assert ("resolved", 4.0, 10.0) == tuple(
        line[name] for name in ("status", "acknowledged_after_minutes", "duration_minutes")
    )
    # The instants are what each side told.
    assert ["2026-05-04T09:00:00+00:00", "2026-05-04T09:14:00+00:00", "2026-05-04T09:10:00+00:00"] == [
        line[name] for name in ("triggered_at", "acknowledged_at", "resolved_at")
    ]
    assert (4.0, 10.0) == (stats["mtta_minutes"]["mean"], stats["mttr_minutes"]["mean"])


def test_a_service_has_its_own_numbers(rig: Rig) -> None:
    rig.alert(AlertEventType.CREATED, alert_id="a1")
    link = rig.link("a1")
    with rig.database.begin() as tx:
        other = replace(link, alert=Alert(AlertId("a9"), severity="critical", kind="pii"))
        decision = Decision(Urgency.LOW, "Other team", "v", "rule", service_id="POTHER")
        entries = (HistoryEntry(rig.clock(), "triggered", Side.PAGERDUTY),)
        StoredLinks().add(tx, replace(other, incident_key=incident_key(AlertId("a9")), decision=decision,
                                      history=entries))  # fmt: skip
    rig.run()
    asked = reports(rig)
    counted = [asked.stats(service_id=service)["total"] for service in (None, "PMAIN", "POTHER", "PNONE")]
    assert [2, 1, 1, 0] == counted


def test_an_alert_that_a_rule_suppressed_counts_for_the_usual_service(rig: Rig) -> None:
    with rig.database.begin() as tx:
        decision = Decision(None, "Noise", "v", "suppressed")
        StoredLinks().add(tx, Link(Alert(AlertId("a")), incident_key(AlertId("a")), START, decision=decision))
    asked = reports(rig)
    counted = [asked.stats(service_id=service)["alerts"]["suppressed"] for service in ("PMAIN", "POTHER")]
    assert [1, 0] == counted


def test_an_empty_record_is_an_empty_report(rig: Rig) -> None:
    answer = reports(rig).report(period="monthly")
    assert [] == answer["incidents"]
    assert None is answer["period"]["record_since"]
    assert 0 == answer["stats"]["total"]
    assert [] == answer["stats"]["capacity"]["weeks"]
    assert None is answer["stats"]["alerts"]["per_incident"] is answer["stats"]["false_alerts"]["rate"]


def test_days_are_those_of_the_time_zone(rig: Rig) -> None:
    rig.clock.move(14 * 3600)  # 23:00 UTC, one o'clock on Tuesday in Berlin
    opened(rig, "a1")
    asked = reports(rig)
    counted = [asked.stats(start="2026-05-04", end="2026-05-04", time_zone=zone)["total"]
               for zone in ("UTC", "Europe/Berlin", "America/New_York")]  # fmt: skip
    assert [1, 0, 1] == counted
    assert {"Tuesday": 1} == {
        one["name"]: one["total"] for one in asked.stats(time_zone="Europe/Berlin")["by_weekday"] if one["total"]
    }


@pytest.mark.parametrize(
    "asked",
    [
        {"time_zone": "Mars/Olympus"}, {"time_zone": "../../etc/passwd"}, {"time_zone": ""}, {"start": "2026-05-05"},
        {"end": "2026-05-04"}, {"period": "2026-06"}, {"start": "2026-05-04", "end": "2026-05-01"}, {"start": "x"},
    ],
)  # fmt: skip
def test_what_is_no_period_is_refused_in_words(rig: Rig, asked: dict[str, Any]) -> None:
    with pytest.raises(BadPeriod, match=r"[a-z]"):
        reports(rig).stats(**asked)


# ------------------------------------------------------------------------------------------ both stores


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    bridge, inbox = open_bridge(tmp_path, url), open_inbox(tmp_path, url)
    shape(bridge, inbox, tmp_path)
    yield Database(bridge)
    bridge.dispose()
    inbox.dispose()


def fill(database: Database, count: int, every: timedelta) -> None:
    """An incident every so often, from START on, each acknowledged after its number of minutes."""
    with database.begin() as tx:
        for number in range(count):
            alert_id, seen_at = AlertId(f"a{number}"), START + number * every
            entries = (
                HistoryEntry(seen_at, "triggered", Side.PAGERDUTY),
                HistoryEntry(seen_at + timedelta(minutes=number % 7), "acknowledged", Side.PAGERDUTY, "Ada"),
            )
            decision = Decision(Urgency.HIGH, "severity_map", "v", "severity_map", service_id="PMAIN")
            alert = Alert(alert_id, severity="critical")
            StoredLinks().add(tx, Link(alert, incident_key(alert_id), seen_at, decision=decision, history=entries))


def asking(database: Database, now: datetime) -> Reports:
    return Reports(database, StoredHistory(), FixedRulebook(RULEBOOK), "PMAIN", FakeClock(now))


def test_alerts_that_nothing_was_decided_about_count_as_such(database: Database) -> None:
    """Fifty links first seen in the same moment, and fifty after them."""
    fill(database, 50, timedelta(0))
    with database.begin() as tx:
        for number in range(50):
            alert_id = AlertId(f"b{number}")
            StoredLinks().add(tx, Link(Alert(alert_id), incident_key(alert_id), START + timedelta(minutes=number + 1)))
    seen = asking(database, START + timedelta(days=1)).stats()
    assert (50, 100, 50) == (seen["total"], seen["alerts"]["total"], seen["alerts"]["undecided"])


def test_the_record_begins_with_the_first_alert(database: Database) -> None:
    with database.read() as tx:
        assert None is StoredHistory().began_at(tx)
    fill(database, 3, timedelta(hours=1))
    with database.read() as tx:
        assert START == StoredHistory().began_at(tx)


def test_an_incident_that_came_weeks_after_its_alert_is_found(database: Database) -> None:
    """A silence of 31 days ended, and the alert paged after all."""
    with database.begin() as tx:
        entries = (HistoryEntry(START + timedelta(days=31), "triggered", Side.PAGERDUTY),)
        StoredLinks().add(tx, Link(Alert(AlertId("a")), incident_key(AlertId("a")), START, history=entries))
    assert 1 == asking(database, START + timedelta(days=150)).stats(start="2026-06-04", end="2026-09-10")["total"]


def test_two_months_add_up_on_both_stores(database: Database) -> None:
    fill(database, 200, timedelta(hours=7))
    asked = asking(database, START + timedelta(days=120))
    months = [asked.stats(period=name)["total"] for name in ("2026-05", "2026-06", "2026-07")]
    assert (200, [95, 103, 2]) == (asked.stats(start="2026-05-01", end="2026-07-31")["total"], months)
    capacity = asked.stats(period="2026-06")["capacity"]
    # The record begins on the Monday of week 19, at nine: the first week that it knows whole is the next.
    assert [f"2026-W{week}" for week in range(20, 27)] == capacity["weeks"]
    (ada,) = capacity["responders"]
    assert [24] * 7 == capacity["everybody"]["weekly"] == ada["weekly"]
    assert ("Ada", "steady") == (ada["name"], ada["trend"])


def test_a_history_that_was_cut_is_said_to_be_on_both_stores(database: Database) -> None:
    """Of two incidents one has had more moments than a link keeps."""
    with database.begin() as tx:
        for number, count in enumerate((3, HISTORY_LIMIT + 2)):
            alert_id = AlertId(f"a{number}")
            link = Link(Alert(alert_id), incident_key(alert_id), START + timedelta(hours=number))
            for minute in range(count):
                what = "acknowledged" if minute % 2 else "unacknowledged"
                at = START + timedelta(minutes=minute)
                link = remembering(link, HistoryEntry(at, what if minute else "triggered", Side.PAGERDUTY, None, at))
            StoredLinks().add(tx, link)
    answer = asking(database, START + timedelta(days=1)).report(period="2026-05")
    assert (2, 1) == (answer["stats"]["total"], answer["stats"]["history_incomplete"])
    assert [False, True] == [line["history_incomplete"] for line in answer["incidents"]]


@pytest.mark.parametrize("time_zone", ["UTC", "America/Los_Angeles", "Pacific/Auckland"])
def test_a_stored_time_that_no_clock_showed_breaks_no_report(database: Database, time_zone: str) -> None:
    never = datetime(1, 1, 1, tzinfo=UTC)
    with database.begin() as tx:
        for number, what in enumerate(("triggered", "acknowledged", "resolved")):
            alert_id = AlertId(f"a{number}")
            entries = (HistoryEntry(START, "triggered", Side.PAGERDUTY), HistoryEntry(never, what, Side.PAGERDUTY))
            alert = Alert(alert_id, created_at=never)
            history = entries if number else entries[1:]
            StoredLinks().add(tx, Link(alert, incident_key(alert_id), START, history=history))
    answer = asking(database, START + timedelta(days=1)).report(period="2026-05", time_zone=time_zone)
    assert (3, 3) == (answer["stats"]["total"], answer["stats"]["alerts"]["total"])
    assert (0.0, 0.0) == (answer["stats"]["mtta_minutes"]["mean"], answer["stats"]["mttr_minutes"]["mean"])
    assert {START.isoformat(), None} == {
        line[name] for line in answer["incidents"] for name in ("triggered_at", "acknowledged_at", "resolved_at")
    }


# ------------------------------------------------------------------------------------------ beside PagerDuty


class FakeAnalytics:
    def __init__(self, reply: Reply[tuple[ServiceMetrics, ...]]) -> None:
        self.reply, self.asked = reply, []  # type: ignore[var-annotated]

    def of_services(self, service_ids: Any, since: datetime, until: datetime) -> Reply[tuple[ServiceMetrics, ...]]:
        self.asked.append((list(service_ids), since, until))
        return self.reply


def compare(rig: Rig, reply: Reply[tuple[ServiceMetrics, ...]], **asked: Any) -> tuple[Comparison, FakeAnalytics]:
    analytics = FakeAnalytics(reply)
    stats = reports(rig).stats(**({"period": "daily"} | asked))
    return Compare(analytics, ["PMAIN", "POTHER"], rig.clock)(stats), analytics


def test_our_numbers_stand_beside_pagerdutys(rig: Rig) -> None:
    incident_id = opened(rig, "a1")
    rig.clock.move(120)
    rig.incident(IncidentEventType.ACKNOWLEDGED, incident_id, author="Ada")
    answer, analytics = compare(rig, Done((ServiceMetrics("PMAIN", 3, 1, 0, 120.0, 600.0),)))
    rows = {(row["service_id"], row["number"]): (row["bridge"], row["pagerduty"], row["difference"])
            for row in answer["rows"]}  # fmt: skip
    assert (1, 3, 2) == rows["PMAIN", "incidents"]
    assert (2.0, 2.0, 0.0) == rows["PMAIN", "mtta_minutes"]
    assert (None, 10.0, None) == rows["PMAIN", "mttr_minutes"]
    assert (0, 0, 0) == rows["POTHER", "incidents"]
    assert any("whoever opened it" in note for note in answer["notes"])
    assert not any("its own acknowledges" in note for note in answer["notes"]), "they agree on that"
    assert any("24 hours" in note for note in answer["notes"])
    assert [
        (["PMAIN", "POTHER"], datetime(2026, 5, 4, tzinfo=UTC), datetime(2026, 5, 5, tzinfo=UTC))
    ] == analytics.asked


def test_a_period_that_is_long_over_lags_no_more(rig: Rig) -> None:
    opened(rig, "a1")
    rig.clock.move(3 * 86_400)
    answer, _ = compare(rig, Done(()), period="2026-05-04")
    assert not any("24 hours" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [(Retry("http_500"), "http_500"), (Refused("forbidden", 403), "forbidden"), (Retry("timeout"), "timeout")],
)
def test_where_pagerduty_says_nothing_the_reason_is_reported(rig: Rig, reply: Any, reason: str) -> None:
    answer, _ = compare(rig, reply)
    assert (reason, []) == (answer["reason"], answer["rows"])
    assert "doctor" in answer["notes"][0]


def test_nobody_is_asked_without_a_key_or_a_service_or_for_two_years(rig: Rig) -> None:
    stats, long = reports(rig).stats(), reports(rig).stats(start="2024-01-01", end="2025-12-31")
    analytics = FakeAnalytics(Done(()))
    assert "no_api_key" == Compare(None, ["PMAIN"], rig.clock)(stats)["reason"]
    assert "no_service" == Compare(analytics, [], rig.clock)(stats)["reason"]
    assert "too_long" == Compare(analytics, ["PMAIN"], rig.clock)(long)["reason"]
    assert [] == analytics.asked
