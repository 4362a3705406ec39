"""Whether more workers deliver more: one, two and four of them on one PostgreSQL, in alternating rounds."""

from contextlib import ExitStack

from bench.figures import Figure
from bench.processes import Worker
from bench.rig import Rig, Setup

COUNTS = (1, 2, 4)
FOUR_OF_ONE = 1.3
WARM_ALERTS = 100


def working_together(setup: Setup) -> list[Figure]:
    """Calls a second of a burst, by how many workers there are."""
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    with setup.rig("workers", role="web") as rig:
        for n in range(setup.plan.rounds):
            for count in COUNTS:
                rates[count].append(_drain(rig, count, n))
                setup.say(f"{count} workers, round {n + 1}: drained at {rates[count][-1]:.0f}/s")
    ratios = tuple(four / one for one, four in zip(rates[1], rates[4], strict=True))
    return [
        *(
            Figure(f"drain, {count} worker{'s' if count > 1 else ''} on PostgreSQL", "/s", tuple(rates[count]))
            for count in COUNTS
        ),
        Figure("drain, four workers / one", "", ratios, FOUR_OF_ONE, ">="),
    ]


def _drain(rig: Rig, count: int, n: int) -> float:
    with ExitStack() as stack:
        for number in range(count):
            stack.enter_context(Worker(rig.folder, rig.bridge, f"worker-{count}-{n}-{number}"))
        rig.bridge.wait_ready()
        rig.drain(f"together-warm-{count}-{n}", WARM_ALERTS)
        return rig.drain(f"together-{count}-{n}", rig.plan.burst)
