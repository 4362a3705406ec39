"""``truthvouch rules`` and ``truthvouch silences`` on a real store and real files."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from app.cli import main
from app.config import bridge_yaml as configfile
from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import Alert, AlertId, Side
from app.domain.rules.rulebook import Silence
from app.ports import SHADOW_DIFFERS, Tx
from app.ports.rules import StoredDraft
from app.ports.store import TimelineEntry
from app.store.links import StoredLinks
from app.store.stored_rules import RulesInStore
from tests.rig import Rig
from tests.test_logs import configured

LIVE = """\
# what wakes whom
rules:
  - name: Known noise
    trigger: category == "Paraphrase"
    action: {type: suppress}
  - name: Surely false   # the one that matters
    trigger: confidence < 0.5
    action: {type: create_incident, urgency: high, service_id: PA, hold_resolve_minutes: 5}
"""
DRAFT = """\
rules:
  - name: Surely false
    trigger: confidence < 0.2
    action: {type: create_incident, urgency: low, service_id: PA}
  - name: Middling
    trigger: confidence < 0.5
    action: {type: suppress}
"""


class Shell:
    """A shell beside a store and a ``bridge.yaml``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "bridge.yaml"
        self.config.write_text(LIVE)
        (folder / "draft.yaml").write_text(DRAFT)
        self.rig: Rig | None = None

    def with_alerts(self) -> Rig:
        """A store with ten alerts of today: two noisy, four surely false, four that go by the severity map."""
        self.rig = rig = Rig(self.folder / "data")
        rig.clock.now = datetime.now(UTC) - timedelta(hours=1)
        rig.rulebook.rulebook = configfile.load(self.config)
        for number in range(10):
            answer: dict[str, Any] = {"severity": "medium"}
            if number < 2:
                answer |= {"category": "Paraphrase"}
            elif number < 6:
                answer |= {"confidence": 0.1 if number < 4 else 0.4, "extra": {"scan_ms": number}}
            event = AlertEvent(
                AlertEventType.CREATED, Alert(AlertId(f"a{number}"), **answer), "alert.created", rig.clock()
            )
            rig.say(Side.TRUTHVOUCH, event)
        rig.run()
        return rig

    def run(self, *words: str, stdin: str = "", **environment: str) -> Result:
        ours = {"BRIDGE_DATA_DIR": str(self.folder / "data"), "BRIDGE_CONFIG": str(self.config)}
        return CliRunner().invoke(main, list(words), input=stdin, env=ours | environment)

    def json(self, *words: str, code: int = 0, stdin: str = "", **environment: str) -> Any:
        result = self.run(*words, "--json", stdin=stdin, **environment)
        assert code == result.exit_code, result.output
        return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    with configured("json", "WARNING"):
        yield


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


# --------------------------------------------------------------------------------------------------------- list


def test_the_rules_are_listed_in_order_with_what_they_did(shell: Shell):
    shell.with_alerts()
    answer = shell.json("rules", "list")
    assert [("Known noise", 2, 0), ("Surely false", 4, 4)] == [
        (rule["name"], rule["matched"], rule["paged"]) for rule in answer["rules"]
    ]
    assert (5, 0) == (answer["rules"][1]["hold_resolve_minutes"], answer["rules"][1]["flaps"])
    assert 4 == answer["severity_map_counts"]["matched"]
    lines = shell.run("rules", "list").stdout.splitlines()
    assert ["1", "Known", "noise"] == lines[1].split()[:3]
    assert "5 min" in lines[2]
    assert any(line.startswith("Severity map") for line in lines)


def test_flaps_are_counted_for_the_rule(shell: Shell):
    rig = shell.with_alerts()
    rig.clock.move(5)
    rig.alert(AlertEventType.RESOLVED, alert_id="a3")
    rig.clock.move(5)
    rig.alert(AlertEventType.REOPENED, alert_id="a3")
    assert 1 == shell.json("rules", "list")["rules"][1]["flaps"]


def test_the_rules_are_listed_where_there_is_no_store(shell: Shell):
    assert [None, None] == [rule["matched"] for rule in shell.json("rules", "list")["rules"]]
    assert 0 == shell.run("rules", "list").exit_code


def test_a_rule_that_was_taken_out_still_shows_what_it_did(shell: Shell):
    shell.with_alerts()
    shell.config.write_text("rules: []\n")
    answer = shell.json("rules", "list")
    assert {"Known noise": 2, "Surely false": 4} == {
        name: hit["matched"] for name, hit in answer["not_in_the_file"].items()
    }
    assert "No rules" in shell.run("rules", "list").stdout


# -------------------------------------------------------------------------------------------------------- check


def test_a_file_without_a_fault_is_fine(shell: Shell):
    result = shell.run("rules", "check", PAGERDUTY_API_KEY="key")
    assert (0, f"0 faults in {shell.config}.\n") == (result.exit_code, result.stdout)


def test_every_fault_is_named_at_once_with_its_line(shell: Shell):
    shell.with_alerts()
    shell.config.write_text(
        "rules:\n"
        "  - {name: one, trigger: 'confidence < 0.5', action: {type: create_incident}}\n"
        "  - {name: two, trigger: 'confidence < 0.3', action: {type: suppress}}\n"
        "  - {name: three, trigger: 'severity <', action: {type: suppress}}\n"
        "  - {name: four, trigger: 'scan_mss > 5', action: {type: suppress}}\n"
        "  - {name: five, trigger: 'scan_ms > 5', action: {type: supress}}\n"
        "shadow: nowhere.yaml\n"
    )
    answer = shell.json("rules", "check", code=1)
    assert [
        (3, "rules[1].trigger", "never matches: the rule 'one' before it takes every alert it asks for"),
        (4, "rules[2].trigger", "the trigger ends too early (at character 11)"),
        (5, "rules[3].trigger", "names scan_mss, a field no alert is known to have"),
        (6, "rules[4].action.type", "is 'supress'"),
        (7, "shadow", "the draft nowhere.yaml is not asked: the file is missing or empty"),
    ] == [(fault["line"], fault["path"], fault["problem"]) for fault in answer["faults"]]
    result = shell.run("rules", "check")
    assert (1, "5 faults") == (result.exit_code, result.stdout.splitlines()[-1][:8])


def test_what_nearly_is_a_known_word_is_reported_without_any_alert_and_the_rest_is_not_checked_twice(shell: Shell):
    shell.config.write_text(
        "severity_map: {critcal: high}\n"
        "rules:\n  - {name: a, trigger: 'confidnce < 0.5 and flux > 5', action: {type: suppress}}\n"
    )
    near = [(1, "severity_map", "did you mean critical?"), (3, "rules[0].trigger", "did you mean confidence?")]
    answer = shell.json("rules", "check", code=1)["faults"]
    assert near == [(fault["line"], fault["path"], fault["remedy"]) for fault in answer]
    shell.with_alerts()
    answer = shell.json("rules", "check", code=1)["faults"]
    assert [*near, (3, "rules[0].trigger", "see how it is spelt")] == [
        (fault["line"], fault["path"], fault["remedy"]) for fault in answer
    ]


def test_the_check_of_the_configuration_names_what_is_misspelt(shell: Shell):
    keys = dict.fromkeys(("TRUTHVOUCH_API_KEY", "PAGERDUTY_API_KEY", "PAGERDUTY_SERVICE_ID"), "k")
    keys |= dict.fromkeys(("TRUTHVOUCH_WEBHOOK_SECRETS", "PAGERDUTY_WEBHOOK_SECRETS"), "s")
    keys |= {"PAGERDUTY_FROM_EMAIL": "bridge@example.com"}
    assert 0 == shell.run("config", "check", **keys).exit_code
    shell.config.write_text("rules:\n  - {name: a, trigger: 'scan_mss > 5', action: {type: suppress}}\n")
    assert 0 == shell.run("config", "check", **keys).exit_code
    shell.with_alerts()
    result = shell.run("config", "check", **keys)
    assert 1 == result.exit_code
    said = (
        "misspelt  rules[0].trigger, line 2: names scan_mss, a field no alert is known to have; did you mean scan_ms?"
    )
    assert said in result.output.splitlines()


def test_a_silence_with_a_misspelt_word_is_named_and_kept_only_if_somebody_says_so(shell: Shell):
    add = ("silences", "add", "--match", 'modle == "x"', "--for", "1h", "--reason", "drill")
    before = shell.config.read_text()
    asked = shell.run(*add, stdin="n\n")
    assert 1 == asked.exit_code
    assert "did you mean model?" in asked.stderr
    refused = shell.run(*add, "--json")
    assert (2, before) == (refused.exit_code, shell.config.read_text())
    kept = shell.run(*add, "--yes")
    assert 0 == kept.exit_code
    assert "did you mean model?" in kept.stderr
    assert "modle" in shell.config.read_text()


def test_a_misspelt_severity_of_the_file_makes_none_in_a_silence_right(shell: Shell):
    shell.config.write_text("severity_map: {critcal: high, severe: high}\n")
    add = ("silences", "add", "--for", "1h", "--reason", "drill", "--match")
    asked = shell.run(*add, "severity == critcal", stdin="n\n")
    assert (1, True) == (asked.exit_code, "did you mean critical?" in asked.stderr)
    assert 0 == shell.run(*add, "severity == severe").exit_code


def test_without_alerts_no_field_is_called_unknown(shell: Shell):
    shell.config.write_text("rules:\n  - {name: a, trigger: 'scan_mss > 5', action: {type: suppress}}\n")
    assert [] == shell.json("rules", "check")["faults"]
    assert "were not checked" in shell.run("rules", "check").stderr


def test_a_service_without_an_integration_key_is_a_fault_only_by_event(shell: Shell):
    keys: dict[str, Any] = {"PAGERDUTY_INTEGRATION_KEY": "main-key", "PAGERDUTY_INTEGRATION_KEY_PB": "key-of-b"}
    shell.config.write_text(
        "pagerduty: {via: events, service_id: PMAIN}\n"
        "rules:\n"
        "  - {name: a, trigger: 'confidence < 0.5', action: {type: create_incident, service_id: PA}}\n"
        "  - {name: b, trigger: 'severity == high', action: {type: create_incident, service_id: PB}}\n"
        "  - {name: c, trigger: 'severity == low', action: {type: create_incident, service_id: PMAIN}}\n"
    )
    [fault] = shell.json("rules", "check", code=1, **keys)["faults"]
    assert (3, "rules[0].action.service_id") == (fault["line"], fault["path"])
    assert "main-key" not in str(fault)
    assert [] == shell.json("rules", "check", **keys, PAGERDUTY_INTEGRATION_KEY_PA="key-of-a")["faults"]
    shell.config.write_text(shell.config.read_text().replace("via: events", "via: rest"))
    assert [] == shell.json("rules", "check", **keys)["faults"]


def test_a_broken_draft_is_a_fault_and_another_file_can_be_named(shell: Shell):
    other = shell.folder / "other.yaml"
    other.write_text("shadow: draft.yaml\n")
    assert [] == shell.json("rules", "check", str(other))["faults"]
    (shell.folder / "draft.yaml").write_text("rules: [{name: x}]\n")
    assert {"shadow"} == {fault["path"] for fault in shell.json("rules", "check", str(other), code=1)["faults"]}


def test_a_file_that_is_not_there_cannot_be_checked(shell: Shell):
    assert 2 == shell.run("rules", "check", str(shell.folder / "none.yaml")).exit_code


# ------------------------------------------------------------------------------------------------------ explain

NESTED = {"id": "evt_1", "type": "alert.created", "data": {"alertId": "x1", "severity": "high", "confidence": 0.3}}
FLAT = {"event_type": "alert.detected", "alert_id": "x1", "severity": "high", "confidence": 0.3}
BARE = {"id": "x1", "severity": "high", "type": "hallucination", "confidence": 0.3}


@pytest.mark.parametrize("body", [NESTED, FLAT, BARE])
@pytest.mark.parametrize("how", ["file", "stdin"])
def test_an_alert_is_explained_whatever_it_is_written_as(shell: Shell, body: dict[str, Any], how: str):
    file = shell.folder / "alert.json"
    file.write_text(json.dumps(body))
    named, stdin = (str(file), "") if how == "file" else ("-", json.dumps(body))
    answer = shell.json("rules", "explain", named, stdin=stdin)
    assert "x1" == answer["alert_id"]
    assert [("Known noise", False), ("Surely false", True)] == [
        (one["name"], one["matched"]) for one in answer["tried"]
    ]
    assert {"urgency": "high", "service_id": "PA", "rule": "Surely false"}.items() <= answer["decision"].items()
    assert "confidence" in answer["incident"]["details"]


def test_an_explanation_shows_what_pagerduty_would_see_and_nothing_else(shell: Shell):
    private = {"query": "what is my salary, please", "user_email": "dana@example.com"}
    body = FLAT | private | {"message": "dana@example.com asked"}
    result = shell.run("rules", "explain", "-", stdin=json.dumps(body))
    assert 0 == result.exit_code
    assert "salary" not in result.output
    assert "dana@example.com" not in result.output
    assert "[person] asked" in result.output
    assert "An incident of high urgency on service PA" in result.output
    assert "held back for 5 minutes" in result.output


def test_an_alert_of_the_store_is_explained_with_what_was_decided_then(shell: Shell):
    shell.with_alerts()
    answer = shell.json("rules", "explain", "a4", "--config", str(shell.folder / "draft.yaml"))
    assert ("Middling", "suppressed") == (answer["decision"]["rule"], answer["decision"]["reason"])
    assert ("Surely false", "high") == (answer["recorded"]["rule"], answer["recorded"]["urgency"])
    assert (
        "otherwise than now" in shell.run("rules", "explain", "a4", "--config", str(shell.folder / "draft.yaml")).output
    )


def test_what_cannot_be_explained_is_said(shell: Shell):
    shell.with_alerts()
    assert [1, 1] == [shell.run("rules", "explain", unknown).exit_code for unknown in ("a99", "a" * 5_000)]
    assert 2 == shell.run("rules", "explain", str(shell.folder / "none.json")).exit_code
    assert 2 == shell.run("rules", "explain", "-", stdin="{").exit_code
    assert 2 == shell.run("rules", "explain", "-", stdin='{"type": "webhook.ping"}').exit_code
    assert "Standard input is no JSON." == shell.run("rules", "explain", "-", stdin="{").stderr.strip()
    big = shell.run("rules", "explain", "-", stdin="{" * (1024 * 1024 + 1))
    assert (2, "Standard input is larger than 1 MiB.") == (big.exit_code, big.stderr.strip())


# ----------------------------------------------------------------------------------------------------- backtest


@pytest.mark.parametrize("command", ["backtest", "check"])
def test_a_file_may_be_named_with_and_without_an_option(shell: Shell, command: str):
    shell.with_alerts()
    draft = str(shell.folder / "draft.yaml")
    answer = [shell.run("rules", command, *named).stdout for named in ([draft], ["--config", draft])]
    plain, optional = (re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", "then", one) for one in answer)
    assert plain == optional
    assert "draft.yaml" in plain
    twice = shell.run("rules", command, draft, "--config", draft)
    assert (2, "Name one file: FILE or --config FILE.\n") == (twice.exit_code, twice.stderr)


def test_a_draft_is_run_over_the_stored_alerts(shell: Shell):
    shell.with_alerts()
    answer = shell.json("rules", "backtest", "--config", str(shell.folder / "draft.yaml"))
    assert (10, {"live": 4, "draft": 2}) == (answer["alerts"], answer["pages"])
    counts = {kind: group["count"] for kind, group in answer["differences"].items()}
    assert {"gained": 0, "lost": 2, "moved": 2} == counts
    assert ["a4", "a5"] == answer["differences"]["lost"]["examples"]
    assert {"urgency": 2} == answer["moved_in"]
    assert (0, 0, 2) == (answer["noise_saved"]["count"], answer["cost"]["count"], answer["still_open"])
    out = shell.run("rules", "backtest", "--config", str(shell.folder / "draft.yaml"), "--since", "2d").stdout
    assert "Pages: 4 with the rules in force, 2 with the draft (-2)." in out
    assert ["noise saved   0", "cost          0", "still open    2  (nobody can tell yet)"] == [
        line.strip()
        for line in out.splitlines()
        if line.startswith("  ") and line[2:8] in ("noise ", "cost  ", "still ")
    ]


def test_a_backtest_without_a_draft_takes_the_one_beside_the_rules(shell: Shell):
    shell.with_alerts()
    assert 0 == shell.json("rules", "backtest")["differences"]["lost"]["count"]
    shell.config.write_text(LIVE + "shadow: draft.yaml\n")
    answer = shell.json("rules", "backtest")
    assert (2, "draft.yaml") == (answer["differences"]["lost"]["count"], Path(answer["draft"]["file"]).name)


@pytest.mark.parametrize("text", [None, ""])
def test_a_draft_that_is_not_there_is_no_draft(shell: Shell, text: str | None):
    shell.with_alerts()
    shell.config.write_text(LIVE + "shadow: gone.yaml\n")
    if text is not None:
        (shell.folder / "gone.yaml").write_text(text)
    refused = shell.run("rules", "backtest")
    assert (2, "") == (refused.exit_code, refused.stdout)
    assert f"The draft {shell.folder / 'gone.yaml'} (shadow:) cannot be tested: the file is missing or empty." in (
        refused.stderr
    )
    assert "--config" in refused.stderr


PLACE = "pagerduty: {service_id: PLIVE, escalation_policy_id: PPOLICY, via: events}\n"


def test_a_draft_that_says_nothing_of_pagerduty_has_what_is_in_force(shell: Shell):
    shell.config.write_text(PLACE + LIVE.replace(", service_id: PA", ""))
    shell.with_alerts()
    draft = shell.folder / "draft.yaml"
    draft.write_text(LIVE.replace(", service_id: PA", ""))
    assert 0 == shell.json("rules", "backtest", "--config", str(draft))["differences"]["moved"]["count"]
    said = shell.json("rules", "explain", "a3", "--config", str(draft))["decision"]
    assert ("PLIVE", "PPOLICY") == (said["service_id"], said["escalation_policy_id"])
    draft.write_text("pagerduty: {service_id: POTHER}\n" + LIVE.replace(", service_id: PA", ""))
    moved = shell.json("rules", "backtest", "--config", str(draft))
    assert {"service": 4, "policy": 4} == moved["moved_in"]


def test_a_draft_that_says_nothing_of_pagerduty_is_checked_against_what_is_in_force(shell: Shell):
    keys: dict[str, Any] = {"PAGERDUTY_INTEGRATION_KEY": "k" * 32}
    shell.config.write_text(PLACE.replace("PLIVE", "PA") + LIVE)
    assert [] == shell.json("rules", "check", str(shell.folder / "draft.yaml"), **keys)["faults"]
    shell.config.write_text(PLACE + LIVE)
    [fault] = shell.json("rules", "check", str(shell.folder / "draft.yaml"), code=1, **keys)["faults"]
    assert "for which there is no integration key" in fault["problem"]


def test_a_missing_draft_beside_the_rules_is_reported_in_words_alone(shell: Shell):
    shell.with_alerts()
    shell.config.write_text(LIVE + "shadow: gone.yaml\n")
    answer = shell.run("rules", "shadow", LOG_FORMAT="json")
    assert answer.output.startswith("The draft gone.yaml is not asked: the file is missing or empty\n")
    assert "shadow.refused" not in answer.output


def test_what_a_draft_says_otherwise_is_reported_fact_by_fact(shell: Shell):
    rig = shell.with_alerts()
    differs = {"change": "lost", "moved": [], "live": {"urgency": "high", "rule": "r"}, "draft": {"urgency": "none"}}
    with rig.database.begin() as tx:
        StoredLinks().write_timeline(tx, [TimelineEntry(rig.clock(), SHADOW_DIFFERS, alert_id="apart", facts=differs)])
    said = next(line for line in shell.run("timeline", "apart", "-v").stdout.splitlines() if SHADOW_DIFFERS in line)
    assert "The draft decides otherwise (lost): none urgency" in shell.run("timeline", "apart").stdout
    assert "change=lost moved=- live.urgency=high live.rule=r draft.urgency=none" in said


def test_drafts_and_reports_are_an_operators_own():
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().splitlines()
    assert {"/draft*.yaml", "/truthvouch-report-*"} <= set(ignored)


def test_a_period_is_kept_to(shell: Shell):
    shell.with_alerts()
    assert 0 == shell.json("rules", "backtest", "--until", "2d")["alerts"]
    assert 0 == shell.json("rules", "backtest", "--since", "10m")["alerts"]
    assert 2 == shell.run("rules", "backtest", "--since", "1d", "--until", "2d").exit_code
    assert 2 == shell.run("rules", "backtest", "--since", "yesterday").exit_code
    assert 2 == shell.run("rules", "backtest", BRIDGE_DATA_DIR=str(shell.folder / "nowhere")).exit_code


def test_where_the_rules_have_changed_since_is_said(shell: Shell):
    shell.with_alerts()
    shell.config.write_text(LIVE.replace("confidence < 0.5", "confidence < 0.3"))
    assert {"rulebook_changed": 2} == shell.json("rules", "backtest")["recorded_differs"]
    assert "say otherwise today" in shell.run("rules", "backtest").stdout


# ----------------------------------------------------------------------------------------------------- silences


def in_file(shell: Shell) -> list[str]:
    return [silence.name for silence in configfile.load(shell.config).silences]


ADD = ("silences", "add", "--match", 'category == "Paraphrase"', "--reason", "known")


def test_a_silence_is_added_with_comments_kept_and_ended(shell: Shell):
    shell.with_alerts()
    answer = shell.json(*ADD, "--for", "2h", "--owner", "dana", "--name", "deploy")
    assert ("dana", 2) == (answer["owner"], answer["would_have_silenced"])
    [silence] = configfile.load(shell.config).silences
    assert timedelta(hours=1, minutes=59) < silence.until - datetime.now(UTC) <= timedelta(hours=2)
    assert "# the one that matters" in shell.config.read_text()
    (listed,) = shell.json("silences", "list")
    assert ("deploy", {"name", "match", "owner", "reason", "from", "until", "standing", "origin", "up_to"}) == (
        listed["name"],
        set(listed),
    )
    assert ["deploy"] == [one["name"] for one in shell.json("rules", "list")["silences"]]
    assert "deploy" in shell.run("rules", "list").stdout
    ended = shell.json("silences", "end", "deploy")
    assert {"name": "deploy", "removed": True, "was_in_force": True} == ended
    assert [] == in_file(shell)
    assert 1 == shell.run("silences", "end", "deploy").exit_code
    assert "# the one that matters" in shell.config.read_text()


def test_what_it_would_have_silenced_is_reported(shell: Shell):
    shell.with_alerts()
    result = shell.run(*ADD, "--for", "2h")
    assert 0 == result.exit_code, result.output
    assert "It would have silenced 2 of the 10 alerts of the last 7 days." in result.stdout
    assert 1 == len(in_file(shell))


@pytest.mark.parametrize("match", ["true", "severity == medium"])
def test_silencing_everything_is_asked_first(shell: Shell, match: str):
    shell.with_alerts()
    words = ("silences", "add", "--match", match, "--for", "1h", "--reason", "drill")
    assert 1 == shell.run(*words, stdin="n\n").exit_code
    assert [] == in_file(shell)
    assert 2 == shell.run(*words, "--json").exit_code
    assert 0 == shell.run(*words, stdin="y\n").exit_code
    assert 0 == shell.run(*words, "--yes", "--name", "again").exit_code
    assert 2 == len(in_file(shell))


@pytest.mark.parametrize(
    "wrong",
    [
        ("--for", "32d"), ("--for", "0m"), ("--for", "soon"), ("--until", "2020-01-01"), (),
        ("--for", "1h", "--until", "2030-01-01"),
    ],
)  # fmt: skip
def test_a_silence_without_a_sensible_end_is_refused(shell: Shell, wrong: tuple[str, ...]):
    assert 2 == shell.run(*ADD, *wrong).exit_code


def test_who_says_until_for_a_length_of_time_is_reported_the_other_option(shell: Shell):
    assert "--for 2h" in shell.run(*ADD, "--until", "2h").stderr
    assert [] == in_file(shell)


def test_a_silence_that_asks_nothing_is_refused(shell: Shell):
    result = shell.run("silences", "add", "--match", "severity <", "--for", "1h", "--reason", "x")
    assert (2, True) == (result.exit_code, "ends too early" in result.output)
    assert 2 == shell.run("silences", "add", "--match", "true", "--for", "1h").exit_code  # no reason


def test_silences_that_are_over_are_listed_only_on_request(shell: Shell):
    over = "silences:\n  - {name: old, match: 'true', owner: d, reason: r, until: 2026-01-01T00:00:00Z}\n"
    shell.config.write_text(over)
    assert [] == shell.json("silences", "list")
    assert ["over"] == [one["standing"] for one in shell.json("silences", "list", "--all")]
    assert "No silences." in shell.run("silences", "list").stdout
    assert "old" in shell.run("silences", "list", "--all").stdout


@pytest.mark.parametrize("group", ["rules", "silences"])
def test_every_option_says_what_it_is_for(group: str):
    command: Any = main.commands[group]
    for name, one in command.commands.items():
        silent = [param.name for param in one.params if param.param_type_name == "option" and not param.help]
        assert [] == silent, name


# ------------------------------------------------------------------------------------------------------- the store


@contextmanager
def changing(shell: Shell) -> Iterator[tuple[RulesInStore, Tx]]:
    assert shell.rig is not None
    with shell.rig.database.begin() as tx:
        yield RulesInStore(), tx


def with_a_silence_in_the_store(shell: Shell) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    with changing(shell) as (rules, tx):
        rules.put_silence(tx, Silence("release", "true", "dana", "a release", until))


def test_silences_of_the_file_and_of_the_store_are_listed_with_their_origin(shell: Shell):
    shell.with_alerts()
    with_a_silence_in_the_store(shell)
    words = ("--match", "severity == low", "--for", "1h", "--reason", "drill", "--name", "deploy", "--owner", "li")
    shell.json("silences", "add", *words)
    listed = shell.json("silences", "list")
    assert [("deploy", "file"), ("release", "store")] == [(one["name"], one["origin"]) for one in listed]
    rules = shell.json("rules", "list")
    assert ["deploy", "release"] == [one["name"] for one in rules["silences"]]
    assert "+" in rules["version"]
    explained = shell.json("rules", "explain", "a9")
    assert ("silenced", "release") == (explained["decision"]["reason"], explained["decision"]["rule"])


def test_a_silence_for_the_store_is_asked_of_the_worker(shell: Shell):
    shell.with_alerts()
    before = shell.config.read_text()
    words = ("--match", "severity == low", "--for", "1h", "--reason", "drill", "--name", "deploy", "--owner", "li")
    answer = shell.json("silences", "add", *words, "--store")
    assert ("deploy", 0) == (answer["name"], answer["would_have_silenced"])
    assert before == shell.config.read_text()
    assert [] == shell.json("silences", "list"), "no worker runs here"


def test_what_a_command_does_to_the_file_is_in_the_audit_log(shell: Shell):
    shell.with_alerts()
    words = ("--match", "severity == low", "--for", "1h", "--reason", "drill", "--name", "deploy", "--owner", "li")
    shell.json("silences", "add", *words)
    shell.json("silences", "end", "deploy")
    acts = shell.json("audit", "list", "--subject", "deploy")
    assert [("end_silence", "ended"), ("silence", "silenced")] == [(one["action"], one["outcome"]) for one in acts]
    assert {("cli", "silence")} == {(one["way"], one["subject_kind"]) for one in acts}
    assert [] == shell.json("audit", "list", "--by", "nobody at all")


def test_drafts_of_the_store_are_listed_and_printed(shell: Shell):
    shell.with_alerts()
    at = datetime.now(UTC)
    with changing(shell) as (rules, tx):
        rules.put_draft(tx, StoredDraft("calm", DRAFT, "dana", at))
        rules.put_shadow(tx, "calm")
    (listed,) = shell.json("rules", "drafts", "list")
    assert ("calm", "dana", True) == (listed["name"], listed["saved_by"], listed["shadow"])
    assert DRAFT == shell.run("rules", "drafts", "show", "calm").stdout
    assert 1 == shell.run("rules", "drafts", "show", "none").exit_code
    assert ("store:calm", None) == tuple(shell.json("rules", "shadow")[name] for name in ("draft", "fault"))


def test_a_draft_is_read_before_it_is_saved(shell: Shell):
    shell.with_alerts()
    (shell.folder / "broken.yaml").write_text("rules: 7\n")
    assert 2 == shell.run("rules", "drafts", "save", "calm", str(shell.folder / "broken.yaml")).exit_code


def test_a_backtest_may_be_left_to_the_worker(shell: Shell):
    shell.with_alerts()
    answer = shell.json("rules", "backtest", str(shell.folder / "draft.yaml"), "--job")
    assert ("stored", None) == (answer["status"], answer["job_id"])
    (shell.folder / "broken.yaml").write_text("rules: 7\n")
    assert 2 == shell.run("rules", "backtest", str(shell.folder / "broken.yaml"), "--job").exit_code


def test_a_job_is_asked_of_the_worker(shell: Shell):
    shell.with_alerts()
    answer = shell.json("jobs", "start", "backtest", "--config", str(shell.folder / "draft.yaml"))
    assert ("stored", None) == (answer["status"], answer["job_id"])
    assert [] == shell.json("jobs", "list")
    assert 1 == shell.run("jobs", "show", "1").exit_code
    assert ["no_such_job"] == [one["outcome"] for one in shell.json("jobs", "cancel", "1", code=1)]
    assert 2 == shell.run("jobs", "start", "replay").exit_code
    assert 2 == shell.run("jobs", "start", "erase", "a1", "--json").exit_code, "--json asks nothing"
    assert "stored" == shell.json("jobs", "start", "erase", "a1", "--yes")["status"]
