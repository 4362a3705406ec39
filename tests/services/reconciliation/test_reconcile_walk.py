"""However many alerts were missed, and whatever interrupts reading the list back: in the end each is taken in."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import AlertId, Status
from tests.rig import Rig

PAGE = 3


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.truthvouch.page_size = PAGE
    rig.calls_per_hour = 10_000
    rig.reconcile()  # the store is born
    return rig


def raised(rig: Rig, name: str, received: bool = False) -> None:
    """An alert is raised; its webhook may be lost."""
    rig.truthvouch.created_at[name] = rig.clock.move(1)
    rig.truthvouch.status[name] = Status.OPEN
    if received:
        rig.alert(AlertEventType.CREATED, alert_id=name)


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
        raised(rig, f"received-{number}", received=True)
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
        raised(rig, f"received-{number}", received=True)
    rig.run()
    rig.reconcile()
    rig.clock.move(3_600)
    rig.reconcile()
    rig.truthvouch.looks.clear()
    rig.clock.move(300)
    rig.reconcile()
    assert ["page 1"] == [look for look in rig.truthvouch.looks if look.startswith("page")]


# ------------------------------------------------------------ whatever the order of the list


def known_and_one_lost(rig: Rig, lost_at: int = 55) -> None:
    """Sixty alerts that were heard, on three pages with one that was not. What was there before it has been read."""
    rig.truthvouch.page_size = 25
    for number in range(60):
        if number == lost_at:
            rig.reconcile()
            rig.clock.move(7_200)
            raised(rig, "lost")
        raised(rig, f"received-{number}", received=True)
        rig.clock.move(60)
    rig.run()
    rig.clock.move(7_200)
    rig.truthvouch.looks.clear()


def pages_read(rig: Rig) -> list[str]:
    return [look for look in rig.truthvouch.looks if look.startswith("page")]


@pytest.mark.parametrize("reports_last_page", [True, False])
def test_oldest_first_a_lost_alert_on_the_third_page_is_found_by_one_run(rig: Rig, reports_last_page: bool) -> None:
    rig.truthvouch.newest_first, rig.truthvouch.reports_last_page = False, reports_last_page
    known_and_one_lost(rig)
    found = rig.reconcile()
    assert [("lost", "missed")] == [(finding.alert_id, finding.outcome) for finding in found.findings]
    assert 61 == paged(rig)


def test_oldest_first_a_second_run_reads_the_first_and_the_last_page(rig: Rig) -> None:
    rig.truthvouch.newest_first = False
    known_and_one_lost(rig)
    rig.reconcile()
    rig.truthvouch.looks.clear()
    rig.clock.move(300)
    rig.reconcile()
    assert ["page 1", "page 3"] == pages_read(rig)


@pytest.mark.parametrize("broken_at", [1, 2, 3, 4, 5])
def test_oldest_first_a_walk_that_breaks_off_goes_on_next_time(rig: Rig, broken_at: int) -> None:
    rig.truthvouch.newest_first = False
    for number in range(2 * PAGE):
        raised(rig, f"received-{number}", received=True)
    rig.clock.move(3_600)
    rig.reconcile()
    rig.clock.move(3_600)
    for number in range(5 * PAGE):
        raised(rig, f"lost-{number}")
        rig.clock.move(600)
    rig.truthvouch.look_faults.queue.extend([""] * (broken_at - 1) + ["timeout"])
    rig.reconcile()
    rig.clock.move(3_600)
    for number in range(2 * PAGE):
        raised(rig, f"later-{number}")
    looks_until_quiet(rig, 1)
    assert 9 * PAGE == paged(rig)


def test_without_creation_times_every_page_is_read_and_what_is_not_known_is_reported(rig: Rig) -> None:
    listed = rig.truthvouch._listed

    def undated(alert_id: AlertId) -> AlertEvent:
        event = listed(alert_id)
        return replace(event, alert=replace(event.alert, created_at=None))

    rig.truthvouch._listed = undated  # type: ignore[method-assign]
    known_and_one_lost(rig, lost_at=2)
    found = rig.reconcile()
    assert ["page 1", "page 2", "page 3"] == pages_read(rig)
    assert (False, False) == (found.agreed, found.complete)
    assert ("TruthVouch: 1 could not be read (no_creation_time)",) == found.faults


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_list_whose_order_flips_between_two_runs_hides_nothing(rig: Rig, newest_first: bool) -> None:
    for flip in range(4):
        rig.truthvouch.newest_first = newest_first is (flip % 2 == 0)
        for number in range(3 * PAGE):
            raised(rig, f"lost-{flip}-{number}")
            rig.clock.move(600)
        rig.truthvouch.look_faults.queue.extend(["", "", "timeout"])  # what one run leaves the next one finds
        rig.reconcile()
        rig.truthvouch.newest_first = not rig.truthvouch.newest_first
        looks_until_quiet(rig, 1)
        assert (flip + 1) * 3 * PAGE == paged(rig)


def test_oldest_first_what_cannot_be_read_one_by_one_is_sought_in_the_list(rig: Rig) -> None:
    rig.truthvouch.newest_first, rig.truthvouch.shows_single = False, False
    for number in range(6 * PAGE):
        raised(rig, f"received-{number}", received=True)
        rig.clock.move(600)
    rig.run()
    rig.reconcile()
    rig.clock.move(7_200)
    rig.reconcile()
    rig.truthvouch.looks.clear()
    rig.truthvouch.status["received-4"] = Status.RESOLVED
    rig.clock.move(300)
    found = rig.reconcile()
    assert [("received-4", "moved")] == [(finding.alert_id, finding.outcome) for finding in found.findings]
    assert ["page 1", "page 6", "page 5", "page 4", "page 3", "page 2"] == pages_read(rig)
