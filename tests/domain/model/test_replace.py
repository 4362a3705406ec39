"""``replace`` is that of ``dataclasses``, whatever it is given."""

import dataclasses
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from app.domain.model.types import Alert, AlertId, IncidentKey, Side, replace
from app.domain.sync.link import DeliveryState, HistoryEntry, Link

NOW = datetime(2026, 5, 4, tzinfo=UTC)
LINK = Link(Alert(AlertId("a"), "high", people={"email": "a@example.com"}), IncidentKey("k"), NOW)
VALUES = (LINK, LINK.alert, DeliveryState(True, 3, since=NOW), HistoryEntry(NOW, "resolved", Side.PAGERDUTY, "Ann"))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_each_field_alone_is_replaced_and_nothing_else(value):
    for one in dataclasses.fields(value):
        expected = dataclasses.replace(value, **{one.name: "another"})
        found = replace(value, **{one.name: "another"})
        assert type(value) is type(found)
        assert [getattr(expected, each.name) for each in dataclasses.fields(value)] == [
            getattr(found, each.name) for each in dataclasses.fields(value)
        ]
        assert "another" != getattr(value, one.name)


def test_without_a_change_it_is_an_equal_value_with_the_same_parts():
    found = replace(LINK)
    assert found == LINK
    assert hash(replace(VALUES[2])) == hash(VALUES[2])
    assert found is not LINK
    assert found.alert is LINK.alert
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.trace = "t"


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_field_that_is_not_there_is_refused(value):
    with pytest.raises((KeyError, TypeError)):
        replace(value, nothing=1)


@dataclass(frozen=True)
class _Open:
    one: int
    two: int = 2


@dataclass(slots=True)
class _Making:
    one: int
    two: int = field(default=2)
    both: int = field(default=0)

    def __post_init__(self) -> None:
        self.both = self.one + self.two


def test_what_has_no_slots_or_does_more_when_it_is_made_is_made_by_dataclasses():
    assert _Open(5, 2) == replace(_Open(1), one=5)
    assert 7 == replace(_Making(1), one=5).both
