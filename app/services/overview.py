"""Use case: what operators see of dead letters, links and what happened to them.

What is shown is listed here field by field, so that nothing an alert says about prompts and answers gets out by being
added to it. Instants are ``datetime``; the edges write them down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.effects import Circumstances, Effect, desired_effect, next_effect
from app.domain.escalation import Climb
from app.domain.link import Lane, Link
from app.domain.names import AlertId, IncidentId, LinkId, Side, number_meant
from app.domain.side_state import SideState
from app.ports import Page, Records, Row, Transactions, Tx


@dataclass(frozen=True)
class Overview:
    """Looks into the store; changes nothing. Everything raises ``StoreUnavailable`` when it cannot be read."""

    transactions: Transactions
    records: Records
    rest: Callable[[], bool]
    """Whether a PagerDuty API key is at hand."""

    def letters(self, page: Page, closed: bool = False) -> Sequence[Row]:
        """The dead letters that wait for a decision, or those that had one."""
        with self.transactions.read() as tx:
            return self.records.letters(tx, page, closed)

    def letter(self, letter_id: int) -> Row | None:
        """One dead letter: what was given up, what the partner answered, and what waits behind it."""
        with self.transactions.read() as tx:
            row = self.records.letter(tx, letter_id)
            if row is None:
                return None
            link = self.records.link_of(tx, LinkId(row["link_id"])) if row["link_id"] is not None else None
            waits = self._waits(tx, link, Side(row["side"])) if link is not None and row["side"] else None
        shown = {name: value for name, value in row.items() if name != "link_id"}
        # A letter that is closed holds nothing back; what its lane waits for has a letter of its own.
        return shown | {"waits": waits if row["closed_at"] is None else None}

    def links(
        self, page: Page, is_open: bool | None = None, frozen: bool | None = None, since: datetime | None = None
    ) -> Sequence[Row]:
        """Links in short, newest first; ``since``: those first heard of from then on."""
        with self.transactions.read() as tx:
            return self.records.links(tx, page, is_open, frozen, since)

    def link(self, alert_id: str) -> Row | None:
        """One link: what is known of both sides, what they should be, and what is owed to them."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(alert_id))
            return None if link is None else self._shown(tx, link)

    def matter(self, wanted: str) -> Row | None:
        """The link of an alert id, an incident id or an incident's number (``2``, ``#2``), as ``link`` shows it. Of
        several alerts on one incident, the first that pages."""
        with self.transactions.read() as tx:
            found = self.records.about(tx, wanted)
            chosen = next((link for link in found if link.paged), next(iter(found), None))
            return None if chosen is None else self._shown(tx, chosen)

    def timeline(self, wanted: str, page: Page) -> Sequence[Row]:
        """What happened to an alert or an incident (by id or number); nothing when the bridge knows neither. Lines come
        as they were written, each with the number of its incident where the bridge knows it."""
        with self.transactions.read() as tx:
            rows = self.records.timeline(tx, wanted, page)
            numbers = {one: self._number(tx, one) for one in {row["incident_id"] for row in rows}}
        return tuple({**row, "incident_number": numbers[row["incident_id"]]} for row in rows)

    def incident_of_that_number(self, wanted: str) -> IncidentId | None:
        """The incident whose number ``2`` or ``#2`` is, where that is also the id of an alert: the id comes first, so
        ``timeline`` and ``matter`` do not mean it."""
        number = number_meant(wanted)
        if number is None:
            return None
        with self.transactions.read() as tx:
            named = self.records.about(tx, wanted)
            others = [link.incident_id for link in self.records.numbered(tx, number) if link not in named]
        return others[0] if named and others else None

    def escalations(self, limit: int, every: bool = False) -> Sequence[Climb]:
        """Escalations under way, or all that are kept."""
        with self.transactions.read() as tx:
            return self.records.climbs(tx, limit, every)

    def escalation(self, incident_id: str) -> Climb | None:
        """How the escalation of this incident stands; None where there is none."""
        with self.transactions.read() as tx:
            return self.records.climb(tx, IncidentId(incident_id))

    def _number(self, tx: Tx, incident_id: str | None) -> int | None:
        on_it = self.records.on_incident(tx, IncidentId(incident_id)) if incident_id else ()
        return next((link.incident_number for link in on_it if link.incident_number is not None), None)

    def _shown(self, tx: Tx, link: Link) -> Row:
        return {
            "alert_id": link.alert.alert_id,
            "first_seen_at": link.first_seen_at,
            "status": link.status.value,
            "frozen_at": link.frozen_at,
            "paged": link.paged,
            "urgency": link.decision.urgency.value if link.decision and link.decision.urgency else None,
            "alert": _side(link.alert_side),
            "incident": _side(link.incident_side)
            | {
                "id": link.incident_id,
                "number": link.incident_number,
                "url": link.incident_url,
                "via": link.via.value,
                "shared": link.shares,
            },
            "lanes": {side.value: self._lane(tx, link, side) for side in Side},
            "notes_owed": [note.ref for note in link.notes if not note.done],
        }

    def _lane(self, tx: Tx, link: Link, side: Side) -> Row:
        lane = link.lane(side)
        does = next_effect(link, side, self._circumstances(tx, link, side))
        return _lane(lane) | {"next": _named(does), "waits": self._waits(tx, link, side)}

    def _waits(self, tx: Tx, link: Link, side: Side) -> str | None:
        """What would be done next, were it not for the dead letter of this lane."""
        at = self._circumstances(tx, link, side)
        held_back = next_effect(link, side, at) is None
        return _named(desired_effect(link, side, at)) if held_back else None

    def _circumstances(self, tx: Tx, link: Link, side: Side) -> Circumstances:
        return Circumstances(datetime.now(UTC), self._shared(tx, link, side), self.rest())

    def _shared(self, tx: Tx, link: Link, side: Side) -> Sequence[Link]:
        if side is Side.TRUTHVOUCH or link.incident_id is None or not link.shares:
            return (link,)
        return self.records.on_incident(tx, link.incident_id)


def _side(state: SideState) -> dict[str, object]:
    return {"status": state.status.value if state.status else None, "at": state.at, "by_us": state.by_us}


def _lane(lane: Lane) -> dict[str, object]:
    return {
        "outstanding": lane.outstanding,
        "since": lane.since if lane.outstanding else None,
        "attempt": lane.attempt,
        "failing": lane.failing,
        "refused": lane.refused.value if lane.refused else None,
        "dead": lane.dead,
    }


def _named(effect: Effect | None) -> str | None:
    """As dead letters call it: never what it says, which may be somebody's words."""
    if effect is None:
        return None
    return " ".join(filter(None, (type(effect).__name__, str(getattr(effect, "status", "")))))
