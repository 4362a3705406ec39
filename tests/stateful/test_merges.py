"""Incidents that people merge: whatever order the webhooks of one scenario come in, with any of them lost and found by
reconciliation, the end is the same.

PagerDuty keeps the order of the webhooks of one incident. A merge is told on the incident that it ends, and what people
do next on the one that survives: either may be heard first.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.model.events import IncidentEventType
from app.domain.model.types import Side, Status, Via
from tests.stateful import promises
from tests.stateful.model import Change, carried_in_turn
from tests.stateful.partners import SOMEBODY, Switches
from tests.stateful.world import Webhook, World, key_of

EXAMPLES = int(os.environ.get("BRIDGETEST_EXAMPLES", "60"))
ALERTS = ("a1", "a2", "a3")
BY_HAND = "by hand"
OPEN, ACKNOWLEDGED, RESOLVED = Status
TV, PD = Side


@dataclass(frozen=True)
class Act:
    """What a person does: to an alert, to the incident that it is on, or a merge of that into another alert's."""

    side: Side
    alert_id: str
    does: str
    into: str = ""


@dataclass(frozen=True)
class Phase:
    """What people do before anything of it is heard. All of it is heard and carried before the next phase.

    Its acts are such that no order of hearing can make a difference: one side's alone, or only such as go forward.
    """

    acts: tuple[Act, ...]

    @property
    def goes_forward(self) -> bool:
        return self.of_both_sides or any(act.does == "merge" for act in self.acts)

    @property
    def of_both_sides(self) -> bool:
        return {act.side for act in self.acts} == set(Side)


def acts(side: Side, *does: str) -> st.SearchStrategy[Act]:
    return st.builds(Act, st.just(side), st.sampled_from(ALERTS), st.sampled_from(does))


merges = st.builds(Act, st.just(PD), st.sampled_from(ALERTS), st.just("merge"), st.sampled_from((*ALERTS, BY_HAND)))
forward = acts(TV, "ack", "resolve") | acts(PD, "ack", "resolve") | merges
phases = st.one_of(
    st.lists(acts(TV, "ack", "resolve", "reopen"), min_size=1, max_size=4),
    st.lists(acts(PD, "ack", "unack", "resolve", "reopen"), min_size=1, max_size=4),
    st.lists(forward, min_size=1, max_size=6),
    st.lists(forward, min_size=1, max_size=6),
).map(lambda found: Phase(tuple(found)))
ahead = st.integers(-300, 300).map(float)
switches = st.builds(
    Switches,
    via=st.sampled_from(list(Via)),
    pagerduty_ahead=ahead,
    truthvouch_ahead=ahead,
    reports_api_changes=st.booleans(),
    shows_single=st.booleans(),
    alerts_reopen=st.booleans(),
    events_take=st.sampled_from([0.0, 0.3]),
)


@contextmanager
def a_world(switches: Switches, alerts: Sequence[str] = ALERTS) -> Iterator[World]:
    """Alerts with an incident each, and one that a person opened by hand; nothing is under way."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        world = World(Path(folder), switches)
        try:
            for alert_id in alerts:
                world.raise_alert(alert_id, "critical")
            world.pagerduty.by_person("Something else")
            world.run_until_quiet()
            world.tick(3)
            yield world
        finally:
            world.close()


def do(world: World, phase: Phase, act: Act, since: int) -> None:
    """One act, if it is possible. ``since``: how long the journal was when the last was carried."""
    world.tick(2)
    if act.side is TV:
        world.act(TV, act.alert_id, act.does)
        return
    incident, others = world.incident_of(act.alert_id), world.pagerduty.incidents
    if act.does != "merge":
        goes_back = act.does == "ack" and others[incident or ""].status is RESOLVED
        if not (goes_back and phase.goes_forward):
            world.act(PD, incident or "", act.does)
        return
    into = next(iter(world.pagerduty.by_hand)) if act.into == BY_HAND else world.incident_of(act.into)
    assert incident is not None
    assert into is not None
    both_open = RESOLVED not in (others[incident].status, others[into].status)
    if incident != into and both_open and not is_forgotten(world, incident, since):
        world.merge(incident, into)


def is_forgotten(world: World, incident: str, since: int) -> bool:
    """Whether nothing would show any more what an incident was while another one's alerts were on it: nobody has told
    us of that merge yet, and then it is merged away itself."""
    merged = any(change.merged_into == incident for change in world.journal[since:])
    return merged and world.pagerduty.incidents[incident].status is ACKNOWLEDGED


def is_found_later(world: World, phase: Phase, hook: Webhook) -> bool:
    """Whether a read will show what a webhook told: what was acknowledged and merged away then shows nothing of it;
    what a person did at one side may be overwritten by what another did at the other one; and an incident that others
    share does not show that it was resolved and opened again, which opens also those of its alerts that are over."""
    merged = [change for change in world.journal if change.merged_into]
    if hook.event.author == SOMEBODY and phase.of_both_sides:
        return hook.event.type is IncidentEventType.MERGED
    if hook.event.type is IncidentEventType.REOPENED and any(hook.subject == change.merged_into for change in merged):
        return False
    acknowledged = hook.event.type in (IncidentEventType.ACKNOWLEDGED, IncidentEventType.UNACKNOWLEDGED)
    return not (acknowledged and any(hook.subject in (change.subject, change.merged_into) for change in merged))


def carry(world: World, phase: Phase, random: Random, losses: float) -> None:
    """All webhooks arrive in some order, or never, and the bridge works between them as it comes; then reconciliation
    reads both sides."""
    world.tick(2)
    while ready := world.ready():
        hook = random.choice(ready)
        if random.random() < losses and is_found_later(world, phase, hook):
            world.lose(hook)
        else:
            world.arrive(hook)
        if random.random() < 0.6:
            world.take_in(1)
        if random.random() < 0.6:
            world.work(random.randint(1, 3))
        world.tick(random.choice((0.05, 0.5, 3.0)))
    world.quiet()
    world.tick(3)


def all_of(world: World) -> list[tuple[Side, Status, Status, tuple[str, ...]]]:
    """What people did, and what looks as if they had."""
    seen = [change for change in world.journal if change.by_person or change.hits_others]
    return [(change.side, change.before, change.status, change.about) for change in seen]


def wanted(world: World) -> dict[str, set[Status]]:
    """Where the alerts may stand. Whether an event of ours met alerts of which we did not know that they were there is
    a matter of what was heard first; and so is what a person did to an incident that was resolved for another alert
    before we heard of the merge."""
    names = {key_of(alert_id): alert_id for alert_id in world.truthvouch.status}
    people = [change for change in world.journal if change.by_person]
    hits = [change for change in world.journal if change.by_person or change.hits_others]
    scenarios = [people, [replace(change, survivor=change.survivor_hit) for change in hits]]
    scenarios.append([change for change in people if not is_overwritten(world, change)])
    ends = [carried_in_turn(scenario, names) for scenario in scenarios]
    return {alert_id: {end[alert_id] for end in ends} for alert_id in names.values()}


def is_overwritten(world: World, change: Change) -> bool:
    """Whether the bridge changed the incident next."""
    following = [other for other in world.journal[world.journal.index(change) + 1 :] if other.subject == change.subject]
    return change.side is PD and bool(following) and not following[0].by_person


def keep_the_promises(world: World) -> None:
    promises.nothing_waits(world)
    for link in world.all_links():
        promises.one_incident(world, link)
        promises.what_is_known_is_true(world, link)
        promises.both_sides_agree(world, link)
    promises.every_note_once(world)
    promises.what_is_not_ours_is_left_alone(world)
    promises.few_writes(world)


# The same scenarios every time, unless somebody asks for more of them.
@settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck),
    derandomize="BRIDGETEST_EXAMPLES" not in os.environ,
)  # fmt: skip
@given(st.lists(phases, min_size=1, max_size=3), switches, st.integers(0, 2**16))
def test_the_order_in_which_a_scenario_is_received_makes_no_difference(
    scenario: list[Phase], switches: Switches, seed: int
) -> None:
    runs: list[list[tuple[object, dict[str, Status]]]] = []
    for losses in (0.0, 0.0, 0.0, 0.4):
        with a_world(switches) as world:
            random, ends = Random(f"{seed} {len(runs)}"), list[tuple[object, dict[str, Status]]]()
            for phase in scenario:
                since = len(world.journal)
                for act in phase.acts:
                    do(world, phase, act, since)
                carry(world, phase, random, losses)
                keep_the_promises(world)
                for alert_id, statuses in wanted(world).items():
                    assert world.truthvouch.status[alert_id] in statuses, (alert_id, statuses, all_of(world))
                ends.append((all_of(world), dict(world.truthvouch.status)))
            runs.append(ends)
    for ends in runs[1:]:
        for end, first in zip(ends, runs[0], strict=True):
            # Where an alert got an incident of its own, what people do to that is not done to the others; and where an
            # event of ours met an incident before we heard of its merge, they act on a resolved one.
            assert end == first or end[0] != first[0]
