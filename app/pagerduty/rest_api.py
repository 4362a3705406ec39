"""PagerDuty's REST API v2, as far as the bridge uses it. One call a method, no retries.

https://developer.pagerduty.com/api-reference/
https://developer.pagerduty.com/docs/rest-api-v2/errors/
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import structlog

from app.domain.model.incident import IncidentDraft, IncidentFacts, NoteFacts
from app.domain.model.outcome import BUDGET_SPENT, Done, Held, Refused, Reply
from app.domain.model.types import IncidentId, IncidentKey, Status, Urgency
from app.pagerduty import wire
from app.pagerduty.wire import Follows
from app.ports import ARGUMENTS_REFUSED, KEY_TAKEN, Budget
from app.remote.replies import LOW_RESERVE, TOO_MANY, Answer, Failure, judge, rest_asked, unsaid_pause
from app.remote.transport import Transport

# Every call to PagerDuty passes here: first our own budget of calls is asked, then what the answer says about it is
# heeded. https://developer.pagerduty.com/docs/rest-api-rate-limits

log = structlog.get_logger()


class Pacing:
    """One key's way out. Without a budget only the caller itself waits, as the reply says."""

    def __init__(self, budget: Budget | None = None, reserve: float = 0.0) -> None:
        """``reserve`` (0..1): the share of the budget's burst that all calls made through this leave to others."""
        self._budget, self._reserve = budget, reserve
        self._refusals: defaultdict[str, int] = defaultdict(int)

    def call(
        self, send: Callable[[], Answer | Failure], reserve: float = 0.0, part: str = ""
    ) -> Answer | Failure | Held:
        """Call when it is our turn. ``part`` names what has a limit of its own: its 429 rests nothing else."""
        if self._budget is None:
            return send()
        wait = self._budget.take(max(reserve, self._reserve), part)
        if wait:
            return Held(BUDGET_SPENT, after_seconds=wait)
        answer = send()
        if isinstance(answer, Answer):
            self._heed(self._budget, answer, part)
        return answer

    def _heed(self, budget: Budget, answer: Answer, part: str) -> None:
        refused = answer.status == TOO_MANY
        self._refusals[part] = self._refusals[part] + 1 if refused else 0
        rest = rest_asked(answer) or (unsaid_pause(self._refusals[part]) if refused else 0.0)
        if rest:
            budget.pause(rest, part)
            log.warning("budget.paused", part=part or "all", seconds=rest, status=answer.status)


ACCEPT = "application/vnd.pagerduty+json;version=2"
TARGET = "pagerduty_rest"
KEY_TAKEN_TEXT = "dedup key"
"""The number 2002 stands for other arguments, too; these words of its text for the key alone: "Open incident with
matching dedup key already exists on this service"."""

CREATES = "creates"
"""``POST /incidents`` has an unpublished limit of its own: a 429 there rests nothing else.
https://developer.pagerduty.com/docs/rest-api-rate-limits"""


@dataclass(eq=False)
class RestApi:
    """Implements ``ports.Incidents``."""

    transport: Transport
    base_url: str
    """The host's, ``https://api.pagerduty.com``."""
    api_key: str = field(repr=False)
    from_email: str = field(repr=False)
    service_id: str | None = None
    """For drafts that name none."""
    pacing: Pacing = field(default_factory=Pacing)
    """Holds what the key may call."""

    def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
        service_id = draft.service_id or self.service_id
        if not service_id:
            return Held("no_service_id")
        reserve = 0.0 if draft.urgency is Urgency.HIGH else LOW_RESERVE
        body = wire.incident_body(draft, service_id)
        reply = self.change("POST", "/incidents", body, reserve=reserve, part=CREATES)
        if isinstance(reply, Refused) and reply.code == ARGUMENTS_REFUSED and KEY_TAKEN_TEXT in reply.detail:
            return replace(reply, reason=KEY_TAKEN)
        return wire.part(reply, "incident", wire.incident_facts, unclear=True)

    def find(self, key: IncidentKey, since: datetime | None = None) -> Reply[tuple[IncidentFacts, ...]]:
        """Incidents opened through the Events API match by their alert's key and show none of their own.

        What an empty key gets: https://github.com/airbnb/streamalert/pull/567
        """
        if not key.strip():
            raise ValueError("an empty incident_key matches every open incident")
        # All time and every status: by default PagerDuty looks back one month.
        params = _query(Status, "created_at:desc") | {"incident_key": key}
        reply = wire.part(self.ask("GET", "/incidents", params), "incidents", _incidents)
        return Done(_matching(reply.value, key, since), reply.at) if isinstance(reply, Done) else reply

    def open_page(self, services: Sequence[str], offset: int = 0) -> Reply[tuple[tuple[IncidentFacts, ...], bool]]:
        if not services:
            raise ValueError("without services every open incident of the account is meant")
        params = _query((Status.OPEN, Status.ACKNOWLEDGED), "created_at:asc")
        reply = self.ask("GET", "/incidents", params | {"service_ids[]": list(services), "offset": str(offset)})
        page = wire.part(reply, "incidents", _incidents)
        return Done((page.value, wire.has_more(reply)), page.at) if isinstance(page, Done) else page

    def get(self, incident_id: IncidentId) -> Reply[IncidentFacts]:
        return wire.part(self.ask("GET", wire.incident_path(incident_id)), "incident", wire.incident_facts)

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None, sender: str | None = None
    ) -> Reply[IncidentFacts]:
        reply = self.change("PUT", wire.incident_path(incident_id), wire.status_body(status, resolution), sender)
        if not isinstance(reply, Refused) or wire.follows(reply) not in (Follows.READ, Follows.READ_AGAIN):
            return wire.part(reply, "incident", wire.incident_facts, unclear=True)
        seen = self.get(incident_id)
        arrived = not isinstance(seen, Done) or seen.value.status is status
        return seen if arrived or wire.follows(reply) is Follows.READ else reply

    def add_note(self, incident_id: IncidentId, content: str) -> Reply[NoteFacts]:
        reply = self.change("POST", f"{wire.incident_path(incident_id)}/notes", wire.note_body(content))
        return wire.part(reply, "note", wire.note_facts, unclear=True)

    def notes(self, incident_id: IncidentId) -> Reply[tuple[NoteFacts, ...]]:
        reply = self.ask("GET", f"{wire.incident_path(incident_id)}/notes", reserve=LOW_RESERVE)
        return wire.part(reply, "notes", wire.each(wire.note_facts))

    def change(
        self, method: str, path: str, body: object, sender: str | None = None, reserve: float = 0.0, part: str = ""
    ) -> Reply[object]:
        """A changing call in the name of ``sender`` (a user's e-mail), else of the configured one."""
        email = sender or self.from_email
        if not email:
            return Held("no_from_email")
        return self.ask(method, path, body=body, sender={"From": email}, reserve=reserve, part=part)

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | list[str]] | None = None,
        body: object = None,
        sender: Mapping[str, str] | None = None,
        reserve: float = 0.0,
        part: str = "",
    ) -> Reply[object]:
        """Any call, in nobody's name unless ``sender`` says whose."""
        if not self.api_key:
            return Held("no_api_key")
        headers = {
            "Accept": ACCEPT,
            "Content-Type": "application/json",  # PagerDuty's document requires it of reads, too
            "Authorization": f"Token token={self.api_key}",
            **(sender or {}),
        }
        url = self.base_url.rstrip("/") + path
        send = partial(self.transport.call, method, url, headers=headers, params=params, json=body, target=TARGET)
        answer = self.pacing.call(send, reserve, part)
        if isinstance(answer, Held):
            return answer
        return wire.understood(judge(answer, hide=(self.api_key, self.from_email)))


_incidents = wire.each(wire.incident_facts)


def _query(statuses: Iterable[Status], order: str) -> dict[str, str | list[str]]:
    words = [wire.STATUS_WORDS[status] for status in statuses]
    return {"statuses[]": words, "date_range": "all", "sort_by": order, "limit": str(wire.PAGE_SIZE)}


def _matching(shown: Iterable[IncidentFacts], key: IncidentKey, since: datetime | None) -> tuple[IncidentFacts, ...]:
    oldest = datetime.min.replace(tzinfo=UTC)
    facts = [found for found in shown if found.incident_key in (None, key)]
    recent = [found for found in facts if not since or not found.created_at or found.created_at >= since]
    return tuple(sorted(recent, key=lambda found: found.created_at or oldest, reverse=True))
