"""A draft of the rulebook over the alerts that came: what would have been different, what it saves and what it costs.

Two decisions about one alert are compared by ``difference``; ``Backtest`` folds any number of them into numbers that
stay small. It compares rules: silences, which are about an hour, are left out of both sides. ``Hits`` and
``ShadowTally`` fold what was recorded while alerts came.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.domain.model.types import FALSE_ALERT, Alert, Side
from app.domain.rules.decide import decide, undecidable_by
from app.domain.rules.rulebook import SILENCED, Decision, Rulebook
from app.domain.sync.link import HistoryEntry

EXAMPLES = 5
"""Alert ids that are named for each kind of difference."""
MAX_NAMES = 1_000
"""Different rules and days that are counted apart."""


def _kept(names: Mapping[str, object], name: str) -> str:
    """The name it is counted under: beyond ``MAX_NAMES`` different ones that of the others."""
    return name if name in names or len(names) < MAX_NAMES else "others"


class Change(StrEnum):
    """What a draft does to one page."""

    GAINED = "gained"
    LOST = "lost"
    MOVED = "moved"
    SAME = "same"


class Worth(StrEnum):
    """Whether a page was needed."""

    FALSE_ALERT = "false_alert"
    RESOLVED_BY_ITSELF = "resolved_by_itself"
    TRUE_ALERT = "true_alert"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED_BY_A_PERSON = "resolved_by_a_person"
    STILL_OPEN = "still_open"
    """Neither noise nor cost: nobody acknowledged it, and it is not over."""


NOISE = (Worth.FALSE_ALERT, Worth.RESOLVED_BY_ITSELF)
"""What says that a page was not worth waking anybody, the clearest first."""
COST = (Worth.TRUE_ALERT, Worth.ACKNOWLEDGED, Worth.RESOLVED_BY_A_PERSON)
"""What says that somebody needed it."""


@dataclass(frozen=True, slots=True)
class PastAlert:
    """One stored alert: what it says, what was decided then, and what became of it."""

    alert: Alert
    at: datetime
    """When the bridge first saw it."""
    decided: Decision | None
    """What the bridge decided then; None when nothing that may open an incident ever came."""
    history: tuple[HistoryEntry, ...] = ()
    verdict: str | None = None
    flaps: int = 0


def difference(live: Decision, draft: Decision) -> tuple[Change, tuple[str, ...]]:
    """What happens to the page, and for one that moved what is different: urgency, service, policy, title."""
    if live.urgency is None or draft.urgency is None:
        if live.urgency is draft.urgency:
            return Change.SAME, ()
        return Change.LOST if draft.urgency is None else Change.GAINED, ()
    pairs = {
        "urgency": (live.urgency, draft.urgency),
        "service": (live.service_id, draft.service_id),
        "policy": (live.escalation_policy_id, draft.escalation_policy_id),
        "title": (live.title, draft.title),
    }
    moved = tuple(name for name, (before, after) in pairs.items() if before != after)
    return (Change.MOVED if moved else Change.SAME), moved


def worth(past: PastAlert) -> Worth:
    """Whether the page was needed. A verdict beats all else."""
    if past.verdict is not None:
        return Worth.FALSE_ALERT if past.verdict == FALSE_ALERT else Worth.TRUE_ALERT
    # TruthVouch does not always say who acknowledged; PagerDuty names every person.
    if any(e.what == "acknowledged" and (e.side is Side.TRUTHVOUCH or e.author) for e in past.history):
        return Worth.ACKNOWLEDGED
    turns = [entry for entry in past.history if entry.what in ("resolved", "reopened")]
    # By our receipt, for the two sides' clocks are not comparable; in the same moment the furthest along wins.
    last = max(turns, key=lambda turn: (turn.received_at or turn.at, turn.what == "resolved"), default=None)
    if last is None or last.what == "reopened":
        return Worth.STILL_OPEN
    return Worth.RESOLVED_BY_A_PERSON if last.author else Worth.RESOLVED_BY_ITSELF


@dataclass(slots=True)
class Group:
    """Alerts of one kind of difference."""

    count: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    """By the rules that decided: ``live rule → draft rule``."""
    examples: list[str] = field(default_factory=list)
    """The first alert ids."""

    def add(self, alert_id: str, live_rule: str, draft_rule: str) -> None:
        """One more."""
        self.count += 1
        rule = live_rule if live_rule == draft_rule else f"{live_rule} → {draft_rule}"
        self.by_rule[_kept(self.by_rule, rule)] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(alert_id)


def _groups() -> dict[Change, Group]:
    return {change: Group() for change in Change if change is not Change.SAME}


@dataclass(slots=True)
class Pages:
    """Pages of both rulebooks, of one day or one rule."""

    live: int = 0
    draft: int = 0


@dataclass(slots=True)
class Backtest:
    """The fold. ``live`` and ``draft`` are asked without their silences."""

    live: Rulebook
    draft: Rulebook
    alerts: int = 0
    undecided: int = 0
    """Stored alerts that never asked for an incident: left out."""
    not_decidable: Counter[str] = field(default_factory=Counter)
    """Alerts whose evidence is erased, by the rule that reads it: left out."""
    groups: dict[Change, Group] = field(default_factory=_groups)
    moved_in: Counter[str] = field(default_factory=Counter)
    """What is different about the pages that moved."""
    total: Pages = field(default_factory=Pages)
    by_day: dict[str, Pages] = field(default_factory=dict)
    """By the UTC day on which the alert came."""
    by_rule: dict[str, Pages] = field(default_factory=dict)
    matched: dict[str, Pages] = field(default_factory=dict)
    """By rule: how many alerts it decided, whether or not they paged."""
    lost_worth: Counter[Worth] = field(default_factory=Counter)
    recorded_differs: Counter[str] = field(default_factory=Counter)
    """Where the live rulebook of today decides otherwise than was decided then, by the reason word recorded."""

    def __post_init__(self) -> None:
        self.live, self.draft = replace(self.live, silences=()), replace(self.draft, silences=())

    def add(self, past: PastAlert) -> None:
        """One more alert."""
        if past.decided is None:
            self.undecided += 1
            return
        if rule := undecidable_by(self.live, past.alert) or undecidable_by(self.draft, past.alert):
            self.not_decidable[_kept(self.not_decidable, rule)] += 1
            return
        self.alerts += 1
        live, draft = decide(self.live, past.alert, past.at), decide(self.draft, past.alert, past.at)
        self._count_pages(past.at.date().isoformat(), live, draft)
        change, moved = difference(live, draft)
        if change is not Change.SAME:
            self.groups[change].add(past.alert.alert_id, live.rule, draft.rule)
        self.moved_in.update(moved)
        if change is Change.LOST:
            self.lost_worth[worth(past)] += 1
        if difference(past.decided, live)[0] is not Change.SAME:
            self.recorded_differs[past.decided.reason if past.decided.reason == SILENCED else "rulebook_changed"] += 1

    def _count_pages(self, day: str, live: Decision, draft: Decision) -> None:
        def pages(book: dict[str, Pages], name: str) -> Pages:
            return book.setdefault(_kept(book, name), Pages())

        for of in (self.total, pages(self.by_day, day)):
            of.live += live.urgency is not None
            of.draft += draft.urgency is not None
        for book, counts in ((self.matched, True), (self.by_rule, False)):
            pages(book, live.rule).live += counts or live.urgency is not None
            pages(book, draft.rule).draft += counts or draft.urgency is not None

    def saved(self) -> Mapping[str, int]:
        """The lost pages nobody needed."""
        return {word: self.lost_worth[word] for word in NOISE if self.lost_worth[word]}

    def costs(self) -> Mapping[str, int]:
        """The lost pages somebody needed."""
        return {word: self.lost_worth[word] for word in COST if self.lost_worth[word]}

    @property
    def still_open(self) -> int:
        """The lost pages of which nobody can tell yet."""
        return self.lost_worth[Worth.STILL_OPEN]


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
        hit = self.by_rule.setdefault(_kept(self.by_rule, past.decided.rule), Hit())
        hit.matched += 1
        hit.paged += past.decided.urgency is not None
        hit.flaps += past.flaps


@dataclass(slots=True)
class ShadowTally:
    """The differences that a draft made while it ran beside the rulebook."""

    groups: dict[Change, Group] = field(default_factory=_groups)
    moved_in: Counter[str] = field(default_factory=Counter)
    by_day: Counter[str] = field(default_factory=Counter)
    by_version: Counter[str] = field(default_factory=Counter)
    """By the version of the draft."""

    def add(self, alert_id: str, at: datetime, facts: Mapping[str, Any]) -> None:
        """One more, as its time line has it."""
        group = self.groups.get(facts["change"])
        if group is None:
            return
        group.add(alert_id, facts["live"]["rule"], facts["draft"]["rule"])
        self.moved_in.update(facts["moved"])
        for counter, name in ((self.by_day, at.date().isoformat()), (self.by_version, facts["draft"]["rulebook"])):
            counter[_kept(counter, name)] += 1
