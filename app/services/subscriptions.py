"""Use case: does PagerDuty still tell us what happens there, and if not, put right what can be put right.

A subscription that PagerDuty switched off has thrown away what people did meanwhile, so whoever switches it on again
also asks for a reconciliation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from app.domain.outcome import Done, Held, Refused, Reply
from app.domain.refusals import FORBIDDEN
from app.domain.subscription import Fault, Mend, Subscription, Verdict, Wanted, judge
from app.ports import Marks, Subscriptions, Transactions

log = structlog.get_logger()

MARK = "subscription.health"
"""The newest verdict, as ``Verdict.as_text`` writes it."""
NOT_READ = "subscriptions_not_read"


@dataclass(frozen=True)
class WatchSubscriptions:
    """Looks, mends, and remembers what it found."""

    subscriptions: Subscriptions
    wanted: Callable[[], Wanted]
    transactions: Transactions
    marks: Marks
    reconcile: Callable[[], None]
    """Asks for a reconciliation soon: the gap is filled from what both sides say now."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self) -> Verdict:
        """The round: ends PagerDuty's own switching-off, changes nothing that a person decided."""
        verdict = self.repair({Mend.ENABLE})
        if not any(fault.code == NOT_READ for fault in verdict.faults):  # a look that failed leaves the last one's word
            with self.transactions.begin() as tx:
                self.marks.put(tx, MARK, verdict.as_text())
        for fault in verdict.faults:
            say = log.warning if fault.warning else log.error
            say("subscription.unhealthy", code=fault.code, subscription_id=fault.subscription_id)
        return verdict

    def look(self) -> Verdict:
        """What is wrong now."""
        return look(self.subscriptions, self.wanted(), self.clock())[0]

    def listed(self) -> Sequence[Subscription]:
        """All of them; nothing where the list cannot be read."""
        return look(self.subscriptions, self.wanted(), self.clock())[1]

    def repair(self, allowed: set[Mend]) -> Verdict:
        """Mend what may be mended; the verdict says what was and what is still wrong.

        Asks for a reconciliation if anything was mended.
        """
        wanted = self.wanted()
        verdict, found = look(self.subscriptions, wanted, self.clock())
        mended = tuple(fault for fault in verdict.faults if fault.mend in allowed and self._mend(fault, found, wanted))
        if mended:
            self.reconcile()
            verdict, _ = look(self.subscriptions, wanted, self.clock())
        return replace(verdict, mended=tuple(fault.code for fault in mended))

    def _mend(self, fault: Fault, found: Sequence[Subscription], wanted: Wanted) -> bool:
        ident = fault.subscription_id
        reply: Reply[object]
        if fault.mend is Mend.ENABLE:
            reply = self.subscriptions.enable(ident)
        else:
            sent = next((one.events for one in found if one.subscription_id == ident), ())
            reply = self.subscriptions.update(ident, tuple(dict.fromkeys((*sent, *wanted.events))))
        done = isinstance(reply, Done)
        if done:
            self.subscriptions.ping(ident)  # shows in the bridge's last-seen that deliveries arrive again
        say = partial(log.info, "subscription.mended") if done else partial(log.error, "subscription.not_mended")
        say(code=fault.code, subscription_id=ident, **({} if isinstance(reply, Done) else {"reason": reply.reason}))
        return done


def look(subscriptions: Subscriptions, wanted: Wanted, now: datetime) -> tuple[Verdict, Sequence[Subscription]]:
    """What is wrong, and the list it was read from; empty where the list could not be read."""
    reply = subscriptions.list()
    if isinstance(reply, Done):
        return Verdict(now, judge(reply.value, wanted)), reply.value
    return Verdict(now, (not_readable(reply),)), ()


def not_readable(reply: Reply[object]) -> Fault:
    """Why the list could not be read: refused for good, or only not now."""
    reason = "" if isinstance(reply, Done) else reply.reason
    if isinstance(reply, Held) and reply.reason != FORBIDDEN:
        words = f"PagerDuty's webhook subscriptions could not be read ({reason})."
        return Fault(NOT_READ, words, "See the check `pagerduty_key`.")
    if isinstance(reply, Held | Refused):
        words = f"PagerDuty does not let this API key see its webhook subscriptions ({reason})."
        todo = "Use a key that may, or look yourself: PagerDuty, Integrations, Generic Webhooks (v3)."
        return Fault("subscriptions_not_readable", words, todo, warning=True)
    words = f"PagerDuty's webhook subscriptions could not be read just now ({reason})."
    return Fault(NOT_READ, words, "It is tried again; see whether PagerDuty answers at all.")
