"""A page that PagerDuty refused: no acknowledge makes or repeats it, and what comes about closes its letter."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEventType, CommandType
from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Refused, Reply
from app.domain.model.types import Status, Via
from app.store.schema import dead_letters
from tests.services.rigs import TimedRig

OPENING = {Via.REST: "open", Via.EVENTS: "trigger"}


class Bridge(TimedRig):
    """PagerDuty refuses the page of alert a1 until ``mend``."""

    def __init__(self, folder: Path, via: Via) -> None:
        super().__init__(folder, via)
        self.clock.move(0.25)
        self.opening = OPENING[via]
        setattr(self.pagerduty, self.opening, self._no)
        self.alert(AlertEventType.CREATED)
        self.wait(5)
        assert [("OpenIncident", "bad_request", "")] == self.dead_letters()

    def _no(self, _draft: IncidentDraft) -> Reply[Any]:
        self.pagerduty.calls.append(self.opening)
        return Refused("bad_request", 400, detail="Service not found")

    def mend(self) -> None:
        delattr(self.pagerduty, self.opening)
        self.pagerduty.calls.clear()

    def says(self, event_type: AlertEventType) -> None:
        self.clock.move(60)
        self.alert(event_type)
        self.wait(20)

    def dead_letters(self) -> list[tuple[str, str, str]]:
        """What they are about, why, and how they were closed."""
        with self.database.engine.connect() as connection:
            rows: list[Mapping[str, Any]] = [dict(row._mapping) for row in connection.execute(sa.select(dead_letters))]
        return [(row["effect"], row["reason"], row["outcome"] or "") for row in rows]

    @property
    def shown(self) -> dict[str, Status]:
        return {facts.incident_id: facts.status for facts in self.pagerduty.incidents.values()}


@pytest.fixture(params=list(Via))
def bridge(request: pytest.FixtureRequest, tmp_path: Path) -> Bridge:
    return Bridge(tmp_path, request.param)


def test_an_acknowledge_pages_nobody(bridge: Bridge) -> None:
    bridge.mend()
    bridge.says(AlertEventType.ACKNOWLEDGED)
    bridge.reconcile()
    bridge.wait(600)
    assert ({}, []) == (bridge.shown, [call for call in bridge.pagerduty.calls if call != "list"])
    assert [("OpenIncident", "bad_request", "")] == bridge.dead_letters()
    assert "bad_request" == bridge.link().pagerduty.dead, "and says so"


def test_once_the_page_is_replayed_the_acknowledge_follows_in_the_same_delivery(bridge: Bridge) -> None:
    bridge.says(AlertEventType.ACKNOWLEDGED)
    bridge.mend()
    bridge.command(CommandType.REPLAY, 1)
    assert 1 == len(bridge.engine.waiting)
    assert 1 == bridge.work(), "one delivery"
    following = {Via.REST: ["put acknowledged"], Via.EVENTS: ["event acknowledge"]}[bridge.link().via]
    assert [bridge.opening, *following] == [call for call in bridge.pagerduty.calls if call != "find"]
    assert {"Q1": Status.ACKNOWLEDGED} == bridge.shown
    bridge.wait(60)
    assert ("", Status.ACKNOWLEDGED) == (bridge.link().pagerduty.dead, bridge.link().agreed)
    assert [("OpenIncident", "bad_request", "replayed")] == bridge.dead_letters()


def test_a_page_that_comes_about_in_another_life_closes_its_own_dead_letter_and_holds_nothing_back(
    bridge: Bridge,
) -> None:
    bridge.says(AlertEventType.RESOLVED)
    bridge.mend()
    bridge.says(AlertEventType.REOPENED)
    assert {"Q1": Status.OPEN} == bridge.shown
    assert [("OpenIncident", "bad_request", "done")] == bridge.dead_letters()
    bridge.says(AlertEventType.ACKNOWLEDGED)
    assert ({"Q1": Status.ACKNOWLEDGED}, "") == (bridge.shown, bridge.link().pagerduty.dead)


def test_of_an_alert_that_is_over_nothing_is_left_to_replay(bridge: Bridge) -> None:
    bridge.says(AlertEventType.RESOLVED)
    bridge.mend()
    bridge.command(CommandType.REPLAY, 1)
    bridge.wait(60)
    assert ({}, [("OpenIncident", "bad_request", "nothing_to_do")]) == (bridge.shown, bridge.dead_letters())


def test_a_discarded_page_is_not_made_up_for_by_an_acknowledge(bridge: Bridge) -> None:
    bridge.mend()
    bridge.command(CommandType.DISCARD, 1)
    bridge.says(AlertEventType.ACKNOWLEDGED)
    assert {} == bridge.shown
