"""Whether PagerDuty will tell us what happens: the webhook subscriptions of an account, judged.

PagerDuty has no call that says "your webhooks arrive". Its list of subscriptions says who is told what, and which of
them it has switched off: after three deliveries dropped in a row for a day, with everything that waited thrown away.
https://developer.pagerduty.com/docs/webhooks-behavior
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from app.domain.model.types import instant

HOOK_PATH = "/pagerduty/webhook"
"""Where PagerDuty's deliveries arrive, below the bridge's public address."""
DESCRIPTION = "TruthVouch bridge"
"""What the subscriptions we create are called."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


class Mend(StrEnum):
    """What would put a subscription right by itself."""

    ENABLE = "enable"
    """End PagerDuty's own switching-off: nobody ever wants that."""
    UPDATE = "update"
    """Switch on what a person switched off, or ask for more events: only when a person says so."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose events a subscription gets: ``account``, ``service`` or ``team``, and the id of the latter two."""

    kind: str = "account"
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """One webhook subscription as PagerDuty lists it. Its secret is never listed."""

    subscription_id: str
    url: str
    events: tuple[str, ...] = ()
    scope: Scope = Scope()
    active: bool = True
    temporarily_disabled: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the bridge needs to be told."""

    public_url: str | None
    """The bridge's own address; None: nobody told it."""
    events: tuple[str, ...]
    service_ids: tuple[str, ...] = ()
    """The services it opens incidents on; empty when they are known only by their integration keys."""

    @property
    def url(self) -> str | None:
        """Where deliveries should go."""
        return None if self.public_url is None else self.public_url.rstrip("/").removesuffix(HOOK_PATH) + HOOK_PATH


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be."""

    code: str
    """``subscription_missing``, ``subscription_temporarily_disabled``, ...: one word for logs and machines."""
    message: str
    remedy: str
    subscription_id: str = ""
    mend: Mend | None = None
    warning: bool = False
    """Everything works all the same."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check of the subscriptions found."""

    at: datetime
    faults: tuple[Fault, ...] = ()
    mended: tuple[str, ...] = ()
    """Codes of what was put right at once."""

    def as_text(self) -> str:
        """For a value in the store, where faults have their words under the names they had at first."""
        faults = [{_STORED.get(name, name): value for name, value in asdict(fault).items()} for fault in self.faults]
        return json.dumps({"at": self.at.isoformat(), "faults": faults, "mended": self.mended})


_STORED = {"message": "words", "remedy": "todo"}
_FIELDS = {stored: field for field, stored in _STORED.items()}


def from_text(text: str | None) -> Verdict | None:
    """What ``Verdict.as_text`` wrote; None for anything else, another version's say."""
    try:
        stored = json.loads(text or "")
        at = instant(stored["at"])
        told = [{_FIELDS.get(name, name): value for name, value in fault.items()} for fault in stored["faults"]]
        faults = tuple(Fault(**{**one, "mend": Mend(one["mend"]) if one["mend"] else None}) for one in told)
        return None if at is None else Verdict(at, faults, tuple(stored["mended"]))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def judge(subscriptions: Sequence[Subscription], wanted: Wanted) -> tuple[Fault, ...]:
    """Everything that keeps PagerDuty's words from reaching the bridge, most serious first; empty when nothing does.

    Without a public address those count as ours that end in our path, and whether one is missing cannot be told.
    """
    unset = () if wanted.url else (_PUBLIC_URL_NOT_SET,)
    ours = [one for one in subscriptions if is_ours(one, wanted)]
    if not ours:
        return unset or _absent(subscriptions)
    sure = bool(wanted.url) or len(ours) == 1  # else the others may be another installation's
    faults = [fault for one in ours for fault in _of_one(one, ours, wanted, sure)]
    return (*faults, *_uncovered(ours, wanted), *(_duplicates(ours) if wanted.url else ()), *unset)


def is_ours(subscription: Subscription, wanted: Wanted) -> bool:
    """Whether its deliveries come to this bridge, as far as can be told."""
    if wanted.url is None:
        return urlsplit(subscription.url).path.rstrip("/").endswith(HOOK_PATH)
    return _place(subscription.url) == _place(wanted.url)


def shown(url: str) -> str:
    """An address without the name and password it may hold."""
    scheme, host, port, path = _place(url)
    given = "" if port in (None, _DEFAULT_PORTS.get(scheme)) else f":{port}"
    return f"{scheme}://{host}{given}{path}"


def scope_for(wanted: Wanted) -> Scope:
    """The narrowest scope that brings everything the bridge needs."""
    if len(wanted.service_ids) == 1:
        return Scope("service", wanted.service_ids[0])
    return Scope()


_PUBLIC_URL_NOT_SET = Fault(
    "public_url_not_set",
    "BRIDGE_PUBLIC_URL is not set: whether PagerDuty's webhooks are sent to this bridge cannot be checked.",
    "Set BRIDGE_PUBLIC_URL to the address PagerDuty reaches the bridge at.",
    warning=True,
)


def _absent(subscriptions: Sequence[Subscription]) -> tuple[Fault, ...]:
    """None of them comes here. One that looks like ours was registered for another address."""
    elsewhere = [one for one in subscriptions if one.description == DESCRIPTION or _ends_like_ours(one.url)]
    if not elsewhere:
        message = "PagerDuty has no webhook subscription for this bridge: what people do there does not arrive."
        return (Fault("subscription_missing", message, "Run `truthvouch doctor --create-subscription`."),)
    return tuple(
        Fault(
            "subscription_wrong_url",
            f"Subscription {one.subscription_id} sends to {shown(one.url)} and none sends here.",
            "An address cannot be changed: run `truthvouch doctor --create-subscription`, then delete this one, "
            "or correct BRIDGE_PUBLIC_URL.",
            one.subscription_id,
        )
        for one in elsewhere
    )


def _of_one(one: Subscription, ours: Sequence[Subscription], wanted: Wanted, sure: bool) -> list[Fault]:
    ident, faults = one.subscription_id, []
    stands_in = [other for other in ours if other is not one and _is_live(other) and _covers(other.scope, one.scope)]
    if one.temporarily_disabled:
        message = f"PagerDuty switched subscription {ident} off, after three deliveries in a row that it had to drop."
        remedy = (
            "Run `truthvouch doctor --repair`; if it comes back, see `refused` in /metrics: a wrong secret does this."
        )
        mend = Mend.ENABLE if sure else None
        faults.append(Fault("subscription_temporarily_disabled", message, remedy, ident, mend, bool(stands_in)))
    if stands_in and not _is_live(one):
        return faults  # an old one that somebody left behind
    mend = Mend.UPDATE if sure else None
    if not one.active:
        message = f"Subscription {ident} is switched off."
        faults.append(Fault("subscription_inactive", message, "Run `truthvouch doctor --repair`.", ident, mend))
    lacking = _lacking(one, ours, wanted)
    if lacking:
        message = f"Subscription {ident} does not send {', '.join(lacking)}."
        faults.append(Fault("subscription_events_missing", message, "Run `truthvouch doctor --repair`.", ident, mend))
    return faults


def _lacking(one: Subscription, ours: Sequence[Subscription], wanted: Wanted) -> list[str]:
    """The needed events that neither it nor another with the same reach sends; one that is switched off sends none."""
    senders = [other for other in ours if other is one or (_is_live(other) and _covers(other.scope, one.scope))]
    sent = {event for sender in senders for event in sender.events}
    return [event for event in wanted.events if event not in sent]


def _uncovered(ours: Sequence[Subscription], wanted: Wanted) -> list[Fault]:
    """Services of ours whose events no subscription brings. A team's reach cannot be seen from here."""
    if any(one.scope.kind not in ("account", "service") for one in ours):
        return []
    left = [ident for ident in wanted.service_ids if not any(_covers(o.scope, Scope("service", ident)) for o in ours)]
    remedy = "Widen its filter to the account in PagerDuty, or run `truthvouch doctor --create-subscription`."
    message = f"No subscription of this bridge brings the events of service {', '.join(left)}."
    return [Fault("subscription_wrong_filter", message, remedy, ours[0].subscription_id)] if left else []


def _duplicates(ours: Sequence[Subscription]) -> list[Fault]:
    """Each event comes twice and is taken once; this is how a secret is changed, so it is no fault."""
    live = [one for one in ours if _is_live(one)]
    more = [one for n, one in enumerate(live) if any(_covers(other.scope, one.scope) for other in live[:n])]
    remedy = "Delete it in PagerDuty, unless a webhook secret is being changed just now."
    return [
        Fault(
            "subscription_duplicate",
            f"Subscription {one.subscription_id} brings what another one brings already.",
            remedy,
            one.subscription_id,
            warning=True,
        )
        for one in more
    ]


def _is_live(one: Subscription) -> bool:
    return one.active and not one.temporarily_disabled


def _covers(wide: Scope, narrow: Scope) -> bool:
    return wide.kind == "account" or wide == narrow


def _ends_like_ours(url: str) -> bool:
    return _place(url)[3].endswith(HOOK_PATH)


def _place(url: str) -> tuple[str, str, int | None, str]:
    """What makes two addresses the same place: scheme, host, port, path."""
    try:
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        port = parts.port or _DEFAULT_PORTS.get(scheme)
        return scheme, (parts.hostname or "").lower(), port, parts.path.rstrip("/")
    except ValueError:
        return "", url, None, ""
