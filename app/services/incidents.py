"""Use case: a person or a script opens an incident, and never two for one key.

PagerDuty has no idempotency header: the ``incident_key`` is the only device, and it holds only while the incident is
open. So a key that names a matter is looked for before anything is created, and so is any key after an unclear answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.incident import IncidentDraft, IncidentFacts
from app.domain.names import IncidentId, IncidentKey, Status
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.patience import Patience
from app.ports import ARGUMENTS_REFUSED, KEY_TAKEN, Events, Incidents, Responders
from app.services.incidents_draft import Drafted

NOT_THERE_YET = "not_there_yet"
ID_UNKNOWN = (
    "The incident's id and number are unknown: the Events API does not tell them, and there is no API key to look "
    "them up with. Set PAGERDUTY_API_KEY to know them."
)
NOT_FOUND_YET = (
    "PagerDuty has taken the event but shows no incident yet, so its id and number are unknown. The service may be in "
    "maintenance or disabled: `truthvouch doctor` tells."
)
NO_FIELDS = (
    "The custom fields were not set ({reason}): they need a plan with incident_custom_fields, and fields so named."
)


@dataclass(frozen=True, slots=True)
class Created:
    """What became of it."""

    facts: IncidentFacts | None
    """None: an event was taken, and the incident is not known."""
    was_there: bool = False
    """It had been opened before."""
    warnings: tuple[str, ...] = ()
    """What was not done, in words."""


@dataclass(frozen=True)
class CreateIncident:
    """Opens by REST, or by event where there is no way to open by REST. Each door is None without its credential."""

    incidents: Incidents | None
    events: Events | None
    responders: Responders | None
    insist: Patience
    by_event: bool

    def __call__(self, wanted: Drafted, fields: Mapping[str, str]) -> Reply[Created]:
        """Open it, or find the one that is there; then set its custom fields."""
        found = self._known(wanted)
        if not isinstance(found, Done):
            return found
        if found.value is not None:
            made: Reply[Created] = Done(Created(found.value, was_there=True))
        else:
            made = self._by_event(wanted.draft) if self.by_event else self._by_rest(wanted.draft)
        return self._with_fields(made.value, fields) if isinstance(made, Done) else made

    def _known(self, wanted: Drafted) -> Reply[IncidentFacts | None]:
        incidents = self.incidents
        if incidents is None or not wanted.known_key:
            return Done(None)
        return self.insist(lambda: _newest(incidents, wanted.draft.incident_key))

    def _by_rest(self, draft: IncidentDraft) -> Reply[Created]:
        if self.incidents is None:
            return Held("no_api_key")
        incidents, tried, unclear = self.incidents, False, False

        def once() -> Reply[Created]:
            nonlocal tried, unclear
            if tried:
                there = _newest(incidents, draft.incident_key)
                if not isinstance(there, Done) or there.value is not None:
                    return Done(Created(there.value)) if isinstance(there, Done) else there
            tried = True
            opened = incidents.open(draft)
            unclear = unclear or (isinstance(opened, Retry) and opened.unclear)
            if isinstance(opened, Refused) and opened.code == ARGUMENTS_REFUSED:
                return _taken(incidents, draft.incident_key, opened, sure=unclear or opened.reason == KEY_TAKEN)
            return Done(Created(opened.value)) if isinstance(opened, Done) else opened

        return self.insist(once)

    def _by_event(self, draft: IncidentDraft) -> Reply[Created]:
        """A repeated event writes to the incident that is open under its key, so it may be sent again."""
        if self.events is None:
            return Held("no_integration_key")
        events, incidents = self.events, self.incidents
        taken = self.insist(lambda: events.trigger(draft))
        if not isinstance(taken, Done):
            return taken
        if incidents is None:
            return Done(Created(None, warnings=(ID_UNKNOWN,)))
        found = self.insist(lambda: _there(incidents, draft.incident_key))
        return Done(Created(found.value) if isinstance(found, Done) else Created(None, warnings=(NOT_FOUND_YET,)))

    def _with_fields(self, made: Created, fields: Mapping[str, str]) -> Reply[Created]:
        """Custom fields are no part of the creation: a call of their own, which may be repeated."""
        if not fields:
            return Done(made)
        if made.facts is None or self.responders is None:
            warning = NO_FIELDS.format(reason="the incident's id is unknown")
            return Done(Created(made.facts, made.was_there, (*made.warnings, warning)))
        responders, incident_id = self.responders, made.facts.incident_id
        reply = self.insist(lambda: responders.set_fields(incident_id, fields))
        if isinstance(reply, Done):
            return Done(made)
        return Done(Created(made.facts, made.was_there, (*made.warnings, NO_FIELDS.format(reason=reply.reason))))


def unknown(draft: IncidentDraft) -> IncidentFacts:
    """What can be said of an incident that was opened by event and not found: nothing PagerDuty would have told."""
    return IncidentFacts(
        IncidentId(""),
        Status.OPEN,
        incident_key=draft.incident_key,
        urgency=draft.urgency.value,
        title=draft.title,
        service_id=draft.service_id,
    )


def _newest(incidents: Incidents, key: IncidentKey) -> Reply[IncidentFacts | None]:
    """The open incident with this key, else the newest there was."""
    reply = incidents.find(key)
    if not isinstance(reply, Done):
        return reply
    still_open = [facts for facts in reply.value if facts.status is not Status.RESOLVED]
    return Done(next(iter(still_open or reply.value), None))


def _there(incidents: Incidents, key: IncidentKey) -> Reply[IncidentFacts]:
    """It takes moments until an event has become an incident."""
    found = _newest(incidents, key)
    if not isinstance(found, Done):
        return found
    return Retry(NOT_THERE_YET) if found.value is None else Done(found.value)


def _taken(incidents: Incidents, key: IncidentKey, refusal: Refused, sure: bool) -> Reply[Created]:
    """The code says no more than "arguments". Where it is ``sure`` to mean our key, an incident is open, though the
    list, which lags behind, may not show it yet; else only what is found says so."""
    there = _newest(incidents, key)
    if not isinstance(there, Done):
        return there
    if there.value is None:
        return Retry("key_taken_not_found", unclear=True) if sure else refusal
    return Done(Created(there.value, was_there=True))
