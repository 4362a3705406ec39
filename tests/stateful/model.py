"""What should be true once it is quiet, said without any of the bridge's own code.

The model knows only what people did, where and when, and which webhooks about it were lost.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, product
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


def allowed(
    deeds: Sequence[Deed],
    looks: Sequence[datetime],
    unsure: Collection[Deed] = (),
    hold: timedelta = timedelta(0),
) -> Iterator[Status]:
    """Where both sides may stand, one answer a story, the likeliest first.

    With every webhook delivered there is one answer. A deed whose webhook was lost can only be seen by a look, and a
    look sees what is there *then*: the deed may have been undone or overwritten by that time (it is as if it had never
    happened). PagerDuty tells in whole seconds when the incident last changed, so the deed counts as done in that
    second; TruthVouch tells no time, so there it counts as done when we looked. A deed beside a write of ours that says
    the same is ``unsure``: its webhook cannot be told from that write's own, and an echo says nothing. A resolve at
    TruthVouch is held back for ``hold``: reopened before that, it may be as if neither had been.
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
        yield from Status
    for story in product(*choices):
        told = [deed for deed in story if deed]
        yield from map(outcome, _flapping(told, hold) if hold else [told])


def _flapping(story: Sequence[Deed], hold: timedelta) -> Iterator[list[Deed]]:
    """The story, and what is left of it where flaps were told to nobody."""
    told = sorted(story, key=lambda deed: deed.at)
    turns = [deed for deed in told if deed.kind in ("resolve", "reopen")]
    flaps = [pair for pair in pairwise(turns) if _is_flap(*pair, hold)]
    for kept in product((True, False), repeat=len(flaps)):
        gone = [deed for pair, keeps in zip(flaps, kept, strict=True) if not keeps for deed in pair]
        yield [deed for deed in told if deed not in gone]


def _is_flap(ended: Deed, begun: Deed, hold: timedelta) -> bool:
    at_truthvouch = {ended.side, begun.side} == {Side.TRUTHVOUCH}
    return at_truthvouch and (ended.kind, begun.kind) == ("resolve", "reopen") and begun.at - ended.at < hold


def _at_looks(deed: Deed, looks: Sequence[datetime]) -> list[Deed]:
    return [Deed(at, deed.side, deed.kind) for at in looks if at > deed.at]


def _seen_again(deed: Deed, deeds: Sequence[Deed], looks: Sequence[datetime]) -> list[Deed]:
    """TruthVouch tells no time, so what a look finds counts as done then: a deed whose webhook is still under way at
    the first look after it, and after a lost one whatever was done there since."""
    if deed.side is not Side.TRUTHVOUCH:
        return []
    after_a_lost_one = any(other.lost and other.side is deed.side and other.at <= deed.at for other in deeds)
    dated = _at_looks(deed, looks)
    return dated if after_a_lost_one else dated[:1]
