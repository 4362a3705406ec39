"""``truthvouch stats`` and ``truthvouch report``: what people, spreadsheets and browsers get."""

import base64
import csv
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result
from werkzeug.serving import make_server

from app.cli import main
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.link import HistoryEntry, Link
from app.sandbox.server import create_app
from app.store.database import Database, open_bridge, open_inbox
from app.store.links import StoredLinks
from app.store.migrate import migrate
from app.ui.report_page import page
from tests.sandbox.conftest import Rig as Sandbox
from tests.test_logs import configured

HOSTILE = '<script>alert(1)</script> & "quoted" \x1b[31mred\x07 ‮]]> =SUM(A1)'
BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Shell:
    """A shell on the machine of the store."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir, self.config = data_dir, data_dir / "bridge.yaml"
        self.more: dict[str, str] = {}
        self.config.write_text(
            "pagerduty: {service_id: PSANDBX}\nsla:\n  critical: {acknowledge_minutes: 15}\n", "utf-8"
        )

    def run(self, *words: str) -> Result:
        environment = {"BRIDGE_DATA_DIR": str(self.data_dir), "BRIDGE_CONFIG": str(self.config), **self.more}
        return CliRunner().invoke(main, list(words), env=environment)

    def json(self, *words: str, code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert code == result.exit_code, result.output
        return json.loads(result.stdout)

    def fill(self, *links: Link) -> None:
        bridge, inbox = open_bridge(self.data_dir, None), open_inbox(self.data_dir, None)
        migrate(bridge, inbox, self.data_dir)
        with Database(bridge).begin() as tx:
            for link in links:
                StoredLinks().add(tx, link)
        bridge.dispose()
        inbox.dispose()


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests may have set variables of ours; and a page is written where one stands."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    with configured("json", "WARNING"):
        yield


def incident(number: int, after: timedelta, **fields: Any) -> Link:
    """Acknowledged after five minutes, resolved after twenty."""
    alert_id, seen_at = AlertId(f"a{number}"), BEGIN + after
    moments = tuple(
        HistoryEntry(seen_at + timedelta(minutes=minutes), what, Side.PAGERDUTY, "Ada")
        for minutes, what in ((0, "triggered"), (5, "acknowledged"), (20, "resolved"))
    )
    decision = Decision(Urgency.HIGH, "severity_map", "v", "severity_map", service_id="PSANDBX")
    link = Link(Alert(alert_id, severity="critical", message=f"wrong answer {number}"), incident_key(alert_id), seen_at,
                decision=decision, history=moments, incident_id=IncidentId(f"Q{number}"),
                incident_number=100 + number, incident_url=f"https://example.pagerduty.com/Q{number}")  # fmt: skip
    return replace(link, **fields)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Sixty incidents from Monday, 2 March 2026 on, one every twelve hours."""
    shell = Shell(tmp_path)
    shell.fill(*(incident(number, timedelta(hours=12 * number)) for number in range(60)))
    return shell


# ------------------------------------------------------------------------------------------ numbers


def test_stats_for_people(shell: Shell) -> None:
    result = shell.run("stats", "--period", "2026-W10")
    assert 0 == result.exit_code, result.output
    lines = [re.sub(r"\s+", " ", line.strip()) for line in result.stdout.splitlines()]
    assert "2 March 2026 to 8 March 2026, UTC · all services" == lines[0]
    assert "The record begins on 2026-03-02 09:00 UTC: of what was before, nothing is known." == lines[1]
    assert "To the first acknowledge (MTTA) 14 5.0 min 5.0 min 5.0 min 5.0 min" in lines
    assert "critical acknowledge 15.0 min 14 0 0 100.0%" in lines
    assert "No whole week has been recorded yet." in lines


def test_stats_for_machines(shell: Shell) -> None:
    answer = shell.json(
        "stats", "--from", "2026-03-02", "--to", "2026-03-03", "--service", "PSANDBX", "--tz", "Asia/Tokyo"
    )
    assert (3, 20.0, "Asia/Tokyo", "PSANDBX") == tuple(
        answer[name] for name in ("total", "avg_resolution_minutes", "time_zone", "service_id")
    )
    assert ("2026-03-01T15:00:00+00:00", "2026-03-03T15:00:00+00:00") == (
        answer["period"]["since"], answer["period"]["until"],
    )  # fmt: skip


def test_stats_for_spreadsheets(shell: Shell) -> None:
    rows = dict(csv.reader(io.StringIO(shell.run("stats", "--csv", "--period", "2026-W10").stdout)))
    assert ("14", "5.0", "14") == (rows["total"], rows["mtta_minutes.mean"], rows["by_rule.severity_map.total"])


def test_by_itself_stats_tells_the_last_30_days_and_report_the_running_month(shell: Shell) -> None:
    today = datetime.now(UTC).date()
    assert str(today) == shell.json("stats")["period"]["to"]
    assert str(today - timedelta(days=29)) == shell.json("stats")["period"]["from"]
    assert f"{today:%Y-%m}" == shell.json("report")["period"]["name"]
    last = today.replace(day=1) - timedelta(days=1)
    assert f"{last:%Y-%m}" == shell.json("report", "--previous")["period"]["name"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--period", "yearly"], "no period"),
        (["--tz", "Berlin"], "IANA"),
        (["--to", "2026-03-01"], "must begin"),
        (["--from", "2026-03-05", "--to", "2026-03-01"], "before it begins"),
        (["--from", "2900-01-01"], "has not begun"),
        (["--from", "March"], "does not match"),
        (["--from", "2026-03-01", "--previous"], "--period"),
    ],
)
@pytest.mark.parametrize("command", ["stats", "report"])
def test_wrong_use_is_said_and_ends_with_2(shell: Shell, command: str, words: list[str], said: str) -> None:
    result = shell.run(command, *words)
    assert (2, "") == (result.exit_code, result.stdout)
    assert said in result.stderr


def test_without_a_store_the_reader_is_reported_what_is_missing(tmp_path: Path) -> None:
    result = Shell(tmp_path).run("stats")
    assert 2 == result.exit_code
    assert "bridge.db" in result.stderr


# ------------------------------------------------------------------------------------------ reports


def test_a_report_lists_every_incident(shell: Shell) -> None:
    answer = shell.json("report", "--period", "2026-W10")
    assert [100 + number for number in range(14)] == [line["incident_number"] for line in answer["incidents"]]
    assert ("resolved", 20.0) == (answer["incidents"][0]["status"], answer["incidents"][0]["duration_minutes"])
    assert 14 == answer["stats"]["total"]


def test_a_report_as_text_and_as_csv_has_the_same_incidents(shell: Shell) -> None:
    text = shell.run("report", "--period", "2026-W10").stdout
    rows = list(csv.DictReader(io.StringIO(shell.run("report", "--period", "2026-W10", "--format", "csv").stdout)))
    assert 14 == len(rows)
    for row in rows:
        assert f"#{row['incident_number']} " in text
    assert "[critical] Alert: wrong answer 0" == rows[0]["title"]


def test_a_file_is_written_where_it_is_asked_for(shell: Shell, tmp_path: Path) -> None:
    result = shell.run("report", "--period", "2026-W10", "--format", "csv", "-o", "out.csv")
    assert (0, "out.csv\n") == (result.exit_code, result.stdout)
    assert b"\r\n" in (tmp_path / "out.csv").read_bytes()
    refused = shell.run("report", "-o", str(tmp_path / "nowhere" / "out.csv"))
    assert (2, True) == (refused.exit_code, "cannot be written" in refused.stderr)


@pytest.mark.parametrize("form", ["csv", "html", "json", "text"])
def test_a_file_is_its_owners_alone_and_one_that_is_there_keeps_its_mode(
    shell: Shell, tmp_path: Path, form: str
) -> None:
    for name, mode in (("new", 0o600), ("there", 0o640)):
        if name == "there":
            (tmp_path / name).touch(0o640)
            (tmp_path / name).chmod(0o640)
        assert 0 == shell.run("report", "--period", "2026-W10", "--format", form, "-o", name).exit_code
        assert mode == (tmp_path / name).stat().st_mode & 0o777


def test_the_short_options_for_formats_are_the_long_ones(shell: Shell) -> None:
    for form in ("csv", "json"):
        short, long = (
            shell.run("report", "--period", "2026-W10", *said) for said in ([f"--{form}"], ["--format", form])
        )
        assert (0, long.stdout) == (short.exit_code, short.stdout)
        assert 0 == shell.run("report", "--period", "2026-W10", f"--{form}", "--format", form).exit_code
    assert (2, "Choose one: --json or --csv.\n") == (
        shell.run("report", "--json", "--csv").exit_code,
        shell.run("report", "--json", "--csv").stderr,
    )


def test_excel_sees_that_a_csv_file_is_unicode_and_a_pipe_gets_only_the_lines(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.fill(incident(1, timedelta(0), decision=Decision(Urgency.HIGH, "café سؤال", "v", "rule", title="café سؤال")))
    asked = ("report", "--period", "2026-W10", "--format", "csv")
    shell.run(*asked, "-o", "out.csv")
    written = (tmp_path / "out.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbfincident_number,")
    assert "café سؤال" in written.decode("utf-8-sig")
    assert shell.run(*asked).stdout_bytes == written.removeprefix(b"\xef\xbb\xbf")


def test_a_page_has_a_name_of_its_own_unless_it_goes_to_standard_output(shell: Shell, tmp_path: Path) -> None:
    result = shell.run("report", "--period", "2026-W10", "--format", "html")
    assert (0, "truthvouch-report-2026-W10.html\n") == (result.exit_code, result.stdout)
    written = (tmp_path / "truthvouch-report-2026-W10.html").read_text("utf-8")
    assert written == shell.run("report", "--period", "2026-W10", "--format", "html", "-o", "-").stdout


def test_hostile_titles_steer_no_terminal_and_run_in_no_spreadsheet(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    named = Decision(Urgency.HIGH, "=1+1", "v", "rule", title=f"=1+1 {HOSTILE}")
    shell.fill(incident(1, timedelta(0), decision=named))
    text = shell.run("report", "--period", "2026-03").stdout
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f‮]", text)
    (row,) = csv.DictReader(io.StringIO(shell.run("report", "--period", "2026-03", "--format", "csv").stdout))
    assert row["title"].startswith("'=1+1")
    assert "'=1+1" == row["rule"]
    assert not re.search(r"[\x00-\x1f\x7f‮]", "".join(row.values()))


# ------------------------------------------------------------------------------------------ the page


def made(shell: Shell, *words: str) -> str:
    result = shell.run("report", "--format", "html", "-o", "-", *words)
    assert 0 == result.exit_code, result.output
    return result.stdout


def parsed(html: str) -> ElementTree.Element:
    return ElementTree.fromstring(html.replace("<!DOCTYPE html>", ""))


def names(root: ElementTree.Element) -> set[str]:
    return {element.tag.rpartition("}")[2] for element in root.iter()}


def test_the_page_is_whole_and_needs_nothing_else(shell: Shell) -> None:
    html = made(shell, "--period", "2026-03")
    root = parsed(html)
    assert not names(root) & {"link", "img", "iframe", "object", "embed", "form", "base", "image", "use"}
    loads = [value for element in root.iter() for name, value in element.attrib.items()
             if name.rpartition("}")[2] in ("src", "srcset", "poster", "data", "background", "action")]  # fmt: skip
    assert [] == loads
    assert {"a"} == {element.tag for element in root.iter() if "href" in element.attrib}
    assert not re.search(r"url\(|@import|javascript:|\bon\w+=", html)
    assert "default-src 'none'" in html


def test_only_our_script_runs(shell: Shell) -> None:
    html = made(shell, "--period", "2026-03")
    (script,) = parsed(html).iter("script")
    assert {} == script.attrib
    assert (Path(__file__).parents[2] / "app/ui/assets/report.js").read_text("utf-8") == script.text
    digest = base64.b64encode(hashlib.sha256((script.text or "").encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'\"" in html
    assert not set("<&") & set(script.text or ""), "a parser of XML would read it as something else"


def test_chips_count_what_is_listed_and_wait_for_the_script(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    named = Decision(Urgency.LOW, 'one | "two"', "v", "rule", title="t", service_id="PSANDBX")
    other = incident(3, timedelta(hours=3), alert=Alert(AlertId("a3"), severity="low"), decision=named)
    shell.fill(incident(1, timedelta(0)), incident(2, timedelta(hours=1)), replace(other, history=other.history[:2]))
    (section,) = [one for one in parsed(made(shell, "--period", "2026-W10")).iter("section")
                  if one.get("class") == "incidents"]  # fmt: skip
    (controls,) = [one for one in section.iter("div") if one.get("class") == "filter"]
    assert controls.get("hidden") is not None, "without the script they would do nothing"
    chips = [(chip.get("name"), chip.get("value"), "".join(chip.itertext())) for chip in controls.iter("button")]
    assert chips == [
        ("severity", "critical", "critical 2"), ("severity", "low", "low 1"),
        ("rule", "severity_map", "severity map 2"), ("rule", 'one | "two"', 'one | "two" 1'),
        ("outcome", "resolved", "resolved 2"), ("outcome", "acknowledged", "acknowledged 1"),
    ]  # fmt: skip
    newest, *_ = [row for row in section.iter("tr") if row.get("data-rule")]
    assert ("low", 'one | "two"', "acknowledged") == tuple(
        newest.get(f"data-{name}") for name in ("severity", "rule", "outcome")
    )
    assert ["300"] == [cell.get("data-key") for cell in newest if cell.get("data-key")][:1], "sorted by seconds"


def test_whatever_scrolls_shows_that_it_does(shell: Shell) -> None:
    style = (Path(__file__).parents[2] / "app/ui/assets/report.css").read_text("utf-8")
    scrolling = {rule.partition("{")[0].strip() for rule in style.split("}") if re.search(r"overflow-[xy]: auto", rule)}
    assert {".wide", ".days .wide, .hours .wide"} == {one.rpartition("*/")[2].strip() for one in scrolling}
    wide = style.partition(".wide {")[2].partition("}")[0]
    assert 2 == wide.count("scroll no-repeat")


def test_the_page_can_be_read_without_eyes(shell: Shell) -> None:
    root = parsed(made(shell, "--period", "2026-03"))
    assert "en" == root.get("lang")
    drawn = [element for element in root.iter() if element.tag.endswith("svg")]
    pictures = [element for element in drawn if element.get("aria-hidden") is None]
    assert 9 == len(pictures)
    assert all("img" == picture.get("role") and picture.get("aria-label") for picture in pictures)
    sections = [section for section in root.iter("section") if section.find(".//figure") is not None]
    assert all(section.find(".//table") is not None for section in sections), "each picture has its numbers beside it"
    idents = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(idents) == len(set(idents))


def test_the_pictures_show_the_numbers(shell: Shell) -> None:
    root = parsed(made(shell, "--period", "2026-W10"))
    (days,) = [one for one in root.iter("section") if one.get("class") == "days"]
    bars = [title.text for title in days.iter() if title.tag.rpartition("}")[2] == "title"]
    assert [f"{day} Mar: 2" for day in range(2, 9)] == bars


def test_the_headlines_say_what_they_were_in_the_period_before(shell: Shell) -> None:
    def facts(*period: str) -> list[str]:
        [listed] = [one for one in parsed(made(shell, *period)).iter("ul") if one.get("class") == "facts"]
        return [" ".join(part.strip() for part in line.itertext()) for line in listed]

    assert facts("--period", "2026-W14")[0].endswith("down from 14")
    incidents, mtta, *_ = facts("--period", "2026-W11")
    assert ("Incidents 14", "before: 14") == (incidents[:12], incidents[-10:])
    assert mtta.endswith("before: 5.0 min")
    for without in (
        ("--period", "2026-W10"), ("--period", "2000-01"), ("--from", "2026-03-09", "--to", "2026-03-15"),
        ("--period", "30d", "--previous"),
    ):  # fmt: skip
        assert not [fact for fact in facts(*without) if "before" in fact], without


def test_every_colour_of_a_picture_is_named_in_full(tmp_path: Path) -> None:
    """Beside the picture, as text that breaks its lines where the screen ends: in the picture long names were cut."""
    shell = Shell(tmp_path)
    people = [f"{name} of the Very Long Family Name" for name in ("Ada", "Bo", "Cy", "Di", "Ed")]

    def handled(number: int, name: str) -> Link:
        link = incident(number, timedelta(days=8, hours=number))
        return replace(link, history=tuple(replace(moment, author=name) for moment in link.history))

    # Whole weeks are counted, from the first that was recorded wholly.
    shell.fill(incident(99, timedelta(0)), *(handled(number, name) for number, name in enumerate(people)))
    root = parsed(made(shell, "--period", "2026-03"))
    (capacity,) = [one for one in root.iter("section") if one.get("class") == "capacity"]
    (figure,) = capacity.iter("figure")
    (key,) = [one for one in figure.iter("ul") if one.get("class") == "key"]
    assert people == sorted("".join(line.itertext()) for line in key)
    colours = [rect.get("class") for rect in key.iter() if rect.tag.endswith("rect")]
    bars = {group.get("class") for group in figure.iter() if "series serie-" in (group.get("class") or "")}
    assert len(people) == len(set(colours)) == len(bars)
    assert colours == [f"color-{place}" for place in range(len(people))]
    assert not [one for one in figure.iter() if "legend" in (one.get("class") or "")]


def test_hostile_words_stay_words(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    named = Decision(Urgency.HIGH, HOSTILE, "v", "rule", title=HOSTILE, service_id=HOSTILE)
    history = tuple(replace(moment, author=HOSTILE) for moment in incident(1, timedelta(0)).history)
    shell.fill(
        incident(1, timedelta(0), decision=named, history=history, incident_url="javascript:alert(1)"),
        incident(2, timedelta(hours=1), alert=Alert(AlertId("a2"), severity=HOSTILE), incident_url='https://x/"><b>'),
    )
    root = parsed(made(shell, "--period", "2026-03"))
    assert not names(root) & {"b"}
    assert 1 == len(list(root.iter("script")))
    assert ['https://x/"><b>'] == [link.get("href") for link in root.iter("a")]
    assert '<script>alert(1)</script> & "quoted"' in "".join(root.itertext())


def test_a_month_without_incidents_says_so(shell: Shell) -> None:
    root = parsed(made(shell, "--period", "2026-01"))
    said = "".join(root.itertext())
    assert "No incident was triggered in this period." in said
    assert "The record begins on 2026-03-02 09:00 UTC" in said
    assert "None in this period." in said
    assert not [element for element in root.iter() if element.tag.endswith("svg")], "an empty picture shows nothing"


def test_a_page_of_thousands_lists_the_newest_and_says_so(shell: Shell) -> None:
    answer = shell.json("report", "--period", "2026-W10")
    answer["incidents"] = answer["incidents"] * 100
    html = page(answer)
    assert "The newest 500 of 1,400" in html
    assert 500 == html.count('<th scope="row"><a href=')


def test_years_are_drawn_in_months_and_labels_do_not_touch(shell: Shell) -> None:
    """At seven pixels a sign, with at least one sign between two labels."""
    for words in (["--period", "2026-03"], ["--from", "2026-01-01", "--to", "2026-06-30"], ["--from", "2024-01-01"]):
        root = parsed(made(shell, *words))
        (days,) = [one for one in root.iter("section") if one.get("class") == "days"]
        axis = next(one for one in days.iter() if (one.get("class") or "").startswith("axis x"))
        labels = [(float(one.get("x", 0)), one.text or "") for one in axis.iter() if one.tag.endswith("text")]
        shown = sorted(label for label in labels if label[1])
        assert len(shown) > 2
        for (left, one), (right, other) in pairwise(shown):
            assert right - left >= 7 * (len(one) + len(other)) / 2


def test_neither_web_nor_worker_carries_what_draws() -> None:
    rooms = "app.cli, app.bootstrap, app.bootstrap.container, app.process.worker"
    code = f"import {rooms}, sys; print('pygal' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
                            cwd=Path(__file__).parents[2])  # fmt: skip
    assert "False" == answer.stdout.strip()


# ------------------------------------------------------------------------------------------ beside PagerDuty


@pytest.fixture
def pagerduty(shell: Shell) -> Iterator[Sandbox]:
    """A simulated PagerDuty that the command can ask."""
    sandbox = Sandbox()
    server = make_server("127.0.0.1", 0, create_app(sandbox.world), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    shell.more = {"PAGERDUTY_API_URL": f"http://127.0.0.1:{server.server_port}", "PAGERDUTY_API_KEY": "key"}
    yield sandbox
    server.shutdown()
    thread.join()
    server.server_close()


def test_both_records_stand_beside_each_other(shell: Shell, pagerduty: Sandbox) -> None:
    pagerduty.clock.now = BEGIN.timestamp()
    for _ in range(3):
        pagerduty.incident()
    answer = shell.json("stats", "--period", "2026-W10", "--compare")["compared"]
    assert {"service_id": "PSANDBX", "number": "incidents", "bridge": 14, "pagerduty": 3, "difference": -11} in answer[
        "rows"
    ]
    text = shell.run("report", "--period", "2026-W10", "--compare").stdout
    assert re.search(r"PSANDBX +incidents +14 +3 +-11\n", text)
    assert "whoever opened it" in text


def test_a_comparison_that_cannot_be_had_ends_with_1_and_still_tells_ours(shell: Shell, pagerduty: Sandbox) -> None:
    shell.more["PAGERDUTY_API_KEY"] = "wrong"
    answer = shell.json("stats", "--period", "2026-W10", "--compare", code=1)
    assert (14, []) == (answer["total"], answer["compared"]["rows"])
    assert answer["compared"]["reason"]
    assert 1 == shell.run("report", "--period", "2026-W10", "--compare").exit_code


def test_a_comparison_needs_a_key_and_a_format_that_holds_it(shell: Shell) -> None:
    result = shell.run("stats", "--compare")
    assert (2, True) == (result.exit_code, "PAGERDUTY_API_KEY" in result.stderr)
    assert 2 == shell.run("report", "--compare", "--format", "html").exit_code


def test_a_format_is_asked_for_once(shell: Shell) -> None:
    refused = shell.run("report", "--period", "2026-W10", "--json", "--format", "csv")
    assert (2, "", "Choose one: --json or --format csv.") == (
        refused.exit_code, refused.stdout, refused.stderr.strip(),
    )  # fmt: skip
    both = shell.run("report", "--period", "2026-W10", "--json", "--format", "json")
    assert 14 == json.loads(both.stdout)["stats"]["total"]


def test_the_list_of_incidents_has_the_times_of_the_time_zone(shell: Shell) -> None:
    words = ("report", "--period", "2026-W10", "--tz", "Asia/Kolkata")
    text = shell.run(*words).stdout
    assert "Triggered (Asia/Kolkata)" in text
    assert "Triggered (UTC)" not in text
    first = next(line for line in text.splitlines() if "#100 " in line)
    assert "2026-03-02 14:30" in first
    assert "Triggered (UTC)" in shell.run(*words[:-2]).stdout
    [row, *_] = csv.DictReader(io.StringIO(shell.run(*words, "--format", "csv").stdout))
    assert ["2026-03-02T14:30:00+05:30", "2026-03-02T14:35:00+05:30", "2026-03-02T14:50:00+05:30"] == [
        row[name] for name in ("triggered_at", "acknowledged_at", "resolved_at")
    ]
    assert "Triggered (Asia/Kolkata)" in shell.run(*words, "--format", "html", "-o", "-").stdout
    assert "2026-03-02T09:00:00+00:00" == json.loads(shell.run(*words, "--json").stdout)["incidents"][0]["triggered_at"]


def test_a_time_that_is_not_there_is_empty_in_every_time_zone(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.fill(incident(1, timedelta(), history=(HistoryEntry(BEGIN, "triggered", Side.PAGERDUTY),)))
    words = ("report", "--period", "2026-W10", "--tz", "Asia/Kolkata", "--format", "csv")
    [row] = csv.DictReader(io.StringIO(shell.run(*words).stdout))
    assert ("2026-03-02T14:30:00+05:30", "", "") == (row["triggered_at"], row["acknowledged_at"], row["resolved_at"])
