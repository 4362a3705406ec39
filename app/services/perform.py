"""Turns one effect into the partner calls it takes, each of them safe to repeat."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from app.domain.draft import draft
from app.domain.effects import (
    LOOKS_FOR_AN_ID,
    NOT_THERE_YET,
    AddNote,
    ConfirmResolve,
    Effect,
    LookForIncident,
    OpenIncident,
    SetAlert,
    SetIncident,
)
from app.domain.incident import IncidentFacts
from app.domain.link import Link
from app.domain.names import Status, Via
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.ports import Alerts, Events, Incidents, RulebookSource

T = TypeVar("T")

KEY_IS_TAKEN = 2002
"""``POST /incidents``: "Open incident with matching dedup key already exists on this service"."""

REPEATS_BY_EVENT = 4
"""How often a resolve without effect is repeated by event alone. Then the REST API closes the incident: the event may
go to another integration key than the trigger did, where nobody knows of the matter."""

LOOKS_BEFORE_A_PAGE = 2
"""How often a look by REST may fail before a page by event goes out without it."""

LOOK_BACK = timedelta(days=1)
"""An incident of ours cannot be older than its link; a day allows for clocks that disagree."""


@dataclass(frozen=True)
class Perform:
    """Calls the partners. Each is None without its credential: what needs it is held until a person sets it."""

    incidents: Incidents | None
    events: Events | None
    alerts: Alerts | None
    rulebook: RulebookSource

    def __call__(self, link: Link, effect: Effect) -> Reply[IncidentFacts | None]:
        """Do it; the answer in words. ``Done(None)`` where the partner tells no facts."""
        match effect:
            case SetAlert(status, resolution):
                if self.alerts is None:
                    return Held("no_truthvouch_api_key")
                return self.alerts.set_status(link.alert.alert_id, status, resolution)
            case OpenIncident(look_first):
                return self._open(link, look_first)
            case LookForIncident():
                return self._look(link)
            case SetIncident(status):
                return self._set(link, status)
            case ConfirmResolve():
                return self._confirm(link)
            case AddNote(ref, content):
                return self._note(link, ref, content)

    def _open(self, link: Link, look_first: bool) -> Reply[IncidentFacts | None]:
        if look_first and self.incidents is not None:
            found = self._find(link, self.incidents)
            if isinstance(found, Done) and found.value is not None:
                return found
            if not isinstance(found, Done) and not _pages_unseen(link, found):
                return found
        return self._create(link)

    def _create(self, link: Link) -> Reply[IncidentFacts | None]:
        assert link.decision is not None
        made = draft(link.alert, link.decision, self.rulebook.current())
        if link.via is Via.EVENTS:
            return self.events.trigger(made) if self.events else Held("no_pagerduty_integration_key")
        if self.incidents is None:
            return Held("no_pagerduty_api_key")
        opened = self.incidents.open(made)
        if isinstance(opened, Refused) and opened.code == KEY_IS_TAKEN:
            return self._taken(link, self.incidents)
        return opened

    def _taken(self, link: Link, incidents: Incidents) -> Reply[IncidentFacts | None]:
        """An open incident has our key, so a page goes out already: which one it is must be found, however long."""
        reply = incidents.find(link.incident_key)
        if not isinstance(reply, Done):
            return _later(reply)
        still_open = [facts for facts in reply.value if facts.status is not Status.RESOLVED]
        return Done(still_open[0]) if still_open else Retry("key_taken_not_found", unclear=True)

    def _look(self, link: Link) -> Reply[IncidentFacts | None]:
        if self.incidents is None:
            return Held("no_pagerduty_api_key")
        found = self._find(link, self.incidents)
        nothing = isinstance(found, Done) and found.value is None
        waiting_for_it = link.incident_side.status is not None
        if nothing and (waiting_for_it or link.pagerduty.attempt < LOOKS_FOR_AN_ID):
            return Retry(NOT_THERE_YET)
        return found

    def _find(self, link: Link, incidents: Incidents) -> Reply[IncidentFacts | None]:
        reply = incidents.find(link.incident_key, link.first_seen_at - LOOK_BACK)
        if not isinstance(reply, Done):
            return _later(reply)
        still_open = [facts for facts in reply.value if facts.status is not Status.RESOLVED]
        return Done(next(iter(still_open or reply.value), None))

    def _set(self, link: Link, status: Status) -> Reply[IncidentFacts | None]:
        if link.by_event and self.events is not None:
            service = link.decision.service_id if link.decision else None
            if status is Status.RESOLVED:
                return self.events.resolve(link.incident_key, service)
            if status is Status.ACKNOWLEDGED:
                return self.events.acknowledge(link.incident_key, service)
            if self.incidents is None:
                return self._create(link)
            if link.incident_id is None:
                return self._reopen(link, self.incidents)
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        return self.incidents.set_status(link.incident_id, status, link.closing_text)

    def _reopen(self, link: Link, incidents: Incidents) -> Reply[IncidentFacts | None]:
        """A new trigger would be a second incident, so the one that was closed is looked for: REST opens it again.

        A look that does not show it closed came before the event that closes it took effect.
        """
        found = self._find(link, incidents)
        if not isinstance(found, Done):
            return self._create(link) if _pages_unseen(link, found) else found
        facts = found.value
        is_there = facts is not None and facts.status is Status.RESOLVED
        if not is_there and link.pagerduty.attempt < LOOKS_BEFORE_A_PAGE:
            return Retry(NOT_THERE_YET)
        if facts is None:
            return self._create(link)
        return found if facts.merged_into else incidents.set_status(facts.incident_id, Status.OPEN)

    def _confirm(self, link: Link) -> Reply[IncidentFacts | None]:
        """In a maintenance window PagerDuty takes events and does nothing with them, so the resolve is repeated."""
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        seen = self.incidents.get(link.incident_id)
        if not isinstance(seen, Done):
            return _later(seen)
        ours, theirs = link.incident_side.at, seen.value.status_changed_at
        somebody_since = ours is not None and theirs is not None and theirs > ours
        if seen.value.status is Status.RESOLVED or seen.value.merged_into or somebody_since:
            return Done(seen.value)
        again = self._set(link, Status.RESOLVED)
        if isinstance(again, Done) and link.pagerduty.attempt < REPEATS_BY_EVENT:
            return Retry("resolve_had_no_effect")
        by_rest = self.incidents.set_status(link.incident_id, Status.RESOLVED, link.closing_text)
        if isinstance(by_rest, Done):
            return by_rest
        return Retry("resolve_had_no_effect") if isinstance(again, Done) else again

    def _note(self, link: Link, ref: str, content: str) -> Reply[IncidentFacts | None]:
        """Exactly once: the note's ref is looked for before it is written."""
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        there = self.incidents.notes(link.incident_id)
        if not isinstance(there, Done):
            return there
        if any(f"(ref {ref})" in note.content for note in there.value):
            return Done(None)
        written = self.incidents.add_note(link.incident_id, content)
        return Done(None) if isinstance(written, Done) else written


def _pages_unseen(link: Link, look: Reply[T]) -> bool:
    """Whether a page goes out although nobody could look for an earlier one: by event, whose key makes a repeat of an
    open incident harmless, when the other door is shut or has failed twice. It must not wait for a door not its own."""
    return link.via is Via.EVENTS and (isinstance(look, Held) or link.pagerduty.attempt >= LOOKS_BEFORE_A_PAGE)


def _later(reply: Reply[T]) -> Retry | Held:
    """A look that failed or was refused tells nothing: it is made again, and nothing is given up for it."""
    if isinstance(reply, Held | Retry):
        return reply
    return Retry(reply.reason if isinstance(reply, Refused) else "unreadable_answer")
