"""Reads PagerDuty back: the open incidents of our services, and every incident we care about that is not among them."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from app.domain.model.incident import IncidentFacts, open_or_newest
from app.domain.model.outcome import BUDGET_SPENT, Done, Held, Reply
from app.domain.model.types import IncidentId, Side
from app.domain.sync.link import Link
from app.domain.sync.observations import FindingOutcome
from app.ports import Incidents, OpenKind
from app.services.reconciliation.context import ReconcileContext, ReconcileStore
from app.services.reconciliation.events import Finding, of_incident

KEY_OF_AN_ALERT = re.compile("truthvouch-[0-9a-f]{64}")
"""What ``domain.model.types.incident_key`` makes. Other keys of ours are of incidents that people and tests opened: no
alert stands behind them, and none will ever be seen."""
PAGE = 100
LAST_OFFSET = 9_900
"""PagerDuty refuses ``offset + limit`` beyond 10,000."""
SERVICES_AT_ONCE = 50
"""So many service ids fit one address."""
LOOK_BACK = timedelta(days=1)
"""An incident of ours cannot be older than its link; a day allows for clocks that disagree."""
NAME = "pagerduty"
QUOTA_TIMEOUT_SECONDS = 30.0
SHORTEST_PAUSE = 0.05

T = TypeVar("T")


@dataclass
class ReconcileIncidents:
    """PagerDuty's half of a reconciliation."""

    incidents: Incidents
    store: ReconcileStore
    services: Callable[[], Iterable[str]]
    """Services that are ours by configuration."""
    pause: Callable[[float], None]
    strangers: set[IncidentId]
    """Unknown incidents that were told of already."""

    def __call__(self, context: ReconcileContext, named: Iterable[str]) -> None:
        """Read it all; ``named`` are the services that open links went to."""
        seen: set[IncidentId] = set()
        services = sorted({*self.services(), *named})
        for first in range(0, len(services), SERVICES_AT_ONCE):
            if not self._list(context, services[first : first + SERVICES_AT_ONCE], seen):
                return
        self._singly(context, seen)

    def _list(self, context: ReconcileContext, services: Sequence[str], seen: set[IncidentId]) -> bool:
        for offset in range(0, LAST_OFFSET + 1, PAGE):
            read_at = context.clock()
            reply = self._within_budget(partial(self.incidents.open_page, services, offset))
            context.asked(Side.PAGERDUTY, reply)
            if not isinstance(reply, Done):
                context.cut_short(f"PagerDuty: its open incidents could not be listed ({reply.reason})")
                return False
            facts, more = reply.value
            self._compare(context, facts, read_at)
            seen.update(fact.incident_id for fact in facts)
            if not more:
                return True
        context.found.faults += ("PagerDuty lists no more than 10,000 open incidents; the others are read one by one",)
        return True

    def _compare(self, context: ReconcileContext, page: Sequence[IncidentFacts], read_at: datetime) -> None:
        keys = {facts.incident_key for facts in page if facts.incident_key}
        links = self.store.on_incidents([facts.incident_id for facts in page], keys)
        for facts in page:
            ours = [link for link in links if link.incident_id == facts.incident_id]
            keyless = [link for link in links if link.incident_id is None and link.incident_key == facts.incident_key]
            for link in ours or keyless:
                context.add(of_incident(link, facts, read_at))
            is_of_an_alert = KEY_OF_AN_ALERT.fullmatch(facts.incident_key or "")
            is_news = self.store.dry or facts.incident_id not in self.strangers
            if not ours and not keyless and is_of_an_alert and is_news:
                self.strangers.add(facts.incident_id)
                outcome = FindingOutcome.UNKNOWN_INCIDENT  # nothing to do until its alert is seen
                context.add_finding(Finding(Side.PAGERDUTY, None, facts.incident_id, "", facts.status, outcome))

    def _singly(self, context: ReconcileContext, seen: set[IncidentId]) -> None:
        """Absence from the list is no news: what is not in it is asked for."""
        last = 0
        for done, link in enumerate(self.store.in_turn(NAME, OpenKind.PAGED), 1):
            context.progress(Side.PAGERDUTY, done, context.found.links)
            if self._is_to_be_read(link, seen) and not self._read(context, link, seen):
                context.cut_short("PagerDuty does not answer: the other incidents are read next time")
                self.store.go_on_after(NAME, last)
                return
            last = link.link_id
        self.store.go_on_after(NAME, None)

    def _is_to_be_read(self, link: Link, seen: set[IncidentId]) -> bool:
        if link.incident_side.pending is not None:
            return False  # such a read would be dropped
        if link.incident_id is not None:
            return link.incident_id not in seen
        return link.paged and (link.incident_side.status is not None or link.open_tried)

    def _read(self, context: ReconcileContext, link: Link, seen: set[IncidentId]) -> bool:
        """Ask for one incident; False when asking further is of no use."""
        read_at = context.clock()
        reply: Reply[IncidentFacts | None]
        if link.incident_id is not None:
            reply = self._within_budget(partial(self.incidents.get, link.incident_id))
            seen.add(link.incident_id)
        else:
            reply = self._by_key(link)
        context.asked(Side.PAGERDUTY, reply)
        if not isinstance(reply, Done):
            return not context.could_not_read(Side.PAGERDUTY, reply)
        if reply.value is not None:
            # The links on it as they are now, several after a merge.
            ids, keys = ((link.incident_id,), ()) if link.incident_id is not None else ((), (link.incident_key,))
            for sharing in self.store.on_incidents(ids, keys):
                context.add(of_incident(sharing, reply.value, read_at))
        return True

    def _by_key(self, link: Link) -> Reply[IncidentFacts | None]:
        reply = self._within_budget(partial(self.incidents.find, link.incident_key, link.first_seen_at - LOOK_BACK))
        return Done(open_or_newest(reply.value)) if isinstance(reply, Done) else reply

    def _within_budget(self, call: Callable[[], Reply[T]]) -> Reply[T]:
        """Deliveries go first: where our own budget is spent, we wait until something is left for us."""
        reply, waited = call(), 0.0
        while isinstance(reply, Held) and reply.reason == BUDGET_SPENT and waited < QUOTA_TIMEOUT_SECONDS:
            seconds = min(max(reply.after_seconds or 0.0, SHORTEST_PAUSE), QUOTA_TIMEOUT_SECONDS)
            self.pause(seconds)
            waited += seconds
            reply = call()
        return reply
