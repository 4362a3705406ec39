"""What a terminal is shown: colours where they carry meaning, lines that end between words, numbers to the right."""

import os
import pty
import re
import subprocess
import sys

import pytest

from app.cli import output as tables
from app.ui import text
from app.ui.tables import Table

SHOWN = """
from datetime import UTC, datetime
from app.cli import links, output as tables
from app.cli.doctor import line
from app.cli.links import _print_lines
from app.services.diagnostics.doctor import Finding, State
tables.table(links.LINK_COLUMNS, [["high", "resolved", "resolved", "P1", "acknowledged", None, None]])
tables.table(("reason", "urgency"), [["bad_request", "high"]], {"reason": "red"})
tables.facts({"alert.status": "open", "title": "open"})
for state in State:
    print(line(Finding("subscription", state, "some_code", "word " * 30, "do it " * 30)))
records = [("incident.triggered", {"outcome": "done", "side": "pagerduty"}), ("delivery.dead", {"reason": "gone"})]
records += [("alert.created", {"outcome": "opened", "urgency": "high", "reason": "severity_map"})]
at = datetime(2026, 3, 2, tzinfo=UTC)
_print_lines([dict(event=event, facts=facts, at=at, author=None, incident_id=None) for event, facts in records], UTC)
"""
RED, YELLOW, GREEN = "\x1b[31m", "\x1b[33m", "\x1b[32m"


def on_terminal(code: str, columns: int, **environment: str) -> str:
    """What the code prints on a terminal so wide."""
    ours, terminal = pty.openpty()
    given = {"PATH": os.environ["PATH"], "COLUMNS": str(columns), **environment}
    subprocess.run([sys.executable, "-c", code], stdout=terminal, env=given, check=True, timeout=60)
    os.close(terminal)
    said = os.read(ours, 100_000).decode().replace("\r", "")
    os.close(ours)
    return said


def test_colours_stand_where_they_carry_meaning():
    said = on_terminal(SHOWN, 120)
    assert f"high   {GREEN}resolved\x1b[0m" in said, "an id that is called like an urgency is an id"
    assert f"{YELLOW}acknowledged\x1b[0m" in said
    assert f"{RED}bad_request\x1b[0m  {RED}high\x1b[0m" in said
    assert f"alert.status  {RED}open\x1b[0m\ntitle         open\n" in said
    for colour, tick in ((GREEN, "✔"), (YELLOW, "!"), (RED, "✘"), (RED, "?")):
        assert f"{colour}{tick} subscription\x1b[0m" in said
    assert f"{RED}2026-03-02 00:00:00Z  A call to a partner was given up (gone)" in said
    assert f"alert {RED}created\x1b[0m. An incident of {RED}high\x1b[0m urgency is due" in said


@pytest.mark.parametrize("unwanted", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(unwanted: dict[str, str]):
    assert "\x1b" not in on_terminal(SHOWN, 120, **unwanted)


def test_a_pipe_gets_no_colours_and_a_line_for_each_thing():
    said = subprocess.run([sys.executable, "-c", SHOWN], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "\x1b" not in said
    assert "word " * 30 in said


def test_lines_end_between_words_and_go_on_under_their_beginning():
    lines = re.sub(r"\x1b\[\d+m", "", on_terminal(SHOWN, 60)).splitlines()
    assert max(map(len, lines)) <= 60
    assert {"word", "do", "it"} >= {word for line in lines if "word" in line or "do it" in line for word in line.split()
                                   if word not in ("✔", "!", "✘", "?", "→", "subscription", "some_code:")}  # fmt: skip
    assert any(re.fullmatch(r"  (word )+word", line) for line in lines)
    assert any(re.fullmatch(r" {8}(do it ?|it ?|do ?)+", line) for line in lines)


def test_where_the_columns_do_not_fit_no_word_is_broken_and_each_row_is_a_list():
    ident = "0f8fad5b-d9cb-469f-a165-70867728950e"
    head, row = [f"column {number}" for number in range(6)], [ident, "resolved", ident, "P1", "acknowledged", "-"]
    assert [f"{name}  {value}" for name, value in zip(head, row, strict=True)] == list(
        tables.aligned(head, [row], "<" * 6, 80)
    )
    assert 2 == len(list(tables.aligned(head, [row], "<" * 6, 200)))


def test_names_of_columns_give_way_first_and_numbers_stay_whole():
    head, row = ["title", "acknowledged after", "lasted"], ["the dose was doubled " * 2, "5.0 min", "22 h 20 min"]
    lines = list(tables.aligned(head, [row], "<>>", 60))
    assert "the dose was doubled the dose was" in lines[2]
    assert lines[2].endswith("5.0 min  22 h 20 min")
    narrow = list(tables.aligned(head, [row], "<>>", 36))
    assert max(map(len, narrow)) <= 36
    assert any(line.endswith("5.0 min  22 h 20 min") for line in narrow)


def test_a_long_title_is_cut_between_words():
    assert "the dose was doubled the dose was doubled the dose was …" == text._cut("the dose was doubled " * 5)
    assert 60 == len(text._cut("x" * 90))


def test_numbers_with_their_shares_stand_under_each_other():
    rows = [("Incidents", "11"), ("Acknowledged", "9 (82%)"), ("False", "60.0% (3 of 5)"), ("Mean", "–")]
    *_, incidents, acknowledged, false, mean = text._table(Table("t", "T", ("", ""), rows), str, tables.aligned)
    assert 1 == len({line.index(end) + len(end) for line, end in
                     ((incidents, "11"), (acknowledged, "9"), (false, "60.0%"), (mean, "–"))})  # fmt: skip


def test_a_report_fits_its_terminal():
    rows = [(f"#{number}", "the dose was doubled " * 2, "resolved", "high", "critical") for number in range(3)]
    shown = Table("incidents", "Incidents", ("Number", "Title", "Status", "Urgency", "Severity"), rows)

    def aligned(*given, indent):
        return tables.aligned(*given, room=60, indent=indent)

    lines = list(text._table(shown, str, aligned))
    assert max(map(len, lines)) <= 60
    assert 3 == sum("doubled the" in line or "the dose" in line for line in lines if "#" in line)
