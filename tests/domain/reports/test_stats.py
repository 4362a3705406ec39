"""A period in numbers, against numbers found another way: told with each scenario, or by the standard library."""

import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from app.domain.model.types import Alert, AlertId, Side, Urgency, incident_key
from app.domain.reports.compare import whole_weeks
from app.domain.reports.period import BadPeriod, Period, between, named
from app.domain.reports.record import Record, percentile, record_of, slope, spread, state_at
from app.domain.reports.totals import fold, frame
from app.domain.rules.rulebook import Decision, Sla
from app.domain.sync.link import HISTORY_LIMIT, HistoryEntry, Link, remembering

BERLIN, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PD, TV = Side.PAGERDUTY, Side.TRUTHVOUCH
COUNTS = ("total", "acknowledged", "resolved", "escalated", "escalations", "open", "never_acknowledged", "reopened",
          "merged", "acknowledged_after_escalation")  # fmt: skip
SLA = {"critical": Sla(15, 60), "high": Sla(resolve_minutes=240)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def record(*entries: tuple[datetime, str], side: Side = PD, **fields: object) -> Record:
    raised_at = entries[0][0] if entries else at("2026-03-10 12:00")
    made = Record("a1", raised_at, "critical", "r", "rule", "high", "P1")
    return replace(made, entries=tuple(HistoryEntry(when, what, side) for when, what in entries), **fields)  # type: ignore[arg-type]


def stats_of(
    records: Iterable[Record], period: Period, now: datetime | None = None, began_at: datetime = LONG_AGO
) -> dict[str, Any]:
    return dict(fold(records, frame(period, now or period.until + timedelta(days=400), SLA, began_at)))


def march(zone: tzinfo = UTC) -> Period:
    return between("2026-03-01", "2026-03-31", zone, str(zone))


# ------------------------------------------------------------------------------------------ a seeded history


@dataclass
class Scenario:
    """One incident as it is told by hand: its moments, in minutes after the trigger, and what is true of it."""

    entries: Sequence[tuple[float, str, Side, str | None]]
    acknowledged: float | None = None
    resolved: float | None = None
    by: str | None = None
    reopened: bool = False
    merged: bool = False
    escalations: int = 0


FAR = 60 * 24 * 40.0
"""Beyond the end of the period, whenever in it the scenario begins."""


def plain(a: float, r: float) -> Scenario:
    return Scenario([(a, "acknowledged", PD, "Ada"), (r, "resolved", PD, "Ada")], a, r, "Ada")


def at_truthvouch(a: float, r: float) -> Scenario:
    """Two acknowledges count once, the first; of two resolves without a reopen the first ends it."""
    answer = [(a, "acknowledged", TV, "Bo"), (a + 1, "acknowledged", PD, "Ada"), (r, "resolved", TV, None),
            (r + 9, "resolved", PD, "Ada")]  # fmt: skip
    return Scenario(answer, a, r, "Bo")


def unacknowledged(_a: float, r: float) -> Scenario:
    """An acknowledge of what is resolved is none."""
    return Scenario([(r, "resolved", TV, None), (r + 5, "acknowledged", PD, "Ada")], None, r)


def ignored(_a: float, _r: float) -> Scenario:
    return Scenario([])


def acknowledged_only(a: float, r: float) -> Scenario:
    return Scenario([(a, "acknowledged", PD, None), (r, "unacknowledged", PD, None)], a, by="nobody named")


def too_late(a: float, r: float) -> Scenario:
    """What happens after the period's end had not happened at its end."""
    return Scenario(
        [(FAR + a, "acknowledged", PD, "Ada"), (FAR + r, "resolved", PD, "Ada"), (FAR, "escalated", PD, None)]
    )


def back_again(a: float, r: float) -> Scenario:
    answer = [(a, "acknowledged", PD, "Cy"), (r, "resolved", PD, "Cy"), (r + 30, "reopened", TV, None),
            (r + 70, "resolved", PD, "Cy")]  # fmt: skip
    return Scenario(answer, a, r + 70, "Cy", reopened=True)


def back_and_open(a: float, r: float) -> Scenario:
    answer = [(a, "acknowledged", PD, "Cy"), (r, "resolved", PD, "Cy"), (r + 30, "reopened", PD, None)]
    return Scenario(answer, a, None, "Cy", reopened=True)


def put_together(a: float, r: float) -> Scenario:
    answer = [(0.5, "merged", PD, "Ada"), (a, "acknowledged", PD, "Ada"), (r, "resolved", PD, "Ada")]
    return Scenario(answer, a, r, "Ada", merged=True)


def rising(a: float, r: float) -> Scenario:
    answer = [(15, "escalated", PD, None), (45, "escalated", PD, None), (a + 50, "acknowledged", PD, "Boss"),
            (r + 60, "resolved", PD, "Boss")]  # fmt: skip
    return Scenario(answer, a + 50, r + 60, "Boss", escalations=2)


def before_it_came(_a: float, _r: float) -> Scenario:
    """TruthVouch's clock is three seconds ahead of PagerDuty's: no time is negative."""
    return Scenario([(-0.05, "acknowledged", TV, "Bo"), (-0.05, "resolved", TV, "Bo")], 0.0, 0.0, "Bo")


FIGURES: Sequence[Callable[[float, float], Scenario]] = (
    plain, plain, plain, at_truthvouch, unacknowledged, ignored, acknowledged_only, too_late, back_again, back_and_open,
    put_together, rising, before_it_came,
)  # fmt: skip


@dataclass
class Figures:
    record: Record
    scenario: Scenario
    triggered_at: datetime


def history(count: int = 325) -> list[Figures]:
    """Incidents of March 2026, New York time; each scenario many times, with times of its own."""
    rng, made = random.Random(20260301), []
    first, last = at("2026-03-01 05:00"), at("2026-04-01 03:59")
    for number in range(count):
        scenario = FIGURES[number % len(FIGURES)](rng.uniform(1, 40), rng.uniform(41, 400))
        begin = first + (last - first - timedelta(days=1)) * rng.random()
        entries = [(0.0, "triggered", PD, None), *scenario.entries]
        rng.shuffle(entries)
        made.append(Figures(
            Record(
                f"a{number}", begin - timedelta(seconds=7), rng.choice(["critical", "high", "unknown"]),
                rng.choice(["severity_map", "Hallucinations", "PII"]), "rule", rng.choice(["high", "low"]),
                rng.choice(["P1", "P2"]), rng.choice([None, None, "false_alert", "true_alert"]), number % 3,
                tuple(
                    HistoryEntry(begin + timedelta(minutes=after), what, side, by) for after, what, side, by in entries
                ),
            ),
            scenario, begin,
        ))  # fmt: skip
    return made


def outside() -> list[Record]:
    """What is near and does not belong: incidents a minute before and at the end, alerts without any."""
    early, late = at("2026-03-01 04:59"), at("2026-04-01 04:00")
    return [record((early, "triggered")), record((late, "triggered")), record((late, "resolved"))]


def unopened() -> list[Record]:
    """Alerts of March without an incident, by what the bridge decided."""
    reasons = [("suppressed", 17), ("severity_none", 23), ("silenced", 5)]
    made = [record(urgency=None, reason=reason) for reason, count in reasons for _ in range(count)]
    return made + [record(reason=None, urgency=None)] * 3 + [record()] * 2


IN_NEW_YORK = march(NEW_YORK)
HISTORY = history()
SEEN = stats_of([answer.record for answer in HISTORY] + outside() + unopened(), IN_NEW_YORK)


def new_york(when: datetime) -> datetime:
    """By hand: five hours behind, four from 2026-03-08T07:00Z on."""
    return (when - timedelta(hours=4 if when >= at("2026-03-08 07:00") else 5)).replace(tzinfo=None)


def test_the_seeded_history_is_counted_as_it_was_told():
    scenarios = [answer.scenario for answer in HISTORY]
    expected = {
        "total": 325,
        "acknowledged": sum(scenario.acknowledged is not None for scenario in scenarios),
        "resolved": sum(scenario.resolved is not None for scenario in scenarios),
        "open": sum(scenario.resolved is None for scenario in scenarios),
        "never_acknowledged": sum(
            scenario.acknowledged is None and scenario.resolved is not None for scenario in scenarios
        ),
        "reopened": sum(scenario.reopened for scenario in scenarios),
        "merged": sum(scenario.merged for scenario in scenarios),
        "escalated": sum(scenario.escalations > 0 for scenario in scenarios),
        "escalations": sum(scenario.escalations for scenario in scenarios),
        "acknowledged_after_escalation": sum(
            scenario.escalations > 0 and scenario.acknowledged is not None for scenario in scenarios
        ),
        "flaps": sum(number % 3 for number in range(325)),
    }
    assert expected == {name: SEEN[name] for name in expected}
    # Each of the thirteen scenarios was told 25 times: the same once more, as a table.
    assert (325, 250, 225, 100, 25, 50, 25, 25, 50, 25) == tuple(list(expected.values())[:10])


@pytest.mark.parametrize("what", ["acknowledged", "resolved"])
def test_the_times_of_the_seeded_history_are_the_standard_librarys(what: str):
    minutes = [getattr(answer.scenario, what) for answer in HISTORY if getattr(answer.scenario, what) is not None]
    seen = SEEN["mtta_minutes"] if what == "acknowledged" else SEEN["mttr_minutes"]
    hundredths = statistics.quantiles(minutes, n=100, method="inclusive")
    assert len(minutes) == seen["count"]
    expected = [statistics.fmean(minutes), statistics.median(minutes), hundredths[89], hundredths[94]]
    assert expected == pytest.approx([seen[name] for name in ("mean", "median", "p90", "p95")], abs=1e-5)


def test_the_seeded_history_falls_on_new_yorks_days_and_hours():
    local = [new_york(answer.triggered_at) for answer in HISTORY]
    hours = Counter((when.weekday(), when.hour) for when in local)
    assert [[hours[day, hour] for hour in range(24)] for day in range(7)] == SEEN["by_weekday_hour"]
    days = Counter(when.date() for when in local)
    assert {str(date(2026, 3, day)): days[date(2026, 3, day)] for day in range(1, 32)} == {
        day["date"]: day["total"] for day in SEEN["by_day"]
    }
    assert 325 == sum(day["high"] + day["low"] for day in SEEN["by_day"])


@pytest.mark.parametrize(
    ("by", "named_by"), [("rule", "rule"), ("severity", "severity"), ("service", "service_id"), ("urgency", "urgency")]
)
def test_the_seeded_history_in_groups(by: str, named_by: str):
    for group in SEEN[f"by_{by}"]:
        mine = [answer for answer in HISTORY if getattr(answer.record, named_by) == group["name"]]
        times = [answer.scenario.resolved for answer in mine if answer.scenario.resolved is not None]
        false = sum(answer.record.verdict == "false_alert" for answer in mine)
        assert (len(mine), len(times), false) == (group["total"], group["resolved"], group["false_alerts"])
        assert group["mttr_minutes"]["mean"] == pytest.approx(statistics.fmean(times))
    assert 325 == sum(group["total"] for group in SEEN[f"by_{by}"])


def test_severities_and_urgencies_have_an_order_the_others_begin_with_the_most():
    assert ["critical", "high", "unknown"] == [group["name"] for group in SEEN["by_severity"]]
    assert ["high", "low"] == [group["name"] for group in SEEN["by_urgency"]]
    totals = [group["total"] for group in SEEN["by_rule"]]
    assert sorted(totals, reverse=True) == totals


def test_the_targets_of_the_seeded_history():
    counts: Counter[tuple[str, str, str]] = Counter()
    for answer in HISTORY:
        answered = min(
            (t for t in (answer.scenario.acknowledged, answer.scenario.resolved) if t is not None), default=None
        )
        severity = answer.record.severity
        if severity == "critical":
            counts["critical", "acknowledge", "kept" if answered is not None and answered <= 15 else "broken"] += 1
        limit = {"critical": 60, "high": 240}.get(severity)
        if limit:
            kept = answer.scenario.resolved is not None and answer.scenario.resolved <= limit
            counts[severity, "resolve", "kept" if kept else "broken"] += 1
    seen = {
        (severity, target): (one["kept"], one["broken"], one["running"])
        for severity, aims in SEEN["sla"].items()
        for target, one in aims.items()
    }
    assert {
        ("critical", "acknowledge"): (*_two(counts, "critical", "acknowledge"), 0),
        ("critical", "resolve"): (*_two(counts, "critical", "resolve"), 0),
        ("high", "resolve"): (*_two(counts, "high", "resolve"), 0),
    } == seen


def _two(counts: Counter[tuple[str, str, str]], severity: str, target: str) -> tuple[int, int]:
    return counts[severity, target, "kept"], counts[severity, target, "broken"]


def test_the_verdicts_of_the_seeded_history():
    said = Counter(answer.record.verdict for answer in HISTORY)
    seen = SEEN["false_alerts"]
    assert (said["false_alert"], said["true_alert"], said[None]) == (seen["false"], seen["true"], seen["unjudged"])
    assert said["false_alert"] / (said["false_alert"] + said["true_alert"]) == seen["rate"]
    assert said["false_alert"] + said["true_alert"] == seen["judged"]


def test_what_became_of_the_alerts():
    alerts = SEEN["alerts"]
    # The incident at the end of the period is another month's; its alert too.
    assert {"suppressed": 17, "severity_none": 23, "silenced": 5} == alerts["suppressed_by_reason"]
    assert (325 + 45 + 5, 325, 2, 3, 45) == tuple(
        alerts[name] for name in ("total", "with_incident", "not_opened", "undecided", "suppressed")
    )
    assert (325 + 45 + 5) / 325 == alerts["per_incident"]


def test_the_load_of_the_seeded_history():
    """The last whole weeks before April, New York time: Mondays from 2 February to 23 March."""
    mondays = [date(2026, 2, 2) + timedelta(weeks=week) for week in range(8)]
    weeks = Counter(_monday(answer) for answer in HISTORY) + Counter({date(2026, 2, 23): 1})  # the one from outside
    everybody = [weeks[monday] for monday in mondays]
    assert [f"2026-W{week:02}" for week in range(6, 14)] == SEEN["capacity"]["weeks"]
    assert everybody == SEEN["capacity"]["everybody"]["weekly"]
    rise = statistics.linear_regression(range(8), everybody).slope
    assert (pytest.approx(rise), "rising") == tuple(
        SEEN["capacity"]["everybody"][name] for name in ("per_week", "trend")
    )
    for load in SEEN["capacity"]["responders"]:
        mine = Counter(_monday(answer) for answer in HISTORY if answer.scenario.by == load["name"])
        assert [mine[monday] for monday in mondays] == load["weekly"]
    assert {"Ada", "Bo", "Cy", "Boss", "nobody named"} == {load["name"] for load in SEEN["capacity"]["responders"]}


def _monday(fields: Figures) -> date:
    day = new_york(fields.triggered_at).date()
    return day - timedelta(days=day.weekday())


# ------------------------------------------------------------------------------------------ clock changes


@pytest.mark.parametrize(
    ("day", "zone", "since", "until"),
    [
        ("2026-03-29", BERLIN, "2026-03-28 23:00", "2026-03-29 22:00"),  # 23 hours
        ("2026-10-25", BERLIN, "2026-10-24 22:00", "2026-10-25 23:00"),  # 25 hours
        ("2026-03-08", NEW_YORK, "2026-03-08 05:00", "2026-03-09 04:00"),
        ("2026-11-01", NEW_YORK, "2026-11-01 04:00", "2026-11-02 05:00"),
        ("2018-11-04", ZoneInfo("America/Sao_Paulo"), "2018-11-04 03:00", "2018-11-05 02:00"),  # no midnight
        ("2026-07-01", UTC, "2026-07-01 00:00", "2026-07-02 00:00"),
    ],
)
def test_a_day_is_as_long_as_its_clocks_say(day: str, zone: tzinfo, since: str, until: str):
    period = between(day, day, zone)
    assert (at(since), at(until)) == (period.since, period.until)


@pytest.mark.parametrize(
    ("zone", "when", "weekday", "hour"),
    [
        (BERLIN, "2026-03-29 00:59", 6, 1),
        (BERLIN, "2026-03-29 01:00", 6, 3),  # two o'clock is skipped
        (BERLIN, "2026-10-25 00:30", 6, 2),
        (BERLIN, "2026-10-25 01:30", 6, 2),  # and comes twice
        (BERLIN, "2026-03-28 23:30", 6, 0),
        (NEW_YORK, "2026-03-08 07:00", 6, 3),
        (NEW_YORK, "2026-11-01 06:30", 6, 1),
        (NEW_YORK, "2026-11-02 04:30", 6, 23),
    ],
)
def test_an_incident_falls_on_the_hour_that_the_clocks_showed(zone: tzinfo, when: str, weekday: int, hour: int):
    seen = stats_of([record((at(when), "triggered"))], between("2026-01-01", "2026-12-31", zone))
    assert [(weekday, hour, 1)] == [
        (day, place, count)
        for day, row in enumerate(seen["by_weekday_hour"])
        for place, count in enumerate(row)
        if count
    ]


def test_a_period_holds_its_first_moment_and_not_the_one_after_its_last():
    period = between("2026-03-29", "2026-10-25", BERLIN)
    inside = [at("2026-03-28 23:00"), at("2026-10-25 22:59:59.999999")]
    beyond = [at("2026-03-28 22:59:59.999999"), at("2026-10-25 23:00")]
    assert 2 == stats_of([record((when, "triggered")) for when in inside + beyond], period)["total"]


@pytest.mark.parametrize(
    ("word", "previous", "name", "first", "last"),
    [
        ("daily", False, "2026-03-15", "2026-03-15", "2026-03-15"),
        ("daily", True, "2026-03-14", "2026-03-14", "2026-03-14"),
        ("weekly", False, "2026-W11", "2026-03-09", "2026-03-15"),
        ("weekly", True, "2026-W10", "2026-03-02", "2026-03-08"),
        ("monthly", False, "2026-03", "2026-03-01", "2026-03-31"),
        ("monthly", True, "2026-02", "2026-02-01", "2026-02-28"),
        ("quarterly", False, "2026-Q1", "2026-01-01", "2026-03-31"),
        ("quarterly", True, "2025-Q4", "2025-10-01", "2025-12-31"),
        ("2026-Q2", False, "2026-Q2", "2026-04-01", "2026-06-30"),
        ("2026-Q2", True, "2026-Q1", "2026-01-01", "2026-03-31"),
        ("30d", False, "30d", "2026-02-14", "2026-03-15"),
        ("30d", True, "30d-before", "2026-01-15", "2026-02-13"),
        ("2026-W01", False, "2026-W01", "2025-12-29", "2026-01-04"),
        ("2026-W01", True, "2025-W52", "2025-12-22", "2025-12-28"),
        ("2024-02", False, "2024-02", "2024-02-01", "2024-02-29"),
        ("2026-01", True, "2025-12", "2025-12-01", "2025-12-31"),
    ],
)
def test_the_word_for_a_period(word: str, previous: bool, name: str, first: str, last: str):
    period = named(word, date(2026, 3, 15), previous=previous)
    assert (name, first, last) == (period.name, str(period.first), str(period.last))


@pytest.mark.parametrize(
    "word",
    ["", "hourly", "0d", "9999d", "2026-W54", "2026-13", "2026-02-30", "1999-01", "0000-01", "9999-12", "9999-W52",
     "9999-Q4", "0001-01-01", "0001-W01"],
)  # fmt: skip
@pytest.mark.parametrize("previous", [False, True])
def test_what_is_no_period_is_refused(word: str, previous: bool):
    with pytest.raises(BadPeriod, match=r"write|period"):
        named(word, date(2026, 3, 15), previous=previous)


@pytest.mark.parametrize(
    ("first", "last"), [("2026-03-02", "2026-03-01"), ("yesterday", "2026-03-01"), ("2001-01-01", "2026-03-01")]
)
def test_days_that_make_no_period_are_refused(first: str, last: str):
    with pytest.raises(ValueError, match=r"period|day"):
        between(first, last)


# ------------------------------------------------------------------------------------------ one incident


T = at("2026-03-10 10:00")


def after(*fields: tuple[float, str]) -> Record:
    return record((T, "triggered"), *((T + timedelta(minutes=minutes), what) for minutes, what in fields))


@pytest.mark.parametrize(
    ("fields", "status", "to_acknowledge", "to_resolve"),
    [
        ([], "triggered", None, None),
        ([(5, "acknowledged")], "acknowledged", 5, None),
        ([(5, "acknowledged"), (6, "unacknowledged")], "triggered", 5, None),
        ([(5, "acknowledged"), (6, "unacknowledged"), (9, "acknowledged")], "acknowledged", 5, None),
        ([(5, "resolved")], "resolved", None, 5),
        ([(5, "resolved"), (5, "reopened")], "resolved", None, 5),  # in the same moment the furthest along wins
        ([(5, "resolved"), (6, "reopened"), (6, "resolved")], "resolved", None, 6),
        ([(5, "reopened"), (6, "resolved")], "resolved", None, 6),
        ([(5, "acknowledged"), (6, "reopened")], "acknowledged", 5, None),  # it was open
        ([(5, "resolved"), (6, "reopened"), (8, "acknowledged")], "acknowledged", 8, None),
        ([(5, "resolved"), (6, "unacknowledged")], "resolved", None, 5),
        ([(5, "somewhere else"), (7, "resolved")], "resolved", None, 7),
    ],
)
def test_where_an_incident_stands(
    fields: list[tuple[float, str]], status: str, to_acknowledge: float | None, to_resolve: float | None
):
    state = state_at(after(*fields), T + timedelta(days=1))
    assert state is not None
    assert (status, to_acknowledge, to_resolve) == (
        state.status, state.minutes_to_acknowledge, state.minutes_to_resolve,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "after_it"),
    [
        ([(5, "escalated"), (9, "acknowledged")], True),
        ([(5, "escalated"), (5, "acknowledged")], True),
        ([(5, "escalated"), (9, "resolved")], False),
        ([(5, "acknowledged"), (9, "escalated")], False),
        ([(5, "acknowledged"), (6, "unacknowledged"), (9, "escalated"), (12, "acknowledged")], True),
        ([(5, "escalated"), (9, "resolved"), (10, "acknowledged")], False),  # too late: it was over
        ([(9, "acknowledged")], False),
    ],
)
def test_whether_somebody_acknowledged_after_an_escalation(fields: list[tuple[float, str]], after_it: bool):
    state = state_at(after(*fields), T + timedelta(days=1))
    assert state is not None
    assert after_it == state.acknowledged_after_escalation


def test_an_incident_is_seen_as_it_was_then():
    answer = after((5, "acknowledged"), (9, "resolved"), (20, "reopened"), (30, "resolved"))
    seen = [state_at(answer, T + timedelta(minutes=minutes)) for minutes in (-1, 0, 5, 9, 20, 30)]
    assert [None, "triggered", "acknowledged", "resolved", "triggered", "resolved"] == [
        state and state.status for state in seen
    ]


def test_while_a_period_runs_it_is_reported_as_of_now():
    seen = stats_of([after((60, "resolved"))], march(), now=T + timedelta(minutes=30))
    assert (1, 0, 1) == (seen["total"], seen["resolved"], seen["open"])
    assert "2026-03-10" == max(day["date"] for day in seen["by_day"])


def test_an_alert_counts_when_truthvouch_made_it_unless_that_is_later_than_we_saw_it():
    seen_at = at("2026-03-10 12:00")
    link = Link(Alert(AlertId("a")), incident_key(AlertId("a")), seen_at)
    for answer, expected in [(None, seen_at), (T, T), (seen_at + timedelta(hours=1), seen_at)]:
        assert expected == record_of(replace(link, alert=Alert(AlertId("a"), created_at=answer))).raised_at


def test_a_record_says_what_it_does_not_know():
    link = Link(Alert(AlertId("a"), severity="CRITICAL"), incident_key(AlertId("a")), T)
    assert ("critical", "unknown", None, None, "PMAIN") == _named(record_of(link, "PMAIN"))
    decided = replace(link, decision=Decision(Urgency.LOW, "r", "v", "rule", service_id="P2"))
    assert ("critical", "r", "rule", "low", "P2") == _named(record_of(decided, "PMAIN"))


def _named(one: Record) -> tuple[object, ...]:
    return one.severity, one.rule, one.reason, one.urgency, one.service_id


# ------------------------------------------------------------------------------------------ clocks that differ

A_DAY_LATER = T + timedelta(days=1)


def happened(
    minutes: float, what: str, side: Side, ahead: float = 0, late: float = 0, author: str | None = None
) -> HistoryEntry:
    """What happened so long after ten o'clock, at a side whose clock is so far ahead; its webhook took so long."""
    really = T + timedelta(minutes=minutes)
    return HistoryEntry(really + timedelta(minutes=ahead), what, side, author, really + timedelta(minutes=late))


def known(*entries: HistoryEntry) -> Record:
    return replace(record((T, "triggered")), entries=entries)


def times(*entries: HistoryEntry) -> tuple[str, float | None, float | None]:
    state = state_at(known(*entries), A_DAY_LATER)
    assert state is not None
    return state.status, state.minutes_to_acknowledge, state.minutes_to_resolve


@pytest.mark.parametrize(("pagerduty", "truthvouch"), [(0, 0), (6, -4), (-4, 6), (10, 0), (0, 10), (-14, -14)])
def test_acknowledged_in_truthvouch_and_resolved_in_pagerduty_with_clocks_ten_minutes_apart(
    pagerduty: float, truthvouch: float
):
    """Triggered 10:00 and known 10:00:03; acknowledged 10:04 and known 10:04:30; resolved 10:30 and known 10:37.

    The acknowledge is measured from receipt to receipt, 4 min 27 s; the resolve by PagerDuty's own clock, 30 min."""
    scenario = (
        happened(0, "triggered", PD, ahead=pagerduty, late=0.05),
        happened(4, "acknowledged", TV, ahead=truthvouch, late=0.5, author="Bo"),
        happened(30, "resolved", PD, ahead=pagerduty, late=7, author="Ada"),
    )
    assert ("resolved", 4.45, 30.0) == times(*scenario)
    seen = stats_of([known(*scenario)], march())
    assert (1, 1, 0) == (seen["acknowledged"], seen["resolved"], seen["never_acknowledged"])
    assert (4.45, 30.0) == (seen["mtta_minutes"]["mean"], seen["mttr_minutes"]["mean"])
    steps = seen["time_steps"]
    assert ([1, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]) == (steps["acknowledged"], steps["resolved"])


@pytest.mark.parametrize("ahead", [0, 10, -10])
def test_acknowledged_and_resolved_in_pagerduty_its_own_times_count_however_late_they_were_received(ahead: float):
    scenario = (
        happened(0, "triggered", PD, ahead, late=0.05),
        happened(5, "acknowledged", PD, ahead, late=35),
        happened(30, "resolved", PD, ahead, late=12),
    )
    assert ("resolved", 5.0, 30.0) == times(*scenario)


@pytest.mark.parametrize("ahead", [0, 10, -10])
def test_acknowledged_and_resolved_in_truthvouch_both_are_measured_by_receipt(ahead: float):
    """The incident is PagerDuty's: known 10:00:30; acknowledged, known 10:06; resolved, known 10:21."""
    scenario = (
        happened(0, "triggered", PD, late=0.5),
        happened(5, "acknowledged", TV, ahead, late=1),
        happened(20, "resolved", TV, ahead, late=1),
    )
    assert ("resolved", 5.5, 20.5) == times(*scenario)


def test_a_moment_that_an_older_version_stored_has_its_own_time_for_a_receipt():
    trigger, acknowledge = HistoryEntry(T, "triggered", PD), HistoryEntry(T + timedelta(minutes=4), "acknowledged", TV)
    assert ("acknowledged", 4.0, None) == times(trigger, acknowledge)
    assert ("acknowledged", 6.0, None) == times(trigger, replace(acknowledge, received_at=T + timedelta(minutes=6)))
    late = replace(trigger, received_at=T + timedelta(minutes=1))
    assert ("acknowledged", 3.0, None) == times(late, acknowledge)


@pytest.mark.parametrize("side", [PD, TV])
def test_no_duration_is_negative(side: Side):
    """Over before the incident was there, or a clock that was put back."""
    trigger = happened(0, "triggered", PD, ahead=10, late=5)
    assert ("resolved", 0.0, 0.0) == times(trigger, happened(-1, "acknowledged", side), happened(-1, "resolved", side))


def test_what_happened_first_is_never_asked_of_two_clocks():
    """PagerDuty ten minutes ahead, TruthVouch ten behind: by the times told, everything was the other way round."""
    trigger = happened(0, "triggered", PD, ahead=10)
    acknowledge = happened(5, "acknowledged", PD, ahead=10, author="Ada")
    assert ("resolved", 5.0, 8.0) == times(trigger, acknowledge, happened(8, "resolved", TV, ahead=-10))
    resolve, reopen = happened(10, "resolved", PD, ahead=10), happened(12, "reopened", TV, ahead=-10)
    assert ("triggered", 5.0, None) == times(trigger, acknowledge, resolve, reopen)
    again = happened(15, "resolved", TV, ahead=-10)
    assert ("resolved", 5.0, 15.0) == times(trigger, acknowledge, resolve, reopen, again)


def test_a_webhook_that_came_late_happened_before_what_its_side_told_of_later_times():
    """Acknowledged at five, heard of at forty; resolved at twenty, heard of at once; reopened at TruthVouch at 25."""
    acknowledge, resolve = happened(5, "acknowledged", PD, late=35), happened(20, "resolved", PD)
    trigger, reopen = happened(0, "triggered", PD), happened(25, "reopened", TV, ahead=-10)
    assert ("resolved", 5.0, 20.0) == times(trigger, resolve, acknowledge)
    assert ("triggered", 5.0, None) == times(trigger, resolve, reopen, acknowledge)


@pytest.mark.parametrize("ahead", [0, 10, -10])
@pytest.mark.parametrize(("minutes", "after_it"), [(14, False), (17, True)])
def test_whether_it_was_after_an_escalation_is_reported_by_receipt(ahead: float, minutes: float, after_it: bool):
    """Escalated by the bridge at a quarter past by its own clock; the second time it found out five minutes later."""
    for late in (0, 5):
        scenario = (
            happened(0, "triggered", PD, ahead), happened(15, "escalated", PD, late=late),
            happened(minutes, "acknowledged", PD, ahead),
        )  # fmt: skip
        state = state_at(known(*scenario), A_DAY_LATER)
        assert state is not None
        assert (after_it, 1, float(minutes)) == (
            state.acknowledged_after_escalation, state.escalated, state.minutes_to_acknowledge,
        )  # fmt: skip


@pytest.mark.parametrize("ahead", [0, 14, -14])
@pytest.mark.parametrize(("minutes", "kept"), [(14, 1), (16, 0)])
def test_a_target_is_measured_by_receipt_where_the_answer_came_from_the_other_side(
    ahead: float, minutes: float, kept: int
):
    seen = stats_of([known(happened(0, "triggered", PD), happened(minutes, "acknowledged", TV, ahead))], march())
    assert (kept, 1 - kept) == tuple(seen["sla"]["critical"]["acknowledge"][word] for word in ("kept", "broken"))


@pytest.mark.parametrize("ahead", [0, 10, -10])
def test_a_running_target_and_the_age_of_what_is_open_are_counted_from_the_receipt(ahead: float):
    answer = known(happened(0, "triggered", PD, ahead))
    for minutes, word in ((14, "running"), (16, "broken")):
        now = T + timedelta(minutes=minutes)
        seen, state = stats_of([answer], march(), now=now), state_at(answer, now)
        assert state is not None
        assert (1, float(minutes)) == (seen["total"], state.minutes_until(now))
        assert 1 == seen["sla"]["critical"]["acknowledge"][word]


def test_what_is_known_has_happened_however_far_ahead_the_clock_that_tells_it():
    """Five to midnight; PagerDuty's clock, ten minutes ahead, shows the next day, and that is where it counts."""
    now = at("2026-03-10 23:55")
    trigger = HistoryEntry(now + timedelta(minutes=10), "triggered", PD, None, now)
    seen = stats_of([known(trigger)], march(), now=now)
    counted = {day["date"]: day["total"] for day in seen["by_day"] if day["total"]}
    assert (1, {"2026-03-11": 1}) == (seen["total"], counted)
    assert [str(date(2026, 3, day)) for day in range(1, 12)] == [day["date"] for day in seen["by_day"]]
    assert 0 == stats_of([known(trigger)], between("2026-03-10", "2026-03-10"), now=now)["total"]


# ------------------------------------------------------------------------------------------ times that are none

NEVER = [datetime(1, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]


@pytest.mark.parametrize("never", NEVER)
@pytest.mark.parametrize("zone", [UTC, NEW_YORK, ZoneInfo("Pacific/Auckland")])
@pytest.mark.parametrize("receipt", [None, T])
def test_a_time_that_no_clock_showed_breaks_nothing(never: datetime, zone: tzinfo, receipt: datetime | None):
    """Older versions stored them, of alerts and of moments. The alert counts when it was first seen, a moment when it
    was received; where a stored one knows no receipt and lies before 2000, when its alert was first seen."""
    for what in ("triggered", "acknowledged", "resolved"):
        entries = tuple(
            HistoryEntry(never, name, PD, None, receipt) if name == what else happened(minutes, name, PD)
            for minutes, name in ((0, "triggered"), (5, "acknowledged"), (9, "resolved"))
        )
        link = Link(Alert(AlertId("a"), created_at=never), incident_key(AlertId("a")), T, history=entries)
        seen = stats_of([record_of(link)], march(zone))
        assert 1 == seen["alerts"]["total"]
        in_time = receipt is not None or never.year < 2000
        assert (in_time or what != "triggered") == (seen["total"] == 1)
        state = state_at(record_of(link), A_DAY_LATER)
        if in_time:
            expected = {"triggered": (5, 9), "acknowledged": (0, 9), "resolved": (None, 0)}[what]
            assert state is not None
            assert expected == (state.minutes_to_acknowledge, state.minutes_to_resolve)


@pytest.mark.parametrize("never", NEVER)
def test_an_incident_of_no_time_is_in_no_period_and_in_no_week(never: datetime):
    for zone in (NEW_YORK, ZoneInfo("Pacific/Auckland")):
        seen = stats_of([replace(record((never, "triggered")), raised_at=T)], march(zone))
        assert (0, 0) == (seen["total"], seen["capacity"]["everybody"]["per_week"])


# ------------------------------------------------------------------------------------------ histories that were cut


def flapping(times: int) -> Link:
    """Acknowledged and unacknowledged so many times, a minute each."""
    link = Link(Alert(AlertId("a")), incident_key(AlertId("a")), T)
    link = remembering(link, happened(0, "triggered", PD))
    for minute in range(1, times + 1):
        link = remembering(link, happened(minute, "acknowledged" if minute % 2 else "unacknowledged", PD))
    return link


def test_a_history_that_was_cut_is_said_to_be():
    """Of 512 moments the trigger and the newest 499 are kept: the first acknowledge that is left came at minute 13."""
    whole, cut = record_of(flapping(HISTORY_LIMIT - 1)), record_of(flapping(HISTORY_LIMIT + 11))
    assert (False, True, HISTORY_LIMIT) == (whole.incomplete, cut.incomplete, len(cut.entries))
    assert 0 == stats_of([whole], march())["history_incomplete"]
    seen = stats_of([cut, whole, cut], march())
    assert (3, 2, 9.0) == (
        seen["total"],
        seen["history_incomplete"],
        seen["mtta_minutes"]["mean"],
    )  # 13, 1 and 13 minutes


def test_only_what_counts_for_something_is_said_to_be_incomplete():
    """In the period by its alert or its incident, or in a week of the capacity; each alert once."""

    def cut(when: str, raised: str = "") -> Record:
        answer = replace(record((at(when), "triggered")), incomplete=True)
        return replace(answer, raised_at=at(raised)) if raised else answer

    april = between("2026-04-01", "2026-04-30")
    counted = [cut("2026-04-10 12:00"), cut("2026-03-31 23:59"), cut("2026-05-01 00:01", "2026-04-30 23:59"),
               cut("2026-03-04 12:00")]  # fmt: skip
    assert [1, 1, 1, 1] == [stats_of([one], april)["history_incomplete"] for one in counted]
    beyond = [cut("2026-01-10 12:00"), cut("2026-05-02 00:00"), replace(record(), raised_at=at("2026-03-30 12:00"))]
    assert [0, 0, 0] == [stats_of([replace(one, incomplete=True)], april)["history_incomplete"] for one in beyond]


# ------------------------------------------------------------------------------------------ targets


@pytest.mark.parametrize(
    ("fields", "now_after", "acknowledge", "resolve"),
    [
        ([], 15, "running", "running"),
        ([], 15.001, "broken", "running"),
        ([(15, "acknowledged")], 50, "kept", "running"),
        ([(15.02, "acknowledged")], 50, "broken", "running"),
        ([(14, "resolved")], 50, "kept", "kept"),  # nobody is waited for any more
        ([(5, "acknowledged"), (60, "resolved")], 90, "kept", "kept"),
        ([(5, "acknowledged"), (60.02, "resolved")], 90, "kept", "broken"),
        ([(5, "acknowledged"), (30, "resolved"), (40, "reopened")], 59, "kept", "running"),
        ([(5, "acknowledged"), (30, "resolved"), (40, "reopened")], 61, "kept", "broken"),
    ],
)
def test_a_target_is_kept_broken_or_still_running(
    fields: list[tuple[float, str]], now_after: float, acknowledge: str, resolve: str
):
    seen = stats_of([after(*fields)], march(), now=T + timedelta(minutes=now_after))
    words = {
        target: next(word for word in ("kept", "broken", "running") if one[word])
        for target, one in seen["sla"]["critical"].items()
    }
    assert {"acknowledge": acknowledge, "resolve": resolve} == words


# ------------------------------------------------------------------------------------------ arithmetic


@given(st.lists(st.floats(0, 1e6), min_size=1), st.sampled_from([0.5, 0.9, 0.95]))
def test_a_percentile_is_the_standard_librarys(minutes: list[float], share: float):
    ordered = sorted(minutes)
    if len(ordered) > 1:
        expected = statistics.quantiles(ordered, n=100, method="inclusive")[round(share * 100) - 1]
        assert percentile(ordered, share) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    seen = spread(minutes)
    assert all(
        min(minutes) <= (value or 0) <= max(minutes)
        for value in (seen["mean"], seen["median"], seen["p90"], seen["p95"])
    )


def test_without_times_there_is_no_mean():
    assert {"count": 0, "mean": None, "median": None, "p90": None, "p95": None} == spread([])


@given(st.lists(st.integers(0, 500), min_size=2, max_size=20))
def test_a_slope_is_the_standard_librarys(values: list[int]):
    assert slope(values) == pytest.approx(statistics.linear_regression(range(len(values)), values).slope, abs=1e-9)


def test_two_weeks_make_no_trend():
    began = at("2026-03-14 00:00")
    seen = stats_of([], march(), began_at=began)["capacity"]
    assert (["2026-W12", "2026-W13"], "too_few_weeks", None) == (
        seen["weeks"], seen["everybody"]["trend"], seen["everybody"]["per_week"],
    )  # fmt: skip
    longer = stats_of([], march(), began_at=began - timedelta(days=7))
    assert "steady" == longer["capacity"]["everybody"]["trend"]


def test_a_running_week_is_not_told_of_and_one_that_just_ended_is():
    sunday_night = at("2026-03-15 23:59:59.999999")
    assert date(2026, 3, 9) == whole_weeks(sunday_night, LONG_AGO, UTC)[-1]
    assert date(2026, 3, 2) == whole_weeks(sunday_night - timedelta(seconds=1), LONG_AGO, UTC)[-1]
    assert date(2026, 3, 2) == whole_weeks(sunday_night, LONG_AGO, NEW_YORK)[-1]
    assert () == whole_weeks(sunday_night, None, UTC)


# ------------------------------------------------------------------------------------------ laws


MINUTES = st.integers(0, 60 * 24 * 90)
WHATS = st.sampled_from(["acknowledged", "unacknowledged", "resolved", "reopened", "merged", "escalated"])


@st.composite
def records(draw: st.DrawFn) -> Record:
    begin = at("2026-02-15 00:00") + timedelta(minutes=draw(MINUTES))
    answer = draw(st.lists(st.tuples(st.integers(-5, 60 * 24 * 20), WHATS), max_size=6))
    entries = [(begin, "triggered")] if draw(st.booleans()) else []
    made = record(*entries, *((begin + timedelta(minutes=minutes), what) for minutes, what in answer))
    urgency = draw(st.sampled_from(["high", "low", None]))
    severity, verdict = draw(st.sampled_from(["critical", "high", "odd"])), draw(st.sampled_from([None, "false_alert"]))
    return replace(made, raised_at=begin, urgency=urgency, severity=severity, verdict=verdict)


@given(st.lists(records(), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_records_and_of_their_moments_changes_nothing(fields: list[Record], rng: random.Random):
    mixed = [replace(one, entries=tuple(rng.sample(one.entries, len(one.entries)))) for one in fields]
    rng.shuffle(mixed)
    expected, seen = stats_of(fields, IN_NEW_YORK), stats_of(mixed, IN_NEW_YORK)
    assert _near(expected) == _near(seen)


def _near(stats: dict[str, Any]) -> dict[str, Any]:
    """Sums of fractions differ in the last digit with their order."""

    def near(times: dict[str, Any]) -> dict[str, Any]:
        return times | {"mean": None if times["mean"] is None else round(times["mean"], 6)}

    average = stats["avg_resolution_minutes"]
    rounded = {"mtta_minutes": near(stats["mtta_minutes"]), "mttr_minutes": near(stats["mttr_minutes"])}
    without: dict[str, Any] = {name: [] for name in ("by_rule", "by_severity", "by_service", "by_urgency")}
    return stats | rounded | without | {"avg_resolution_minutes": average and round(average, 6)}


@st.composite
def tales(draw: st.DrawFn) -> list[HistoryEntry]:
    """An incident with what two sides told of it and the bridge did, each at another minute, heard of up to an hour
    late."""
    answer = draw(
        st.lists(
            st.tuples(st.integers(1, 200), WHATS, st.sampled_from([PD, TV]), st.integers(0, 60)),
            max_size=8,
            unique_by=lambda one: one[0],
        )
    )
    made = [
        happened(minutes, what, PD if what == "escalated" else side, late=late) for minutes, what, side, late in answer
    ]
    return [happened(0, "triggered", PD), *made]


def shifted(entries: Iterable[HistoryEntry], pagerduty: float, truthvouch: float) -> list[HistoryEntry]:
    """The same as two sides tell it whose clocks are so many minutes ahead. What the bridge did has its own."""
    ahead = {PD: timedelta(minutes=pagerduty), TV: timedelta(minutes=truthvouch)}
    return [one if one.what == "escalated" else replace(one, at=one.at + ahead[one.side]) for one in entries]


@given(tales(), st.integers(-15, 15), st.integers(-15, 15), st.randoms(use_true_random=False))
def test_how_far_the_clocks_are_off_changes_nothing(
    entries: list[HistoryEntry], pagerduty: int, truthvouch: int, rng: random.Random
):
    def seen(fields: list[HistoryEntry]) -> tuple[object, ...]:
        state = state_at(known(*fields), A_DAY_LATER)
        assert state is not None
        assert all((minutes or 0) >= 0 for minutes in (state.minutes_to_acknowledge, state.minutes_to_resolve))
        return (
            state.status, state.minutes_to_acknowledge, state.minutes_to_resolve, state.reopened, state.escalated,
            state.acknowledged_after_escalation, state.merged,
        )  # fmt: skip

    off = shifted(entries, pagerduty, truthvouch)
    rng.shuffle(off)
    assert seen(entries) == seen(off)


@given(st.lists(records(), max_size=12), st.integers(1, 30))
@example([record((at("2026-03-11 04:00"), "triggered"))], 10)  # in New York the very moment between two days
def test_two_parts_of_a_period_add_up_to_the_whole(fields: list[Record], days: int):
    """Seen from one instant: what is open at the end of a part may be resolved at the end of the whole."""
    cut = date(2026, 3, 1) + timedelta(days=days)
    parts = (between("2026-03-01", cut - timedelta(days=1), NEW_YORK), between(cut, "2026-03-31", NEW_YORK))
    whole, *seen = (
        dict[str, Any](fold(fields, replace(frame(period, IN_NEW_YORK.until, SLA, LONG_AGO), as_of=IN_NEW_YORK.until)))
        for period in (IN_NEW_YORK, *parts)
    )
    for name in COUNTS:
        assert whole[name] == sum(part[name] for part in seen)
    assert whole["alerts"]["total"] == sum(part["alerts"]["total"] for part in seen)
    assert whole["mttr_minutes"]["count"] == sum(part["mttr_minutes"]["count"] for part in seen)
    assert sum(map(sum, whole["by_weekday_hour"])) == sum(sum(map(sum, part["by_weekday_hour"])) for part in seen)
    resolved = [part["time_steps"]["resolved"] for part in seen]
    assert [sum(one) for one in zip(*resolved, strict=True)] == whole["time_steps"]["resolved"]
    for severity, aims in whole["sla"].items():
        for target, one in aims.items():
            for word in ("kept", "broken", "running"):
                assert one[word] == sum(part["sla"][severity][target][word] for part in seen)
    assert ["critical", "high"] == list(whole["sla"])


@given(st.lists(records(), max_size=12))
def test_the_parts_of_every_total_add_up(fields: list[Record]):
    seen = stats_of(fields, march())
    assert seen["total"] == seen["resolved"] + seen["open"] == sum(map(sum, seen["by_weekday_hour"]))
    assert seen["total"] == sum(seen["false_alerts"][name] for name in ("false", "true", "unjudged"))
    alerts = seen["alerts"]
    parts = sum(alerts[name] for name in ("with_incident", "not_opened", "undecided", "suppressed"))
    assert alerts["total"] == parts
    assert alerts["suppressed"] == sum(alerts["suppressed_by_reason"].values())
    for by in ("rule", "severity", "service", "urgency"):
        assert seen["total"] == sum(group["total"] for group in seen[f"by_{by}"])
