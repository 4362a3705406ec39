"""Reads TruthVouch back: the pages of its list that hold the newest alerts, then every open link's alert that was not
in them. ``list_walk`` says which pages those are.

All of it within an hourly budget of calls. When that runs out, the next run goes on where this one stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.outcome import Done, Refused
from app.domain.model.types import Alert, Side, Status, instant
from app.domain.sync.link import Link
from app.domain.sync.observations import FindingOutcome
from app.ports import Alerts, OpenKind
from app.services.reconciliation.context import CallQuota, ReconcileContext, ReconcileStore
from app.services.reconciliation.events import ALERT_READ, ahead, listed_alert, of_alert
from app.services.reconciliation.list_walk import ListWalk, Order, Resume, as_text, resume_from

NAME = "truthvouch."
"""With the kind of the links: where their single reads stopped."""
LINKS_FIRST = "reconcile.links_first"
"""Key: the newest pages used up what was left last time."""
NEXT_PAGE = "reconcile.truthvouch.page"
"""Key: at which page the walk through the list, in place of single reads, goes on, and in which order the list was."""
LISTED = "reconcile.truthvouch.listed"
"""Key: when the last walk through the newest pages began that came to its own end: what is older has been read."""
HALF = "reconcile.truthvouch.half"
"""Key: when the walk began that broke off, at which page, and in which order the list was."""
MISSES = 2
"""So many alerts that cannot be read one by one, and none that can: TruthVouch has no such call."""
LOOK_BACK = timedelta(days=1)
SPENT = "TruthVouch: the hourly budget of calls is spent; the next run goes on from there"


class SingleRead(StrEnum):
    """What came of asking for one alert."""

    ANSWERED = "answered"
    """If only with an error: there is such a call."""
    ABSENT = "absent"
    """TruthVouch lost it, or has no such call."""
    USELESS = "useless"
    """Asking further is of no use now."""


@dataclass(frozen=True)
class ReconcileAlerts:
    """TruthVouch's half of a reconciliation."""

    alerts: Alerts
    store: ReconcileStore
    quota: CallQuota

    def __call__(self, context: ReconcileContext) -> None:
        """Read it all, or as much as may be."""
        links_first = self.store.value_of(LINKS_FIRST) is not None
        if links_first:
            self._singly(context, OpenKind.PAGED, max(1, self.quota.left() // 2))
        walk = self._newest(context)
        if walk is None or not self._singly(context, OpenKind.PAGED, self.quota.left(), walk):
            self._next_time(context, not links_first)
            return
        # Links without an incident owe nobody anything: they get what the others leave, those that may be paged first.
        self._next_time(context, False)
        for kind in (OpenKind.SILENCED, OpenKind.UNPAGED):
            self._singly(context, kind, self.quota.left() // 2, walk)

    def _next_time(self, context: ReconcileContext, links_first: bool) -> None:
        """Whose turn it is then; a run that could not ask anything leaves that as it is."""
        if context.found.calls[Side.TRUTHVOUCH]:
            self.store.remember(LINKS_FIRST, "" if links_first else None)

    def _newest(self, context: ReconcileContext) -> ListWalk | None:
        """Read pages until one holds nothing new and nothing from after the last walk that came to its own end.

        The walk; None when the list could not be read: then the next one goes on from there, if this one got to where
        the last one broke off.
        """
        began = context.clock()
        back_to = instant(self.store.value_of(LISTED)) or context.horizon
        walk = ListWalk(back_to, resume_from(self.store.value_of(HALF)))
        while (number := walk.next_page()) is not None:
            if not self._read_page(context, walk, number, newest=True):
                if walk.resume is None and number > 1:
                    self.store.remember(HALF, as_text(began, number, walk.order))
                return None
        self.store.remember(LISTED, began.isoformat())
        self.store.remember(HALF, None)
        return walk

    def _read_page(self, context: ReconcileContext, walk: ListWalk, number: int, newest: bool = False) -> bool:
        """Compare one page of the list; False when there is no quota left or no answer. ``newest``: the walk continues
        behind an alert that nobody had told us of, and to an operator's own horizon."""
        if not self.quota.take():
            context.cut_short(SPENT, failed=False)
            return False
        read_at = context.clock()
        reply = self.alerts.page(number)
        context.asked(Side.TRUTHVOUCH, reply)
        if not isinstance(reply, Done):
            context.cut_short(f"TruthVouch: its alerts could not be listed ({reply.reason})")
            return False
        page = reply.value
        events = [listed_alert(one, read_at, reply.at) for one in page.readings if isinstance(one, AlertEvent)]
        if unreadable := len(page.readings) - len(events):
            context.unread[Side.TRUTHVOUCH, "unreadable"] += unreadable
        has_missed = self._compare(context, events)
        raised = ((one.alert.alert_id, one.alert.created_at, ahead(one)) for one in events)
        raised_at = {alert_id: at and at - offset for alert_id, at, offset in raised}  # by our clock
        since = context.since
        is_within = since is not None and any(at is None or at >= since for at in raised_at.values())
        walk.add(number, raised_at, page.has_next, page.last_page, newest and (has_missed or is_within))
        return True

    def _compare(self, context: ReconcileContext, events: Sequence[AlertEvent]) -> bool:
        """Compare a page; True when it held an alert that nobody had told us of."""
        links = self.store.of_alerts([event.alert.alert_id for event in events])
        has_missed = False
        for event in events:
            alert_id = event.alert.alert_id
            observed = of_alert(links.get(alert_id), event, context.horizon)
            finding = observed.finding if observed else None
            has_missed |= finding is not None and finding.outcome is FindingOutcome.MISSED
            if alert_id not in context.seen_alerts:
                context.add(observed)
            # Nobody can tell if an alert that is not over was raised before our time.
            if alert_id not in links and event.alert.created_at is None and event.status is not Status.RESOLVED:
                context.unread[Side.TRUTHVOUCH, "no_creation_time"] += 1
        context.seen_alerts.update(event.alert.alert_id for event in events)
        return has_missed

    def _singly(self, context: ReconcileContext, kind: OpenKind, at_most: int, walk: ListWalk | None = None) -> bool:
        """Read alerts the pages did not hold; False when not all could be."""
        last = hits = misses = 0
        for done, link in enumerate(self.store.in_turn(NAME + kind, kind), 1):
            context.progress(Side.TRUTHVOUCH, done, context.found.links)
            if link.alert.alert_id not in context.seen_alerts and link.alert_side.pending is None:
                if at_most < 1 or not self.quota.take():
                    return self._stop(context, kind, last, SPENT)
                at_most -= 1
                read = self._read(context, link)
                if read is SingleRead.USELESS:
                    return self._stop(context, kind, last, "TruthVouch does not answer: the rest is read next time")
                hits, misses = hits + (read is SingleRead.ANSWERED), misses + (read is SingleRead.ABSENT)
                if not hits and misses >= MISSES:
                    return self._by_list(context, kind, walk or ListWalk(context.horizon))
            last = link.link_id
        self.store.go_on_after(NAME + kind, None)
        return True

    def _stop(self, context: ReconcileContext, kind: OpenKind, last: int, reason: str) -> bool:
        context.cut_short(reason, failed=reason != SPENT)
        self.store.go_on_after(NAME + kind, last)
        return False

    def _read(self, context: ReconcileContext, link: Link) -> SingleRead:
        alert_id, read_at = link.alert.alert_id, context.clock()
        reply = self.alerts.get(alert_id)
        context.asked(Side.TRUTHVOUCH, reply)
        if isinstance(reply, Done):
            context.seen_alerts.add(alert_id)
            now = self.store.of_alerts([alert_id]).get(alert_id)
            status, at = reply.value.status, reply.at
            read = AlertEvent(AlertEventType.READ, Alert(alert_id), ALERT_READ, at=at, status=status, read_at=read_at)
            context.add(of_alert(now, read, context.horizon))
            return SingleRead.ANSWERED
        if isinstance(reply, Refused) and reply.status in (404, 405):
            return SingleRead.ABSENT
        return SingleRead.USELESS if context.could_not_read(Side.TRUTHVOUCH, reply) else SingleRead.ANSWERED

    def _by_list(self, context: ReconcileContext, kind: OpenKind, walk: ListWalk) -> bool:
        """TruthVouch shows no single alerts: walk its list further, back to the oldest alert still to be seen."""
        wanted = {
            link.alert.alert_id: link.alert.created_at or link.first_seen_at for link in self.store.open_links(kind)
        }
        number, _, order = (self.store.value_of(NEXT_PAGE) or "").partition(" ")
        # Earlier versions wrote the number alone, of a list that is newest first.
        walk.resume = Resume(int(number), Order(order or Order.NEWEST_FIRST)) if number else None
        while left := [at for alert_id, at in wanted.items() if alert_id not in context.seen_alerts]:
            walk.back_to = min(left) - LOOK_BACK
            page = walk.next_page()
            if page is None:
                break
            if not self._read_page(context, walk, page):
                self.store.remember(NEXT_PAGE, f"{page} {walk.order}")
                return False
        self.store.remember(NEXT_PAGE, None)
        return True
