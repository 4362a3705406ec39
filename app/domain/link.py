"""A *link*: one alert, its incident, and everything the bridge knows about the two."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from app.domain.alert import Alert
from app.domain.names import IncidentId, IncidentKey, LinkId, Side, Status, Via
from app.domain.rulebook import Decision

NOT_STORED = LinkId(0)
"""The number of a link that has none yet."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The newest word of each kind, from either side, by the events' own time.

    Four maxima: the order in which words arrive cannot matter, and hearing one twice changes nothing.
    """

    acknowledged_at: datetime | None = None
    unacknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    reopened_at: datetime | None = None
    flapped_at: datetime | None = None
    """The newest reopen that undid nothing PagerDuty had seen: what people said there before the flap stands."""
    begun_at: datetime | None = None
    """The reopen that counted until that flap, None = there was none: acknowledges from before it are undone."""

    @property
    def status(self) -> Status:
        """What both sides should be. In the same moment the furthest along wins; going back needs a newer word."""
        if self.resolved_at and not _later(self.reopened_at, self.resolved_at):
            return Status.RESOLVED
        acknowledged = self.acknowledged_at and not _later(self._undone_until, self.acknowledged_at)
        if acknowledged and not _later(self.unacknowledged_at, self.acknowledged_at):
            return Status.ACKNOWLEDGED
        return Status.OPEN

    def hearing(self, register: str, at: datetime) -> "Clock":
        """This clock after a word of that kind; an older word moves nothing."""
        known: datetime | None = getattr(self, register)
        return self if known is not None and at <= known else replace(self, **{register: at})

    def flapping(self, before: "Clock") -> "Clock":
        """This clock, whose newest reopen is a flap: it takes back nothing but the resolve. ``before``: without it."""
        return replace(self, flapped_at=self.reopened_at, begun_at=before._undone_until)

    @property
    def _undone_until(self) -> datetime | None:
        """Up to when acknowledges are undone by a reopen."""
        flapped = self.flapped_at is not None and self.flapped_at == self.reopened_at
        return self.begun_at if flapped else self.reopened_at


def _later(a: datetime | None, b: datetime | None) -> bool:
    return a is not None and (b is None or a > b)


@dataclass(frozen=True, slots=True)
class Known:
    """What we last knew of one side. ``status`` None: there is nothing there yet."""

    status: Status | None = None
    at: datetime | None = None
    ours: bool = False
    """Our own write put it there: a word that says the same at that time is its echo."""
    kept: bool = False
    """The side itself has shown it since: whatever it says next is somebody's doing, not a write that got lost."""
    was: Status | None = None
    """What the side last showed before our own write: only a side that shows just this may have lost the write."""

    def told(self, status: Status, at: datetime) -> "Known":
        """After the side itself spoke. An older word changes nothing; in the same moment the furthest along wins."""
        if self.at is not None and (at, status.rung) < (self.at, self.status.rung if self.status else 0):
            return self
        return Known(status, at)

    def written(self, status: Status, at: datetime, *, kept: bool = False) -> "Known":
        """After the side said yes to our own write. ``kept``: its answer showed the new status."""
        return Known(status, at, ours=True, kept=kept, was=self.was if self.ours and not self.kept else self.status)


@dataclass(frozen=True, slots=True)
class Write:
    """One change we made to one side, remembered until its echo cannot come any more."""

    side: Side
    status: Status
    at: datetime
    was: Status | None = None
    """What stood there before."""
    exact: bool = False
    """The side itself told the time."""
    echo_at: datetime | None = None
    """The time of the word that was taken for its echo."""
    unclear: bool = False
    """Its answer was lost."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """A word heard while a write of ours was on its way to the same side: that write may turn out to have caused it."""

    side: Side
    what: str
    """The verb, as the link's history has it."""
    register: str
    says: Status
    at: datetime
    """When it was said, by the side's clock."""
    heard_at: datetime
    """When it came, by ours."""
    was: Known
    """What was known of the side before it."""
    before: datetime | None = None
    """What the register held before it."""


@dataclass(frozen=True, slots=True)
class Lane:
    """The delivery of one link to one side. At most one is outstanding: that is what keeps order per alert."""

    outstanding: bool = False
    seq: int = 0
    """Number of the outstanding (or last) delivery: with link and side it names its workflow, for ever."""
    attempt: int = 0
    """Failed tries since the lane last got something done."""
    since: datetime | None = None
    """When what is outstanding was first owed."""
    failing: str = ""
    """Reason word of the last failed try; empty when the last one went well."""
    failing_since: datetime | None = None
    """When the tries that fail began; time spent held by refused credentials does not count."""
    refused: Status | None = None
    """The partner said a final no to this status: not asked again until something else is wanted."""
    dead: str = ""
    """Reason word of the dead letter that the rest of this lane waits behind; empty when there is none."""
    unkept: int = 0
    """How often the partner said yes and a later look showed that it had not kept it."""
    waits_for: str = ""
    """What the delayed delivery will do when it is due; empty when none is delayed."""
    due_at: datetime | None = None
    """When that is. Before, it has surely not begun, and something more urgent may go instead."""


@dataclass(frozen=True, slots=True)
class Note:
    """A one-time effect: a note owed to the incident. ``ref`` is its idempotency key, part of its text."""

    ref: str
    content: str
    done: bool = False
    given_up: bool = False
    """Done with, but not written: it became a dead letter."""
    held_until: datetime | None = None
    """It tells of a resolve that is held back until then, and waits with it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to an alert or its incident, at the time the side itself gives. For reports."""

    at: datetime
    what: str
    """``triggered``, ``acknowledged``, ``unacknowledged``, ``resolved``, ``reopened``, ``merged``, ``escalated``."""
    side: Side
    author: str | None = None


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of what both sides should be, and the side that caused it."""

    at: datetime
    side: Side


@dataclass(frozen=True, slots=True)
class Link:
    """One alert and its incident. A value: every change makes a new one."""

    alert: Alert
    incident_key: IncidentKey
    first_seen_at: datetime
    link_id: LinkId = NOT_STORED
    clock: Clock = Clock()
    alert_side: Known = Known()
    incident_side: Known = Known()
    decision: Decision | None = None
    """None until a word that may open an incident came."""
    via: Via = Via.REST
    incident_id: IncidentId | None = None
    incident_number: int | None = None
    incident_url: str | None = None
    open_tried: bool = False
    """A create may have reached PagerDuty: look before creating again."""
    merged: bool = False
    """The incident is not the one we opened: ours was merged into it."""
    guests: bool = False
    """Other incidents of ours were merged into this one."""
    closed_by: str | None = None
    """Who resolved it, in words fit for the other side; None when nobody was named."""
    closing_text: str | None = None
    last_note: str | None = None
    """The newest note a person left on the incident: becomes the alert's resolution."""
    notes: tuple[Note, ...] = ()
    writes: tuple[Write, ...] = ()
    """Our newest changes, whose echoes may still come."""
    doubts: tuple[Doubt, ...] = ()
    """Words heard during calls that have not been answered yet: see ``domain/doubts.py``."""
    history: tuple[Moment, ...] = ()
    """What happened, oldest first, each once; kept as long as the link, which is for ever. Our own writes are not in
    it, except the trigger."""
    verdict: str | None = None
    """``false_alert`` or ``true_alert``, where a person said so: see ``domain/verdict.py``."""
    flaps: int = 0
    """How often a reopen came while the resolve before it was still held back (``hold_resolve_minutes``)."""
    hold_until: datetime | None = None
    """Until when TruthVouch's resolve is held back from PagerDuty; None when it is not: see ``domain/damping.py``."""
    resolve_unseen: bool = False
    """The Events API took a resolve and nobody has seen its effect yet: in a maintenance window it has none."""
    flips: tuple[Flip, ...] = ()
    """The newest changes, as many as a freeze needs."""
    frozen_at: datetime | None = None
    """Since when acknowledges and reopens are not carried any more (a ping-pong); resolves are."""
    truthvouch: Lane = field(default_factory=Lane)
    pagerduty: Lane = field(default_factory=Lane)

    @property
    def status(self) -> Status:
        """What both sides should be."""
        return self.clock.status

    @property
    def deserves(self) -> bool:
        """Whether the rules want an incident for this alert."""
        return self.decision is not None and self.decision.urgency is not None

    @property
    def paged(self) -> bool:
        """Whether this alert has to do with an incident: it deserves one, or somebody opened one all the same."""
        return self.deserves or (self.incident_id is not None and self.incident_side.status is not None)

    @property
    def by_event(self) -> bool:
        """Whether its incident is moved by event: only what an event opened can be, and by the key of one alert."""
        return self.via is Via.EVENTS and self.deserves and not self.shares

    @property
    def shares(self) -> bool:
        """Whether other links may be on the same incident."""
        return self.merged or self.guests

    def lane(self, side: Side) -> Lane:
        """The delivery towards that side."""
        return self.truthvouch if side is Side.TRUTHVOUCH else self.pagerduty

    def with_lane(self, side: Side, lane: Lane) -> "Link":
        """This link with that side's delivery changed."""
        return replace(self, truthvouch=lane) if side is Side.TRUTHVOUCH else replace(self, pagerduty=lane)


HISTORY_LIMIT = 500
"""Moments of one link: a ping-pong must not let it grow for ever."""


def remembering(link: Link, what: str, side: Side, at: datetime, author: str | None = None) -> Link:
    """The link with one more moment, in its place among the others; one it has already changes nothing.

    It is triggered once, however many tell it: a link has one incident.
    """
    once = what == "triggered"
    known = any(moment.what == what and (once or (moment.at, moment.side) == (at, side)) for moment in link.history)
    if known or len(link.history) >= HISTORY_LIMIT:
        return link
    history = sorted((*link.history, Moment(at, what, side, author)), key=lambda moment: (moment.at, moment.what))
    return replace(link, history=tuple(history))


def joint_status(links: Sequence[Link]) -> Status:
    """What an incident shared by several links (after a merge) should be.

    Acknowledged with the first, resolved with the last of them.
    """
    statuses = {link.status for link in links}
    if statuses == {Status.RESOLVED}:
        return Status.RESOLVED
    return Status.ACKNOWLEDGED if Status.ACKNOWLEDGED in statuses else Status.OPEN
