"""What an operator says of an alert at the bridge itself: acknowledged, resolved, a false alert, a note, silenced for
a while.

It is neither side's event. Both sides get there, as when people of a side reached it while a write of ours, decided
without knowing of it, put that side back.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.model.text import one_line, shortened
from app.domain.model.types import FALSE_ALERT, Side, Status, Urgency
from app.domain.rules.condition import Both, Compare, Field, Missing
from app.domain.rules.decide import fields, matches
from app.domain.rules.rulebook import Origin, Silence
from app.domain.sync.link import HistoryEntry, Link, remembering, with_note
from app.domain.sync.side_state import Attribution
from app.domain.sync.transitions import Outcome, Step, concluded

MAX_WORDS_CHARS = 10_000
"""Of what a person writes with a resolve, or as a note; the rest is cut off."""


def asked_for(link: Link, status: Status, by: str, now: datetime, text: str = "") -> Step:
    """The link after somebody asked for this status, which is further along than the one both sides should have.

    ``ALREADY_SO`` otherwise: nothing goes back by asking. ``text`` goes to both sides with a resolve. A resolve that a
    person asks for is never held back.
    """
    text = text[:MAX_WORDS_CHARS]
    if status.rank <= link.status.rank:
        return Step(link, Outcome.ALREADY_SO)
    side = Side.TRUTHVOUCH if link.alert_side.status is not None else Side.PAGERDUTY
    state = replace(link.side(side), conflict=status, inherited=False, write_lost=False)
    remembered = remembering(link.with_side(side, state), HistoryEntry(now, status.value, Side.PAGERDUTY, by, now))
    step = concluded(link, remembered, Side.PAGERDUTY, Attribution(by, None, text or None), now, Outcome.CONFLICT)
    if status is not Status.RESOLVED:
        return step
    closed = replace(step.link, last_note=text or f"Resolved at the bridge by {by}.", note_to_read=None)
    has_incident = has_own_incident(closed)
    return replace(step, link=with_note(closed, "resolved", by, None, text or None) if has_incident else closed)


def has_own_incident(link: Link) -> bool:
    """Whether there is an incident to write to, or may be one after an unclear create."""
    return link.paged and (link.incident_side.status is not None or link.open_tried)


def noted(link: Link, by: str, text: str) -> Link:
    """The link with a note for its incident; itself where it has that very note of that person's already."""
    return with_note(link, "note", by, None, text[:MAX_WORDS_CHARS])


def judged_false(link: Link) -> Link:
    """The link with the verdict that its alert was none."""
    return replace(link, verdict=FALSE_ALERT)


# A silence by link: whoever has the link of an incident keeps quiet what looks like it, for a night's rest and no more.

QUIET = timedelta(hours=2)
ALIKE = ("kind", "model", "category")
"""What an alert has to have in common with the one that is silenced."""
MAX_LABELS_CHARS = 100


def alike(link: Link, by: str, now: datetime) -> Silence | None:
    """A silence of whatever has this alert's kind, model and category and would page with no higher urgency than this
    one; None where it has no kind to go by, where its labels are too long for a trigger, or where it paged nobody. All
    links of alerts that are alike mean the same one."""
    alert, urgency = link.alert, link.decision.urgency if link.decision else None
    if not alert.kind or urgency is None:
        return None
    labels = [(name, getattr(alert, name)) for name in ALIKE]
    match = str(
        Both(tuple(Compare(Field(name), "==", label) if label else Missing(Field(name)) for name, label in labels))
    )
    if not matches(match, fields(alert)):
        return None
    up_to = urgency if urgency is not Urgency.HIGH else None
    stamp = hashlib.sha256(f"{match}|{urgency}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    shown = "".join(
        sign if sign.isprintable() else "?" for sign in one_line(" ".join(label for _, label in labels if label))
    )
    name = f"by link: {shortened(shown, MAX_LABELS_CHARS)} ({stamp})"
    return Silence(name, match, by, f"Silenced for two hours by {by}.", now + QUIET, None, Origin.STORE, up_to)


def silenced(link: Link, silence: Silence) -> Link:
    """The link with a note that says what is quiet, and until when."""
    until = f"{silence.until:%Y-%m-%d %H:%M} UTC"
    louder = " High urgency still pages." if silence.up_to else ""
    text = f"alerts that are alike in kind, model and category page nobody until {until}.{louder}"
    has_incident = link.incident_id is not None or link.open_tried
    return with_note(link, "silenced", silence.owner, None, text) if has_incident else link
