"""Reads both sides back and puts what differs from what we know into the inbox, as events like any other.

Nothing is changed here: intake applies what was found together with everything else that arrives, in one order.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from app.domain.model.types import IncidentId, Side, instant
from app.ports import (
    Alerts,
    Clock,
    HourlyQuota,
    Incidents,
    KeyValueStore,
    Meter,
    OpenKind,
    OpenLinks,
    Transactions,
    Tx,
    utc_now,
)
from app.services.reconciliation.alerts import ReconcileAlerts
from app.services.reconciliation.context import CallQuota, Findings, Post, Progress, ReconcileContext, ReconcileStore
from app.services.reconciliation.incidents import ReconcileIncidents

log = structlog.get_logger()

BORN = "bridge.born_at"
"""Key: when this store was first worked on. Alerts raised before are nobody's to take in."""


def born_at(tx: Tx, key_values: KeyValueStore, now: datetime) -> datetime:
    """When this store was first worked on; from now on if it never was."""
    written = instant(key_values.read(tx, BORN))
    if written is None:
        key_values.put(tx, BORN, now.isoformat())
    return written or now


@dataclass(frozen=True)
class Reconcile:
    """One run reads both sides. A side without its client is skipped and said."""

    links: OpenLinks
    transactions: Transactions
    key_values: KeyValueStore
    incidents: Incidents | None
    alerts: Alerts | None
    services: Callable[[], Iterable[str]]
    """The services that are ours by configuration."""
    hourly_quota: HourlyQuota
    """Calls to TruthVouch."""
    post: Post
    meter: Meter
    clock: Clock = utc_now
    pause: Callable[[float], None] = time.sleep
    _strangers: set[IncidentId] = field(default_factory=set)
    """Unknown incidents that were told of already."""

    def __call__(
        self, since: datetime | None = None, dry_run: bool = False, progress: Progress = lambda *_: None
    ) -> Findings:
        """Read both sides back and post what is news; with ``dry_run`` only tell it. ``since``: also take in alerts
        raised from then on, though this store is younger. Raises ``StoreUnavailable``."""
        store = ReconcileStore(self.transactions, self.links, self.key_values, self.clock, dry_run)
        quota = CallQuota(self.transactions, self.hourly_quota, self.clock)
        horizon = since or self._born_at(store)
        context = ReconcileContext(None if dry_run else self.post, self.clock, horizon, since, progress)
        named = self._survey(context, store)
        if self.incidents is None:
            context.cut_short("PagerDuty is not read: PAGERDUTY_API_KEY is not set", failed=False)
        else:
            ReconcileIncidents(self.incidents, store, self.services, self.pause, self._strangers)(context, named)
        if self.alerts is None:
            context.cut_short("TruthVouch is not read: TRUTHVOUCH_API_KEY is not set", failed=False)
        else:
            ReconcileAlerts(self.alerts, store, quota)(context)
        return self._done(context, quota.left(), dry_run)

    def _born_at(self, store: ReconcileStore) -> datetime:
        written = instant(store.value_of(BORN))
        if written is None and not store.dry:
            with self.transactions.begin() as tx:
                written = born_at(tx, self.key_values, self.clock())
        return written or self.clock()

    def _survey(self, context: ReconcileContext, store: ReconcileStore) -> set[str]:
        """Count the open links that are read; the services their incidents were opened on."""
        named: set[str] = set()
        context.found.links = store.count(OpenKind.UNPAGED)
        for link in store.open_links(OpenKind.PAGED):
            context.found.links += 1
            if link.decision is not None and link.decision.service_id:
                named.add(link.decision.service_id)
        return named

    def _done(self, context: ReconcileContext, budget_left: int, dry_run: bool) -> Findings:
        found, unread = context.found, sorted(context.unread.items())
        found.faults += tuple(f"{_NAMES[side]}: {number} could not be read ({why})" for (side, why), number in unread)
        found.complete = found.complete and not unread
        found.budget_left = budget_left
        for finding in found.findings:
            self.meter.drifted(finding.side, finding.outcome)
        log.info(
            "reconciliation.done", findings=len(found.findings), confirmed=found.confirmed, links=found.links,
            truthvouch_calls=found.calls[Side.TRUTHVOUCH], pagerduty_calls=found.calls[Side.PAGERDUTY],
            budget_left=budget_left, complete=found.complete, dry_run=dry_run, not_read=list(found.faults),
        )  # fmt: skip
        return found


_NAMES = {Side.TRUTHVOUCH: "TruthVouch", Side.PAGERDUTY: "PagerDuty"}
