"""What the bridge puts into its own inbox, as bytes: what reconciliation found and what an operator asked for."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from app.domain.words import AlertWord, IncidentWord, Reading, Unreadable, Wish

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class _Mail:
    alerts: tuple[AlertWord, ...] = ()
    incidents: tuple[IncidentWord, ...] = ()
    wish: Wish | None = None


@cache
def _mail() -> "TypeAdapter[_Mail]":
    """Made when the first letter is, so that a process without mail does without it."""
    from pydantic import TypeAdapter

    return TypeAdapter(_Mail)


def of_finding(*words: AlertWord | IncidentWord) -> bytes:
    """Words that a look at the partners gave, in the order alerts, then incidents."""
    alerts = tuple(word for word in words if isinstance(word, AlertWord))
    incidents = tuple(word for word in words if isinstance(word, IncidentWord))
    return _mail().dump_json(_Mail(alerts, incidents), exclude_defaults=True)


def of_wish(wish: Wish) -> bytes:
    """One wish."""
    return _mail().dump_json(_Mail(wish=wish), exclude_defaults=True)


def read(body: bytes, content_encoding: str | None) -> tuple[Reading, ...]:
    """What ``of_finding`` or ``of_wish`` wrote. Never raises: a newer version's mail is parked, not lost."""
    from pydantic import ValidationError

    try:
        mail = _mail().validate_json(body)
    except ValidationError:
        return (Unreadable("unknown_mail"),)
    readings: tuple[Reading, ...] = (*mail.alerts, *mail.incidents, *((mail.wish,) if mail.wish else ()))
    return readings or (Unreadable("empty_mail"),)
