"""One child that is always there: back at once when it dies, in no hurry when it keeps dying, gone when told."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app import supervise
from app.supervise import Keeper
from tests.system.waiting import until

FAITHFUL = (
    "import os, select, signal, sys\n"
    "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "select.select([int(os.environ['BRIDGE_PARENT_FD'])], [], [])"
)
STUBBORN = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\nsignal.pause()"
BROKEN = "raise SystemExit(3)"


class Clock:
    """Monotonic seconds that pass when told, and a little whenever somebody looks."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 1000.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def keep() -> Iterator[Callable[..., Keeper]]:
    kept: list[Keeper] = []

    def make(code: str, clock: Callable[[], float] | None = None, **options: Any) -> Keeper:
        kept.append(Keeper([sys.executable, "-c", code], os.environ, clock=clock or Clock(), **options))
        return kept[-1]

    yield make
    for keeper in kept:
        if keeper.pid:
            os.kill(keeper.pid, signal.SIGKILL)
        keeper.stop()
        keeper.wait()
        keeper.let_go()


def started(keeper: Keeper) -> int:
    keeper.tick()
    assert keeper.pid
    return keeper.pid


def end(keeper: Keeper, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill the child, or wait for its own end, until the keeper could see it; it does not look yet."""
    assert keeper.pid
    os.kill(keeper.pid, number)
    os.waitid(os.P_PID, keeper.pid, os.WEXITED | os.WNOWAIT)


def test_a_killed_child_is_back_with_the_next_tick(keep: Callable[..., Keeper]):
    clock, buried = Clock(), list[int]()
    keeper = keep(FAITHFUL, clock, buried=buried.append)
    first = started(keeper)
    clock.now += 5
    end(keeper)
    second = started(keeper)
    assert first != second
    assert [first] == buried


def test_a_living_child_is_left_alone(keep: Callable[..., Keeper]):
    keeper = keep(FAITHFUL)
    assert started(keeper) == started(keeper)


def test_a_child_whose_status_somebody_else_took_is_back_too(keep: Callable[..., Keeper]):
    keeper = keep(FAITHFUL)
    first = started(keeper)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert first != started(keeper)


def test_a_child_that_dies_at_its_start_again_and_again_is_given_longer_and_longer_pauses(
    keep: Callable[..., Keeper],
):
    clock = Clock()
    keeper = keep(BROKEN, clock)
    pauses = []
    for _ in range(9):
        before = clock.now
        keeper.tick()
        while keeper.pid is None:
            clock.now += 0.5
            keeper.tick()
        pauses.append(clock.now - before)
        os.waitid(os.P_PID, keeper.pid, os.WEXITED | os.WNOWAIT)
    assert [0, 0, 0, 0, 1, 2, 4, 8, 15] == pauses


def test_a_child_that_is_killed_often_is_always_back_at_once(keep: Callable[..., Keeper]):
    clock = Clock()
    keeper = keep(FAITHFUL, clock)
    for _ in range(8):
        started(keeper)
        clock.now += 1
        end(keeper)
    started(keeper)


def test_a_stopped_child_ends_and_none_follows(keep: Callable[..., Keeper]):
    keeper = keep(FAITHFUL)
    pid = started(keeper)
    keeper.stop()
    keeper.wait()
    keeper.tick()
    assert keeper.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_does_not_listen_is_killed_when_its_time_is_up(
    keep: Callable[..., Keeper], capfd: pytest.CaptureFixture[str]
):
    clock = Clock(step=1.0)
    keeper = keep(STUBBORN, clock)
    keeper.tick()
    until(lambda: "deaf" in capfd.readouterr().out, "it is deaf")
    keeper.stop()
    keeper.wait()
    assert keeper.pid is None
    assert clock.now - 1000 >= supervise.PATIENCE_SECONDS


def test_a_restart_is_no_death(keep: Callable[..., Keeper]):
    keeper = keep(FAITHFUL)
    for _ in range(8):
        pid = started(keeper)
        keeper.restart()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    started(keeper)


def test_a_command_that_cannot_be_started_is_tried_again_later():
    clock = Clock()
    keeper = Keeper(["/no/such/command"], os.environ, clock=clock)
    keeper.tick()
    assert keeper.pid is None
    keeper.let_go()


PARENT = f"""
import os, sys, time
from app import logs
from app.supervise import Keeper

logs.configure("json")
keeper = Keeper([sys.executable, "-c", {FAITHFUL!r}], os.environ)
keeper.tick()
child = os.fork()
if child == 0:
    keeper.let_go()
    time.sleep(60)
print(keeper.pid, child, flush=True)
time.sleep(60)
"""


def test_the_child_sees_the_end_of_its_parent_although_others_were_forked_off_it():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        kept, forked = map(int, parent.stdout.readline().split())
        parent.kill()
        try:
            until(lambda: not is_alive(kept), "the child is gone", 5)
            assert is_alive(forked)
        finally:
            os.kill(forked, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether it runs; somebody's zombie does not."""
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()
    return bool(listed) and not listed.startswith("Z")
