"""Reads PagerDuty back: the open incidents of our services, and every incident we care about that is not among them."""

import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from app.domain.incident import IncidentFacts
from app.domain.link import Link
from app.domain.names import IncidentId, Side, Status
from app.domain.outcome import BUDGET_SPENT, Done, Held, Reply
from app.ports import Incidents, OpenKind
from app.services.reconcile_news import of_incident, unknown_incident
from app.services.reconcile_run import AFTER, Run, Shelf, why

KEY_OF_AN_ALERT = re.compile("truthvouch-[0-9a-f]{64}")
"""What ``domain.names.incident_key`` makes. Other keys of ours are of incidents that people and tests opened: no alert
stands behind them, and none will ever be seen."""
PAGE = 100
LAST_OFFSET = 9_900
"""PagerDuty refuses ``offset + limit`` beyond 10,000."""
SERVICES_AT_ONCE = 50
"""So many service ids fit one address."""
LOOK_BACK = timedelta(days=1)
"""An incident of ours cannot be older than its link; a day allows for clocks that disagree."""
NAME = "pagerduty"
PATIENCE_SECONDS = 30.0
SHORTEST_PAUSE = 0.05

T = TypeVar("T")


@dataclass
class LookAtIncidents:
    """PagerDuty's half of a reconciliation."""

    incidents: Incidents
    shelf: Shelf
    services: Callable[[], Iterable[str]]
    """Services that are ours by configuration."""
    pause: Callable[[float], None] = time.sleep
    _strangers: set[IncidentId] = field(default_factory=set)
    """Unknown incidents that were told of already."""

    def __call__(self, run: Run, named: Iterable[str]) -> None:
        """Read it all; ``named`` are the services that open links went to."""
        seen: set[IncidentId] = set()
        services = sorted({*self.services(), *named})
        for first in range(0, len(services), SERVICES_AT_ONCE):
            if not self._list(run, services[first : first + SERVICES_AT_ONCE], seen):
                return
        self._singly(run, seen)

    def _list(self, run: Run, services: Sequence[str], seen: set[IncidentId]) -> bool:
        for offset in range(0, LAST_OFFSET + 1, PAGE):
            read_at = run.clock()
            reply = self._patiently(partial(self.incidents.open_page, services, offset))
            run.asked(Side.PAGERDUTY, reply)
            if not isinstance(reply, Done):
                run.cut_short(f"PagerDuty: its open incidents could not be listed ({why(reply)})")
                return False
            facts, more = reply.value
            self._compare(run, facts, read_at)
            seen.update(fact.incident_id for fact in facts)
            if not more:
                return True
        run.faults.append("PagerDuty lists no more than 10,000 open incidents; the others are read one by one")
        return True

    def _compare(self, run: Run, page: Sequence[IncidentFacts], read_at: datetime) -> None:
        keys = {facts.incident_key for facts in page if facts.incident_key}
        links = self.shelf.on_incidents([facts.incident_id for facts in page], keys)
        for facts in page:
            ours = [link for link in links if link.incident_id == facts.incident_id]
            keyless = [link for link in links if link.incident_id is None and link.incident_key == facts.incident_key]
            for link in ours or keyless:
                run.heard(of_incident(link, facts, read_at))
            if not ours and not keyless:
                self._stranger(run, facts)

    def _stranger(self, run: Run, facts: IncidentFacts) -> None:
        is_of_an_alert = KEY_OF_AN_ALERT.fullmatch(facts.incident_key or "")
        if is_of_an_alert and (run.dry or facts.incident_id not in self._strangers):
            self._strangers.add(facts.incident_id)
            run.found(unknown_incident(facts))

    def _singly(self, run: Run, seen: set[IncidentId]) -> None:
        """Absence from the list is no news: what is not in it is asked for."""
        last = 0
        for done, link in enumerate(self.shelf.in_turn(NAME, OpenKind.PAGED), 1):
            run.told(Side.PAGERDUTY, done, run.links)
            if self._is_to_be_read(link, seen) and not self._read(run, link, seen):
                run.cut_short("PagerDuty does not answer: the other incidents are read next time")
                self._go_on_after(run, last)
                return
            last = link.link_id
        self._go_on_after(run, None)

    def _go_on_after(self, run: Run, link_id: int | None) -> None:
        if not run.dry and link_id != 0:
            self.shelf.remember(AFTER + NAME, str(link_id) if link_id else None)

    def _is_to_be_read(self, link: Link, seen: set[IncidentId]) -> bool:
        if link.incident_side.pending is not None:
            return False  # such a look would be dropped
        if link.incident_id is not None:
            return link.incident_id not in seen
        return link.paged and (link.incident_side.status is not None or link.open_tried)

    def _read(self, run: Run, link: Link, seen: set[IncidentId]) -> bool:
        """Ask for one incident; False when asking further is of no use."""
        read_at = run.clock()
        reply: Reply[IncidentFacts | None]
        if link.incident_id is not None:
            reply = self._patiently(partial(self.incidents.get, link.incident_id))
            seen.add(link.incident_id)
        else:
            reply = self._by_key(link)
        run.asked(Side.PAGERDUTY, reply)
        if not isinstance(reply, Done):
            return not run.could_not_read(Side.PAGERDUTY, reply)
        if reply.value is not None:
            for sharing in self._on_it(link):
                run.heard(of_incident(sharing, reply.value, read_at))
        return True

    def _by_key(self, link: Link) -> Reply[IncidentFacts | None]:
        reply = self._patiently(partial(self.incidents.find, link.incident_key, link.first_seen_at - LOOK_BACK))
        if not isinstance(reply, Done):
            return reply
        still_open = [facts for facts in reply.value if facts.status is not Status.RESOLVED]
        return Done(next(iter(still_open or reply.value), None))

    def _patiently(self, call: Callable[[], Reply[T]]) -> Reply[T]:
        """Deliveries go first: where our own budget is spent, we wait until something is left for us."""
        waited = 0.0
        reply = call()
        while isinstance(reply, Held) and reply.reason == BUDGET_SPENT and waited < PATIENCE_SECONDS:
            seconds = min(max(reply.after_seconds or 0.0, SHORTEST_PAUSE), PATIENCE_SECONDS)
            self.pause(seconds)
            waited += seconds
            reply = call()
        return reply

    def _on_it(self, link: Link) -> tuple[Link, ...]:
        """The links on this link's incident as they are now, several after a merge."""
        if link.incident_id is None:
            return self.shelf.on_incidents((), [link.incident_key])
        return self.shelf.on_incidents([link.incident_id], ())
