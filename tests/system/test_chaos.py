"""Everything at once: traffic, people, failing partners and kill -9, again and again; and in the end nothing is wrong.

``make chaos SECONDS=600`` does the same for as long as one likes; docs/chaos.md says what it proves and what not.
"""

import sys

import pytest

from tests.chaos.report import tell
from tests.chaos.run import run

SECONDS, QUIET_SECONDS = 22.0, 60.0
"""With starting and stopping less than fifty seconds; quiet may take longer where the machine has other work."""
LEAST_KILLS = 20
SEEDS = {"sqlite": 26, "postgres": 18}


@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_nothing_is_lost_doubled_or_carried_in_the_wrong_order(store: str):
    said: list[str] = [f"Chaos on {store}, seed {SEEDS[store]}"]
    outcome = run(store, SECONDS, SEEDS[store], said.append, QUIET_SECONDS, LEAST_KILLS)
    tell([outcome], said.append)
    sys.stdout.write("\n".join(said) + "\n")
    assert [] == outcome.verdict.failures, "\n".join(said)
    assert sum(kill.whom != "stop" for kill in outcome.seen.kills) >= LEAST_KILLS
    assert len(outcome.seen.alerts) >= 50
    assert len(outcome.seen.acts) >= 20
    assert 0 == sum(outcome.seen.webhooks[name] for name in ("queued", "held", "failed"))
