"""The commands of operators on a real store: what they say, what they store, and how they end."""

import getpass
import json
import os
import pty
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.cli import output as tables
from app.domain.model.events import AlertEventType, IncidentEventType, Unreadable
from app.domain.model.types import LinkId, Side
from app.domain.sync.transitions import Outcome
from app.ports import TimelineEntry
from app.store.database import StoredKeyValues
from app.store.health import WORKER_SEEN
from app.ui.story import sentence
from tests.conftest import FakeClock
from tests.rig import Rig
from tests.services.rigs import DatedRig
from tests.services.sync.test_commands import dead_letters, frozen, with_a_delivery_that_waits
from tests.test_logs import configured
from tests.web.test_api import Said
from tests.web_fakes import FakeBridge

NO_WORKER = "no worker is running"


class Shell:
    """A shell on the machine of the store."""

    def __init__(self, rig: Rig, data_dir: Path) -> None:
        self.rig, self.data_dir = rig, data_dir

    def run(self, *words: str, stdin: str = "") -> Result:
        environment = {"BRIDGE_DATA_DIR": str(self.data_dir), "BRIDGE_CONFIG": str(self.data_dir / "none.yaml")}
        return CliRunner().invoke(main, list(words), input=stdin, env=environment)

    def json(self, *words: str, code: int = 0) -> Any:
        result = self.run(*words, "--json")
        assert code == result.exit_code, result.output
        return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands refuse variables of ours that they do not know; whoever runs the tests may have set some."""
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command configures the log of its process, which is ours here."""
    with configured("json", "WARNING"):
        yield


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A store where nothing happened yet, and no worker."""
    rig = DatedRig(tmp_path)
    rig.said = Said()
    return Shell(rig, tmp_path)


@pytest.fixture
def worker(shell: Shell) -> Iterator[None]:
    """A worker lives and takes in what is stored."""
    with shell.rig.database.begin() as tx:
        StoredKeyValues().put(tx, WORKER_SEEN, datetime.now(UTC).isoformat())
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            shell.rig.intake.take()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def unreadable(rig: Rig, count: int = 1) -> list[str]:
    """So many events nobody can read; the numbers of their letters."""
    for number in range(count):
        rig.say(Side.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
    return [str(row["id"]) for row in dead_letters(rig)][-count:]


# -------------------------------------------------------------------------------------------------- dead letters


def test_no_dead_letters_are_said_to_be_none(shell: Shell):
    assert (0, "No dead letters.\n") == (
        shell.run("dead-letters", "list").exit_code,
        shell.run("dead-letters", "list").output,
    )
    assert [] == shell.json("dead-letters", "list")


def test_dead_letters_are_listed_in_columns(shell: Shell):
    with_a_delivery_that_waits(shell.rig)
    unreadable(shell.rig)
    head, *rows = shell.run("dead-letters", "list").stdout.splitlines()
    assert ["ID", "AT", "KIND", "SIDE", "REASON", "ATTEMPTS", "ABOUT"] == head.split()
    at = head.index("REASON")
    reasons = [row[at : head.index("ATTEMPTS")].strip() for row in rows]
    assert ["bad_request (SetIncident acknowledged): Invalid Input Provided", "unknown_0"] == reasons
    assert ["Invalid Input Provided", ""] == [row["detail"] for row in shell.json("dead-letters", "list")]
    assert ["effect", "event"] == [row["kind"] for row in shell.json("dead-letters", "list")]


def test_a_dead_letter_is_shown_with_what_waits_behind_it(shell: Shell):
    number = with_a_delivery_that_waits(shell.rig)
    shown = dict(line.split(None, 1) for line in shell.run("dead-letters", "show", str(number)).stdout.splitlines())
    assert ("Invalid Input Provided", "SetIncident acknowledged") == (shown["detail"], shown["waits"])
    assert "SetIncident acknowledged" == shell.json("dead-letters", "show", str(number))["waits"]


def test_a_dead_letter_nobody_has_is_not_so(shell: Shell):
    for words in (["show", "9"], ["replay", "9"], ["discard", "9", "--yes"]):
        assert 1 == shell.run("dead-letters", *words).exit_code, words


@pytest.mark.parametrize(
    "words",
    [
        ["show", "x"],
        ["show", "0"],
        ["show", "9" * 30],
        ["replay"],
        ["replay", "1", "--all"],
        ["discard"],
        ["discard", "x"],
    ],
)
def test_wrong_use_ends_with_2(shell: Shell, words: Sequence[str]):
    assert 2 == shell.run("dead-letters", *words).exit_code


def test_without_a_worker_a_replay_is_stored_and_said_to_be(shell: Shell):
    number = with_a_delivery_that_waits(shell.rig)
    result = shell.run("dead-letters", "replay", str(number))
    assert 0 == result.exit_code
    assert NO_WORKER in result.stdout
    while shell.rig.intake.take():
        pass
    shell.rig.run()
    assert 1 == shell.rig.pagerduty.calls.count("put acknowledged")


@pytest.mark.usefixtures("worker")
def test_a_replay_tells_what_became_of_it(shell: Shell):
    number = str(with_a_delivery_that_waits(shell.rig))
    (answer,) = shell.json("dead-letters", "replay", number)
    assert (number, "done", "replayed") == (answer["subject"], answer["status"], answer["outcome"])
    assert "pending again" in shell.run("dead-letters", "replay", number).stdout
    assert getpass.getuser() == dead_letters(shell.rig, closed=True)[0]["closed_by"]


@pytest.mark.usefixtures("worker")
def test_an_event_that_stays_unreadable_is_not_so(shell: Shell):
    (number,) = unreadable(shell.rig)
    result = shell.run("dead-letters", "replay", number)
    assert 1 == result.exit_code
    assert "cannot read it either" in result.stdout


@pytest.mark.usefixtures("worker")
def test_all_are_replayed_at_once(shell: Shell):
    numbers = unreadable(shell.rig, 12)
    answer = shell.json("dead-letters", "replay", "--all", code=1)
    assert numbers == [one["subject"] for one in answer]
    assert {"still_unreadable"} == {one["outcome"] for one in answer}
    assert {1} == {row["attempts"] for row in dead_letters(shell.rig)}


@pytest.mark.usefixtures("worker")
def test_a_discard_asks_first(shell: Shell):
    number = str(with_a_delivery_that_waits(shell.rig))
    assert 1 == shell.run("dead-letters", "discard", number, stdin="n\n").exit_code
    assert 1 == shell.run("dead-letters", "discard", number).exit_code
    assert 1 == len(dead_letters(shell.rig))
    result = shell.run("dead-letters", "discard", number, stdin="y\n")
    assert 0 == result.exit_code
    assert "what waited behind it goes on" in result.stdout
    assert ["discarded"] == [row["outcome"] for row in shell.json("dead-letters", "list", "--closed")]


# -------------------------------------------------------------------------------------------------- links


def test_links_are_listed_and_shown(shell: Shell):
    frozen(shell.rig)
    shell.rig.alert(AlertEventType.CREATED, alert_id="a2")
    shell.rig.alert(AlertEventType.RESOLVED, alert_id="a2")
    listed = {
        words: [row["alert_id"] for row in shell.json("links", "list", *words)]
        for words in ((), ("--open",), ("--frozen",))
    }
    assert {(): ["a2", "a1"], ("--open",): ["a1"], ("--frozen",): ["a1"]} == listed
    assert "Q1" in shell.run("links", "list").stdout
    assert "deliveries.pagerduty.outstanding" in shell.run("links", "show", "a1").stdout
    assert 1 == shell.json("links", "show", "a1")["incident"]["number"]
    assert 1 == shell.run("links", "show", "nobody").exit_code


def test_a_list_of_links_that_is_cut_says_how_to_go_on(shell: Shell):
    for number in range(3):
        shell.rig.alert(AlertEventType.CREATED, alert_id=f"a{number}")
    cut = shell.run("links", "list", "--limit", "2", "--since", "2026-05-04")
    assert "a2" in cut.stdout
    after = re.search(r"--after (\d+)", cut.stderr)
    assert after
    assert ["a0"] == [row["alert_id"] for row in shell.json("links", "list", "--after", after[1])]
    assert [] == shell.json("links", "list", "--since", "2026-05-05")
    assert 2 == shell.run("links", "list", "--since", "yesterday").exit_code


def test_links_are_searched_for_by_ids_numbers_and_words_of_their_titles(shell: Shell):
    frozen(shell.rig)
    for alert_id in ("b1", "b2"):
        shell.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    found = {
        text: [row["alert_id"] for row in shell.json("links", "list", "--search", text)]
        for text in ("a1", "b", "#1", "CRITICAL alert", "nothing")
    }
    assert {"a1": ["a1"], "b": ["b2", "b1"], "#1": ["a1"], "CRITICAL alert": ["b2", "b1", "a1"], "nothing": []} == found
    assert ["a1"] == [row["alert_id"] for row in shell.json("links", "list", "--search", "alert", "--frozen")]
    cut = shell.run("links", "list", "--search", "b", "--limit", "1")
    assert "[critical] Alert: b2" in cut.stdout
    after = re.search(r"--after (\d+)", cut.stderr)
    assert after
    assert ["b1"] == [row["alert_id"] for row in shell.json("links", "list", "--search", "b", "--after", after[1])]


@pytest.mark.usefixtures("worker")
def test_a_thaw_is_reported_and_a_second_one_is_not_so(shell: Shell):
    frozen(shell.rig)
    assert ["thawed"] == [one["outcome"] for one in shell.json("links", "thaw", "a1")]
    assert ["not_frozen"] == [one["outcome"] for one in shell.json("links", "thaw", "a1", code=1)]
    assert 1 == shell.run("links", "thaw", "nobody").exit_code


# -------------------------------------------------------------------------------------------------- the rest


def test_the_timeline_is_reported_and_an_unknown_one_is_not_so(shell: Shell):
    frozen(shell.rig)
    assert "link.frozen" in shell.run("timeline", "a1", "-v").stdout
    assert "Only a resolve is carried until truthvouch links thaw." in shell.run("timeline", "a1").stdout
    assert shell.json("timeline", "Q1") == shell.json("timeline", "a1")
    assert 1 == shell.run("timeline", "nobody").exit_code
    assert "truthvouch links list" in shell.run("timeline", "nobody").stderr


def test_the_timeline_names_the_incident_and_is_asked_for_by_its_number(shell: Shell):
    for alert_id in ("a1", "a2"):
        shell.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
        shell.rig.run()
    second = shell.run("timeline", "a2").stdout
    assert 1 == second.count("[incident #2, Q2]")
    assert 1 == shell.run("timeline", "a2", "-v").stdout.count("incident=Q2 (#2)")
    for named in ("Q2", "2", "#2"):
        assert second == shell.run("timeline", named).stdout
    assert {2} == {line["incident_number"] for line in shell.json("timeline", "2") if line["incident_id"]}
    assert 1 == shell.run("timeline", "22").exit_code
    shell.rig.alert(AlertEventType.CREATED, alert_id="2")
    assert "Q3" not in shell.run("timeline", "2").stdout  # an alert's own id comes first
    assert {"2"} == {line["alert_id"] for line in shell.json("timeline", "2")}


@pytest.mark.parametrize("named", ["2", "#2"])
def test_an_alert_that_is_called_like_an_incidents_number_hides_no_incident(shell: Shell, named: str):
    for alert_id in ("a1", "a2", named):
        shell.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
        shell.rig.run()
    answer = shell.run("timeline", named)
    assert f"Incident {named} is a different one: truthvouch timeline Q2" in answer.stderr
    assert {named} == {line["alert_id"] for line in shell.json("timeline", named)}
    for unmistakable in ("a1", "Q2", "1", "#1", "3"):
        assert "" == shell.run("timeline", unmistakable).stderr


def test_the_timeline_goes_by_the_time_that_is_reported(shell: Shell):
    shell.rig.alert(AlertEventType.CREATED)
    shell.rig.run()
    entries = [
        TimelineEntry(shell.rig.clock() - timedelta(hours=hours), f"late.{hours}", LinkId(1)) for hours in (1, 2)
    ]
    with shell.rig.database.begin() as tx:
        shell.rig.links.write_timeline(tx, entries)
    assert ["late.2", "late.1", "alert.created"] == [line["event"] for line in shell.json("timeline", "a1")][:3]
    assert "late.2" in shell.run("timeline", "a1").stdout.splitlines()[0]


def test_the_first_page_of_the_quickstart_is_what_is_printed(shell: Shell):
    shell.rig.alert(AlertEventType.CREATED)
    shell.rig.run()
    for event_type in (IncidentEventType.ACKNOWLEDGED, IncidentEventType.RESOLVED):
        shell.rig.clock.move(1)
        shell.rig.incident(event_type, author="Oncall Example")
        shell.rig.run()
    quickstart = Path("docs/quickstart.md").read_text("utf-8").partition("## 6.")[2].partition("## 7.")[0]
    sample = quickstart.split("```\n")[-2].splitlines()
    printed = {_shape(line) for line in shell.run("timeline", "a1").stdout.splitlines()}
    ours = {_shape(line) for line in sample if "Nothing new." not in line}
    assert 7 == len(ours)
    assert {line for line in ours if "annotated" not in line} <= printed
    assert any(line.endswith("[incident #1, Q44ZY4XD500002]") for line in sample)


def _shape(line: str) -> str:
    """A line of the time line without its instant, and without what names one incident."""
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ", line), line
    return re.sub(r" \[incident #1, \S+\]", "", line[22:])


def sentence_of(event: str, **facts: Any) -> str:
    return sentence({"event": event, "author": facts.pop("by", None), "facts": facts})


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_described(outcome: Outcome):
    said = sentence_of("incident.responder.added", outcome=outcome.value, status="open", by="Dana Example")
    assert said.startswith("PagerDuty: incident responder added by Dana Example.")
    assert outcome.value not in said.partition(".")[2] or outcome.value == "merged"
    assert not re.search(r"[=_{}]", said)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            {"reason": "rule", "rule": "Sure", "urgency": "low"},
            "An incident of low urgency is due, says the rule 'Sure'.",
        ),
        ({"reason": "suppressed", "rule": "Noise"}, "No incident, says the rule 'Noise'."),
        ({"reason": "silenced", "rule": "drill {x}"}, "No incident, says the silence 'drill {x}'."),
        ({"reason": "severity_none", "rule": "severity_map"}, "No incident, says the severity map."),
    ],
)
def test_why_there_is_an_incident_or_none_is_described(facts: dict[str, str], words: str):
    outcome = "opened" if facts["reason"] == "rule" else "no_incident_wanted"
    said = sentence_of("alert.created", outcome=outcome, status="open", rulebook="v1", **facts)
    assert f"TruthVouch: alert created. {words}" == said
    found = sentence_of(
        "alert.created", outcome=outcome, status="open", rulebook="v1", found_by="reconciliation", **facts
    )
    assert found.startswith("Found at TruthVouch: alert created.")


@pytest.mark.parametrize(
    ("event", "facts", "words"),
    [
        (
            "incident.reopened", {"side": "pagerduty", "outcome": "done"},
            "The bridge reopened the incident at PagerDuty.",
        ),
        ("alert.read", {"side": "truthvouch", "outcome": "done"}, "The bridge read the alert at TruthVouch."),
        (
            "delivery.dead", {"side": "pagerduty", "outcome": "dead", "reason": "bad_request"},
            "A call to PagerDuty was given up (bad_request): see truthvouch dead-letters list.",
        ),
        ("dead_letter.discarded", {"dead_letter": 7, "by": "ops"}, "Dead letter 7 was discarded. (ops)"),
        (
            "escalation.armed", {"level": 1, "of": 2, "due_at": "2026-03-02T09:15:00+00:00", "policy": "P1"},
            "Escalation is armed: level 1 of 2 at 2026-03-02 09:15:00Z.",
        ),
        ("escalation.stopped", {"level": 1, "of": 2, "because": "resolved"}, "Escalation has stopped: resolved."),
        (
            "rules.shadow_differs", {"change": "lost", "draft": {"urgency": "none", "rule": "r"}},
            "The draft decides otherwise (lost): none urgency by r.",
        ),
        ("a.new_kind", {"of": "thing", "by": "ops"}, "a.new_kind (ops) of=thing"),
    ],
)  # fmt: skip
def test_calls_and_the_rest_are_described(event: str, facts: dict[str, Any], words: str):
    assert words == sentence_of(event, **facts)


def test_the_timeline_shows_the_clock_that_is_asked_for(shell: Shell):
    shell.rig.alert(AlertEventType.CREATED)
    [utc, *_] = shell.run("timeline", "a1").stdout.splitlines()
    [there, *_] = shell.run("timeline", "a1", "--tz", "Asia/Kolkata").stdout.splitlines()
    instants = [datetime.fromisoformat(line.partition("  ")[0]) for line in (utc, there)]
    assert instants[0] == instants[1]
    assert ("Z", "+05:30") == (utc.partition("  ")[0][-1:], there.partition("  ")[0][-6:])
    assert 2 == shell.run("timeline", "a1", "--tz", "Mars/North").exit_code


WIDE = """
from app.cli import output as tables
tables.table(("alert", "says", "n"), [["alert-0001", "the dose was doubled " * 6, 3], ["a" * 90, None, 12]])
"""


@pytest.mark.parametrize("columns", [60, 80])
def test_a_table_fits_the_terminal_and_breaks_between_words(columns: int):
    ours, terminal = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "COLUMNS": str(columns)}
    subprocess.run([sys.executable, "-c", WIDE], stdout=terminal, env=environment, check=True, timeout=60)
    os.close(terminal)
    lines = os.read(ours, 100_000).decode().replace("\r", "").splitlines()
    os.close(ours)
    assert max(map(len, lines)) <= columns
    head = lines[0].index("SAYS"), lines[0].index("N", lines[0].index("SAYS") + 4)
    said = [line[head[0] : head[1] - 1].split() for line in lines[1:]]
    assert ["the", "dose", "was", "doubled"] * 6 == [word for words in said for word in words if word != "-"]
    assert "a" * 90 == "".join(word for line in lines[1:] if (word := line[: head[0]].strip()).startswith("aa"))


def test_a_table_that_nobody_looks_at_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]):
    tables.table(("what", "n"), [["the dose was doubled " * 9, 3], ["b", 12], ["c", None]])
    answer = capsys.readouterr().out.splitlines()
    assert 4 == len(answer)
    assert [" N", " 3", "12", " -"] == [line[-2:] for line in answer]


def test_what_came_from_outside_cannot_steer_a_terminal(shell: Shell):
    shell.rig.alert(AlertEventType.CREATED, alert_id="a\x1b[2J\nb")
    for words in (["links", "list"], ["timeline", "a\x1b[2J\nb"], ["links", "thaw", "a\x1b[2J\nb"]):
        stdout = shell.run(*words).stdout
        assert stdout
        assert "\x1b" not in stdout
        assert "\nb" not in stdout


@pytest.mark.parametrize("command", ["app.cli", "flask --app wsgi"])
def test_a_terminal_of_few_dead_letters_gets_all_rows(shell: Shell, command: str):
    for alert_id in ("frage-ß", "سؤال", "last"):
        shell.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    environment = {"PATH": os.environ["PATH"], "BRIDGE_DATA_DIR": str(shell.data_dir), "PYTHONIOENCODING": "latin-1"}
    words = [sys.executable, "-m", *command.split(), "links", "list"]
    answer = subprocess.run(words, env=environment, capture_output=True, timeout=60)
    assert (0, b"") == (answer.returncode, answer.stderr)
    found = answer.stdout.decode("latin-1")
    assert all(alert_id in found for alert_id in ("frage-ß", "\\u0633\\u0624\\u0627\\u0644", "last"))


def test_the_version_is_that_of_the_project():
    answer = CliRunner().invoke(main, ["--version"])
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    assert (0, f"truthvouch, version {project['version']}\n") == (answer.exit_code, answer.stdout)


def groups(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    """How each group of commands is called."""
    if isinstance(command, click.Group):
        yield words
        for name, inner in command.commands.items():
            yield from groups(inner, *words, name)


@pytest.mark.parametrize("words", list(groups(main)), ids=lambda words: " ".join(words) or "truthvouch")
def test_a_list_of_commands_says_the_whole_of_each_on_a_narrow_terminal(words: tuple[str, ...]):
    answer = CliRunner().invoke(main, [*words, "--help"], terminal_width=80).stdout.partition("Commands:\n")[2]
    assert answer
    assert [] == [line for line in answer.splitlines() if line.endswith("...") or len(line) > 80]


def test_what_is_missing_can_be_read_by_a_machine(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("pagerduty: {api_key: some-key}\nrules: [{name: r, trigger: 'true', action: {type: suppress}}]\n")
    file.chmod(0o644)
    answer = CliRunner().invoke(main, ["config", "check", "--json"], env={"BRIDGE_CONFIG": str(file)})
    found = json.loads(answer.stdout)
    assert (1, 1, str(file)) == (answer.exit_code, found["rules"], found["file"])
    assert ["TRUTHVOUCH_WEBHOOK_SECRETS"] == [words.partition(":")[0] for words in found["missing"]][:1]
    assert "0644" in found["exposed"]
    assert set(found) == {"missing", "degraded", "misspelt", "exposed", "file", "rules", "version"}


@pytest.mark.parametrize("words", [["dead-letters", "list"], ["links", "thaw", "a1"], ["timeline", "a1"]])
def test_without_a_store_it_is_wrong_use(tmp_path: Path, words: Sequence[str]):
    result = CliRunner().invoke(main, list(words), env={"BRIDGE_DATA_DIR": str(tmp_path / "none")})
    assert 2 == result.exit_code
    assert "Has the bridge been started" in result.stderr
    assert f"BRIDGE_DATA_DIR, which is {tmp_path / 'none'}?" in result.stderr
    assert not (tmp_path / "none").exists()


def test_where_the_store_was_looked_for_is_reported_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(main, ["links", "list"], env={"BRIDGE_CONFIG": "none.yaml"}).stderr
    assert f"there is no bridge.db in {tmp_path / 'data'}\n" in said
    url = {"DATABASE_URL": "postgresql://somebody:hush@127.0.0.1:9/nothing", "BRIDGE_CONFIG": "none.yaml"}
    said = CliRunner().invoke(main, ["links", "list"], env=url).stderr
    assert "DATABASE_URL, which is set" in said
    assert "BRIDGE_DATA_DIR" not in said
    assert "hush" not in said


def test_the_same_commands_hang_on_flask(clock: FakeClock):
    app = FakeBridge(clock).app()
    with app.app_context():
        context = click.Context(app.cli)
        assert set(main.commands) <= set(app.cli.list_commands(context))
        assert main.commands["dead-letters"] is app.cli.get_command(context, "dead-letters")
        assert None is app.cli.get_command(context, "no-such-command")


def test_a_web_process_loads_none_of_the_commands(tmp_path: Path):
    code = "import sys, wsgi; print([name for name in sys.modules if name.startswith('app.cli')])"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"BRIDGE_DATA_DIR": str(tmp_path), "BRIDGE_CONFIG": str(tmp_path / "none.yaml")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "[]" == answer.stdout.strip()
