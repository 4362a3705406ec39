"""Whoever asks is told what became of it, the same as often as they ask, and what is stored is never forgotten."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEventType, Command, CommandType, Reading, Unreadable, Way
from app.domain.model.types import Source
from app.domain.rules.rulebook import Silence
from app.ports import CommandHandler, Page, Row, StoreUnavailable
from app.ports.jobs import ReplayWanted
from app.services.escalation.target import CANCELLING, arming, hurrying
from app.services.jobs.commands import JobCommands
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview
from app.services.rules.stored import RuleCommands, silence_as_text
from app.store import inbox as internal_events
from app.store.command_status import StoredCommandStatus
from app.store.database import StoredKeyValues
from app.store.health import WORKER_SEEN
from app.store.inbox_postgres import PostgresInbox
from app.store.inbox_sqlite import SqliteInbox
from app.store.jobs import StoredJobs, encode_job
from app.store.link_search import StoredLinkSearch
from app.store.operator_records import StoredRecords
from app.store.schema import inbox
from app.store.stored_rules import RulesInStore
from tests.rig import Rig
from tests.services.rigs import DatedRig
from tests.services.sync.test_commands import (
    dead_letters,
    frozen,
    with_a_dead_acknowledge,
    with_a_dead_note,
    with_a_delivery_that_waits,
)
from tests.shapes import health_of
from tests.web_fakes import FakeWakeup

COMMAND_TIMEOUT = 2.0


@dataclass
class OperatorRig:
    """An operator's access to the rig's store. ``works``: what the worker does while somebody waits."""

    rig: Rig
    data_dir: Path
    works: bool = True
    url: str | None = None
    waited: float = 0.0
    wakeup: FakeWakeup = field(default_factory=FakeWakeup)

    def __post_init__(self) -> None:
        self.command_status = StoredCommandStatus(self.rig.database, self.rig._inbox)
        self.inbox = PostgresInbox(self.url) if self.url else SqliteInbox(self.data_dir / "inbox.db")
        records, database = StoredRecords(), self.rig.database
        self.overview = Overview(database, records, lambda: True, StoredLinkSearch())
        self.operate = Operate(
            self.inbox, self.wakeup, self.command_status, database, records, self._encode, COMMAND_TIMEOUT, "api",
            clock=self.rig.clock, monotonic=lambda: self.waited, pause=self.wait,
        )  # fmt: skip
        self.beat()

    def _encode(self, command: Command) -> bytes:
        body = internal_events.encode_command(command)
        self.rig.said[body] = internal_events.read(body, None)
        return body

    def beat(self, ago: float = 0.0) -> None:
        with self.rig.database.begin() as tx:
            StoredKeyValues().put(tx, WORKER_SEEN, (self.rig.clock() - timedelta(seconds=ago)).isoformat())

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        if self.works:
            self.rig.intake.take()
            self.rig.run()

    def stored(self) -> list[str]:
        """Delivery ids of internal events."""
        with self.rig._inbox.connect() as reader:
            query = sa.select(inbox.c.delivery_id).where(inbox.c.source == Source.BRIDGE.value)
            return list(reader.execute(query).scalars())


class OldWorker(dict[bytes, tuple[Reading, ...]]):
    """Reads no command: it is of a version that knows none."""

    def __getitem__(self, body: bytes) -> tuple[Reading, ...]:
        return (Unreadable("unknown_internal_event"),)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return DatedRig(tmp_path)


@pytest.fixture
def operator(rig: Rig, tmp_path: Path) -> Iterator[OperatorRig]:
    operator = OperatorRig(rig, tmp_path)
    yield operator
    operator.inbox.close()


# -------------------------------------------------------------------------------------------------- asking


def test_whoever_asks_is_reported_the_outcome(operator: OperatorRig) -> None:
    number = with_a_dead_acknowledge(operator.rig)
    operator.beat()
    answer = operator.operate(CommandType.REPLAY, str(number))
    assert ("replayed", True) == (answer.outcome, answer.alive)
    assert ["put acknowledged"] == operator.rig.pagerduty.calls
    assert 1 == operator.wakeup.notifications
    assert "api" == dead_letters(operator.rig, closed=True)[0]["closed_by"]


def test_a_closed_dead_letter_answers_its_outcome_and_stores_nothing(operator: OperatorRig) -> None:
    number = with_a_dead_acknowledge(operator.rig)
    operator.beat()
    operator.operate(CommandType.DISCARD, str(number))
    stored = operator.stored()
    for command_type in (CommandType.REPLAY, CommandType.DISCARD):
        assert ("discarded", "") == (
            operator.operate(command_type, str(number)).outcome, operator.operate(command_type, str(number)).key,
        )  # fmt: skip
    assert stored == operator.stored()


def test_the_same_key_is_the_same_command(operator: OperatorRig) -> None:
    number = str(with_a_dead_acknowledge(operator.rig))
    first, second = (
        operator.operate(CommandType.REPLAY, number, "k1"),
        operator.operate(CommandType.REPLAY, number, "k1"),
    )
    assert first == second
    assert "k1" == first.key
    assert 1 == len(operator.stored())


def test_one_key_of_two_people_or_with_other_words_is_another_command(operator: OperatorRig) -> None:
    operator.rig.alert(AlertEventType.CREATED)
    operator.rig.run()
    operator.beat()
    asked = [("ada", "Rolled back."), ("grace", "Rolled back."), ("ada", "Rolled forward."), ("ada", "Rolled back.")]
    for by, words in asked:
        answer = operator.operate.as_actor(by, Way.API)(CommandType.NOTE, "a1", "k1", words)
        assert ("noted", "k1") == (answer.outcome, answer.key)
    notes = [note.content.partition(" (ref")[0] for note in operator.rig.pagerduty.notes_on["Q1"]]
    assert [f"[TruthVouch] note by {by}: {words}" for by, words in asked[:3]] == notes


def test_the_same_key_does_not_read_an_event_twice(operator: OperatorRig) -> None:
    operator.rig.say(Source.TRUTHVOUCH, Unreadable("unknown_shape"))
    for _ in range(3):
        assert "still_unreadable" == operator.operate(CommandType.REPLAY, "1", "k1").outcome
    assert [1] == [row["attempts"] for row in dead_letters(operator.rig)]
    operator.operate(CommandType.REPLAY, "1", "k2")
    assert [2] == [row["attempts"] for row in dead_letters(operator.rig)]


def test_without_a_key_every_request_is_an_attempt_of_its_own(operator: OperatorRig) -> None:
    operator.rig.say(Source.TRUTHVOUCH, Unreadable("unknown_shape"))
    keys = {operator.operate(CommandType.REPLAY, "1").key for _ in range(3)}
    assert 3 == len(keys)
    assert [3] == [row["attempts"] for row in dead_letters(operator.rig)]


def test_one_key_for_different_things_is_different_commands(operator: OperatorRig) -> None:
    operator.works = False
    for command_type, subject in [(CommandType.RECONCILE, ""), (CommandType.REPLAY, "1"), (CommandType.DISCARD, "1")]:
        operator.rig.say(Source.TRUTHVOUCH, Unreadable("unknown_shape")) if not dead_letters(operator.rig) else None
        operator.operate(command_type, subject, "same")
    assert 3 == len(set(operator.stored()))


@pytest.mark.parametrize(
    ("command_type", "subject", "outcome"),
    [
        (CommandType.REPLAY, "999", "no_such_dead_letter"),
        (CommandType.DISCARD, "999", "no_such_dead_letter"),
        (CommandType.THAW, "nobody", "no_such_link"),
        (CommandType.THAW, "no\0body", "no_such_link"),
        (CommandType.THAW, "no\ud800body", "no_such_link"),
    ],
)
def test_what_does_not_exist_is_said_and_not_stored(
    operator: OperatorRig, command_type: CommandType, subject: str, outcome: str
) -> None:
    assert outcome == operator.operate(command_type, subject).outcome
    assert [] == operator.stored()
    assert 0 == operator.wakeup.notifications


def test_a_thaw_is_reported_and_told_again_under_its_key(operator: OperatorRig) -> None:
    frozen(operator.rig)
    operator.beat()
    assert ["thawed", "thawed"] == [operator.operate(CommandType.THAW, "a1", "k1").outcome for _ in range(2)]
    assert "not_frozen" == operator.operate(CommandType.THAW, "a1").outcome
    assert 1 == len(operator.stored())


def test_a_reconciliation_is_asked_for(operator: OperatorRig) -> None:
    assert "asked" == operator.operate(CommandType.RECONCILE).outcome
    assert 1 == operator.rig.reconciliations


# -------------------------------------------------------------------------------------------------- waiting


def test_an_escalation_is_armed_and_cancelled(operator: OperatorRig) -> None:
    assert "armed" == operator.operate(CommandType.ESCALATE, "Q1", detail=arming("PMGMT", 15)).outcome
    assert "cancelled" == operator.operate(CommandType.ESCALATE, "Q1", detail=CANCELLING).outcome


@pytest.mark.parametrize("detail", [arming("PMGMT", 30), arming("POTHER", 15), CANCELLING])
def test_an_escalation_that_an_old_worker_parked_is_not_called_done(operator: OperatorRig, detail: str) -> None:
    operator.operate(CommandType.ESCALATE, "Q1", detail=arming("PMGMT", 15))
    operator.rig.said = OldWorker()
    result = operator.operate(CommandType.ESCALATE, "Q1", detail=detail)
    assert "not_taken" == result.outcome
    assert "End the old workers" in result.message


def test_nor_one_of_an_incident_that_had_none(operator: OperatorRig) -> None:
    operator.rig.said = OldWorker()
    assert "not_taken" == operator.operate(CommandType.ESCALATE, "Q1", detail=arming("PMGMT", 15)).outcome


def test_a_worker_that_is_busy_leaves_it_stored_and_done_later(operator: OperatorRig) -> None:
    number = with_a_dead_acknowledge(operator.rig)
    operator.beat()
    operator.works = False
    answer = operator.operate(CommandType.REPLAY, str(number), "k1")
    assert ("", True) == (answer.outcome, answer.alive)
    assert operator.waited == pytest.approx(COMMAND_TIMEOUT, abs=0.1)
    operator.works = True
    assert "replayed" == operator.operate(CommandType.REPLAY, str(number), "k1").outcome


@pytest.mark.parametrize("ago", [10.5, 86_400.0])
def test_nobody_waits_for_a_worker_that_is_not_there(operator: OperatorRig, ago: float) -> None:
    number = with_a_dead_acknowledge(operator.rig)
    operator.beat(ago)
    answer = operator.operate(CommandType.REPLAY, str(number))
    assert ("", False, 0.0) == (answer.outcome, answer.alive, operator.waited)
    assert "no worker is running" in answer.message
    assert 1 == len(operator.stored())


def test_of_many_all_are_stored_before_the_first_answer_and_notified_once(operator: OperatorRig) -> None:
    for number in range(40):
        operator.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
    answer = operator.operate.all(CommandType.DISCARD, [str(row["id"]) for row in dead_letters(operator.rig)])
    first = next(answer)
    assert 40 == len(operator.stored())
    assert ["discarded"] * 40 == [first.outcome, *(one.outcome for one in answer)]
    assert 1 == operator.wakeup.notifications
    assert [] == dead_letters(operator.rig)


def test_of_many_only_one_is_waited_for_in_vain(operator: OperatorRig) -> None:
    for number in range(5):
        operator.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
    operator.works = False
    answer = list(operator.operate.all(CommandType.DISCARD, [str(row["id"]) for row in dead_letters(operator.rig)]))
    assert [""] * 5 == [one.outcome for one in answer]
    assert operator.waited < COMMAND_TIMEOUT + 0.2


def test_a_wakeup_that_is_broken_costs_nothing_that_was_stored(operator: OperatorRig) -> None:
    operator.wakeup.broken = True
    assert "asked" == operator.operate(CommandType.RECONCILE).outcome


def test_a_store_that_cannot_be_written_is_no_quiet_success(operator: OperatorRig, tmp_path: Path) -> None:
    number = with_a_dead_acknowledge(operator.rig)
    operator.inbox.close()
    for file in tmp_path.glob("inbox.db*"):
        file.unlink()
    with pytest.raises(StoreUnavailable):
        operator.operate(CommandType.REPLAY, str(number))


# -------------------------------------------------------------------------------------------------- looking


def test_a_dead_letter_says_why_what_the_partner_answered_and_what_waits(operator: OperatorRig) -> None:
    number = with_a_delivery_that_waits(operator.rig)
    shown = operator.overview.dead_letter(number)
    assert shown is not None
    about = ("SetIncident acknowledged", "bad_request", "Invalid Input Provided", "a1", "Q1")
    assert (*about, "SetIncident acknowledged") == tuple(
        shown[name] for name in ("effect", "reason", "detail", "alert_id", "incident_id", "waits")
    )
    operator.beat()
    operator.operate(CommandType.DISCARD, str(number))
    closed = operator.overview.dead_letter(number)
    assert closed is not None
    assert ("discarded", None) == (closed["outcome"], closed["waits"])


def test_nothing_waits_behind_the_dead_letter_of_a_note(operator: OperatorRig) -> None:
    shown = operator.overview.dead_letter(with_a_dead_note(operator.rig))
    assert shown is not None
    assert ("AddNote", "bad_request", "Invalid Input Provided", None) == tuple(
        shown[name] for name in ("effect", "reason", "detail", "waits")
    )


def test_a_link_says_what_is_known_wanted_owed_and_held(operator: OperatorRig) -> None:
    with_a_delivery_that_waits(operator.rig)
    shown = operator.overview.link("a1")
    assert shown is not None
    assert ("acknowledged", "high", 1, "https://pd.test/1") == (
        shown["status"], shown["urgency"], shown["incident"]["number"], shown["incident"]["url"],
    )  # fmt: skip
    assert shown["decided"].endswith(": the severity map says so.")
    delivery = shown["deliveries"]["pagerduty"]
    assert ("bad_request", None, "SetIncident acknowledged") == (delivery["dead"], delivery["next"], delivery["waits"])


def test_what_people_wrote_is_not_shown(operator: OperatorRig) -> None:
    alert_id = "a1"
    operator.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    operator.rig.run()
    operator.rig.alert(AlertEventType.RESOLVED, reason="MARKER-REASON", text="MARKER-TEXT", author="MARKER-PERSON")
    shown = str(operator.overview.link(alert_id))
    assert "MARKER" not in shown
    assert "notes_pending" in shown


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ["a3", "a2", "a1"]),
        ({"is_open": True}, ["a2", "a1"]),
        ({"is_open": False}, ["a3"]),
        ({"frozen": True}, ["a1"]),
        ({"frozen": False}, ["a3", "a2"]),
        ({"is_open": True, "frozen": False}, ["a2"]),
    ],
)
def test_links_are_listed_by_what_they_are(operator: OperatorRig, asked: dict[str, Any], expected: list[str]) -> None:
    frozen(operator.rig)
    for alert_id in ("a2", "a3"):
        operator.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    operator.rig.alert(AlertEventType.RESOLVED, alert_id="a3")
    assert expected == [row["alert_id"] for row in operator.overview.links(Page(10), **asked)]


def test_lists_come_in_pieces_that_join_without_gap(operator: OperatorRig) -> None:
    for number in range(5):
        operator.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
        operator.rig.alert(AlertEventType.CREATED, alert_id=f"a{number}")
    look = operator.overview
    looks: list[Callable[[Page], Sequence[Row]]] = [
        look.dead_letters, look.links, lambda page: look.timeline("a1", page),
    ]  # fmt: skip
    for look_at in looks:
        seen: list[Row] = []
        while piece := look_at(Page(2, seen[-1]["id"] if seen else 0)):
            seen += piece
        assert list(look_at(Page(100))) == seen


@pytest.mark.parametrize("wanted", ["nobody", "a\0", "\ud800", "", "a" * 10_000, "1 OR 1=1", "%"])
def test_ids_nobody_has_are_unknown(operator: OperatorRig, wanted: str) -> None:
    operator.rig.alert(AlertEventType.CREATED)
    assert None is operator.overview.link(wanted)
    assert () == operator.overview.timeline(wanted, Page(10))


def test_frozen_links_are_counted(operator: OperatorRig) -> None:
    health_source = health_of(operator.rig.database, operator.rig._inbox)
    assert 0 == health_source.read().frozen
    frozen(operator.rig)
    assert 1 == health_source.read().frozen
    operator.beat()
    operator.operate(CommandType.THAW, "a1")
    assert 0 == health_source.read().frozen


@pytest.mark.parametrize(
    ("command", "became"), [("acknowledge", "carried"), ("resolve", "carried"), ("false_alert", "judged")]
)
def test_what_is_asked_of_an_alert_is_reported_once_and_then_is_so(
    operator: OperatorRig, command: str, became: str
) -> None:
    asked = CommandType(command)
    assert "no_such_link" == operator.operate(asked, "nobody").outcome
    operator.rig.alert(AlertEventType.CREATED)
    operator.rig.run()
    operator.beat()
    assert [became, became] == [operator.operate(asked, "a1", "k1").outcome for _ in range(2)]
    assert "already_so" == operator.operate(asked, "a1").outcome


def test_a_note_and_an_escalation_at_once_tell_what_became_of_them(operator: OperatorRig) -> None:
    operator.rig.alert(AlertEventType.CREATED)
    assert "no_incident" == operator.operate(CommandType.NOTE, "a1", detail="Too early.").outcome
    operator.rig.run()
    operator.beat()
    notes = [operator.operate(CommandType.NOTE, "a1", detail=text).outcome for text in ("Rolled back.", " ")]
    assert ["noted", "invalid"] == notes
    asked = [operator.operate(CommandType.ESCALATE, "Q1", "k1", hurrying(key="k1")).outcome for _ in range(2)]
    assert ["hurried", "hurried"] == asked
    second = operator.operate.as_actor("bob", Way.API)(CommandType.ESCALATE, "Q1", detail=hurrying(saw=0))
    assert ("already_asked", "Already asked for by api; nothing more is asked for.") == (second.outcome, second.message)
    operator.rig.alert(AlertEventType.ACKNOWLEDGED)
    operator.rig.run()
    operator.beat()
    asked = [operator.operate(CommandType.ESCALATE, one, detail=hurrying()).outcome for one in ("Q1", "Q9")]
    assert ["in_hand", "not_armed"] == asked


# ------------------------------------------------------------------------------------- jobs, silences, drafts


@pytest.fixture
def handling(operator: OperatorRig, tmp_path: Path) -> OperatorRig:
    """The same with the commands of other capabilities, at both ends."""
    rules = RulesInStore()
    jobs, silences = JobCommands(StoredJobs(), clock=operator.rig.clock), RuleCommands(rules, operator.rig.clock)
    handlers: dict[CommandType, CommandHandler] = {
        CommandType.START_JOB: jobs, CommandType.CANCEL_JOB: jobs,
        CommandType.SILENCE: silences, CommandType.END_SILENCE: silences,
        CommandType.SAVE_DRAFT: silences, CommandType.DELETE_DRAFT: silences, CommandType.SHADOW_DRAFT: silences,
    }  # fmt: skip
    object.__setattr__(operator.rig.intake.execute_command, "handlers", handlers)
    operator.operate = replace(operator.operate, handlers=handlers)
    return operator


def test_a_job_is_started_once_for_a_key_and_cancelled(handling: OperatorRig):
    detail = encode_job(ReplayWanted((1,)))
    results = [handling.operate.start_job(detail, "k1") for _ in range(2)]
    assert [("queued", "k1")] * 2 == [(result.outcome, result.key) for result in results]
    outcomes = [handling.operate(CommandType.CANCEL_JOB, number).outcome for number in ("1", "1", "2")]
    assert ["cancel_asked", "already_over", "no_such_job"] == outcomes


def test_a_silence_of_the_store_is_made_and_ended(handling: OperatorRig):
    until = handling.rig.clock() + timedelta(hours=1)
    detail = silence_as_text(Silence("deploy", "true", "dana", "drill", until))
    asked = [
        handling.operate(CommandType.SILENCE, "deploy", detail=detail),
        handling.operate(CommandType.SILENCE, "deploy", detail="nonsense"),
        handling.operate(CommandType.END_SILENCE, "deploy"),
        handling.operate(CommandType.END_SILENCE, "deploy"),
    ]
    assert ["silenced", "invalid", "ended", "no_such_silence"] == [result.outcome for result in asked]


def test_a_draft_is_saved_asked_and_deleted(handling: OperatorRig):
    asked = [
        handling.operate(CommandType.SAVE_DRAFT, "calm", detail="rules: []"),
        handling.operate(CommandType.SHADOW_DRAFT, "calm"),
        handling.operate(CommandType.SHADOW_DRAFT),
        handling.operate(CommandType.DELETE_DRAFT, "calm"),
        handling.operate(CommandType.DELETE_DRAFT, "calm"),
    ]
    assert ["saved", "shadowed", "ended", "deleted", "no_such_draft"] == [result.outcome for result in asked]


def test_what_an_older_worker_parks_is_not_done(handling: OperatorRig):
    handling.rig.said = OldWorker()
    assert "not_taken" == handling.operate.start_job(encode_job(ReplayWanted((1,)))).outcome
