"""Use case: a person or a script acknowledges or resolves an incident. Both may be asked twice."""

from dataclasses import dataclass, replace

from app.domain.incident import IncidentFacts
from app.domain.names import IncidentId, Status
from app.domain.outcome import Done, Refused, Reply
from app.patience import Patience
from app.ports import Account, IncidentsByHand

MAX_RESOLUTION_NOTE_CHARS = 25_000
"""Far below PagerDuty's 65,535, so that what is written is what is looked for."""


@dataclass(frozen=True)
class ChangeIncident:
    """Speaks to PagerDuty's REST API and waits for the answer."""

    incidents: IncidentsByHand
    account: Account
    insist: Patience

    def acknowledge(self, incident_id: IncidentId, user: str | None = None) -> Reply[IncidentFacts]:
        """Acknowledge it in a user's name (id or e-mail address; None = the configured one).

        A resolved incident is left alone: PagerDuty would open it again. ``Refused("unknown_user")`` for nobody.
        https://github.com/PagerDuty/api-schema/blob/main/docs/CHANGELOG.md (2025-09-18)
        """
        sender = self._email(user) if user else Done(None)
        if not isinstance(sender, Done):
            return sender
        seen = self.insist(lambda: self.incidents.get(incident_id))
        if not isinstance(seen, Done) or seen.value.status is Status.RESOLVED:
            return seen
        return self.insist(lambda: self.incidents.set_status(incident_id, Status.ACKNOWLEDGED, sender=sender.value))

    def resolve(self, incident_id: IncidentId, note: str | None = None) -> Reply[IncidentFacts]:
        """Resolve it, with the note as ``resolution`` and once as a note: PagerDuty shows the former in its log only.

        The note goes first: a bridge that hears of the resolve then has the words that belong to it.
        """
        text = (note or "").strip()[:MAX_RESOLUTION_NOTE_CHARS]
        if text:
            noted = self.insist(lambda: self._note(incident_id, text))
            if not isinstance(noted, Done):
                return noted
        return self.insist(lambda: self.incidents.set_status(incident_id, Status.RESOLVED, text or None))

    def _note(self, incident_id: IncidentId, text: str) -> Reply[None]:
        """These words, unless they are there."""
        there = self.incidents.notes(incident_id)
        if not isinstance(there, Done):
            return there
        if any(note.content.strip() == text for note in there.value):
            return Done(None)
        written = self.incidents.add_note(incident_id, text)
        return Done(None) if isinstance(written, Done) else written

    def _email(self, user: str) -> Reply[str | None]:
        """PagerDuty names who acts by e-mail address alone."""
        found = self.insist(lambda: self.account.user_called(user) if "@" in user else self.account.user(user))
        if isinstance(found, Refused) and found.status == 404:
            return replace(found, reason="unknown_user")
        if not isinstance(found, Done):
            return found
        email = found.value.email if found.value else ""
        return Done(email) if email else Refused("unknown_user", 404)
