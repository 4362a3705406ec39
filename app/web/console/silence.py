"""*Silence what looks like this*: which alerts are meant, what that would have kept quiet lately, and the button."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from app.domain.model.events import CommandType
from app.domain.model.text import clean, one_line, shortened
from app.domain.model.types import Alert, instant
from app.domain.rules.decide import LABELS, same_labels
from app.domain.rules.rulebook import Origin, Silence
from app.services.operator.console import LOOKBACK, ConsoleParts
from app.services.operator.operator import Operate
from app.services.rules.stored import MAX_NAME_CHARS, MAX_REASON_CHARS, problem_of, silence_as_text
from app.web.access import Access, actor, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, did, see_other, text_of
from app.web.console.overview import shown

LENGTHS = {
    "1h": ("1 hour", timedelta(hours=1)),
    "2h": ("2 hours", timedelta(hours=2)),
    "8h": ("8 hours", timedelta(hours=8)),
    "24h": ("24 hours", timedelta(hours=24)),
    "3d": ("3 days", timedelta(days=3)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}
USUAL_LENGTH = "2h"
USUAL_LABELS = ("kind", "model", "category")
UNTIL_CHARS = len(" until 2026-03-02 09:00:00")


def install(blueprint: Blueprint, frame: Frame, parts: ConsoleParts, operate: Operate) -> None:
    """The routes of this page."""

    @blueprint.get(f"{PREFIX}/silence", **ROUTE)
    @needs(Access.READ)
    def silence() -> Response:
        """Which alerts are meant, and what a silence would have kept quiet."""
        alert = _known(parts, text_of("alert", 2_000))
        labels = request.args.getlist("same") if text_of("for") else list(USUAL_LABELS)
        length = LENGTHS.get(text_of("for"), LENGTHS[USUAL_LENGTH])[1]
        return _page(frame, parts, alert, labels, frame.clock().replace(microsecond=0) + length)

    @blueprint.post(f"{PREFIX}/silence", **ROUTE)
    @needs(Access.ADMIN)
    def keep_quiet() -> Response:
        """Keep the silence in the store. Pressed twice it is the same one."""
        alert = _known(parts, request.form.get("alert", ""))
        labels, until = request.form.getlist("same"), instant(request.form.get("until", ""))
        if until is None or not same_labels(alert, labels):
            abort(HTTPStatus.BAD_REQUEST)
        wanted = _silence(alert, labels, until, request.form.get("reason", ""))
        if problem := _problem(wanted, frame.clock()):
            return _page(frame, parts, alert, labels, until, problem, wanted.reason)
        done = did(operate, CommandType.SILENCE, wanted.name, silence_as_text(wanted))
        return see_other(address("alert", alert=alert.alert_id, done=done))


def _known(parts: ConsoleParts, alert_id: str) -> Alert:
    found = parts.stored_alert(alert_id) if alert_id else None
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return found[0]


def _silence(alert: Alert, labels: Sequence[str], until: datetime, reason: str) -> Silence:
    """In the name of whoever asks; its own name says which alert it is like, and when it ends."""
    like = shortened(one_line(f"like {alert.alert_id}"), MAX_NAME_CHARS - UNTIL_CHARS).strip()
    name = "".join(filter(str.isprintable, like)) + f" until {until.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    owner = shortened(one_line(actor().name.removeprefix("console:")), MAX_NAME_CHARS).strip() or "somebody"
    owner = "".join(filter(str.isprintable, owner))
    return Silence(name, same_labels(alert, labels), owner, str(clean(reason)).strip(), until, None, Origin.STORE)


def _problem(wanted: Silence, now: datetime) -> str:
    return problem_of(wanted, now) if wanted.reason else "Say why, for whoever wonders about the quiet."


def _page(
    frame: Frame, parts: ConsoleParts, alert: Alert, labels: Sequence[str], until: datetime, problem: str = "",
    reason: str = "",
) -> Response:  # fmt: skip
    match = same_labels(alert, labels)
    found = parts.reads.silenced_by(match) if match else None
    return frame.page(
        "silence.html", "links", "Silence what looks like this", alert=alert, match=match, found=found,
        links=shown(found.found) if found else (), until=until, problem=problem, reason=reason,
        labels=[(name, value, name in labels) for name in LABELS if (value := getattr(alert, name))],
        lengths=[(key, label) for key, (label, _) in LENGTHS.items()],
        length=text_of("for") if text_of("for") in LENGTHS else USUAL_LENGTH, days=LOOKBACK.days,
        alert_address=address("alert", alert=alert.alert_id), max_reason=MAX_REASON_CHARS,
    )  # fmt: skip
