"""What this worker knows about the partners' doors: who refuses our credentials, who does not answer.

A *hold* is a refusal, of our credential or of one alert: what wakes nobody waits for the next probe. A *breaker* is a
target that stopped answering. Both are this worker's own knowledge, shown to people as marks that carry its name and
the time, so that neither another worker's success clears them nor a dead worker's stay.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from app.domain import refusals
from app.domain.breaker import Breaker, Verdict, asked, heard, probe_delay, verdict
from app.domain.effects import Effect, is_urgent
from app.domain.holds import DOWN, HOLD, mark_name, mark_text
from app.domain.names import LinkId
from app.domain.outcome import BUDGET_SPENT, NOT_ASKED, TARGET_DOWN, TARGET_HELD, Held, Reply, Retry
from app.domain.refusals import Refusals
from app.domain.retry import HOLD_PROBE_DELAY, waiting
from app.ports import Marks, Tx

log = structlog.get_logger()


@dataclass
class Doors:
    """Asked before a call that can wait, told after every call. For many threads."""

    marks: Marks
    worker: str = "main"
    """Whose knowledge this is."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _breakers: dict[str, Breaker] = field(default_factory=dict)
    _refusals: dict[str, Refusals] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def clear(self, tx: Tx, doors: Sequence[str]) -> None:
        """Forget what an earlier run of this worker knew; also what versions knew that named no worker."""
        for door in doors:
            for kind in (HOLD, DOWN):
                self.marks.clear(tx, kind + door)
                self.marks.clear(tx, mark_name(kind, door, self.worker))

    def ask(self, door: str, link_id: LinkId, effect: Effect, dice: float) -> Held | None:
        """None = make the call. Whoever is to be woken is its own probe; the rest waits while another one tries."""
        if is_urgent(effect):
            return None
        with self._lock:
            now = self.clock()
            self._refusals[door], left = refusals.asked(self._refusals.get(door, Refusals()), link_id, effect, now)
            if left:
                return Held(TARGET_HELD, waiting(left, HOLD_PROBE_DELAY, dice))
            breaker, wait = asked(self._breakers.get(door, Breaker()), link_id, now)
            self._breakers[door] = breaker
            return Held(TARGET_DOWN, waiting(wait, probe_delay(breaker), dice)) if wait else None

    def hear(self, door: str, link_id: LinkId, effect: Effect, reply: Reply[object]) -> Mapping[str, str | None]:
        """Learn from a reply; the answer is what the marks should now say: name -> text, None = forget it."""
        if isinstance(reply, Held) and reply.reason in NOT_ASKED - {BUDGET_SPENT}:
            return {}
        with self._lock:
            now = self.clock()
            before = self._breakers.get(door, Breaker())
            after = self._breakers[door] = heard(before, reply, link_id, now)
            self._tell(door, before, after)
            return self._down(door, before, after, reply, now) | self._hold(door, link_id, effect, reply, now)

    def write(self, tx: Tx, name: str, text: str | None) -> None:
        """Show a mark, or take it away."""
        if text is None:
            self.marks.clear(tx, name)
        else:
            self.marks.put(tx, name, text)

    def soon(self, door: str, effect: Effect, reply: Reply[object], dice: float) -> float | None:
        """After a failure: seconds until what can wait may ask again while its door is shut, None while it is open.

        So that what failed early does not sleep long after somebody else saw the target come back.
        """
        with self._lock:
            breaker = self._breakers.get(door, Breaker())
        if breaker.opened_at is None or is_urgent(effect) or verdict(reply) is not Verdict.FAILS:
            return None
        return waiting(probe_delay(breaker), probe_delay(breaker), dice)

    def _down(
        self, door: str, before: Breaker, after: Breaker, reply: Reply[object], now: datetime
    ) -> dict[str, str | None]:
        name = mark_name(DOWN, door, self.worker)
        if after.opened_at is not None and verdict(reply) is Verdict.FAILS and isinstance(reply, Retry):
            return {name: mark_text(reply.reason, now)}
        return {name: None} if before.opened_at is not None and after.opened_at is None else {}

    def _hold(
        self, door: str, link_id: LinkId, effect: Effect, reply: Reply[object], now: datetime
    ) -> dict[str, str | None]:
        before = self._refusals.get(door, Refusals())
        after = self._refusals[door] = refusals.heard(before, link_id, effect, reply, now)
        said, says = refusals.says(before, now), refusals.says(after, now)
        if said == says and not refusals.is_refusal(reply):
            return {}
        return {mark_name(HOLD, door, self.worker): mark_text(says, now) if says else None}

    def _tell(self, door: str, before: Breaker, after: Breaker) -> None:
        if before.opened_at is None and after.opened_at is not None:
            log.error("door.down", door=door, failures=after.failures)
        elif before.opened_at is not None and after.opened_at is None:
            log.info("door.up", door=door, probes=before.probes)
