"""Everything at once: traffic, people, failing partners, lost webhooks and kill -9, again and again; and in the end
nothing is wrong.

``make chaos SECONDS=600`` does the same for as long as one likes; docs/chaos.md says what it proves and what not.
"""

import sys

import pytest

from tests.chaos.report import print_report
from tests.chaos.run import run
from tests.chaos.settings import described, drawn

SECONDS, QUIET_SECONDS = 22.0, 60.0
"""With starting and stopping less than fifty seconds; quiet may take longer where the machine has other work."""
LEAST_KILLS = 20
SEEDS = {"sqlite": 1157, "postgres": 75}
"""The partners' clocks are ten and eight minutes apart. With the first, TruthVouch tells of no API change, lists its
oldest alerts first, and PagerDuty's own alerts stay resolved when their incident is reopened."""
RUNS = [("sqlite", "events"), pytest.param("postgres", "rest", marks=pytest.mark.postgres)]
"""Many workers by REST, where nothing but they themselves keeps them from opening an incident twice."""


@pytest.mark.parametrize(("store", "via"), RUNS)
def test_nothing_is_lost_doubled_or_carried_in_the_wrong_order(store: str, via: str):
    said = [f"Chaos on {store} via {via}, seed {SEEDS[store]}", f"Settings: {described(drawn(SEEDS[store]))}"]
    outcome = run(store, via, SECONDS, SEEDS[store], said.append, QUIET_SECONDS, LEAST_KILLS)
    print_report([outcome], said.append)
    sys.stdout.write("\n".join(said) + "\n")
    assert [] == outcome.verdict.failures, "\n".join(said)
    assert sum(kill.whom != "stop" for kill in outcome.seen.kills) >= LEAST_KILLS
    assert len(outcome.seen.alerts) >= 50
    assert len(outcome.seen.acts) >= 20
    assert 0 == sum(outcome.seen.webhooks[name] for name in ("queued", "held", "failed"))
    assert outcome.seen.webhooks["dropped"] >= 10
    assert outcome.seen.found > 0, "nothing was found by looking, so nobody knows whether it would have been"
