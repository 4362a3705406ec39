"""How long nothing happens: after a start, and after the worker was killed."""

import os
import signal
import threading
import time

from bench.figures import Figure
from bench.processes import BenchFault
from bench.rig import Rig, Setup, incident_key

READY_SECONDS = 2.0
BACK_SECONDS = 1.0

RATE = 50
"""Alerts a second while the worker is killed."""
KILLED_AFTER_SECONDS = 2.0
"""Of its work: a worker that dies young is started again with a pause."""
LOAD_SECONDS = 8.0


def starting(setup: Setup) -> list[Figure]:
    """From the start of the command until ``/readyz`` answers 200, and from a SIGKILL to the next delivery."""
    new: list[float] = []
    again: list[float] = []
    back: list[float] = []
    for n in range(setup.plan.rounds):
        with setup.rig(f"start{n}") as rig:
            new.append(rig.bridge.ready_after)
            back.append(_killing(rig, n))
            rig.restart()
            again.append(rig.bridge.ready_after)
        setup.say(f"start {n + 1}: ready after {again[-1]:.2f} s ({new[-1]:.2f} s at first); back {back[-1]:.2f} s")
    return [
        Figure("ready after start", "s", tuple(again), READY_SECONDS),
        Figure("ready after start, new store", "s", tuple(new)),
        Figure("next delivery after kill -9 of the worker", "s", tuple(back), BACK_SECONDS),
    ]


def _killing(rig: Rig, n: int) -> float:
    """Seconds from the kill to the first call about an alert that was sent after it: one sent before may have been
    under way."""
    (worker,) = rig.tree.pids("worker")
    killed_at: list[float] = []

    def kill() -> None:
        killed_at.append(time.time())
        os.kill(worker, signal.SIGKILL)

    rig.sandbox.begin(echoes=True)
    timer = threading.Timer(KILLED_AFTER_SECONDS, kill)
    timer.start()
    load = rig.pace(rig.bridge, f"kill{n}", RATE, LOAD_SECONDS)
    timer.join()
    rig.finish(len(load.accepted))
    if rig.tree.pids("worker") == [worker]:
        raise BenchFault("the worker that was killed still lives")
    arrived = rig.sandbox.opened_at()
    return min(arrived[incident_key(alert)] for alert, sent in load.sent.items() if sent > killed_at[0]) - killed_at[0]
