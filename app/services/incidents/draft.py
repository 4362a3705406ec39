"""What a person or a script wants to open, as a draft. Pure.

What is passed here is passed on purpose, so the redaction policy, which guards what TruthVouch sends by itself, is not
applied: it is the caller's to send. It is only made fit (encodable, inside PagerDuty's limits).
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.domain.model.incident import IncidentDraft
from app.domain.model.text import clean, cut, json_bytes, one_line, share_out, shortened
from app.domain.model.types import MAX_INCIDENT_KEY_CHARS, AlertId, IncidentKey, Urgency, events_severity, incident_key
from app.domain.sync.incident_draft import MAX_DETAILS_BYTES, MAX_TITLE_CHARS, is_link
from app.errors import WrongUse
from app.remote.payload import MAX_ID_CHARS, id_of

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
    title = one_line(wanted.title)
    try:
        urgency = Urgency(wanted.urgency)
    except ValueError:
        raise WrongUse("bad_urgency", f"The urgency is {wanted.urgency!r}.", "PagerDuty knows high and low.") from None
    if not title:
        raise WrongUse("no_title", "An incident needs a title.", "Say in one line what is wrong.")
    details = _details_of(wanted)
    name, origin = _client(wanted.client)
    key = _key(wanted.incident_key, details)
    if wanted.client and not by_event:
        details["client"] = f"{name} ({origin})" if origin else name
    links = [details.get(name, "") for name in LINK_NAMES] + [origin]
    bytes_of = share_out({name: json_bytes(text) for name, text in details.items()}, MAX_DETAILS_BYTES)
    made = IncidentDraft(
        incident_key=key or IncidentKey(f"truthvouch-by-hand-{uuid.uuid4().hex}"),
        title=shortened(title, MAX_TITLE_CHARS),
        urgency=urgency,
        severity=events_severity("critical" if urgency is Urgency.HIGH else "medium", urgency),
        source=CLIENT,
        details={name: cut(text, bytes_of[name]) for name, text in details.items()},
        dashboard_url=next(filter(is_link, links), None),
        service_id=wanted.service_id,
        escalation_policy_id=wanted.escalation_policy_id,
        priority_id=wanted.priority_id,
        client=name,
    )
    return Drafted(made, key is not None)


def _details_of(wanted: Wanted) -> dict[str, str]:
    """Every detail as a text, what identifies the alert first."""
    body = wanted.body.get("details") if isinstance(wanted.body, Mapping) else wanted.body
    of_body = _texts(body) if isinstance(body, Mapping) else {"details": _text(body)}
    details = {"description": _text(wanted.description)} | of_body | _texts(wanted.details)
    first = [name for name in ALERT_ID_NAMES if name in details]
    ordered = dict.fromkeys([*first, *details])
    return {name: details[name] for name in ordered if details[name].strip()}


def _texts(details: Mapping[str, Any]) -> dict[str, str]:
    return {one_line(str(name)) or "detail": _text(value) for name, value in details.items()}


def _text(value: object) -> str:
    """PagerDuty wants texts; what is none is written as JSON."""
    if value is None:
        return ""
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))


def _key(given: str | None, details: Mapping[str, str]) -> IncidentKey | None:
    """The caller's own key, else the one the bridge uses for this alert, so that both mean the same incident."""
    if given is not None:
        if not given.strip() or len(given) > MAX_INCIDENT_KEY_CHARS:
            remedy = f"Give a text of 1 to {MAX_INCIDENT_KEY_CHARS} characters, or none."
            raise WrongUse("bad_incident_key", "The incident key is blank or too long.", remedy)
        return IncidentKey(given)
    alert_id = next((details[name] for name in ALERT_ID_NAMES if name in details), None)
    known = id_of(alert_id)
    return incident_key(AlertId(known)) if known and len(known) <= MAX_ID_CHARS else None


def _client(details: str | None) -> tuple[str, str]:
    """(name, origin) of ``api.integration.client:TruthVouch``, of a name, or of a web address."""
    given = one_line(details or "")
    origin, _, name = given.rpartition(":")
    if name.startswith("//") or (origin and not name):
        return CLIENT, given.rstrip(":")
    return name or CLIENT, origin
