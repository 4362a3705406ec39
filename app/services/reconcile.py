"""Reads both sides back and puts what differs from what we know into the inbox, as words like any other.

Nothing is changed here: intake judges what was found together with everything else that arrives, in one order.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from app.domain.names import Side, instant
from app.ports import Alerts, Allowance, Incidents, Marks, Meter, OpenKind, OpenLinks, Transactions, Tx
from app.services.reconcile_alerts import LookAtAlerts
from app.services.reconcile_incidents import LookAtIncidents
from app.services.reconcile_news import Finding
from app.services.reconcile_run import Post, Purse, Run, Shelf, Told

log = structlog.get_logger()

BORN = "bridge.born_at"
"""Mark: when this store was first worked on. Alerts raised before are nobody's to take in."""


def born_at(tx: Tx, marks: Marks, now: datetime) -> datetime:
    """When this store was first worked on; from now on if it never was."""
    written = instant(marks.read(tx, BORN))
    if written is None:
        marks.put(tx, BORN, now.isoformat())
    return written or now


@dataclass(frozen=True, slots=True)
class Findings:
    """What a run found, and how far it got."""

    findings: tuple[Finding, ...] = ()
    posted: tuple[str, ...] = ()
    """Delivery ids of the inbox rows written: one a finding, one a change of ours that was seen for the first time."""
    confirmed: int = 0
    """Changes of ours that the other side showed for the first time."""
    links: int = 0
    """Open links that are read: with an incident, or first heard of lately."""
    calls: Mapping[Side, int] = field(default_factory=dict)
    reads: int = 0
    """Calls that were answered with what was asked for."""
    budget_left: int = 0
    """TruthVouch calls that could be made at once after this run."""
    complete: bool = True
    """Whether everything was asked for; what is left is read by the next run."""
    faults: tuple[str, ...] = ()
    """What was not read and why, in words."""

    @property
    def readable(self) -> bool:
        """Whether anything could be read at all; a call that nobody answered read nothing."""
        return self.reads > 0

    @property
    def agreed(self) -> bool:
        """Whether both sides were read whole, and nothing differs."""
        return self.complete and not self.findings and not self.faults

    @property
    def drift(self) -> tuple[Finding, ...]:
        """What a run that is not dry would take in."""
        return tuple(finding for finding in self.findings if finding.is_drift)


@dataclass(frozen=True)
class Reconcile:
    """One run reads both sides. A side without its client is skipped and said."""

    links: OpenLinks
    transactions: Transactions
    marks: Marks
    incidents: Incidents | None
    alerts: Alerts | None
    services: Callable[[], Iterable[str]]
    """The services that are ours by configuration."""
    allowance: Allowance
    """Calls to TruthVouch."""
    post: Post
    meter: Meter
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep
    _at_pagerduty: list[LookAtIncidents] = field(default_factory=list)

    def __call__(self, since: datetime | None = None, dry_run: bool = False, told: Told | None = None) -> Findings:
        """Read both sides back and post what is news; with ``dry_run`` only tell it.

        ``since``: also take in alerts raised from then on, though this store is younger. ``told`` hears the progress.
        Raises ``StoreUnavailable``.
        """
        shelf = Shelf(self.transactions, self.links, self.marks, self.clock)
        purse = Purse(self.transactions, self.allowance, self.clock)
        run = Run(None if dry_run else self.post, self.clock, since or self._born_at(shelf, dry_run), since)
        run.told = told or run.told
        named = self._survey(run, shelf)
        self._read_pagerduty(run, shelf, named)
        self._read_truthvouch(run, shelf, purse)
        return self._done(run, purse.left())

    def _born_at(self, shelf: Shelf, dry_run: bool) -> datetime:
        written = instant(shelf.mark(BORN))
        if written is not None or dry_run:
            return written or self.clock()
        with self.transactions.begin() as tx:
            return born_at(tx, self.marks, self.clock())

    def _survey(self, run: Run, shelf: Shelf) -> set[str]:
        """Count the open links that are read; the services their incidents were opened on."""
        named: set[str] = set()
        run.links = shelf.count(OpenKind.UNPAGED)
        for link in shelf.open_links(OpenKind.PAGED):
            run.links += 1
            if link.decision is not None and link.decision.service_id:
                named.add(link.decision.service_id)
        return named

    def _read_pagerduty(self, run: Run, shelf: Shelf, named: set[str]) -> None:
        if self.incidents is None:
            run.cut_short("PagerDuty is not read: PAGERDUTY_API_KEY is not set")
            return
        if not self._at_pagerduty:
            self._at_pagerduty.append(LookAtIncidents(self.incidents, shelf, self.services, self.pause))
        self._at_pagerduty[0](run, named)

    def _read_truthvouch(self, run: Run, shelf: Shelf, purse: Purse) -> None:
        if self.alerts is None:
            run.cut_short("TruthVouch is not read: TRUTHVOUCH_API_KEY is not set")
            return
        LookAtAlerts(self.alerts, shelf, purse)(run)

    def _done(self, run: Run, budget_left: int) -> Findings:
        unread = [f"{_NAMES[side]}: {number} could not be read ({reason})" for (side, reason), number in
                  sorted(run.unread.items())]  # fmt: skip
        findings = Findings(
            tuple(run.findings), tuple(run.posted), run.confirmed, run.links, dict(run.calls), run.reads,
            budget_left, run.complete and not run.unread, (*run.faults, *unread),
        )  # fmt: skip
        for finding in run.findings:
            self.meter.drifted(finding.side, finding.outcome)
        log.info(
            "reconciliation.done", findings=len(findings.findings), confirmed=run.confirmed, links=run.links,
            truthvouch_calls=run.calls[Side.TRUTHVOUCH], pagerduty_calls=run.calls[Side.PAGERDUTY],
            budget_left=budget_left, complete=findings.complete, dry_run=run.dry, not_read=list(findings.faults),
        )  # fmt: skip
        return findings


_NAMES = {Side.TRUTHVOUCH: "TruthVouch", Side.PAGERDUTY: "PagerDuty"}
