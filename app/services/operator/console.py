"""Use case: what the console's pages show: one alert with everything that happened, the links that somebody looks for,
the newest day, and what last came in from each partner.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from app.domain.escalation.state import Escalation
from app.domain.model.events import Way
from app.domain.model.types import Alert, AlertId, Side
from app.domain.rules.decide import fields, matches
from app.domain.rules.rulebook import Decision, Rulebook
from app.domain.sync.effects import Circumstances, Effect, desired_effect, next_effect
from app.domain.sync.link import Link
from app.ports import BudgetLeft, Clock, HealthSource, Page, Records, Row, Transactions, Tx, utc_now
from app.ports.console import FoundLink, LinkFilter, LinkSearch, RunsWith
from app.remote.payload import RefusedDeliveries
from app.services.diagnostics.health import Check, deliveries
from app.services.operator.workbench import Workbench
from app.services.reports.report import Reports
from app.services.rules.rulebook import described

DAY = timedelta(days=1)
MAX_OF_A_DAY = 100_000
"""Links of the newest day that are read to draw it."""
LOOKBACK = timedelta(days=7)
MAX_OF_A_PREVIEW = 2_000
"""Links that are read to tell what a silence would have done."""
SHOWN_OF_A_PREVIEW = 10
PAGE = 500
MAX_LINES = 2_000
"""Of one alert's time line, as much as a page reads."""


@dataclass(frozen=True, slots=True)
class AlertPage:
    """One alert with everything that happened."""

    link: Link
    decided: str
    """What the rules decided, as a sentence; empty where nothing was decided yet."""
    next: Mapping[Side, Effect | None]
    """What is done next at either side, and what would be but for a dead letter."""
    waits: Mapping[Side, Effect | None]
    lines: Sequence[Row]
    dead_letters: Sequence[Row]
    """The open ones."""
    escalation: Escalation | None


@dataclass(frozen=True, slots=True)
class SilencePreview:
    """What a silence would have kept quiet lately."""

    found: Sequence[FoundLink]
    """The newest ones."""
    count: int
    paged: int
    """Of those, how many had an incident."""
    total: int
    """How many alerts were looked at."""
    is_cut: bool
    """Whether there were more alerts than are looked at."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What last came in from one partner, accepted and refused."""

    side: Side
    accepted_at: datetime | None
    secret: int
    """Which of its secrets proved the newest accepted delivery, from 1."""
    secrets: int
    """How many are configured."""
    refused: RefusedDeliveries | None
    """The newest refused ones."""
    check: Check
    """What follows from both, and what to do."""


@dataclass(frozen=True)
class Console:
    """Looks into the store; changes nothing. Everything raises ``StoreUnavailable`` when it cannot be read."""

    transactions: Transactions
    records: Records
    search: LinkSearch
    health_source: HealthSource
    secrets: Mapping[Side, int]
    """How many webhook secrets each side has."""
    has_api_key: Callable[[], bool]
    """Whether a PagerDuty API key is at hand."""
    clock: Clock = utc_now

    def find(self, wanted: LinkFilter) -> Sequence[FoundLink]:
        """The links that somebody looks for, newest first."""
        with self.transactions.read() as tx:
            return self.search.find(tx, wanted)

    def newest_day(self) -> Sequence[tuple[datetime, bool, int]]:
        """What was first seen within 24 hours, by the hour: its beginning, whether it paged, how many; of more than
        ``MAX_OF_A_DAY`` the newest."""
        with self.transactions.read() as tx:
            return self.search.per_hour(tx, self.clock() - DAY, MAX_OF_A_DAY)

    def silenced_by(self, match: str) -> SilencePreview:
        """What a silence of this trigger, which asks for labels alone, would have kept quiet in the last days."""
        recent = self.find(LinkFilter(since=self.clock() - LOOKBACK, limit=MAX_OF_A_PREVIEW))
        hits = [one for one in recent if matches(match, fields(_labelled(one)))]
        paged = sum(one.paged for one in hits)
        return SilencePreview(hits[:SHOWN_OF_A_PREVIEW], len(hits), paged, len(recent), len(recent) == MAX_OF_A_PREVIEW)

    def alert(self, alert_id: str) -> AlertPage | None:
        """One alert with everything that happened; None when the bridge does not know it."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(alert_id))
            if link is None:
                return None
            circumstances = {side: self._circumstances(tx, link, side) for side in Side}
            upcoming = {side: next_effect(link, side, at) for side, at in circumstances.items()}
            wanted = {side: desired_effect(link, side, at) for side, at in circumstances.items()}
            return AlertPage(
                link,
                described(link.decision) if link.decision else "",
                upcoming,
                {side: effect for side, effect in wanted.items() if upcoming[side] is None},
                self._lines(tx, alert_id),
                self.records.dead_letters_of(tx, link.link_id),
                self.records.escalation(tx, link.incident_id) if link.incident_id else None,
            )

    def incoming(self) -> Sequence[Incoming]:
        """What last came in from each partner."""
        snapshot, now = self.health_source.read(), self.clock()
        checks = deliveries(snapshot, now)
        seen = {
            Side.TRUTHVOUCH: (snapshot.truthvouch_seen_at, snapshot.truthvouch_secret),
            Side.PAGERDUTY: (snapshot.pagerduty_seen_at, snapshot.pagerduty_secret),
        }
        newest = {side: max(snapshot.refused.get(side, ()), key=lambda one: one.at, default=None) for side in Side}
        return [
            Incoming(side, at, index + 1, self.secrets.get(side, 0), newest[side], checks[side.value])
            for side, (at, index) in seen.items()
        ]

    def _circumstances(self, tx: Tx, link: Link, side: Side) -> Circumstances:
        shared: Sequence[Link] = (link,)
        if side is Side.PAGERDUTY and link.incident_id is not None and link.shares:
            shared = self.records.on_incident(tx, link.incident_id)
        return Circumstances(self.clock(), shared, self.has_api_key())

    def _lines(self, tx: Tx, alert_id: str) -> Sequence[Row]:
        rows: list[Row] = []
        page = Page(PAGE)
        while len(rows) < MAX_LINES and (more := self.records.timeline(tx, alert_id, page)):
            rows += more
            page = replace(page, after=rows[-1]["id"])
        return rows


def _labelled(one: FoundLink) -> Alert:
    """The alert of a link, its labels alone."""
    kind, category, model = one.kind or None, one.category or None, one.model or None
    return Alert(AlertId(one.alert_id), one.severity or None, kind, category, model=model)


class Rules(Protocol):
    """The rulebook of this process."""

    fault: str
    """Why the file on disk is not in force; empty when it is."""

    def current(self) -> Rulebook: ...


@dataclass(frozen=True)
class ConsoleParts:
    """What the console's pages are made from."""

    reads: Console
    rules: Rules
    stored_alert: Callable[[str], tuple[Alert, Decision | None] | None]
    """An alert by its id, and what was decided when it came; None where nobody knows it."""
    alert_in: Callable[[bytes], Alert | str]
    """The alert in a webhook's body, or alone; else in a word why there is none."""
    reports: Callable[[], Reports]
    runs_with: Callable[[], RunsWith]
    """What the process that answers runs with."""
    public_url: str | None
    work: Workbench
    budgets: Callable[[], Sequence[BudgetLeft]]
    """What may be called now with each key."""
    revoke_evidence: Callable[[str, str, Way], Sequence[AlertId]] | None = None
    """Ends the evidence links of an alert: its id, who asks, by which way; nothing where nobody knows it."""
