"""The measurements, in alternating rounds: what is compared is measured seconds apart, under the same weather."""

import hashlib
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from bench.alerts import AlertMill
from bench.figures import Figure, percentile
from bench.load import Generator, Load
from bench.processes import Bare, BenchFault, Bridge, Sandbox
from bench.walk import Walk

ACCEPT_OF_BARE = 0.5
ACCEPT_P99_MS = 10.0
CALL_P50_MS = 20.0
CALL_P99_MS = 100.0
DRAIN_PER_SECOND = 250.0
MEMORY_MB = 250.0

SIDE_RATE = 150
"""Alerts a second while a backlog drains."""
DRAINED_ALERTS = 1000
QUIET_SECONDS = 120
"""The longest wait for the bridge to finish what it was given."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    pairs: int
    rounds: int
    seconds: float
    connections: int
    backlog: int


FULL = Plan(pairs=7, rounds=3, seconds=8.0, connections=16, backlog=3000)
QUICK = Plan(pairs=3, rounds=1, seconds=3.0, connections=16, backlog=1500)


class Measurements:
    """Runs the rounds of a plan. ``say`` gets a line now and then."""

    def __init__(
        self, plan: Plan, mill: AlertMill, sandbox: Sandbox, bridge: Bridge, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._mill = mill
        self._sandbox = sandbox
        self._bridge = bridge
        self._say = say

    def accepting(self, bare: Bare, web_only: Bridge) -> list[Figure]:
        """How many a second the web processes take, in pairs with an endpoint that does nothing. No worker runs
        behind."""
        bare_rates, rates, ratios = [], [], []
        for server in (bare, web_only):
            self._saturate(server, "warm", 1.0)
        for n in range(self._plan.pairs):
            order = (bare, web_only) if n % 2 == 0 else (web_only, bare)
            rate = {server.name: self._saturate(server, f"pair{n}", 3.0).rate for server in order}
            bare_rates.append(rate[bare.name])
            rates.append(rate[web_only.name])
            ratios.append(rates[-1] / bare_rates[-1])
            self._say(f"pair {n + 1}: bare {bare_rates[-1]:,.0f}/s, accept {rates[-1]:,.0f}/s, ratio {ratios[-1]:.2f}")
        return [
            Figure("bare endpoint", "/s", tuple(bare_rates)),
            Figure("accept, durable", "/s", tuple(rates)),
            Figure("accept / bare", "", tuple(ratios), ACCEPT_OF_BARE, ">="),
        ]

    def accepting_beside_a_backlog(self, web_only: Bridge) -> list[Figure]:
        """Accept latency at a fixed rate: nothing else to do, then while the worker drains. Alternating."""
        idle: list[Load] = []
        busy: list[Load] = []
        drained: list[float] = []
        for n in range(self._plan.rounds):
            idle.append(self._pace(web_only, f"idle{n}", SIDE_RATE, self._plan.seconds))
            load, rate = self._pace_beside_a_backlog(n)
            busy.append(load)
            drained.append(rate)
            self._say(f"round {n + 1}: p99 idle {_p(idle[-1], 99):.1f} ms, draining {_p(load, 99):.1f} ms")
        return [
            Figure("accept p50, idle", "ms", tuple(_p(load, 50) for load in idle)),
            Figure("accept p99, idle", "ms", tuple(_p(load, 99) for load in idle)),
            Figure("accept p50, draining", "ms", tuple(_p(load, 50) for load in busy)),
            Figure("accept p99, draining", "ms", tuple(_p(load, 99) for load in busy), ACCEPT_P99_MS),
            Figure("drained meanwhile", "/s", tuple(drained)),
        ]

    def calling(self, per_second: int) -> list[Figure]:
        """From sending the alert to the arrival of the call at the partner, echoes of the calls included."""
        p50, p99 = [], []
        for n in range(self._plan.rounds):
            self._sandbox.begin(echoes=True)
            load = self._pace(self._bridge, f"call{per_second}-{n}", per_second, self._plan.seconds)
            self._finish(len(load.accepted))
            waits = self._waits(load)
            p50.append(percentile(waits, 50))
            p99.append(percentile(waits, 99))
            self._say(f"{per_second}/s, round {n + 1}: alert to call p50 {p50[-1]:.1f} ms, p99 {p99[-1]:.1f} ms")
        name = f"alert to call at {per_second}/s"
        return [
            Figure(f"{name}, p50", "ms", tuple(p50), CALL_P50_MS),
            Figure(f"{name}, p99", "ms", tuple(p99), CALL_P99_MS),
        ]

    def beside_the_console(self, per_second: int) -> list[Figure]:
        """The same while nobody, then while somebody walks through the console. Alternating."""
        accepts: dict[str, list[float]] = {"alone": [], "walked": []}
        calls: dict[str, list[float]] = {"alone": [], "walked": []}
        pages: list[float] = []
        for n in range(self._plan.rounds):
            for name in accepts:
                self._sandbox.begin(echoes=True)
                with ExitStack() as walking:
                    walk = walking.enter_context(Walk(self._bridge.address)) if name == "walked" else None
                    load = self._pace(self._bridge, f"console-{name}{n}", per_second, self._plan.seconds)
                self._finish(len(load.accepted))
                accepts[name].append(_p(load, 99))
                calls[name].append(percentile(self._waits(load), 99))
                if walk is not None:
                    pages.append(percentile(walk.milliseconds, 95))
            self._say(
                f"console, round {n + 1}: accept p99 {accepts['alone'][-1]:.1f}, walked {accepts['walked'][-1]:.1f} ms"
            )
        return [
            *(
                Figure(f"accept p99 at {per_second}/s, console {name}", "ms", tuple(some))
                for name, some in accepts.items()
            ),
            *(Figure(f"alert to call p99, console {name}", "ms", tuple(some)) for name, some in calls.items()),
            Figure("console page p95 meanwhile", "ms", tuple(pages)),
        ]

    def draining(self) -> list[Figure]:
        """A burst of alerts: calls a second from the first call to the last."""
        rates = []
        for n in range(self._plan.rounds):
            self._sandbox.begin(echoes=False)
            with Generator(self._bridge.address, self._plan.connections) as generator:
                _check(generator.post(self._mill.series(f"drain{n}"), DRAINED_ALERTS))
            self._finish(DRAINED_ALERTS)
            arrived = self._sandbox.opened_at().values()
            rates.append((len(arrived) - 1) / (max(arrived) - min(arrived)))
            self._say(f"burst {n + 1}: {DRAINED_ALERTS} alerts drained at {rates[-1]:.0f}/s")
        return [Figure(f"drain of {DRAINED_ALERTS}", "/s", tuple(rates), DRAIN_PER_SECOND, ">=")]

    def weighing(self) -> list[Figure]:
        """Resident memory of the whole bridge after all that."""
        weights = self._bridge.megabytes()
        parts = ", ".join(f"{name.rpartition(' ')[0]} {megabytes:.0f}" for name, megabytes in weights.items())
        return [Figure("memory, all processes", "MB", (sum(weights.values()),), MEMORY_MB, note=parts)]

    def _saturate(self, server: Bare | Bridge, name: str, seconds: float) -> Load:
        with Generator(server.address, self._plan.connections) as generator:
            return _check(generator.saturate(self._mill.series(f"{server.name}-{name}"), seconds))

    def _pace(self, server: Bridge, name: str, per_second: float, seconds: float) -> Load:
        with Generator(server.address, self._plan.connections) as generator:
            return _check(generator.pace(self._mill.series(name), per_second, seconds))

    def _pace_beside_a_backlog(self, n: int) -> tuple[Load, float]:
        self._sandbox.begin(echoes=False)
        with Generator(self._bridge.address, self._plan.connections) as generator:
            _check(generator.post(self._mill.series(f"backlog{n}"), self._plan.backlog))
        before, started = self._sandbox.incidents(), time.monotonic()
        load = self._pace(self._bridge, f"beside{n}", SIDE_RATE, self._plan.seconds)
        seconds, done = time.monotonic() - started, self._sandbox.incidents()
        if done >= self._plan.backlog + len(load.accepted):
            self._say("the backlog was gone before the round was over: the bridge drained faster than expected")
        self._finish(self._plan.backlog + len(load.accepted))
        return load, (done - before) / seconds

    def _finish(self, alerts: int) -> None:
        """Until every alert is an incident and nothing, echoes included, is left over for the next round."""
        ends = time.monotonic() + QUIET_SECONDS
        while (done := self._sandbox.incidents()) < alerts or self._sandbox.echoes()[1] or self._bridge.waiting():
            if time.monotonic() > ends:
                raise BenchFault(f"after {QUIET_SECONDS} s only {done} of {alerts} incidents\n{self._bridge.tail()}")
            time.sleep(0.2)
        # What `waiting` said may be a second old, and an echo may have come in since.
        time.sleep(1.1)
        if self._bridge.waiting():
            self._finish(alerts)

    def _waits(self, load: Load) -> list[float]:
        arrived = self._sandbox.opened_at()
        return [(arrived[_incident_key(alert)] - sent) * 1000 for alert, sent in load.sent.items()]


def _incident_key(alert_id: str) -> str:
    """As the bridge documents it: one key for each alert, for ever."""
    return "truthvouch-" + hashlib.sha256(alert_id.encode()).hexdigest()


def _p(load: Load, percent: float) -> float:
    return percentile(load.latencies_ms, percent)


def _check(load: Load) -> Load:
    if load.refused:
        raise BenchFault(f"not everything was accepted: {load.refused}")
    return load
