"""One word is heard: the links it is about are found, judged and settled. Whose word it is makes no difference."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.domain.lifecycle import Step, advance
from app.domain.link import Known, Link
from app.domain.names import AlertId, Status, Via, incident_key
from app.domain.redaction import fit_to_leave
from app.domain.rules import decide
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word
from app.ports import Links, Order, RulebookSource, TimelineEntry, Tx
from app.services.escalations import Escalations
from app.services.settle import Settle, line
from app.services.shadow import DIFFERS, Shadow

IGNORED = "event.ignored"
NO_NEWS = frozenset({"already_so", "under_way", "older_word", "timeline_only"})
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
        found = self._links_of(tx, word, at)
        if not found:
            self._pass_by_escalations(tx, word, found, found, at, gathered)
            return self._unmatched(tx, word, at, inbox_id)
        steps = [self._judge(tx, link, word, at, gathered) for link in found]
        self._pass_by_escalations(tx, word, found, [step.link for step in steps], at, gathered)
        told = [step for step in steps if not (_is_look(word) and step.outcome in NO_NEWS)]
        gathered.entries += [line(step.link, word.event, at, _facts(step, word), word.author) for step in told]
        return _told(steps[0], word)

    def _judge(self, tx: Tx, link: Link, word: Word, at: datetime, gathered: Gathered) -> Step:
        decision = None
        if isinstance(word, AlertWord) and word.verb is AlertVerb.CREATED:
            decision = decide(self.rulebook.current(), link.alert.updated_by(word.alert), self.settle.clock())
        heard = fit_to_leave(word, self.rulebook.current().redaction)
        step = advance(link, heard, at, decision, self._survivor(tx, word))
        judged = self.settle.attached(tx, link, step.link, at)
        saved, orders = self.settle.write(tx, judged, at)
        gathered.orders += orders
        gathered.entries += [*_about_a_hold(link, saved, at), *self._shadowed(link, saved, at)]
        if step.outcome == "frozen":
            facts = {
                "because": "ten changes within a minute, the sides taking turns",
                "end_it": "truthvouch links thaw",
            }
            gathered.entries.append(line(saved, "link.frozen", at, facts))
        return Step(saved, step.outcome)

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
            gathered.entries += self.escalations.heard(tx, word, links, at)
        else:
            flap = any(link.flaps > known.flaps for known, link in zip(before, links, strict=True))
            gathered.entries += self.escalations.followed(tx, word, links, at, flap)

    def _links_of(self, tx: Tx, word: Word, at: datetime) -> Sequence[Link]:
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
        return [by_key] if by_key is not None and not _another_incident(by_key, word) else []

    def _new_link(self, word: AlertWord, at: datetime) -> Link:
        """An alert found by looking may have been paged before, by a bridge that lost its store: look for the page."""
        alert, found = word.alert, word.read_at is not None
        return Link(alert, incident_key(alert.alert_id), first_seen_at=at, via=self.via(), open_tried=found)

    def _survivor(self, tx: Tx, word: Word) -> Known | None:
        """What is known of the incident that another was merged into, which from now on has guests."""
        if not isinstance(word, IncidentWord) or word.merged_into is None:
            return None
        ours = self.links.by_incident(tx, word.merged_into)
        for link in ours:
            self.links.save(tx, replace(link, guests=True))
        return ours[0].incident_side if ours else None

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


def _is_look(word: Word) -> bool:
    return word.verb in (AlertVerb.READ, IncidentVerb.READ)


def _another_incident(link: Link, word: IncidentWord) -> bool:
    """An incident that carries our key but is not the one we opened: after a resolve the key is free again."""
    return link.incident_id is not None and link.incident_id != word.incident_id


def _facts(step: Step, word: Word) -> dict[str, Any]:
    facts: dict[str, Any] = {"outcome": step.outcome, "status": step.link.status.value}
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
    said = {"event": f"{side}.judged", "word": word.event, "outcome": step.outcome, "link_id": link.link_id}
    return said | {"alert_id": link.alert.alert_id, "incident_id": link.incident_id, "status": link.status.value}
