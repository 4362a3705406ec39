"""One alert and its incident, for the tests of the state machine: what each side says, and what our calls bring.

The three clocks are far apart, so that whatever compares two of them comes out wrong. Seconds are those of the
scenario.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from app.domain.model.events import AlertEvent, AlertEventType, IncidentEvent, IncidentEventType
from app.domain.model.incident import AlertFacts, IncidentFacts
from app.domain.model.outcome import Done, Reply, Retry
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.delivery import Result, intending, record, without_outstanding
from app.domain.sync.effects import Circumstances, Effect, ReadAlert, ReadIncident, SetAlert, SetIncident, next_effect
from app.domain.sync.link import DeliveryState, Link
from app.domain.sync.side_state import SideState
from app.domain.sync.transitions import Step, advance
from tests.fakes import START

OPEN, ACKNOWLEDGED, RESOLVED = Status
T, P = Side
ALERT = Alert(AlertId("a1"), severity="critical")
PAGE = Decision(Urgency.HIGH, "severity_map", "test", "severity_map")
INCIDENT = IncidentId("Q1")
LOST = Retry("connection_broken", unclear=True)

AHEAD = {T: timedelta(minutes=-7), P: timedelta(minutes=5)}
"""How far each partner's clock is ahead of ours."""


def at(seconds: float) -> datetime:
    """By our clock."""
    return START + timedelta(seconds=seconds)


def there(side: Side, seconds: float, whole: bool = False) -> datetime:
    """By that side's clock; ``whole``: as it tells that where it tells no more than seconds."""
    moment = at(seconds) + AHEAD[side]
    return moment.replace(microsecond=0) if whole else moment


def other(side: Side) -> Side:
    return P if side is T else T


def known(side: Side, status: Status, seconds: float = 0.5) -> SideState:
    """That side as an event told it."""
    return SideState(status, there(side, seconds), at(seconds))


def link_at(status: Status = OPEN) -> Link:
    """A link on which everybody has been of one mind since the start."""
    return Link(
        ALERT, incident_key(ALERT.alert_id), START, decision=PAGE, incident_id=INCIDENT, open_tried=True,
        agreed=status, alert_side=known(T, status), incident_side=known(P, status),
    )  # fmt: skip


def alert_event(event_type: AlertEventType, seconds: float | None) -> AlertEvent:
    return AlertEvent(event_type, ALERT, f"alert.{event_type}", None if seconds is None else there(T, seconds))


def incident_event(event_type: IncidentEventType, seconds: float | None, author: str | None = None) -> IncidentEvent:
    moment = None if seconds is None else there(P, seconds)
    return IncidentEvent(event_type, INCIDENT, f"incident.{event_type}", moment, author=author)


def alert_says(link: Link, event_type: AlertEventType, seconds: float | None, received: float | None = None) -> Step:
    """TruthVouch tells what happened there; ``heard``: when we learn it."""
    return advance(link, alert_event(event_type, seconds), _received_at(seconds, received), PAGE)


def incident_says(
    link: Link, event_type: IncidentEventType, seconds: float | None, received: float | None = None
) -> Step:
    """PagerDuty tells what happened there."""
    return advance(link, incident_event(event_type, seconds), _received_at(seconds, received), PAGE)


def _received_at(seconds: float | None, received: float | None) -> datetime:
    assert seconds is not None or received is not None
    return at(received if received is not None else (seconds or 0.0) + 0.1)


def alert_shows(link: Link, status: Status, seconds: float) -> Step:
    """Reconciliation reads the alert. TruthVouch tells no more than when it answered."""
    event = AlertEvent(
        AlertEventType.READ, ALERT, "alert.read", there(T, seconds, whole=True), status=status, read_at=at(seconds)
    )
    return advance(link, event, at(seconds + 0.2))


def incident_shows(link: Link, status: Status, seconds: float, changed: float) -> Step:
    """Reconciliation reads the incident, which last changed at ``changed``."""
    event = IncidentEvent(
        IncidentEventType.READ,
        INCIDENT,
        "incident.read",
        there(P, changed, whole=True),
        status=status,
        read_at=at(seconds),
    )
    return advance(link, event, at(seconds + 0.2))


def shows(link: Link, side: Side, status: Status, seconds: float, changed: float | None = None) -> Step:
    if side is T:
        return alert_shows(link, status, seconds)
    return incident_shows(link, status, seconds, seconds if changed is None else changed)


def wanted(link: Link, side: Side, seconds: float, has_api_key: bool = True) -> Effect | None:
    """What that side's delivery does next, at that second."""
    return next_effect(link, side, Circumstances(at(seconds), (link,), has_api_key))


def setting(side: Side, status: Status) -> Effect:
    return SetAlert(status, None) if side is T else SetIncident(status)


def calling(link: Link, side: Side, status: Status, seconds: float) -> Link:
    """The delivery to that side is amid its call: it was decided, and written down, at that second."""
    link = link.with_delivery(side, DeliveryState(outstanding=True, seq=1, since=at(seconds)))
    return intending(link, side, setting(side, status), at(seconds))


def answered(link: Link, side: Side, status: Status, seconds: float) -> Result:
    """The side did what we asked, and says so at once: in whole seconds."""
    date = there(side, seconds, whole=True)
    reply: Reply[IncidentFacts | None] = Done(None, date)
    if side is P:
        reply = Done(IncidentFacts(INCIDENT, status, 1, status_changed_at=date), date)
    return record(link, side, setting(side, status), reply, at(seconds), 0.5, at(seconds - 0.1))


def wrote(link: Link, side: Side, status: Status, seconds: float) -> Link:
    """We asked for it half a second before, and it was done: the delivery is over."""
    return without_outstanding(answered(calling(link, side, status, seconds - 0.5), side, status, seconds).link, side)


def unanswered(link: Link, side: Side, status: Status, seconds: float) -> Link:
    """The call was made, or was not, and nobody tells which."""
    return record(link, side, setting(side, status), LOST, at(seconds), 0.5, at(seconds - 0.1)).link


def read(link: Link, side: Side, status: Status, seconds: float, changed: float = 0.5) -> Result:
    """The delivery itself reads its side."""
    date = there(side, seconds, whole=True)
    effect: Effect = ReadAlert() if side is T else ReadIncident()
    facts: AlertFacts | IncidentFacts = AlertFacts(ALERT.alert_id, status)
    if side is P:
        facts = IncidentFacts(INCIDENT, status, 1, status_changed_at=there(P, changed, whole=True))
    return record(link, side, effect, Done(facts, date), at(seconds + 0.1), 0.5, at(seconds))


def without_times(link: Link) -> Link:
    """The same link, of a TruthVouch that tells no times."""
    return replace(link, alert_side=replace(link.alert_side, at=None))
