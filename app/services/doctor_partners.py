"""The doctor's looks at the far sides: do they take our keys, will the service swallow a page, who is told what."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from app.domain.names import Via
from app.domain.outcome import REDIRECTED, UNSENDABLE, Done, Held, Refused, Reply
from app.domain.service import ServiceFacts
from app.domain.subscription import Fault, Verdict
from app.services.doctor import Finding, Look, State, fine
from app.services.doctor_places import Place
from app.services.subscriptions import NOT_READ

SERVICE = "pagerduty_service"
SUBSCRIPTION = "subscription"
INTEGRATION_KEY = "integration_key"
INTEGRATION_KEY_CHARS = 32
"""Any other length is refused, of the first page at the latest: "Length of 'routing_key' is incorrect"."""


def key(partner: str, where: Place, ask: Callable[[], Reply[object]] | None, address: str) -> Look:
    """Whether a partner takes our key, which stands ``where``. ``ask``: its cheapest call; None where no key is set.
    ``address``: where it is asked."""
    check = f"{partner.lower()}_key"

    def look() -> Iterable[Finding]:
        if ask is None:
            words = f"{where.variable} is not set, so {partner} was not asked."
            todo = f"Set {where.variable}, if you want what it is for."
            return (Finding(check, State.WARNING, "key_not_set", words, todo),)
        return (_of_reply(check, partner, where, address, ask()),)

    return look


def _of_reply(check: str, partner: str, where: Place, address: str, reply: Reply[object]) -> Finding:
    compare = f"Compare {partner.upper()}_API_URL with its documents."
    if isinstance(reply, Done):
        return fine(check, f"{partner} takes the key in {where.name}.")
    if isinstance(reply, Held) and reply.reason == "forbidden":
        words = f"{partner} knows the key in {where.name}, but it may not do everything ({reply.reason})."
        return Finding(check, State.WARNING, "key_limited", words, "Give the key more rights, or use another one.")
    if isinstance(reply, Held) and reply.reason == UNSENDABLE:
        words = f"No call to {partner} can be written, so none was: {address} or the key in {where.name} is odd."
        return Finding(check, State.WRONG, "unsendable", words, f"{compare} {where.renewal}")
    if isinstance(reply, Held) and reply.reason == REDIRECTED:
        words = f"{address} only redirects, so it is not the address of {partner}'s API; nothing is sent elsewhere."
        return Finding(check, State.WRONG, "redirected", words, compare)
    if isinstance(reply, Held):
        words = f"{partner} refuses the key in {where.name} ({reply.reason})."
        return Finding(check, State.WRONG, "key_refused", words, where.renewal)
    if isinstance(reply, Refused):
        said = f", {reply.detail!r}" if reply.detail else ""
        words = f"{partner} understood the question at {address} and said no ({reply.reason}{said})."
        return Finding(check, State.WRONG, "call_refused", words, compare)
    words = f"{partner} could not be asked at {address} ({reply.reason})."
    todo = f"{compare} See its status page and the network between; what is owed to it is kept and tried again."
    return Finding(check, State.UNKNOWN, "not_reachable", words, todo)


def integration_keys(lengths: Mapping[str, int], via: Via) -> Iterable[Finding]:
    """Whether the Events API will take our keys, as far as their length says: nothing else can be known before an event
    is sent. ``lengths``: of each key that is set, by where it stands."""
    odd = {where: length for where, length in lengths.items() if length != INTEGRATION_KEY_CHARS}
    for where, length in odd.items():
        words = f"The key in {where} has {length} characters; those of PagerDuty have {INTEGRATION_KEY_CHARS}."
        todo = "Copy it anew from the service's Integrations tab (Events API v2); `config pagerduty --test` proves it."
        state = State.WRONG if via is Via.EVENTS else State.WARNING
        yield Finding(INTEGRATION_KEY, state, "integration_key_odd", words, todo)
    if lengths and not odd:
        yield fine(INTEGRATION_KEY, "Each integration key has the right length; the connection test proves more.")


def services(ids: Sequence[str], via: Via, ask: Callable[[str], Reply[ServiceFacts]] | None) -> Look:
    """What the settings of our services will do to a page. ``ask`` None: there is no API key to ask with."""

    def look() -> Iterable[Finding]:
        if ask is None or not ids:
            words = "No API key or no service id is set, so the settings of the service were not looked at."
            todo = "Set PAGERDUTY_API_KEY and PAGERDUTY_SERVICE_ID, if you want them looked at."
            yield Finding(SERVICE, State.WARNING, "service_not_known", words, todo)
            return
        for ident in ids:
            yield from _of_service(ident, via, ask(ident))

    return look


def _of_service(ident: str, via: Via, reply: Reply[ServiceFacts]) -> Iterable[Finding]:
    if isinstance(reply, Done):
        surprises = tuple(_surprises(reply.value, via))
        return surprises or (
            fine(SERVICE, f"Service {ident} ({reply.value.name}) takes pages and changes none itself."),
        )
    if isinstance(reply, Refused) and reply.status == 404:
        words = f"PagerDuty has no service {ident}."
        todo = "Correct PAGERDUTY_SERVICE_ID, or service_id in bridge.yaml."
        return (Finding(SERVICE, State.WRONG, "service_missing", words, todo),)
    words = f"Service {ident} could not be looked at ({reply.reason})."
    return (Finding(SERVICE, State.UNKNOWN, "service_not_read", words, "See the check `pagerduty_key`."),)


def _surprises(service: ServiceFacts, via: Via) -> Iterable[Finding]:
    name = f"Service {service.service_id} ({service.name})"
    if service.status == "disabled":
        words = f"{name} is disabled: nobody is paged."
        yield Finding(SERVICE, State.WRONG, "service_disabled", words, "Enable it in PagerDuty.")
    if service.status == "maintenance":
        words = f"{name} is in a maintenance window: PagerDuty takes events and does nothing with them."
        todo = "Nothing, if that is meant: a resolve is repeated afterwards. A page in the meantime is not made up for."
        yield Finding(SERVICE, State.WARNING, "service_in_maintenance", words, todo)
    if service.auto_resolve_timeout:
        words = f"{name} resolves incidents by itself after {_minutes(service.auto_resolve_timeout)}, and so the alert."
        todo = "Switch it off in PagerDuty, unless you want that: it is no verdict on the alert."
        yield Finding(SERVICE, State.WARNING, "service_auto_resolves", words, todo)
    if service.acknowledgement_timeout:
        words = f"{name} opens acknowledged incidents again after {_minutes(service.acknowledgement_timeout)}."
        todo = "Switch it off in PagerDuty, unless you want that: the alert is open again with it."
        yield Finding(SERVICE, State.WARNING, "service_unacknowledges", words, todo)
    if via is Via.EVENTS and service.urgency == "low":
        words = f"{name} gives every incident of the Events API low urgency: critical alerts wake nobody."
        todo = "Choose dynamic notifications in PagerDuty, or via: rest in bridge.yaml."
        yield Finding(SERVICE, State.WARNING, "service_urgency_low", words, todo)


def _minutes(seconds: int) -> str:
    return f"{seconds / 60:g} minutes"


def subscription(verdict: Callable[[], Verdict] | None, watched: Callable[[], Verdict | None]) -> Look:
    """Whether PagerDuty's webhooks come here. ``verdict`` None: there is no API key to ask with; ``watched``: what the
    worker found when it last looked by itself, None where it never did."""

    def look() -> Iterable[Finding]:
        if verdict is None:
            words = "PAGERDUTY_API_KEY is not set, so PagerDuty's webhook subscriptions were not looked at."
            yield Finding(SUBSCRIPTION, State.WARNING, "key_not_set", words, "Look yourself, or set the key.")
            return
        faults = verdict().faults
        yield from (_of_fault(fault) for fault in faults)
        if not faults:
            words = "PagerDuty's webhooks are sent here, and nothing is missing from them."
            yield fine(SUBSCRIPTION, f"{words}{_last_watch(watched())}")

    return look


def _last_watch(seen: Verdict | None) -> str:
    if seen is None or not (seen.mended or seen.faults):
        return ""
    found = ", ".join(sorted({fault.code for fault in seen.faults})) or "nothing wrong"
    mended = f" and mended {', '.join(seen.mended)}" if seen.mended else ""
    return f" When the worker last looked, {seen.at:%Y-%m-%d %H:%M:%S}Z, it found {found}{mended}."


def _of_fault(fault: Fault) -> Finding:
    state = State.WARNING if fault.warning else State.UNKNOWN if fault.code == NOT_READ else State.WRONG
    return Finding(SUBSCRIPTION, state, fault.code, fault.words, fault.todo)
