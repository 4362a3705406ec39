"""Climbs inside somebody else's transaction: armed with the link, moved by every word, changed by a wish.

What is due is done by ``escalate``; here nobody is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.domain.damping import held_seconds
from app.domain.escalation import (
    REGISTERS,
    Climb,
    Course,
    State,
    armed,
    course_of,
    finished,
    flapped,
    followed,
    heard,
    level_at,
)
from app.domain.escalation_answer import asked_again
from app.domain.link import Clock, Link, joint_status
from app.domain.names import IncidentId, Side, Status
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Wish
from app.ports import Climbs, Letter, Links, RulebookSource, TimelineEntry, Tx
from app.services.escalate_wish import SOMEBODY, Asked, read

Entries = list[TimelineEntry]


@dataclass(frozen=True)
class Escalations:
    """Arms, hears and obeys. Whoever calls has locked the incident's links, or does not need them."""

    climbs: Climbs
    links: Links
    rulebook: RulebookSource

    def attached(self, tx: Tx, before: Link, link: Link, now: datetime) -> None:
        """A link learned its incident, so PagerDuty has confirmed it: the clock starts. Not for a merge: the surviving
        incident has a clock of its own, or deserves none."""
        course, incident_id = self._course(), link.incident_id
        if incident_id is None or before.incident_id is not None or link.merged or not link.paged:
            return
        known = self.climbs.find(tx, incident_id)
        if known is not None:
            self.climbs.save(tx, _of_link(known, link), now)
        elif course is not None:
            self._arm(tx, _of_link(Climb(incident_id, course, now, heard=link.clock), link), now)

    def has_levels(self) -> bool:
        """Whether anything is escalated by rule today."""
        return self._course() is not None

    def found(self, tx: Tx, incident_id: IncidentId, now: datetime) -> bool:
        """An open incident has been found without a climb; whether it was armed. Its clock starts now."""
        course = self._course()
        ours = [link for link in self.links.by_incident(tx, incident_id) if deserves_one(link)]
        if course is None or not ours or self.climbs.find(tx, incident_id) is not None:
            return False
        clock = clock_of(ours) or ours[0].clock
        self._arm(tx, _of_link(Climb(incident_id, course, now, heard=clock), ours[0]), now)
        return True

    def heard(self, tx: Tx, word: IncidentWord, links: Sequence[Link], now: datetime) -> Entries:
        """A word about an incident, whether any link knows it or not; the answer goes into the time line."""
        moves = REGISTERS[word.verb] is not None or word.verb in (IncidentVerb.READ, IncidentVerb.MERGED)
        climb = self.climbs.find(tx, word.incident_id) if moves else None
        if climb is None:
            return self._reopened(tx, word, links, now)
        after = heard(climb, word, now, self._course())
        if after == climb:
            return []
        self.climbs.save(tx, after, now)
        return _told(climb, after, now, word.author)

    def followed(self, tx: Tx, word: AlertWord, links: Sequence[Link], now: datetime, flap: bool = False) -> Entries:
        """A word about an alert; ``links``: its link. An incident of several alerts is judged when it is due, and so is
        a resolve that is held back. ``flap``: the word is a reopen that took such a resolve back."""
        entries: Entries = []
        for link in links:
            moves = word.verb not in (AlertVerb.CREATED, AlertVerb.MENTIONED) and not link.shares
            moves = moves and not held_seconds(link, Side.PAGERDUTY, (link,), now)
            climb = self.climbs.find(tx, link.incident_id) if moves and link.incident_id else None
            if climb is None:
                continue
            after = (flapped if flap else followed)(climb, link.clock, self._course())
            if after != climb:
                self.climbs.save(tx, after, now)
                entries += _told(replace(climb, begun_at=after.begun_at) if flap else climb, after, now, word.author)
        return entries

    def _course(self) -> Course | None:
        return course_of(self.rulebook.current().escalation)

    def _reopened(self, tx: Tx, word: IncidentWord, links: Sequence[Link], now: datetime) -> Entries:
        """An old matter, whose climb is kept no more, begins anew."""
        course, ours = self._course(), [link for link in links if link.paged]
        if word.verb is not IncidentVerb.REOPENED or course is None or not ours or ours[0].merged:
            return []
        since = ours[0].clock.reopened_at or now
        self._arm(tx, _of_link(Climb(word.incident_id, course, since, heard=ours[0].clock), ours[0]), now)
        return []

    def _arm(self, tx: Tx, climb: Climb, now: datetime) -> None:
        climb = armed(climb)
        self.climbs.save(tx, climb, now)
        self.links.write_timeline(tx, [line(climb, "escalation.armed", now, coming(climb))])

    # --------------------------------------------------------------------------------------------------- wishes

    def wish(self, tx: Tx, wish: Wish, at: datetime) -> str:
        """``armed``, ``cancelled``, ``not_armed`` or ``bad_request``."""
        asked, incident_id = read(wish.detail), IncidentId(wish.subject)
        if asked is None or not incident_id:
            return "bad_request"
        links = self.links.by_incident(tx, incident_id)
        known = self.climbs.find(tx, incident_id)
        if asked.course is None:
            return self._cancel(tx, known, wish, at)
        self._arm(tx, _wished(wish, asked, asked.course, links, at), at)
        return "armed"

    def _cancel(self, tx: Tx, climb: Climb | None, wish: Wish, at: datetime) -> str:
        if climb is None or climb.state is State.FINISHED:
            return "not_armed"
        ended = finished(climb, "cancelled")
        self.climbs.save(tx, ended, at)
        self.links.write_timeline(tx, _told(climb, ended, at, wish.by or None))
        return "cancelled"

    def about_letter(self, tx: Tx, letter: Letter, wish: Wish, discards: bool, at: datetime) -> str:
        """A move that was given up: ``replayed``, ``discarded``, or ``nothing_to_do`` when its climb has gone on."""
        climb = self.climbs.of_letter(tx, letter.letter_id)
        if climb is None:
            return "discarded" if discards else "nothing_to_do"
        after = replace(climb, letter_id=None) if discards else asked_again(climb, at)
        self.climbs.save(tx, after, at)
        outcome = "discarded" if discards else "replayed" if after.state is State.RUNNING else "nothing_to_do"
        facts = {"letter": letter.letter_id, **coming(after)}
        self.links.write_timeline(tx, [line(after, f"letter.{outcome}", at, facts, wish.by or None)])
        return outcome


def _wished(wish: Wish, asked: Asked, course: Course, links: Sequence[Link], at: datetime) -> Climb:
    clock = links[0].clock if len(links) == 1 else Clock()
    climb = Climb(IncidentId(wish.subject), course, at, by=wish.by or SOMEBODY, drill=asked.drill, heard=clock)
    return _of_link(climb, links[0]) if links else climb


def _of_link(climb: Climb, link: Link) -> Climb:
    return replace(climb, link_id=link.link_id or None, alert_id=link.alert.alert_id)


def deserves_one(link: Link) -> bool:
    """Whether an open incident is this link's own, so that it has a climb."""
    return link.paged and not link.merged and link.incident_id is not None and link.status is not Status.RESOLVED


def clock_of(links: Sequence[Link]) -> Clock | None:
    """What the alerts on an incident say of it: acknowledged with the first, resolved with the last of them."""
    status = joint_status(links) if links else None
    return next((link.clock for link in links if link.status is status), None)


# ------------------------------------------------------------------------------------------------- the time line


def line(climb: Climb, event: str, at: datetime, facts: Mapping[str, Any], author: str | None = None) -> TimelineEntry:
    """One line of the incident's time line."""
    return TimelineEntry(at, event, climb.link_id, climb.alert_id, climb.incident_id, author, facts)


def coming(climb: Climb) -> dict[str, Any]:
    """What a climb waits for, or why it does not."""
    due = level_at(climb) if climb.state is State.RUNNING else None
    told: dict[str, Any] = {"level": climb.next_level, "of": len(climb.course.rungs)}
    told |= {"due_at": due.isoformat()} if due else {"because": climb.reason}
    return told | ({"policy": climb.course.policy_id} if climb.course.policy_id else {})


def _told(before: Climb, after: Climb, at: datetime, author: str | None) -> Entries:
    if after.state is State.RUNNING and before.begun_at != after.begun_at:
        return [line(after, "escalation.restarted", at, coming(after), author)]
    if before.state is after.state:
        return []
    event = "escalation.resumed" if after.state is State.RUNNING else "escalation.stopped"
    return [line(after, event, at, coming(after), author)]
