"""How a report is written: what has to be said before its numbers, and times that no clock ever showed."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import pytest

from app.cli import output as tables
from app.domain.model.types import Alert, AlertId, IncidentId, Side, incident_key
from app.domain.reports.period import between
from app.domain.reports.record import ListedIncident, figures_of, record_of, state_at
from app.domain.reports.totals import fold, frame
from app.domain.rules.rulebook import Redaction
from app.domain.sync.incident_draft import title_of
from app.domain.sync.link import HistoryEntry, Link
from app.services.reports.report import days_of, line_of, rounded
from app.ui import text
from app.ui import text as as_csv
from app.ui.report_page import _change, page
from app.ui.tables import here, minutes, remarks

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NEVER = ("0001-01-01T00:00:00+00:00", "1970-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00")
ZONES = ("UTC", "America/Los_Angeles", "Pacific/Auckland")
INSTANTS = ("triggered_at", "acknowledged_at", "resolved_at")


def incident(number: int, dropped: int = 0, called: str = "") -> Link:
    """Triggered in PagerDuty, whose clock is right; acknowledged at TruthVouch, whose clock is ten minutes ahead, and
    known after five; resolved in PagerDuty after twenty."""
    alert_id = AlertId(called or f"a{number}")
    acknowledged_at = BEGIN + timedelta(minutes=5)
    entries = (
        HistoryEntry(BEGIN, "triggered", Side.PAGERDUTY, None, BEGIN),
        HistoryEntry(acknowledged_at + timedelta(minutes=10), "acknowledged", Side.TRUTHVOUCH, "Bo", acknowledged_at),
        HistoryEntry(BEGIN + timedelta(minutes=20), "resolved", Side.PAGERDUTY, "Ada", BEGIN + timedelta(minutes=21)),
    )
    return Link(
        Alert(alert_id), incident_key(alert_id), BEGIN, history=entries, history_dropped=dropped,
        incident_id=IncidentId(f"Q{number}"), incident_number=number,
    )  # fmt: skip


def listed(link: Link, as_of: datetime) -> ListedIncident:
    """As the store has it."""
    record = record_of(link)
    state = state_at(record, as_of)
    assert state
    title = title_of(link.alert, link.decision, Redaction())
    known = (record.names, record.alert_id, record.verdict, record.incomplete)
    return ListedIncident(*known, figures_of(state), title, link.incident_id, link.incident_number)


def report(*links: Link, time_zone: str = "UTC") -> Any:
    """What the service makes of these links."""
    period = between("2026-03-02", "2026-03-08", ZoneInfo(time_zone), time_zone)
    asked = frame(period, BEGIN + timedelta(days=30), {}, BEGIN - timedelta(days=100))
    records = [record_of(link) for link in links]
    lines = [line_of(listed(link, asked.as_of), asked.as_of) for link in links]
    same = {"service_id": None, "period": days_of(asked), "time_zone": time_zone}
    return same | {"stats": same | rounded(fold(records, asked)), "incidents": lines}


def rows(fields: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(as_csv.incidents(fields))))


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "＝", "＋", "－", "＠"])
@pytest.mark.parametrize("blanks", ["", " ", "\u00a0", "\u3000 "])
def test_no_text_in_a_csv_is_a_formula(begin: str, blanks: str) -> None:
    answer = report(incident(7, called=f"{blanks}{begin}SUM(A1)"))
    assert f"'{blanks}{begin}SUM(A1)" == rows(answer)[0]["alert_id"]


def test_no_text_in_a_csv_steers_a_terminal_or_turns_round() -> None:
    """An alert's id is whatever its sender says."""
    answer = report(incident(7, called="a\x1b]0;pwn\x07\x1b[2J\u202egpj"))
    assert "a?]0;pwn??[2J?gpj" == rows(answer)[0]["alert_id"]


def words_of(html: str) -> str:
    return "".join(ElementTree.fromstring(html.replace("<!DOCTYPE html>", "")).itertext())


@pytest.mark.parametrize(
    ("value", "fields"),
    [(0.7, "42 s"), (59.9, "59.9 min"), (59.97, "1 h 00 min"), (60, "1 h 00 min"), (96.3, "1 h 36 min"), (None, "–")],
)
def test_a_length_of_time_has_one_way_of_being_written(value: float | None, fields: str) -> None:
    assert fields == minutes(value)


def test_a_report_names_no_clock_but_that_of_its_time_zone() -> None:
    answer = report(incident(7), time_zone="Asia/Kolkata")
    said = words_of(page(answer)) + "\n".join(text.report(answer, str, tables.aligned))
    assert "Asia/Kolkata" in said
    assert "UTC" not in said


# ------------------------------------------------------------------------------------------ clocks that differ


def test_a_list_tells_what_was_measured_and_subtracts_no_two_clocks() -> None:
    """Five minutes and twenty; the two instants lie fifteen apart."""
    answer = report(incident(7))
    line = next(line for line in text.report(answer, str, tables.aligned) if "#7" in line)
    assert ["5.0", "min", "20.0", "min"] == line.split()[-4:]
    (row,) = rows(answer)
    assert ("5.0", "20.0") == (row["acknowledged_after_minutes"], row["duration_minutes"])
    assert ("2026-03-02T09:15:00+00:00", "2026-03-02T09:20:00+00:00") == (row["acknowledged_at"], row["resolved_at"])
    assert "<td>5.0 min</td><td>20.0 min</td>" in page(answer)


# ------------------------------------------------------------------------------------------ histories that were cut


def test_a_report_says_of_how_many_alerts_the_history_is_incomplete() -> None:
    for dropped, said in (((3, 0), "History incomplete for 1 alert: "), ((3, 1), "History incomplete for 2 alerts: ")):
        answer = report(*(incident(number, count) for number, count in enumerate(dropped)))
        for first in (remarks(answer)[0], remarks(answer["stats"])[0], [*text.report(answer, str, tables.aligned)][1]):
            assert first.startswith(said)
        assert said in words_of(page(answer))
        cut = [count > 0 for count in dropped]
        assert str(sum(cut)) == dict(csv.reader(io.StringIO(as_csv.numbers(answer["stats"]))))["history_incomplete"]
        assert [str(one) for one in cut] == [row["history_incomplete"] for row in rows(answer)]
        marked = [line for line in text.report(answer, str, tables.aligned) if line.endswith("history incomplete")]
        assert sum(cut) == len(marked)


def test_where_every_history_is_whole_nothing_is_said_of_it() -> None:
    answer = report(incident(1), incident(2))
    assert [] == remarks(answer) == remarks(answer["stats"])
    assert "istory incomplete" not in words_of(page(answer)) + "".join(text.report(answer, str, tables.aligned))


def test_where_the_record_begins_is_said_before_what_of_it_is_gone() -> None:
    answer = report(incident(1, 5))
    answer["period"]["record_since"] = "2026-03-04T09:00:00+00:00"
    begins, incomplete = remarks(answer)
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
    answer = report(incident(7), time_zone=zone)
    answer["incidents"][0][name] = never
    (row,) = rows(answer)
    assert "" == row[name]
    assert all(row[other] for other in INSTANTS if other != name)
    line = next(line for line in text.report(answer, str, tables.aligned) if "#7" in line)
    assert ("  –  " in line) == (name == "triggered_at")
    assert "#7" in words_of(page(answer))


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (("75", 75), ("71", 71), "up from 71"),
        (("5.0 min", 5.0), ("6.0 min", 6.0), "down from 6.0 min"),
        (("5.0 min", 5.01), ("5.0 min", 5.0), "before: 5.0 min"),
        (("–", None), ("71", 71), "before: 71"),
        (("75", 75), ("–", None), ""),
    ],
)
def test_how_a_number_changed(now: tuple[str, float | None], before: tuple[str, float | None], said: str) -> None:
    assert said == _change(*now, *before)
