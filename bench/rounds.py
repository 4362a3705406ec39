"""The measurements, in alternating rounds: what is compared is measured seconds apart, under the same weather."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from bench.costs import AlertCosts, spending
from bench.figures import Figure, percentile
from bench.load import Load
from bench.processes import Bare, Bridge
from bench.rig import Rig
from bench.walk import Walk

ACCEPT_OF_BARE = 0.5
ACCEPT_OF_BARE_DELIVERING = 0.35
ACCEPT_P99_MS = 10.0
DRAIN_PER_SECOND = 500.0


@dataclass(frozen=True, slots=True)
class Rate:
    """Alerts a second, and what is asked of the bridge at this rate."""

    per_second: int
    call_p50_ms: float | None = None
    call_p99_ms: float | None = None
    alert_ms: float | None = None
    """Processor time for each."""


RATES = (Rate(20, 20.0, 100.0), Rate(50, 5.0, 15.0, 4.0), Rate(100))

SIDE_RATE = 150
"""Alerts a second while a backlog drains."""


def accepting(rig: Rig, bare: Bare, web_only: Bridge) -> list[Figure]:
    """How many a second the web processes take, in pairs with an endpoint that does nothing. No worker runs
    behind."""
    bare_rates, rates, ratios = [], [], []
    for server in (bare, web_only):
        rig.saturate(server, "warm", 1.0)
    for n in range(rig.plan.pairs):
        order = (bare, web_only) if n % 2 == 0 else (web_only, bare)
        rate = {server.name: rig.saturate(server, f"pair{n}", 3.0).rate for server in order}
        bare_rates.append(rate[bare.name])
        rates.append(rate[web_only.name])
        ratios.append(rates[-1] / bare_rates[-1])
        rig.say(f"pair {n + 1}: bare {bare_rates[-1]:,.0f}/s, accept {rates[-1]:,.0f}/s, ratio {ratios[-1]:.2f}")
    return [
        Figure("bare endpoint", "/s", tuple(bare_rates)),
        Figure("accept, durable", "/s", tuple(rates)),
        Figure("accept / bare", "", tuple(ratios), ACCEPT_OF_BARE, ">="),
    ]


def accepting_beside_a_backlog(rig: Rig, bare: Bare, web_only: Bridge) -> list[Figure]:
    """Accepts while the worker delivers: of many at once, beside an endpoint that does nothing; then their latency at a
    fixed rate, beside web processes with nothing else to do. Alternating."""
    rates: list[float] = []
    ratios: list[float] = []
    idle: list[Load] = []
    busy: list[Load] = []
    drained: list[float] = []
    for n in range(rig.plan.rounds):
        idle.append(rig.pace(web_only, f"idle{n}", SIDE_RATE, rig.plan.seconds))
        bare_rate = rig.saturate(bare, f"beside{n}", 2.0).rate
        rig.sandbox.begin(echoes=False)
        rates.append(rig.post(f"backlog{n}", rig.plan.backlog).rate)
        ratios.append(rates[-1] / bare_rate)
        load, rate = _pace_beside_a_backlog(rig, n)
        busy.append(load)
        drained.append(rate)
        rig.say(
            f"round {n + 1}: accept while delivering {rates[-1]:,.0f}/s, {ratios[-1]:.2f} of the bare endpoint; "
            f"p99 idle {_p(idle[-1], 99):.1f} ms, draining {_p(load, 99):.1f} ms"
        )
    return [
        Figure("accept, durable, while delivering", "/s", tuple(rates)),
        Figure("accept / bare, while delivering", "", tuple(ratios), ACCEPT_OF_BARE_DELIVERING, ">="),
        Figure("accept p50, idle", "ms", tuple(_p(load, 50) for load in idle)),
        Figure("accept p99, idle", "ms", tuple(_p(load, 99) for load in idle)),
        Figure("accept p50, draining", "ms", tuple(_p(load, 50) for load in busy)),
        Figure("accept p99, draining", "ms", tuple(_p(load, 99) for load in busy), ACCEPT_P99_MS),
        Figure("drained meanwhile", "/s", tuple(drained)),
    ]


def calling(rig: Rig) -> Iterator[Figure]:
    """From sending the alert to the arrival of the call at the partner, and the processor time that each alert took
    until the last webhook about it was worked off. At several rates in turn."""
    waits: dict[Rate, list[list[float]]] = {rate: [] for rate in RATES}
    costs = {rate: AlertCosts() for rate in RATES}
    rig.sandbox.begin(echoes=True)
    rig.finish(len(rig.pace(rig.bridge, "call-warm", 50, 1.0).accepted))
    for n in range(rig.plan.rounds):
        for rate in RATES:
            rig.sandbox.begin(echoes=True)
            with spending(rig.tree) as spent:
                load = rig.pace(rig.bridge, f"call{rate.per_second}-{n}", rate.per_second, rig.plan.seconds)
                rig.follow(len(load.accepted))
            waits[rate].append(rig.waits(load))
            cost = costs[rate].add(spent, len(load.accepted))
            p50, p99 = (percentile(waits[rate][-1], percent) for percent in (50, 99))
            rig.say(
                f"{rate.per_second}/s, round {n + 1}: alert to call p50 {p50:.1f} ms, p99 {p99:.1f} ms; "
                f"{cost:.2f} ms of a processor for each alert"
            )
            rig.finish(len(load.accepted))
    for rate in RATES:
        for percent, bound in ((50, rate.call_p50_ms), (99, rate.call_p99_ms)):
            values = tuple(percentile(some, percent) for some in waits[rate])
            yield Figure(f"alert to call at {rate.per_second}/s, p{percent}", "ms", values, bound)
    for rate in RATES:
        yield costs[rate].figure(f"{rate.per_second}/s", rate.alert_ms)


def beside_the_console(rig: Rig, per_second: int) -> list[Figure]:
    """The same while nobody, then while somebody walks through the console. Alternating."""
    accepts: dict[str, list[float]] = {"alone": [], "walked": []}
    calls: dict[str, list[float]] = {"alone": [], "walked": []}
    pages: list[float] = []
    for n in range(rig.plan.rounds):
        for name in accepts:
            rig.sandbox.begin(echoes=True)
            with ExitStack() as walking:
                walk = walking.enter_context(Walk(rig.bridge.address)) if name == "walked" else None
                load = rig.pace(rig.bridge, f"console-{name}{n}", per_second, 3 * rig.plan.seconds)
            rig.finish(len(load.accepted))
            accepts[name].append(_p(load, 99))
            calls[name].append(percentile(rig.waits(load), 99))
            if walk is not None:
                pages.append(percentile(walk.milliseconds, 95))
        rig.say(f"console, round {n + 1}: accept p99 {accepts['alone'][-1]:.1f}, walked {accepts['walked'][-1]:.1f} ms")
    return [
        *(Figure(f"accept p99 at {per_second}/s, console {name}", "ms", tuple(some)) for name, some in accepts.items()),
        *(Figure(f"alert to call p99, console {name}", "ms", tuple(some)) for name, some in calls.items()),
        Figure("console page p95 meanwhile", "ms", tuple(pages)),
    ]


def draining(rig: Rig) -> list[Figure]:
    """A burst of alerts: calls a second from the first call to the last."""
    rates = []
    for n in range(rig.plan.rounds):
        rates.append(rig.drain(f"drain{n}", rig.plan.burst))
        rig.say(f"burst {n + 1}: {rig.plan.burst} alerts drained at {rates[-1]:.0f}/s")
    return [Figure(f"drain of {rig.plan.burst}", "/s", tuple(rates), DRAIN_PER_SECOND, ">=")]


def _pace_beside_a_backlog(rig: Rig, n: int) -> tuple[Load, float]:
    before, started = rig.sandbox.incidents(), time.monotonic()
    load = rig.pace(rig.bridge, f"beside{n}", SIDE_RATE, rig.plan.seconds)
    seconds, done = time.monotonic() - started, rig.sandbox.incidents()
    if done >= rig.plan.backlog + len(load.accepted):
        rig.say("the backlog was gone before the round was over: the bridge drained faster than expected")
    rig.finish(rig.plan.backlog + len(load.accepted))
    return load, (done - before) / seconds


def _p(load: Load, percent: float) -> float:
    return percentile(load.latencies_ms, percent)
