"""What a look at one side is worth: the words to put into the inbox, or nothing. Pure.

Intake judges every word again, with the link as it is then; here only what is no news is kept out of the inbox.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.alert import Alert
from app.domain.incident import IncidentFacts
from app.domain.link import Known, Link
from app.domain.looking import SETTLING, looked
from app.domain.names import AlertId, Side, Status
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word

ALERT_READ, INCIDENT_READ = "alert.read", "incident.read"
"""The event names of words that nobody sent: we looked."""

A_MOMENT, A_SECOND = timedelta(microseconds=1), timedelta(seconds=1)

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
    outcome = _outcome(link, Side.PAGERDUTY, facts.status, word.at or read_at, read_at)
    if link.incident_id is None and outcome in ("", "confirmed"):
        outcome = "adopted"
    return _news(outcome, (word,), _about_incident(link, facts, outcome))


def _incident_word(link: Link, facts: IncidentFacts, read_at: datetime) -> IncidentWord:
    return IncidentWord(
        IncidentVerb.READ,
        facts.incident_id,
        INCIDENT_READ,
        at=_changed_at(link.incident_side, facts, read_at),
        incident_key=link.incident_key,
        number=facts.number,
        html_url=facts.html_url,
        urgency=facts.urgency,
        status=facts.status,
        read_at=read_at,
    )


def _changed_at(known: Known, facts: IncidentFacts, read_at: datetime) -> datetime:
    """When the incident came to stand so. PagerDuty's REST API tells whole seconds, its webhooks milliseconds: a change
    in the very second of the one we know is the later one, for otherwise we would not see it; and a look is newer than
    any webhook of its second, which may still be on its way. What is further along is believed at once; what went back
    may be an answer from before, and has to show for some seconds."""
    at = facts.status_changed_at
    if at is None:
        return read_at
    if known.at is None or not at <= known.at < at + A_SECOND:
        return at if at.microsecond else min(at + A_SECOND - A_MOMENT, read_at)
    further = known.status is not None and facts.status.rung > known.status.rung
    settled = further or read_at - known.at >= SETTLING
    return known.at + A_MOMENT if settled and (known.kept or not known.ours) else at


def _about_incident(link: Link, facts: IncidentFacts, outcome: str) -> Finding:
    knew = link.incident_side.status or ""
    return Finding(Side.PAGERDUTY, link.alert.alert_id, facts.incident_id, knew, facts.status, outcome)


def unknown_incident(facts: IncidentFacts) -> Finding:
    """An incident that carries a key of ours while no link has it. Nothing to do until its alert is seen."""
    return Finding(Side.PAGERDUTY, None, facts.incident_id, "", facts.status, "unknown_incident")


def seen_alert(alert_id: AlertId, status: Status, read_at: datetime) -> AlertWord:
    """The look at one alert by its id."""
    return AlertWord(AlertVerb.READ, Alert(alert_id), ALERT_READ, status=status, read_at=read_at)


def listed_alert(word: AlertWord, read_at: datetime) -> AlertWord:
    """A word of the alert list as the look it is."""
    return replace(word, verb=AlertVerb.READ, at=None, status=STATUS_OF_VERB[word.verb], read_at=read_at)


def of_alert(link: Link | None, look: AlertWord, horizon: datetime) -> News | None:
    """What a look at an alert tells; None when it is no news.

    ``horizon``: an alert that may open an incident and was raised before then is left alone.
    """
    if is_missed(link, look, horizon):
        return News(_as_created(link, look), _about_alert(link, look, "missed"))
    if link is None or look.status is None or look.read_at is None:
        return None
    outcome = _outcome(link, Side.TRUTHVOUCH, look.status, look.read_at, look.read_at)
    return _news(outcome, (look,), _about_alert(link, look, outcome))


def is_missed(link: Link | None, look: AlertWord, horizon: datetime) -> bool:
    """Whether the look shows an alert whose create we never heard, and which is not over."""
    if look.status is Status.RESOLVED or (link is not None and (link.decision or _is_over(link, look))):
        return False
    created_at = look.alert.created_at or (link.alert.created_at or link.first_seen_at if link else None)
    return created_at is not None and created_at >= horizon


def _is_over(link: Link, look: AlertWord) -> bool:
    """Whether it is resolved, and the look does not show that somebody reopened it since."""
    if link.status is not Status.RESOLVED or look.status is None or look.read_at is None:
        return link.status is Status.RESOLVED
    return _outcome(link, Side.TRUTHVOUCH, look.status, look.read_at, look.read_at) != "moved"


def _as_created(link: Link | None, look: AlertWord) -> tuple[Word, ...]:
    """The create we missed, dated before the look so that what the look shows counts as newer."""
    assert look.read_at is not None
    latest = look.read_at - A_MOMENT
    at = min(look.alert.created_at or latest, latest)
    created = replace(look, verb=AlertVerb.CREATED, at=at, status=None, author=None, reason=None, text=None)
    return (created,) if look.status is Status.OPEN and link is None else (created, look)


def _about_alert(link: Link | None, look: AlertWord, outcome: str) -> Finding:
    knew = (link.alert_side.status or "") if link else ""
    incident_id = link.incident_id if link else None
    return Finding(Side.TRUTHVOUCH, look.alert.alert_id, incident_id, knew, look.status or "", outcome)


def _outcome(link: Link, side: Side, status: Status, at: datetime, read_at: datetime) -> str:
    """``moved``, ``not_kept``, ``confirmed`` (a write of ours is seen for the first time), or empty: no news."""
    look = looked(link, side, status, at, read_at)
    if look.outcome in ("moved", "not_kept"):
        return look.outcome
    before, after = _known(link, side), _known(look.link, side)
    return "confirmed" if after.kept and before.ours and not before.kept else ""


def _news(outcome: str, words: tuple[Word, ...], finding: Finding) -> News | None:
    if not outcome:
        return None
    return News(words, None if outcome == "confirmed" else finding)


def _known(link: Link, side: Side) -> Known:
    return link.alert_side if side is Side.TRUTHVOUCH else link.incident_side
