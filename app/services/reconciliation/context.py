"""One reconciliation under way: what it reads from the store, what it found, what it spent, what it could not do."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TypedDict

import structlog

from app.domain.model.events import Event
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import AlertId, IncidentId, IncidentKey, LinkId, Side
from app.domain.sync.link import Link
from app.domain.sync.observations import FindingOutcome
from app.ports import Clock, HourlyQuota, KeyValueStore, OpenKind, OpenLinks, Transactions, utc_now
from app.services.reconciliation.events import Finding, ObservedEvents

log = structlog.get_logger()

BATCH = 200
"""Links read from the store at a time."""
AFTER = "reconcile.after."
"""Key: the last link that was read singly before time or budget ran out, by what was read."""

UNPAGED_FOR = timedelta(days=7)
"""How long an alert without an incident is read one by one. It owes nobody anything: a later read could only tell that
TruthVouch is done with it, and with many it never is. Longer than an outage, so that a create that was lost in one is
made up for. Webhooks and the newest pages of the list tell of older ones all the same."""

Post = Callable[[Sequence[Event], datetime], str]
"""Puts events into the inbox; the answer is the id they are stored under. Raises ``StoreUnavailable``."""
Progress = Callable[[Side, int, int], None]
"""Progress: so many of so many links of this side are read."""


@dataclass(frozen=True)
class ReconcileStore:
    """The links and key values as they are now. Holds no transaction while a partner is asked."""

    transactions: Transactions
    links: OpenLinks
    key_values: KeyValueStore
    clock: Callable[[], datetime]
    dry: bool = False
    """Nothing is written."""

    def open_links(self, kind: OpenKind, after: int = 0) -> Iterator[Link]:
        """Every open link of this kind that is read, in the order of their numbers, in batches."""
        after = max(after, self._before(kind))
        while True:
            with self.transactions.read() as tx:
                batch = self.links.open_after(tx, kind, LinkId(after), BATCH)
            yield from batch
            if len(batch) < BATCH:
                return
            after = batch[-1].link_id

    def count(self, kind: OpenKind) -> int:
        """How many open links of this kind are read."""
        before = self._before(kind)
        with self.transactions.read() as tx:
            return self.links.count_open(tx, kind, before)

    def _before(self, kind: OpenKind) -> LinkId:
        """The number above which they are read."""
        if kind is not OpenKind.UNPAGED:
            return LinkId(0)
        with self.transactions.read() as tx:
            return self.links.last_before(tx, self.clock() - UNPAGED_FOR)

    def in_turn(self, name: str, kind: OpenKind) -> Iterator[Link]:
        """Each of them once, beginning behind the one at which the last run had to stop."""
        after = int(self.value_of(AFTER + name) or 0)
        yield from self.open_links(kind, after)
        for link in self.open_links(kind) if after else ():
            if link.link_id > after:
                return
            yield link

    def go_on_after(self, name: str, link_id: int | None) -> None:
        """Where the next run begins; None: with the first; 0: where this one did."""
        if link_id != 0:
            self.remember(AFTER + name, str(link_id) if link_id else None)

    def on_incidents(self, ids: Collection[IncidentId], keys: Collection[IncidentKey]) -> tuple[Link, ...]:
        """Links on these incidents, and those whose incident would carry one of these keys."""
        with self.transactions.read() as tx:
            return self.links.on_incidents(tx, ids, keys)

    def of_alerts(self, ids: Collection[AlertId]) -> Mapping[AlertId, Link]:
        """The links of these alerts, open or not."""
        with self.transactions.read() as tx:
            return self.links.of_alerts(tx, ids)

    def value_of(self, name: str) -> str | None:
        """A small named fact."""
        with self.transactions.read() as tx:
            return self.key_values.read(tx, name)

    def remember(self, name: str, value: str | None) -> None:
        """Write a small named fact; None forgets it."""
        if self.dry or self.value_of(name) == value:
            return
        with self.transactions.begin() as tx:
            if value is None:
                self.key_values.clear(tx, name)
            else:
                self.key_values.put(tx, name, value)


@dataclass(frozen=True)
class CallQuota:
    """The calls that may still be made this hour, whoever makes them."""

    transactions: Transactions
    hourly_quota: HourlyQuota
    clock: Clock = utc_now

    def take(self) -> bool:
        """Pay for one call; False when nothing is left."""
        with self.transactions.begin() as tx:
            return self.hourly_quota.take(tx, self.clock())

    def left(self) -> int:
        """How many calls are left now."""
        with self.transactions.read() as tx:
            return self.hourly_quota.left(tx, self.clock())


@dataclass
class Findings:
    """What a run found, and how far it got."""

    findings: tuple[Finding, ...] = ()
    posted: tuple[str, ...] = ()
    """Delivery ids of the inbox rows written: one a finding, one a change of ours that was seen for the first time."""
    confirmed: int = 0
    """Changes of ours that the other side showed for the first time."""
    links: int = 0
    """Open links that are read: with an incident, or first seen lately."""
    calls: dict[Side, int] = field(default_factory=Counter)
    reads: int = 0
    """Calls that were answered with what was asked for."""
    budget_left: int = 0
    """TruthVouch calls that could be made at once after this run."""
    complete: bool = True
    """Whether everything was asked for; what is left is read by the next run."""
    failed: bool = False
    """Whether a side that can be read did not answer. A key that is not set and a spent quota are no failure."""
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
        """What a run that is not dry would take in; of an incident without an alert there is nothing."""
        return tuple(one for one in self.findings if one.outcome is not FindingOutcome.UNKNOWN_INCIDENT)


class FindingRow(TypedDict):
    """One difference, for machines."""

    side: Side
    alert_id: str | None
    incident_id: str | None
    knew: str | None
    found: str
    outcome: FindingOutcome
    reason: str
    remedy: str | None


class ReconciliationShown(TypedDict):
    """What a run found, for machines."""

    findings: Sequence[FindingRow]
    dry_run: bool
    posted: int
    status: str | None
    """Whether what was posted is taken in; null where nothing was."""
    confirmed: int
    links: int
    calls: Mapping[str, int]
    truthvouch_calls_left: int
    complete: bool
    in_step: bool
    """Both sides were read whole, and nothing differs."""
    drift: int
    """Findings that a run that is not dry would take in."""
    readable: bool
    """Whether anything could be read at all."""
    not_read: Sequence[str]


def shown(found: Findings, dry_run: bool, status: str) -> ReconciliationShown:
    """What a run found as values; ``status``: whether what was posted is taken in, empty where nothing was."""
    return ReconciliationShown(
        findings=[
            FindingRow(
                side=one.side, alert_id=one.alert_id, incident_id=one.incident_id, knew=one.knew or None,
                found=one.found, outcome=one.outcome, reason=one.reason, remedy=one.remedy or None,
            )
            for one in found.findings
        ],
        dry_run=dry_run, posted=len(found.posted), status=status or None, confirmed=found.confirmed, links=found.links,
        calls={side.value: number for side, number in found.calls.items()}, truthvouch_calls_left=found.budget_left,
        complete=found.complete, in_step=found.agreed, drift=len(found.drift), readable=found.readable,
        not_read=list(found.faults),
    )  # fmt: skip


@dataclass
class ReconcileContext:
    """One run under way."""

    post: Post | None
    """None: nothing is posted, only told (a dry run)."""
    clock: Callable[[], datetime]
    horizon: datetime
    """Alerts raised before it are not taken in."""
    since: datetime | None
    """An operator's own horizon: then every page back to it is read."""
    progress: Progress
    found: Findings = field(default_factory=Findings)
    unread: Counter[tuple[Side, str]] = field(default_factory=Counter)
    seen_alerts: set[AlertId] = field(default_factory=set)

    def asked(self, side: Side, reply: Reply[object]) -> None:
        """Count a call, and whether it read anything."""
        self.found.calls[side] += 1
        self.found.reads += isinstance(reply, Done)

    def add(self, observed: ObservedEvents | None) -> None:
        """Post what a read showed, if it is news."""
        if observed is None:
            return
        if observed.finding is not None:
            self.add_finding(observed.finding)
        else:
            self.found.confirmed += 1
        if self.post is not None:
            self.found.posted += (self.post(observed.events, self.clock()),)

    def add_finding(self, finding: Finding) -> None:
        """Note a difference."""
        self.found.findings += (finding,)
        log.info("drift.found", **asdict(finding) | {"side": finding.side.value, "outcome": finding.outcome.value})

    def cut_short(self, why: str, failed: bool = True) -> None:
        """Say why not everything was read. ``failed``: because somebody did not answer."""
        self.found.complete = False
        self.found.failed = self.found.failed or failed
        self.found.faults += (why,)

    def could_not_read(self, side: Side, reply: Retry | Held | Refused) -> bool:
        """Note a read that told nothing. True when going on is of no use: the way out is closed, or nobody answers."""
        self.unread[side, reply.reason] += 1
        return isinstance(reply, Held) or (isinstance(reply, Retry) and self.unread[side, reply.reason] >= 3)
