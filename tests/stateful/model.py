"""Where both sides have to end, said without any of the bridge's own code.

The model knows only the true order of what people did at either side and of when the bridge's writes arrived.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from app.domain.model.types import Side, Status


@dataclass(frozen=True, eq=False)
class Change:
    """One change of where a side stands, in the true order of things."""

    side: Side
    subject: str
    """The alert or the incident."""
    status: Status
    """Where it stands after it."""
    by_person: bool
    about: tuple[str, ...]
    """The incident keys of the alerts that it concerned."""
    before: Status
    by_event: bool = False
    """It named our key, and no incident."""
    merged_into: str = ""
    survivor: Status = Status.OPEN
    """Where people had put the incident that it was merged into; what the bridge did there for another alert is no news
    of this one."""
    survivor_hit: Status = Status.OPEN
    """The same, where an event of ours that hit others counts as people's doing."""

    @property
    def hits_others(self) -> bool:
        """An event of ours goes to wherever PagerDuty has our alert, also after a merge of which nobody has told us:
        nobody can tell it from what people do to the others there."""
        return self.by_event and len(self.about) > 1


def expected(base: Status, changes: Sequence[Change]) -> set[Status] | None:
    """Where both sides of one alert must stand in the end; None: anywhere, as long as it is the same.

    ``base``: where both stood when nothing was under way; ``changes``: everything since, on both sides.
    """
    acts = [number for number, change in enumerate(changes) if change.by_person]
    if not acts:
        return {base}
    last = changes[acts[-1]]
    if all(_is_carried(changes, before, after) for before, after in pairwise(acts)):
        return {last.status}
    first = changes[acts[0]]
    if len(acts) == 2 and not any(not change.by_person for change in changes[acts[0] : acts[1]]):
        return {_further(first.status, last.status)}
    return None


def _is_carried(changes: Sequence[Change], before: int, after: int) -> bool:
    """Whether an act was seen where the next one was done: on the same side, or written there by the bridge."""
    act, following = changes[before], changes[after]
    if act.side is following.side:
        return True
    between = changes[before + 1 : after]
    return any(
        not change.by_person and change.side is following.side and change.status is act.status for change in between
    )


def carried_in_turn(changes: Iterable[Change], alerts: Mapping[str, str]) -> dict[str, Status]:
    """Where the alerts stand if each of these changes is carried before the next, or all go forward.

    ``alerts``: their names by incident key.
    """
    status = dict.fromkeys(alerts, Status.OPEN)
    for change in changes:
        for key in change.about:
            status[key] = _after(status[key], change)
    return {alerts[key]: found for key, found in status.items()}


def _after(status: Status, change: Change) -> Status:
    """Who opens an incident again opens all its alerts; who has one in hand reopens none that is resolved; and a merge
    takes no alert back."""
    if change.merged_into:
        return _further(status, change.survivor)
    if change.status.rank > change.before.rank:
        return _further(status, change.status)
    opens = change.side is Side.TRUTHVOUCH or change.before is Status.RESOLVED or status is Status.ACKNOWLEDGED
    return change.status if opens else status


def _further(one: Status, other: Status) -> Status:
    return max(one, other, key=lambda status: status.rank)
