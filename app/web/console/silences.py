"""Silences: those of the file, those made here; one is made after a look at what it would have silenced."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, request

from app.domain.model.events import CommandType
from app.domain.model.types import instant
from app.domain.rules.rulebook import Origin, Silence
from app.services.operator.operator import Operate
from app.services.operator.workbench import Workbench
from app.services.rules.stored import LOOKBACK, Preview, silence_as_text
from app.web.access import Access, actor, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, did, key_of_form, see_other, text_of

LENGTHS = {
    "30m": timedelta(minutes=30), "1h": timedelta(hours=1), "2h": timedelta(hours=2), "4h": timedelta(hours=4),
    "8h": timedelta(hours=8), "1d": timedelta(days=1), "3d": timedelta(days=3), "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}  # fmt: skip
SPANS = {
    "30m": "30 minutes", "1h": "1 hour", "2h": "2 hours", "4h": "4 hours", "8h": "8 hours", "1d": "1 day",
    "3d": "3 days", "7d": "7 days", "30d": "30 days",
}  # fmt: skip
USUAL = "2h"
FIELDS = ("match", "for", "owner", "reason", "name")


def install(blueprint: Blueprint, frame: Frame, work: Workbench, operate: Operate) -> None:
    """The routes of these pages."""

    def page(asked: dict[str, str], preview: Preview | None = None, silence: Silence | None = None) -> Response:
        now, looked_at = frame.clock(), {}
        if silence is not None:
            looked_at = asked | {"name": silence.name, "until": silence.until.isoformat()}
        standing = [(silence, silence.standing(now)) for silence in work.silences()]
        return frame.page(
            "silences.html", "silences", "Silences",
            in_store=[one for one in standing if one[0].origin is Origin.STORE],
            in_file=[one for one in standing if one[0].origin is Origin.FILE],
            version=work.rules.current().version, wanted=asked, preview=preview, looked_at=looked_at,
            until=silence.until if silence else None, spans=SPANS, days=LOOKBACK.days,
        )  # fmt: skip

    @blueprint.get(f"{PREFIX}/silences", **ROUTE)
    @needs(Access.READ)
    def silences() -> Response:
        """All silences, with how each stands. What the address says already stands in the form."""
        given = {name: text_of(name, 4_000) for name in FIELDS}
        lasting = given["for"] if given["for"] in LENGTHS else USUAL
        return page(given | {"for": lasting, "owner": given["owner"] or _me()})

    @blueprint.post(f"{PREFIX}/silences", **ROUTE)
    @needs(Access.ADMIN)
    def change_silence() -> Response:
        """Look at what one would have silenced, make it, or end one."""
        action, name = request.form.get("action"), request.form.get("name", "")
        if action == "end":
            return see_other(address("silences", done=did(operate, CommandType.END_SILENCE, name, key=key_of_form())))
        if action not in ("preview", "add"):
            abort(HTTPStatus.BAD_REQUEST)
        asked = {name: request.form.get(name, "").strip() for name in FIELDS}
        until = instant(request.form.get("until", ""))
        silence = _silence(asked, frame.clock(), until)
        preview = work.preview(silence)
        is_agreed = not preview.is_for_all or request.form.get("all") == "yes"
        if preview.problem or action == "preview" or not is_agreed:
            return page(asked, preview, silence)
        done = did(operate, CommandType.SILENCE, silence.name, silence_as_text(silence), key_of_form())
        return see_other(address("silences", done=done))


def _silence(asked: dict[str, Any], now: datetime, until: datetime | None) -> Silence:
    """As the form has it; to the second, for people read it. ``until``: as a look at it has fixed it, with its name, so
    that the button is for one silence however late or often it is pressed."""
    lasting = LENGTHS.get(asked["for"])
    if lasting is None:
        abort(HTTPStatus.BAD_REQUEST)
    now = now.replace(microsecond=0)
    name = asked["name"] or f"silence {now:%Y-%m-%d %H:%M:%S}"
    return Silence(name, asked["match"], asked["owner"], asked["reason"], until or now + lasting, None, Origin.STORE)


def _me() -> str:
    return actor().name.removeprefix("console:")
