"""Errors that reach a person or a caller: each has a reason word, and its message says what to do next.

``BridgeError`` is the family; none of them ever holds a key, a secret or a personal text.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class BridgeError(Exception):
    """What was asked is not done. The message is for people; ``reason`` is for programs."""

    def __init__(self, reason: str, said: str, todo: str = "") -> None:
        self.reason = reason
        """Why, in snake_case: ``not_found``, ``unauthorized``, ``read_timeout``, ..."""
        self.todo = todo
        """What to do next; empty where the message is all there is to say."""
        super().__init__(f"{said} {todo}" if todo else said)


class WrongUse(BridgeError, ValueError):
    """An argument that cannot be meant. Nothing was sent."""


class NotSetUp(BridgeError):
    """A credential, a setting or a store that this needs is missing. Nothing was sent."""


class PartnerRefused(BridgeError):
    """PagerDuty or TruthVouch understood and said no; asking again would not help."""

    def __init__(self, reason: str, said: str, todo: str = "", status: int = 0, code: int | None = None) -> None:
        super().__init__(reason, said, todo)
        self.status = status
        """The HTTP status; 0 where nothing was sent."""
        self.code = code
        """PagerDuty's own error number. https://developer.pagerduty.com/docs/rest-api-v2/errors/"""


class PartnerUnavailable(BridgeError):
    """PagerDuty or TruthVouch gave no usable answer, however often it was asked. Asking later may help."""

    def __init__(
        self, reason: str, said: str, todo: str = "", unclear: bool = False, after_seconds: float | None = None
    ) -> None:
        super().__init__(reason, said, todo)
        self.unclear = unclear
        """The call may have had its effect all the same; every call of the bridge is safe to repeat."""
        self.after_seconds = after_seconds
        """How long the partner asked to be left alone; None when it did not say."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the configuration. Never holds the value of a secret."""

    path: str
    """Where: ``PORT`` in the environment, ``rules[1].action.urgency`` in the file."""
    problem: str
    """What is wrong."""
    remedy: str = ""
    """What would be right."""
    line: int | None = None
    """The line in the file, counted from 1; None for the environment."""

    def __str__(self) -> str:
        where = [self.path] if self.path else []
        if self.line is not None:
            where.append(f"line {self.line}")
        return ": ".join([*([", ".join(where)] if where else []), self.told])

    @property
    def told(self) -> str:
        """What is wrong and what would be right, without the place."""
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class ConfigFault(BridgeError, ValueError):
    """A configuration that cannot be used: every fault of it, in one message."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        """What was read: ``the environment``, or the file's path."""
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"{source}: {count}", *(f"  {fault}" for fault in self.faults)]
        super().__init__("bad_configuration", "\n".join(lines))


def told(value: object) -> str:
    """A value as a fault quotes it, cut short."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def meant(word: str, known: Iterable[str]) -> str:
    """What may have been meant by a misspelt word."""
    candidates = sorted(known)
    close = get_close_matches(word.lower(), candidates, n=1, cutoff=0.6) or get_close_matches(word, candidates, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(candidates)}"


def one_of(words: Iterable[str]) -> str:
    """``a, b or c``."""
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
