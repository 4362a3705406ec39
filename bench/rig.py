"""What every round is made of: alerts at some pace, and all that follows from them before the next round starts."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.alerts import AlertMill
from bench.load import Generator, Load
from bench.proc import Tree
from bench.processes import Bare, BenchFault, Bridge, Sandbox, free_port, fresh_database

STUCK_SECONDS = 120
"""The longest wait for any progress."""
AFTER_THE_LAST_SECONDS = 0.3
"""What the last webhook takes the bridge, amply."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    pairs: int
    rounds: int
    seconds: float
    connections: int
    backlog: int
    burst: int
    idle_seconds: float
    events: int
    """That a bridge has had when it is weighed."""


FULL = Plan(pairs=7, rounds=3, seconds=8.0, connections=16, backlog=3000, burst=1000, idle_seconds=20.0, events=100_000)
QUICK = Plan(pairs=3, rounds=1, seconds=3.0, connections=16, backlog=1500, burst=1000, idle_seconds=20.0, events=5_000)


@dataclass(frozen=True, slots=True)
class Setup:
    """What every part of one run shares."""

    plan: Plan
    mill: AlertMill
    folder: Path
    """For data and logs."""
    postgres: str
    """The URL of a server; empty: SQLite."""
    say: Callable[[str], None]
    """Gets a line now and then."""

    @contextmanager
    def rig(self, name: str, role: str = "all", **settings: str) -> Iterator["Rig"]:
        """A bridge with partners and a store of its own, started now. ``settings``: environment variables."""
        folder, port = self.folder / name, free_port()
        with fresh_database(self.postgres) as database, Sandbox(folder, port) as sandbox:
            rig = Rig(self, folder, sandbox, Bridge(folder, port, sandbox.url, role, database, settings))
            try:
                yield rig
            finally:
                rig.bridge.stop()


class Rig:
    """A bridge that is measured and the partners that it talks to."""

    def __init__(self, setup: Setup, folder: Path, sandbox: Sandbox, bridge: Bridge) -> None:
        self.setup = setup
        self.plan, self.mill, self.say = setup.plan, setup.mill, setup.say
        self.folder = folder
        self.sandbox = sandbox
        self.bridge = bridge
        self.tree = Tree(bridge.pid)

    def restart(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        """The same bridge once more, over the same store."""
        self.bridge.stop()
        meanwhile()
        self.bridge = self.bridge.again()
        self.tree = Tree(self.bridge.pid)

    def saturate(self, server: Bare | Bridge, name: str, seconds: float) -> Load:
        """Every connection always has one request in flight."""
        with Generator(server.address, self.plan.connections) as generator:
            return _check(generator.saturate(self.mill.series(f"{server.name}-{name}"), seconds))

    def pace(self, server: Bridge, name: str, per_second: float, seconds: float) -> Load:
        """A fixed rate, whatever the server does."""
        with Generator(server.address, self.plan.connections) as generator:
            return _check(generator.pace(self.mill.series(name), per_second, seconds))

    def post(self, name: str, count: int) -> Load:
        """So many at once to the bridge."""
        with Generator(self.bridge.address, self.plan.connections) as generator:
            return _check(generator.post(self.mill.series(name), count))

    def follow(self, alerts: int) -> None:
        """Until every alert is an incident, every webhook about one was sent, and the bridge has worked them off. It is
        asked little: each answer costs it processor time."""
        left, ends = None, 0.0
        while (now := self._left(alerts)) != (0, 0, 0):
            if now != left:
                left, ends = now, time.monotonic() + STUCK_SECONDS
            if time.monotonic() > ends:
                incidents, webhooks, events = now
                raise BenchFault(
                    f"nothing moved for {STUCK_SECONDS} s: {incidents} of {alerts} incidents are missing, {webhooks} "
                    f"webhooks to be sent, {events} events waiting\n{self.bridge.tail()}"
                )
            time.sleep(0.1)

    def _left(self, alerts: int) -> tuple[int, int, int]:
        incidents, webhooks = max(0, alerts - self.sandbox.incidents()), self.sandbox.echoes()[1]
        if incidents or webhooks:
            return incidents, webhooks, 0
        time.sleep(AFTER_THE_LAST_SECONDS)
        return 0, self.sandbox.echoes()[1], self.bridge.waiting()

    def finish(self, alerts: int) -> None:
        """Until nothing, webhooks included, is left over for the next round."""
        self.follow(alerts)
        time.sleep(1.1)  # what the bridge says of its events may be a second old
        self.follow(alerts)

    def drain(self, name: str, alerts: int) -> float:
        """So many alerts at once, without webhooks in answer: calls a second from the first call to the last."""
        self.sandbox.begin(echoes=False)
        self.post(name, alerts)
        self.finish(alerts)
        arrived = self.sandbox.opened_at().values()
        return (len(arrived) - 1) / (max(arrived) - min(arrived))

    def waits(self, load: Load) -> list[float]:
        """Milliseconds from sending each alert to the arrival of the call that opens its incident."""
        arrived = self.sandbox.opened_at()
        return [(arrived[incident_key(alert)] - sent) * 1000 for alert, sent in load.sent.items()]


def incident_key(alert_id: str) -> str:
    """As the bridge documents it: one key for each alert, for ever."""
    return "truthvouch-" + hashlib.sha256(alert_id.encode()).hexdigest()


def _check(load: Load) -> Load:
    if load.refused:
        raise BenchFault(f"not everything was accepted: {load.refused}")
    return load
