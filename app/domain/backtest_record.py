"""What was recorded while alerts came: how often each rule decided, and where a draft beside it said otherwise."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.backtest import GAINED, LOST, MAX_NAMES, MOVED, Group, PastAlert, arrow, count


@dataclass(slots=True)
class Hit:
    """What one rule, or silence, or the severity map did."""

    matched: int = 0
    paged: int = 0
    flaps: int = 0
    """Reopens that nobody was told of, because the resolve before was held back."""


@dataclass(slots=True)
class Hits:
    """How often each rule decided, by the name it had then."""

    by_rule: dict[str, Hit] = field(default_factory=dict)
    alerts: int = 0

    def add(self, past: PastAlert) -> None:
        """One more alert."""
        if past.decided is None:
            return
        self.alerts += 1
        hit = self.by_rule.setdefault(past.decided.rule if len(self.by_rule) < MAX_NAMES else "others", Hit())
        hit.matched += 1
        hit.paged += past.decided.urgency is not None
        hit.flaps += past.flaps


@dataclass(slots=True)
class ShadowTally:
    """The differences that a draft made while it ran beside the rulebook."""

    groups: dict[str, Group] = field(default_factory=lambda: {kind: Group() for kind in (GAINED, LOST, MOVED)})
    moved_in: Counter[str] = field(default_factory=Counter)
    by_day: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)
    """By the version of the draft."""

    def add(self, alert_id: str, at: datetime, facts: Mapping[str, Any]) -> None:
        """One more, as its time line has it."""
        group = self.groups.get(facts["change"])
        if group is None:
            return
        group.add(alert_id, arrow(facts["live"]["rule"], facts["draft"]["rule"]))
        self.moved_in.update(facts["moved"])
        count(self.by_day, at.date().isoformat())
        count(self.by_version, facts["draft"]["rulebook"])
