"""What can come of a call to a partner, in words. Nothing here is an exception."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Done(Generic[T_co]):
    """The partner said yes (an allow-listed status) and this is what it told."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Retry:
    """Trying again may help: transport errors, 408, 429, 5xx."""

    reason: str
    after_seconds: float | None = None
    """What the partner asked for (``Retry-After``, ``ratelimit-reset``); None when it did not."""
    unclear: bool = False
    """True when the call may have had its effect: look before doing it again."""


@dataclass(frozen=True, slots=True)
class Held:
    """401/403: our credentials are refused, so every call to this target would be. A person must mend it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Final: the partner understood and said no. ``code`` is PagerDuty's own error number where there is one."""

    reason: str
    status: int
    code: int | None = None
    detail: str = ""


Reply = Done[T_co] | Retry | Held | Refused
