"""Reports: every period of the command, compared with the period before; CSV and HTML as attachments."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response

from app.domain.reports.figures import Report, Stats
from app.domain.reports.period import NAMERS, BadPeriod
from app.services.operator.console import ConsoleParts
from app.services.reports.report import Reports
from app.ui import tables
from app.web.access import Access, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, text_of, zone_name

PERIODS = (*NAMERS, "7d", "30d", "90d")
MOST_INCIDENTS = 100
"""Of the list on the page; the attachments have them all."""
FORMATS = {"csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8"}


def install(blueprint: Blueprint, frame: Frame, parts: ConsoleParts) -> None:
    """The routes of these pages."""

    @blueprint.get(f"{PREFIX}/reports", **ROUTE)
    @needs(Access.READ)
    def reports() -> Response:
        """A period in numbers, beside the period before."""
        asked = _asked()
        made, before, fault = None, None, ""
        try:
            made = parts.reports().report(**asked)
            before = before_of(parts.reports(), made, asked)
        except BadPeriod as bad:
            fault = str(bad)
        chosen = {"period": asked["period"], "previous": "yes" if asked["previous"] else ""}
        chosen["service"] = asked["service_id"] or ""
        files = {form: address("reports/file", **chosen, format=form) for form in FORMATS}
        return frame.page(
            "reports.html", "reports", "Reports", made=made, fault=fault, chosen=chosen, periods=PERIODS,
            files=files if made else {}, **_shown(made, before),
        )  # fmt: skip

    @blueprint.get(f"{PREFIX}/reports/file", **ROUTE)
    @needs(Access.READ)
    def report_file() -> Response:
        """The same period as a file."""
        form, asked = text_of("format"), _asked()
        if form not in FORMATS:
            return frame.page("message.html", "reports", "No such format", HTTPStatus.BAD_REQUEST,
                              text="A report is a file as csv or html.", detail="")  # fmt: skip
        try:
            made = parts.reports().report(**asked)
        except BadPeriod as bad:
            return frame.page("message.html", "reports", "No such period", HTTPStatus.BAD_REQUEST,
                              text=str(bad), detail="")  # fmt: skip
        response = Response(_written(parts.reports(), made, asked, form), content_type=FORMATS[form])
        name = f"truthvouch-report-{made['period']['name']}.{form}"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


def _asked() -> dict[str, Any]:
    return {
        "service_id": text_of("service", 64) or None,
        "period": text_of("period", 40) or "30d",
        "previous": text_of("previous") == "yes",
        "time_zone": zone_name(),
    }


def before_of(reports: Reports, made: Report, asked: dict[str, Any]) -> Stats | None:
    """The numbers of the period before."""
    try:
        return reports.stats(**{**asked, "period": made["period"]["name"], "previous": True})
    except BadPeriod:
        return None


def _written(reports: Reports, made: Report, asked: dict[str, Any], form: str) -> bytes:
    if form == "csv":
        from app.ui import text

        return text.incidents(made).encode("utf-8-sig", "replace")
    from app.ui.report_page import page

    made["before"] = before_of(reports, made, asked)
    return page(made).encode("utf-8", "replace")


def _shown(made: Report | None, before: Stats | None) -> dict[str, Any]:
    if made is None:
        return {"span": "", "remarks": [], "facts": [], "sections": [], "incidents": None, "newest": []}
    from app.ui.report_page import facts

    stats = made["stats"]
    listed = tables.incidents(made, MOST_INCIDENTS)
    return {
        "span": tables.span(made),
        "remarks": tables.remarks(made),
        "facts": list(facts(stats, before)),
        "sections": list(_sections(stats)),
        "incidents": listed,
        "newest": listed.rows,
    }


def _sections(stats: Stats) -> Iterator[tables.Table]:
    yield tables.overview(stats)
    yield tables.times(stats)
    yield tables.sla(stats)
    for by in ("severity", "rule", "service"):
        yield tables.groups(stats, by)
    yield tables.alerts(stats)
    yield tables.capacity(stats)
