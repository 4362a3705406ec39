"""A delivery that raises is tried again; one that always does is handed over, unless the store is the reason."""

import threading

import pytest

from app.domain.model.types import LinkId, Side
from app.engine.durable import BROKEN_TRIES, Persistent
from app.ports import StoreUnavailable

DELIVERY = (LinkId(7), Side.PAGERDUTY, 3)


class Broken:
    """Raises what it is told, then ends."""

    def __init__(self, *faults: Exception) -> None:
        self._faults = list(faults)
        self.first_runs: list[bool] = []

    def __call__(self, _link: LinkId, _side: Side, _seq: int, first_run: bool) -> str:
        self.first_runs.append(first_run)
        if self._faults:
            raise self._faults.pop(0)
        return "done"


class Recorder:
    def __init__(self, *faults: Exception) -> None:
        self.of: list[tuple[int, str, int, str]] = []
        self._faults = list(faults)

    def __call__(self, link_id: LinkId, side: Side, seq: int, reason: str) -> None:
        if self._faults:
            raise self._faults.pop(0)
        self.of.append((link_id, side, seq, reason))


def persistent(deliver: Broken, given_up: Recorder | None = None) -> Persistent:
    return Persistent(deliver, threading.Event(), given_up, [0.001])


def test_one_that_always_raises_is_handed_over_after_so_many_tries() -> None:
    deliver, recorder = Broken(*[KeyError("x")] * (BROKEN_TRIES + 2)), Recorder()
    assert "given_up" == persistent(deliver, recorder)(DELIVERY, True)
    assert [True] + [False] * (BROKEN_TRIES - 1) == deliver.first_runs
    assert [(7, "pagerduty", 3, "KeyError")] == recorder.of


def test_while_the_store_is_the_reason_it_is_tried_for_ever() -> None:
    deliver, recorder = Broken(*[StoreUnavailable("gone")] * (BROKEN_TRIES + 2)), Recorder()
    assert "done" == persistent(deliver, recorder)(DELIVERY, True)
    assert [] == recorder.of


def test_tries_the_store_spoiled_do_not_count() -> None:
    faults = [KeyError("x"), StoreUnavailable("gone")] * (BROKEN_TRIES - 1)
    recorder = Recorder()
    assert "done" == persistent(Broken(*faults), recorder)(DELIVERY, True)
    assert [] == recorder.of


def test_if_nobody_can_take_note_it_is_tried_on() -> None:
    deliver, recorder = Broken(*[KeyError("x")] * (BROKEN_TRIES + 1)), Recorder(StoreUnavailable("gone"))
    assert "given_up" == persistent(deliver, recorder)(DELIVERY, True)
    assert BROKEN_TRIES + 1 == len(deliver.first_runs)
    assert 1 == len(recorder.of)


def test_a_stop_leaves_it_pending() -> None:
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(SystemExit):
        Persistent(Broken(KeyError("x")), stopping)(DELIVERY, True)
