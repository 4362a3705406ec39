"""What the bridge takes of the machine: processor time for each alert, and with nothing to do."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.figures import Figure
from bench.proc import Tree
from bench.rig import Rig

BURST_ALERT_MS = 2.0
BURST_ALERTS = 1000
IDLE_PERCENT = 1.5
MEMORY_MB = 230.0


@dataclass(slots=True)
class Spent:
    """Processor seconds of every process of the bridge, by role, between the two ends of ``spending``."""

    seconds: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0

    def total(self) -> float:
        """Of all of them."""
        return sum(self.seconds.values())


@contextmanager
def spending(tree: Tree) -> Iterator[Spent]:
    """Counts what these processes take meanwhile."""
    spent, before, began = Spent(), tree.processor_seconds(), time.monotonic()
    yield spent
    after, spent.elapsed = tree.processor_seconds(), time.monotonic() - began
    spent.seconds = {role: seconds - before.get(role, 0.0) for role, seconds in after.items()}


@dataclass(slots=True)
class AlertCosts:
    """Milliseconds of a processor for each alert, round by round."""

    rounds: list[dict[str, float]] = field(default_factory=list)

    def add(self, spent: Spent, alerts: int) -> float:
        """One more round; what an alert took in it."""
        self.rounds.append({role: seconds / alerts * 1000 for role, seconds in spent.seconds.items()})
        return sum(self.rounds[-1].values())

    def figure(self, name: str, bound: float | None) -> Figure:
        """The median, and how it divides over the processes in the last round."""
        return Figure(
            f"processor time per alert, {name}", "ms", tuple(sum(one.values()) for one in self.rounds), bound,
            note=_parts(self.rounds[-1]),
        )  # fmt: skip


def weighing(rig: Rig) -> list[Figure]:
    """Memory of the whole bridge now."""
    weights = rig.tree.megabytes()
    parts = ", ".join(f"{role} {megabytes:.0f}" for role, megabytes in weights.items())
    return [Figure("memory, all processes", "MB", (sum(weights.values()),), MEMORY_MB, note=parts)]


def bursting(rig: Rig) -> list[Figure]:
    """Processor time for each alert of many at once, until the last webhook about them is worked off."""
    costs = AlertCosts()
    for n in range(rig.plan.rounds):
        rig.sandbox.begin(echoes=True)
        with spending(rig.tree) as spent:
            rig.post(f"burst{n}", BURST_ALERTS)
            rig.follow(BURST_ALERTS)
        rig.say(f"burst {n + 1}: {costs.add(spent, BURST_ALERTS):.2f} ms of a processor for each alert")
        rig.finish(BURST_ALERTS)
    return [costs.figure("burst", BURST_ALERT_MS)]


def idling(rig: Rig) -> list[Figure]:
    """Percent of one processor with nothing to do, after work: timers, look-outs, looks at the store."""
    percents: list[float] = []
    parts: Mapping[str, float] = {}
    for n in range(rig.plan.rounds):
        with spending(rig.tree) as spent:
            time.sleep(rig.plan.idle_seconds)
        parts = {role: seconds / spent.elapsed * 100 for role, seconds in spent.seconds.items()}
        percents.append(sum(parts.values()))
        rig.say(f"idle {n + 1}: {percents[-1]:.2f} % of a processor")
    return [Figure("idle, everything", "%", tuple(percents), IDLE_PERCENT, note=_parts(parts))]


def _parts(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{role} {value:.2f}" for role, value in parts.items())
