"""kill -9 at the worst moments: everything comes back by itself, nothing is lost, nothing is doubled."""

import random
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.system.conftest import in_worlds
from tests.system.processes import kill
from tests.system.waiting import until
from tests.system.world import World

MOMENTS = {
    "opening the incident": ("pagerduty", "POST", r"/(incidents|enqueue)$"),
    "acknowledging the alert": ("truthvouch", "PATCH", r"/alerts/"),
    "resolving the incident": ("pagerduty", "(PUT|POST)", r"/incidents/[^/]+$|/enqueue$"),
    "writing the note": ("pagerduty", "POST", r"/notes$"),
}
METHODS = {"(PUT|POST)": ""}
CRASHES = [
    *(("rest", moment) for moment in MOMENTS),
    # The other two calls are the same ones whatever the API.
    ("events", "opening the incident"),
    ("events", "resolving the incident"),
]


KINDS = ("slow", "reset_after")
"""What the call walks into: it takes half a second, or is done and its answer lost."""


def lie_in_wait(world: World, moment: str) -> None:
    """Widen the moment, in one way for the first call and in the other for the second."""
    partner, method, path = MOMENTS[moment]
    method = METHODS.get(method, method)
    for kind in KINDS:
        world.sandbox.fault(partner=partner, method=method, path_regex=path, kind=kind, seconds=0.5, times=1)


def strike(world: World) -> None:
    """kill -9 of the worker as soon as it has walked into both faults; wait for its successor."""
    until(lambda: world.sandbox.hits() == len(KINDS), "the calls", evidence=world.evidence)
    dead = world.bridge.kill_worker()
    until(lambda: set(world.bridge.worker_pids()) - {dead}, "a new worker", evidence=world.bridge.tail)


@pytest.mark.parametrize(("world", "moment"), CRASHES, indirect=["world"])
def test_a_worker_killed_in_the_middle_loses_and_doubles_nothing(world: World, moment: str):
    """Two alerts, one for each kind of trouble."""
    alerts = [world.new_alert_id() for _ in KINDS]

    def do(step: str, action: Callable[[str], None], alert: str, incident: str) -> None:
        if step == moment:
            lie_in_wait(world, moment)
        for alert_id in alerts:
            action(alert_id)
        if step == moment:
            strike(world)
        for alert_id in alerts:
            world.until_both_are(alert_id, alert, incident)

    do("opening the incident", world.sandbox.raise_alert, "open", "triggered")
    acknowledge = partial(world.sandbox.at_pagerduty, action="acknowledge")
    do("acknowledging the alert", acknowledge, "acknowledged", "acknowledged")
    closing = moment if moment in ("resolving the incident", "writing the note") else "resolving the incident"
    resolve = partial(world.sandbox.at_truthvouch, action="resolve", reason="fixed", text="Corrected")
    do(closing, resolve, "resolved", "resolved")
    for alert_id in alerts:
        until(partial(_has_note, world, alert_id), "the note", evidence=world.evidence)
        world.writes(alert_id)
        assert 1 == len(world.sandbox.incident(alert_id)["notes"])


def _has_note(world: World, alert_id: str) -> bool:
    return bool(world.sandbox.incident(alert_id)["notes"])


def test_a_worker_killed_at_random_instants_again_and_again(world: World):
    """A few times only: ``test_chaos`` does it all the time."""
    rng = random.Random(11)
    alerts = [world.new_alert_id() for _ in range(6)]
    for alert_id in alerts:
        world.sandbox.raise_alert(alert_id)
        if rng.random() < 0.5:
            strike_after(world, rng.uniform(0, 0.15))
    for alert_id in alerts:
        world.until_both_are(alert_id, "open", "triggered", 30)
    for alert_id in alerts:
        side = rng.choice(["at_pagerduty", "at_truthvouch"])
        getattr(world.sandbox, side)(alert_id, "resolve")
        if rng.random() < 0.5:
            strike_after(world, rng.uniform(0, 0.15))
    for alert_id in alerts:
        world.until_both_are(alert_id, "resolved", "resolved", 30)


def strike_after(world: World, seconds: float) -> None:
    """kill -9 of whatever worker there is, a moment from now."""
    moment = time.monotonic() + seconds
    until(lambda: time.monotonic() >= moment, "the moment")
    for pid in world.bridge.worker_pids():
        kill(pid)


@in_worlds("rest")
def test_killed_web_processes_come_back_and_lose_no_webhook(world: World):
    first, second = world.new_alert_id(), world.new_alert_id()
    world.sandbox.raise_alert(first)
    for pid in set(world.bridge.tree.members()) - {world.bridge.tree.pid, *world.bridge.worker_pids()}:
        kill(pid)
    world.sandbox.raise_alert(second)
    for alert_id in (first, second):
        world.until_both_are(alert_id, "open", "triggered")


@in_worlds("rest")
def test_a_killed_master_leaves_nothing_and_its_successor_finishes_the_work(world: World):
    alert_id = world.new_alert_id()
    world.sandbox.fault(partner="pagerduty", kind="refuse")
    world.sandbox.raise_alert(alert_id)
    until(lambda: world.sandbox.undelivered() == 0, "the webhook is stored", evidence=world.evidence)
    kill(world.bridge.tree.pid)
    until(lambda: world.bridge.tree.members() == {}, "nothing is left", 15, lambda: world.bridge.tree.members())
    world.sandbox.heal()
    world.bridge.start()
    world.until_both_are(alert_id, "open", "triggered")
    assert {"opened"} == set(world.writes(alert_id))
    assert 1 == len(world.sandbox.incidents(alert_id))
