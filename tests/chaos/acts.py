"""What people did last on either side of an alert, and whether the one knew of the other."""

from collections.abc import Iterable, Sequence

from tests.chaos.evidence import Act, Webhook, Write
from tests.chaos.sequence import MEANS, meant

EVENT_DELAY_SECONDS = 0.1
"""From the answer of PagerDuty's Events API to its effect, at most."""
ABOUT_SECONDS = 0.3
"""A webhook is made so soon after the act it tells of, at most."""


def last_acts(acts: Sequence[Act]) -> tuple[Act | None, Act | None]:
    """The last act of all that says something of a status, and the last one on the side it was not done on."""
    said = sorted((act for act in acts if act.action in MEANS), key=lambda act: act.at)
    last = said[-1] if said else None
    return last, next((act for act in reversed(said) if last and act.side != last.side), None)


def was_carried(writes: Iterable[Write], act: Act, other: Act) -> bool:
    """Whether ``act`` had been carried to the other side before somebody did ``other`` there."""
    for write in writes:
        to_the_other = write.side == other.side and write.took and write.says == meant(act)
        if to_the_other and write.at >= act.at and _done_at(write) <= other.at:
            return True
    return False


def _done_at(write: Write) -> float:
    return max(write.at, write.ended_at) + (EVENT_DELAY_SECONDS if write.by_event else 0.0)


def webhook_was_lost(act: Act, lost: Iterable[Webhook]) -> bool:
    """Whether one of these webhooks told of this act."""
    return any(webhook.side == act.side and 0 <= webhook.at - act.at <= ABOUT_SECONDS for webhook in lost)
