"""What a person or a script wants to open, as a draft. Pure.

What is passed here is passed on purpose, so the redaction policy, which guards what TruthVouch sends by itself, is not
applied: it is the caller's to send. It is only made fit (encodable, inside PagerDuty's limits).
"""

import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.draft import MAX_DETAILS_BYTES, MAX_TITLE_CHARS, is_link
from app.domain.fit import clean, cut, json_bytes, one_line, share_out, shortened
from app.domain.incident import IncidentDraft
from app.domain.names import MAX_INCIDENT_KEY_CHARS, AlertId, IncidentKey, Urgency, incident_key
from app.domain.payload import MAX_ID_CHARS, id_of
from app.domain.severity import events_severity
from app.errors import WrongUse

CLIENT = "TruthVouch"
ALERT_ID_NAMES = ("alert_id", "alertId")
LINK_NAMES = ("dashboard_link", "dashboard_url", "dashboardUrl")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An incident as the caller describes it."""

    title: str
    description: str | None = None
    service_id: str | None = None
    urgency: str = "high"
    body: Mapping[str, Any] | str | None = None
    """``{"type": "incident_body", "details": <text or mapping>}``, or a text."""
    details: Mapping[str, Any] = field(default_factory=dict)
    client: str | None = None
    """``origin:name``, as TruthVouch's page writes it; or a name, or a web address."""
    escalation_policy_id: str | None = None
    priority_id: str | None = None
    incident_key: str | None = None


@dataclass(frozen=True, slots=True)
class Drafted:
    """A draft, and whether its key says which matter it is, so that an incident under it may be there already."""

    draft: IncidentDraft
    known_key: bool


def drafted(wanted: Wanted, by_event: bool) -> Drafted:
    """The draft for PagerDuty's REST API or, ``by_event``, for its Events API. Raises ``WrongUse``."""
    title, urgency = one_line(wanted.title), _urgency(wanted.urgency)
    if not title:
        raise WrongUse("no_title", "An incident needs a title.", "Say in one line what is wrong.")
    told = _told(wanted)
    name, origin = _client(wanted.client)
    key = _key(wanted.incident_key, told)
    if wanted.client and not by_event:
        told["client"] = f"{name} ({origin})" if origin else name
    made = IncidentDraft(
        incident_key=key or IncidentKey(f"truthvouch-by-hand-{uuid.uuid4().hex}"),
        title=shortened(title, MAX_TITLE_CHARS),
        urgency=urgency,
        severity=events_severity("critical" if urgency is Urgency.HIGH else "medium", urgency),
        source=CLIENT,
        details=_fitted(told),
        dashboard_url=_link(told) or (origin if is_link(origin) else None),
        service_id=wanted.service_id,
        escalation_policy_id=wanted.escalation_policy_id,
        priority_id=wanted.priority_id,
        client=name,
    )
    return Drafted(made, key is not None)


def ref_of(*texts: str) -> str:
    """Eight hexadecimal digits that tell one message from another: its idempotency key, readable in a note."""
    told = "\0".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(told).hexdigest()[:8]


def _urgency(word: str) -> Urgency:
    try:
        return Urgency(word)
    except ValueError:
        raise WrongUse("bad_urgency", f"The urgency is {word!r}.", "PagerDuty knows high and low.") from None


def _told(wanted: Wanted) -> dict[str, str]:
    """Every detail as a text, what identifies the alert first."""
    told = {"description": _text(wanted.description)} | _of_body(wanted.body) | _texts(wanted.details)
    first = [name for name in ALERT_ID_NAMES if name in told]
    ordered = [*first, *(name for name in told if name not in first)]
    return {name: told[name] for name in ordered if told[name].strip()}


def _of_body(body: Mapping[str, Any] | str | None) -> dict[str, str]:
    details = body.get("details") if isinstance(body, Mapping) else body
    return _texts(details) if isinstance(details, Mapping) else {"details": _text(details)}


def _texts(details: Mapping[str, Any]) -> dict[str, str]:
    return {one_line(str(name)) or "detail": _text(value) for name, value in details.items()}


def _text(value: object) -> str:
    """PagerDuty wants texts; what is none is written as JSON."""
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _key(given: str | None, told: Mapping[str, str]) -> IncidentKey | None:
    """The caller's own key, else the one the bridge uses for this alert, so that both mean the same incident."""
    if given is not None:
        if not given.strip() or len(given) > MAX_INCIDENT_KEY_CHARS:
            remedy = f"Give a text of 1 to {MAX_INCIDENT_KEY_CHARS} characters, or none."
            raise WrongUse("bad_incident_key", "The incident key is blank or too long.", remedy)
        return IncidentKey(given)
    alert_id = next((told[name] for name in ALERT_ID_NAMES if name in told), None)
    known = id_of(alert_id)
    return incident_key(AlertId(known)) if known and len(known) <= MAX_ID_CHARS else None


def _client(told: str | None) -> tuple[str, str]:
    """(name, origin) of ``api.integration.client:TruthVouch``, of a name, or of a web address."""
    given = one_line(told or "")
    origin, _, name = given.rpartition(":")
    if name.startswith("//") or (origin and not name):
        return CLIENT, given.rstrip(":")
    return name or CLIENT, origin


def _link(told: Mapping[str, str]) -> str | None:
    return next((told[name] for name in LINK_NAMES if is_link(told.get(name, ""))), None)


def _fitted(told: Mapping[str, str]) -> dict[str, str]:
    grants = share_out({name: json_bytes(text) for name, text in told.items()}, MAX_DETAILS_BYTES)
    return {name: cut(text, grants[name]) for name, text in told.items()}
