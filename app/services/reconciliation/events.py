"""What a read of one side is worth: the events to put into the inbox, or nothing. Pure.

Intake applies every event again, with the link as it is then; here only what is no news is kept out of the inbox.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from app.domain.model.events import AlertEvent, AlertEventType, Event, IncidentEvent, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.types import Side, Status
from app.domain.sync.link import Link
from app.domain.sync.observations import FindingOutcome
from app.domain.sync.side_state import MAX_AHEAD
from app.domain.sync.transitions import Outcome, observation_of, seen

ALERT_READ, INCIDENT_READ = "alert.read", "incident.read"
"""The names of events that nobody sent: reconciliation read them."""

A_MOMENT = timedelta(microseconds=1)

CALL_TAKES = timedelta(seconds=30)
"""An answer comes at most so long after the read began."""

STATUS_OF_EVENT_TYPE = {
    AlertEventType.CREATED: Status.OPEN,
    AlertEventType.ACKNOWLEDGED: Status.ACKNOWLEDGED,
    AlertEventType.RESOLVED: Status.RESOLVED,
}
"""What an entry of the alert list says of where the alert stands."""


REASONS = {
    FindingOutcome.MOVED: "changed there, and no webhook arrived",
    FindingOutcome.WRITE_LOST: "it said yes to our change and does not show it",
    FindingOutcome.ADOPTED: "our incident, found by its key",
    FindingOutcome.MERGED: "merged into another incident",
    FindingOutcome.MISSED: "an alert of which no webhook arrived",
    FindingOutcome.UNKNOWN_INCIDENT: "carries a key of ours, but no alert of it is known here",
}
REMEDY_OF_UNKNOWN_INCIDENT = (
    "Its alert may be older than this store: `truthvouch reconcile --since 30d` takes it in. If the incident is "
    "another bridge's on the same service, nothing is to be done; if it is nobody's, resolve it in PagerDuty."
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between a side and what we knew of it."""

    side: Side
    alert_id: str | None
    incident_id: str | None
    knew: str
    """The status we last knew; empty when we knew none."""
    found: str
    """The status that the read showed."""
    outcome: FindingOutcome

    @property
    def reason(self) -> str:
        """The outcome in a few words for people."""
        return REASONS[self.outcome]

    @property
    def remedy(self) -> str:
        """What a person can do about it; empty where the bridge sees to it."""
        return REMEDY_OF_UNKNOWN_INCIDENT if self.outcome is FindingOutcome.UNKNOWN_INCIDENT else ""


@dataclass(frozen=True, slots=True)
class ObservedEvents:
    """Events worth putting into the inbox. Without a finding they only confirm a change of ours."""

    events: tuple[Event, ...]
    finding: Finding | None


def of_incident(link: Link, facts: IncidentFacts, read_at: datetime) -> ObservedEvents | None:
    """What a read of an incident tells about this link; None when it is no news."""
    if link.incident_id not in (None, facts.incident_id) or facts.incident_id == facts.merged_into:
        return None
    event = IncidentEvent(
        IncidentEventType.READ,
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
    knew = link.incident_side.status or ""
    about = partial(Finding, Side.PAGERDUTY, link.alert.alert_id, facts.incident_id, knew, facts.status)
    if facts.merged_into is not None:
        merged = replace(event, type=IncidentEventType.MERGED, status=None, merged_into=facts.merged_into)
        return ObservedEvents((merged,), about(FindingOutcome.MERGED))
    outcome = _outcome(link, Side.PAGERDUTY, event, read_at)
    first_seen = link.incident_side.status is None and facts.status is link.status
    if link.incident_id is None and (first_seen or outcome in (None, FindingOutcome.CONFIRMED)):
        outcome = FindingOutcome.ADOPTED
    return _observed(outcome, (event,), about)


def listed_alert(event: AlertEvent, read_at: datetime, at: datetime | None = None) -> AlertEvent:
    """An entry of the alert list as the read it is. ``at``: when TruthVouch answered, by its own clock."""
    return replace(event, type=AlertEventType.READ, at=at, status=STATUS_OF_EVENT_TYPE[event.type], read_at=read_at)


def of_alert(link: Link | None, observation: AlertEvent, horizon: datetime) -> ObservedEvents | None:
    """What a read of an alert tells; None when it is no news. ``horizon``: an alert that may open an incident and was
    raised before then is left alone."""
    knew, incident_id = ((link.alert_side.status or ""), link.incident_id) if link else ("", None)
    about = partial(Finding, Side.TRUTHVOUCH, observation.alert.alert_id, incident_id, knew, observation.status or "")
    if is_missed(link, observation, horizon):
        return ObservedEvents(_as_created(link, observation), about(FindingOutcome.MISSED))
    if link is None or observation.status is None or observation.read_at is None:
        return None
    return _observed(_outcome(link, Side.TRUTHVOUCH, observation, observation.read_at), (observation,), about)


def is_missed(link: Link | None, observation: AlertEvent, horizon: datetime) -> bool:
    """Whether the read shows an alert whose create never arrived, and which is not over. TruthVouch told when it was
    raised; ``horizon`` is a time of our clock."""
    if observation.status is Status.RESOLVED or (link is not None and (link.decision or _is_over(link, observation))):
        return False
    created_at = observation.alert.created_at or (link.alert.created_at if link else None)
    if created_at is None:
        return link is not None and link.first_seen_at >= horizon
    return created_at - ahead(observation) >= horizon - CALL_TAKES


def ahead(observation: AlertEvent) -> timedelta:
    """How far TruthVouch's clock was ahead of ours when it answered, to within ``CALL_TAKES``; zero where it did not
    tell, or told what cannot be true."""
    offset = observation.at - observation.read_at if observation.at and observation.read_at else timedelta(0)
    return offset if abs(offset) <= MAX_AHEAD else timedelta(0)


def _is_over(link: Link, observation: AlertEvent) -> bool:
    """Whether it is resolved, and the read does not show that somebody reopened it since."""
    if link.status is not Status.RESOLVED or observation.status is None or observation.read_at is None:
        return link.status is Status.RESOLVED
    return _outcome(link, Side.TRUTHVOUCH, observation, observation.read_at) is not FindingOutcome.MOVED


def _as_created(link: Link | None, observation: AlertEvent) -> tuple[Event, ...]:
    """The create we missed, before the read; by TruthVouch's own clock, as its other times are."""
    created = replace(
        observation, type=AlertEventType.CREATED, at=observation.alert.created_at, status=None, author=None,
        reason=None, text=None,
    )  # fmt: skip
    return (created,) if observation.status is Status.OPEN and link is None else (created, observation)


def _outcome(link: Link, side: Side, event: Event, read_at: datetime) -> FindingOutcome | None:
    """None: no news."""
    before = link.side(side)
    if before.pending is not None:
        return None
    step = seen(link, side, observation_of(event, read_at), read_at)
    after = step.link.side(side)
    if step.outcome is Outcome.WRITE_LOST:
        return FindingOutcome.WRITE_LOST
    if after.status is not before.status or step.link.status is not link.status:
        return FindingOutcome.MOVED
    is_ours = before.by_us and not before.confirmed
    confirmed = (after.confirmed and is_ours) or (before.must_read and not after.must_read)
    return FindingOutcome.CONFIRMED if confirmed else None


def _observed(
    outcome: FindingOutcome | None, events: tuple[Event, ...], about: Callable[[FindingOutcome], Finding]
) -> ObservedEvents | None:
    if outcome is None:
        return None
    return ObservedEvents(events, None if outcome is FindingOutcome.CONFIRMED else about(outcome))
