"""What can come of a call to a partner, in words. Nothing here is an exception."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)

BUDGET_SPENT = "budget_spent"
"""Not asked: our own budget is spent, or the partner asked for a rest."""
TARGET_DOWN = "target_down"
"""Not asked: the target has stopped answering, and somebody else is trying it."""
TARGET_PAUSED = "target_paused"
"""Not asked: another delivery was just refused for our credentials."""
UNSENDABLE = "unsendable"
"""Not asked: the request cannot be written (its address, a header), so no call to this target can be made."""
REDIRECTED = "redirected"
"""The partner sends whoever calls elsewhere: the address we were given is not that of its API."""
NOT_ASKED = frozenset({BUDGET_SPENT, TARGET_DOWN, TARGET_PAUSED})
"""Nobody was called: this is no try, and counts as none."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """The partner said yes (an allow-listed status) and this is what it told."""

    value: T_co
    at: datetime | None = None
    """The partner's own clock when it answered: the HTTP ``Date`` header, in whole seconds; None where it sent none."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Trying again may help: transport errors, 407, 408, 421, 423, 425, 429, 5xx."""

    reason: str
    after_seconds: float | None = None
    """What the partner asked for (``Retry-After``, ``ratelimit-reset``); None when it did not."""
    unclear: bool = False
    """True when the call may have had its effect: look before doing it again."""


@dataclass(frozen=True, slots=True)
class Held:
    """Nothing is wrong with what was asked, only with its way out: it waits, however long, and is never given up.

    401: our credentials are refused, so every call to this target would be, until a person mends it; 403 and a redirect
    may be about one alert alone (the permission breaker says). Or the budget is spent, or the target's breaker is open.
    """

    reason: str
    after_seconds: float | None = None
    """When to ask again; None = at the next probe."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Final: the partner understood and said no. ``code`` is PagerDuty's own error number where there is one."""

    reason: str
    status: int
    code: int | None = None
    detail: str = ""


Reply = Done[T_co] | Retry | Held | Refused
