"""Use cases: statistics of a period, the report that lists its incidents, and its numbers beside PagerDuty's own.

Both come from the bridge's own record, from what it has counted with every link: no link is read. What is kept is
numbers, and a line for each incident listed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any, TypeVar, cast
from zoneinfo import ZoneInfo

from app.domain.model.outcome import Done
from app.domain.reports import figures
from app.domain.reports.compare import LAGGING, WHY, ServiceMetrics, compared
from app.domain.reports.figures import Comparison, IncidentLine, IncidentStatus, Numbers, Report, Stats
from app.domain.reports.period import MONTHLY, BadPeriod, between, day_of, named
from app.domain.reports.record import UNKNOWN, ListedIncident, figures_of, state_at
from app.domain.reports.totals import LAST_MOMENT, Frame, Tally, frame
from app.ports import Clock, RulebookSource, Transactions, Tx, utc_now
from app.ports.history import Analytics, History, Scope, Span

T = TypeVar("T")
LAST_30_DAYS = "30d"
LAG = timedelta(hours=24)
LONGEST = timedelta(days=365)
"""What one question to the analytics may span."""

Day = date | str | None


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
    clock: Clock = utc_now

    def stats(
        self,
        service_id: str | None = None,
        start: Day = None,
        end: Day = None,
        period: str = LAST_30_DAYS,
        previous: bool = False,
        time_zone: str = "UTC",
    ) -> Stats:
        """The numbers of a period, ready for JSON; minutes are rounded to hundredths."""
        asked = self._asked(start, end, period, previous, time_zone)
        scope, tally = self._scope(asked, service_id), Tally(asked)
        with self.transactions.read() as tx:
            self._take_counts(tx, asked, scope, tally)
            for names, times in self.history.times(tx, Span(asked.period.since, asked.period.until), scope):
                tally.take_times(names, times)
            self._take_changed(tx, Span(*asked.triggered), scope, tally)
        return _shown(tally.numbers(), asked, service_id)

    def report(
        self,
        service_id: str | None = None,
        period: str = MONTHLY,
        start: Day = None,
        end: Day = None,
        previous: bool = False,
        time_zone: str = "UTC",
    ) -> Report:
        """The numbers, and a line for each incident triggered in the period, the oldest first."""
        asked = self._asked(start, end, period, previous, time_zone)
        scope, tally = self._scope(asked, service_id), Tally(asked)
        with self.transactions.read() as tx:
            self._take_counts(tx, asked, scope, tally)
            self._take_changed(tx, Span(asked.triggered[0], asked.period.since), scope, tally)
            lines = list(self._take_and_list(tx, asked, scope, tally))
        stats = _shown(tally.numbers(), asked, service_id)
        about = {"service_id": service_id, "period": stats["period"], "time_zone": time_zone}
        return cast(Report, about | {"stats": stats, "incidents": lines})

    def _asked(self, start: Day, end: Day, period: str, previous: bool, time_zone: str) -> Frame:
        now, zone = self.clock(), zone_of(time_zone)
        here = now.astimezone(zone).date()
        if start is not None:
            meant = between(start, max(here, day_of(start)) if end is None else end, zone, time_zone)
        elif end is None:
            meant = named(period, here, zone, time_zone, previous)
        else:
            raise BadPeriod("A period that ends must begin: say from which day on.")
        if meant.since > now:
            raise BadPeriod(f"{meant.name} has not begun yet.")
        with self.transactions.read() as tx:
            began_at = self.history.began_at(tx)
        return frame(meant, now, self.rulebook.current().sla, began_at)

    def _scope(self, asked: Frame, service_id: str | None) -> Scope:
        return Scope(asked.as_of, self.default_service or UNKNOWN, service_id)

    def _take_counts(self, tx: Tx, asked: Frame, scope: Scope, tally: Tally) -> None:
        """Together with the times it is what ``totals.fold`` makes of every record, from what the store counts."""
        period = Span(asked.period.since, asked.period.until)
        for alerts in self.history.alerts(tx, period, scope):
            tally.take_alerts(alerts)
        for names, counts in self.history.counts(tx, period, scope):
            tally.take_counts(names, counts)
        for monday, week in asked.spans_of_weeks.items():
            for work in self.history.weekly(tx, Span(*week), scope):
                tally.take_week(monday, work)
        for raised_at, triggered_at in self.history.incomplete(tx, scope):
            tally.take_incomplete(raised_at, triggered_at)

    def _take_changed(self, tx: Tx, triggered: Span, scope: Scope, tally: Tally) -> None:
        """The incidents triggered then that have changed since ``as_of``: they alone are looked at moment by moment."""
        for incident in self.history.incidents(tx, triggered, scope, changed_only=True):
            if incident.changed and (state := state_at(incident.changed, scope.as_of)):
                tally.take_state(incident.changed, state)

    def _take_and_list(self, tx: Tx, asked: Frame, scope: Scope, tally: Tally) -> Iterator[IncidentLine]:
        """The same of the period's, each read once for both: its times, and its line."""
        for incident in self.history.incidents(tx, Span(asked.period.since, asked.period.until), scope):
            if incident.changed is None:
                tally.take_times(incident.names, incident.figures.times)
            elif state := state_at(incident.changed, asked.as_of):
                tally.take_state(incident.changed, state)
                incident = incident._replace(figures=figures_of(state))
            yield line_of(incident, asked.as_of)


def zone_of(name: str) -> tzinfo:
    """The time zone of that name. Raises ``BadPeriod``. https://www.iana.org/time-zones"""
    if name.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        said = f"{name[:60]!r} is no time zone this machine knows: write a name of the IANA list such as Europe/Berlin."
        raise BadPeriod(said) from None


# ------------------------------------------------------------------------------------------------ what is shown


def _shown(numbers: Numbers, asked: Frame, service_id: str | None) -> Stats:
    about = {"service_id": service_id, "period": days_of(asked), "time_zone": asked.period.time_zone}
    return cast(Stats, {**about, **rounded(numbers)})


def days_of(asked: Frame) -> figures.Period:
    """The period as reports show it."""
    period = asked.period
    return {
        "name": period.name,
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "as_of": asked.as_of.isoformat(timespec="seconds"),
        "record_since": asked.began_at.isoformat(timespec="seconds") if asked.began_at else None,
        "complete": asked.as_of == period.until - LAST_MOMENT,
    }


def line_of(incident: ListedIncident, as_of: datetime) -> IncidentLine:
    """An incident as it stood at ``as_of``."""
    names, stood, times = incident.names, incident.figures, incident.figures.times
    took, lasted = times.minutes_to_acknowledge, times.minutes_to_resolve
    return {
        "incident_number": incident.incident_number,
        "incident_id": incident.incident_id,
        "title": incident.title,
        # Plain texts and numbers alone: the collector of cycles passes over a hundred thousand such lines.
        "status": cast(IncidentStatus, stood.status.value),
        "urgency": names.urgency,
        "service_id": names.service_id,
        "triggered_at": times.triggered_at.isoformat(),
        "acknowledged_at": _instant(stood.acknowledged_at),
        "acknowledged_by": stood.acknowledged_by,
        "acknowledged_after_minutes": None if took is None else round(took, 2),
        "resolved_at": _instant(stood.resolved_at),
        "duration_minutes": round(times.minutes_until(as_of) if lasted is None else lasted, 2),
        "escalated": stood.escalated > 0,
        "reopened": stood.reopened,
        "merged": stood.merged,
        "history_incomplete": incident.incomplete,
        "rule": names.rule,
        "severity": names.severity,
        "alert_id": incident.alert_id,
        "verdict": incident.verdict,
        "url": incident.url,
    }


def _instant(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def rounded(value: T, name: str = "") -> T:
    """To hundredths, a rate to ten-thousandths, all the way down. A target's minutes stay as they were configured."""
    shown: Any = value
    if isinstance(value, float) and name != "minutes":
        shown = round(value, 4 if name == "rate" else 2)
    elif isinstance(value, dict):
        shown = {key: rounded(inner, key) for key, inner in value.items()}
    elif isinstance(value, list):
        shown = [rounded(inner) for inner in value]
    return cast(T, shown)


# ------------------------------------------------------------------------------------------------ beside PagerDuty's


@dataclass(frozen=True)
class Compare:
    """Asks PagerDuty once and changes nothing."""

    analytics: Analytics | None
    """None: there is no API key."""
    services: Sequence[str]
    """Those that the configuration names."""
    clock: Clock = utc_now

    def __call__(self, stats: Stats) -> Comparison:
        """``stats`` as ``Reports.stats`` gave them, number by number beside PagerDuty's; or why there is nothing."""
        since, until = (datetime.fromisoformat(at) for at in (stats["period"]["since"], stats["period"]["until"]))
        wanted = [stats["service_id"]] if stats["service_id"] else list(dict.fromkeys(self.services))
        if self.analytics is None:
            return _nothing("no_api_key", "Set PAGERDUTY_API_KEY: the analytics are asked with it.")
        if not wanted:
            return _nothing("no_service", "Name a service with --service, or set PAGERDUTY_SERVICE_ID.")
        if until - since > LONGEST:
            return _nothing("too_long", "PagerDuty answers for one year at most: ask for a shorter period.")
        reply = self.analytics.of_services(wanted, since, until)
        if not isinstance(reply, Done):
            return _nothing(reply.reason, "PagerDuty did not answer with numbers; `truthvouch doctor` checks the key.")
        ours = {one["name"]: one for one in stats["by_service"]}
        theirs = {one.service_id: one for one in reply.value}
        metrics = [theirs.get(service_id, ServiceMetrics(service_id)) for service_id in wanted]
        rows = [row for one in metrics for row in compared(ours.get(one.service_id), one)]
        differing = dict.fromkeys(row["number"] for row in rows if row["bridge"] != row["pagerduty"])
        notes = [LAGGING] if until > self.clock() - LAG else []
        return {"reason": None, "rows": rows, "notes": notes + [f"{number}: {WHY[number]}" for number in differing]}


def _nothing(reason: str, remedy: str) -> Comparison:
    return {"reason": reason, "rows": [], "notes": [remedy]}
