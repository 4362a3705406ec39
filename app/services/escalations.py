"""Climbs inside somebody else's transaction: armed with the link, moved by every word, changed by a wish.

What is due is done by ``escalate``; here nobody is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.domain.damping import held_seconds
from app.domain.escalation import (
    STILL,
    Climb,
    Course,
    State,
    applied,
    armed,
    by_itself,
    course_of,
    finished,
    flapped,
    followed,
    heard,
    implies_a_resolve,
    level_at,
)
from app.domain.escalation_answer import asked_again
from app.domain.link import Link, joint_status
from app.domain.names import IncidentId, Side, Status
from app.domain.words import IncidentVerb, IncidentWord, Wish
from app.ports import Climbs, Letter, Links, RulebookSource, TimelineEntry, Tx
from app.services.escalate_wish import SOMEBODY, read

Entries = list[TimelineEntry]


@dataclass(frozen=True)
class Escalations:
    """Arms, follows and obeys. Whoever calls has locked the incident's links, or does not need them."""

    climbs: Climbs
    links: Links
    rulebook: RulebookSource

    def attached(self, tx: Tx, before: Link, link: Link, now: datetime) -> None:
        """A link learned its incident, so PagerDuty has confirmed it: the clock starts. Not for a merge: the surviving
        incident has a clock of its own, or deserves none."""
        incident_id = link.incident_id
        if incident_id is None or before.incident_id is not None or link.merged or not link.paged:
            return
        known = self.climbs.find(tx, incident_id)
        if known is None:
            self._arm_by_rule(tx, incident_id, [link], now)
        else:
            after = applied(known, _of_links(known, [link]), now)
            self.links.write_timeline(tx, self._saved(tx, known, after, now))

    def has_levels(self) -> bool:
        """Whether anything is escalated by rule today."""
        return self._course() is not None

    def found(self, tx: Tx, incident_id: IncidentId, now: datetime) -> bool:
        """An open incident has been found without a climb; whether it was armed. Its clock starts now."""
        ours = [link for link in self.links.by_incident(tx, incident_id) if deserves_one(link)]
        return self.climbs.find(tx, incident_id) is None and self._arm_by_rule(tx, incident_id, ours, now)

    def heard(
        self, tx: Tx, word: IncidentWord, before: Sequence[Link], links: Sequence[Link], now: datetime
    ) -> Entries:
        """An event or a read of an incident was applied to the links that know it, if any; the answer goes into the
        time line. An old matter that is reopened, and whose climb is kept no more, begins anew."""
        if word.verb in STILL:
            return []
        changed = [pair for pair in zip(before, links, strict=True) if pair[1].incident_id == word.incident_id]
        climb = self.climbs.find(tx, word.incident_id)
        if climb is not None:
            return self._saved(tx, climb, self._after(climb, word, changed, now), now, word.author)
        if word.verb is IncidentVerb.REOPENED:
            ours = [link for _, link in changed if deserves_one(link)]
            self._arm_by_rule(tx, word.incident_id, ours, now)
        return []

    def _after(self, climb: Climb, word: IncidentWord, changed: Sequence[tuple[Link, Link]], now: datetime) -> Climb:
        """What the links say counts, unless there are none, or their resolve is held back."""
        course, links = self._course(), [link for _, link in changed]
        if not links or word.verb is IncidentVerb.MERGED or held_seconds(links[0], Side.PAGERDUTY, links, now):
            return heard(by_itself(climb), word, now, course)
        life = _life(climb, links)
        anew = any(implies_a_resolve(before.incident_side, word, now) for before, _ in changed)
        known = climb if len(links) == 1 else replace(climb, life=life)  # of several, one may come back alone
        after = followed(known, status_of(links), life, now, course, anew)
        # What a read showed and no link knows of: only the incident itself can take that back.
        return heard(after, word, now, course) if after.incident_side.status is not None else after

    def followed(self, tx: Tx, before: Link, link: Link, now: datetime, author: str | None = None) -> Entries:
        """A link may have changed, but not by an event of its incident: by one of its alert, a delivery, an operator.

        An incident of several alerts is judged when it is due, and so is a resolve that is held back.
        """
        if _marks(before) == _marks(link):
            return []
        held = held_seconds(link, Side.PAGERDUTY, (link,), now)
        climb = self.climbs.find(tx, link.incident_id) if link.incident_id and not held else None
        if climb is None:
            return []
        if link.shares:
            after = replace(climb, due_at=now) if climb.state is State.PAUSED else climb
        else:
            follow = flapped if link.flaps > before.flaps else followed
            after = follow(climb, link.status, _life(climb, [link]), now, self._course())
        return self._saved(tx, climb, after, now, author)

    def _saved(self, tx: Tx, before: Climb, after: Climb, now: datetime, author: str | None = None) -> Entries:
        if after == before:
            return []
        self.climbs.save(tx, after, now)
        return _told(before, after, now, author)

    def _course(self) -> Course | None:
        return course_of(self.rulebook.current().escalation)

    def _arm_by_rule(self, tx: Tx, incident_id: IncidentId, ours: Sequence[Link], now: datetime) -> bool:
        course = self._course()
        if course is None or not ours:
            return False
        self._arm(tx, _of_links(Climb(incident_id, course, now), ours), now)
        return True

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
        climb = Climb(incident_id, asked.course, at, by=wish.by or SOMEBODY, drill=asked.drill)
        self._arm(tx, _of_links(climb, links) if links else climb, at)
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


def _of_links(climb: Climb, links: Sequence[Link]) -> Climb:
    """The climb as theirs, knowing what they say."""
    own, status = links[0], status_of(links)
    return replace(climb, link_id=own.link_id or None, alert_id=own.alert.alert_id, links_status=status, life=own.life)


def deserves_one(link: Link) -> bool:
    """Whether an open incident is this link's own, so that it has a climb."""
    return link.paged and not link.merged and link.incident_id is not None and link.status is not Status.RESOLVED


def status_of(links: Sequence[Link]) -> Status:
    """What the links on an incident say of it."""
    return links[0].status if len(links) == 1 and not links[0].shares else joint_status(links)


def _life(climb: Climb, links: Sequence[Link]) -> int:
    return next((link.life for link in links if link.link_id == climb.link_id), climb.life)


def _marks(link: Link) -> tuple[object, ...]:
    """What a climb goes by; the incident's own status ends a hold."""
    return link.status, link.life, link.flaps, link.incident_side.status


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
