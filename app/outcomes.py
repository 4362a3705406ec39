"""An outcome as its value, or as the error it is for whoever called: what happened, in whose words, and what to do."""

from collections.abc import Mapping
from typing import TypeVar

from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.errors import BridgeError, NotSetUp, PartnerRefused, PartnerUnavailable

T = TypeVar("T")

PAGERDUTY, TRUTHVOUCH = "PagerDuty", "TruthVouch"

_NOT_SET = frozenset({"no_api_key", "no_from_email", "no_integration_key", "no_service_id", "no_alert_api_key"})
_TODO: Mapping[tuple[str, str], str] = {
    (PAGERDUTY, "no_api_key"): "Set PAGERDUTY_API_KEY or give api_key=: this needs the REST API.",
    (PAGERDUTY, "no_from_email"): (
        "Set PAGERDUTY_FROM_EMAIL or give from_email=: PagerDuty wants the e-mail address of a user of the account."
    ),
    (PAGERDUTY, "no_integration_key"): (
        "Set PAGERDUTY_API_KEY (with PAGERDUTY_FROM_EMAIL) or PAGERDUTY_INTEGRATION_KEY, or give the handler a key."
    ),
    (PAGERDUTY, "no_service_id"): "Give service_id=, or set PAGERDUTY_SERVICE_ID.",
    (PAGERDUTY, "unauthorized"): "Check the API key and the region (us or eu): truthvouch config pagerduty --test.",
    (PAGERDUTY, "forbidden"): "Use an API key that may change incidents, not a read-only one.",
    (PAGERDUTY, "redirected"): "Check PAGERDUTY_API_URL and PAGERDUTY_EVENTS_URL: the address only redirects.",
    (
        PAGERDUTY,
        "unsendable",
    ): "Check the API key, the e-mail and the addresses: one of them cannot be sent.",
    (PAGERDUTY, "from_unknown"): "PAGERDUTY_FROM_EMAIL must be the e-mail address of a user of this account.",
    (PAGERDUTY, "from_malformed"): "PAGERDUTY_FROM_EMAIL must be an e-mail address.",
    (PAGERDUTY, "not_found"): "Check the id: it must be of this account, and the API key must be allowed to see it.",
    (PAGERDUTY, "unknown_user"): "Give the id or the e-mail address of a user of this account, or leave it out.",
    (PAGERDUTY, "not_in_plan"): "The account's plan does not include this.",
    (PAGERDUTY, "policy_not_found"): "Check escalation_policy_id.",
    (PAGERDUTY, "nobody_on_call"): "Put somebody on call on the escalation policy, or name the users.",
    (PAGERDUTY, "invalid_input"): "Check service_id, users and what PagerDuty says above.",
    (PAGERDUTY, "arguments_refused"): "Check the arguments against what PagerDuty says above.",
    (PAGERDUTY, "bad_priority"): "Check the priority's id, and that priorities are switched on.",
    (PAGERDUTY, "bad_request"): "Check the integration key (32 characters) and the arguments.",
    (TRUTHVOUCH, "no_api_key"): "Set TRUTHVOUCH_API_KEY or give api_key=.",
    (TRUTHVOUCH, "unauthorized"): "Check TRUTHVOUCH_API_KEY.",
    (TRUTHVOUCH, "redirected"): "Check TRUTHVOUCH_API_URL: the address only redirects.",
    (
        TRUTHVOUCH,
        "unsendable",
    ): "Check TRUTHVOUCH_API_KEY and TRUTHVOUCH_API_URL: one of them cannot be sent.",
    (TRUTHVOUCH, "forbidden"): "Use an API key that may change alerts.",
    (TRUTHVOUCH, "resource_not_found"): "Check the alert id.",
    (TRUTHVOUCH, "not_found"): "Check the alert id and TRUTHVOUCH_API_URL.",
    (TRUTHVOUCH, "invalid_state"): "The alert stands where TruthVouch does not allow this: a resolved one stays so.",
}


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
    todo = _TODO.get((partner, reason), "")
    if isinstance(reply, Retry):
        return _unavailable(reply, f"{said}: no usable answer of {partner} ({reason}).", again)
    if isinstance(reply, Held):
        if reason in _NOT_SET:
            return NotSetUp(reason, f"{said}: {reason}.", todo)
        return PartnerRefused(reason, f"{said}: {partner} answers {reason}.", todo, _STATUS.get(reason, 0))
    words = f" ({partner}: {reply.detail})" if reply.detail else ""
    return PartnerRefused(reason, f"{said}: {reason}{words}.", todo, reply.status, reply.code)


_STATUS = {"unauthorized": 401, "forbidden": 403}


def _unavailable(reply: Retry, said: str, todo: str) -> PartnerUnavailable:
    if reply.after_seconds:
        todo = f"It asks to wait {reply.after_seconds:g} seconds. {todo}"
    if reply.unclear:
        todo = f"Whether it had its effect is not known. {todo}"
    return PartnerUnavailable(reply.reason, said, todo, reply.unclear, reply.after_seconds)
