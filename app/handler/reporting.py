"""The part of the handler that counts."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from app.errors import WrongUse
from app.handler.opened import Json, Opened


class Reporting(Opened):
    """Reads the bridge's own record; calls nobody."""

    def get_incident_stats(
        self, service_id: str | None, start_date: date | str, end_date: date | str, time_zone: str = "UTC"
    ) -> Json:
        """Numbers of the bridge's own record: ``total``, ``avg_resolution_minutes``, ``escalated`` and more.

        Whole days, both included, in ``time_zone``; ``service_id`` None = every service. The average is None where
        nothing was resolved. PagerDuty's own analytics lag by up to a day (docs/reports.md).
        """
        with self._reports() as reports:
            return dict(reports.stats(service_id=service_id, start=start_date, end=end_date, time_zone=time_zone))

    def generate_report(self, service_id: str | None, period: str = "monthly", time_zone: str = "UTC") -> Json:
        """``{"period", "time_zone", "stats", "incidents": [{"incident_number", "title", "status", ...}]}``.

        ``period``: ``daily``, ``weekly``, ``monthly``, ``quarterly`` (the one that contains now, so far), ``30d``,
        ``2024-03``, ``2024-Q1``.
        ``duration_minutes`` of an open incident is its age.
        """
        with self._reports() as reports:
            return dict(reports.report(service_id=service_id, period=period, time_zone=time_zone))

    @contextmanager
    def _reports(self) -> Iterator[Any]:
        from app.bootstrap.handler_bridge import no_bridge
        from app.bootstrap.reports import open_reports
        from app.domain.stats_period import BadPeriod
        from app.ports import StoreUnavailable

        try:
            with open_reports(self._hand.given) as reports:
                yield reports
        except BadPeriod as fault:
            raise WrongUse("bad_period", f"{fault}".rstrip(".") + ".") from fault
        except StoreUnavailable as fault:
            no_bridge(self._hand.given, "Reports come from the bridge's own record", fault)
