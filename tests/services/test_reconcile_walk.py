"""However many alerts were missed, and whatever interrupts reading the list back: in the end each is taken in."""

from pathlib import Path

import pytest

from app.domain.names import Status
from app.domain.words import AlertVerb
from tests.rig import Rig

PAGE = 3


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = PAGE
    rig.calls_per_hour = 10_000
    rig.reconcile()  # the store is born
    return rig


def raised(rig: Rig, name: str, heard: bool = False) -> None:
    """An alert is raised; its webhook may be lost."""
    rig.truthvouch.created_at[name] = rig.clock.move(1)
    rig.truthvouch.status[name] = Status.OPEN
    if heard:
        rig.alert(AlertVerb.CREATED, alert_id=name)


def paged(rig: Rig) -> int:
    rig.run()
    return len(rig.pagerduty.incidents)


def looks_until_quiet(rig: Rig, at_most: int = 6) -> None:
    for _ in range(at_most):
        rig.clock.move(300)
        rig.reconcile()


@pytest.mark.parametrize("broken_at", [1, 2, 3, 4])
def test_a_walk_that_breaks_off_goes_on_next_time(rig: Rig, broken_at: int) -> None:
    rig.clock.move(3_600)
    for number in range(4 * PAGE):
        raised(rig, f"lost-{number}")
    rig.truthvouch.look_faults.queue.extend([""] * (broken_at - 1) + ["timeout"])
    looks_until_quiet(rig, 3)
    assert 4 * PAGE == paged(rig)


def test_alerts_lost_behind_a_page_of_known_ones_are_found(rig: Rig) -> None:
    rig.clock.move(3_600)
    for number in range(2 * PAGE):
        raised(rig, f"lost-{number}")
    for number in range(2 * PAGE):
        raised(rig, f"heard-{number}", heard=True)
    looks_until_quiet(rig, 1)
    assert 4 * PAGE == paged(rig)


def test_what_came_while_a_walk_was_broken_off_is_found_too(rig: Rig) -> None:
    rig.clock.move(3_600)
    for number in range(4 * PAGE):
        raised(rig, f"lost-{number}")
    rig.truthvouch.look_faults.queue.extend(["", "", "timeout"])
    rig.reconcile()
    rig.clock.move(3_600)
    for number in range(2 * PAGE):
        raised(rig, f"later-{number}")
    looks_until_quiet(rig, 3)
    assert 6 * PAGE == paged(rig)


def test_when_all_is_known_a_look_reads_one_page(rig: Rig) -> None:
    for number in range(4 * PAGE):
        raised(rig, f"heard-{number}", heard=True)
    rig.run()
    rig.reconcile()
    rig.clock.move(3_600)
    rig.reconcile()
    rig.truthvouch.looks.clear()
    rig.clock.move(300)
    rig.reconcile()
    assert ["page 1"] == [look for look in rig.truthvouch.looks if look.startswith("page")]
