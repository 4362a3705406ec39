"""Reading a partner's bytes without ever failing: JSON, texts and ids made safe to store.

Both partner rooms need exactly this and may not import one another, so it lives below them.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Self

from app.domain.alert import Scalar

MAX_ID_CHARS = 512
"""Longer ids would not fit a PostgreSQL index entry (2,704 bytes); no vendor's id comes near it."""
MAX_DELIVERY_ID_BYTES = 200
MAX_DIGITS = 600
"""Of a whole number. To convert more takes ever longer, and no setting of Python refuses fewer than 640.
https://docs.python.org/3/library/stdtypes.html#int-max-str-digits"""
MAX_EXACT_INT = 2**63 - 1
"""Larger integers fit neither store's integer column nor anybody else's JSON reader."""

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a body is not a JSON object: ``empty``, ``content_encoding``, ``not_utf8``, ``too_deep``,
    ``not_json`` or ``not_an_object``."""

    reason: str


def read_object(body: bytes, content_encoding: str | None = None) -> Mapping[str, object] | Fault:
    """The JSON object in these bytes, or why there is none. Never raises.

    Of duplicate keys the last wins.
    A ``Content-Encoding`` other than ``identity`` is never decoded: a bomb would be opened before it is known.
    """
    if content_encoding and content_encoding.strip().lower() not in ("", "identity"):
        return Fault("content_encoding")
    value = decode(body)
    if isinstance(value, Fault | dict):
        return value
    return Fault("not_an_object")


def decode(body: bytes) -> object:
    """The JSON value in these bytes, or a ``Fault``. Never raises.

    NaN and Infinity are let in, for Python services send them and a page is not to be lost over one number;
    ``scalar_of`` lets them no further. A whole number of more digits than Python likes to convert stays a text.
    """
    try:
        text = (body[3:] if body.startswith(_BOM) else body).decode()
        return json.loads(text, parse_int=_whole_number, parse_float=_WrittenFloat) if text.strip() else Fault("empty")
    except UnicodeDecodeError:
        return Fault("not_utf8")
    except RecursionError:
        return Fault("too_deep")
    except ValueError:
        return Fault("not_json")


class _WrittenFloat(float):
    """A number with a point or an exponent that keeps its text: an id of eighteen digits is more than a float holds."""

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = str(text)
        return number


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_DIGITS else digits


def clean(text: str) -> str:
    """``text`` as every store and every wire can hold it: lone surrogates and NUL are written out as escapes.

    Different texts stay different, so two odd ids never become one.
    """
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\u0000")


def text_of(value: object, limit: int | None = None) -> str | None:
    """A non-blank text, cleaned and cut to ``limit`` characters; None for anything else."""
    if not isinstance(value, str) or not value.strip():
        return None
    return clean(value if limit is None else value[:limit])


def id_of(value: object) -> str | None:
    """An opaque id: a non-blank text, or a number as text (``123.0`` is ``123``); None for anything else.

    Numbers that differ in any digit stay different.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return _exactly(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, int) else text_of(value)


def _exactly(number: float) -> str:
    text = number.text if isinstance(number, _WrittenFloat) else repr(number)
    try:
        exact = Decimal(text)
    except InvalidOperation:  # an exponent of nineteen digits or more
        return text
    if exact == exact.to_integral_value():
        return str(int(exact))
    return repr(number) if exact == Decimal(repr(number)) else text


def scalar_of(value: object, limit: int) -> Scalar:
    """A JSON scalar both stores can hold; None for everything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_EXACT_INT else None
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return text_of(value, limit)


def table_of(value: object) -> Mapping[str, object]:
    """A JSON object, or an empty one in its place."""
    return value if isinstance(value, dict) else {}


def delivery_id(vendors: object, body: bytes, event: str = "", subject: str = "") -> str:
    """What makes two deliveries the same: the vendor's own id with the event's type and its subject, for one id may
    stand over several events; else the SHA-256 of the body.

    What is too long or too odd to be stored as it is stands as its own SHA-256.
    """
    if not isinstance(vendors, str) or not vendors.strip():
        return hashlib.sha256(body).hexdigest()
    parts = [vendors, event, subject]
    text = ":".join(parts)
    is_plain = text.count(":") == 2 and clean(text) == text and len(text.encode()) <= MAX_DELIVERY_ID_BYTES
    return text if is_plain else hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def series_of(subject: str) -> str:
    """How the delivery ids of a subject's bodies without an id begin; lower-case letters and digits alone, which every
    store sorts alike."""
    return "body" + hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def encode(value: object) -> bytes:
    """``value`` as JSON in UTF-8; a lone surrogate becomes a question mark, for nobody could read it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
