"""One alert that a partner will not let us touch: it waits by itself, visibly, and nobody waits with it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.outcome import Held, Reply
from app.domain.model.types import AlertId, Status
from app.store.schema import dead_letters, key_values, timeline
from tests.rig import Rig

ALERTS = ("a1", "a2", "a3", "a4")


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    for alert_id in ALERTS:
        rig.alert(AlertEventType.CREATED, alert_id=alert_id)
    rig.run()
    rig.clock.move(60)
    return rig


def forbid(rig: Rig, *alert_ids: str) -> list[str]:
    """TruthVouch answers 403 to changes of these; the answer is who was tried."""
    willing = rig.truthvouch.set_status
    tried: list[str] = []

    def set_status(alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        tried.append(alert_id)
        return Held("forbidden") if alert_id in alert_ids else willing(alert_id, status, resolution)

    rig.truthvouch.set_status = set_status  # type: ignore[method-assign]
    return tried


def acknowledged(rig: Rig, *numbers: int) -> None:
    for number in numbers:
        rig.incident(IncidentEventType.ACKNOWLEDGED, f"Q{number}")


def column_of(rig: Rig, column: sa.Column[str]) -> list[str]:
    with rig.database.engine.connect() as connection:
        return list(connection.execute(sa.select(column)).scalars())


@pytest.mark.parametrize("forbidden", [("a1",), ("a1", "a2")])
def test_others_go_out_while_it_is_tried_for_weeks_and_never_given_up(rig: Rig, forbidden: tuple[str, ...]) -> None:
    tried = forbid(rig, *forbidden)
    acknowledged(rig, 1, 2, 3)
    for _ in range(4):
        rig.engine.run(rig.deliver, at_most=4)
        rig.clock.move(15)
    assert {"a3"} <= set(rig.truthvouch.status) - set(forbidden)
    for _ in range(3):
        rig.clock.move(10 * 24 * 3600)
        rig.engine.run(rig.deliver, at_most=4)
    acknowledged(rig, 4)
    for _ in range(2):  # after such a silence two that are refused pause the target once more, until another one asks
        rig.engine.run(rig.deliver, at_most=4)
        rig.clock.move(15)
    assert Status.ACKNOWLEDGED is rig.truthvouch.status["a4"]
    assert tried.count("a1") > 3
    assert [] == column_of(rig, dead_letters.c.reason)
    assert len(forbidden) == column_of(rig, timeline.c.event).count("delivery.held")
    assert any(mark.startswith("forbidden_to_some") for mark in column_of(rig, key_values.c.value))
    rig.truthvouch.set_status = type(rig.truthvouch).set_status.__get__(rig.truthvouch)  # type: ignore[method-assign]
    for _ in range(3):
        rig.clock.move(15)
        rig.run()
    assert {Status.ACKNOWLEDGED} == {rig.truthvouch.status[alert_id] for alert_id in ALERTS}
    assert not any("forbidden" in mark for mark in column_of(rig, key_values.c.value))
