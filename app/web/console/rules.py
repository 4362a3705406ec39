"""The rules as loaded and what they do with an alert; escalations under way."""

from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from app.domain.model.types import Alert
from app.domain.rules.rulebook import RuleAction
from app.services.operator.console import ConsoleParts
from app.services.operator.overview import Overview
from app.services.rules.rulebook import Explanation, described, explained
from app.ui.standing import escalating
from app.web.access import Access, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, text_of, zone

MOST_ESCALATIONS = 200
MAX_BODY_BYTES = 1024 * 1024
WHY_NOT = {
    "not_json": "That is no JSON.",
    "empty": "That is empty.",
    "not_an_object": "That is no JSON object.",
    "ping": "That is a ping, about no alert.",
    "not_an_alert": "That is about no alert.",
    "no_alert_id": "That names no alert.",
}


def install(blueprint: Blueprint, frame: Frame, parts: ConsoleParts, look: Overview) -> None:
    """The routes of these pages."""

    def page(alert: Alert | None = None, recorded: str = "", fault: str = "", pasted: str = "") -> Response:
        book = parts.rules.current()
        explanation: Explanation | None = explained(book, alert, frame.clock()) if alert else None
        return frame.page(
            "rules.html", "rules", "Rules", book=book, fault=parts.rules.fault, explanation=explanation,
            recorded=recorded, why_not=fault, asked_alert=text_of("alert"), pasted=pasted,
            suppress=RuleAction.SUPPRESS,
        )  # fmt: skip

    @blueprint.get(f"{PREFIX}/rules", **ROUTE)
    @needs(Access.READ)
    def rules() -> Response:
        """The rules in order; with an alert's id, what they do with it and why."""
        wanted = text_of("alert")
        if not wanted:
            return page()
        found = parts.stored_alert(wanted)
        if found is None:
            return page(fault="The bridge knows no alert of this id.")
        alert, decision = found
        return page(alert, described(decision) if decision else "")

    @blueprint.post(f"{PREFIX}/rules", **ROUTE)
    @needs(Access.READ)
    def explain() -> Response:
        """What the rules do with a pasted alert. It changes nothing."""
        pasted = request.form.get("alert", "")
        if len(pasted.encode("utf-8", "replace")) > MAX_BODY_BYTES:
            abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        found = parts.alert_in(pasted.encode("utf-8", "replace"))
        if isinstance(found, str):
            return page(fault=WHY_NOT.get(found, f"That cannot be read ({found})."), pasted=pasted)
        return page(found, pasted=pasted)

    @blueprint.get(f"{PREFIX}/escalations", **ROUTE)
    @needs(Access.READ)
    def escalations() -> Response:
        """The escalations under way, the next due first, and what comes next."""
        every = text_of("every") == "yes"
        found = look.escalations(MOST_ESCALATIONS, every)
        rows = [
            (one, escalating(one, frame.clock(), zone()), address("alert", alert=one.alert_id) if one.alert_id else "")
            for one in found
        ]
        levels = parts.rules.current().escalation.levels
        return frame.page(
            "escalations.html", "escalations", "Escalations", rows=rows, every=every, has_levels=bool(levels),
            most=MOST_ESCALATIONS, is_cut=len(rows) == MOST_ESCALATIONS,
        )  # fmt: skip
