"""PagerDuty's REST API v2, as far as the bridge uses it. One call a method, no retries.

https://developer.pagerduty.com/api-reference/
https://developer.pagerduty.com/docs/rest-api-v2/errors/
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

from app.domain.answer import Answer, Failure, judge
from app.domain.budget import LOW_RESERVE
from app.domain.incident import IncidentDraft, IncidentFacts, NoteFacts
from app.domain.names import IncidentId, IncidentKey, Status, Urgency
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.domain.payload import table_of
from app.pagerduty import errors, wire
from app.pagerduty.errors import Follows
from app.pagerduty.pacing import Pacing
from app.ports import ARGUMENTS_REFUSED, KEY_TAKEN
from app.transport import Transport

T = TypeVar("T")

ACCEPT = "application/vnd.pagerduty+json;version=2"
TARGET = "pagerduty_rest"
PAGE_SIZE = 100

KEY_TAKEN_TEXT = "dedup key"
"""The number 2002 stands for other arguments, too; these words of its text for the key alone: "Open incident with
matching dedup key already exists on this service"."""

CREATES = "creates"
"""``POST /incidents`` has an unpublished limit of its own: a 429 there rests nothing else.
https://developer.pagerduty.com/docs/rest-api-rate-limits"""


class RestApi:
    """Implements ``ports.Incidents``."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        api_key: str,
        from_email: str,
        service_id: str | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        """``base_url`` is the host's, ``https://api.pagerduty.com``; ``service_id`` is for drafts that name none;
        ``pacing`` holds what the key may call."""
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._from_email = from_email
        self._service_id = service_id
        self._pacing = pacing or Pacing()

    def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
        """``POST /incidents``; 2002 is ``Refused``, ``key_taken`` where its text says that our key is the reason."""
        service_id = draft.service_id or self._service_id
        if not service_id:
            return Held("no_service_id")
        reserve = 0.0 if draft.urgency is Urgency.HIGH else LOW_RESERVE
        body = wire.incident_body(draft, service_id)
        reply = self._write("POST", "/incidents", body, reserve=reserve, part=CREATES)
        if isinstance(reply, Refused) and reply.code == ARGUMENTS_REFUSED and KEY_TAKEN_TEXT in reply.detail:
            return replace(reply, reason=KEY_TAKEN)
        return _told(reply, "incident", wire.incident_facts, unclear=True)

    def find(self, key: IncidentKey, since: datetime | None = None) -> Reply[tuple[IncidentFacts, ...]]:
        """Incidents of any status with this key, newest first; with ``since`` only those created from then on.

        Incidents opened through the Events API match by their alert's key and show none of their own.
        Raises ``ValueError`` for an empty key: PagerDuty would answer with *every* open incident.
        https://github.com/airbnb/streamalert/pull/567
        """
        if not key.strip():
            raise ValueError("an empty incident_key matches every open incident")
        reply = self._read("/incidents", _search(key))
        return _told(reply, "incidents", lambda told: _matching(told, key, since))

    def open_page(self, services: Sequence[str], offset: int = 0) -> Reply[tuple[tuple[IncidentFacts, ...], bool]]:
        """Triggered and acknowledged incidents of these services, oldest first, a hundred from ``offset`` on, and
        whether there are more.

        Raises ``ValueError`` without services, for then PagerDuty answers with everybody's.
        """
        if not services:
            raise ValueError("without services every open incident of the account is meant")
        reply = self._read("/incidents", _open_incidents(services, offset))
        page = _told(reply, "incidents", _listed)
        return page.with_value((page.value, _has_more(reply))) if isinstance(page, Done) else page

    def get(self, incident_id: IncidentId) -> Reply[IncidentFacts]:
        """``GET /incidents/{id}``."""
        return _told(self._read(_path(incident_id)), "incident", wire.incident_facts)

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None, sender: str | None = None
    ) -> Reply[IncidentFacts]:
        """``PUT /incidents/{id}``, in the name of ``sender`` (a user's e-mail) or of the configured one.

        ``Done`` tells where the incident stands, which is not ``status`` if it was resolved or merged meanwhile.
        """
        reply = self.change("PUT", _path(incident_id), wire.status_body(status, resolution), sender)
        after = errors.follows(reply)
        if after not in (Follows.READ, Follows.READ_AGAIN) or not isinstance(reply, Refused):
            return _told(reply, "incident", wire.incident_facts, unclear=True)
        seen = self.get(incident_id)
        arrived = not isinstance(seen, Done) or seen.value.status is status
        return seen if arrived or after is Follows.READ else reply

    def add_note(self, incident_id: IncidentId, content: str) -> Reply[NoteFacts]:
        """``POST /incidents/{id}/notes``. Raises ``ValueError`` for a blank note."""
        reply = self._write("POST", f"{_path(incident_id)}/notes", wire.note_body(content))
        return _told(reply, "note", wire.note_facts, unclear=True)

    def notes(self, incident_id: IncidentId) -> Reply[tuple[NoteFacts, ...]]:
        """``GET /incidents/{id}/notes``, in PagerDuty's order."""
        return _told(self._read(f"{_path(incident_id)}/notes", reserve=LOW_RESERVE), "notes", _notes)

    def ask(
        self, method: str, path: str, params: Mapping[str, str | list[str]] | None = None, body: object = None
    ) -> Reply[object]:
        """A call beside the incidents, in nobody's name: subscriptions, services."""
        return self._call(method, path, params=params, body=body)

    def change(self, method: str, path: str, body: object, sender: str | None = None) -> Reply[object]:
        """A changing call beside those above, in the name of ``sender`` (a user's e-mail) or of the configured one."""
        email = sender or self._from_email
        if not email:
            return Held("no_from_email")
        return self._call(method, path, body=body, sender={"From": email})

    def _read(
        self, path: str, params: Mapping[str, str | list[str]] | None = None, reserve: float = 0.0
    ) -> Reply[object]:
        return self._call("GET", path, params=params, reserve=reserve)

    def _write(self, method: str, path: str, body: object, reserve: float = 0.0, part: str = "") -> Reply[object]:
        if not self._from_email:
            return Held("no_from_email")
        return self._call(method, path, body=body, sender={"From": self._from_email}, reserve=reserve, part=part)

    def _call(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | list[str]] | None = None,
        body: object = None,
        sender: Mapping[str, str] | None = None,
        reserve: float = 0.0,
        part: str = "",
    ) -> Reply[object]:
        if not self._api_key:
            return Held("no_api_key")
        headers = {
            "Accept": ACCEPT,
            "Content-Type": "application/json",  # PagerDuty's document requires it of reads, too
            "Authorization": f"Token token={self._api_key}",
            **(sender or {}),
        }
        url = self._base_url + path

        def send() -> Answer | Failure:
            return self._transport.call(method, url, headers=headers, params=params, json=body, target=TARGET)

        answer = self._pacing.call(send, reserve, part)
        if isinstance(answer, Held):
            return answer
        return errors.understood(judge(answer, hide=(self._api_key, self._from_email)))


def _told(reply: Reply[object], name: str, read: Callable[[object], T | None], unclear: bool = False) -> Reply[T]:
    """The part of the answer's JSON under ``name``; a yes that cannot be read is no yes (a proxy's page, say)."""
    if not isinstance(reply, Done):
        return reply
    facts = read(table_of(reply.value).get(name))
    return Retry("unreadable_answer", unclear=unclear) if facts is None else reply.with_value(facts)


def _path(incident_id: IncidentId) -> str:
    return f"/incidents/{quote(incident_id, safe='')}"


def _search(key: IncidentKey) -> dict[str, str | list[str]]:
    """All time and every status: by default PagerDuty looks back one month."""
    return {
        "incident_key": key,
        "date_range": "all",
        "statuses[]": list(wire.STATUS_WORDS.values()),
        "sort_by": "created_at:desc",
        "limit": str(PAGE_SIZE),
    }


def _open_incidents(services: Sequence[str], offset: int) -> dict[str, str | list[str]]:
    return {
        "service_ids[]": list(services),
        "statuses[]": [wire.STATUS_WORDS[Status.OPEN], wire.STATUS_WORDS[Status.ACKNOWLEDGED]],
        "date_range": "all",
        "sort_by": "created_at:asc",
        "limit": str(PAGE_SIZE),
        "offset": str(offset),
    }


def _listed(told: object) -> tuple[IncidentFacts, ...] | None:
    return tuple(filter(None, map(wire.incident_facts, told))) if isinstance(told, list) else None


def _has_more(reply: Reply[object]) -> bool:
    return isinstance(reply, Done) and table_of(reply.value).get("more") is True


def _matching(told: object, key: IncidentKey, since: datetime | None) -> tuple[IncidentFacts, ...] | None:
    if not isinstance(told, list):
        return None
    oldest = datetime.min.replace(tzinfo=UTC)
    facts = [found for found in map(wire.incident_facts, told) if found and found.incident_key in (None, key)]
    recent = [found for found in facts if not since or not found.created_at or found.created_at >= since]
    return tuple(sorted(recent, key=lambda found: found.created_at or oldest, reverse=True))


def _notes(told: object) -> tuple[NoteFacts, ...] | None:
    return tuple(filter(None, map(wire.note_facts, told))) if isinstance(told, list) else None
