"""What a look at one side is worth: the words to put into the inbox, or nothing. Pure.

Intake judges every word again, with the link as it is then; here only what is no news is kept out of the inbox.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.alert import Alert
from app.domain.incident import IncidentFacts
from app.domain.link import Link
from app.domain.names import AlertId, Side, Status
from app.domain.side_state import MAX_AHEAD
from app.domain.transitions import Outcome, observation_of, seen
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word

ALERT_READ, INCIDENT_READ = "alert.read", "incident.read"
"""The event names of words that nobody sent: we looked."""

A_MOMENT = timedelta(microseconds=1)

CALL_TAKES = timedelta(seconds=30)
"""An answer comes at most so long after the read began."""

STATUS_OF_VERB = {
    AlertVerb.CREATED: Status.OPEN,
    AlertVerb.ACKNOWLEDGED: Status.ACKNOWLEDGED,
    AlertVerb.RESOLVED: Status.RESOLVED,
}
"""What a word of the alert list says of where the alert stands."""

REASONS = {
    "moved": "changed there, and nobody told us",
    "not_kept": "it said yes to our change and does not show it",
    "adopted": "our incident, found by its key",
    "merged": "merged into another incident",
    "missed": "an alert nobody told us of",
    "unknown_incident": "carries a key of ours, but no alert of it is known here",
}
TODOS = {
    "unknown_incident": (
        "Its alert may be older than this store: `truthvouch reconcile --since 30d` takes it in. If the incident is "
        "another bridge's on the same service, nothing is to be done; if it is nobody's, resolve it in PagerDuty."
    ),
}
"""What a person can do about it; everything else is taken in and seen to."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between a side and what we knew of it."""

    side: Side
    alert_id: str | None
    incident_id: str | None
    knew: str
    """The status we last knew; empty when we knew none."""
    found: str
    """The status the look showed."""
    outcome: str
    """``moved``, ``not_kept``, ``adopted``, ``merged``, ``missed`` or ``unknown_incident``."""

    @property
    def reason(self) -> str:
        """The outcome in a few words for people."""
        return REASONS[self.outcome]

    @property
    def todo(self) -> str:
        """What a person can do about it; empty where the bridge sees to it."""
        return TODOS.get(self.outcome, "")

    @property
    def is_drift(self) -> bool:
        """Whether there is anything to take in; of an incident without an alert there is not."""
        return self.outcome != "unknown_incident"


@dataclass(frozen=True, slots=True)
class News:
    """Words worth putting into the inbox. Without a finding they only confirm a change of ours."""

    words: tuple[Word, ...]
    finding: Finding | None


def of_incident(link: Link, facts: IncidentFacts, read_at: datetime) -> News | None:
    """What a look at an incident tells about this link; None when it is no news."""
    if link.incident_id not in (None, facts.incident_id) or facts.incident_id == facts.merged_into:
        return None
    word = _incident_word(link, facts, read_at)
    if facts.merged_into is not None:
        merged = replace(word, verb=IncidentVerb.MERGED, status=None, merged_into=facts.merged_into)
        return News((merged,), _about_incident(link, facts, "merged"))
    outcome = _outcome(link, Side.PAGERDUTY, word)
    first_seen = link.incident_side.status is None and facts.status is link.status
    if link.incident_id is None and (first_seen or outcome in ("", "confirmed")):
        outcome = "adopted"
    return _news(outcome, (word,), _about_incident(link, facts, outcome))


def _incident_word(link: Link, facts: IncidentFacts, read_at: datetime) -> IncidentWord:
    return IncidentWord(
        IncidentVerb.READ,
        facts.incident_id,
        INCIDENT_READ,
        at=facts.status_changed_at,
        incident_key=link.incident_key,
        number=facts.number,
        html_url=facts.html_url,
        urgency=facts.urgency,
        status=facts.status,
        read_at=read_at,
    )


def _about_incident(link: Link, facts: IncidentFacts, outcome: str) -> Finding:
    knew = link.incident_side.status or ""
    return Finding(Side.PAGERDUTY, link.alert.alert_id, facts.incident_id, knew, facts.status, outcome)


def unknown_incident(facts: IncidentFacts) -> Finding:
    """An incident that carries a key of ours while no link has it. Nothing to do until its alert is seen."""
    return Finding(Side.PAGERDUTY, None, facts.incident_id, "", facts.status, "unknown_incident")


def seen_alert(alert_id: AlertId, status: Status, read_at: datetime, at: datetime | None = None) -> AlertWord:
    """The look at one alert by its id. ``at``: when TruthVouch answered, by its own clock."""
    return AlertWord(AlertVerb.READ, Alert(alert_id), ALERT_READ, at=at, status=status, read_at=read_at)


def listed_alert(word: AlertWord, read_at: datetime, at: datetime | None = None) -> AlertWord:
    """A word of the alert list as the look it is. ``at``: when TruthVouch answered, by its own clock."""
    return replace(word, verb=AlertVerb.READ, at=at, status=STATUS_OF_VERB[word.verb], read_at=read_at)


def of_alert(link: Link | None, look: AlertWord, horizon: datetime) -> News | None:
    """What a look at an alert tells; None when it is no news.

    ``horizon``: an alert that may open an incident and was raised before then is left alone.
    """
    if is_missed(link, look, horizon):
        return News(_as_created(link, look), _about_alert(link, look, "missed"))
    if link is None or look.status is None or look.read_at is None:
        return None
    outcome = _outcome(link, Side.TRUTHVOUCH, look)
    return _news(outcome, (look,), _about_alert(link, look, outcome))


def is_missed(link: Link | None, look: AlertWord, horizon: datetime) -> bool:
    """Whether the look shows an alert whose create we never heard, and which is not over.

    TruthVouch told when it was raised; ``horizon`` is a time of our clock.
    """
    if look.status is Status.RESOLVED or (link is not None and (link.decision or _is_over(link, look))):
        return False
    created_at = look.alert.created_at or (link.alert.created_at if link else None)
    if created_at is None:
        return link is not None and link.first_seen_at >= horizon
    return created_at - ahead(look) >= horizon - CALL_TAKES


def ahead(look: AlertWord) -> timedelta:
    """How far TruthVouch's clock was ahead of ours when it answered, to within ``CALL_TAKES``; zero where it did not
    tell, or told what cannot be true."""
    offset = look.at - look.read_at if look.at and look.read_at else timedelta(0)
    return offset if abs(offset) <= MAX_AHEAD else timedelta(0)


def _is_over(link: Link, look: AlertWord) -> bool:
    """Whether it is resolved, and the look does not show that somebody reopened it since."""
    if link.status is not Status.RESOLVED or look.status is None or look.read_at is None:
        return link.status is Status.RESOLVED
    return _outcome(link, Side.TRUTHVOUCH, look) != "moved"


def _as_created(link: Link | None, look: AlertWord) -> tuple[Word, ...]:
    """The create we missed, before the look; by TruthVouch's own clock, as its other times are."""
    created = replace(
        look, verb=AlertVerb.CREATED, at=look.alert.created_at, status=None, author=None, reason=None, text=None,
        read_at=look.read_at,
    )  # fmt: skip
    return (created,) if look.status is Status.OPEN and link is None else (created, look)


def _about_alert(link: Link | None, look: AlertWord, outcome: str) -> Finding:
    knew = (link.alert_side.status or "") if link else ""
    incident_id = link.incident_id if link else None
    return Finding(Side.TRUTHVOUCH, look.alert.alert_id, incident_id, knew, look.status or "", outcome)


def _outcome(link: Link, side: Side, word: Word) -> str:
    """``moved``, ``not_kept``, ``confirmed`` (a write of ours is seen for the first time), or empty: no news."""
    assert word.read_at is not None
    before = link.side(side)
    if before.pending is not None:
        return ""
    step = seen(link, side, observation_of(word, word.read_at), word.read_at)
    after = step.link.side(side)
    if step.outcome is Outcome.NOT_KEPT:
        return "not_kept"
    if after.status is not before.status or step.link.status is not link.status:
        return "moved"
    is_ours = before.by_us and not before.confirmed
    return "confirmed" if (after.confirmed and is_ours) or (before.must_read and not after.must_read) else ""


def _news(outcome: str, words: tuple[Word, ...], finding: Finding) -> News | None:
    if not outcome:
        return None
    return News(words, None if outcome == "confirmed" else finding)
