"""What people did, by whichever way: newest first, by person and by what it was about."""

from datetime import timedelta

from flask import Blueprint, Response

from app.ports.console import AuditEntry, AuditFilter, SubjectKind
from app.services.operator.workbench import Workbench
from app.web.access import Access, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, number_in, number_of, text_of

PAGE = 100
SPANS = {"24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}
LENGTHS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
WAYS = {
    "console": "console", "link": "link", "api": "API", "cli": "command line", "handler": "Python program",
}  # fmt: skip


def install(blueprint: Blueprint, frame: Frame, work: Workbench) -> None:
    """The route of this page."""

    @blueprint.get(f"{PREFIX}/audit", **ROUTE)
    @needs(Access.READ)
    def audit() -> Response:
        """The lines that are asked for, newest first."""
        chosen = {"by": text_of("by", 300), "about": text_of("about", 300), "since": text_of("since")}
        span, before = LENGTHS.get(chosen["since"]), number_of("before")
        since = frame.clock() - span if span else None
        found = work.audit.find(AuditFilter(since, chosen["by"], chosen["about"], before, PAGE))
        return frame.page(
            "audit.html", "audit", "Audit log", rows=[(one, WAYS[one.way], _address(one)) for one in found],
            chosen=chosen, spans=SPANS, filtered=any(chosen.values()),
            older=address("audit", **chosen, before=found[-1].number) if len(found) == PAGE else "",
            newest=address("audit", **chosen) if before else "",
        )  # fmt: skip


def _address(entry: AuditEntry) -> str:
    """Where a page tells more about it; empty where none does, or it may be gone by now."""
    match entry.subject_kind:
        case SubjectKind.ALERT:
            return address("links", q=entry.subject)
        case SubjectKind.JOB:
            number = number_in(entry.subject)
            return address("job", key=entry.subject) if number is None else address("job", job=number)
        case _:
            return ""
