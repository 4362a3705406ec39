"""Marshmallow schemas of the API's answers, made from the ``TypedDict`` each answer already is: nothing is said twice.

A key that the shape does not name never gets out. The docstring below a key is its description in the API's document.
"""

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from marshmallow import RAISE, Schema, ValidationError, fields, validate

REQUEST_ID = "Finds the request in the log."


class Instant(fields.Field[datetime]):
    """An instant with its offset, as ISO 8601."""

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.isoformat()

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> datetime:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise ValidationError("Not an instant such as 2026-05-04T09:00:00Z.")
        return found


class Free(fields.Field[Any]):
    """Any JSON; instants as ISO 8601."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> Any:
        return plain(value)


class Shape(Schema):
    """What an answer holds: these keys and no other."""

    of: ClassVar[type | None] = None
    """The ``TypedDict`` it is made from."""

    class Meta:
        """Part of the document: no further property."""

        unknown = RAISE


@cache
def schema_of(shape: type) -> type[Schema]:
    """The schema of a ``TypedDict``. Raises ``TypeError`` for a type that JSON has no word for."""
    optional: frozenset[str] = getattr(shape, "__optional_keys__", frozenset())
    members = {name: _field(hint, name not in optional) for name, hint in get_type_hints(shape).items()}
    return type(shape.__name__, (Shape,), {**members, "of": shape})


@cache
def answer_of(shape: type) -> type[Schema]:
    """The same as a whole answer: with the id of its request."""
    return type(f"{shape.__name__.removesuffix('Answer')}Answer", (schema_of(shape),), {"request_id": _request_id()})


@cache
def page_of_shape(name: str, shape: type) -> type[Schema]:
    """A piece of a list of them, under ``name``."""
    members = {
        name: fields.List(fields.Nested(schema_of(shape)), required=True),
        "next_after": fields.Integer(
            required=True, allow_none=True, metadata={"description": "`after` of the next piece; null at the end."}
        ),
        "request_id": _request_id(),
    }
    return type(f"{name.title().replace('_', '')}Page", (Shape,), members)


def plain(value: Any) -> Any:
    """Instants as ISO 8601, words of ours as text, all else as it is."""
    match value:
        case datetime():
            return value.isoformat()
        case StrEnum():
            return value.value
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _:
            return value


def _request_id() -> fields.Field[Any]:
    return fields.String(required=True, metadata={"description": REQUEST_ID})


def _field(hint: Any, required: bool) -> fields.Field[Any]:
    kinds, none = _without_none(hint)
    options: dict[str, Any] = {"required": required, "allow_none": none}
    origin, inner = get_origin(kinds), get_args(kinds)
    if origin is Literal:
        return fields.String(validate=validate.OneOf(inner), **options)
    if origin in (list, tuple, Sequence) and inner:
        return fields.List(_field(inner[0], True), **options)
    if origin in (dict, Mapping) and inner and inner[1] not in (Any, object):
        return fields.Dict(fields.String(), _field(inner[1], True), **options)
    if kinds in (Any, object) or origin in (dict, Mapping) or kinds in (dict, Mapping):
        return Free(**options)
    if isinstance(kinds, type) and issubclass(kinds, StrEnum):
        return fields.String(validate=validate.OneOf([one.value for one in kinds]), **options)
    if isinstance(kinds, type) and hasattr(kinds, "__required_keys__"):
        return fields.Nested(schema_of(kinds), **options)
    if kinds in _PLAIN:
        return _PLAIN[kinds](**options)
    raise TypeError(f"no field for {hint!r}")


_PLAIN: Mapping[Any, type[fields.Field[Any]]] = {
    str: fields.String,
    int: fields.Integer,
    float: fields.Float,
    bool: fields.Boolean,
    datetime: Instant,
}


def _without_none(hint: Any) -> tuple[Any, bool]:
    """The type, and whether it may be null. A ``NewType`` is what it is made of."""
    hint = getattr(hint, "__supertype__", hint)
    if get_origin(hint) not in (Union, UnionType):
        return hint, False
    kinds = [one for one in get_args(hint) if one is not NoneType]
    if len(kinds) != 1:
        raise TypeError(f"no field for {hint!r}")
    return getattr(kinds[0], "__supertype__", kinds[0]), len(kinds) < len(get_args(hint))


def descriptions(shape: type) -> dict[str, str]:
    """The docstring below each key, its base classes' included; none where the source is not there."""
    found: dict[str, str] = {}
    for one in reversed([shape, *getattr(shape, "__orig_bases__", ())]):
        if not isinstance(one, type) or not hasattr(one, "__required_keys__"):
            continue
        try:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        except (OSError, TypeError, ValueError):
            continue
        body = tree.body if isinstance(tree, ast.ClassDef) else []
        for key, text in pairwise(body):
            if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name) and isinstance(text, ast.Expr):
                found[key.target.id] = " ".join(str(getattr(text.value, "value", "")).split())
    return found
