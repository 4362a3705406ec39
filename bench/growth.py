"""Whether an event costs more once the store is large: an empty one against one with a million links, in turn."""

import time

from bench.costs import AlertCosts, spending
from bench.figures import Figure, percentile
from bench.rig import Rig, Setup

LINKS = 1_000_000
RATE = 50
"""Alerts a second."""
EMPTY, LARGE = "empty store", f"{LINKS:,} links"


def growing(setup: Setup) -> list[Figure]:
    """Processor time for each alert, and how long each waits for its call. To fill the store takes minutes."""
    with setup.rig("empty") as empty, setup.rig("large") as large:
        began = time.monotonic()
        large.restart(meanwhile=lambda: _fill(large))
        setup.say(f"{LINKS:,} links in {time.monotonic() - began:.0f} s")
        rigs = {EMPTY: empty, LARGE: large}
        costs = {name: AlertCosts() for name in rigs}
        waits: dict[str, list[float]] = {name: [] for name in rigs}
        ratios = []
        for rig in rigs.values():
            _one_round(rig, "warm")
        for n in range(setup.plan.rounds):
            cost = {}
            for name, rig in rigs.items():
                cost[name], wait = _one_round(rig, str(n), costs[name])
                waits[name].append(wait)
            ratios.append(cost[LARGE] / cost[EMPTY])
            setup.say(f"growth, round {n + 1}: {cost[EMPTY]:.2f} ms, in the large store {cost[LARGE]:.2f} ms")
    return [
        *(costs[name].figure(f"{RATE}/s, {name}", None) for name in rigs),
        Figure("processor time per alert, large / empty", "", tuple(ratios)),
        *(Figure(f"alert to call at {RATE}/s, p50, {name}", "ms", tuple(waits[name])) for name in rigs),
    ]


def _fill(rig: Rig) -> None:
    from bench.large_store import grow  # loads the bridge, which nothing else here does

    grow(rig.bridge.data, rig.bridge.database_url or None, LINKS)


def _one_round(rig: Rig, name: str, costs: AlertCosts | None = None) -> tuple[float, float]:
    rig.sandbox.begin(echoes=True)
    with spending(rig.tree) as spent:
        load = rig.pace(rig.bridge, f"growth-{name}", RATE, rig.plan.seconds)
        rig.follow(len(load.accepted))
    wait = percentile(rig.waits(load), 50)
    rig.finish(len(load.accepted))
    return (costs or AlertCosts()).add(spent, len(load.accepted)), wait
