"""Escalations inside somebody else's transaction: armed with the link, moved by every event, changed by a command.

What is due is done by ``advance``; here nobody is called.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.domain.escalation import state
from app.domain.escalation.state import STILL, Escalation, EscalationPlan, Hurry, State
from app.domain.escalation.steps import asked_again
from app.domain.model.events import Command, CommandOutcome, IncidentEvent, IncidentEventType
from app.domain.model.types import IncidentId, Side, Status
from app.domain.sync.effects import held_seconds
from app.domain.sync.link import Link, joint_status
from app.ports import DeadLetter, DeadLetters, EscalationStore, Links, RulebookSource, TimelineEntry, Tx
from app.services.escalation.target import SOMEBODY, Asked, read

Entries = list[TimelineEntry]
NO_LEVELS = EscalationPlan(None, ())
"""Of an incident that nothing escalates by itself."""


@dataclass(frozen=True)
class Escalations:
    """Arms, follows and obeys. Whoever calls has locked the incident's links, or does not need them."""

    escalation_store: EscalationStore
    links: Links
    rulebook: RulebookSource
    dead_letters: DeadLetters

    def attached(self, tx: Tx, before: Link, link: Link, now: datetime) -> None:
        """A link learned its incident, so PagerDuty has confirmed it: the clock starts. Not for a merge: the surviving
        incident has a clock of its own, or deserves none."""
        incident_id = link.incident_id
        if incident_id is None or before.incident_id is not None or link.merged or not link.paged:
            return
        known = self.escalation_store.find(tx, incident_id)
        if known is None:
            self._arm_by_rule(tx, incident_id, [link], now)
        else:
            after = state.applied(known, _of_links(known, [link]), now)
            self.links.write_timeline(tx, self._saved(tx, known, after, now))

    def has_levels(self) -> bool:
        """Whether anything is escalated by rule today."""
        return bool(self.rulebook.current().escalation.levels)

    def found(self, tx: Tx, incident_id: IncidentId, now: datetime) -> bool:
        """An open incident has been found without an escalation; whether it was armed. Its clock starts now."""
        ours = [link for link in self.links.by_incident(tx, incident_id) if wants_escalation(link)]
        return self.escalation_store.find(tx, incident_id) is None and self._arm_by_rule(tx, incident_id, ours, now)

    def event_applied(
        self, tx: Tx, event: IncidentEvent, before: Sequence[Link], links: Sequence[Link], now: datetime
    ) -> Entries:
        """An event or a read of an incident was applied to the links that know it, if any; the answer goes into the
        time line. An old matter that is reopened, and whose escalation is kept no more, begins anew."""
        if event.type in STILL:
            return []
        changed = [pair for pair in zip(before, links, strict=True) if pair[1].incident_id == event.incident_id]
        escalation = self.escalation_store.find(tx, event.incident_id)
        if escalation is not None:
            return self._saved(tx, escalation, self._after(escalation, event, changed, now), now, event.author)
        if event.type is IncidentEventType.REOPENED:
            ours = [link for _, link in changed if wants_escalation(link)]
            self._arm_by_rule(tx, event.incident_id, ours, now)
        return []

    def _after(
        self, escalation: Escalation, event: IncidentEvent, changed: Sequence[tuple[Link, Link]], now: datetime
    ) -> Escalation:
        """What the links say counts, unless there are none, or their resolve is held back."""
        plan, links = self._current_plan(), [link for _, link in changed]
        if not links or event.type is IncidentEventType.MERGED or held_seconds(links[0], Side.PAGERDUTY, links, now):
            return state.event_applied(state.by_itself(escalation), event, now, plan)
        life = _life(escalation, links)
        anew = any(state.implies_a_resolve(before.incident_side, event, now) for before, _ in changed)
        known = escalation if len(links) == 1 else replace(escalation, life=life)  # of several, one may come back alone
        after = state.followed(known, status_of(links), life, now, plan, anew)
        # What a read showed and no link knows of: only the incident itself can take that back.
        return state.event_applied(after, event, now, plan) if after.incident_side.status is not None else after

    def followed(self, tx: Tx, before: Link, link: Link, now: datetime, author: str | None = None) -> Entries:
        """A link may have changed, but not by an event of its incident: by one of its alert, a delivery, an operator.
        An incident of several alerts is decided when it is due, and so is a resolve that is held back."""
        if _relevant_facts(before) == _relevant_facts(link):
            return []
        held = held_seconds(link, Side.PAGERDUTY, (link,), now)
        escalation = self.escalation_store.find(tx, link.incident_id) if link.incident_id and not held else None
        if escalation is None:
            return []
        if link.shares:
            after = replace(escalation, due_at=now) if escalation.state is State.PAUSED else escalation
        else:
            follow = state.flapped if link.flaps > before.flaps else state.followed
            after = follow(escalation, link.status, _life(escalation, [link]), now, self._current_plan())
        return self._saved(tx, escalation, after, now, author)

    def _saved(
        self, tx: Tx, before: Escalation, after: Escalation, now: datetime, author: str | None = None
    ) -> Entries:
        if after == before:
            return []
        self.escalation_store.save(tx, after, now)
        if after.state is State.RUNNING and before.begun_at != after.begun_at:
            event = "escalation.restarted"
        elif before.state is after.state:
            return []
        else:
            event = "escalation.resumed" if after.state is State.RUNNING else "escalation.stopped"
        return [line(after, event, now, coming(after), author)]

    def _current_plan(self) -> EscalationPlan | None:
        return state.plan_of(self.rulebook.current().escalation)

    def _arm_by_rule(self, tx: Tx, incident_id: IncidentId, ours: Sequence[Link], now: datetime) -> bool:
        plan = self._current_plan() if ours and self.has_levels() else None
        if plan is not None:
            self._arm(tx, _of_links(Escalation(incident_id, plan, now), ours), now)
        return plan is not None

    def _arm(self, tx: Tx, escalation: Escalation, now: datetime) -> None:
        escalation = state.armed(escalation)
        self.escalation_store.save(tx, escalation, now)
        self.links.write_timeline(tx, [line(escalation, "escalation.armed", now, coming(escalation))])

    def execute(self, tx: Tx, command: Command, at: datetime) -> CommandOutcome:
        """``ARMED``, ``CANCELLED``, ``HURRIED``, ``ALREADY_ASKED``, ``ALREADY_SO``, ``IN_HAND``, ``NOT_ARMED`` or
        ``BAD_REQUEST``."""
        asked, incident_id = read(command.detail), IncidentId(command.subject)
        if asked is None or not incident_id:
            return CommandOutcome.BAD_REQUEST
        links = self.links.by_incident(tx, incident_id)
        known = self.escalation_store.find(tx, incident_id)
        if asked.now:
            return self._hurry(tx, known, links, command, asked, at)
        if asked.plan is None:
            return self._cancel(tx, known, command, at)
        escalation = Escalation(incident_id, asked.plan, at, by=command.by or SOMEBODY, drill=asked.drill)
        self._arm(tx, _of_links(escalation, links) if links else escalation, at)
        return CommandOutcome.ARMED

    def _cancel(self, tx: Tx, escalation: Escalation | None, command: Command, at: datetime) -> CommandOutcome:
        if escalation is None or escalation.state is State.FINISHED:
            return CommandOutcome.NOT_ARMED
        ended = state.finished(escalation, "cancelled")
        self.links.write_timeline(tx, self._saved(tx, escalation, ended, at, command.by or None))
        return CommandOutcome.CANCELLED

    def _hurry(
        self, tx: Tx, known: Escalation | None, links: Sequence[Link], command: Command, asked: Asked, at: datetime
    ) -> CommandOutcome:
        """The next level is due now; nothing moves after an acknowledge or a resolve, and two who ask for the same
        level ask for one. An incident that nobody escalates yet is escalated by the rules, or where they have no
        levels, once, on its own policy."""
        ours = [link for link in links if wants_escalation(link)]
        if known is None:
            if not ours:
                return CommandOutcome.IN_HAND if links else CommandOutcome.NOT_ARMED
            plan = self._current_plan() or NO_LEVELS
            known = state.armed(_of_links(Escalation(IncidentId(command.subject), plan, at), ours))
        elif links:
            known = _of_links(known, links)
        if known.status is not Status.OPEN:
            return CommandOutcome.IN_HAND
        if state.is_asked_for(known, asked.saw, asked.raise_urgency, at):
            return CommandOutcome.ALREADY_ASKED
        if asked.saw is not None and asked.saw < known.moves and state.is_level_fresh(known, at):
            return CommandOutcome.ALREADY_SO
        if known.dead_letter_id is not None:  # what it is about comes about now
            self.dead_letters.close(tx, known.dead_letter_id, CommandOutcome.HURRIED.value, at, command.by)
        hurry = Hurry(command.by or SOMEBODY, at, known.moves, asked.ask)
        after = state.hurried(known, hurry, asked.raise_urgency)
        self.escalation_store.save(tx, after, at)
        self.links.write_timeline(tx, [line(after, "escalation.hurried", at, coming(after), command.by or None)])
        return CommandOutcome.HURRIED

    def about_dead_letter(
        self, tx: Tx, dead_letter: DeadLetter, command: Command, discards: bool, at: datetime
    ) -> CommandOutcome:
        """A move that was given up: ``replayed``, ``discarded``; ``nothing_to_do`` when its escalation has gone on."""
        escalation = self.escalation_store.of_dead_letter(tx, dead_letter.dead_letter_id)
        if escalation is None:
            return CommandOutcome.DISCARDED if discards else CommandOutcome.NOTHING_TO_DO
        after = replace(escalation, dead_letter_id=None) if discards else asked_again(escalation, at)
        self.escalation_store.save(tx, after, at)
        outcome = (
            CommandOutcome.DISCARDED
            if discards
            else CommandOutcome.REPLAYED
            if after.state is State.RUNNING
            else CommandOutcome.NOTHING_TO_DO
        )
        facts = {"dead_letter": dead_letter.dead_letter_id, **coming(after)}
        self.links.write_timeline(tx, [line(after, f"dead_letter.{outcome}", at, facts, command.by or None)])
        return outcome


def _of_links(escalation: Escalation, links: Sequence[Link]) -> Escalation:
    """The escalation as theirs, knowing what they say."""
    own, status = links[0], status_of(links)
    return replace(
        escalation, link_id=own.link_id or None, alert_id=own.alert.alert_id, links_status=status, life=own.life
    )


def wants_escalation(link: Link) -> bool:
    """Whether an open incident is this link's own, so that it has an escalation."""
    return link.paged and not link.merged and link.incident_id is not None and link.status is not Status.RESOLVED


def status_of(links: Sequence[Link]) -> Status:
    """What the links on an incident say of it."""
    return links[0].status if len(links) == 1 and not links[0].shares else joint_status(links)


def _life(escalation: Escalation, links: Sequence[Link]) -> int:
    return next((link.life for link in links if link.link_id == escalation.link_id), escalation.life)


def _relevant_facts(link: Link) -> tuple[object, ...]:
    """What an escalation goes by; the incident's own status ends a hold."""
    return link.status, link.life, link.flaps, link.incident_side.status


def line(
    escalation: Escalation, event: str, at: datetime, facts: Mapping[str, Any], author: str | None = None
) -> TimelineEntry:
    """One line of the incident's time line."""
    return TimelineEntry(at, event, escalation.link_id, escalation.alert_id, escalation.incident_id, author, facts)


def coming(escalation: Escalation) -> dict[str, Any]:
    """What an escalation waits for, or why it does not."""
    due = state.level_at(escalation) if escalation.state is State.RUNNING else None
    facts: dict[str, Any] = {"level": escalation.next_level, "of": len(escalation.plan.levels)}
    facts |= {"due_at": due.isoformat()} if due else {"because": escalation.reason}
    return facts | ({"policy": escalation.plan.policy_id} if escalation.plan.policy_id else {})
