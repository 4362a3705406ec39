"""One word is heard: the links it is about are found, judged and settled. Whose word it is makes no difference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.domain.delivery import NOT_KEPT, not_kept_letter
from app.domain.link import Link
from app.domain.names import AlertId, Side, Status, Via, incident_key
from app.domain.redaction import fit_to_leave
from app.domain.retry import named
from app.domain.rules import decide
from app.domain.side_state import SideState
from app.domain.transitions import Outcome, Step, adopting, advance, hinted
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word
from app.ports import Letter, Links, Order, RulebookSource, TimelineEntry, Tx
from app.services.escalations import Escalations
from app.services.settle import Settle, line
from app.services.shadow import DIFFERS, Shadow

IGNORED = "event.ignored"
NO_NEWS = frozenset({Outcome.ALREADY_SO, Outcome.UNDER_WAY, Outcome.STALE, Outcome.TIMELINE_ONLY})
"""What a look mostly finds: not worth a line every few minutes."""


@dataclass
class Gathered:
    """What a batch of words leaves to be written at its end, all at once."""

    entries: list[TimelineEntry] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)


@dataclass(frozen=True)
class Hear:
    """Judges words inside the caller's transaction; calls no partner."""

    links: Links
    settle: Settle
    rulebook: RulebookSource
    via: Callable[[], Via]
    escalations: Escalations | None = None
    shadow: Shadow | None = None
    """The draft that is asked beside the rulebook."""

    def __call__(self, tx: Tx, word: Word, at: datetime, inbox_id: int, gathered: Gathered) -> dict[str, Any]:
        """Hear one word that was accepted ``at``; the answer is the log line about it."""
        found = self._links_of(tx, word, at, gathered)
        if not found:
            self._pass_by_escalations(tx, word, found, found, at, gathered)
            return self._unmatched(tx, word, at, inbox_id)
        steps = [self._judge(tx, link, found, word, at, gathered) for link in found]
        self._pass_by_escalations(tx, word, found, [step.link for step in steps], at, gathered)
        told = [step for step in steps if not (_is_look(word) and step.outcome in NO_NEWS)]
        gathered.entries += [line(step.link, word.event, at, _facts(step, word), word.author) for step in told]
        return _told(steps[0], word)

    def _judge(self, tx: Tx, link: Link, shared: Sequence[Link], word: Word, at: datetime, gathered: Gathered) -> Step:
        decision = None
        if isinstance(word, AlertWord) and word.verb is AlertVerb.CREATED:
            decision = decide(self.rulebook.current(), link.alert.updated_by(word.alert), self.settle.clock())
        heard = fit_to_leave(word, self.rulebook.current().redaction)
        readable = isinstance(word, AlertWord) or self.settle.rest()
        step = advance(link, heard, at, decision, self._survivor(tx, word), readable, shared)
        judged = self.settle.attached(tx, link, step.link, at)
        saved, orders = self.settle.write(tx, judged, at)
        gathered.orders += orders
        gathered.entries += [*_about_a_hold(link, saved, at), *self._shadowed(link, saved, at)]
        gathered.entries += _about_bounds(link, saved, at)
        self._give_up(tx, saved, step.outcome, word, at)
        if step.outcome is Outcome.FROZEN:
            facts = {
                "because": "ten changes within a minute, the sides taking turns",
                "end_it": "truthvouch links thaw",
            }
            gathered.entries.append(line(saved, "link.frozen", at, facts))
        return Step(saved, step.outcome)

    def _give_up(self, tx: Tx, link: Link, outcome: Outcome, word: Word, at: datetime) -> None:
        """A write that a side did not keep once too often becomes a dead letter."""
        side = Side.TRUTHVOUCH if isinstance(word, AlertWord) else Side.PAGERDUTY
        effect = not_kept_letter(link, side) if outcome is Outcome.NOT_KEPT else None
        if effect is not None:
            count = link.side(side).unconfirmed_count
            letter = Letter(0, "effect", NOT_KEPT, at, count, "", link.link_id, side, effect=named(effect))
            self.links.add_letter(tx, letter)

    def _shadowed(self, before: Link, link: Link, at: datetime) -> list[TimelineEntry]:
        """What the draft would have decided, where this word was decided and the draft says otherwise."""
        if self.shadow is None or link.decision is None or link.decision == before.decision:
            return []
        facts = self.shadow.differs(link.decision, link.alert, self.settle.clock())
        return [line(link, DIFFERS, at, facts)] if facts else []

    def _pass_by_escalations(
        self, tx: Tx, word: Word, before: Sequence[Link], links: Sequence[Link], at: datetime, gathered: Gathered
    ) -> None:
        """Whatever is said of an incident stops or starts its escalation, whether an alert is behind it or not."""
        if self.escalations is None:
            return
        if isinstance(word, IncidentWord):
            gathered.entries += self.escalations.heard(tx, word, before, links, at)
            return
        for known, link in zip(before, links, strict=True):
            gathered.entries += self.escalations.followed(tx, known, link, at, word.author)

    def _links_of(self, tx: Tx, word: Word, at: datetime, gathered: Gathered) -> Sequence[Link]:
        if isinstance(word, AlertWord):
            known_alert = self.links.by_alert(tx, word.alert.alert_id)
            if known_alert is None and word.verb is AlertVerb.READ:
                return []
            return [known_alert or self._new_link(word, at)]
        known = self.links.by_incident(tx, word.incident_id)
        if known:
            return known
        by_key = self.links.by_key(tx, word.incident_key) if word.incident_key else None
        if by_key is None and word.alert_id_hint:
            by_key = self.links.by_key(tx, incident_key(AlertId(word.alert_id_hint)))
        if by_key is None or by_key.incident_id is not None:
            return []  # after a resolve the key is free again: this is another incident than the one we opened
        if word.verb is IncidentVerb.READ:
            return [by_key]
        if word.alert_id_hint and not word.incident_key and not by_key.deserves:
            # Somebody's own incident about an alert that pages nobody: no page can be kept from being made.
            return [adopting(by_key, word.incident_id)]
        self._hint(tx, by_key, word, at, gathered)
        return []

    def _hint(self, tx: Tx, link: Link, word: IncidentWord, at: datetime, gathered: Gathered) -> None:
        """A webhook is no proof: what it says is kept until our own answer or read shows that the incident is ours."""
        told = hinted(link, word.incident_id)
        if told != link:
            _, orders = self.settle.write(tx, told, at)
            gathered.orders += orders

    def _new_link(self, word: AlertWord, at: datetime) -> Link:
        """An alert found by looking may have been paged before, by a bridge that lost its store: look for the page."""
        alert, found = word.alert, word.read_at is not None
        return Link(alert, incident_key(alert.alert_id), first_seen_at=at, via=self.via(), open_tried=found)

    def _survivor(self, tx: Tx, word: Word) -> SideState | None:
        """What is known of the incident that another was merged into, which from now on has guests."""
        if not isinstance(word, IncidentWord) or word.merged_into is None:
            return None
        for link in self.links.by_incident(tx, word.merged_into):
            self.links.save(tx, replace(link, guests=True))
        return self.settle.survivor(tx, word.merged_into)

    def _unmatched(self, tx: Tx, word: Word, at: datetime, inbox_id: int) -> dict[str, Any]:
        if isinstance(word, AlertWord):
            return {
                "event": IGNORED,
                "alert_id": word.alert.alert_id,
                "source": "truthvouch",
                "reason": "unknown_alert",
            }
        said = {"event": IGNORED, "incident_id": word.incident_id, "source": "pagerduty"}
        if word.verb in (IncidentVerb.MENTIONED, IncidentVerb.READ):
            return said | {"reason": "unknown_incident"}
        self.links.keep_stray(tx, word, inbox_id, at)
        return said | {"reason": "unknown_incident_kept"}


def _about_a_hold(before: Link, link: Link, at: datetime) -> list[TimelineEntry]:
    """Why PagerDuty is not told of a resolve yet, or of one that did not last."""
    if link.flaps > before.flaps:
        return [line(link, "incident.flap_held", at, {"flaps": link.flaps, "sent": "nothing"})]
    until, there = link.hold_until, link.incident_side.status not in (None, Status.RESOLVED)
    if until is None or until == before.hold_until or until <= at or not there or link.decision is None:
        return []
    facts = {"until": until.isoformat(), "minutes": link.decision.hold_resolve_minutes}
    return [line(link, "incident.resolve_held", at, facts)]


def _about_bounds(before: Link, link: Link, at: datetime) -> list[TimelineEntry]:
    """What a link that says too much lets go."""
    lines = []
    if link.history_dropped and not before.history_dropped:
        lines.append(
            line(link, "link.history_full", at, {"kept": len(link.history), "dropped": "the oldest, from now on"})
        )
    if link.notes_dropped > before.notes_dropped:
        lines.append(line(link, "link.note_dropped", at, {"notes": link.notes_dropped - before.notes_dropped}))
    return lines


def _is_look(word: Word) -> bool:
    return word.verb in (AlertVerb.READ, IncidentVerb.READ)


def _facts(step: Step, word: Word) -> dict[str, Any]:
    facts: dict[str, Any] = {"outcome": step.outcome.value, "status": step.link.status.value}
    decision = step.link.decision
    if isinstance(word, AlertWord) and word.verb is AlertVerb.CREATED and decision is not None:
        facts |= {"rule": decision.rule, "rulebook": decision.version, "reason": decision.reason}
        facts["urgency"] = decision.urgency.value if decision.urgency else "none"
    if word.read_at is not None:
        facts |= {"found_by": "reconciliation"} | ({"found": word.status.value} if word.status else {})
    return facts


def _told(step: Step, word: Word) -> dict[str, Any]:
    side = "alert" if isinstance(word, AlertWord) else "incident"
    link = step.link
    said = {"event": f"{side}.judged", "word": word.event, "outcome": step.outcome.value, "link_id": link.link_id}
    return said | {"alert_id": link.alert.alert_id, "incident_id": link.incident_id, "status": link.status.value}
