"""The doctor's looks at the far sides: do they take our keys, will the service swallow a page, who is told what.

The doctor's looks at PagerDuty's people: who is told, in whose name we write, what the plan includes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from app.domain.model.outcome import REDIRECTED, UNSENDABLE, Done, Held, Refused, Reply, Retry
from app.domain.model.pagerduty_account import OnCall, PolicyFacts, ServiceFacts
from app.domain.model.subscription import Verdict
from app.domain.model.types import Via
from app.ports import Account
from app.services.diagnostics.doctor import Finding, Place, State, fine, probe
from app.services.diagnostics.health import INSTANT, NOT_READ

SERVICE = "pagerduty_service"
SUBSCRIPTION = "subscription"
INTEGRATION_KEY = "integration_key"
INTEGRATION_KEY_CHARS = 32
"""Any other length is refused, of the first page at the latest: "Length of 'routing_key' is incorrect"."""


@probe
def key(partner: str, where: Place, ask: Callable[[], Reply[object]] | None, address: str) -> Iterable[Finding]:
    """Whether a partner takes our key, which stands ``where``. ``ask``: its cheapest call; None where no key is set.
    ``address``: where it is asked."""
    found = partial(Finding, f"{partner.lower()}_key")
    compare = f"Compare {partner.upper()}_API_URL with its documents."
    match ask() if ask is not None else None:
        case None:
            message = f"{where.variable} is not set, so {partner} was not asked."
            yield found(State.WARNING, "key_not_set", message, f"Set {where.variable}, if you want what it is for.")
        case Done():
            yield found(State.FINE, "ok", f"{partner} takes the key in {where.name}.")
        case Held("forbidden" as reason):
            message = f"{partner} knows the key in {where.name}, but it may not do everything ({reason})."
            yield found(State.WARNING, "key_limited", message, "Give the key more rights, or use another one.")
        case Held(reason) if reason == UNSENDABLE:
            message = f"No call to {partner} can be written, so none was: {address} or the key in {where.name} is odd."
            yield found(State.WRONG, "unsendable", message, f"{compare} {where.renewal}")
        case Held(reason) if reason == REDIRECTED:
            message = (
                f"{address} only redirects, so it is not the address of {partner}'s API; nothing is sent elsewhere."
            )
            yield found(State.WRONG, "redirected", message, compare)
        case Held(reason):
            message = f"{partner} refuses the key in {where.name} ({reason})."
            yield found(State.WRONG, "key_refused", message, where.renewal)
        case Refused(reason, detail=detail):
            said = f", {detail!r}" if detail else ""
            message = f"{partner} understood the question at {address} and said no ({reason}{said})."
            yield found(State.WRONG, "call_refused", message, compare)
        case Retry(reason):
            message = f"{partner} could not be asked at {address} ({reason})."
            kept = "what is meant for it is kept and tried again."
            remedy = f"{compare} See its status page and the network between; {kept}"
            yield found(State.UNKNOWN, "not_reachable", message, remedy)


def integration_keys(lengths: Mapping[str, int], via: Via) -> Iterable[Finding]:
    """Whether the Events API will take our keys, as far as their length says: nothing else can be known before an event
    is sent. ``lengths``: of each key that is set, by where it stands."""
    odd = {where: length for where, length in lengths.items() if length != INTEGRATION_KEY_CHARS}
    state = State.WRONG if via is Via.EVENTS else State.WARNING
    remedy = "Copy it anew from the service's Integrations tab (Events API v2); `config pagerduty --test` proves it."
    for where, length in odd.items():
        message = f"The key in {where} has {length} characters; those of PagerDuty have {INTEGRATION_KEY_CHARS}."
        yield Finding(INTEGRATION_KEY, state, "integration_key_odd", message, remedy)
    if lengths and not odd:
        yield fine(INTEGRATION_KEY, "Each integration key has the right length; the connection test proves more.")


@probe
def services(ids: Sequence[str], via: Via, ask: Callable[[str], Reply[ServiceFacts]] | None) -> Iterable[Finding]:
    """What the settings of our services will do to a page. ``ask`` None: there is no API key to ask with."""
    found = partial(Finding, SERVICE)
    if ask is None or not ids:
        message = "No API key or no service id is set, so the settings of the service were not looked at."
        remedy = "Set PAGERDUTY_API_KEY and PAGERDUTY_SERVICE_ID, if you want them looked at."
        yield found(State.WARNING, "service_not_known", message, remedy)
        return
    for ident in ids:
        reply = ask(ident)
        if isinstance(reply, Done):
            praise = fine(SERVICE, f"Service {ident} ({reply.value.name}) takes pages and changes none itself.")
            yield from tuple(_surprises(reply.value, via)) or (praise,)
        elif isinstance(reply, Refused) and reply.status == 404:
            remedy = "Correct PAGERDUTY_SERVICE_ID, or service_id in bridge.yaml."
            yield found(State.WRONG, "service_missing", f"PagerDuty has no service {ident}.", remedy)
        else:
            yield _unread(SERVICE, "service_not_read", f"Service {ident}", reply.reason)


def _surprises(service: ServiceFacts, via: Via) -> Iterable[Finding]:
    name, found = f"Service {service.service_id} ({service.name})", partial(Finding, SERVICE)
    if service.status == "disabled":
        yield found(State.WRONG, "service_disabled", f"{name} is disabled: nobody is paged.", "Enable it in PagerDuty.")
    if service.status == "maintenance":
        message = f"{name} is in a maintenance window: PagerDuty takes events and does nothing with them."
        remedy = (
            "Nothing, if that is meant: a resolve is repeated afterwards. A page in the meantime is not made up for."
        )
        yield found(State.WARNING, "service_in_maintenance", message, remedy)
    if service.auto_resolve_timeout:
        minutes = _minutes(service.auto_resolve_timeout)
        message = f"{name} resolves incidents by itself after {minutes}, and so the alert."
        remedy = "Switch it off in PagerDuty, unless you want that: it is no verdict on the alert."
        yield found(State.WARNING, "service_auto_resolves", message, remedy)
    if service.acknowledgement_timeout:
        message = f"{name} opens acknowledged incidents again after {_minutes(service.acknowledgement_timeout)}."
        remedy = "Switch it off in PagerDuty, unless you want that: the alert is open again with it."
        yield found(State.WARNING, "service_unacknowledges", message, remedy)
    if via is Via.EVENTS and service.urgency == "low":
        message = f"{name} gives every incident of the Events API low urgency: critical alerts wake nobody."
        remedy = "Choose dynamic notifications in PagerDuty, or via: rest in bridge.yaml."
        yield found(State.WARNING, "service_urgency_low", message, remedy)


def _minutes(seconds: int) -> str:
    return f"{seconds / 60:g} minutes"


@probe
def subscription(verdict: Callable[[], Verdict] | None, watched: Callable[[], Verdict | None]) -> Iterable[Finding]:
    """Whether PagerDuty's webhooks come here. ``verdict`` None: there is no API key to ask with; ``watched``: what the
    worker found when it last looked by itself, None where it never did."""
    if verdict is None:
        message = "PAGERDUTY_API_KEY is not set, so PagerDuty's webhook subscriptions were not looked at."
        yield Finding(SUBSCRIPTION, State.WARNING, "key_not_set", message, "Look yourself, or set the key.")
        return
    faults = verdict().faults
    for fault in faults:
        state = State.WARNING if fault.warning else State.UNKNOWN if fault.code == NOT_READ else State.WRONG
        yield Finding(SUBSCRIPTION, state, fault.code, fault.message, fault.remedy)
    if not faults:
        message = "PagerDuty's webhooks are sent here, and nothing is missing from them."
        yield fine(SUBSCRIPTION, f"{message}{_last_watch(watched())}")


def _last_watch(seen: Verdict | None) -> str:
    if seen is None or not (seen.mended or seen.faults):
        return ""
    found = ", ".join(sorted({fault.code for fault in seen.faults})) or "nothing wrong"
    mended = f" and mended {', '.join(seen.mended)}" if seen.mended else ""
    return f" When the worker last looked, {seen.at:{INSTANT}}, it found {found}{mended}."


POLICY = "escalation_policy"
SENDER = "from_user"
FROM_EMAIL = Place("PAGERDUTY_FROM_EMAIL")
PLAN = "abilities"

FEATURES: Mapping[str, str] = {
    "coordinated_responding": "responder requests",
    "incident_custom_fields": "custom fields",
}
"""Ability -> what of ours needs it. https://developer.pagerduty.com/api-reference/ (abilities)"""

Users = Mapping[str, Sequence[str]]
"""Policy id -> who names it, in words: ``rule Critical``, ``service P1``."""


@probe
def policies(named: Users, service_ids: Sequence[str], account: Account | None) -> Iterable[Finding]:
    """Whether every escalation policy exists and has somebody on call at each level. ``named``: the policies of
    ``bridge.yaml``; those of the services are asked for. ``account`` None: no API key."""
    if account is None:
        yield _not_asked(POLICY, "the escalation policies were not looked at")
        return
    found = with_services(named, service_ids, account)
    if not found and service_ids:
        message = f"No escalation policy is named, and that of service {', '.join(service_ids)} could not be read."
        remedy = "See the checks `pagerduty_service` and `pagerduty_key`."
        yield Finding(POLICY, State.WARNING, "policy_not_known", message, remedy)
    elif not found:
        message = "No escalation policy is named, and no service is known whose own could be looked at."
        remedy = "Set PAGERDUTY_SERVICE_ID, or service_id in bridge.yaml."
        yield Finding(POLICY, State.WARNING, "policy_not_known", message, remedy)
    for ident, users in found.items():
        yield _of_policy(ident, ", ".join(users), account)


def with_services(named: Users, service_ids: Sequence[str], account: Account) -> dict[str, tuple[str, ...]]:
    """The named policies, and those the services use themselves; a service that cannot be read adds none."""
    found = {ident: tuple(users) for ident, users in named.items()}
    for service_id in service_ids:
        reply = account.service(service_id)
        if isinstance(reply, Done) and reply.value.policy_id:
            ident = reply.value.policy_id
            found[ident] = (*found.get(ident, ()), f"service {service_id}")
    return found


def _of_policy(ident: str, users: str, account: Account) -> Finding:
    reply = account.policy(ident)
    if isinstance(reply, Refused) and reply.status == 404:
        message = f"PagerDuty has no escalation policy {ident}, which is that of {users}."
        remedy = "Correct the id in bridge.yaml, or in PagerDuty."
        return Finding(POLICY, State.WRONG, "policy_missing", message, remedy)
    if not isinstance(reply, Done):
        return _unread(POLICY, "policy_not_read", f"Escalation policy {ident}", reply.reason)
    on_call = account.on_call(ident)
    if not isinstance(on_call, Done):
        return _unread(POLICY, "policy_not_read", f"Who is on call for {ident}", on_call.reason)
    return _of_levels(reply.value, users, on_call.value)


def _of_levels(policy: PolicyFacts, users: str, on_call: Sequence[OnCall]) -> Finding:
    name = f"Escalation policy {policy.policy_id} ({policy.name or 'no name'}; {users})"
    levels = range(1, len(policy.levels) + 1)
    empty = [level for level in levels if not any(one.level == level for one in on_call)]
    if len(empty) == len(levels):
        message = f"{name} has nobody on call at any level: PagerDuty pages no one."
        remedy = "Put somebody on its schedules in PagerDuty, or name another policy."
        return Finding(POLICY, State.WRONG, "nobody_on_call", message, remedy)
    if not empty:
        first = ", ".join(dict.fromkeys(one.user_name or one.user_id for one in on_call if one.level == 1))
        return fine(POLICY, f"{name} has somebody on call at each of its {len(levels)} levels; first {first}.")
    message = f"{name} has nobody on call at level {', '.join(map(str, empty))}: an escalation there reaches no one."
    remedy = "Fill the gap in the schedule of that level in PagerDuty."
    return Finding(POLICY, State.WRONG, "level_empty", message, remedy)


@probe
def sender(email: str | None, account: Account | None, where: Place = FROM_EMAIL) -> Iterable[Finding]:
    """Whether the user exists in whose name the REST API changes things; the e-mail stands ``where``. ``account`` None:
    no API key."""
    if account is None:
        yield _not_asked(SENDER, "the user of the `From` header was not looked at")
    elif not email:
        message = "PAGERDUTY_FROM_EMAIL is not set: the REST API changes nothing without the e-mail of a user."
        remedy = "Set it to the login e-mail of a user of the account."
        yield Finding(SENDER, State.WARNING, "from_not_set", message, remedy)
    elif not isinstance(reply := account.user_called(email), Done):
        yield _unread(SENDER, "from_not_read", "The users", reply.reason)
    elif reply.value is None:
        message = f"PagerDuty has no user {email}: every change by the REST API is refused."
        remedy = f"It has to be the login e-mail of a user of the account. {where.renewal}"
        yield Finding(SENDER, State.WRONG, "from_unknown", message, remedy)
    else:
        yield fine(SENDER, f"{email} is a user of the account.")


@probe
def abilities(account: Account | None) -> Iterable[Finding]:
    """What the account's plan includes of what we can use: for information. ``account`` None: no API key."""
    if account is None:
        yield _not_asked(PLAN, "the account's plan was not looked at")
        return
    reply, priorities = account.abilities(), account.priorities()
    if not isinstance(reply, Done):
        yield _unread(PLAN, "abilities_not_read", "The account's abilities", reply.reason)
        return
    lines = [f"{message}: {'yes' if ability in reply.value else 'no'}" for ability, message in FEATURES.items()]
    names = ", ".join(priorities.value) or "none" if isinstance(priorities, Done) else f"not read ({priorities.reason})"
    yield fine(PLAN, f"The account's plan: {', '.join(lines)}, priorities: {names}.")


def _unread(check: str, code: str, what: str, reason: str) -> Finding:
    message = f"{what} could not be looked at ({reason})."
    return Finding(check, State.UNKNOWN, code, message, "See the check `pagerduty_key`.")


def _not_asked(check: str, message: str) -> Finding:
    remedy = "Set PAGERDUTY_API_KEY, if you want that looked at."
    return Finding(check, State.WARNING, "key_not_set", f"PAGERDUTY_API_KEY is not set, so {message}.", remedy)
