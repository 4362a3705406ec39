"""Runs one delivery until it ends, whatever it raises.

Marked as failed by DBOS it would be owed for ever and never run. While the store is the reason it is tried for ever;
one that raises by itself (a bug) is handed over after a while, so that it neither repeats every minute for ever nor
takes a place from others.
"""

import threading
from collections.abc import Callable, Sequence
from itertools import chain, repeat

import structlog

from app.domain.names import LinkId, Side
from app.ports import StoreUnavailable

log = structlog.get_logger()

BROKEN_DELAYS = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds between tries of a delivery that raised, which none should."""

BROKEN_TRIES = 6
"""So often it may raise before it is given up; tries that only the store spoiled do not count."""

Deliver = Callable[[LinkId, Side, int, bool], str]
"""Link, side, sequence, and whether this is the delivery's first run: a later one may find its call made."""

Delivery = tuple[LinkId, Side, int]

GivenUp = Callable[[LinkId, Side, int, str], None]
"""Hears of a delivery that raises every time, and why: the name of what it raised. May raise; then it is tried on."""


class Persistent:
    """``persistent(delivery, first_run)``: the outcome word, or ``given_up``."""

    def __init__(
        self,
        deliver: Deliver,
        stopping: threading.Event,
        given_up: GivenUp | None = None,
        delays: Sequence[float] = BROKEN_DELAYS,
    ) -> None:
        """``delays``: seconds after each failed try; the last one repeats. ``stopping`` ends the waiting."""
        self._deliver, self._stopping, self._given_up = deliver, stopping, given_up
        self._delays = tuple(delays)

    def __call__(self, delivery: Delivery, first_run: bool) -> str:
        """Deliver. Raises ``SystemExit`` when told to stop: it stays pending, and the next start takes it up."""
        link_id, side, seq = delivery
        broke = 0
        for wait in chain(self._delays, repeat(self._delays[-1])):
            try:
                return self._deliver(link_id, side, seq, first_run)
            except Exception as fault:
                first_run = False  # its call may have been made
                log.exception("delivery.broke", link_id=link_id, side=side.value, seq=seq, again_after=wait)
                broke += not isinstance(fault, StoreUnavailable)
                if broke >= BROKEN_TRIES and self._is_given_up(delivery, fault):
                    return "given_up"
                if self._stopping.wait(wait):
                    break
        raise SystemExit("stopped before this delivery could end")

    def _is_given_up(self, delivery: Delivery, fault: Exception) -> bool:
        """Whether somebody took note, durably."""
        if self._given_up is None or isinstance(fault, StoreUnavailable):
            return False
        link_id, side, seq = delivery
        try:
            self._given_up(link_id, side, seq, type(fault).__name__)
        except Exception:
            log.exception("delivery.not_given_up", link_id=link_id, side=side.value, seq=seq)
            return False
        return True
