"""Parameters of a request, checked."""

import re
from collections.abc import Mapping
from typing import Any

from flask import request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

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


class Body(Schema):
    """What a request carries as JSON."""

    class Meta:
        """Whatever else comes is refused by name."""

        unknown = RAISE


class Paged(Schema):
    """A piece of a list."""

    limit = Number(load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT))
    after = Number(
        load_default=0,
        validate=validate.Range(0, MAX_NUMBER),
        metadata={"description": "`next_after` of the piece before."},
    )


class Numbered(Schema):
    """The number in a path."""

    id = Number(required=True, validate=validate.Range(1))


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
        faults = (f"{_named(str(name))}: {' '.join(map(str, why))}" for name, why in fault.messages_dict.items())
        raise BadRequest(" ".join(faults)[:500]) from fault
    return read


def page_of(read: Mapping[str, Any]) -> Page:
    """The piece of the list that was asked for."""
    return Page(read["limit"], read["after"])


def idempotency_key() -> str:
    """The ``Idempotency-Key`` of this request, empty without one. Raises ``BadRequest``."""
    given = request.headers.get("Idempotency-Key")
    if given is not None and not KEY.fullmatch(given):
        raise BadRequest("Idempotency-Key: 1 to 100 letters, digits or ._~+/=:- are needed.")
    return given or ""


def _named(name: str) -> str:
    return name[:50] if name.isprintable() else "A parameter"
