"""PagerDuty's REST objects and Events API v2 bodies: ours to theirs and theirs to ours. Pure.

What is sent stays inside the documented limits. Callers of the handler who were promised an incident as PagerDuty's
REST API writes it get that shape here. https://developer.pagerduty.com/api-reference/ (incidents, notes)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import quote

from app.domain.model.incident import IncidentDraft, IncidentFacts, NoteFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import IncidentId, IncidentKey, Status, instant
from app.domain.sync.incident_draft import body_text
from app.pagerduty.inbound import merge_target, number_of
from app.remote.payload import encode, id_of, table_of, text_of

T = TypeVar("T")

PAGE_SIZE = 100
MAX_TITLE_CHARS = 1_024
MAX_RESOLUTION_CHARS = 1_024
"""REST documents no limit for ``title`` and ``resolution``; the Events API's limit on ``summary`` is a safe one."""
MAX_NOTE_CHARS = 65_535
NOTE_TAIL_CHARS = 1_000
"""How much of an overlong note's end is kept: our reference stands there."""

STATUS_WORDS: Mapping[Status, str] = {
    Status.OPEN: "triggered",
    Status.ACKNOWLEDGED: "acknowledged",
    Status.RESOLVED: "resolved",
}
_STATUSES = {word: status for status, word in STATUS_WORDS.items()}


def part(reply: Reply[object], name: str, read: Callable[[object], T | None], unclear: bool = False) -> Reply[T]:
    """The part of the answer's JSON under ``name``; a yes that cannot be read is no yes (a proxy's page, say)."""
    if not isinstance(reply, Done):
        return reply
    facts = read(table_of(reply.value).get(name))
    return Retry("unreadable_answer", unclear=unclear) if facts is None else Done(facts, reply.at)


def each(read: Callable[[object], T | None]) -> Callable[[object], tuple[T, ...] | None]:
    """Reads a list, but for the entries that are unreadable; None for anything else."""

    def read_all(content: object) -> tuple[T, ...] | None:
        return tuple(one for one in map(read, content) if one is not None) if isinstance(content, list) else None

    return read_all


def has_more(reply: Reply[object]) -> bool:
    """Whether a list goes on behind this page of it."""
    return isinstance(reply, Done) and table_of(reply.value).get("more") is True


def incident_path(incident_id: IncidentId) -> str:
    """Where the incident is."""
    return f"/incidents/{quote(incident_id, safe='')}"


def reference(kind: str, ident: str | None) -> dict[str, str] | None:
    """An object of PagerDuty's by its id."""
    return {"id": ident, "type": f"{kind}_reference"} if ident else None


def incident_body(draft: IncidentDraft, service_id: str) -> dict[str, Any]:
    """The body of ``POST /incidents``."""
    incident: dict[str, Any] = {
        "type": "incident",
        "title": draft.title[:MAX_TITLE_CHARS],
        "service": reference("service", service_id),
        "urgency": draft.urgency.value,
        "incident_key": draft.incident_key,
        "body": {"type": "incident_body", "details": body_text(draft)},
    }
    if draft.escalation_policy_id:
        incident["escalation_policy"] = reference("escalation_policy", draft.escalation_policy_id)
    if draft.priority_id:
        incident["priority"] = reference("priority", draft.priority_id)
    return {"incident": incident}


def status_body(status: Status, resolution: str | None) -> dict[str, Any]:
    """The body of ``PUT /incidents/{id}``; ``resolution`` is for resolving only."""
    incident = {"type": "incident_reference", "status": STATUS_WORDS[status]}
    if resolution and status is Status.RESOLVED:
        incident["resolution"] = resolution[:MAX_RESOLUTION_CHARS]
    return {"incident": incident}


def note_body(content: str) -> dict[str, Any]:
    """The body of ``POST /incidents/{id}/notes``; raises ``ValueError`` for a blank note.

    An overlong note is cut in its middle: its first and its last words say whose it is.
    """
    if not content.strip():
        raise ValueError("a note needs some text")
    if len(content) > MAX_NOTE_CHARS:
        tail = content[-NOTE_TAIL_CHARS:]
        content = content[: MAX_NOTE_CHARS - len(tail) - 3] + "..." + tail
    return {"note": {"content": content}}


def incident_facts(content: object) -> IncidentFacts | None:
    """One incident of a REST answer; None if it has no id or an unknown status."""
    incident = table_of(content)
    incident_id, status = id_of(incident.get("id")), _STATUSES.get(str(incident.get("status")))
    if not incident_id or status is None:
        return None
    key = text_of(incident.get("incident_key"))
    return IncidentFacts(
        incident_id=IncidentId(incident_id),
        status=status,
        number=number_of(incident.get("incident_number")),
        html_url=text_of(incident.get("html_url")),
        incident_key=IncidentKey(key) if key else None,
        urgency=text_of(incident.get("urgency")),
        title=text_of(incident.get("title")),
        service_id=id_of(table_of(incident.get("service")).get("id")),
        escalation_policy_id=id_of(table_of(incident.get("escalation_policy")).get("id")),
        created_at=instant(incident.get("created_at")),
        status_changed_at=instant(incident.get("last_status_change_at")),
        merged_into=merge_target(incident),
        assignee_ids=each(_assignee)(incident.get("assignments")) or (),
    )


def _assignee(content: object) -> str | None:
    return id_of(table_of(table_of(content).get("assignee")).get("id"))


def note_facts(content: object) -> NoteFacts | None:
    """One note of a REST answer; None if it has no id."""
    note = table_of(content)
    note_id = id_of(note.get("id"))
    if not note_id:
        return None
    return NoteFacts(
        note_id=note_id,
        content=text_of(note.get("content")) or "",
        author=text_of(table_of(note.get("user")).get("summary")),
        created_at=instant(note.get("created_at")),
    )


# https://developer.pagerduty.com/docs/events-api-v2/trigger-events/

MAX_SUMMARY_CHARS = 1_024
"""One character more and the event is refused. https://github.com/prometheus/alertmanager/issues/1840"""
MAX_EVENT_BYTES = 512_000
"""The whole request, cut off below 512 KB. https://github.com/prometheus/alertmanager/issues/2178"""
MAX_NAME_CHARS = 255
MAX_URL_CHARS = 4_000
MAX_SHORT_DETAILS = 40
MAX_SHORT_DETAIL_CHARS = 1_500
"""What is left of details that were too large: even with every character escaped the event then fits."""
SHORTENED = "Shortened: PagerDuty takes at most 512 KB. The dashboard has the full text."


def follow_up(action: str, key: IncidentKey, routing_key: str) -> dict[str, Any]:
    """An ``acknowledge`` or ``resolve``: the key says it all. An empty key is a ``ValueError``."""
    if not key:
        raise ValueError("an event needs a dedup_key")
    return {"routing_key": routing_key, "event_action": action, "dedup_key": key}


def trigger(draft: IncidentDraft, routing_key: str) -> dict[str, Any]:
    """A ``trigger`` of at most ``MAX_EVENT_BYTES`` as JSON."""
    event = _trigger(draft, routing_key, dict(draft.details))
    if len(encode(event)) <= MAX_EVENT_BYTES:
        return event
    first = list(draft.details.items())[:MAX_SHORT_DETAILS]
    details = {name[:MAX_NAME_CHARS]: text[:MAX_SHORT_DETAIL_CHARS] for name, text in first}
    return _trigger(draft, routing_key, details | {"note": SHORTENED})


def _trigger(draft: IncidentDraft, routing_key: str, details: dict[str, str]) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "summary": draft.title[:MAX_SUMMARY_CHARS],
        "source": draft.source[:MAX_NAME_CHARS],
        "severity": draft.severity,
        "custom_details": details,
    }
    if draft.occurred_at:
        payload["timestamp"] = draft.occurred_at.isoformat()
    if draft.category:
        payload["class"] = draft.category[:MAX_NAME_CHARS]
    event = follow_up("trigger", draft.incident_key, routing_key)
    event |= {"client": draft.client[:MAX_NAME_CHARS], "payload": payload}
    if draft.dashboard_url and len(draft.dashboard_url) <= MAX_URL_CHARS:
        event["client_url"] = draft.dashboard_url
        event["links"] = [{"href": draft.dashboard_url, "text": "Open in TruthVouch"}]
    if draft.evidence_url and len(draft.evidence_url) <= MAX_URL_CHARS:
        event.setdefault("links", []).append(
            {"href": draft.evidence_url, "text": "Evidence and buttons, without login"}
        )
    return event


def incident(facts: IncidentFacts) -> dict[str, Any]:
    """The fields of ``incident`` that the bridge reads, under PagerDuty's names; None where PagerDuty told nothing."""
    return {
        "id": facts.incident_id or None,
        "type": "incident",
        "incident_number": facts.number,
        "title": facts.title,
        "status": STATUS_WORDS[facts.status],
        "urgency": facts.urgency,
        "html_url": facts.html_url,
        "incident_key": facts.incident_key,
        "created_at": _instant(facts.created_at),
        "last_status_change_at": _instant(facts.status_changed_at),
        "service": reference("service", facts.service_id),
        "escalation_policy": reference("escalation_policy", facts.escalation_policy_id),
        "assignments": [{"assignee": reference("user", ident)} for ident in facts.assignee_ids],
    }


def _instant(at: datetime | None) -> str | None:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ") if at else None


# PagerDuty's own error numbers: what each means, and what follows. Data beside its reason.
# https://developer.pagerduty.com/docs/rest-api-v2/errors/


class Follows(Enum):
    """What is done after such a refusal."""

    READ = "read"
    """It is so already, or moved elsewhere: a read tells where the incident stands now."""
    READ_AGAIN = "read again"
    """Refused as it stood: done all the same if a read shows what was wanted, else final."""
    LOOK_UP = "look up"
    """Of a create: an open incident has our key. It is found before anything else is done."""
    PAUSE = "pause"
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
    1008: Meaning("from_unknown", Follows.PAUSE),
    1012: Meaning("not_acknowledged"),
    1013: Meaning("cannot_snooze"),
    1014: Meaning("policy_not_found"),
    1015: Meaning("nobody_on_call"),
    1019: Meaning("merged", Follows.READ),
    1020: Meaning("bad_priority"),
    1028: Meaning("from_malformed", Follows.PAUSE),
    2001: Meaning("invalid_input"),
    2002: Meaning("arguments_refused", Follows.LOOK_UP),
    2006: Meaning("unauthorized", Follows.PAUSE),
    2010: Meaning("forbidden", Follows.PAUSE),
    2014: Meaning("not_in_plan"),
    2016: Meaning("from_missing", Follows.PAUSE),
    2019: Meaning("limit_reached"),
    2020: Meaning("too_many_calls", Follows.TRY_LATER),
    2100: Meaning("not_found"),
}


def follows(reply: Refused) -> Follows | None:
    """What is done after this refusal; None where its code says nothing."""
    meaning = CODES.get(reply.code or 0)
    return meaning.follows if meaning else None


def understood(reply: Reply[object]) -> Reply[object]:
    """The reply under the reason word of its code. One about our credentials pauses the target, however it was sent."""
    meaning = CODES.get(reply.code or 0) if isinstance(reply, Refused) else None
    if meaning is None or not isinstance(reply, Refused):
        return reply
    if meaning.follows is Follows.PAUSE:
        return Held(meaning.word)
    if meaning.follows is Follows.TRY_LATER:
        return Retry(meaning.word)
    return replace(reply, reason=meaning.word)
