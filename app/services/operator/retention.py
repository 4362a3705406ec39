"""Old rows are removed, a little at a time: whoever accepts or delivers goes first.

Evidence, the texts and people of alerts, has an age of its own; it can be erased before that, too. What the store's
files still repeat is then erased soon.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from app.domain.model.types import LinkId
from app.domain.rules.rulebook import Rulebook
from app.ports import NO_BODY, Asked, Clock, Evidence, Links, PeriodicTask, RulebookSource, Transactions, utc_now
from app.services.sync.erasure import EraseEvidence

log = structlog.get_logger()

FIRST_AFTER_SECONDS = 60.0
EVERY_SECONDS = 3600.0
PAUSE_SECONDS = 0.05
"""Between two transactions, so that writers get their turn."""
LINKS_AT_ONCE = 100
TRIES = 20
"""How often one run asks for the truncation of the logs, which somebody may be reading."""
TRY_AGAIN_SECONDS = 0.25
ERASE_EVERY_SECONDS = 60.0

Sweep = Callable[[datetime], Iterator[int]]
"""Removes what is older than an instant; each number is the rows of one transaction."""


@dataclass(frozen=True)
class Retention:
    """One run over everything. Ended in the middle, the next run goes on."""

    sweeps: Mapping[str, Sweep]
    """By what they sweep."""
    rulebook: RulebookSource
    clock: Clock = utc_now
    pause: Callable[[float], None] = time.sleep
    evidence: Mapping[str, Sweep] = field(default_factory=dict)
    """Those that go by the age of evidence."""
    erase_bodies: Callable[[], None] = lambda: None
    """Asks for what is due to be erased soon, and for the logs."""
    own_days: Mapping[str, Callable[[Rulebook], float]] = field(default_factory=dict)
    """How long what has days of its own is kept, by what it is; all else ``retention_days``."""

    def __call__(self) -> bool:
        """Remove what is older than the rulebook's retention. A sweep that breaks stops no other; False when one
        did."""
        rulebook, now = self.rulebook.current(), self.clock()
        texts_before = now - timedelta(days=rulebook.evidence_days)
        swept = {name: self._swept(name, sweep, texts_before) for name, sweep in self.evidence.items()}
        for name, sweep in self.sweeps.items():
            kept = self.own_days[name](rulebook) if name in self.own_days else rulebook.retention_days
            swept[name] = self._swept(name, sweep, now - timedelta(days=kept))
        counts = {name: count for name, (count, _) in swept.items()}
        log.info("retention.done", days=rulebook.retention_days, evidence_days=rulebook.evidence_days, **counts)
        if any(counts.values()):
            self.erase_bodies()
        return all(is_whole for _, is_whole in swept.values())

    def _swept(self, name: str, sweep: Sweep, before: datetime) -> tuple[int, bool]:
        """How many rows went, and whether the sweep came to its end."""
        count = 0
        try:
            for removed in sweep(before):
                count += removed
                self.pause(PAUSE_SECONDS)
        except Exception as fault:
            log.exception("retention.broke", what=name, reason=type(fault).__name__)
            return count, False
        return count, True


def retention_task(retention: Callable[[], object]) -> PeriodicTask:
    """The run as the leader's periodic task: a minute after the start, then every hour."""
    return PeriodicTask("retention", EVERY_SECONDS, retention, first_after_seconds=FIRST_AFTER_SECONDS)


@dataclass(frozen=True)
class EraseOldEvidence:
    """Erases the evidence of alerts that are over, or of which nothing was heard, since before an instant."""

    transactions: Transactions
    links: Links
    evidence: Evidence
    clock: Clock = utc_now

    def __call__(self, before: datetime) -> Iterator[int]:
        """A ``Sweep``: one alert a transaction, so that nobody waits for more than one. Raises ``StoreUnavailable``."""
        after = LinkId(0)
        erase = EraseEvidence(self.links, self.evidence)
        while True:
            with self.transactions.read() as tx:
                found = self.evidence.over(tx, before, after, LINKS_AT_ONCE)
            for link_id in found:
                if self._by_itself(erase, link_id, before):
                    yield 1
            if len(found) < LINKS_AT_ONCE:
                return
            after = found[-1]

    def _by_itself(self, erase: EraseEvidence, link_id: LinkId, before: datetime) -> bool:
        """One link that cannot be read keeps no other."""
        try:
            with self.transactions.read() as tx:
                due = self.links.peek(tx, link_id).last_heard_at < before
            return due and self._erased(erase, link_id, before)
        except ValueError:
            log.exception("evidence.link_unreadable", link_id=link_id)
            return False

    def _erased(self, erase: EraseEvidence, link_id: LinkId, before: datetime) -> bool:
        """Erase it unless something happened meanwhile."""
        with self.transactions.begin() as tx:
            link = self.links.get(tx, link_id)
            due = self.evidence.over(tx, before, LinkId(link_id - 1), 1)
            if link.last_heard_at >= before or link_id not in due:
                return False
            _, entry = erase(tx, link, self.clock(), {"because": "retention"})
            self.links.write_timeline(tx, [entry])
        return True


class Bodies(Protocol):
    """Raw bodies and logs, as ``EraseBodies`` erases them. Everything raises ``StoreUnavailable``."""

    def erase_due(self) -> Iterator[Sequence[int]]:
        """Erase every body that is due; the numbers of each transaction, which are then to be struck off."""

    def strike_off(self, ids: Sequence[int]) -> None:
        """These bodies are kept no more, neither in the inbox nor in a log."""

    def truncate_logs(self) -> bool:
        """Have no log hold older copies of pages. False: it has to be tried again."""


@dataclass
class EraseBodies:
    """Erases the raw bodies that are due, then the logs. Cut off anywhere, the next run does it again."""

    bodies: Bodies
    pause: Callable[[float], None] = time.sleep
    asked: Asked = field(default_factory=Asked)
    wanted: bool = True
    """Whether the logs may hold what was erased: at the start nobody knows."""

    def soon(self) -> None:
        """Have it run as soon as the worker gets to it."""
        self.wanted = True
        self.asked.ask()

    def __call__(self) -> None:
        """Erase what is due."""
        erased: list[int] = []
        for ids in self.bodies.erase_due():
            erased += ids
            self.pause(PAUSE_SECONDS)
        if not (erased or self.wanted):
            return
        self.wanted, done = False, False
        try:
            done = self._truncated()
        finally:
            self.wanted = self.wanted or not done
        if not done:
            log.warning("evidence.log_kept", because="somebody reads or writes the store; it is tried again")
            return
        self.bodies.strike_off(erased)
        if erased:
            log.info("evidence.erased", bodies=len([number for number in erased if number != NO_BODY]))

    def _truncated(self) -> bool:
        for _ in range(TRIES):
            if self.bodies.truncate_logs():
                return True
            self.pause(TRY_AGAIN_SECONDS)
        return False


def evidence_task(erase: EraseBodies) -> PeriodicTask:
    """The leader's periodic task: at its start, every minute, and whenever something was erased."""
    return PeriodicTask("evidence", ERASE_EVERY_SECONDS, erase, asked=erase.asked)
