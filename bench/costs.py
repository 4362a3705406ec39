"""What the bridge takes of the machine: processor time for each alert, and with nothing to do."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.figures import Figure, number
from bench.proc import Tree
from bench.rig import Rig

BURST_ALERT_MS = 2.0
IDLE_PERCENT = 1.5
COMMITS_PER_SECOND = 10.0

WORK_BEFORE_IDLE = 20
"""Alerts: what is loaded with the first of them is there."""
SESSION_SAYS_SECONDS = 12.0
"""A session that has become idle says ten seconds later what it has committed, the start's migrations with it."""


@dataclass(slots=True)
class Spent:
    """Processor seconds of every process of the bridge, by role, between the two ends of ``spending``."""

    seconds: dict[str, float] = field(default_factory=dict)
    elapsed: float = 0.0


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
            note=parts_text(self.rounds[-1]),
        )  # fmt: skip


def bursting(rig: Rig) -> list[Figure]:
    """Processor time for each alert of many at once, until the last webhook about them is worked off."""
    costs, alerts = AlertCosts(), rig.plan.burst
    for n in range(rig.plan.rounds):
        rig.sandbox.begin(echoes=True)
        with spending(rig.tree) as spent:
            rig.post(f"burst{n}", alerts)
            rig.follow(alerts)
        rig.say(f"burst {n + 1}: {costs.add(spent, alerts):.2f} ms of a processor for each alert")
        rig.finish(alerts)
    return [costs.figure("burst", BURST_ALERT_MS)]


def idling(rig: Rig) -> list[Figure]:
    """Percent of one processor with nothing to do, after work: timers, heartbeats, looks at the store. On PostgreSQL
    also how many commits these are."""
    rig.sandbox.begin(echoes=True)
    rig.post("before-idle", WORK_BEFORE_IDLE)
    rig.finish(WORK_BEFORE_IDLE)
    if rig.setup.postgres:
        time.sleep(SESSION_SAYS_SECONDS)
    percents: list[float] = []
    commits: list[float] = []
    parts: Mapping[str, float] = {}
    for n in range(rig.plan.rounds):
        before = _commits(rig)
        with spending(rig.tree) as spent:
            time.sleep(rig.plan.idle_seconds)
        commits.append((_commits(rig) - before) / spent.elapsed)
        parts = {role: seconds / spent.elapsed * 100 for role, seconds in spent.seconds.items()}
        percents.append(sum(parts.values()))
        on_postgres = f", {commits[-1]:.1f} commits/s" if rig.setup.postgres else ""
        rig.say(f"idle {n + 1}: {percents[-1]:.2f} % of a processor{on_postgres}")
    figures = [Figure("idle, everything", "%", tuple(percents), IDLE_PERCENT, note=parts_text(parts))]
    if rig.setup.postgres:
        figures.append(Figure("idle, commits on PostgreSQL", "/s", tuple(commits), COMMITS_PER_SECOND))
    return figures


def _commits(rig: Rig) -> int:
    """Of the bridge's database so far, reads included, however they end."""
    if not rig.setup.postgres:
        return 0
    import psycopg

    name = rig.bridge.database_url.rpartition("/")[2]
    with psycopg.connect(rig.setup.postgres, autocommit=True) as server:
        found = server.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s", (name,)
        ).fetchone()
    return int(found[0]) if found else 0


def parts_text(parts: Mapping[str, float]) -> str:
    """How a sum divides over the processes."""
    return ", ".join(f"{role} {number(value)}" for role, value in parts.items())
