"""Evidence is erased: the texts and people of an alert, and what else of its link repeats them.

What a person wrote in a note, or with a resolve, is that person's and stays: it went to the other side. Only where it
repeats the alert word for word, or names somebody whom the alert named, that part is replaced.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from app.domain.model.events import AlertEvent
from app.domain.model.text import clean
from app.domain.model.types import TAGS, Alert, IncidentId, verdict_of
from app.domain.rules.rulebook import MIN_WITHHELD_CHARS, PERSON, scrub, withhold
from app.domain.sync.link import Link
from app.domain.sync.side_state import Attribution, SideState


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is looked for in other texts when an alert's evidence is erased."""

    texts: tuple[str, ...]
    """Longest first. A shorter text than ``MIN_WITHHELD_CHARS`` is none: it would be found everywhere."""
    people: tuple[str, ...]

    @classmethod
    def of(cls, alert: Alert) -> "Evidence":
        """The evidence of this alert."""
        own = {form for text in alert.evidence.values() for form in (text, clean(text).strip())}
        found = [text for text in own - set(alert.people.values()) if len(text) >= MIN_WITHHELD_CHARS]
        return cls(tuple(sorted(found, key=len, reverse=True)), tuple(alert.people.values()))

    def __bool__(self) -> bool:
        return bool(self.texts or self.people)

    def taken_out_of(self, text: str) -> str:
        """The text with marks where it repeats the evidence."""
        return scrub(withhold(text, self.texts), self.people)


def erased(link: Link, at: datetime) -> Link:
    """The link without the evidence of its alert and without repetitions of it. One that is erased stays as it is."""
    if link.erased_at is not None:
        return link
    evidence = Evidence.of(link.alert)

    def without(text: str | None) -> str | None:
        return evidence.taken_out_of(text) if text else text

    def side(state: SideState) -> SideState:
        by = state.hint_by
        if by is None:
            return state
        return replace(state, hint_by=Attribution(without(by.author), without(by.reason), without(by.text)))

    return replace(
        link,
        alert=link.alert.without_evidence(at),
        alert_side=side(link.alert_side),
        incident_side=side(link.incident_side),
        closed_by=without(link.closed_by),
        closing_text=without(link.closing_text),
        last_note=without(link.last_note),
        notes=tuple(replace(note, content=evidence.taken_out_of(note.content)) for note in link.notes),
        history=tuple(replace(entry, author=without(entry.author)) for entry in link.history),
    )


def fit_to_keep(event: AlertEvent, at: datetime) -> AlertEvent:
    """What is left of an event of an alert whose evidence was erased ``at``: what happened, when, and the verdict. What
    was written with it may repeat the alert, and nobody can tell any more."""
    tag = next((tag for tag, verdict in TAGS.items() if event.text and verdict == verdict_of(None, event.text)), None)
    return replace(
        event,
        alert=event.alert.without_evidence(at),
        author=PERSON if event.author else None,
        reason=event.reason if verdict_of(event.reason) else None,
        text=tag,
    )


def subjects_of(link: Link) -> Sequence[str]:
    """Whom stored webhooks that repeat its evidence are about: the alert, and its incidents, which bear its title."""
    incidents: list[IncidentId | None] = [link.incident_id, link.incident_hint, *link.former_incidents]
    return [link.alert.alert_id, *filter(None, incidents)]
