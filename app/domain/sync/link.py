"""A *link*: one alert, its incident, and everything the bridge knows about the two.

The loop breaker: two systems that undo each other's changes again and again are pulled apart.

Links on one incident, after a merge: what of that incident is news of each of their alerts, and who has to leave.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from app.domain.model.types import Alert, IncidentId, IncidentKey, LinkId, Side, Status, Via, replace
from app.domain.rules.rulebook import Decision
from app.domain.sync.side_state import AT_ONCE, Order, PendingWrite, SideState, compare

# ---------------------------------------------------------------------------------------------------------------- link

NOT_STORED = LinkId(0)
"""The number of a link that has none yet."""


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """The delivery of one link to one side. At most one is outstanding: that is what keeps order per alert."""

    outstanding: bool = False
    seq: int = 0
    """Number of the outstanding (or last) delivery: with link and side it names its workflow, for ever."""
    attempt: int = 0
    """Failed tries since the last one that got something done."""
    since: datetime | None = None
    """When what is outstanding was first pending."""
    failing: str = ""
    """Reason word of the last failed try; empty when the last one went well."""
    failing_since: datetime | None = None
    """When the tries that fail began; time spent held by refused credentials does not count."""
    refused: Status | None = None
    """The partner said a final no to this status: not asked again until something else is wanted."""
    dead: str = ""
    """Reason word of the dead letter that the rest of this side waits behind; empty when there is none."""
    waits_for: str = ""
    """What the delayed delivery will do when it is due; empty when none is delayed."""
    due_at: datetime | None = None
    """When that is. Before, it has surely not begun, and something more urgent may go instead."""


@dataclass(frozen=True, slots=True)
class Note:
    """A one-time effect: a note to be written to the incident. ``ref`` is its idempotency key, part of its text."""

    ref: str
    content: str
    done: bool = False
    given_up: bool = False
    """Done with, but not written: it became a dead letter."""
    held_until: datetime | None = None
    """It tells of a resolve that is held back until then, and waits with it."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Something that happened to an alert or its incident, at the time the side itself gives. For reports."""

    at: datetime
    """By the side's own clock; our receipt where it told none."""
    what: str
    """``triggered``, ``acknowledged``, ``unacknowledged``, ``resolved``, ``reopened``, ``merged``, ``escalated``."""
    side: Side
    author: str | None = None
    received_at: datetime | None = None
    """When we learned it, by our clock: what durations between the two sides are measured by."""


@dataclass(frozen=True, slots=True)
class Flip:
    """A change of what both sides should be, and the side that caused it."""

    at: datetime
    """By our clock."""
    side: Side
    own_at: datetime | None = None
    """By the side's own, where it told."""


@dataclass(frozen=True, slots=True)
class Link:
    """One alert and its incident. A value: every change makes a new one."""

    alert: Alert
    incident_key: IncidentKey
    first_seen_at: datetime
    link_id: LinkId = NOT_STORED
    agreed: Status = Status.OPEN
    """Where both sides stood when they last agreed: a side that stands elsewhere has changed since."""
    alert_side: SideState = field(default_factory=SideState)
    incident_side: SideState = field(default_factory=SideState)
    life: int = 0
    """How often it was reopened: a note, and the reference of one, belong to the life they were written in."""
    decision: Decision | None = None
    """None until an event that may open an incident came."""
    via: Via = Via.REST
    incident_id: IncidentId | None = None
    incident_number: int | None = None
    incident_url: str | None = None
    open_tried: bool = False
    """A create may have reached PagerDuty: look before creating again."""
    incident_hint: IncidentId | None = None
    """A webhook says that this is our incident. It is read before it is believed."""
    former_incidents: tuple[IncidentId, ...] = ()
    """Incidents it was on before, newest last: they are found by its key, and are not its own any more."""
    merged: bool = False
    """The incident is not the one we opened: ours was merged into it."""
    guests: bool = False
    """Other incidents of ours were merged into this one."""
    closed_by: str | None = None
    """Who resolved it, in words fit for the other side; None when nobody was named."""
    closing_text: str | None = None
    closed_from: Side | None = None
    """The side that resolved it."""
    closed_unseen: bool = False
    """A read found it resolved: who did it is unknown."""
    last_note: str | None = None
    """The newest note a person left on the incident in this life: becomes the alert's resolution."""
    note_to_read: str | None = None
    """The id of that note where its event brought only a part of it."""
    notes: tuple[Note, ...] = ()
    notes_dropped: int = 0
    """How many notes that waited to be written had to make room for newer ones."""
    history: tuple[HistoryEntry, ...] = ()
    """What happened, each once, kept as long as the link. Our own writes are not in it, except the trigger."""
    history_dropped: int = 0
    """How many moments had to make room for newer ones."""
    verdict: str | None = None
    """``false_alert`` or ``true_alert``, where a person said so: see ``domain/model/types.py``."""
    flaps: int = 0
    """How often a reopen came while the resolve before it was still held back (``hold_resolve_minutes``)."""
    hold_until: datetime | None = None
    """Until when TruthVouch's resolve is held back from PagerDuty; None when it is not: see
    ``domain/sync/effects.py``."""
    flips: tuple[Flip, ...] = ()
    """The newest changes, as many as a freeze needs."""
    frozen_at: datetime | None = None
    """Since when acknowledges and reopens are not carried any more (a ping-pong); resolves are."""
    trace: str = ""
    """The trace of the webhook that the newest delivery follows from, as ``remote.trace`` keeps it."""
    truthvouch: DeliveryState = field(default_factory=DeliveryState)
    pagerduty: DeliveryState = field(default_factory=DeliveryState)

    @property
    def status(self) -> Status:
        """What both sides should be: the side that has changed since both agreed is carried over; if both have, the
        furthest along is. The table is drawn in docs/architecture.md and changes with this."""
        alert, incident = self.alert_side.wants or self.agreed, self.incident_side.wants or self.agreed
        match self.alert_side.differs_from(self.agreed), self.incident_side.differs_from(self.agreed):
            case False, False:
                return self.agreed
            case True, False:
                return alert
            case False, True:
                return incident
            case _:
                return max(alert, incident, key=lambda status: status.rank)

    @property
    def is_over(self) -> bool:
        """Whether it is resolved on both sides, or on the only one there is."""
        sides = (self.alert_side.status, self.incident_side.status)
        return self.status is Status.RESOLVED and all(status in (None, Status.RESOLVED) for status in sides)

    @property
    def over_at(self) -> datetime | None:
        """Since when it is over, by our clock; None while it is not."""
        if not self.is_over:
            return None
        told = [entry.received_at or entry.at for entry in self.history if entry.what == Status.RESOLVED.value]
        return max(told, default=self.last_heard_at)

    @property
    def erased_at(self) -> datetime | None:
        """Since when the evidence of its alert is erased; None while it is kept."""
        return self.alert.erased_at

    @property
    def last_heard_at(self) -> datetime:
        """When something was last learned of either side, as far as the link itself knows, by our clock."""
        states = [side.received_at for side in (self.alert_side, self.incident_side)]
        known = [*states, *(entry.received_at for entry in self.history)]
        return max([self.first_seen_at, *filter(None, known)])

    @property
    def wants_incident(self) -> bool:
        """Whether the rules want an incident for this alert."""
        return self.decision is not None and self.decision.urgency is not None

    @property
    def paged(self) -> bool:
        """Whether this alert has to do with an incident: it deserves one, or somebody opened one all the same."""
        return self.wants_incident or (self.incident_id is not None and self.incident_side.status is not None)

    @property
    def by_event(self) -> bool:
        """Whether its incident is moved by event: only what an event opened can be, and by the key of one alert. Once
        it was reopened, or events had no effect, and its id is known, REST does it: PagerDuty's own alert behind an
        incident may stay resolved when that is reopened, and events about it do nothing then."""
        by_rest = self.incident_id is not None and (
            self.life > 0 or self.incident_side.unconfirmed_count >= REPEATS_BY_EVENT
        )
        return self.via is Via.EVENTS and self.wants_incident and not self.shares and not by_rest

    def side(self, side: Side) -> SideState:
        """What is known of that side."""
        return self.alert_side if side is Side.TRUTHVOUCH else self.incident_side

    def with_side(self, side: Side, state: SideState) -> "Link":
        """This link with that side's state changed."""
        return replace(self, alert_side=state) if side is Side.TRUTHVOUCH else replace(self, incident_side=state)

    @property
    def shares(self) -> bool:
        """Whether other links may be on the same incident."""
        return self.merged or self.guests

    def delivery(self, side: Side) -> DeliveryState:
        """The delivery towards that side."""
        return self.truthvouch if side is Side.TRUTHVOUCH else self.pagerduty

    def with_delivery(self, side: Side, delivery: DeliveryState) -> "Link":
        """This link with that side's delivery changed."""
        return replace(self, truthvouch=delivery) if side is Side.TRUTHVOUCH else replace(self, pagerduty=delivery)


REPEATS_BY_EVENT = 3
"""So often an event without effect is repeated before REST is asked."""

HISTORY_LIMIT = 500
"""Moments of one link: one that flaps must not let it grow for ever."""
MAX_NOTES = 60
"""Notes of one link, written or not."""
MAX_NOTE_CHARS = 200_000
"""What the notes that wait to be written may hold together."""


def remembering(link: Link, entry: HistoryEntry) -> Link:
    """The link with one more moment, before the later ones of its side; one it has already changes nothing.

    It is triggered once, however many tell it: a link has one incident at a time. A history that is full drops its
    oldest entry but that one.
    """
    once = entry.what == "triggered"
    key = (entry.what, entry.at, entry.side)
    if any(known.what == "triggered" if once else (known.what, known.at, known.side) == key for known in link.history):
        return link
    later = (n for n, known in enumerate(link.history) if known.side is entry.side and known.at > entry.at)
    place = next(later, len(link.history))
    history = (*link.history[:place], entry, *link.history[place:])
    if len(history) <= HISTORY_LIMIT:
        return replace(link, history=history)
    oldest = next(n for n, known in enumerate(history) if known.what != "triggered")
    return replace(link, history=history[:oldest] + history[oldest + 1 :], history_dropped=link.history_dropped + 1)


def with_better_author(link: Link, entry: HistoryEntry, found: str, after: datetime | None) -> Link:
    """The link with this moment in place of what a read ``found``, which is not from before ``after``."""
    for n, known in reversed(list(enumerate(link.history))):
        same = known.side is entry.side and known.what in (found, entry.what)
        if same and compare(known.at, after) is not Order.OLDER:
            better = replace(entry, received_at=known.received_at)
            return replace(link, history=(*link.history[:n], better, *link.history[n + 1 :]))
    return remembering(link, entry)


def with_notes(link: Link, notes: Sequence[Note]) -> Link:
    """The link with these notes, as far as it keeps them: of those that are written the reference alone, and the newest
    of the others."""
    kept = [replace(note, content="") if note.done and not note.given_up else note for note in notes][-MAX_NOTES:]
    while len(kept) > 1 and sum(len(note.content) for note in kept) > MAX_NOTE_CHARS:
        kept.pop(next(n for n, note in enumerate(kept) if note.content))
    waiting = sum(not note.done for note in notes) - sum(not note.done for note in kept)
    return replace(link, notes=tuple(kept), notes_dropped=link.notes_dropped + waiting)


OUR_NOTE = "[TruthVouch] "
"""Notes that begin so and end with a reference are ours; they never travel back."""


def with_note(
    link: Link,
    event_type: str,
    author: str | None,
    reason: str | None,
    text: str | None,
    held_until: datetime | None = None,
) -> Link:
    """This link with one more note pending, unless it has or had that very one in this life. ``held_until``: see
    ``Note``."""
    parts = ". ".join(part for part in (reason, text) if part)
    content = f"{OUR_NOTE}{event_type} by {author or 'somebody'}" + (f": {parts}" if parts else "")
    stamp = f"{link.incident_key}|{link.life}|{content}"
    ref = hashlib.sha256(stamp.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    if any(note.ref == ref for note in link.notes):
        return link
    note = Note(ref, f"{content[:60_000]} (ref {ref})", held_until=held_until)
    return with_notes(link, (*link.notes, note))


def joint_status(links: Sequence[Link]) -> Status:
    """What an incident shared by several links (after a merge) should be.

    Acknowledged with the first new acknowledge, resolved with the last of them. What an alert was before it came to
    this incident changes nothing there; nor does it go back while somebody has one of its alerts in hand.
    """
    statuses = {link.status for link in links}
    if statuses == {Status.RESOLVED}:
        return Status.RESOLVED
    standing = next((link.incident_side.status for link in links if link.incident_side.status), Status.OPEN)
    asked = {link.status for link in links if link.status not in (link.agreed, Status.RESOLVED)}
    asked |= {link.status for link in links if link.status is not Status.RESOLVED and standing is Status.RESOLVED}
    if not asked:
        return standing
    if Status.ACKNOWLEDGED in asked:
        return Status.ACKNOWLEDGED
    return Status.ACKNOWLEDGED if Status.ACKNOWLEDGED in statuses and standing is not Status.RESOLVED else Status.OPEN


# -------------------------------------------------------------------------------------------------------------- freeze

# Ten flips within a minute, the two sides taking turns, freeze the link: acknowledges and reopens are not carried any
# more until a person says ``truthvouch links thaw``. A resolve always is.

FLIPS = 10
WINDOW = timedelta(seconds=60)


def flipped(link: Link, side: Side, now: datetime, own_at: datetime | None) -> Link:
    """The link after that side changed what both should be; frozen if this was one flip too many.

    ``now``: when it was received; ``own_at``: when it happened, by that side's own clock. A backlog of old events that
    arrives in one moment is no ping-pong, and neither are old ones that are told late.
    """
    flips = (*link.flips, Flip(now, side, own_at))[-FLIPS:]
    return replace(link, flips=flips, frozen_at=link.frozen_at or (now if _is_ping_pong(flips) else None))


def thawed(link: Link) -> Link:
    """The link with its freeze ended and its count begun anew. Both sides are read; then the one that spoke last, by
    our receipt, is carried over."""
    alert, incident = link.alert_side, link.incident_side
    if alert.status and incident.status and alert.received_at and incident.received_at:
        earlier = incident if alert.received_at > incident.received_at else alert
        link = replace(link, agreed=earlier.wants or link.agreed)
    return replace(
        link,
        flips=(),
        frozen_at=None,
        alert_side=replace(alert, must_read=alert.status is not None),
        incident_side=replace(incident, must_read=incident.status is not None),
    )


def _is_ping_pong(flips: tuple[Flip, ...]) -> bool:
    alternating = all(before.side is not after.side for before, after in pairwise(flips))
    if len(flips) < FLIPS or not alternating or not _within([flip.at for flip in flips]):
        return False
    return all(_within([flip.own_at for flip in flips if flip.side is side and flip.own_at]) for side in Side)


def _within(times: list[datetime]) -> bool:
    return not times or max(times) - min(times) <= WINDOW


# ----------------------------------------------------------------------------------------------------- shared incident

MAX_FORMER_INCIDENTS = 8


def written_for_another(link: Link, shared: Sequence[Link], at: datetime | None) -> PendingWrite | None:
    """What may be under way to its incident for another link on it: what that brings about is no person's doing. What
    happened there (``at``) before PagerDuty took it is."""
    writes = (other.incident_side.pending for other in shared if other.link_id != link.link_id)
    write = next(filter(None, writes), None)
    if write is None or (at and write.answered_at and write.answered_at - at > AT_ONCE):
        return None
    return PendingWrite(write.status, write.decided_at, answers=False, earlier=write.earlier, wanted=False)


def is_about_others(link: Link, state: SideState) -> bool:
    """Whether what becomes of an incident that stays open is no news of this alert, which is over: it came there with a
    merge, and only who opens the incident again opens it."""
    before = link.incident_side
    came_over = before.inherited and link.agreed is Status.RESOLVED
    return came_over and Status.RESOLVED not in (before.status, state.status)


def recorded_for(link: Link, other: Link) -> Link:
    """Another link on the same incident after the write for ``link`` was recorded: the incident stands there for it,
    too, but for a reason that is not its own."""
    state = replace(link.incident_side, pending=None, conflict=None)
    known = other.incident_side
    if state == replace(known, pending=None, conflict=None) or state.status is None:
        return other
    all_over = state.status is Status.RESOLVED and other.status is Status.RESOLVED
    there = other.alert_side.wants is state.status
    for_another = (state.by_us and not state.restored) or is_about_others(other, state)
    after = replace(other, incident_side=replace(state, inherited=for_another and not (there or all_over)))
    return replace(after, agreed=state.status) if there else after


def reached_by_people(survivor: SideState | None, merged_at: datetime | None) -> Status | None:
    """What people had made of the incident that another was merged into: where it stands, or where it stood before what
    we did there for another alert, after the merge."""
    if survivor is None:
        return None
    if not survivor.by_us or survivor.restored or survivor.conflict is not None:
        return survivor.wants
    since = compare(survivor.at, merged_at) in (Order.SAME, Order.NEWER)
    return survivor.previous if since and survivor.previous not in survivor.written else None


def needs_own_incident(link: Link, shared: Sequence[Link]) -> bool:
    """Whether an alert that is not over was merged into an incident that is, and that it cannot open again: one that a
    person made by hand, or one that we resolved because TruthVouch closed another alert."""
    state = link.incident_side
    if not link.merged or state.status is not Status.RESOLVED or link.status is Status.RESOLVED:
        return False
    return not state.must_read and (state.inherited or all(other.merged for other in shared))


def with_own_incident(link: Link) -> Link:
    """The link without the incident it was merged into: it gets one of its own."""
    former = (*link.former_incidents, *((link.incident_id,) if link.incident_id else ()))
    alert = link.alert_side
    if alert.inherited:  # it was to follow its first incident, and still is
        alert = replace(alert, inherited=False, conflict=link.status)
    return replace(
        link,
        alert_side=alert,
        incident_id=None,
        incident_number=None,
        incident_url=None,
        former_incidents=former[-MAX_FORMER_INCIDENTS:],
        incident_side=SideState(),
        agreed=Status.OPEN,
        merged=False,
        guests=False,
        open_tried=False,
        notes=tuple(note for note in link.notes if note.done),
        pagerduty=replace(link.pagerduty, refused=None, dead=""),
    )
