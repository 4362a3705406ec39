"""Drafts of rules: kept in the store, tried over the alerts that came, asked beside the rules in force."""

from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from app.domain.model.events import CommandType
from app.ports.jobs import BacktestWanted
from app.services.operator.operator import Operate
from app.services.operator.workbench import UNTITLED, Workbench
from app.services.rules.stored import MAX_DRAFT_BYTES, MAX_NAME_CHARS
from app.web.access import Access, needs
from app.web.console.frame import (
    PREFIX,
    ROUTE,
    Frame,
    address,
    did,
    key_of_form,
    may_change,
    see_other,
    storable,
    text_of,
)
from app.web.console.jobs import started

SPANS = {"24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days", "90d": "the last 90 days"}
LENGTHS = {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30), "90d": timedelta(days=90)}
PASTED = " pasted"
"""What is tried, where it is no stored draft: no name begins with a blank. Nothing: the rules in force."""
ACTIONS = {"delete": CommandType.DELETE_DRAFT, "shadow": CommandType.SHADOW_DRAFT}


def install(blueprint: Blueprint, frame: Frame, work: Workbench, operate: Operate) -> None:
    """The routes of these pages."""

    @blueprint.get(f"{PREFIX}/drafts", **ROUTE)
    @needs(Access.READ)
    def drafts() -> Response:
        """All of them; with a name, that one to be changed. A text may hold more than rules: only whoever may change it
        reads it."""
        name = text_of("draft")
        found = work.stored.draft(name) if name else None
        if name and found is None:
            abort(HTTPStatus.NOT_FOUND)
        return _page(frame, work, name, found.text if found and may_change() else "")

    @blueprint.post(f"{PREFIX}/drafts", **ROUTE)
    @needs(Access.ADMIN)
    def change_draft() -> Response:
        """Keep a draft, remove one, ask one beside the rules, or none any more."""
        name, action = storable(request.form.get("draft", "")).strip(), request.form.get("action", "")
        if action in ACTIONS:
            return see_other(address("drafts", done=did(operate, ACTIONS[action], name, key=key_of_form())))
        text = _text_of_form()
        if faults := work.faults_of(text, name or UNTITLED) if text.strip() else ("The draft is empty.",):
            return _page(frame, work, name, text, faults)
        return see_other(address("drafts", done=did(operate, CommandType.SAVE_DRAFT, name, text, key_of_form())))

    @blueprint.post(f"{PREFIX}/backtest", **ROUTE)
    @needs(Access.ADMIN)
    def start_backtest() -> Response:
        """Try a draft over the alerts that came: a job."""
        chosen, span = storable(request.form.get("draft", "")), LENGTHS.get(request.form.get("since", ""))
        if span is None:
            abort(HTTPStatus.BAD_REQUEST)
        is_pasted, now = chosen == PASTED, frame.clock()
        text = _text_of_form() if is_pasted else ""
        wanted = BacktestWanted(now - span, now, "" if is_pasted else chosen, text)
        faults = work.problem_of_backtest(wanted) if text.strip() or not is_pasted else ("Nothing is pasted.",)
        return _page(frame, work, faults=faults, tried=text) if faults else started(operate, work.encode_job(wanted))

    @blueprint.get(f"{PREFIX}/shadow", **ROUTE)
    @needs(Access.READ)
    def shadow() -> Response:
        """Where the draft beside the rules decided otherwise."""
        since = text_of("since") if text_of("since") in LENGTHS else "7d"
        found = work.shadow_results(frame.clock() - LENGTHS[since])
        return frame.page("shadow.html", "drafts", "What the draft beside the rules says", found=found, since=since,
                          spans=SPANS)  # fmt: skip


def _page(
    frame: Frame, work: Workbench, name: str = "", text: str = "", faults: Sequence[str] = (), tried: str = ""
) -> Response:
    """``faults``: what is wrong with what was to be kept, or with what was to be ``tried``."""
    found, shadow = work.stored.drafts()
    return frame.page(
        "drafts.html", "drafts", "Drafts and backtests", rows=found, shadow=shadow, name=name, text=text, faults=faults,
        tried=tried, given=request.form, spans=SPANS,
        in_file=work.rules.current().shadow, max_name=MAX_NAME_CHARS, pasted=PASTED,
    )  # fmt: skip


def _text_of_form() -> str:
    text = request.form.get("text", "").replace("\r\n", "\n")
    if len(text.encode("utf-8", "replace")) > MAX_DRAFT_BYTES:
        abort(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return text
