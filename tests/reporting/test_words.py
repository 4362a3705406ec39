"""How a report is written: what has to be said before its numbers, and times that no clock ever showed."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from app.domain.alert import Alert
from app.domain.link import Link, Moment
from app.domain.names import AlertId, IncidentId, Side, incident_key
from app.domain.rulebook import Rulebook
from app.domain.stats import fold, frame
from app.domain.stats_period import between
from app.domain.stats_record import course, record_of
from app.reporting import csv as as_csv
from app.reporting import text
from app.reporting.html import page
from app.reporting.words import here, minutes, remarks
from app.services.report_lines import line_of
from app.services.report_shapes import shown, shown_period

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NEVER = ("0001-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00")
ZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland")
INSTANTS = ("triggered_at", "acknowledged_at", "resolved_at")


def incident(number: int, dropped: int = 0, called: str = "") -> Link:
    """Triggered in PagerDuty, whose clock is right; acknowledged at TruthVouch, whose clock is ten minutes ahead, and
    known after five; resolved in PagerDuty after twenty."""
    alert_id = AlertId(called or f"a{number}")
    acknowledged_at = BEGIN + timedelta(minutes=5)
    moments = (
        Moment(BEGIN, "triggered", Side.PAGERDUTY, None, BEGIN),
        Moment(acknowledged_at + timedelta(minutes=10), "acknowledged", Side.TRUTHVOUCH, "Bo", acknowledged_at),
        Moment(BEGIN + timedelta(minutes=20), "resolved", Side.PAGERDUTY, "Ada", BEGIN + timedelta(minutes=21)),
    )
    return Link(
        Alert(alert_id), incident_key(alert_id), BEGIN, history=moments, history_dropped=dropped,
        incident_id=IncidentId(f"Q{number}"), incident_number=number,
    )  # fmt: skip


def report(*links: Link, time_zone: str = "UTC") -> dict[str, Any]:
    """What the service makes of these links."""
    period = between("2026-03-02", "2026-03-08", ZoneInfo(time_zone), time_zone)
    asked = frame(period, BEGIN + timedelta(days=30), {}, BEGIN - timedelta(days=100))
    records = [record_of(link) for link in links]
    stood = [(link, record, course(record, asked.as_of)) for link, record in zip(links, records, strict=True)]
    lines = [line_of(link, record, at, Rulebook(), asked.as_of) for link, record, at in stood if at]
    same = {"service_id": None, "period": shown_period(asked), "time_zone": time_zone}
    return same | {"stats": same | shown(fold(records, asked)), "incidents": lines}


def rows(told: Mapping[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv.incidents(told))))


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
@pytest.mark.parametrize("blanks", ["", " ", "\u00a0", "\u3000 "])
def test_no_text_in_a_csv_is_a_formula(begin: str, blanks: str) -> None:
    told = report(incident(7, called=f"{blanks}{begin}SUM(A1)"))
    assert f"'{blanks}{begin}SUM(A1)" == rows(told)[0]["alert_id"]


def test_no_text_in_a_csv_steers_a_terminal_or_turns_round() -> None:
    """An alert's id is whatever its sender says."""
    told = report(incident(7, called="a\x1b]0;pwn\x07\x1b[2J\u202egpj"))
    assert "a?]0;pwn??[2J?gpj" == rows(told)[0]["alert_id"]


def words_of(html: str) -> str:
    return "".join(ElementTree.fromstring(html.replace("<!DOCTYPE html>", "")).itertext())


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.7, "42 s"), (59.9, "59.9 min"), (59.97, "1 h 00 min"), (60, "1 h 00 min"), (96.3, "1 h 36 min"), (None, "–")],
)
def test_a_length_of_time_has_one_way_of_being_written(value: float | None, told: str) -> None:
    assert told == minutes(value)


def test_a_report_names_no_clock_but_that_of_its_time_zone() -> None:
    told = report(incident(7), time_zone="Asia/Kolkata")
    said = words_of(page(told)) + "\n".join(text.report(told, str))
    assert "Asia/Kolkata" in said
    assert "UTC" not in said


# ------------------------------------------------------------------------------------------ clocks that differ


def test_a_list_tells_what_was_measured_and_subtracts_no_two_clocks() -> None:
    """Five minutes and twenty; the two instants lie fifteen apart."""
    told = report(incident(7))
    line = next(line for line in text.report(told, str) if "#7" in line)
    assert ["5.0", "min", "20.0", "min"] == line.split()[-4:]
    (row,) = rows(told)
    assert ("5.0", "20.0") == (row["acknowledged_after_minutes"], row["duration_minutes"])
    assert ("2026-03-02T09:15:00+00:00", "2026-03-02T09:20:00+00:00") == (row["acknowledged_at"], row["resolved_at"])
    assert "<td>5.0 min</td><td>20.0 min</td>" in page(told)


# ------------------------------------------------------------------------------------------ histories that were cut


def test_a_report_says_of_how_many_alerts_the_history_is_incomplete() -> None:
    for dropped, said in (((3, 0), "History incomplete for 1 alert: "), ((3, 1), "History incomplete for 2 alerts: ")):
        told = report(*(incident(number, count) for number, count in enumerate(dropped)))
        for first in (remarks(told)[0], remarks(told["stats"])[0], [*text.report(told, str)][1]):
            assert first.startswith(said)
        assert said in words_of(page(told))
        cut = [count > 0 for count in dropped]
        assert str(sum(cut)) == dict(csv.reader(io.StringIO(as_csv.numbers(told["stats"]))))["history_incomplete"]
        assert [str(one) for one in cut] == [row["history_incomplete"] for row in rows(told)]
        marked = [line for line in text.report(told, str) if line.endswith("history incomplete")]
        assert sum(cut) == len(marked)


def test_where_every_history_is_whole_nothing_is_said_of_it() -> None:
    told = report(incident(1), incident(2))
    assert [] == remarks(told) == remarks(told["stats"])
    assert "istory incomplete" not in words_of(page(told)) + "".join(text.report(told, str))


def test_where_the_record_begins_is_said_before_what_of_it_is_gone() -> None:
    told = report(incident(1, 5))
    told["period"]["record_since"] = "2026-03-04T09:00:00+00:00"
    begins, incomplete = remarks(told)
    assert begins.startswith("The record begins on 2026-03-04 09:00 UTC")
    assert incomplete.startswith("History incomplete")


# ------------------------------------------------------------------------------------------ times that are none


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("never", NEVER)
def test_a_time_that_no_clock_showed_is_none(never: str, zone: str) -> None:
    assert None is here(never, zone)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("never", NEVER)
@pytest.mark.parametrize("name", INSTANTS)
def test_a_time_that_no_clock_showed_breaks_no_format(name: str, never: str, zone: str) -> None:
    told = report(incident(7), time_zone=zone)
    told["incidents"][0][name] = never
    (row,) = rows(told)
    assert "" == row[name]
    assert all(row[other] for other in INSTANTS if other != name)
    line = next(line for line in text.report(told, str) if "#7" in line)
    assert ("  –  " in line) == (name == "triggered_at")
    assert "#7" in words_of(page(told))
