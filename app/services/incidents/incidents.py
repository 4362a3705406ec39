"""Use cases: a person or a script opens an incident, and never two for one key; acknowledges it; resolves it.

PagerDuty has no idempotency header: the ``incident_key`` is the only device, and it holds only while the incident is
open. So a key that names a matter is looked for before anything is created, and so is any key after an unclear answer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from app.domain.model.incident import IncidentDraft, IncidentFacts, open_or_newest
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import IncidentId, IncidentKey, Status
from app.domain.sync.effects import NOT_THERE_YET
from app.ports import ARGUMENTS_REFUSED, KEY_TAKEN, Account, Events, Incidents, IncidentsOnBehalf, Responders
from app.retrying import RetryPolicy
from app.services.incidents.draft import Drafted

ID_UNKNOWN = (
    "The incident's id and number are unknown: the Events API does not tell them, and there is no API key to look "
    "them up with. Set PAGERDUTY_API_KEY to know them."
)
NOT_FOUND_YET = (
    "PagerDuty has taken the event but shows no incident yet, so its id and number are unknown. The service may be in "
    "maintenance or disabled: `truthvouch doctor` says which."
)
NO_FIELDS = (
    "The custom fields were not set ({reason}): they need a plan with incident_custom_fields, and fields so named."
)


@dataclass(frozen=True, slots=True)
class Created:
    """What became of it."""

    facts: IncidentFacts | None
    """None: an event was taken, and the incident is not known."""
    warnings: tuple[str, ...] = ()
    """What was not done, in words."""


@dataclass(frozen=True)
class CreateIncident:
    """Opens by REST, or by event where there is no way to open by REST. Each adapter is None without its credential."""

    incidents: Incidents | None
    events: Events | None
    responders: Responders | None
    retry: RetryPolicy
    by_event: bool

    def __call__(self, wanted: Drafted, fields: Mapping[str, str]) -> Reply[Created]:
        """Open it, or find the one that is there; then set its custom fields."""
        found: Reply[IncidentFacts | None] = Done(None)
        if self.incidents is not None and wanted.known_key:
            found = self.retry(partial(_newest, self.incidents, wanted.draft.incident_key))
        if not isinstance(found, Done):
            return found
        if found.value is not None:
            return Done(self._with_fields(Created(found.value), fields))
        made = self._by_event(wanted.draft) if self.by_event else self._by_rest(wanted.draft)
        return Done(self._with_fields(made.value, fields)) if isinstance(made, Done) else made

    def _by_rest(self, draft: IncidentDraft) -> Reply[Created]:
        if self.incidents is None:
            return Held("no_api_key")
        incidents, tried, unclear = self.incidents, False, False

        def once() -> Reply[Created]:
            nonlocal tried, unclear
            there = _newest(incidents, draft.incident_key) if tried else Done(None)
            if not isinstance(there, Done):
                return there
            if there.value is not None:
                return Done(Created(there.value))
            tried = True
            opened = incidents.open(draft)
            unclear = unclear or (isinstance(opened, Retry) and opened.unclear)
            if isinstance(opened, Refused) and opened.code == ARGUMENTS_REFUSED:
                return _taken(incidents, draft.incident_key, opened, sure=unclear or opened.reason == KEY_TAKEN)
            return Done(Created(opened.value)) if isinstance(opened, Done) else opened

        return self.retry(once)

    def _by_event(self, draft: IncidentDraft) -> Reply[Created]:
        """A repeated event writes to the incident that is open under its key, so it may be sent again."""
        if self.events is None:
            return Held("no_integration_key")
        events, incidents = self.events, self.incidents
        taken = self.retry(lambda: events.trigger(draft))
        if not isinstance(taken, Done):
            return taken
        if incidents is None:
            return Done(Created(None, warnings=(ID_UNKNOWN,)))
        found = self.retry(lambda: _there(incidents, draft.incident_key))
        return Done(Created(found.value) if isinstance(found, Done) else Created(None, warnings=(NOT_FOUND_YET,)))

    def _with_fields(self, made: Created, fields: Mapping[str, str]) -> Created:
        """Custom fields are no part of the creation: a call of their own, which may be repeated."""
        if not fields:
            return made
        reason = "the incident's id is unknown"
        if made.facts is not None and self.responders is not None:
            reply = self.retry(partial(self.responders.set_fields, made.facts.incident_id, fields))
            if isinstance(reply, Done):
                return made
            reason = reply.reason
        return replace(made, warnings=(*made.warnings, NO_FIELDS.format(reason=reason)))


def unknown(draft: IncidentDraft) -> IncidentFacts:
    """What can be said of an incident that was opened by event and not found: nothing PagerDuty would have told."""
    key, urgency, title = draft.incident_key, draft.urgency.value, draft.title
    return IncidentFacts(
        IncidentId(""), Status.OPEN, incident_key=key, urgency=urgency, title=title, service_id=draft.service_id
    )


def _newest(incidents: Incidents, key: IncidentKey) -> Reply[IncidentFacts | None]:
    """The open incident with this key, else the newest there was."""
    reply = incidents.find(key)
    return Done(open_or_newest(reply.value)) if isinstance(reply, Done) else reply


def _there(incidents: Incidents, key: IncidentKey) -> Reply[IncidentFacts | None]:
    """It takes moments until an event has become an incident."""
    found = _newest(incidents, key)
    return Retry(NOT_THERE_YET) if isinstance(found, Done) and found.value is None else found


def _taken(incidents: Incidents, key: IncidentKey, refusal: Refused, sure: bool) -> Reply[Created]:
    """The code says no more than "arguments". Where it is ``sure`` to mean our key, an incident is open, though the
    list, which lags behind, may not show it yet; else only what is found says so."""
    there = _newest(incidents, key)
    if not isinstance(there, Done):
        return there
    if there.value is None:
        return Retry("key_taken_not_found", unclear=True) if sure else refusal
    return Done(Created(there.value))


MAX_RESOLUTION_NOTE_CHARS = 25_000
"""Far below PagerDuty's 65,535, so that what is written is what is looked for."""


@dataclass(frozen=True)
class ChangeIncident:
    """Speaks to PagerDuty's REST API and waits for the answer. Everything may be asked twice."""

    incidents: IncidentsOnBehalf
    account: Account
    retry: RetryPolicy

    def acknowledge(self, incident_id: IncidentId, user: str | None = None) -> Reply[IncidentFacts]:
        """Acknowledge it in a user's name (id or e-mail address; None = the configured one).

        A resolved incident is left alone: PagerDuty would open it again. ``Refused("unknown_user")`` for nobody.
        https://github.com/PagerDuty/api-schema/blob/main/docs/CHANGELOG.md (2025-09-18)
        """
        sender = self._email(user) if user else Done(None)
        if not isinstance(sender, Done):
            return sender
        seen = self.retry(lambda: self.incidents.get(incident_id))
        if not isinstance(seen, Done) or seen.value.status is Status.RESOLVED:
            return seen
        return self.retry(lambda: self.incidents.set_status(incident_id, Status.ACKNOWLEDGED, sender=sender.value))

    def resolve(self, incident_id: IncidentId, note: str | None = None) -> Reply[IncidentFacts]:
        """Resolve it, with the note as ``resolution`` and once as a note: PagerDuty shows the former in its log only.
        The note goes first: a bridge that hears of the resolve then has the words that belong to it."""
        text = (note or "").strip()[:MAX_RESOLUTION_NOTE_CHARS]
        if text:
            write = partial(note_once, self.incidents, incident_id, text, lambda there: there.strip() == text)
            noted = self.retry(write)
            if not isinstance(noted, Done):
                return noted
        return self.retry(lambda: self.incidents.set_status(incident_id, Status.RESOLVED, text or None))

    def _email(self, user: str) -> Reply[str | None]:
        """PagerDuty names who acts by e-mail address alone."""
        found = self.retry(lambda: self.account.user_called(user) if "@" in user else self.account.user(user))
        if isinstance(found, Refused) and found.status == 404:
            return replace(found, reason="unknown_user")
        if not isinstance(found, Done):
            return found
        email = found.value.email if found.value else ""
        return Done(email) if email else Refused("unknown_user", 404)


def note_once(incidents: Incidents, incident_id: IncidentId, content: str, is_it: Callable[[str], bool]) -> Reply[None]:
    """Write a note, unless there is one that ``is_it``."""
    there = incidents.notes(incident_id)
    if not isinstance(there, Done):
        return there
    if any(is_it(note.content) for note in there.value):
        return Done(None)
    written = incidents.add_note(incident_id, content)
    return Done(None) if isinstance(written, Done) else written


KEY_BEGINS = "truthvouch-"
"""What ``create_incident`` makes up; an id of PagerDuty's has no hyphen."""


@dataclass(frozen=True)
class ChangeByEvent:
    """Changes what was opened with an integration key alone. Its id is unknown there, so it goes by its key, and nobody
    can be named. ``Done`` means queued: PagerDuty takes events for what is not open, and does nothing.
    https://developer.pagerduty.com/docs/events-api-v2/
    """

    events: Events
    retry: RetryPolicy

    def acknowledge(self, key: IncidentKey) -> Reply[IncidentFacts]:
        """Acknowledge what is open under this key."""
        return self._send(self.events.acknowledge, key, Status.ACKNOWLEDGED)

    def resolve(self, key: IncidentKey) -> Reply[IncidentFacts]:
        """Resolve what is open under this key."""
        return self._send(self.events.resolve, key, Status.RESOLVED)

    def _send(
        self, send: Callable[[IncidentKey], Reply[None]], key: IncidentKey, status: Status
    ) -> Reply[IncidentFacts]:
        reply = self.retry(lambda: send(key))
        facts = IncidentFacts(IncidentId(""), status, incident_key=key)
        return Done(facts) if isinstance(reply, Done) else reply
