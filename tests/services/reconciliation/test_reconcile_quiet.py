"""An alert without an incident owes nobody anything: many are never resolved, and they are not read for ever."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType
from app.domain.model.outcome import Done
from app.domain.model.types import Status
from app.domain.rules.rulebook import Rulebook, Silence
from app.ports import AlertPage
from tests.fakes import START
from tests.rig import Rig
from tests.services.reconciliation.test_reconcile import both, forget, opened, outcomes


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return opened(Rig(tmp_path))


def shows_no_list(rig: Rig) -> None:
    """What is not read one by one is not seen."""
    rig.truthvouch.page = lambda page, status=None: Done(AlertPage((), False, 1))  # type: ignore[method-assign]


def quiet(rig: Rig, alert_id: str) -> None:
    """An alert without an incident, open at TruthVouch."""
    rig.truthvouch.status[alert_id] = Status.OPEN
    rig.alert(AlertEventType.CREATED, alert_id=alert_id, severity="low")
    assert not rig.link(alert_id).paged


def read_singly(rig: Rig) -> list[str]:
    """Which alerts a run asks for one by one; nothing is delivered."""
    forget(rig)
    rig.reconcile()
    return rig.truthvouch.looks


def test_an_alert_without_an_incident_is_read_for_a_week_and_one_with_an_incident_for_ever(rig: Rig) -> None:
    shows_no_list(rig)
    quiet(rig, "quiet")
    assert ["a1", "quiet"] == read_singly(rig)
    rig.clock.move(timedelta(days=6).total_seconds())
    assert ["a1", "quiet"] == read_singly(rig)
    rig.clock.move(timedelta(days=2).total_seconds())
    quiet(rig, "young")
    assert ["a1", "young"] == read_singly(rig)
    rig.truthvouch.status["a1"] = Status.RESOLVED
    assert [("truthvouch", "moved")] == outcomes(rig)
    assert (Status.RESOLVED, Status.RESOLVED) == both(rig)


def test_an_alert_that_is_silenced_is_read_as_long_as_it_may_still_page(rig: Rig) -> None:
    shows_no_list(rig)
    silence = Silence("known", 'severity == "critical"', "dana", "it is known", START + timedelta(days=90))
    rig.rulebook.rulebook = Rulebook(silences=(silence,))
    rig.truthvouch.status["silenced"] = Status.OPEN
    rig.alert(AlertEventType.CREATED, alert_id="silenced")
    assert not rig.link("silenced").paged
    rig.clock.move(timedelta(days=30).total_seconds())
    assert ["a1", "silenced"] == read_singly(rig)


def test_the_list_tells_of_old_alerts_without_an_incident(rig: Rig) -> None:
    quiet(rig, "quiet")
    rig.clock.move(timedelta(days=30).total_seconds())
    rig.truthvouch.status["quiet"] = Status.RESOLVED
    assert [("truthvouch", "moved")] == outcomes(rig)
    assert Status.RESOLVED is rig.link("quiet").status
