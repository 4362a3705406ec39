"""How a worker's knowledge of a shut door is written down and read: one mark per door and worker, with its time.

A mark that nobody has renewed for a while says nothing any more: its worker is gone, or nothing is owed there.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from app.domain.names import instant

HOLD, DOWN = "hold.", "down."
"""We are refused; the target does not answer."""

FRESH = timedelta(seconds=90)
"""Three of the longest times between probes: a door that is still shut has been tried again by then."""


def mark_name(kind: str, door: str, worker: str) -> str:
    """The mark's name: ``hold.pagerduty-rest@worker-0``."""
    return f"{kind}{door}@{worker}"


def mark_text(reason: str, at: datetime) -> str:
    """What it says: the reason word, and when it was last seen to be so."""
    return f"{reason} {at.isoformat()}"


def shut_doors(marks: Mapping[str, str], now: datetime) -> dict[str, str]:
    """The doors that any worker finds shut, with every worker's reason once."""
    found: dict[str, set[str]] = {}
    for name, text in marks.items():
        kind = next((kind for kind in (HOLD, DOWN) if name.startswith(kind)), None)
        reason, _, at = text.partition(" ")
        seen_at = instant(at)
        if kind and seen_at and now - seen_at < FRESH:
            found.setdefault(name.removeprefix(kind).partition("@")[0], set()).add(reason)
    return {door: ", ".join(sorted(reasons)) for door, reasons in found.items()}
