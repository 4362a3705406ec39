"""Use case: what operators see of dead letters, links and what happened to them.

What is shown is listed here field by field, so that nothing an alert says about prompts and answers gets out by being
added to it. Instants are ``datetime``; the edges write them down.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypedDict, cast

from app.domain.escalation.state import Escalation, State
from app.domain.model.types import AlertId, IncidentId, LinkId, Side, Status, Urgency, Via, number_meant
from app.domain.sync.effects import Circumstances, Effect, desired_effect, next_effect
from app.domain.sync.link import Link
from app.domain.sync.side_state import SideState
from app.ports import DeadLetterRow, LinkSummary, Page, Records, TimelineRow, Transactions, Tx, utc_now
from app.ports.console import FoundLink, LinkFilter, LinkSearch
from app.services.rules.rulebook import described


class DeadLetterInFull(DeadLetterRow):
    """One dead letter, and what it holds back."""

    waits: str | None
    """The next thing that waits behind this dead letter: `SetIncident acknowledged`."""


class SideRow(TypedDict):
    """What is known of one side of a link."""

    status: Status | None
    at: datetime | None
    by_us: bool
    """Our own write put it there."""


class IncidentRow(SideRow):
    """The same of PagerDuty's."""

    id: str | None
    number: int | None
    url: str | None
    via: Via
    shared: bool
    """Other links may be on the same incident (a merge)."""


class DeliveryRow(TypedDict):
    """What is pending towards one side."""

    outstanding: bool
    """A delivery is pending or under way."""
    since: datetime | None
    attempt: int
    """Failed tries since the last success."""
    failing: str
    """Reason code of the last failed try; empty after a success."""
    refused: Status | None
    """The status that the partner refused for good."""
    dead: str
    """Reason code of the dead letter that this side waits behind; empty when there is none."""
    next: str | None
    """What is done next: `SetAlert resolved`."""
    waits: str | None
    """What would be done next without the dead letter."""


class DeliveryRows(TypedDict):
    """The same of both sides."""

    truthvouch: DeliveryRow
    pagerduty: DeliveryRow


class LinkRow(TypedDict):
    """One link in full."""

    alert_id: str
    first_seen_at: datetime
    status: Status
    """What both sides should be."""
    frozen_at: datetime | None
    paged: bool
    urgency: Urgency | None
    decided: str
    """What the rules decided and which of them, as a sentence; empty where nothing is decided yet."""
    alert: SideRow
    incident: IncidentRow
    deliveries: DeliveryRows
    notes_pending: list[str]
    """The ref of each."""


class EscalationRow(TypedDict):
    """One escalation, as the API and the commands write it."""

    incident_id: str
    alert_id: str | None
    state: State
    level: int | None
    """The level that has its turn next, from 1; null after the last."""
    levels: int
    due_at: datetime | None
    """When somebody has to look next; null when nobody has to."""
    because: str | None
    """Why it does not run, or why its last move failed."""
    policy_id: str | None
    by: str
    """Who asked for it; `rulebook` for those of the rules."""
    drill: bool
    moves: int
    """How often it was escalated, over every life: what `now` takes, to say which level you saw coming."""


def escalation_row(one: Escalation) -> EscalationRow:
    """An escalation in short."""
    return {
        "incident_id": one.incident_id,
        "alert_id": one.alert_id,
        "state": one.state,
        "level": one.next_level,
        "levels": len(one.plan.levels),
        "due_at": one.due_at,
        "because": one.reason or one.failing or None,
        "policy_id": one.plan.policy_id,
        "by": one.by or "rulebook",
        "drill": one.drill,
        "moves": one.moves,
    }


class FoundLinkRow(TypedDict):
    """One link in a line, as a search finds it."""

    id: int
    """Ascending with age; `after` goes by it."""
    alert_id: str
    title: str
    """What the alert is called, never its claim; empty where nobody knows or it was erased."""
    severity: str
    kind: str
    model: str
    category: str
    alert_status: str
    incident_status: str
    """Empty where there is no incident."""
    incident_id: str
    incident_number: int | None
    urgency: str
    paged: bool
    rule: str
    """The rule, silence or map entry that decided."""
    rulebook_version: str
    verdict: str
    frozen: bool
    first_seen_at: datetime


class EvidenceRow(TypedDict):
    """What of an alert can be erased: how much there is, and never what it says."""

    alert_id: str
    status: str
    first_seen_at: datetime
    erased_at: datetime | None
    texts: dict[str, int]
    """Characters by field."""
    people: int
    webhooks: int
    """Raw bodies about it or its incident, as far as they were taken in by a version that knows."""


@dataclass(frozen=True)
class Overview:
    """Looks into the store; changes nothing. Everything raises ``StoreUnavailable`` when it cannot be read."""

    transactions: Transactions
    records: Records
    has_api_key: Callable[[], bool]
    """Whether a PagerDuty API key is at hand."""
    link_search: LinkSearch

    def search(self, wanted: LinkFilter) -> Sequence[FoundLink]:
        """The links that these words and filters mean, in short, newest first."""
        with self.transactions.read() as tx:
            return self.link_search.find(tx, wanted)

    def found(self, wanted: LinkFilter) -> Sequence[FoundLinkRow]:
        """The same as values."""
        rows = map(asdict, self.search(wanted))
        return [cast(FoundLinkRow, {"id": row.pop("number"), **row}) for row in rows]

    def dead_letters(self, page: Page, closed: bool = False) -> Sequence[DeadLetterRow]:
        """The dead letters that wait for a decision, or those that had one."""
        with self.transactions.read() as tx:
            return self.records.dead_letters(tx, page, closed)

    def dead_letter(self, dead_letter_id: int) -> DeadLetterInFull | None:
        """One dead letter: what was given up, what the partner answered, and what waits behind it."""
        with self.transactions.read() as tx:
            row = self.records.dead_letter(tx, dead_letter_id)
            if row is None:
                return None
            link = self.records.link_of(tx, LinkId(row["link_id"])) if row["link_id"] is not None else None
            waits = self._waits(tx, link, Side(row["side"])) if link is not None and row["side"] else None
        shown = {name: value for name, value in row.items() if name != "link_id"}
        # A closed one holds nothing back; what its side waits for has a dead letter of its own.
        return cast(DeadLetterInFull, shown | {"waits": waits if row["closed_at"] is None else None})

    def links(
        self, page: Page, is_open: bool | None = None, frozen: bool | None = None, since: datetime | None = None
    ) -> Sequence[LinkSummary]:
        """Links in short, newest first; ``since``: those first seen from then on."""
        with self.transactions.read() as tx:
            return self.records.links(tx, page, is_open, frozen, since)

    def link(self, alert_id: str) -> LinkRow | None:
        """One link: what is known of both sides, what they should be, and what is pending towards them."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(alert_id))
            return None if link is None else self._shown(tx, link)

    def evidence(self, alert_id: str) -> EvidenceRow | None:
        """What of an alert would be erased; None where the bridge knows no such alert."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(alert_id))
            if link is None:
                return None
            sizes = {name: len(text) for name, text in link.alert.evidence.items()}
            return {
                "alert_id": link.alert.alert_id,
                "status": link.status.value,
                "first_seen_at": link.first_seen_at,
                "erased_at": link.erased_at,
                "texts": {name: size for name, size in sizes.items() if not name.startswith("people.")},
                "people": len(link.alert.people),
                "webhooks": self.records.kept_bodies(tx, link),
            }

    def link_of(self, wanted: str) -> LinkRow | None:
        """The link of an alert id, an incident id or an incident's number (``2``, ``#2``), as ``link`` shows it. Of
        several alerts on one incident, the first that pages."""
        with self.transactions.read() as tx:
            found = sorted(self.records.about(tx, wanted), key=lambda link: not link.paged)
            return self._shown(tx, found[0]) if found else None

    def timeline(self, wanted: str, page: Page) -> Sequence[TimelineRow]:
        """What happened to an alert or an incident (by id or number); nothing when the bridge knows neither. Lines come
        as they were written, each with the number of its incident where the bridge knows it."""
        with self.transactions.read() as tx:
            rows = self.records.timeline(tx, wanted, page)
            numbers = {one: self._number(tx, one) for one in {row["incident_id"] for row in rows}}
        return tuple({**row, "incident_number": numbers[row["incident_id"]]} for row in rows)

    def incident_of_that_number(self, wanted: str) -> IncidentId | None:
        """The incident whose number ``2`` or ``#2`` is, where that is also the id of an alert: the id comes first, so
        ``timeline`` does not mean it."""
        number = number_meant(wanted)
        if number is None:
            return None
        with self.transactions.read() as tx:
            named = self.records.about(tx, wanted)
            others = [link.incident_id for link in self.records.numbered(tx, number) if link not in named]
        return others[0] if named and others else None

    def escalations(self, limit: int, every: bool = False) -> Sequence[Escalation]:
        """Escalations under way, or all that are kept."""
        with self.transactions.read() as tx:
            return self.records.escalations(tx, limit, every)

    def escalation_rows(self, limit: int, every: bool = False) -> Sequence[EscalationRow]:
        """The same in short."""
        return tuple(map(escalation_row, self.escalations(limit, every)))

    def escalation(self, incident_id: str) -> Escalation | None:
        """How the escalation of this incident stands; None where there is none."""
        with self.transactions.read() as tx:
            return self.records.escalation(tx, IncidentId(incident_id))

    def _number(self, tx: Tx, incident_id: str | None) -> int | None:
        on_it = self.records.on_incident(tx, IncidentId(incident_id)) if incident_id else ()
        return next((link.incident_number for link in on_it if link.incident_number is not None), None)

    def _shown(self, tx: Tx, link: Link) -> LinkRow:
        return {
            "alert_id": link.alert.alert_id,
            "first_seen_at": link.first_seen_at,
            "status": link.status,
            "frozen_at": link.frozen_at,
            "paged": link.paged,
            "urgency": link.decision.urgency if link.decision else None,
            "decided": described(link.decision) if link.decision else "",
            "alert": _side(link.alert_side),
            "incident": {
                **_side(link.incident_side),
                "id": link.incident_id,
                "number": link.incident_number,
                "url": link.incident_url,
                "via": link.via,
                "shared": link.shares,
            },
            "deliveries": {
                "truthvouch": self._delivery(tx, link, Side.TRUTHVOUCH),
                "pagerduty": self._delivery(tx, link, Side.PAGERDUTY),
            },
            "notes_pending": [note.ref for note in link.notes if not note.done],
        }

    def _delivery(self, tx: Tx, link: Link, side: Side) -> DeliveryRow:
        delivery = link.delivery(side)
        return {
            "outstanding": delivery.outstanding,
            "since": delivery.since if delivery.outstanding else None,
            "attempt": delivery.attempt,
            "failing": delivery.failing,
            "refused": delivery.refused,
            "dead": delivery.dead,
            "next": _named(next_effect(link, side, self._circumstances(tx, link, side))),
            "waits": self._waits(tx, link, side),
        }

    def _waits(self, tx: Tx, link: Link, side: Side) -> str | None:
        """What would be done next, were it not for the dead letter of this side."""
        at = self._circumstances(tx, link, side)
        return _named(desired_effect(link, side, at)) if next_effect(link, side, at) is None else None

    def _circumstances(self, tx: Tx, link: Link, side: Side) -> Circumstances:
        shared: Sequence[Link] = (link,)
        if side is Side.PAGERDUTY and link.incident_id is not None and link.shares:
            shared = self.records.on_incident(tx, link.incident_id)
        return Circumstances(utc_now(), shared, self.has_api_key())


def _side(state: SideState) -> SideRow:
    return {"status": state.status, "at": state.at, "by_us": state.by_us}


def _named(effect: Effect | None) -> str | None:
    """As dead letters call it: never what it says, which may be somebody's words."""
    return f"{type(effect).__name__} {getattr(effect, 'status', '')}".strip() if effect is not None else None
