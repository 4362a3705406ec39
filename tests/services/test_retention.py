"""One run: everything older than the rulebook says, in turns, whatever breaks."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from structlog.testing import capture_logs

from app import configfile
from app.domain.rulebook import Rulebook
from app.errors import ConfigFault
from app.services.retention import PAUSE_SECONDS, Retention, retention_round
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
    lines, pauses = run(inbox=Broom(500, 3), letters=Broom())
    assert [("retention.done", 503, 0)] == [(line["event"], line["inbox"], line["letters"]) for line in lines]
    assert [PAUSE_SECONDS] * 2 == pauses


def test_the_rulebook_says_how_long_things_are_kept() -> None:
    broom = Broom()
    run(days=7, inbox=broom)
    assert START - timedelta(days=7) == broom.before


def test_a_broom_that_breaks_stops_no_other() -> None:
    lines, _ = run(inbox=Broom(2, breaks=True), letters=Broom(4))
    assert ["retention.broke", "retention.done"] == [line["event"] for line in lines]
    assert (2, 4) == (lines[-1]["inbox"], lines[-1]["letters"])


def test_only_the_leader_sweeps_a_minute_after_the_start_and_then_hourly() -> None:
    made = retention_round(Retention({}, FixedRulebook(Rulebook())))
    assert (True, 60, 3600) == (made.leader_only, made.first_after_seconds, made.every_seconds)


@pytest.mark.parametrize(("text", "days"), [("", 31), ("retention: {}", 31), ("retention: {days: 3}", 3)])
def test_the_file_says_how_many_days(text: str, days: float) -> None:
    assert days == configfile.parse(text).retention_days


@pytest.mark.parametrize("text", ["retention: {days: 2.9}", "retention: {days: soon}", "retention: {hours: 90}"])
def test_less_than_three_days_is_a_fault(text: str) -> None:
    with pytest.raises(ConfigFault):
        configfile.parse(text)
