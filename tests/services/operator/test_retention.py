"""One run: everything older than the rulebook says, in turns, whatever breaks."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from app.config import bridge_yaml as configfile
from app.domain.rules.rulebook import Rulebook
from app.errors import ConfigFault
from app.services.operator.retention import PAUSE_SECONDS, Retention, retention_task
from tests.fakes import START, FakeClock
from tests.rig import FixedRulebook


class Broom:
    def __init__(self, *batches: int, breaks: bool = False) -> None:
        self._batches, self._breaks = batches, breaks
        self.before: datetime | None = None

    def __call__(self, before: datetime) -> Iterator[int]:
        self.before = before
        yield from self._batches
        if self._breaks:
            raise RuntimeError("broken")


def run(days: float = 31, **brooms: Broom) -> tuple[list[dict[str, object]], list[float]]:
    pauses: list[float] = []
    with capture_logs() as lines:
        Retention(brooms, FixedRulebook(Rulebook(retention_days=days)), FakeClock(), pauses.append)()
    return [dict(line) for line in lines], pauses


def test_it_says_how_much_went_and_leaves_room_for_writers_in_between() -> None:
    lines, pauses = run(inbox=Broom(500, 3), dead_letters=Broom())
    assert [("retention.done", 503, 0)] == [(line["event"], line["inbox"], line["dead_letters"]) for line in lines]
    assert [PAUSE_SECONDS] * 2 == pauses


def test_the_rulebook_says_how_long_things_are_kept() -> None:
    broom = Broom()
    run(days=7, inbox=broom)
    assert START - timedelta(days=7) == broom.before


def test_a_broom_that_breaks_stops_no_other() -> None:
    lines, _ = run(inbox=Broom(2, breaks=True), dead_letters=Broom(4))
    assert ["retention.broke", "retention.done"] == [line["event"] for line in lines]
    assert (2, 4) == (lines[-1]["inbox"], lines[-1]["dead_letters"])


@pytest.mark.parametrize("breaks", [False, True])
def test_a_run_says_whether_every_broom_came_to_its_end(breaks: bool) -> None:
    brooms = {"inbox": Broom(2, breaks=breaks), "dead_letters": Broom(4)}
    made = Retention(brooms, FixedRulebook(Rulebook()), FakeClock(), lambda _: None)
    with capture_logs():
        assert (not breaks) is made()


def test_evidence_has_an_age_of_its_own_and_the_logs_are_asked_for_where_anything_went() -> None:
    broom, other, asked = Broom(1), Broom(), []
    rulebook = FixedRulebook(Rulebook(retention_days=31, evidence_days=7))
    with capture_logs() as lines:
        Retention(
            {"inbox": other}, rulebook, FakeClock(), lambda _seconds: None, {"evidence": broom}, lambda: asked.append(1)
        )()
        Retention({"inbox": Broom()}, rulebook, FakeClock(), erase_bodies=lambda: asked.append(2))()
    assert (START - timedelta(days=7), START - timedelta(days=31)) == (broom.before, other.before)
    assert (1, 7, [1]) == (lines[0]["evidence"], lines[0]["evidence_days"], asked)


def test_only_the_leader_sweeps_a_minute_after_the_start_and_then_hourly() -> None:
    made = retention_task(Retention({}, FixedRulebook(Rulebook())))
    assert (True, 60, 3600) == (made.leader_only, made.first_after_seconds, made.every_seconds)


@pytest.mark.parametrize(("text", "days"), [("", 31), ("retention: {}", 31), ("retention: {days: 3}", 3)])
def test_the_file_says_how_many_days(text: str, days: float) -> None:
    assert days == configfile.parse(text).retention_days


@pytest.mark.parametrize(
    ("text", "days"), [("", 30), ("retention: {days: 3}", 30), ("retention: {evidence_days: 1}", 1)]
)
def test_and_how_many_for_evidence(text: str, days: float) -> None:
    assert days == configfile.parse(text).evidence_days


@pytest.mark.parametrize("text", ["retention: {evidence_days: 0}", "retention: {evidence_days: off}"])
def test_less_than_a_day_is_a_fault(text: str) -> None:
    with pytest.raises(ConfigFault):
        configfile.parse(text)


@pytest.mark.parametrize("text", ["retention: {days: 2.9}", "retention: {days: soon}", "retention: {hours: 90}"])
def test_less_than_three_days_is_a_fault(text: str) -> None:
    with pytest.raises(ConfigFault):
        configfile.parse(text)


def test_what_has_days_of_its_own_is_kept_so_long() -> None:
    audit, others = Broom(), Broom()
    rulebook = FixedRulebook(Rulebook(retention_days=7, audit_days=400))
    own_days = {"audit": lambda rules: rules.audit_days}
    Retention({"audit": audit, "jobs": others}, rulebook, FakeClock(), lambda _: None, own_days=own_days)()
    assert (START - timedelta(days=400), START - timedelta(days=7)) == (audit.before, others.before)


@pytest.mark.parametrize(("text", "days"), [("{}", 365), ("retention: {audit_days: 30}", 30)])
def test_the_audit_log_is_kept_for_a_year_unless_the_file_says_otherwise(text: str, days: float) -> None:
    assert days == configfile.parse(text).audit_days
