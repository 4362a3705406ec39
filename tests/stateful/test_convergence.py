"""Scenarios that once ended wrong, each with every clock ahead or behind: both sides end where the last person left
them.

Nothing goes wrong here. ``test_machine`` and ``test_merges`` look for the scenarios that nobody has thought of.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.domain.model.types import Side, Status, Via
from tests.stateful import promises
from tests.stateful.partners import Switches
from tests.stateful.world import Meanwhile, World

TV, PD = Side
OPEN, ACKNOWLEDGED, RESOLVED = Status
APART = [(0, 0), (60, 0), (-60, 0), (200, 0), (0, 60), (0, -60), (5, -5), (300, -300), (-300, 300)]
"""Seconds by which TruthVouch's clock and PagerDuty's are ahead of ours."""

clocks = pytest.mark.parametrize(("truthvouch", "pagerduty"), APART)
vias = pytest.mark.parametrize("via", list(Via))


@contextmanager
def a_world(switches: Switches, alerts: int = 1) -> Iterator[World]:
    """Alerts with an incident each; nothing is under way."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        world = World(Path(folder), switches)
        try:
            for number in range(alerts):
                world.raise_alert(f"a{number + 1}", "critical")
            world.run_until_quiet()
            world.tick(5)
            yield world
        finally:
            world.close()


def person(world: World, side: Side, does: str, alert_id: str = "a1") -> None:
    subject = alert_id if side is TV else world.incident_of(alert_id)
    assert world.act(side, subject or "", does), f"nobody can {does} there now"


def stands(world: World, alert_id: str = "a1") -> set[Status]:
    return {world.truthvouch.status[alert_id], world.pagerduty.incidents[world.incident_of(alert_id) or ""].status}


SCENARIOS = {
    "resolved and opened again at PagerDuty": [(PD, "resolve"), (PD, "reopen")],
    "taken in hand and handed back at PagerDuty": [(PD, "ack"), (PD, "unack")],
    "resolved at TruthVouch, opened again at PagerDuty": [(TV, "resolve"), (PD, "reopen")],
    "taken in hand at TruthVouch, handed back at PagerDuty": [(TV, "ack"), (PD, "unack")],
    "resolved at PagerDuty, opened again at TruthVouch": [(PD, "resolve"), (TV, "reopen")],
    "taken in hand at PagerDuty, handed back at TruthVouch": [(PD, "ack"), (TV, "reopen")],
    "opened again at PagerDuty, then taken in hand at TruthVouch": [(PD, "resolve"), (PD, "reopen"), (TV, "ack")],
    "opened again at PagerDuty, then resolved at TruthVouch": [(PD, "resolve"), (PD, "reopen"), (TV, "resolve")],
    "taken in hand of what was resolved": [(TV, "resolve"), (PD, "ack")],
}


@clocks
@vias
@pytest.mark.parametrize("reports_api_changes", [True, False])
def test_the_last_person_has_the_last_word(
    via: Via, truthvouch: float, pagerduty: float, reports_api_changes: bool
) -> None:
    switches = Switches(via, pagerduty, truthvouch, reports_api_changes=reports_api_changes, alerts_reopen=False)
    for name, scenario in SCENARIOS.items():
        with a_world(switches) as world:
            for side, does in scenario:
                person(world, side, does)
                world.tick(1.5)
                world.run_until_quiet()
            wanted = [change.status for change in world.journal if change.by_person][-1]
            assert stands(world) == {wanted}, name
            world.quiet()
            promises.check(world, calm=True)
            assert stands(world) == {wanted}, name


@clocks
@vias
def test_resolved_by_mistake_and_opened_at_once(via: Via, truthvouch: float, pagerduty: float) -> None:
    with a_world(Switches(via, pagerduty, truthvouch)) as world:
        person(world, PD, "resolve")
        world.tick(2)
        person(world, PD, "reopen")
        world.quiet()
        assert stands(world) == {OPEN}


@clocks
def test_what_people_do_during_a_call_is_not_taken_for_its_echo(truthvouch: float, pagerduty: float) -> None:
    with a_world(Switches(Via.REST, pagerduty, truthvouch)) as world:
        person(world, PD, "ack")
        world.meanwhile.append(Meanwhile(early=False, act=lambda: person(world, TV, "reopen"), seconds=1.5))
        world.run_until_quiet()
        assert world.meanwhile == []
        world.quiet()
        assert stands(world) == {OPEN}


@pytest.mark.parametrize("order", ["merge first", "merge last", "merge lost"])
@clocks
def test_a_survivor_that_a_person_resolved_is_never_opened_again(
    truthvouch: float, pagerduty: float, order: str
) -> None:
    with a_world(Switches(Via.REST, pagerduty, truthvouch), alerts=2) as world:
        _merged_and_received(world, order, lambda: person(world, PD, "resolve", "a2"))
        assert world.truthvouch.status == {"a1": RESOLVED, "a2": RESOLVED}
        assert not any(change.side is PD for change in world.written()), world.written()


@pytest.mark.parametrize("order", ["merge first", "merge last", "merge lost"])
@clocks
def test_a_survivor_that_was_resolved_for_another_alert_says_nothing_of_this_one(
    truthvouch: float, pagerduty: float, order: str
) -> None:
    with a_world(Switches(Via.REST, pagerduty, truthvouch), alerts=2) as world:
        _merged_and_received(world, order, lambda: person(world, TV, "resolve", "a2"))
        assert world.truthvouch.status == {"a1": OPEN, "a2": RESOLVED}
        incident = world.incident_of("a1")
        assert world.pagerduty.incidents[incident or ""].status is not RESOLVED


@pytest.mark.parametrize("order", ["merge first", "merge last", "merge lost"])
@clocks
def test_what_was_in_hand_before_a_merge_stays_in_hand(truthvouch: float, pagerduty: float, order: str) -> None:
    with a_world(Switches(Via.REST, pagerduty, truthvouch), alerts=2) as world:
        person(world, PD, "ack", "a1")
        world.run_until_quiet()
        _merged_and_received(world, order, lambda: None)
        assert world.truthvouch.status == {"a1": ACKNOWLEDGED, "a2": OPEN}
        assert not any(change.side is PD for change in world.written()), world.written()


def test_an_alert_whose_survivor_by_hand_is_over_gets_an_incident_of_its_own() -> None:
    with a_world(Switches()) as world:
        by_hand = world.pagerduty.by_person("Something else")
        world.merge(world.incident_of("a1") or "", by_hand)
        world.run_until_quiet()
        assert world.act(PD, by_hand, "resolve")
        world.run_until_quiet()
        person(world, TV, "reopen")
        world.quiet()
        promises.check(world, calm=True)
        assert world.incident_of("a1") != by_hand
        assert stands(world) == {OPEN}


def test_what_is_over_on_both_sides_does_not_follow_a_merge() -> None:
    with a_world(Switches(), alerts=2) as world:
        person(world, PD, "resolve", "a1")
        world.run_until_quiet()
        world.merge(world.incident_of("a1") or "", world.incident_of("a2") or "")
        world.run_until_quiet()
        person(world, PD, "ack", "a2")
        world.quiet()
        assert world.truthvouch.status == {"a1": RESOLVED, "a2": ACKNOWLEDGED}


def _merged_and_received(world: World, order: str, then: Callable[[], None]) -> None:
    """The first alert's incident is merged into the second's, somebody does something, and it is heard so."""
    world.merge(world.incident_of("a1") or "", world.incident_of("a2") or "")
    merge = next(hook for hook in world.post if hook.event.type == "merged")
    world.post.remove(merge)
    if order == "merge first":
        world.post.insert(0, merge)
    world.tick(2)
    then()
    world.run_until_quiet()
    world.tick(5)
    if order == "merge last":
        world.post.append(merge)
    world.quiet()
    promises.nothing_waits(world)
