"""Reads TruthVouch back: the pages of its list that hold the newest alerts, then every open link's alert that was not
in them. ``reconcile_walk`` says which pages those are.

All of it within an hourly budget of calls. When that runs out, the next run goes on where this one stopped.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.link import Link
from app.domain.names import AlertId, Side, Status, instant
from app.domain.outcome import Done
from app.domain.words import AlertWord
from app.ports import AlertPage, Alerts, OpenKind
from app.services.reconcile_news import ahead, listed_alert, of_alert, seen_alert
from app.services.reconcile_run import AFTER, Purse, Run, Shelf, has_no_such_call, why
from app.services.reconcile_walk import ListWalk, Order, Resume, as_text, resume_from

NAME = "truthvouch."
"""With the kind of the links: where their single reads stopped."""
LINKS_FIRST = "reconcile.links_first"
"""Mark: the newest pages used up what was left last time."""
NEXT_PAGE = "reconcile.truthvouch.page"
"""Mark: at which page the walk through the list, in place of single reads, goes on, and in which order the list was."""
LISTED = "reconcile.truthvouch.listed"
"""Mark: when the last walk through the newest pages began that came to its own end: what is older has been read."""
HALF = "reconcile.truthvouch.half"
"""Mark: when the walk began that broke off, at which page, and in which order the list was."""
MISSES = 2
"""So many alerts that cannot be read one by one, and none that can: TruthVouch has no such call."""
LOOK_BACK = timedelta(days=1)
SPENT = "TruthVouch: the hourly budget of calls is spent; the next run goes on from there"


@dataclass(frozen=True)
class LookAtAlerts:
    """TruthVouch's half of a reconciliation."""

    alerts: Alerts
    shelf: Shelf
    purse: Purse

    def __call__(self, run: Run) -> None:
        """Read it all, or as much as may be."""
        links_first = self.shelf.mark(LINKS_FIRST) is not None
        if links_first:
            self._singly(run, OpenKind.PAGED, max(1, self.purse.left() // 2))
        walk = self._newest(run)
        if walk is None or not self._singly(run, OpenKind.PAGED, self.purse.left(), walk):
            self._next_time(run, not links_first)
            return
        # Links without an incident owe nobody anything: they get what the others leave, those that may be paged first.
        self._next_time(run, False)
        for kind in (OpenKind.SILENCED, OpenKind.UNPAGED):
            self._singly(run, kind, self.purse.left() // 2, walk)

    def _next_time(self, run: Run, links_first: bool) -> None:
        """Whose turn it is then; a run that could not ask anything leaves that as it is."""
        if not run.dry and run.calls[Side.TRUTHVOUCH]:
            self.shelf.remember(LINKS_FIRST, "" if links_first else None)

    # ------------------------------------------------------------ the list

    def _newest(self, run: Run) -> ListWalk | None:
        """Read pages until one holds nothing new and nothing from after the last walk that came to its own end.

        The walk; None when the list could not be read.
        """
        began = run.clock()
        back_to = instant(self.shelf.mark(LISTED)) or run.horizon
        walk = ListWalk(back_to, resume_from(self.shelf.mark(HALF)))
        while (number := walk.next_page()) is not None:
            page = self._page(run, number)
            if page is None:
                self._broke_off(run, walk, began, number)
                return None
            events, answer = page
            must_continue = self._compare(run, events) or self._is_within(run, events)
            _add(walk, number, events, answer, must_continue)
        self._came_to_its_end(run, began)
        return walk

    def _broke_off(self, run: Run, walk: ListWalk, began: datetime, number: int) -> None:
        """A walk that did not get to where the last one broke off leaves that mark as it is."""
        if not run.dry and walk.resume is None and number > 1:
            self.shelf.remember(HALF, as_text(began, number, walk.order))

    def _came_to_its_end(self, run: Run, began: datetime) -> None:
        if not run.dry:
            self.shelf.remember(LISTED, began.isoformat())
            self.shelf.remember(HALF, None)

    def _page(self, run: Run, number: int) -> tuple[tuple[AlertWord, ...], AlertPage] | None:
        """The observations on one page, and the page; None when there is no quota left or no answer."""
        if not self.purse.take():
            run.cut_short(SPENT)
            return None
        read_at = run.clock()
        reply = self.alerts.page(number)
        run.asked(Side.TRUTHVOUCH, reply)
        if not isinstance(reply, Done):
            run.cut_short(f"TruthVouch: its alerts could not be listed ({why(reply)})")
            return None
        page = reply.value
        words = tuple(listed_alert(word, read_at, reply.at) for word in page.readings if isinstance(word, AlertWord))
        unreadable = len(page.readings) - len(words)
        if unreadable:
            run.unread[Side.TRUTHVOUCH, "unreadable"] += unreadable
        return words, page

    def _compare(self, run: Run, words: tuple[AlertWord, ...]) -> bool:
        """Judge a page; True when it held an alert that nobody had told us of."""
        links = self.shelf.of_alerts([word.alert.alert_id for word in words])
        missed = False
        for word in words:
            news = of_alert(links.get(word.alert.alert_id), word, run.horizon)
            missed |= bool(news and news.finding and news.finding.outcome == "missed")
            if word.alert.alert_id not in run.seen_alerts:
                run.heard(news)
            if word.alert.alert_id not in links and _is_undated(word):
                run.unread[Side.TRUTHVOUCH, "no_creation_time"] += 1
        run.seen_alerts.update(word.alert.alert_id for word in words)
        return missed

    def _is_within(self, run: Run, words: tuple[AlertWord, ...]) -> bool:
        """Whether an operator's own horizon reaches behind this page."""
        if run.since is None:
            return False
        raised_at = _raised_at(words).values()
        return any(at is None or at >= run.since for at in raised_at)

    # ------------------------------------------------------------ one by one

    def _singly(self, run: Run, kind: OpenKind, at_most: int, walk: ListWalk | None = None) -> bool:
        """Read alerts the pages did not hold; False when not all could be."""
        last = hits = misses = 0
        for done, link in enumerate(self.shelf.in_turn(NAME + kind, kind), 1):
            run.told(Side.TRUTHVOUCH, done, run.links)
            if link.alert.alert_id not in run.seen_alerts and link.alert_side.pending is None:
                if at_most < 1 or not self.purse.take():
                    return self._stop(run, kind, last, SPENT)
                at_most -= 1
                found = self._read(run, link)
                if found is None:
                    return self._stop(run, kind, last, "TruthVouch does not answer: the rest is read next time")
                hits, misses = hits + found, misses + (not found)
                if not hits and misses >= MISSES:
                    return self._by_list(run, kind, walk or ListWalk(run.horizon))
            last = link.link_id
        self._go_on_after(run, kind, None)
        return True

    def _read(self, run: Run, link: Link) -> bool | None:
        """Ask for one alert: whether TruthVouch showed it; None when asking further is of no use."""
        read_at = run.clock()
        reply = self.alerts.get(link.alert.alert_id)
        run.asked(Side.TRUTHVOUCH, reply)
        if isinstance(reply, Done):
            run.seen_alerts.add(link.alert.alert_id)
            now = self.shelf.of_alerts([link.alert.alert_id]).get(link.alert.alert_id)
            run.heard(
                of_alert(now, seen_alert(link.alert.alert_id, reply.value.status, read_at, reply.at), run.horizon)
            )
            return True
        if has_no_such_call(reply):
            return False
        return None if run.could_not_read(Side.TRUTHVOUCH, reply) else True

    def _stop(self, run: Run, kind: OpenKind, last: int, why_not: str) -> bool:
        run.cut_short(why_not)
        if last:
            self._go_on_after(run, kind, last)
        return False

    def _go_on_after(self, run: Run, kind: OpenKind, link_id: int | None) -> None:
        if not run.dry:
            self.shelf.remember(AFTER + NAME + kind, str(link_id) if link_id else None)

    # ------------------------------------------------------------ the list in place of single reads

    def _by_list(self, run: Run, kind: OpenKind, walk: ListWalk) -> bool:
        """TruthVouch shows no single alerts: walk its list further, back to the oldest alert still to be seen."""
        wanted = {link.alert.alert_id: _age(link) for link in self.shelf.open_links(kind)}
        walk.resume = self._stopped_at()
        while left := [at for alert_id, at in wanted.items() if alert_id not in run.seen_alerts]:
            walk.back_to = min(left) - LOOK_BACK
            number = walk.next_page()
            if number is None:
                break
            page = self._page(run, number)
            if page is None:
                return self._go_on_at(run, f"{number} {walk.order}", False)
            events, answer = page
            self._compare(run, events)
            _add(walk, number, events, answer)
        return self._go_on_at(run, None, True)

    def _stopped_at(self) -> Resume | None:
        """Earlier versions wrote the number alone, of a list that is newest first."""
        number, _, order = (self.shelf.mark(NEXT_PAGE) or "").partition(" ")
        return Resume(int(number), Order(order or Order.NEWEST_FIRST)) if number else None

    def _go_on_at(self, run: Run, place: str | None, done: bool) -> bool:
        if not run.dry:
            self.shelf.remember(NEXT_PAGE, place)
        return done


def _add(
    walk: ListWalk, number: int, events: tuple[AlertWord, ...], answer: AlertPage, must_continue: bool = False
) -> None:
    walk.add(number, _raised_at(events), answer.has_next, answer.last_page, must_continue)


def _raised_at(events: tuple[AlertWord, ...]) -> dict[AlertId, datetime | None]:
    """When each was raised, by our clock: what a walk knows besides is told by that."""
    told = ((event.alert.alert_id, event.alert.created_at, ahead(event)) for event in events)
    return {alert_id: at and at - offset for alert_id, at, offset in told}


def _age(link: Link) -> datetime:
    return link.alert.created_at or link.first_seen_at


def _is_undated(word: AlertWord) -> bool:
    """Whether nobody can tell if an alert that is not over was raised before our time."""
    return word.alert.created_at is None and word.status is not Status.RESOLVED
