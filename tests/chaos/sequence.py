"""The order of what a partner was told, held against the order of what people did."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.evidence import ACKNOWLEDGED, OPEN, RESOLVED, Act, Write

MEANS = {
    "acknowledge": "acknowledged", "investigate": "acknowledged", "unacknowledge": "unacknowledged",
    "resolve": "resolved", "dismiss": "resolved", "reopen": "reopened",
}  # fmt: skip
"""What a person's act says about the alert; a note or a merge says nothing."""
BACK = ("unacknowledge", "reopen")
"""Acts that take something back."""
CLOCKS_APART_SECONDS = 0.25
"""An act is dated just before the partner does it."""
IN_ORDER = (OPEN, ACKNOWLEDGED, RESOLVED)
"""The statuses, the furthest along last."""


@dataclass(frozen=True, slots=True)
class Version:
    """What both sides should have been from this instant on."""

    at: float
    status: str


def meant(act: Act) -> str:
    """The status that an act puts its side into."""
    means = MEANS[act.action]
    return means if means in IN_ORDER else OPEN


def furthest(*statuses: str) -> str:
    """The furthest along of them."""
    return max(statuses, key=IN_ORDER.index)


def versions(raised_at: float, acts: Iterable[Act]) -> list[Version]:
    """Every version people made, oldest first: the newest event counts, and only a reopening ends a resolve."""
    newest = dict.fromkeys(("acknowledged", "unacknowledged", "resolved", "reopened"), 0.0)
    made = [Version(raised_at, OPEN)]
    for act in sorted(acts, key=lambda act: act.at):
        if act.action in MEANS:
            newest[MEANS[act.action]] = act.at
            status = _status(newest)
            if status != made[-1].status:
                made.append(Version(act.at, status))
    return made


def _status(newest: dict[str, float]) -> str:
    if newest["resolved"] and newest["resolved"] >= newest["reopened"]:
        return RESOLVED
    undone = max(newest["unacknowledged"], newest["reopened"])
    return ACKNOWLEDGED if newest["acknowledged"] and newest["acknowledged"] >= undone else OPEN


def carried(sequence: Sequence[Write], made: Sequence[Version]) -> Iterator[tuple[Write, int | None]]:
    """Each status written, with the number of the version it carried, or None where it carried an older one.

    Of several versions that say the same the oldest that keeps the order is meant: nobody is accused for nothing.
    What no person ever said (the bridge had heard a part only) is not of this question.
    """
    last = 0
    for write in sequence:
        said = [n for n, version in enumerate(made)
                if version.status == write.says and version.at <= write.at + CLOCKS_APART_SECONDS]  # fmt: skip
        if not said:
            continue
        number = next((n for n in said if n >= last), None)
        last = last if number is None else number
        yield write, number


def inverted(sequence: Sequence[Write], made: Sequence[Version]) -> list[Write]:
    """Writes that carried something older than a write before them, whether or not the partner took them."""
    return [write for write, number in carried(sequence, made) if number is None]


def repeated(sequence: Sequence[Write], made: Sequence[Version]) -> int:
    """How often a partner did the same again because it was asked again."""
    statuses = [(write.creates, number) for write, number in carried(sequence, made) if write.took]
    return len(statuses) - len(set(statuses))
