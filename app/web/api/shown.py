"""How rows, pieces of lists and granted wishes look in JSON."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Response

from app.ports import Page, Row
from app.services.operate import UNKNOWN, Granted
from app.web import answers


def plain(value: Any) -> Any:
    """Instants as ISO 8601, all else as it is."""
    match value:
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _:
            return value


def piece(name: str, rows: Sequence[Row], page: Page) -> Response:
    """A piece of a list; ``next_after`` is null at its end."""
    more = rows[-1]["id"] if len(rows) == page.limit else None
    return answers.told({name: plain(rows), "next_after": more})


def one(row: Row) -> Response:
    """One thing."""
    return answers.told(plain(row))


def wish(granted: Granted) -> Response:
    """200 when it is done, 202 when it is stored, 404 when there is nothing to do it to."""
    if granted.outcome in UNKNOWN:
        return unknown(granted.outcome, granted.words)
    said = {"outcome": granted.outcome or None, "message": granted.words, "wish": granted.key or None}
    if granted.outcome:
        return answers.told({"status": "done", **said})
    return answers.told({"status": "stored", **said}, HTTPStatus.ACCEPTED)


def unknown(code: str, message: str) -> Response:
    """What was asked about does not exist."""
    return answers.refusal(code, message, HTTPStatus.NOT_FOUND)
