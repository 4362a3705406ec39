"""Our own pace of calls to one key, and the partner's word about it: GCRA, one instant per key, no counting.

``spent_until`` is when all calls made so far are paid for at the steady rate. A call may go while that instant is no
further ahead than a burst. All times are whole microseconds since some beginning that never jumps; ``now`` is given.
https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

MICROSECONDS = 1_000_000

MAX_BURST = 16
"""Calls that may go at once after a quiet time. It is part of the minute's budget, not on top of it."""

LOW_RESERVE = 0.25
"""The share of the burst that pages of low urgency, notes and the like leave for what is more urgent."""

PATIENCE = MICROSECONDS
"""The longest a call waits for its turn in its thread; longer and it goes back to its queue."""

LONGEST_PAUSE = 300 * MICROSECONDS
"""No partner can park a key for longer, and no clock set back either."""

UNSAID_PAUSES: Sequence[float] = (1, 2, 4, 8, 15, 30, 60)
"""Seconds the key rests after so many 429s in a row that do not say how long. The Events API never says:
https://developer.pagerduty.com/docs/events-api-v2/overview/"""


@dataclass(frozen=True, slots=True)
class Pace:
    """So many microseconds between calls in the long run, so many calls at once after a quiet time."""

    interval: int
    burst: int

    def allowance(self, reserve: float = 0.0) -> int:
        """How far ahead the calls may be paid for; whoever leaves a share of the burst to others stops earlier."""
        return max(self.interval, int((1 - reserve) * self.burst * self.interval))

    def patience(self, reserve: float = 0.0) -> int:
        """How long a call may wait in its thread. Whoever leaves a reserve never waits so deep that it is used up."""
        if not reserve:
            return PATIENCE
        kept = (self.burst - 1) * self.interval - self.allowance(reserve)
        return min(PATIENCE, max(0, kept))


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of one key."""

    spent_until: int = 0
    paused_until: int = 0


@dataclass(frozen=True, slots=True)
class Turn:
    """Granted: wait so long and make the call. Else nothing is taken, and it is worth asking again then."""

    granted: bool
    wait: int
    account: Account


def pace(per_minute: int) -> Pace | None:
    """The pace that keeps any sixty seconds within ``per_minute`` calls, the burst and one second of drift included:
    calls are counted where they arrive, and they do not all travel equally long. None: no budget of our own."""
    if per_minute <= 0:
        return None
    burst = max(1, min(MAX_BURST, per_minute // 15))
    steadily = per_minute - (burst - 1) - per_minute // 60
    return Pace(60 * MICROSECONDS // steadily, burst)


def ask(pace: Pace | None, account: Account, now: int, reserve: float = 0.0) -> Turn:
    """Ask for one call. ``reserve`` (0..1): the share of the burst left to others."""
    earliest = max(now, min(account.paused_until, now + LONGEST_PAUSE))
    spent, start, patience = account.spent_until, earliest, PATIENCE
    if pace is not None:
        # Nothing is ever paid for further ahead than this: an instant beyond it is a clock that was set back.
        ahead = now + horizon(pace)
        spent = max(min(spent, ahead), earliest) + pace.interval
        start = max(earliest, spent - pace.allowance(reserve))
        patience = pace.patience(reserve)
    wait = start - now
    granted = wait <= patience
    return Turn(granted, wait, replace(account, spent_until=spent) if granted else account)


def horizon(pace: Pace) -> int:
    """The furthest that calls can be paid for ahead of now."""
    return pace.burst * pace.interval + PATIENCE


def used_up(pace: Pace | None, now: int) -> Account:
    """What to begin with when nobody knows what was called just before: as if the burst had just been spent."""
    return Account(now + (0 if pace is None else pace.burst * pace.interval))


def paused(account: Account, now: int, seconds: float) -> Account:
    """The account after the partner asked for a rest. A shorter word never ends a longer one."""
    until = now + min(max(0, int(seconds * MICROSECONDS)), LONGEST_PAUSE)
    return replace(account, paused_until=max(min(account.paused_until, now + LONGEST_PAUSE), until))


def unsaid_pause(refusals: int) -> float:
    """Seconds to rest after so many 429s in a row (from 1) without a word about how long."""
    return UNSAID_PAUSES[min(max(refusals, 1), len(UNSAID_PAUSES)) - 1]
