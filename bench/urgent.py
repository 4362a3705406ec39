"""Whether a page that wakes somebody waits behind those that wake nobody, when PagerDuty takes only so many calls."""

import itertools
import time
from dataclasses import replace

from bench.figures import Figure
from bench.load import Generator
from bench.processes import BenchFault
from bench.rig import Rig, Setup, incident_key

URGENT_SECONDS = 5.0

WRITES_PER_SECOND = 16
OTHERS = 500
LOW = "high"
"""The severity that opens an incident of low urgency, unless a rulebook says otherwise; a critical one is of high."""
WAIT_SECONDS = 120


def urgent(setup: Setup) -> list[Figure]:
    """From sending a critical alert, in the midst of many of low urgency, to the arrival of its call."""
    waits = []
    for n in range(setup.plan.rounds):
        with setup.rig(f"urgent{n}", PAGERDUTY_REST_PER_MINUTE=str(60 * WRITES_PER_SECOND)) as rig:
            waits.append(_critical_wait(rig, n))
        setup.say(f"urgent {n + 1}: a critical alert took {waits[-1]:.2f} s to its call")
    name = f"critical alert amid {OTHERS} of low urgency at {WRITES_PER_SECOND} writes/s"
    return [Figure(name, "s", tuple(waits), URGENT_SECONDS)]


def _critical_wait(rig: Rig, n: int) -> float:
    low = replace(rig.mill, severity=LOW).series(f"low{n}")
    critical, request = next(rig.mill.series(f"critical{n}"))
    requests = [*itertools.islice(low, OTHERS)]
    requests.insert(OTHERS // 2, (critical, request))
    rig.sandbox.begin(echoes=True)
    with Generator(rig.bridge.address, rig.plan.connections) as generator:
        load = generator.post(iter(requests), len(requests))
    if load.refused:
        raise BenchFault(f"not everything was accepted: {load.refused}")
    return _arrival(rig, critical) - load.sent[critical]


def _arrival(rig: Rig, alert_id: str) -> float:
    ends = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends:
        if (at := rig.sandbox.opened_at().get(incident_key(alert_id))) is not None:
            return at
        time.sleep(0.1)
    raise BenchFault(f"no call about the critical alert within {WAIT_SECONDS} s\n{rig.bridge.tail()}")
