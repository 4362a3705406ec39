"""PagerDuty's own error numbers: what each means, and what follows. Data beside its reason.

https://developer.pagerduty.com/docs/rest-api-v2/errors/
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from app.domain.outcome import Held, Refused, Reply, Retry


class Follows(Enum):
    """What is done after such a refusal."""

    READ = "read"
    """It is so already, or moved elsewhere: a look tells where the incident stands now."""
    READ_AGAIN = "read again"
    """Refused as it stood: done all the same if a look shows what was wanted, else final."""
    LOOK_UP = "look up"
    """Of a create: an open incident has our key. It is found before anything else is done."""
    HOLD = "hold"
    """Our credentials or our sender: said of every call until a person mends it. Never given up."""
    TRY_LATER = "try later"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A reason word for people and counters, and what follows."""

    word: str
    follows: Follows = Follows.FINAL


CODES: Mapping[int, Meaning] = {
    1001: Meaning("already_resolved", Follows.READ),
    1002: Meaning("already_acknowledged", Follows.READ),
    1003: Meaning("bad_status"),
    1005: Meaning("refused_as_it_stands", Follows.READ_AGAIN),
    1006: Meaning("cannot_escalate"),
    1008: Meaning("from_unknown", Follows.HOLD),
    1012: Meaning("not_acknowledged"),
    1013: Meaning("cannot_snooze"),
    1014: Meaning("policy_not_found"),
    1015: Meaning("nobody_on_call"),
    1019: Meaning("merged", Follows.READ),
    1020: Meaning("bad_priority"),
    1028: Meaning("from_malformed", Follows.HOLD),
    2001: Meaning("invalid_input"),
    2002: Meaning("arguments_refused", Follows.LOOK_UP),
    2006: Meaning("unauthorized", Follows.HOLD),
    2010: Meaning("forbidden", Follows.HOLD),
    2014: Meaning("not_in_plan"),
    2016: Meaning("from_missing", Follows.HOLD),
    2019: Meaning("limit_reached"),
    2020: Meaning("too_many_calls", Follows.TRY_LATER),
    2100: Meaning("not_found"),
}


def follows(reply: Reply[object]) -> Follows | None:
    """What is done after this reply; None where its code says nothing."""
    meaning = CODES.get(reply.code or 0) if isinstance(reply, Refused) else None
    return meaning.follows if meaning else None


def understood(reply: Reply[object]) -> Reply[object]:
    """The reply under the reason word of its code. One about our credentials holds the door, however it was sent."""
    meaning = CODES.get(reply.code or 0) if isinstance(reply, Refused) else None
    if meaning is None or not isinstance(reply, Refused):
        return reply
    if meaning.follows is Follows.HOLD:
        return Held(meaning.word)
    if meaning.follows is Follows.TRY_LATER:
        return Retry(meaning.word)
    return replace(reply, reason=meaning.word)
