"""One child that is always there: back at once when it dies, in no hurry when it keeps dying, gone when told."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.process import supervisor as supervise
from app.process.supervisor import Lookout, WorkerSupervisor
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
def keep() -> Iterator[Callable[..., WorkerSupervisor]]:
    kept: list[WorkerSupervisor] = []

    def make(code: str, clock: Callable[[], float] | None = None, **options: Any) -> WorkerSupervisor:
        kept.append(WorkerSupervisor([sys.executable, "-c", code], os.environ, clock=clock or Clock(), **options))
        return kept[-1]

    yield make
    for supervisor in kept:
        if supervisor.pid:
            os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.stop()
        supervisor.wait()
        supervisor.let_go()


def started(supervisor: WorkerSupervisor) -> int:
    supervisor.tick()
    assert supervisor.pid
    return supervisor.pid


def end(supervisor: WorkerSupervisor, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill the child, or wait for its own end, until the supervisor could see it; it does not look yet."""
    assert supervisor.pid
    os.kill(supervisor.pid, number)
    os.waitid(os.P_PID, supervisor.pid, os.WEXITED | os.WNOWAIT)


def test_a_killed_child_is_back_with_the_next_tick(keep: Callable[..., WorkerSupervisor]):
    clock, on_death = Clock(), list[int]()
    supervisor = keep(FAITHFUL, clock, on_death=on_death.append)
    first = started(supervisor)
    clock.now += 5
    end(supervisor)
    second = started(supervisor)
    assert first != second
    assert [first] == on_death


def test_a_living_child_is_left_alone(keep: Callable[..., WorkerSupervisor]):
    supervisor = keep(FAITHFUL)
    assert started(supervisor) == started(supervisor)


def test_a_child_whose_status_somebody_else_took_is_back_too(keep: Callable[..., WorkerSupervisor]):
    supervisor = keep(FAITHFUL)
    first = started(supervisor)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert first != started(supervisor)


def test_a_child_that_dies_at_its_start_again_and_again_is_given_longer_and_longer_pauses(
    keep: Callable[..., WorkerSupervisor],
):
    clock = Clock()
    supervisor = keep(BROKEN, clock)
    pauses = []
    for _ in range(9):
        before = clock.now
        supervisor.tick()
        while supervisor.pid is None:
            clock.now += 0.5
            supervisor.tick()
        pauses.append(clock.now - before)
        os.waitid(os.P_PID, supervisor.pid, os.WEXITED | os.WNOWAIT)
    assert [0, 0, 0, 0, 1, 2, 4, 8, 15] == pauses


def test_a_child_that_is_killed_often_is_always_back_at_once(keep: Callable[..., WorkerSupervisor]):
    clock = Clock()
    supervisor = keep(FAITHFUL, clock)
    for _ in range(8):
        started(supervisor)
        clock.now += 1
        end(supervisor)
    started(supervisor)


def test_a_stopped_child_ends_and_none_follows(keep: Callable[..., WorkerSupervisor]):
    supervisor = keep(FAITHFUL)
    pid = started(supervisor)
    supervisor.stop()
    supervisor.wait()
    supervisor.tick()
    assert supervisor.pid is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_does_not_listen_is_killed_when_its_time_is_up(
    keep: Callable[..., WorkerSupervisor], capfd: pytest.CaptureFixture[str]
):
    clock = Clock(step=1.0)
    supervisor = keep(STUBBORN, clock)
    supervisor.tick()
    until(lambda: "deaf" in capfd.readouterr().out, "it is deaf")
    supervisor.stop()
    supervisor.wait()
    assert supervisor.pid is None
    assert clock.now - 1000 >= supervise.STOP_TIMEOUT_SECONDS


def test_a_restart_is_no_death(keep: Callable[..., WorkerSupervisor]):
    supervisor = keep(FAITHFUL)
    for _ in range(8):
        pid = started(supervisor)
        supervisor.restart()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    started(supervisor)


def test_a_command_that_cannot_be_started_is_tried_again_later():
    clock = Clock()
    supervisor = WorkerSupervisor(["/no/such/command"], os.environ, clock=clock)
    supervisor.tick()
    assert supervisor.pid is None
    supervisor.let_go()


PARENT = f"""
import os, sys, time
from app import logs
from app.process.supervisor import Lookout, WorkerSupervisor

logs.configure("json")
supervisor = WorkerSupervisor([sys.executable, "-c", {FAITHFUL!r}], os.environ)
supervisor.tick()
child = os.fork()
if child == 0:
    supervisor.let_go()
    time.sleep(60)
print(supervisor.pid, child, flush=True)
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


# ---------------------------------------------------------------------------------------------------- the lookout

LOOK = "import os; print(os.environ['BRIDGE_WATCH_MEMORY'] + 'x')"
REPORTING = (
    "import os, select\n"
    "os.write(int(os.environ['BRIDGE_WATCH_FD']), b'older\\n' + b'remembered\\nhal')\n"
    "select.select([int(os.environ['BRIDGE_PARENT_FD'])], [], [])"
)


@pytest.fixture
def look_out() -> Iterator[Callable[..., Lookout]]:
    made: list[Lookout] = []

    def make(clock: Clock, code: str = LOOK, has_worker: bool = True) -> Lookout:
        made.append(Lookout([sys.executable, "-c", code], os.environ, has_worker, clock))
        return made[-1]

    yield make
    for lookout in made:
        lookout.stop()
        lookout.let_go()


def looked(lookout: Lookout, clock: Clock, seconds: float) -> bool:
    """Whether a look begins after so many seconds; it is waited for."""
    clock.now += seconds
    lookout.tick()
    if lookout.pid is None:
        return False
    os.waitid(os.P_PID, lookout.pid, os.WEXITED | os.WNOWAIT)
    lookout.tick()
    return True


def test_nobody_looks_while_the_worker_reports(look_out: Callable[..., Lookout]):
    clock = Clock()
    lookout = look_out(clock)
    for _ in range(10):
        os.write(lookout.write_end, b"memory\n")
        assert not looked(lookout, clock, supervise.SILENT_SECONDS - 1)
    assert "memory" == lookout.memory


def test_a_worker_that_says_nothing_is_looked_for_again_and_again_and_each_look_hands_its_memory_on(
    look_out: Callable[..., Lookout],
):
    clock = Clock()
    lookout = look_out(clock)
    assert not looked(lookout, clock, supervise.SILENT_SECONDS - 1)
    assert looked(lookout, clock, 1)
    assert not looked(lookout, clock, supervise.LOOK_SECONDS - 1)
    assert looked(lookout, clock, 1)
    assert "xx" == lookout.memory
    os.write(lookout.write_end, b"back\n")
    assert not looked(lookout, clock, supervise.LOOK_SECONDS)
    assert "back" == lookout.memory


def test_without_a_worker_there_is_a_look_every_minute(look_out: Callable[..., Lookout]):
    clock = Clock()
    lookout = look_out(clock, has_worker=False)
    assert [False, True, False, True] == [looked(lookout, clock, seconds) for seconds in (59, 1, 59, 1)]


def test_a_look_that_hangs_is_killed_and_one_that_fails_takes_no_memory_away(look_out: Callable[..., Lookout]):
    clock = Clock()
    lookout = look_out(clock, "import signal; signal.pause()")
    os.write(lookout.write_end, b"memory\n")
    lookout.tick()
    clock.now += supervise.SILENT_SECONDS
    lookout.tick()
    pid = lookout.pid
    assert pid
    clock.now += supervise.LOOK_TIMEOUT_SECONDS + 1
    lookout.tick()
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    lookout.tick()
    assert (None, "memory") == (lookout.pid, lookout.memory)


def test_a_stopped_lookout_looks_no_more(look_out: Callable[..., Lookout]):
    clock = Clock()
    lookout = look_out(clock, "import signal; signal.pause()")
    clock.now += supervise.SILENT_SECONDS
    lookout.tick()
    assert lookout.pid
    lookout.stop()
    assert not looked(lookout, clock, 1000)


def test_a_worker_reports_to_the_lookout_and_the_next_one_is_told_what_it_remembered(
    keep: Callable[..., WorkerSupervisor], look_out: Callable[..., Lookout]
):
    clock = Clock()
    lookout = look_out(clock)
    started(keep(REPORTING, clock, lookout=lookout))

    until(lambda: lookout.memory == "remembered", "the worker has reported")
