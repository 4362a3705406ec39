"""One reconciliation under way: what it reads from the store, what it found, what it spent, what it could not do."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, IncidentKey, LinkId, Side
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.domain.words import Word
from app.ports import Allowance, Marks, OpenKind, OpenLinks, Transactions
from app.services.reconcile_news import Finding, News

log = structlog.get_logger()

BATCH = 200
"""Links read from the store at a time."""
AFTER = "reconcile.after."
"""Mark: the last link that was read singly before time or budget ran out, by what was read."""

UNPAGED_FOR = timedelta(days=7)
"""How long an alert without an incident is read one by one. It owes nobody anything: a later read could only tell that
TruthVouch is done with it, and with many it never is. Longer than an outage, so that a create that was lost in one is
made up for. Webhooks and the newest pages of the list tell of older ones all the same."""

Post = Callable[[Sequence[Word], datetime], str]
"""Puts words into the inbox; the answer is the id they are stored under. Raises ``StoreUnavailable``."""
Told = Callable[[Side, int, int], None]
"""Progress: so many of so many links of this side are read."""


@dataclass(frozen=True)
class Shelf:
    """The links and marks as they are now. Holds no transaction while a partner is asked."""

    transactions: Transactions
    links: OpenLinks
    marks: Marks
    clock: Callable[[], datetime]

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
        after = int(self.mark(AFTER + name) or 0)
        yield from self.open_links(kind, after)
        for link in self.open_links(kind) if after else ():
            if link.link_id > after:
                return
            yield link

    def on_incidents(self, ids: Collection[IncidentId], keys: Collection[IncidentKey]) -> tuple[Link, ...]:
        """Links on these incidents, and those whose incident would carry one of these keys."""
        with self.transactions.read() as tx:
            return self.links.on_incidents(tx, ids, keys)

    def of_alerts(self, ids: Collection[AlertId]) -> Mapping[AlertId, Link]:
        """The links of these alerts, open or not."""
        with self.transactions.read() as tx:
            return self.links.of_alerts(tx, ids)

    def mark(self, name: str) -> str | None:
        """A small named fact."""
        with self.transactions.read() as tx:
            return self.marks.read(tx, name)

    def remember(self, name: str, value: str | None) -> None:
        """Write a small named fact; None forgets it."""
        if self.mark(name) == value:
            return
        with self.transactions.begin() as tx:
            if value is None:
                self.marks.clear(tx, name)
            else:
                self.marks.put(tx, name, value)


@dataclass(frozen=True)
class Purse:
    """The calls that may still be made this hour, whoever makes them."""

    transactions: Transactions
    allowance: Allowance
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def take(self) -> bool:
        """Pay for one call; False when nothing is left."""
        with self.transactions.begin() as tx:
            return self.allowance.take(tx, self.clock())

    def left(self) -> int:
        """How many calls are left now."""
        with self.transactions.read() as tx:
            return self.allowance.left(tx, self.clock())


@dataclass
class Run:
    """What one run has found and done so far."""

    post: Post | None
    """None: nothing is posted, only told (a dry run)."""
    clock: Callable[[], datetime]
    horizon: datetime
    """Alerts raised before it are not taken in."""
    since: datetime | None = None
    """An operator's own horizon: then every page back to it is read."""
    told: Told = lambda _side, _done, _total: None
    links: int = 0
    """Open links there are."""
    findings: list[Finding] = field(default_factory=list)
    posted: list[str] = field(default_factory=list)
    confirmed: int = 0
    calls: Counter[Side] = field(default_factory=Counter)
    reads: int = 0
    """Calls that were answered with what was asked for."""
    faults: list[str] = field(default_factory=list)
    unread: Counter[tuple[Side, str]] = field(default_factory=Counter)
    complete: bool = True
    seen_alerts: set[AlertId] = field(default_factory=set)

    @property
    def dry(self) -> bool:
        """Whether nothing may be changed."""
        return self.post is None

    def asked(self, side: Side, reply: Reply[object]) -> None:
        """Count a call, and whether it read anything."""
        self.calls[side] += 1
        self.reads += isinstance(reply, Done)

    def heard(self, news: News | None) -> None:
        """Post what a look told, if it is news."""
        if news is None:
            return
        if news.finding is not None:
            self.found(news.finding)
        else:
            self.confirmed += 1
        if self.post is not None:
            self.posted.append(self.post(news.words, self.clock()))

    def found(self, finding: Finding) -> None:
        """Note a difference."""
        self.findings.append(finding)
        log.info(
            "drift.found",
            side=finding.side.value,
            alert_id=finding.alert_id,
            incident_id=finding.incident_id,
            knew=finding.knew,
            found=finding.found,
            outcome=finding.outcome,
        )

    def cut_short(self, why: str) -> None:
        """Say why not everything was read."""
        self.complete = False
        self.faults.append(why)

    def could_not_read(self, side: Side, reply: Reply[object]) -> bool:
        """Note a look that told nothing. True when going on is of no use: the way out is closed, or nobody answers."""
        reason = why(reply)
        self.unread[side, reason] += 1
        return isinstance(reply, Held) or (isinstance(reply, Retry) and self.unread[side, reason] >= 3)


def why(reply: Reply[object]) -> str:
    """The reason word of an answer that was no yes."""
    return "" if isinstance(reply, Done) else reply.reason


def has_no_such_call(reply: Reply[object]) -> bool:
    """The partner has no such thing: an alert it lost, or a call it never had."""
    return isinstance(reply, Refused) and reply.status in (404, 405)
