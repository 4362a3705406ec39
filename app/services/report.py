"""Use case: statistics of a period, and the report that lists its incidents, from the bridge's own record.

Links are read a page at a time and folded as they come: what is kept is numbers, and a line for each incident listed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.link import Link
from app.domain.stats import Frame, Stats, fold, frame
from app.domain.stats_period import MONTHLY, BadPeriod, Period, between, day_of, named
from app.domain.stats_record import Record, course, record_of
from app.ports import RulebookSource, Transactions
from app.ports.history import History, Span
from app.services.report_lines import line_of
from app.services.report_shapes import shown, shown_period

PAGE = 500
LAST_30_DAYS = "30d"

Told = Callable[[int, int], None]
"""Called while links are read, with how many were and how many there are."""
Lines = list[dict[str, Any]]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Reports:
    """Looks into the record; changes nothing. Everything raises ``BadPeriod`` and ``StoreUnavailable``.

    ``service_id`` None: every service. ``start`` and ``end`` are whole days in the time zone, both included, and make
    ``period`` unused; without ``end`` the last is today. ``previous``: the period before the one the word means.
    """

    transactions: Transactions
    history: History
    rulebook: RulebookSource
    default_service: str | None = None
    """Where incidents go whose decision names no service."""
    clock: Callable[[], datetime] = _now

    def stats(
        self,
        service_id: str | None = None,
        start: date | str | None = None,
        end: date | str | None = None,
        period: str = LAST_30_DAYS,
        previous: bool = False,
        time_zone: str = "UTC",
        told: Told | None = None,
    ) -> dict[str, Any]:
        """The numbers of a period, ready for JSON; minutes are rounded to hundredths."""
        asked = self._asked(start, end, period, previous, time_zone)
        return self._shown(self._folded(asked, service_id, told), asked, service_id)

    def report(
        self,
        service_id: str | None = None,
        period: str = MONTHLY,
        start: date | str | None = None,
        end: date | str | None = None,
        previous: bool = False,
        time_zone: str = "UTC",
        told: Told | None = None,
    ) -> dict[str, Any]:
        """The numbers, and a line for each incident triggered in the period, the oldest first."""
        asked, lines = self._asked(start, end, period, previous, time_zone), Lines()
        stats = self._shown(self._folded(asked, service_id, told, lines), asked, service_id)
        same = {name: stats[name] for name in ("service_id", "period", "time_zone")}
        return same | {"stats": stats, "incidents": sorted(lines, key=lambda line: line["triggered_at"])}

    def _asked(
        self, start: date | str | None, end: date | str | None, period: str, previous: bool, time_zone: str
    ) -> Frame:
        now = self.clock()
        meant = _period(now, start, end, period, previous, time_zone)
        if meant.since > now:
            raise BadPeriod(f"{meant.name} has not begun yet.")
        with self.transactions.read() as tx:
            began_at = self.history.began_at(tx)
        return frame(meant, now, self.rulebook.current().sla, began_at)

    def _shown(self, stats: Stats, asked: Frame, service_id: str | None) -> dict[str, Any]:
        about = {"service_id": service_id, "period": shown_period(asked), "time_zone": asked.period.time_zone}
        return about | shown(stats)

    def _folded(self, asked: Frame, service_id: str | None, told: Told | None, lines: Lines | None = None) -> Stats:
        return fold(self._records(asked, service_id, told, lines), asked)

    def _records(
        self, asked: Frame, service_id: str | None, told: Told | None, lines: Lines | None
    ) -> Iterator[Record]:
        for link in self._links(Span(*asked.first_seen), told):
            record = record_of(link, self.default_service)
            if service_id not in (None, record.service_id):
                continue
            stood = course(record, asked.as_of) if lines is not None else None
            if lines is not None and stood and asked.period.holds(stood.triggered_at):
                lines.append(line_of(link, record, stood, self.rulebook.current(), asked.as_of))
            yield record

    def _links(self, span: Span, told: Told | None) -> Iterator[Link]:
        """Each page in a look of its own: a long report holds no old state of the store open."""
        after, done = None, 0
        with self.transactions.read() as tx:
            total = self.history.count(tx, span) if told else 0
        while True:
            with self.transactions.read() as tx:
                page = self.history.page(tx, span, after, PAGE)
            if not page:
                return
            yield from page
            after, done = (page[-1].first_seen_at, page[-1].link_id), done + len(page)
            if told:
                told(done, max(done, total))


def _period(
    now: datetime, start: date | str | None, end: date | str | None, period: str, previous: bool, time_zone: str
) -> Period:
    zone = zone_of(time_zone)
    here = now.astimezone(zone).date()
    if start is None and end is None:
        return named(period, here, zone, time_zone, previous)
    if start is None:
        raise BadPeriod("A period that ends must begin: say from which day on.")
    return between(start, max(here, day_of(start)) if end is None else end, zone, time_zone)


def zone_of(name: str) -> tzinfo:
    """The time zone of that name. Raises ``BadPeriod``. https://www.iana.org/time-zones"""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        said = f"{name[:60]!r} is no time zone this machine knows: write a name of the IANA list such as Europe/Berlin."
        raise BadPeriod(said) from None
