"""What should be true once it is quiet, said without any of the bridge's own code.

The model knows only what people did, where and when, and which webhooks about it were lost.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from math import prod

from app.domain.names import Side, Status

MAX_STORIES = 20_000


@dataclass(frozen=True)
class Deed:
    """One thing a person did that moves an alert."""

    at: datetime
    side: Side
    kind: str
    """``ack``, ``unack``, ``resolve``, ``reopen``."""
    lost: bool = False
    """Its webhook will never come."""

    @property
    def says(self) -> Status:
        """What the side shows after it."""
        return {"ack": Status.ACKNOWLEDGED, "resolve": Status.RESOLVED}.get(self.kind, Status.OPEN)


def outcome(deeds: Iterable[Deed]) -> Status:
    """Newest wins, resolved absorbs everything but a reopen: where the deeds, told in order of time, lead."""
    status = Status.OPEN
    for deed in sorted(deeds, key=lambda deed: deed.at):
        if deed.kind == "reopen":
            status = Status.OPEN
        elif deed.kind == "resolve":
            status = Status.RESOLVED
        elif status is not Status.RESOLVED and (deed.kind == "ack" or status is Status.ACKNOWLEDGED):
            status = deed.says
    return status


def allowed(deeds: Sequence[Deed], looks: Sequence[datetime], unsure: Collection[Deed] = ()) -> set[Status]:
    """Where both sides may stand.

    With every webhook delivered there is one answer. A deed whose webhook was lost can only be seen by a look, and a
    look sees what is there *then*: the deed may have been undone or overwritten by that time (it is as if it had never
    happened). PagerDuty tells in whole seconds when the incident last changed, so the deed counts as done in that
    second; TruthVouch tells no time, so there it counts as done when we looked. A deed beside a write of ours that says
    the same is ``unsure``: its webhook cannot be told from that write's own, and an echo says nothing.
    """
    choices: list[list[Deed | None]] = []
    for deed in deeds:
        if not deed.lost:
            choices.append([deed, *_seen_again(deed, deeds, looks), *([None] if deed in unsure else [])])
        elif deed.side is Side.PAGERDUTY:
            last = [other.at for other in deeds if other.lost and other.side is deed.side and other.at >= deed.at]
            seconds = {at.replace(microsecond=edge) for at in last for edge in (at.microsecond, 0, 999_999)}
            choices.append([None, *(Deed(at, deed.side, deed.kind) for at in sorted(seconds))])
        else:
            choices.append([None, *_at_looks(deed, looks)])
    if prod(map(len, choices)) > MAX_STORIES:
        return set(Status)
    return {outcome(deed for deed in story if deed) for story in product(*choices)}


def _at_looks(deed: Deed, looks: Sequence[datetime]) -> list[Deed]:
    return [Deed(at, deed.side, deed.kind) for at in looks if at > deed.at]


def _seen_again(deed: Deed, deeds: Sequence[Deed], looks: Sequence[datetime]) -> list[Deed]:
    """A look that finds what a lost webhook would have told finds what was done there since, and dates both alike."""
    after_a_lost_one = any(other.lost and other.side is deed.side and other.at <= deed.at for other in deeds)
    return _at_looks(deed, looks) if deed.side is Side.TRUTHVOUCH and after_a_lost_one else []
