"""Turns one effect into the partner calls it takes, each of them safe to repeat."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from app.domain.delivery import Facts
from app.domain.draft import draft
from app.domain.effects import (
    KEY_TAKEN_UNSEEN,
    LOOKS_FOR_AN_ID,
    NOT_THERE_YET,
    AddNote,
    Effect,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    ReadNote,
    SetAlert,
    SetIncident,
)
from app.domain.incident import IncidentFacts
from app.domain.link import Link
from app.domain.names import Status, Via
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.ports import ARGUMENTS_REFUSED, KEY_TAKEN, Alerts, Events, Incidents, RulebookSource

T = TypeVar("T")

LOOKS_FOR_A_TAKEN_KEY = 8
"""How often the open incident that has our key is looked for: the list lags behind, by seconds, not by the three
minutes that this takes."""

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
    may_read: Callable[[], bool] = lambda: True
    """Pays for one read of an alert out of TruthVouch's hourly quota; False when nothing is left."""

    def __call__(self, link: Link, effect: Effect) -> Reply[Facts]:
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
            case ReadIncident():
                return self._read_incident(link)
            case ReadAlert():
                return self._read_alert(link)
            case ReadNote(note_id):
                return self._read_note(link, note_id)
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
        if isinstance(opened, Refused) and opened.code == ARGUMENTS_REFUSED:
            return self._taken(link, self.incidents, opened)
        return opened

    def _taken(self, link: Link, incidents: Incidents, refused: Refused) -> Reply[IncidentFacts | None]:
        """An open incident may have our key. The number says it of any argument that PagerDuty does not take, so a look
        decides: one, and where its text or an unclear call before says that it is the key, some more."""
        reply = incidents.find(link.incident_key)
        if not isinstance(reply, Done):
            return _later(reply)
        still_open = [facts for facts in reply.value if facts.status is not Status.RESOLVED]
        if still_open:
            return Done(still_open[0], reply.at)
        if refused.reason != KEY_TAKEN and not link.open_tried:
            return refused
        lane = link.pagerduty
        looks = 1 + (lane.attempt if lane.failing == KEY_TAKEN_UNSEEN else 0)
        return refused if looks >= LOOKS_FOR_A_TAKEN_KEY else Retry(KEY_TAKEN_UNSEEN, unclear=True)

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
        found = [facts for facts in reply.value if facts.incident_id not in link.former_incidents]
        still_open = [facts for facts in found if facts.status is not Status.RESOLVED]
        return Done(next(iter(still_open or found), None), reply.at)

    def _set(self, link: Link, status: Status) -> Reply[IncidentFacts | None]:
        may_be = link.via is Via.EVENTS and link.deserves and not link.shares
        if self.events is not None and (link.by_event or (may_be and self.incidents is None)):
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

    def _read_incident(self, link: Link) -> Reply[Facts]:
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        return self.incidents.get(link.incident_id)

    def _read_alert(self, link: Link) -> Reply[Facts]:
        """Within TruthVouch's hourly quota of reads; ``Refused`` where that is spent, or where it has no such call."""
        if self.alerts is None:
            return Held("no_truthvouch_api_key")
        return self.alerts.get(link.alert.alert_id) if self.may_read() else Refused("quota_spent", 0)

    def _read_note(self, link: Link, note_id: str) -> Reply[Facts]:
        """``Done(None)`` where the note is not among the incident's any more."""
        if self.incidents is None or link.incident_id is None:
            return Held("no_pagerduty_api_key")
        there = self.incidents.notes(link.incident_id)
        if not isinstance(there, Done):
            return there
        found = next((note for note in there.value if note.note_id == note_id), None)
        return Done(found)

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
