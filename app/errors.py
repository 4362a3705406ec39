"""Errors that reach a person or a caller: each has a reason word, and its message says what to do next.

``BridgeError`` is the family; none of them ever holds a key, a secret or a personal text.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeVar

from app.domain.model.outcome import Done, Held, Refused, Reply, Retry


class BridgeError(Exception):
    """What was asked is not done. The message is for people; ``reason`` is for programs."""

    def __init__(self, reason: str, said: str, remedy: str = "") -> None:
        self.reason = reason
        """Why, in snake_case: ``not_found``, ``unauthorized``, ``read_timeout``, ..."""
        self.remedy = remedy
        """What to do next; empty where the message is all there is to say."""
        super().__init__(f"{said} {remedy}" if remedy else said)


class WrongUse(BridgeError, ValueError):
    """An argument that cannot be meant. Nothing was sent."""


class NotSetUp(BridgeError):
    """A credential, a setting or a store that this needs is missing. Nothing was sent."""


class PartnerRefused(BridgeError):
    """PagerDuty or TruthVouch understood and said no; asking again would not help."""

    def __init__(self, reason: str, said: str, remedy: str = "", status: int = 0, code: int | None = None) -> None:
        super().__init__(reason, said, remedy)
        self.status = status
        """The HTTP status; 0 where nothing was sent."""
        self.code = code
        """PagerDuty's own error number. https://developer.pagerduty.com/docs/rest-api-v2/errors/"""


class PartnerUnavailable(BridgeError):
    """PagerDuty or TruthVouch gave no usable answer, however often it was asked. Asking later may help."""

    def __init__(
        self, reason: str, said: str, remedy: str = "", unclear: bool = False, after_seconds: float | None = None
    ) -> None:
        super().__init__(reason, said, remedy)
        self.unclear = unclear
        """The call may have had its effect all the same; every call of the bridge is safe to repeat."""
        self.after_seconds = after_seconds
        """How long the partner asked to be left alone; None when it did not say."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the configuration. Never holds the value of a secret."""

    path: str
    """Where: ``PORT`` in the environment, ``rules[1].action.urgency`` in the file."""
    problem: str
    """What is wrong."""
    remedy: str = ""
    """What would be right."""
    line: int | None = None
    """The line in the file, counted from 1; None for the environment."""

    def __str__(self) -> str:
        where = ", ".join(filter(None, (self.path, "" if self.line is None else f"line {self.line}")))
        return f"{where}: {self.description}" if where else self.description

    @property
    def description(self) -> str:
        """What is wrong and what would be right, without the place."""
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class ConfigFault(BridgeError, ValueError):
    """A configuration that cannot be used: every fault of it, in one message."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        """What was read: ``the environment``, or the file's path."""
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        lines = [f"{source}: {count}", *(f"  {fault}" for fault in self.faults)]
        super().__init__("bad_configuration", "\n".join(lines))


def describe(value: object) -> str:
    """A value as a fault quotes it, cut short."""
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        return "a section" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(str(value)) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:59] + "…"


def meant(word: str, known: Iterable[str]) -> str:
    """What may have been meant by a misspelt word."""
    candidates = sorted(known)
    close = get_close_matches(word.lower(), candidates, n=1, cutoff=0.6) or get_close_matches(word, candidates, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(candidates)}"


def one_of(detail: Iterable[str]) -> str:
    """``a, b or c``."""
    *most, last = detail
    return f"{', '.join(most)} or {last}" if most else last


# ------------------------------------------------------------------------------------------------------------ outcomes

T = TypeVar("T")

PAGERDUTY, TRUTHVOUCH = "PagerDuty", "TruthVouch"

_NOT_SET = frozenset({"no_api_key", "no_from_email", "no_integration_key", "no_service_id", "no_alert_api_key"})
_REMEDIES: Mapping[tuple[str, str], str] = {
    (PAGERDUTY, "no_api_key"): "Set PAGERDUTY_API_KEY or give api_key=: this needs the REST API.",
    (PAGERDUTY, "no_from_email"): (
        "Set PAGERDUTY_FROM_EMAIL or give from_email=: PagerDuty requires the e-mail address of a user of the account."
    ),
    (PAGERDUTY, "no_integration_key"): (
        "Set PAGERDUTY_API_KEY (with PAGERDUTY_FROM_EMAIL) or PAGERDUTY_INTEGRATION_KEY, or give the handler a key."
    ),
    (PAGERDUTY, "no_service_id"): "Give service_id=, or set PAGERDUTY_SERVICE_ID.",
    (PAGERDUTY, "unauthorized"): "Check the API key and the region (us or eu): truthvouch config pagerduty --test.",
    (PAGERDUTY, "forbidden"): "Use an API key that may change incidents, not a read-only one.",
    (PAGERDUTY, "redirected"): "Check PAGERDUTY_API_URL and PAGERDUTY_EVENTS_URL: the address only redirects.",
    (PAGERDUTY, "unsendable"): "Check the API key, the e-mail and the addresses: one of them cannot be sent.",
    (PAGERDUTY, "from_unknown"): "PAGERDUTY_FROM_EMAIL must be the e-mail address of a user of this account.",
    (PAGERDUTY, "from_malformed"): "PAGERDUTY_FROM_EMAIL must be an e-mail address.",
    (PAGERDUTY, "not_found"): "Check the id: it must be of this account, and the API key must be allowed to see it.",
    (PAGERDUTY, "unknown_user"): "Give the id or the e-mail address of a user of this account, or leave it out.",
    (PAGERDUTY, "not_in_plan"): "The account's plan does not include this.",
    (PAGERDUTY, "policy_not_found"): "Check escalation_policy_id.",
    (PAGERDUTY, "nobody_on_call"): "Put somebody on call on the escalation policy, or name the users.",
    (PAGERDUTY, "invalid_input"): "Check service_id and the users against PagerDuty's answer above.",
    (PAGERDUTY, "arguments_refused"): "Check the arguments against PagerDuty's answer above.",
    (PAGERDUTY, "bad_priority"): "Check the priority's id, and that priorities are switched on.",
    (PAGERDUTY, "bad_request"): "Check the integration key (32 characters) and the arguments.",
    (TRUTHVOUCH, "no_api_key"): "Set TRUTHVOUCH_API_KEY or give api_key=.",
    (TRUTHVOUCH, "unauthorized"): "Check TRUTHVOUCH_API_KEY.",
    (TRUTHVOUCH, "redirected"): "Check TRUTHVOUCH_API_URL: the address only redirects.",
    (TRUTHVOUCH, "unsendable"): "Check TRUTHVOUCH_API_KEY and TRUTHVOUCH_API_URL: one of them cannot be sent.",
    (TRUTHVOUCH, "forbidden"): "Use an API key that may change alerts.",
    (TRUTHVOUCH, "resource_not_found"): "Check the alert id.",
    (TRUTHVOUCH, "not_found"): "Check the alert id and TRUTHVOUCH_API_URL.",
    (TRUTHVOUCH, "invalid_state"): "TruthVouch does not allow this now: a resolved alert stays resolved.",
}


_STATUS = {"unauthorized": 401, "forbidden": 403}

AGAIN = "Call again later; it is safe to repeat."


def value_of(reply: Reply[T], partner: str, doing: str, again: str = AGAIN) -> T:
    """What the partner told. ``doing`` says in the message what was asked: ``resolve the incident``; ``again`` how to
    ask once more where that may help.

    Raises ``NotSetUp``, ``PartnerRefused`` or ``PartnerUnavailable``.
    """
    if isinstance(reply, Done):
        return reply.value
    raise _error(reply, partner, doing, again)


def _error(reply: Retry | Held | Refused, partner: str, doing: str, again: str) -> BridgeError:
    said, reason = f"Cannot {doing}", reply.reason
    remedy = _REMEDIES.get((partner, reason), "")
    if isinstance(reply, Retry):
        if reply.after_seconds:
            again = f"It asks to wait {reply.after_seconds:g} seconds. {again}"
        if reply.unclear:
            again = f"It is not known whether the call took effect. {again}"
        said = f"{said}: no usable answer from {partner} ({reason})."
        return PartnerUnavailable(reason, said, again, reply.unclear, reply.after_seconds)
    if isinstance(reply, Held):
        if reason in _NOT_SET:
            return NotSetUp(reason, f"{said}: {reason}.", remedy)
        return PartnerRefused(reason, f"{said}: {partner} answers {reason}.", remedy, _STATUS.get(reason, 0))
    detail = f" ({partner}: {reply.detail})" if reply.detail else ""
    return PartnerRefused(reason, f"{said}: {reason}{detail}.", remedy, reply.status, reply.code)
