"""What operators see of the rules in force, as values: for commands, pages and the API."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypedDict

from app.domain.model.types import Alert, Urgency
from app.domain.reports.backtest import Hit, Hits
from app.domain.rules.decide import SEVERITY_MAP, TriedKind
from app.domain.rules.rulebook import Decision, Origin, Rule, RuleAction, Rulebook, Silence, Standing
from app.ports import Clock, utc_now
from app.services.rules.rulebook import Backtests, Explanation, StoredAlerts, explained
from app.services.rules.stored import LOOKBACK, Preview

COUNTED = timedelta(days=30)
"""How far back it is counted how often each rule decided."""


class Counts(TypedDict):
    """How often an entry decided in the last 30 days; null where it was not counted."""

    matched: int | None
    paged: int | None
    flaps: int | None
    """Reopens that nobody was told of, because the resolve before was held back."""


class RuleRow(Counts):
    """One rule."""

    name: str
    trigger: str
    action: RuleAction
    urgency: str | None
    """Null: the severity map decides."""
    service_id: str | None
    escalation_policy_id: str | None
    hold_resolve_minutes: float
    """How long a resolve from TruthVouch is held back from PagerDuty."""


SilenceRow = TypedDict(
    "SilenceRow",
    {
        "name": str, "match": str, "owner": str, "reason": str, "from": datetime | None, "until": datetime,
        "standing": Standing, "origin": Origin, "up_to": Urgency | None,
    },
)  # fmt: skip
"""One silence. ``from`` null: at once. ``up_to``: what would page with a higher urgency it leaves alone; null: it
silences whatever matches."""


class CountedSilence(SilenceRow, Counts):
    """One silence, and how often it decided."""


class RulesShown(TypedDict):
    """The rulebook in force, in order."""

    version: str
    fault: str
    """Why `bridge.yaml` as it is now is not in force; empty when it is."""
    rules: Sequence[RuleRow]
    """Checked from the first on: the first that matches decides."""
    silences: Sequence[CountedSilence]
    """Checked before every rule."""
    severity_map: Mapping[str, str]
    """The urgency by severity, or `none`, where no rule matches."""
    severity_map_counts: Counts
    not_in_the_file: Mapping[str, Counts]
    """What decided in the last 30 days, and is there no more."""
    days: int


class TriedShown(TypedDict):
    """One entry that was asked."""

    kind: TriedKind
    name: str
    matched: bool
    why: str
    """Each comparison with its answer and the value it met; it quotes no free text and no person."""


class RecordedDecision(TypedDict):
    """What was decided when the alert came."""

    rule: str
    reason: str
    urgency: str
    """Or `none`: no incident."""
    rulebook: str
    """The version."""


class DecisionShown(RecordedDecision):
    """What is decided now."""

    service_id: str | None
    escalation_policy_id: str | None
    hold_resolve_minutes: float


class IncidentShown(TypedDict):
    """What PagerDuty would be sent, with everything left out that may not leave."""

    title: str
    details: Mapping[str, str]


class ExplanationShown(TypedDict):
    """What the rules do with one alert, were it created now."""

    alert_id: str
    tried: Sequence[TriedShown]
    """Silences, then rules, in order and up to the first match; the severity map last when none matched."""
    decision: DecisionShown
    message: str
    incident: IncidentShown | None
    recorded: RecordedDecision | None
    """What was decided when it came; null for an alert that is not in the store."""


class Slip(TypedDict):
    """A word that is nearly one that is known."""

    word: str
    meant: str


class SilencePreview(TypedDict):
    """What a silence would have done."""

    alerts: int
    """That came in these days."""
    would_have_silenced: int
    days: int
    misspelt: Sequence[Slip]
    """Fields and severities that no alert is known to have."""
    is_for_all: bool
    """It matches every alert: nobody would be paged at all."""


class LiveRules(Protocol):
    """The rulebook of this process."""

    fault: str

    def current(self) -> Rulebook: ...

    def in_file(self) -> Rulebook:
        """The file's part of it."""
        ...


@dataclass(frozen=True)
class RulesOverview:
    """Looks at rules and tries them on alerts; changes nothing. What reads the store raises ``StoreUnavailable``."""

    rules: LiveRules
    stored: StoredAlerts
    alert_in: Callable[[bytes], Alert | str]
    """The alert in a webhook's body, or alone; else in a word why there is none."""
    backtests: Backtests
    kept: Callable[[], Sequence[Silence]]
    """The silences of the store, as it is now."""
    clock: Clock = utc_now

    def listed(self) -> RulesShown:
        """The rulebook in force. Nothing is counted: that reads every alert of a month."""
        return listed_rules(self.rules.current(), None, self.clock(), self.rules.fault)

    def explained(self, alert_id: str) -> ExplanationShown | None:
        """What the rules do with a known alert; None when nobody knows it."""
        found = self.stored(alert_id)
        return explanation(explained(self.rules.current(), found[0], self.clock()), found[1]) if found else None

    def explained_body(self, body: bytes) -> ExplanationShown | str:
        """The same of an alert that came along; in a word why there is none in it."""
        found = self.alert_in(body)
        if isinstance(found, str):
            return found
        return explanation(explained(self.rules.current(), found, self.clock()), None)

    def silences(self, everything: bool = False) -> Sequence[SilenceRow]:
        """Those of the file, then those of the store; ``everything``: those that are over, too."""
        kept = (*self.rules.in_file().silences, *self.kept())
        return silence_rows(kept, self.clock(), everything)


def silence_preview(found: Preview) -> SilencePreview | None:
    """A preview as values; None where nothing could be counted."""
    if found.count is None:
        return None
    slips = [Slip(word=word, meant=meant) for word, meant in found.misspelt]
    silenced, came = found.count
    return SilencePreview(
        alerts=came, would_have_silenced=silenced, days=LOOKBACK.days, misspelt=slips, is_for_all=found.is_for_all
    )


def listed_rules(rulebook: Rulebook, hits: Hits | None, now: datetime, fault: str = "") -> RulesShown:
    """The rulebook in order. ``hits`` None: nothing was counted."""
    done = hits.by_rule if hits else {}
    names = {rule.name for rule in rulebook.rules} | {silence.name for silence in rulebook.silences} | {SEVERITY_MAP}
    gone = {name: _counts(hit, hits) for name, hit in sorted(done.items()) if name not in names}
    return RulesShown(
        version=rulebook.version,
        fault=fault,
        rules=[_rule_row(rule, _counts(done.get(rule.name), hits)) for rule in rulebook.rules],
        silences=[{**silence_row(one, now), **_counts(done.get(one.name), hits)} for one in rulebook.silences],
        severity_map={name: str(urgency or "none") for name, urgency in rulebook.severity_map.items()},
        severity_map_counts=_counts(done.get(SEVERITY_MAP), hits),
        not_in_the_file=gone,
        days=COUNTED.days,
    )


def _rule_row(rule: Rule, counts: Counts) -> RuleRow:
    return RuleRow(
        name=rule.name, trigger=rule.trigger, action=rule.action, urgency=rule.urgency, service_id=rule.service_id,
        escalation_policy_id=rule.escalation_policy_id, hold_resolve_minutes=rule.hold_resolve_minutes, **counts,
    )  # fmt: skip


def _counts(hit: Hit | None, hits: Hits | None) -> Counts:
    if hits is None:
        return Counts(matched=None, paged=None, flaps=None)
    done = hit or Hit()
    return Counts(matched=done.matched, paged=done.paged, flaps=done.flaps)


def silence_rows(silences: Iterable[Silence], now: datetime, everything: bool = False) -> Sequence[SilenceRow]:
    """Silences as values; without ``everything`` those in force and those that are planned."""
    wanted = (one for one in silences if everything or one.standing(now) is not Standing.OVER)
    return [silence_row(one, now) for one in wanted]


def silence_row(one: Silence, now: datetime) -> SilenceRow:
    """One silence as values."""
    values = asdict(one)
    starts = values.pop("starts")
    return {**values, "from": starts, "standing": one.standing(now)}  # type: ignore[typeddict-item]


def explanation(shown: Explanation, recorded: Decision | None) -> ExplanationShown:
    """An explanation as values."""
    decided = shown.decision
    return ExplanationShown(
        alert_id=shown.alert_id,
        tried=[TriedShown(kind=one.kind, name=one.rule, matched=one.matched, why=one.why) for one in shown.tried],
        decision=DecisionShown(
            **recorded_decision(decided),
            service_id=decided.service_id,
            escalation_policy_id=decided.escalation_policy_id,
            hold_resolve_minutes=decided.hold_resolve_minutes,
        ),
        message=shown.message,
        incident=None if shown.title is None else IncidentShown(title=shown.title, details=shown.details),
        recorded=recorded_decision(recorded) if recorded else None,
    )


def recorded_decision(shown: Decision) -> RecordedDecision:
    """A decision as values."""
    urgency = shown.urgency.value if shown.urgency else "none"
    return RecordedDecision(rule=shown.rule, reason=shown.reason, urgency=urgency, rulebook=shown.version)
