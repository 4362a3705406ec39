"""Whoever asks is told what became of it, the same as often as they ask, and what is stored is never forgotten."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.names import Source
from app.domain.words import AlertVerb, Reading, Unreadable, Wish, WishVerb
from app.ports import Page, Row, StoreUnavailable
from app.services.escalate_wish import CANCELLING, arming
from app.services.operate import Operate
from app.services.overview import Overview
from app.store import own_mail
from app.store.inbox_sqlite import SqliteInbox
from app.store.marks import StoredMarks
from app.store.postbox import StoredPostbox
from app.store.records import StoredRecords
from app.store.schema import inbox
from app.store.vitals import WORKER_SEEN, StoredVitals
from tests.doors import FakeBell
from tests.rig import Rig
from tests.services.rigs import DatedRig
from tests.services.test_wishes import (
    frozen,
    letters,
    with_a_dead_acknowledge,
    with_a_dead_note,
    with_a_lane_that_waits,
)

PATIENCE = 2.0


@dataclass
class Desk:
    """An operator's desk on the rig's store. ``works``: what the worker does while somebody waits."""

    rig: Rig
    data_dir: Path
    works: bool = True
    waited: float = 0.0
    bell: FakeBell = field(default_factory=FakeBell)

    def __post_init__(self) -> None:
        self.post = StoredPostbox(self.rig.database, self.rig._inbox)
        self.inbox = SqliteInbox(self.data_dir / "inbox.db")
        records, database = StoredRecords(), self.rig.database
        self.overview = Overview(database, records, lambda: True)
        self.operate = Operate(
            self.inbox, self.bell, self.post, database, records, self._mail, PATIENCE, "api",
            clock=self.rig.clock, monotonic=lambda: self.waited, pause=self.wait,
        )  # fmt: skip
        self.beat()

    def _mail(self, wish: Wish) -> bytes:
        body = own_mail.of_wish(wish)
        self.rig.said[body] = own_mail.read(body, None)
        return body

    def beat(self, ago: float = 0.0) -> None:
        with self.rig.database.begin() as tx:
            StoredMarks().put(tx, WORKER_SEEN, (self.rig.clock() - timedelta(seconds=ago)).isoformat())

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        if self.works:
            self.rig.intake.take()
            self.rig.run()

    def stored(self) -> list[str]:
        """Delivery ids of our own mail."""
        with self.rig._inbox.connect() as reader:
            query = sa.select(inbox.c.delivery_id).where(inbox.c.source == Source.BRIDGE.value)
            return list(reader.execute(query).scalars())


class OldWorker(dict[bytes, tuple[Reading, ...]]):
    """Reads no wish: it is of a version that knows none."""

    def __getitem__(self, body: bytes) -> tuple[Reading, ...]:
        return (Unreadable("unknown_mail"),)


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return DatedRig(tmp_path)


@pytest.fixture
def desk(rig: Rig, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(rig, tmp_path)
    yield desk
    desk.inbox.close()


# -------------------------------------------------------------------------------------------------- asking


def test_whoever_asks_is_told_the_outcome(desk: Desk) -> None:
    number = with_a_dead_acknowledge(desk.rig)
    desk.beat()
    told = desk.operate(WishVerb.REPLAY, str(number))
    assert ("replayed", True) == (told.outcome, told.alive)
    assert ["put acknowledged"] == desk.rig.pagerduty.calls
    assert 1 == desk.bell.rings
    assert "api" == letters(desk.rig, closed=True)[0]["closed_by"]


def test_a_closed_letter_answers_its_outcome_and_stores_nothing(desk: Desk) -> None:
    number = with_a_dead_acknowledge(desk.rig)
    desk.beat()
    desk.operate(WishVerb.DISCARD, str(number))
    stored = desk.stored()
    for verb in (WishVerb.REPLAY, WishVerb.DISCARD):
        assert ("discarded", "") == (
            desk.operate(verb, str(number)).outcome, desk.operate(verb, str(number)).key,
        )  # fmt: skip
    assert stored == desk.stored()


def test_the_same_key_is_the_same_wish(desk: Desk) -> None:
    number = str(with_a_dead_acknowledge(desk.rig))
    first, second = desk.operate(WishVerb.REPLAY, number, "k1"), desk.operate(WishVerb.REPLAY, number, "k1")
    assert first == second
    assert "k1" == first.key
    assert 1 == len(desk.stored())


def test_the_same_key_does_not_read_an_event_twice(desk: Desk) -> None:
    desk.rig.say(Source.TRUTHVOUCH, Unreadable("unknown_shape"))
    for _ in range(3):
        assert "still_unreadable" == desk.operate(WishVerb.REPLAY, "1", "k1").outcome
    assert [1] == [row["attempts"] for row in letters(desk.rig)]
    desk.operate(WishVerb.REPLAY, "1", "k2")
    assert [2] == [row["attempts"] for row in letters(desk.rig)]


def test_without_a_key_every_request_is_an_attempt_of_its_own(desk: Desk) -> None:
    desk.rig.say(Source.TRUTHVOUCH, Unreadable("unknown_shape"))
    keys = {desk.operate(WishVerb.REPLAY, "1").key for _ in range(3)}
    assert 3 == len(keys)
    assert [3] == [row["attempts"] for row in letters(desk.rig)]


def test_one_key_for_different_things_is_different_wishes(desk: Desk) -> None:
    desk.works = False
    for verb, subject in [(WishVerb.RECONCILE, ""), (WishVerb.REPLAY, "1"), (WishVerb.DISCARD, "1")]:
        desk.rig.say(Source.TRUTHVOUCH, Unreadable("unknown_shape")) if not letters(desk.rig) else None
        desk.operate(verb, subject, "same")
    assert 3 == len(set(desk.stored()))


@pytest.mark.parametrize(
    ("verb", "subject", "outcome"),
    [
        (WishVerb.REPLAY, "999", "no_such_letter"),
        (WishVerb.DISCARD, "999", "no_such_letter"),
        (WishVerb.THAW, "nobody", "no_such_link"),
        (WishVerb.THAW, "no\0body", "no_such_link"),
        (WishVerb.THAW, "no\ud800body", "no_such_link"),
    ],
)
def test_what_does_not_exist_is_said_and_not_stored(desk: Desk, verb: WishVerb, subject: str, outcome: str) -> None:
    assert outcome == desk.operate(verb, subject).outcome
    assert [] == desk.stored()
    assert 0 == desk.bell.rings


def test_a_thaw_is_told_and_told_again_under_its_key(desk: Desk) -> None:
    frozen(desk.rig)
    desk.beat()
    assert ["thawed", "thawed"] == [desk.operate(WishVerb.THAW, "a1", "k1").outcome for _ in range(2)]
    assert "not_frozen" == desk.operate(WishVerb.THAW, "a1").outcome
    assert 1 == len(desk.stored())


def test_a_reconciliation_is_asked_for(desk: Desk) -> None:
    assert "asked" == desk.operate(WishVerb.RECONCILE).outcome
    assert 1 == desk.rig.reconciliations


# -------------------------------------------------------------------------------------------------- waiting


def test_an_escalation_is_armed_and_cancelled(desk: Desk) -> None:
    assert "armed" == desk.operate(WishVerb.ESCALATE, "Q1", detail=arming("PMGMT", 15)).outcome
    assert "cancelled" == desk.operate(WishVerb.ESCALATE, "Q1", detail=CANCELLING).outcome


@pytest.mark.parametrize("detail", [arming("PMGMT", 30), arming("POTHER", 15), CANCELLING])
def test_an_escalation_that_an_old_worker_parked_is_not_called_done(desk: Desk, detail: str) -> None:
    desk.operate(WishVerb.ESCALATE, "Q1", detail=arming("PMGMT", 15))
    desk.rig.said = OldWorker()
    granted = desk.operate(WishVerb.ESCALATE, "Q1", detail=detail)
    assert "not_taken" == granted.outcome
    assert "End the old workers" in granted.words


def test_nor_one_of_an_incident_that_had_none(desk: Desk) -> None:
    desk.rig.said = OldWorker()
    assert "not_taken" == desk.operate(WishVerb.ESCALATE, "Q1", detail=arming("PMGMT", 15)).outcome


def test_a_worker_that_is_busy_leaves_it_stored_and_done_later(desk: Desk) -> None:
    number = with_a_dead_acknowledge(desk.rig)
    desk.beat()
    desk.works = False
    told = desk.operate(WishVerb.REPLAY, str(number), "k1")
    assert ("", True) == (told.outcome, told.alive)
    assert desk.waited == pytest.approx(PATIENCE, abs=0.1)
    desk.works = True
    assert "replayed" == desk.operate(WishVerb.REPLAY, str(number), "k1").outcome


@pytest.mark.parametrize("ago", [10.5, 86_400.0])
def test_nobody_waits_for_a_worker_that_is_not_there(desk: Desk, ago: float) -> None:
    number = with_a_dead_acknowledge(desk.rig)
    desk.beat(ago)
    told = desk.operate(WishVerb.REPLAY, str(number))
    assert ("", False, 0.0) == (told.outcome, told.alive, desk.waited)
    assert "no worker is running" in told.words
    assert 1 == len(desk.stored())


def test_of_many_all_are_stored_before_the_first_answer_and_rung_for_once(desk: Desk) -> None:
    for number in range(40):
        desk.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
    told = desk.operate.all(WishVerb.DISCARD, [str(row["id"]) for row in letters(desk.rig)])
    first = next(told)
    assert 40 == len(desk.stored())
    assert ["discarded"] * 40 == [first.outcome, *(one.outcome for one in told)]
    assert 1 == desk.bell.rings
    assert [] == letters(desk.rig)


def test_of_many_only_one_is_waited_for_in_vain(desk: Desk) -> None:
    for number in range(5):
        desk.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
    desk.works = False
    told = list(desk.operate.all(WishVerb.DISCARD, [str(row["id"]) for row in letters(desk.rig)]))
    assert [""] * 5 == [one.outcome for one in told]
    assert desk.waited < PATIENCE + 0.2


def test_a_bell_that_is_broken_costs_nothing_that_was_stored(desk: Desk) -> None:
    desk.bell.broken = True
    assert "asked" == desk.operate(WishVerb.RECONCILE).outcome


def test_a_store_that_cannot_be_written_is_no_quiet_success(desk: Desk, tmp_path: Path) -> None:
    number = with_a_dead_acknowledge(desk.rig)
    desk.inbox.close()
    for file in tmp_path.glob("inbox.db*"):
        file.unlink()
    with pytest.raises(StoreUnavailable):
        desk.operate(WishVerb.REPLAY, str(number))


# -------------------------------------------------------------------------------------------------- looking


def test_a_letter_says_why_what_the_partner_answered_and_what_waits(desk: Desk) -> None:
    number = with_a_lane_that_waits(desk.rig)
    shown = desk.overview.letter(number)
    assert shown is not None
    about = ("SetIncident acknowledged", "bad_request", "Invalid Input Provided", "a1", "Q1")
    assert (*about, "SetIncident acknowledged") == tuple(
        shown[name] for name in ("effect", "reason", "detail", "alert_id", "incident_id", "waits")
    )
    desk.beat()
    desk.operate(WishVerb.DISCARD, str(number))
    closed = desk.overview.letter(number)
    assert closed is not None
    assert ("discarded", None) == (closed["outcome"], closed["waits"])


def test_nothing_waits_behind_the_letter_of_a_note(desk: Desk) -> None:
    shown = desk.overview.letter(with_a_dead_note(desk.rig))
    assert shown is not None
    assert ("AddNote", "bad_request", "Invalid Input Provided", None) == tuple(
        shown[name] for name in ("effect", "reason", "detail", "waits")
    )


def test_a_link_says_what_is_known_wanted_owed_and_held(desk: Desk) -> None:
    with_a_lane_that_waits(desk.rig)
    shown = desk.overview.link("a1")
    assert shown is not None
    assert ("acknowledged", "high", 1, "https://pd.test/1") == (
        shown["status"], shown["urgency"], shown["incident"]["number"], shown["incident"]["url"],
    )  # fmt: skip
    lane = shown["lanes"]["pagerduty"]
    assert ("bad_request", None, "SetIncident acknowledged") == (lane["dead"], lane["next"], lane["waits"])


def test_what_people_wrote_is_not_shown(desk: Desk) -> None:
    alert_id = "a1"
    desk.rig.alert(AlertVerb.CREATED, alert_id=alert_id)
    desk.rig.run()
    desk.rig.alert(AlertVerb.RESOLVED, reason="MARKER-REASON", text="MARKER-TEXT", author="MARKER-PERSON")
    shown = str(desk.overview.link(alert_id))
    assert "MARKER" not in shown
    assert "notes_owed" in shown


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
def test_links_are_listed_by_what_they_are(desk: Desk, asked: dict[str, Any], expected: list[str]) -> None:
    frozen(desk.rig)
    for alert_id in ("a2", "a3"):
        desk.rig.alert(AlertVerb.CREATED, alert_id=alert_id)
    desk.rig.alert(AlertVerb.RESOLVED, alert_id="a3")
    assert expected == [row["alert_id"] for row in desk.overview.links(Page(10), **asked)]


def test_lists_come_in_pieces_that_join_without_gap(desk: Desk) -> None:
    for number in range(5):
        desk.rig.say(Source.TRUTHVOUCH, Unreadable(f"unknown_{number}"))
        desk.rig.alert(AlertVerb.CREATED, alert_id=f"a{number}")
    look = desk.overview
    looks: list[Callable[[Page], Sequence[Row]]] = [
        look.letters, look.links, lambda page: look.timeline("a1", page),
    ]  # fmt: skip
    for look_at in looks:
        seen: list[Row] = []
        while piece := look_at(Page(2, seen[-1]["id"] if seen else 0)):
            seen += piece
        assert list(look_at(Page(100))) == seen


@pytest.mark.parametrize("wanted", ["nobody", "a\0", "\ud800", "", "a" * 10_000, "1 OR 1=1", "%"])
def test_ids_nobody_has_are_unknown(desk: Desk, wanted: str) -> None:
    desk.rig.alert(AlertVerb.CREATED)
    assert None is desk.overview.link(wanted)
    assert () == desk.overview.timeline(wanted, Page(10))


def test_frozen_links_are_counted(desk: Desk) -> None:
    vitals = StoredVitals(desk.rig.database, desk.rig._inbox)
    assert 0 == vitals.read().frozen
    frozen(desk.rig)
    assert 1 == vitals.read().frozen
    desk.beat()
    desk.operate(WishVerb.THAW, "a1")
    assert 0 == vitals.read().frozen
