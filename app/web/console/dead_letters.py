"""Dead letters: what was given up, in the partner's own words; one or many are replayed or discarded."""

from http import HTTPStatus

from flask import Blueprint, Response, abort, redirect, request

from app.domain.model.events import CommandOutcome, CommandType
from app.ports import Page, Row
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview
from app.ui.standing import given_up
from app.web.access import Access, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, as_actor, number_of, outcome_of, text_of

PAGE = 50
ACTIONS = {"replay": CommandType.REPLAY, "discard": CommandType.DISCARD}
WORST = (
    CommandOutcome.NO_SUCH_DEAD_LETTER,
    CommandOutcome.NOT_TAKEN,
    "nobody",
    "stored",
    CommandOutcome.STILL_UNREADABLE,
    CommandOutcome.GONE,
    CommandOutcome.NOTHING_TO_DO,
    CommandOutcome.REPLAYED,
    CommandOutcome.DISCARDED,
)
"""Of many outcomes the first of these is told."""


def install(blueprint: Blueprint, frame: Frame, operate: Operate, look: Overview) -> None:
    """The routes of these pages."""

    @blueprint.get(f"{PREFIX}/dead-letters", **ROUTE)
    @needs(Access.READ)
    def dead_letters() -> Response:
        """Those that wait for a decision, or those that had one."""
        closed, after = text_of("closed") == "yes", number_of("after") or 0
        rows = look.dead_letters(Page(PAGE, after), closed)
        more = (
            address("dead-letters", closed="yes" if closed else "", after=rows[-1]["id"]) if len(rows) == PAGE else ""
        )
        return frame.page(
            "dead_letters.html", "dead_letters", "Dead letters", rows=[_row(row) for row in rows], closed=closed,
            more=more, first=address("dead-letters", closed="yes" if closed else "") if after else "",
            done_count=number_of("count"),
        )  # fmt: skip

    @blueprint.post(f"{PREFIX}/dead-letters", **ROUTE)
    @needs(Access.ADMIN)
    def decide() -> Response:
        """Replay or discard those that are ticked."""
        action, numbers = _asked()
        if action is None or not all(text.isascii() and text.isdecimal() and len(text) <= 18 for text in numbers):
            abort(HTTPStatus.BAD_REQUEST)
        outcomes = [outcome_of(result) for result in as_actor(operate).all(action, list(dict.fromkeys(numbers)))]
        worst = min(outcomes, key=lambda word: WORST.index(word) if word in WORST else len(WORST), default="")
        back = request.form.get("alert", "")
        target = address("alert", alert=back, done=worst) if back else address("dead-letters", done=worst)
        response = redirect(target, HTTPStatus.SEE_OTHER)
        assert isinstance(response, Response)
        return response


def _asked() -> tuple[CommandType | None, list[str]]:
    """What is to be done, with which: with one by its own button (``7:replay``), or with those that are ticked."""
    number, _, only = request.form.get("only", "").partition(":")
    if only:
        return ACTIONS.get(only), [number]
    return ACTIONS.get(request.form.get("action", "")), request.form.getlist("id")[:PAGE]


def _row(row: Row) -> dict[str, object]:
    """One dead letter with what it is about, and the address of its alert."""
    about = given_up(row["kind"], row["effect"])
    return {**row, "about": about, "address": address("alert", alert=row["alert_id"]) if row["alert_id"] else ""}
