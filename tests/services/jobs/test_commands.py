"""Jobs, silences and drafts are asked for by commands, once each, and every human action leaves a line."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEventType, Command, CommandType, Way
from app.domain.model.types import Source
from app.domain.rules.rulebook import Origin, Rulebook, Silence
from app.ports.console import AuditEntry, AuditFilter
from app.ports.jobs import JobState, ReplayWanted
from app.services.jobs.commands import MAX_WAITING, JobCommands, JobOverview
from app.services.rules.rulebook import LiveStoredPart
from app.services.rules.stored import (
    MAX_DRAFT_BYTES,
    MAX_DRAFTS,
    RuleCommands,
    StoredRulesOverview,
    problem_of,
    silence_as_text,
    silence_from,
)
from app.store.database import connection
from app.store.jobs import StoredAudit, StoredJobs, encode_job
from app.store.rules_in_force import RulesInForce
from app.store.schema import jobs
from app.store.stored_rules import RulesInStore
from tests.fakes import START
from tests.rig import Rig
from tests.shapes import plain_of

DETAIL = encode_job(ReplayWanted((1,)))
SILENCE = Silence(
    "deploy", "severity == critical", "dana", "a release", START + timedelta(hours=2), origin=Origin.STORE
)


class Commanded(Rig):
    """A bridge whose commands leave lines in the audit log."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rules, self.woken = RulesInStore(), 0
        self.in_force = RulesInForce(plain_of(self.database.engine))
        jobs, rules = JobCommands(StoredJobs(), self._wake, self.clock), RuleCommands(self.rules, self.clock)
        commands = self.intake.execute_command
        types = (CommandType.START_JOB, CommandType.CANCEL_JOB)
        others = [one for one in CommandType if one.value.endswith(("silence", "draft"))]
        handlers = {**dict.fromkeys(types, jobs), **dict.fromkeys(others, rules)}
        object.__setattr__(commands, "handlers", handlers)
        object.__setattr__(commands, "audit", StoredAudit())
        self.jobs, self.stored = (
            JobOverview(self.database, StoredJobs()),
            StoredRulesOverview(self.database, self.rules),
        )

    def _wake(self) -> None:
        self.woken += 1

    def ask(self, command_type: CommandType, subject: str = "", detail: str = "", way: Way | None = Way.API) -> str:
        """The outcome, as the audit log has it."""
        self.say(Source.BRIDGE, Command(command_type, subject, "dana", detail, way))
        return self.acts()[0].outcome if way else ""

    def acts(self) -> list[AuditEntry]:
        with self.database.read() as tx:
            return list(StoredAudit().find(tx, AuditFilter()))


@pytest.fixture
def rig(tmp_path: Path) -> Commanded:
    return Commanded(tmp_path)


def test_a_job_is_queued_once_for_each_key(rig: Commanded):
    assert ["queued", "queued"] == [rig.ask(CommandType.START_JOB, "k1", DETAIL) for _ in range(2)]
    job = rig.jobs.of_key("k1")
    assert job is not None
    assert (ReplayWanted((1,)), "dana", "api", 2) == (job.wanted, job.asked_by, job.asked_way, rig.woken)


@pytest.mark.parametrize(("key", "detail"), [("", DETAIL), ("k\n1", DETAIL), ("k1", "nonsense"), ("k1", "report 7")])
def test_what_is_no_job_is_not_queued(rig: Commanded, key: str, detail: str):
    assert "invalid" == rig.ask(CommandType.START_JOB, key, detail)
    assert rig.jobs.job(1) is None


def test_so_many_jobs_wait_and_no_more(rig: Commanded):
    outcomes = [rig.ask(CommandType.START_JOB, f"k{number}", DETAIL) for number in range(MAX_WAITING + 1)]
    assert ["queued"] * MAX_WAITING + ["too_many"] == outcomes


def test_what_only_a_newer_version_can_run_takes_nobodys_place(rig: Commanded):
    newer = {"kind": "audit_export", "parameters": "{}", "asked_at": START, "asked_by": "eve", "state": "waiting"}
    with rig.database.begin() as tx:
        connection(tx).execute(sa.insert(jobs), [newer | {"key": f"n{number}"} for number in range(MAX_WAITING)])
    outcomes = [rig.ask(CommandType.START_JOB, f"k{number}", DETAIL) for number in range(MAX_WAITING + 1)]
    assert ["queued"] * MAX_WAITING + ["too_many"] == outcomes


def test_a_job_is_cancelled_once(rig: Commanded):
    rig.ask(CommandType.START_JOB, "k1", DETAIL)
    outcomes = [rig.ask(CommandType.CANCEL_JOB, number) for number in ("1", "1", "2", "many")]
    assert ["cancel_asked", "already_over", "no_such_job", "no_such_job"] == outcomes
    job = rig.jobs.job(1)
    assert job is not None
    assert job.state is JobState.CANCELLED


def test_when_the_end_of_a_run_was_wanted_is_said_by_the_clock_that_watches_the_run(rig: Commanded):
    rig.ask(CommandType.START_JOB, "k1", DETAIL)
    jobs, asked_at = JobCommands(StoredJobs(), clock=rig.clock), rig.clock() - timedelta(minutes=3)
    with rig.database.begin() as tx:
        StoredJobs().claim(tx, "run-1", rig.clock())
        jobs.execute(tx, Command(CommandType.CANCEL_JOB, "1", "dana"), asked_at)
    job = rig.jobs.job(1)
    assert job is not None
    assert rig.clock() == job.cancel_asked_at


def test_every_human_action_leaves_a_line_and_no_text(rig: Commanded):
    rig.ask(CommandType.RECONCILE, way=Way.CONSOLE)
    rig.ask(CommandType.THAW, "a1")
    rig.ask(CommandType.SILENCE, "deploy", silence_as_text(SILENCE), Way.LINK)
    rig.ask(CommandType.RECONCILE, way=None)
    acts = [(one.actor, one.way, one.action, one.subject_kind.value, one.subject, one.outcome) for one in rig.acts()]
    assert [
        ("dana", "link", "silence", "silence", "deploy", "silenced"),
        ("dana", "api", "thaw", "alert", "a1", "no_such_link"),
        ("dana", "console", "reconcile", "reconciliation", "", "asked"),
    ] == acts


# ------------------------------------------------------------------------------------------------------- silences


def test_a_silence_of_the_store_is_kept_changed_and_ended(rig: Commanded):
    assert "silenced" == rig.ask(CommandType.SILENCE, "deploy", silence_as_text(SILENCE))
    assert (SILENCE,) == rig.stored.silences()
    assert ["ended", "no_such_silence"] == [rig.ask(CommandType.END_SILENCE, "deploy") for _ in range(2)]
    assert () == rig.stored.silences()


@pytest.mark.parametrize(
    "changes",
    [
        {"match": "severity is critical"},
        {"match": ""},
        {"owner": 7},
        {"reason": None},
        {"until": (START - timedelta(seconds=1)).isoformat()},
        {"until": (START + timedelta(days=32)).isoformat()},
        {"until": "soon"},
        {"from": (START + timedelta(hours=3)).isoformat()},
        {"from": "yesterday"},
        {"reason": "x" * 1001},
    ],
)
def test_what_no_file_could_say_is_no_silence(rig: Commanded, changes: dict[str, object]):
    detail = json.dumps(json.loads(silence_as_text(SILENCE)) | changes)
    assert "invalid" == rig.ask(CommandType.SILENCE, "deploy", detail)
    assert () == rig.stored.silences()


def test_control_characters_stay_out_of_the_store(rig: Commanded):
    detail = json.dumps(json.loads(silence_as_text(SILENCE)) | {"reason": "a\x00b\ud800"})
    assert "silenced" == rig.ask(CommandType.SILENCE, "deploy", detail)
    assert "ab�" == rig.stored.silences()[0].reason


def test_a_silence_survives_its_way_through_the_inbox():
    began = Silence(**{**{name: getattr(SILENCE, name) for name in SILENCE.__slots__}, "starts": START})
    assert [SILENCE, began] == [silence_from("deploy", silence_as_text(one)) for one in (SILENCE, began)]
    assert "" == problem_of(SILENCE, START)


def test_a_silence_of_the_store_keeps_an_alert_quiet_and_the_decision_names_both(rig: Commanded):
    seconds = [0.0]
    live = LiveStoredPart(rig.in_force, lambda: seconds[0])
    in_file = Rulebook(version="abc")
    assert in_file is live(in_file)
    rig.ask(CommandType.SILENCE, "deploy", silence_as_text(SILENCE))
    assert in_file is live(in_file), "it is looked at once a second"
    seconds[0] += 1.0
    rig.rulebook.rulebook = both = live(in_file)
    assert (f"abc+{rig.in_force.mark()}", (SILENCE,)) == (both.version, both.silences)
    assert both is live(in_file)
    rig.alert(AlertEventType.CREATED)
    decision = rig.link().decision
    assert decision is not None
    assert ("silenced", "deploy", both.version) == (decision.reason, decision.rule, decision.version)


def test_while_the_store_is_away_the_last_silences_stay(rig: Commanded, tmp_path: Path):
    seconds = [0.0]
    rig.ask(CommandType.SILENCE, "deploy", silence_as_text(SILENCE))
    live = LiveStoredPart(rig.in_force, lambda: seconds[0])
    assert 1 == len(live(Rulebook()).silences)
    (tmp_path / "bridge.db").rename(tmp_path / "elsewhere.db")
    seconds[0] += 2
    assert 1 == len(live(Rulebook()).silences)


# --------------------------------------------------------------------------------------------------------- drafts


def test_a_draft_is_saved_asked_beside_the_rules_and_deleted(rig: Commanded):
    outcomes = [
        rig.ask(CommandType.SAVE_DRAFT, "calm", "rules: []\n"),
        rig.ask(CommandType.SHADOW_DRAFT, "calm"),
        rig.ask(CommandType.SHADOW_DRAFT, "none"),
    ]
    assert ["saved", "shadowed", "no_such_draft"] == outcomes
    (draft,), shadow = rig.stored.drafts()
    assert ("calm", "rules: []\n", "dana", "calm") == (draft.name, draft.text, draft.saved_by, shadow)
    assert "store:calm" == LiveStoredPart(rig.in_force)(Rulebook(shadow="file.yaml")).shadow
    outcomes = [rig.ask(CommandType.SHADOW_DRAFT), rig.ask(CommandType.SHADOW_DRAFT)]
    outcomes += [rig.ask(CommandType.DELETE_DRAFT, "calm") for _ in range(2)]
    assert ["ended", "not_shadowed", "deleted", "no_such_draft"] == outcomes


@pytest.mark.parametrize(
    ("name", "text"), [("", "a: b"), (" calm", "a: b"), ("calm", ""), ("calm", "x" * (MAX_DRAFT_BYTES + 1))]
)
def test_what_is_no_draft_is_not_kept(rig: Commanded, name: str, text: str):
    assert "invalid" == rig.ask(CommandType.SAVE_DRAFT, name, text)


def test_so_many_drafts_are_kept_and_no_more(rig: Commanded):
    outcomes = [rig.ask(CommandType.SAVE_DRAFT, f"d{number}", "a: b") for number in range(MAX_DRAFTS + 1)]
    assert ["saved"] * MAX_DRAFTS + ["too_many"] == outcomes
    assert "saved" == rig.ask(CommandType.SAVE_DRAFT, "d0", "a: c")
