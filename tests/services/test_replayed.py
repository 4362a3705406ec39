"""What somebody kept and sends again after its id was swept is judged by its time and by what is known."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.names import Side, Status
from app.domain.words import AlertVerb, AlertWord
from tests.services.rigs import DatedRig

LATER = timedelta(days=40).total_seconds()
"""Retention is over long ago: no inbox row knows these deliveries."""


@pytest.fixture
def rig(tmp_path: Path) -> DatedRig:
    return DatedRig(tmp_path)


def happened(rig: DatedRig, *verbs: AlertVerb) -> list[AlertWord]:
    """One after the other, a minute apart; and then nothing for a long time."""
    words = []
    for verb in verbs:
        words.append(rig.alert(verb))
        rig.run()
        rig.clock.move(60)
    rig.clock.move(LATER)
    rig.pagerduty.calls.clear()
    rig.truthvouch.calls.clear()
    return words


def replayed(rig: DatedRig, word: AlertWord) -> None:
    rig.say(Side.TRUTHVOUCH, word)
    rig.run()
    rig.clock.move(60)


OVER = (AlertVerb.CREATED, AlertVerb.ACKNOWLEDGED, AlertVerb.REOPENED, AlertVerb.RESOLVED)
OPEN_AGAIN = (AlertVerb.CREATED, AlertVerb.ACKNOWLEDGED, AlertVerb.RESOLVED, AlertVerb.REOPENED)


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("verbs", [OVER, OPEN_AGAIN])
def test_a_captured_event_moves_nothing_after_its_id_was_swept(
    rig: DatedRig, verbs: tuple[AlertVerb, ...], timed: bool
) -> None:
    words = happened(rig, *verbs)
    stood = rig.link().status
    assert (Status.RESOLVED if verbs is OVER else Status.OPEN) is stood
    for word in words:
        replayed(rig, word if timed else replace(word, at=None))
        assert stood is rig.link().status, word.verb
        assert {stood} == {facts.status for facts in rig.pagerduty.incidents.values()}, word.verb
    assert [] == rig.truthvouch.calls
    assert [] == [call for call in rig.pagerduty.calls if not call.startswith(("get", "find", "notes"))]


def test_without_a_time_and_where_no_alert_can_be_read_one_that_goes_forward_counts(rig: DatedRig) -> None:
    """What docs/configuration.md says of ``replay_window_seconds``."""
    words = happened(rig, *OPEN_AGAIN)
    rig.truthvouch.shows_single = False
    for word in words:
        replayed(rig, replace(word, at=None))
    assert Status.RESOLVED is rig.link().status
