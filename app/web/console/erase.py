"""Erase what alerts say, at once: what goes and what stays, asked once more, then one by a command or many by a job."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from app.domain.model.events import CommandType
from app.ports.console import LinkFilter
from app.ports.jobs import EraseWanted
from app.services.operator.console import ConsoleParts
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview
from app.web.access import Access, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, did, number_in, see_other, storable, text_of
from app.web.console.jobs import started
from app.web.console.links import FILTERS, filter_of

MAX_TICKED = 200
MAX_COUNTED = 2_000
"""Of what a filter finds, as many are counted, and as many with these words are erased at once."""


def install(blueprint: Blueprint, frame: Frame, parts: ConsoleParts, operate: Operate, look: Overview) -> None:
    """The routes of this page."""

    @blueprint.get(f"{PREFIX}/erase", **ROUTE)
    @needs(Access.ADMIN)
    def erase() -> Response:
        """What would go and what would stay: of one alert, or of all that a filter finds."""
        if alert_id := text_of("alert", 2_000):
            return _ask(frame, look, [alert_id])
        chosen = {name: text_of(name) for name in FILTERS}
        if not any(chosen.values()):
            abort(HTTPStatus.NOT_FOUND)
        return _ask_about_filter(frame, parts, chosen)

    @blueprint.post(f"{PREFIX}/erase", **ROUTE)
    @needs(Access.ADMIN)
    def erase_for_ever() -> Response:
        """Erase; what was not confirmed is asked first."""
        alerts = list(dict.fromkeys(filter(None, request.form.getlist("alert"))))[:MAX_TICKED]
        confirmed = request.form.get("confirmed") == "yes"
        if alerts and not confirmed:
            return _ask(frame, look, alerts)
        if len(alerts) == 1:
            return see_other(address("alert", alert=alerts[0], done=did(operate, CommandType.ERASE, alerts[0])))
        wanted = EraseWanted(tuple(alerts)) if alerts else _by_filter(frame, parts)
        if wanted is None or not confirmed:
            abort(HTTPStatus.BAD_REQUEST)
        return started(operate, parts.work.encode_job(wanted))


def _ask(frame: Frame, look: Overview, alerts: Sequence[str]) -> Response:
    found = [row for one in alerts if (row := look.evidence(one))]
    if not found:
        abort(HTTPStatus.NOT_FOUND)
    title = f"Erase {found[0]['alert_id']}" if len(found) == 1 else f"Erase {len(found)} alerts"
    return frame.page(
        "erase.html", "links", title, rows=found, chosen={}, count=len(found), is_cut=False, upto="",
        back=address("alert", alert=found[0]["alert_id"]) if len(found) == 1 else address("links"),
    )  # fmt: skip


def _ask_about_filter(frame: Frame, parts: ConsoleParts, chosen: Mapping[str, str]) -> Response:
    found = parts.reads.find(replace(filter_of(chosen, frame.clock()), limit=MAX_COUNTED))
    is_cut = len(found) == MAX_COUNTED
    return frame.page(
        "erase.html", "links", "Erase what was found", rows=(), chosen=chosen, count=len(found), is_cut=is_cut,
        upto=found[0].number + 1 if found else "", back=address("links", **chosen),
    )  # fmt: skip


def _by_filter(frame: Frame, parts: ConsoleParts) -> EraseWanted | None:
    """What the filter found when it was asked about, and no alert that came since. Words of a title are kept in no job:
    with them, the alerts are named."""
    chosen = {name: storable(request.form.get(name, "")).strip()[:600] for name in FILTERS}
    before = number_in(request.form.get("upto", ""))
    if before is None or not any(chosen.values()):
        return None
    wanted: LinkFilter = replace(filter_of(chosen, frame.clock()), before=before, limit=MAX_COUNTED)
    if not wanted.text:
        return EraseWanted(chosen=wanted)
    found = tuple(one.alert_id for one in parts.reads.find(wanted))
    return EraseWanted(found) if found else None
