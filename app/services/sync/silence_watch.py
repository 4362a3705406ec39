"""Silences end: what one silenced and is still open is decided anew, and an end that is near is announced.

Nothing has to be remembered about a single alert: one whose decision says *silenced* and that nothing silences any more
is processed as if it had just been created, in the transaction that changes that decision. So it is done once, and a
crash leaves the rest to be found by the next check. Nor about a silence: who is still silenced is looked at at the
start, once a minute, and as soon as a silence was seen to end.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import AlertId, LinkId, Status
from app.domain.rules.decide import decide
from app.domain.rules.rulebook import (
    SILENCED,
    Decision,
    Silence,
    Watch,
    announced_from,
    announced_text,
    identity,
    in_force,
)
from app.domain.sync.link import Link
from app.ports import Clock, KeyValueStore, Links, PeriodicTask, RulebookSource, StoreUnavailable, Transactions, utc_now
from app.ports.history import Silenced
from app.services.sync.intake import Gathered, ProcessEvent
from app.services.sync.link_writer import LinkWriter

log = structlog.get_logger()

KEY = "silences.watch"
ENDED = "silence.ended"
"""What an alert is told as in its time line when it is decided anew."""
EVERY_SECONDS = 5.0
BATCH = 200


@dataclass
class WatchSilences:
    """The leader's look at silences; calls no partner."""

    transactions: Transactions
    key_values: KeyValueStore
    silenced: Silenced
    links: Links
    writer: LinkWriter
    process_event: ProcessEvent
    rulebook: RulebookSource
    clock: Clock = utc_now
    last: Watch = field(default_factory=Watch, init=False)

    def __call__(self) -> int:
        """Look; the answer is how many alerts were decided anew."""
        now, silences = self.clock(), self.rulebook.current().silences
        with self.transactions.read() as tx:
            before = replace(self.last, announced=announced_from(self.key_values.read(tx, KEY)))
        seen, done = before.seeing(silences, now), 0
        if seen.must_check(now):
            done = self._decide_all_anew()
            seen = seen.checked(now)
        if seen.announced != before.announced:
            with self.transactions.begin() as tx:
                self.key_values.put(tx, KEY, announced_text(seen.announced))
        self.last = seen
        self._report(silences, before, seen, done)
        return done

    def _report(self, silences: tuple[Silence, ...], before: Watch, seen: Watch, done: int) -> None:
        for silence in silences:
            if identity(silence) in seen.announced - before.announced:
                log.warning("silence.expires_soon", silence=silence.name, owner=silence.owner, until=str(silence.until))
        if done:
            log.info(ENDED, alerts=done)

    def _decide_all_anew(self) -> int:
        done = after = 0
        while True:
            with self.transactions.read() as tx:
                found = self.silenced.after(tx, after, BATCH)
            if not found:
                return done
            done += sum(self._by_itself(LinkId(link_id), alert_id) for link_id, alert_id in found)
            after = found[-1][0]

    def _by_itself(self, link_id: LinkId, alert_id: AlertId) -> bool:
        """One alert that cannot be decided keeps no other silent."""
        try:
            return self._is_let_go(link_id) and self._decide_anew(alert_id)
        except StoreUnavailable:
            raise
        except Exception:
            log.exception("silence.decision_failed", link_id=link_id, alert_id=alert_id)
            return False

    def _is_let_go(self, link_id: LinkId) -> bool:
        """A check that locks nobody out: most of what is silenced stays so."""
        with self.transactions.read() as tx:
            return self._is_to_be_applied(self.links.peek(tx, link_id), self.clock())

    def _decide_anew(self, alert_id: AlertId) -> bool:
        """One alert a transaction: whoever takes the inbox in may want the same links in another order."""
        gathered, now = Gathered(), self.clock()
        with self.transactions.begin() as tx:
            link = self.links.by_alert(tx, alert_id)
            if link is None or not self._is_to_be_applied(link, now):
                return False
            self.process_event(tx, AlertEvent(AlertEventType.CREATED, link.alert, ENDED), now, 0, gathered)
            self.links.write_timeline(tx, gathered.entries)
            self.writer.submit(tx, gathered.orders)
        return True

    def _is_to_be_applied(self, link: Link, now: datetime) -> bool:
        """Silenced, still open, and silenced by nothing any more."""
        was_silenced = link.decision is not None and link.decision.reason == SILENCED
        if not was_silenced or link.status is Status.RESOLVED:
            return False
        if link.erased_at is not None and self._is_named_in_force(link.decision, now):
            return False  # nobody can tell whether it matches by now
        return decide(self.rulebook.current(), link.alert, now).reason != SILENCED

    def _is_named_in_force(self, decision: Decision | None, now: datetime) -> bool:
        silences = in_force(self.rulebook.current().silences, now)
        return decision is not None and any(silence.name == decision.rule for silence in silences)


def silences_task(watch: Callable[[], object]) -> PeriodicTask:
    """The check as a periodic task of the leader."""

    def run_once() -> None:
        watch()

    return PeriodicTask("silences", EVERY_SECONDS, run_once, first_after_seconds=EVERY_SECONDS)
