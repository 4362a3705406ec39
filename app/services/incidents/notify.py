"""Use case: a message to whoever works on an incident: people are paged where the account can, told where it cannot.

A note with a reference is written last: it says that everything before it is done. Whoever is interrupted before it
finds the reference in the incident's own log and pages nobody twice.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.domain.model.outcome import Done, Held, Refused, Reply
from app.domain.model.text import one_line, shortened
from app.domain.model.types import IncidentId
from app.ports import Account, Incidents, Responders
from app.retrying import RetryPolicy
from app.services.incidents.incidents import note_once

RESPONDERS = "coordinated_responding"
"""The ability that responder requests need; without it PagerDuty answers 402."""
MAX_MESSAGE_CHARS = 2_000


@dataclass(frozen=True, slots=True)
class Notified:
    """What was done: ``note``, and one of ``responder_request``, ``status_update`` or neither."""

    ref: str
    done: tuple[str, ...]
    user_ids: tuple[str, ...] = ()
    """Whom PagerDuty was asked to page."""
    was_done: bool = False
    """All of it had been done before."""

    @property
    def message(self) -> str:
        """For people."""
        if self.was_done:
            return "This was said before; nothing was sent."
        if "responder_request" in self.done:
            return f"PagerDuty pages {len(self.user_ids)} responder(s), and the incident has a note."
        if "status_update" in self.done:
            return "A status update was published (this account cannot request responders), and there is a note."
        return "The incident has a note; this account can neither request responders nor publish status updates."


@dataclass(frozen=True)
class NotifyResponder:
    """Speaks to PagerDuty's REST API and waits for the answer."""

    incidents: Incidents
    account: Account
    responders: Responders
    retry: RetryPolicy
    from_email: str

    def __call__(
        self, incident_id: IncidentId, message: str, link: str | None, users: Sequence[str]
    ) -> Reply[Notified]:
        """Tell them once. ``users``: ids; empty = those assigned, or who is on call at the policy's first level."""
        message_id = "\0".join((incident_id, message, link or "", *users)).encode("utf-8", "surrogatepass")
        ref = hashlib.sha256(message_id).hexdigest()[:8]  # its idempotency key, readable in a note
        said = shortened(" ".join(filter(None, (one_line(message), link))), MAX_MESSAGE_CHARS)
        mark = f"(ref {ref})"
        noted = self.retry(lambda: self.incidents.notes(incident_id))
        if not isinstance(noted, Done):
            return noted
        if any(mark in note.content for note in noted.value):
            return Done(Notified(ref, (), was_done=True))
        reached = self._reach(incident_id, f"{said} {mark}", mark, users)
        if not isinstance(reached, Done):
            return reached
        content = f"[TruthVouch] Message to responders: {said} {mark}"
        note = self.retry(lambda: note_once(self.incidents, incident_id, content, lambda text: mark in text))
        way, asked = reached.value
        return Done(Notified(ref, tuple(filter(None, (way, "note"))), asked)) if isinstance(note, Done) else note

    def _reach(
        self, incident_id: IncidentId, message: str, mark: str, users: Sequence[str]
    ) -> Reply[tuple[str, tuple[str, ...]]]:
        abilities = self.retry(self.account.abilities)
        # Unreadable abilities are no refusal: PagerDuty's answer to the request itself then decides.
        if not isinstance(abilities, Done) or RESPONDERS in abilities.value:
            asked = self._request(incident_id, message, mark, users)
            if isinstance(asked, Done):
                return Done(("responder_request", asked.value))
            if not _not_in_plan(asked):
                return asked
        published = self._once(incident_id, mark, lambda: self.responders.publish(incident_id, message))
        if isinstance(published, Done):
            return Done(("status_update", ()))
        return Done(("", ())) if _not_in_plan(published) else published

    def _request(
        self, incident_id: IncidentId, message: str, mark: str, users: Sequence[str]
    ) -> Reply[tuple[str, ...]]:
        if not self.from_email:
            return Held("no_from_email")
        requester = self.retry(lambda: self.account.user_called(self.from_email))
        if not isinstance(requester, Done):
            return requester
        if requester.value is None:
            return Held("from_unknown")
        whom = Done(tuple(users)) if users else self._whom(incident_id)
        if not isinstance(whom, Done):
            return whom
        who, targets = requester.value.user_id, whom.value
        asked = self._once(incident_id, mark, lambda: self.responders.request(incident_id, who, message, targets, ()))
        return whom if isinstance(asked, Done) else asked

    def _whom(self, incident_id: IncidentId) -> Reply[tuple[str, ...]]:
        seen = self.retry(lambda: self.incidents.get(incident_id))
        if not isinstance(seen, Done):
            return seen
        if seen.value.assignee_ids:
            return Done(seen.value.assignee_ids)
        policy = seen.value.escalation_policy_id
        found = self.retry(lambda: self.account.on_call(policy)) if policy else Done(())
        if not isinstance(found, Done):
            return found
        first = [entry.user_id for entry in found.value if entry.level == 1]
        return Done(tuple(dict.fromkeys(first))) if first else Refused("nobody_on_call", 0)

    def _once(self, incident_id: IncidentId, mark: str, send: Callable[[], Reply[None]]) -> Reply[None]:
        """Send it unless the incident's own log has the mark: before every try, for the last may have arrived."""

        def unless_there() -> Reply[None]:
            log = self.responders.log(incident_id)
            if not isinstance(log, Done):
                return log
            return Done(None) if any(mark in entry.text for entry in log.value) else send()

        return self.retry(unless_there)


def _not_in_plan(reply: Reply[object]) -> bool:
    """402, or a key that may do other things: the next best way is taken."""
    return (isinstance(reply, Refused) and reply.status == 402) or (
        isinstance(reply, Held) and reply.reason == "forbidden"
    )
