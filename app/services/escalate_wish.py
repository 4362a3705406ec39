"""The wish *escalate*, as text: what ``Wish.detail`` of ``WishVerb.ESCALATE`` says, written and read in one place."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.escalation import Course, Rung

MAX_LEVELS = 20
MAX_MINUTES = 60 * 24 * 31
MAX_ID_CHARS = 64
SOMEBODY = "somebody"
"""Who asked, where nobody says."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants done about one incident. ``course`` None: no more escalation."""

    course: Course | None
    drill: bool = False


def arming(
    policy_id: str | None,
    minutes: float | Sequence[float],
    *,
    descriptions: Sequence[str] = (),
    raise_urgency: bool = False,
    drill: bool = False,
) -> str:
    """The detail that escalates an incident unless somebody acknowledges it.

    ``minutes``: to wait before level 1, or before each level, counted from the one before; more than 0, fractions
    legal, at most 31 days. ``policy_id`` None: it stays on its policy and only rises. Raises ``ValueError`` saying what
    is wrong with it.
    """
    waits = [minutes] if isinstance(minutes, int | float) else list(minutes)
    named = [*descriptions, *[""] * len(waits)][: len(waits)]
    levels = [{"minutes": wait, "description": text} for wait, text in zip(waits, named, strict=True)]
    told = {"policy_id": policy_id, "levels": levels, "raise_urgency": raise_urgency, "drill": drill}
    if read(json.dumps(told)) is None:
        raise ValueError(
            f"an escalation has 1 to {MAX_LEVELS} levels, each with more than 0 and at most {MAX_MINUTES} minutes, "
            f"and a policy id without blanks"
        )
    return json.dumps(told)


CANCELLING = json.dumps({"cancel": True})
"""The detail that ends an incident's escalation."""


def read(detail: str) -> Asked | None:
    """What a detail asks; None when it asks nothing that can be done. ``timeout_minutes`` alone is one level."""
    try:
        told = json.loads(detail)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    if told.get("cancel") is True:
        return Asked(None)
    levels = told.get("levels") or [{"minutes": told.get("timeout_minutes")}]
    policy = told.get("policy_id")
    if not isinstance(levels, list) or len(levels) > MAX_LEVELS or not (policy is None or fit_for_an_id(policy)):
        return None
    rungs = tuple(map(_rung, levels))
    course = Course(policy, tuple(filter(None, rungs)), told.get("raise_urgency") is True)
    return Asked(course, told.get("drill") is True) if all(rungs) else None


def _rung(told: object) -> Rung | None:
    level = told if isinstance(told, Mapping) else {}
    minutes = level.get("minutes", level.get("timeout_minutes"))
    if not isinstance(minutes, int | float) or isinstance(minutes, bool) or not math.isfinite(minutes):
        return None
    return Rung(minutes * 60, str(level.get("description") or "")[:200]) if 0 < minutes <= MAX_MINUTES else None


def fit_for_an_id(text: object) -> bool:
    """Whether PagerDuty could have such an id: 1 to 64 printable characters without blanks."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID_CHARS:
        return False
    return text.isprintable() and not any(map(str.isspace, text))
