"""Parameters of a request, checked; whatever is wrong with them is said in one answer."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError, fields, validate

from app.ports import Page

MAX_NUMBER = 10**18 - 1
"""Below what a column holds; eighteen digits."""
DEFAULT_LIMIT, MAX_LIMIT = 50, 500
KEY = re.compile(r"[A-Za-z0-9._~+/=:-]{1,100}", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,18}")


class BadRequest(Exception):
    """A parameter that cannot be; the message says which and why."""


class Number(fields.Integer):
    """Digits and nothing else: Python would also read ``1_000``, other scripts' digits and spaces around them."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> Any:
        if not _DIGITS.fullmatch(str(value)):
            raise ValidationError("Not a whole number of at most 18 digits.")
        return super()._deserialize(value, attr, data, **kwargs)


def flag(**options: Any) -> fields.Boolean:
    """``true`` or ``false``."""
    return fields.Boolean(truthy={"true"}, falsy={"false"}, **options)


class Instant(fields.Field[datetime]):
    """An instant with its offset."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise ValidationError("Not an instant such as 2026-05-04T09:00:00Z.")
        return found


class Paged(Schema):
    """A piece of a list."""

    limit = Number(load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT))
    after = Number(load_default=0)


class LetterPath(Schema):
    """The number of a dead letter."""

    letter_id = Number(required=True, validate=validate.Range(1))


def query(schema: Schema) -> dict[str, Any]:
    """The query of this request. Raises ``BadRequest``, also for a name that means nothing or comes twice."""
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        raise BadRequest(f"{_named(twice[0])}: given more than once.")
    return load(schema, request.args.to_dict())


def load(schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """These values, checked. Raises ``BadRequest``."""
    try:
        read: dict[str, Any] = schema.load(given)
    except ValidationError as fault:
        raise BadRequest(_said(fault.messages_dict)) from fault
    return read


def letter_id(text: str) -> int:
    """The number of a dead letter in a path. Raises ``BadRequest``."""
    return int(load(LetterPath(), {"letter_id": text})["letter_id"])


def page_of(read: Mapping[str, Any]) -> Page:
    """The piece of the list that was asked for."""
    return Page(read["limit"], read["after"])


def idempotency_key() -> str:
    """The ``Idempotency-Key`` of this request, empty without one. Raises ``BadRequest``."""
    given = request.headers.get("Idempotency-Key")
    if given is not None and not KEY.fullmatch(given):
        raise BadRequest("Idempotency-Key: 1 to 100 letters, digits or ._~+/=:- are needed.")
    return given or ""


def _said(messages: Mapping[Any, Any]) -> str:
    return " ".join(f"{_named(str(name))}: {' '.join(map(str, why))}" for name, why in messages.items())[:500]


def _named(name: str) -> str:
    return name[:50] if name.isprintable() else "A parameter"
