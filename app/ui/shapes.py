"""How values are written for people: instants by the clocks of a zone, lengths of time, states in words and shape."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

from markupsafe import Markup, escape

TONES: Mapping[str, str] = {
    **dict.fromkeys(("red", "open", "triggered", "critical", "dead", "refused"), "bad"),
    **dict.fromkeys(("degraded", "acknowledged", "investigating", "high", "paused", "frozen", "planned"), "warn"),
    **dict.fromkeys(("ok", "resolved", "done", "in_force", "running", "accepted"), "good"),
}
"""How a state is shown; every other one is plain."""
SIGNS: Mapping[str, str] = {"bad": "●", "warn": "▲", "good": "✓", "": "○"}
"""The shape of a tone: nobody has to tell colours apart."""
NAMES: Mapping[str, str] = {"ok": "healthy", "red": "not working", "in_force": "in force", "": "unknown"}


def state(name: object, label: str = "") -> Markup:
    """A state as a chip: its shape, its word and its colour say the same."""
    word = "" if name is None else str(name)
    return tone(label or NAMES.get(word, word.replace("_", " ")), TONES.get(word, ""))


def tone(label: str, kind: str) -> Markup:
    """Words as a chip of that tone."""
    return Markup('<span class="chip {}"><span aria-hidden="true">{}</span> {}</span>').format(kind, SIGNS[kind], label)


def clock(at: datetime | None, zone: tzinfo = UTC) -> Markup:
    """An instant by the clocks of the zone, to the second."""
    if at is None:
        return Markup('<span class="none">–</span>')
    here = at.astimezone(zone)
    shown = f"{here:%Y-%m-%d %H:%M:%S}"
    return Markup('<time datetime="{}">{}</time>').format(at.astimezone(UTC).isoformat(), shown)


def ago(at: datetime | None, now: datetime) -> str:
    """``12 s ago``, ``3 min ago``, ``in 2 h``; ``never`` where there is none."""
    if at is None:
        return "never"
    seconds = (now - at).total_seconds()
    length = lasting(abs(seconds))
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def lasting(seconds: float) -> str:
    """A length of time in its largest unit: ``12 s``, ``3 min``, ``5 h``, ``2 days``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3_600:.0f} h"
    return f"{seconds / 86_400:.0f} days"


def counted(number: int, one: str, many: str = "") -> str:
    """``1 alert``, ``3 alerts``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def plain(value: object) -> object:
    """A fact as people read it: a truth is yes or no, a list its members."""
    match value:
        case None | "" | [] | ():
            return Markup('<span class="none">–</span>')
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(str(one) for one in value)
        case dict():
            return Markup("<br>").join(escape(f"{name}: {one}") for name, one in value.items())
        case _:
            return value


def ticks(text: object) -> Markup:
    """A message with what stands in backticks as code."""
    pieces = str(text).split("`")
    if len(pieces) % 2 == 0:  # the last one closes nothing
        pieces[-2:] = ["`".join(pieces[-2:])]
    made = Markup("")
    for place, piece in enumerate(pieces):
        made += Markup("<code>{}</code>").format(piece) if place % 2 else piece
    return made


def rule_name(name: str) -> str:
    """What decided, or both that did (``live rule → draft rule``); the map goes by its name for people."""
    return " → ".join("the severity map" if one == "severity_map" else one for one in name.split(" → "))


FILTERS: Mapping[str, Callable[..., Any]] = {
    "state": state,
    "tone": tone,
    "clock": clock,
    "ago": ago,
    "lasting": lasting,
    "counted": counted,
    "plain": plain,
    "ticks": ticks,
    "rule_name": rule_name,
}
