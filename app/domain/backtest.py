"""A draft of the rulebook over the alerts that came: what would have been different, what it saves and what it costs.

Two decisions about one alert are compared by ``difference``; ``Backtest`` folds any number of them into numbers that
stay small. It compares rules: silences, which are about an hour, are left out of both sides.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from app.domain.alert import Alert
from app.domain.link import Moment
from app.domain.names import Side
from app.domain.rulebook import Decision, Rulebook
from app.domain.rules import decide
from app.domain.silences import SILENCED
from app.domain.verdict import FALSE_ALERT, TRUE_ALERT

GAINED, LOST, MOVED, SAME = "gained", "lost", "moved", "same"
EXAMPLES = 5
"""Alert ids that are named for each kind of difference."""
MAX_NAMES = 1_000
"""Different rules and days that are counted apart."""

URGENCY, SERVICE, POLICY, TITLE = "urgency", "service", "policy", "title"

FALSE, BY_ITSELF = FALSE_ALERT, "resolved_by_itself"
TRUE, ACKNOWLEDGED, BY_A_PERSON = TRUE_ALERT, "acknowledged", "resolved_by_a_person"
STILL_OPEN = "still_open"
"""Neither noise nor cost: nobody acknowledged it, and it is not over."""
NOISE = (FALSE, BY_ITSELF)
"""What says that a page was not worth waking anybody, the clearest first."""
COST = (TRUE, ACKNOWLEDGED, BY_A_PERSON)
"""What says that somebody needed it."""


@dataclass(frozen=True, slots=True)
class PastAlert:
    """One stored alert: what it says, what was decided then, and what became of it."""

    alert: Alert
    at: datetime
    """When the bridge first heard of it."""
    decided: Decision | None
    """What the bridge decided then; None when nothing that may open an incident ever came."""
    history: tuple[Moment, ...] = ()
    verdict: str | None = None
    flaps: int = 0


def difference(live: Decision, draft: Decision) -> tuple[str, tuple[str, ...]]:
    """``gained``, ``lost``, ``moved`` or ``same``, and for a page that moved what is different about it."""
    if live.urgency is None or draft.urgency is None:
        kind = SAME if live.urgency is draft.urgency else LOST if draft.urgency is None else GAINED
        return kind, ()
    pairs = {
        URGENCY: (live.urgency, draft.urgency),
        SERVICE: (live.service_id, draft.service_id),
        POLICY: (live.escalation_policy_id, draft.escalation_policy_id),
        TITLE: (live.title, draft.title),
    }
    moved = tuple(name for name, (before, after) in pairs.items() if before != after)
    return (MOVED if moved else SAME), moved


def worth(past: PastAlert) -> str:
    """Whether the page was needed: a word of ``NOISE`` or ``COST``, or ``STILL_OPEN``. A verdict beats all else."""
    if past.verdict is not None:
        return FALSE if past.verdict == FALSE_ALERT else TRUE
    if any(moment.what == "acknowledged" and _by_a_person(moment) for moment in past.history):
        return ACKNOWLEDGED
    turns = [moment for moment in past.history if moment.what in ("resolved", "reopened")]
    # By our receipt, for the two sides' clocks are not comparable; in the same moment the furthest along wins.
    last = max(turns, key=lambda turn: (turn.received_at or turn.at, turn.what == "resolved"), default=None)
    if last is None or last.what == "reopened":
        return STILL_OPEN
    return BY_A_PERSON if last.author else BY_ITSELF


def _by_a_person(moment: Moment) -> bool:
    """TruthVouch does not always say who; PagerDuty names every person."""
    return moment.side is Side.TRUTHVOUCH or bool(moment.author)


@dataclass(slots=True)
class Group:
    """Alerts of one kind of difference."""

    count: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    """By the rules that decided: ``live rule → draft rule``."""
    examples: list[str] = field(default_factory=list)
    """The first alert ids."""

    def add(self, alert_id: str, rule: str) -> None:
        """One more."""
        self.count += 1
        count(self.by_rule, rule)
        if len(self.examples) < EXAMPLES:
            self.examples.append(alert_id)


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
    groups: dict[str, Group] = field(default_factory=lambda: {kind: Group() for kind in (GAINED, LOST, MOVED)})
    moved_in: Counter[str] = field(default_factory=Counter)
    """What is different about the pages that moved: ``urgency``, ``service``, ``policy``, ``title``."""
    total: Pages = field(default_factory=Pages)
    by_day: dict[str, Pages] = field(default_factory=dict)
    """By the UTC day on which the alert came."""
    by_rule: dict[str, Pages] = field(default_factory=dict)
    matched: dict[str, Pages] = field(default_factory=dict)
    """By rule: how many alerts it decided, whether or not they paged."""
    lost_worth: Counter[str] = field(default_factory=Counter)
    """The lost pages by ``worth``."""
    recorded_differs: Counter[str] = field(default_factory=Counter)
    """Where the live rulebook of today decides otherwise than was decided then, by the reason word recorded."""

    def __post_init__(self) -> None:
        self.live, self.draft = replace(self.live, silences=()), replace(self.draft, silences=())

    def add(self, past: PastAlert) -> None:
        """One more alert."""
        if past.decided is None:
            self.undecided += 1
            return
        self.alerts += 1
        live, draft = decide(self.live, past.alert, past.at), decide(self.draft, past.alert, past.at)
        self._count_pages(past, live, draft)
        kind, moved = difference(live, draft)
        if kind != SAME:
            self.groups[kind].add(past.alert.alert_id, arrow(live.rule, draft.rule))
        self.moved_in.update(moved)
        if kind == LOST:
            self.lost_worth[worth(past)] += 1
        if difference(past.decided, live)[0] != SAME:
            self.recorded_differs[past.decided.reason if past.decided.reason == SILENCED else "rulebook_changed"] += 1

    def _count_pages(self, past: PastAlert, live: Decision, draft: Decision) -> None:
        day = _named(self.by_day, past.at.date().isoformat())
        for pages in (self.total, day):
            pages.live += live.urgency is not None
            pages.draft += draft.urgency is not None
        for book, pays in ((self.matched, True), (self.by_rule, False)):
            _named(book, live.rule).live += pays or live.urgency is not None
            _named(book, draft.rule).draft += pays or draft.urgency is not None

    def saved(self) -> Mapping[str, int]:
        """The lost pages nobody needed, by ``NOISE`` word."""
        return {word: self.lost_worth[word] for word in NOISE if self.lost_worth[word]}

    def costs(self) -> Mapping[str, int]:
        """The lost pages somebody needed, by ``COST`` word."""
        return {word: self.lost_worth[word] for word in COST if self.lost_worth[word]}

    @property
    def still_open(self) -> int:
        """The lost pages of which nobody can tell yet."""
        return self.lost_worth[STILL_OPEN]


def arrow(before: str, after: str) -> str:
    """How two rules that decided are named together."""
    return before if before == after else f"{before} → {after}"


def _named(book: dict[str, Pages], name: str) -> Pages:
    if name not in book and len(book) >= MAX_NAMES:
        name = "others"
    return book.setdefault(name, Pages())


def count(counter: Counter[str], name: str) -> None:
    """One more of that name; beyond ``MAX_NAMES`` different ones, of the others."""
    counter[name if name in counter or len(counter) < MAX_NAMES else "others"] += 1
