"""Which page of TruthVouch's list is read next. Pure.

No document tells the order of that list, so it is judged by the creation times on the pages that were read: the end
that holds the newest alerts is read first, and a list without an order is read whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate, count

from app.domain.model.types import AlertId, instant

OVERLAP = timedelta(minutes=5)
"""Alerts may appear in the list a little after their own time, and two of about the same time in either order."""


class Order(StrEnum):
    """How a list is sorted by creation time."""

    NEWEST_FIRST = "newest_first"
    OLDEST_FIRST = "oldest_first"
    UNKNOWN = "unknown"
    """Not told, not to be seen yet, or none at all."""


def order_of(times: Sequence[datetime]) -> Order:
    """The order of these times. Neighbours that are minutes apart may be swapped, unless nothing else tells."""
    if not times:
        return Order.UNKNOWN
    rise = max(at - earliest for at, earliest in zip(times, accumulate(times, min), strict=True))
    drop = max(latest - at for at, latest in zip(times, accumulate(times, max), strict=True))
    tolerated = OVERLAP if max(rise, drop) > OVERLAP else timedelta(0)
    if drop <= tolerated < rise:
        return Order.OLDEST_FIRST
    return Order.NEWEST_FIRST if rise <= tolerated < drop else Order.UNKNOWN


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a walk goes on that broke off."""

    page: int
    """The page that could not be read."""
    order: Order
    """In which order the list was; in another one the page's number means nothing."""
    read_since: datetime | None = None
    """When that walk began: alerts raised before then are on pages it has read, or on ``page`` and behind it.
    None: all that is newer has just been read."""


def resume_from(text: str | None) -> Resume | None:
    """What ``as_text`` wrote; None for anything else. Earlier versions took every list to be newest first."""
    written_at, _, rest = (text or "").partition(" ")
    page, _, order = rest.partition(" ")
    at, order = instant(written_at), order or Order.NEWEST_FIRST
    if at is None or not (page.isascii() and page.isdigit()) or order not in set(Order):
        return None
    return Resume(int(page), Order(order), at)


def as_text(began: datetime, page: int, order: Order) -> str:
    """A ``Resume`` as one line."""
    return f"{began.isoformat()} {page} {order.value}"


@dataclass(frozen=True, slots=True)
class PageRead:
    """What a walk keeps of a page."""

    times: tuple[datetime, ...]
    """When its alerts were raised, those that told."""
    has_next: bool
    repeats: bool
    """All its alerts were on other pages of this walk: a list that shows one page for ever is left."""
    must_continue: bool
    """Whatever the age of its alerts, the page behind it is read too."""

    def reaches(self, back_to: datetime) -> bool:
        """Whether alerts from after that time may stand on the page, and so on the one behind it."""
        return not self.times or any(at >= back_to - OVERLAP for at in self.times)


@dataclass
class ListWalk:
    """One run's way through the list, from its newest alerts back to ``back_to``. Ask ``next_page``, read that page,
    ``add`` it. The first page comes first, for it tells the order."""

    back_to: datetime
    resume: Resume | None = None
    """Where an earlier walk broke off; None once this one has got there."""
    pages: dict[int, PageRead] = field(default_factory=dict)
    last_page: int | None = None
    """The number of the list's last page; None while nobody said."""
    _at: int = 1
    _known: Order = Order.UNKNOWN
    _first: int = 1
    """Where a list without an order is read from; what stands before that page comes last."""
    _seen: set[AlertId] = field(default_factory=set)

    @property
    def order(self) -> Order:
        """As the pages read so far show it; oldest first is of no use where nobody says which page is the last."""
        found = order_of([at for number in sorted(self.pages) for at in self.pages[number].times])
        return Order.UNKNOWN if found is Order.OLDEST_FIRST and self.last_page is None else found

    def add(
        self,
        number: int,
        alerts: Mapping[AlertId, datetime | None],
        has_next: bool,
        last_page: int | None = None,
        must_continue: bool = False,
    ) -> None:
        """A page was read; ``alerts`` in its order, with the times at which they were raised."""
        times = tuple(at for at in alerts.values() if at is not None)
        self.pages[number] = PageRead(times, has_next, bool(alerts) and self._seen >= alerts.keys(), must_continue)
        self._seen.update(alerts)
        self._at = number
        self.last_page = last_page or self.last_page

    def next_page(self) -> int | None:
        """The page to read next; None when the walk has come to its end."""
        order = self.order
        if not self.pages:
            return 1
        if order is Order.UNKNOWN:
            self._known = order
            return self._next_of_all()
        if order is Order.OLDEST_FIRST and self.last_page not in self.pages:
            return self.last_page
        if self.resume and self.resume.order is not order:
            self.resume = None
        if order is Order.NEWEST_FIRST and self._known is not order:
            self._at = self._read_from(1) - 1  # while the order was not known, later pages may have been read
        self._known = order
        return self._next_older(order)

    def _next_older(self, order: Order) -> int | None:
        page, older = self.pages[self._at], self._older(order, self._at)
        if older is None or page.repeats:
            return None
        back_to = self.resume.read_since if self.resume else self.back_to
        if page.must_continue or (back_to is not None and page.reaches(back_to)):
            return older
        if self.resume is None:
            return None
        # What came since is read: on from where the last walk broke off.
        start, self.resume = self.resume.page, None
        return self._older(order, start)

    def _older(self, order: Order, start: int) -> int | None:
        """The first page that was not read yet, from ``start`` towards the older end of the list."""
        if order is Order.OLDEST_FIRST:
            return next((number for number in range(start, 0, -1) if number not in self.pages), None)
        number = self._read_from(start)
        before = self.pages.get(number - 1)
        return number if before is None or before.has_next else None

    def _read_from(self, number: int) -> int:
        """The first page from ``number`` on that was not read yet."""
        return next(n for n in count(number) if n not in self.pages)

    def _next_of_all(self) -> int | None:
        if self.resume and self.resume.order is Order.UNKNOWN:
            self._first, self.resume = self.resume.page, None
        if self._first not in self.pages:
            return self._first
        for number in map(self._read_from, (self._first, 1)):
            before = self.pages[number - 1]
            if before.has_next and not before.repeats:
                return number
        return None
