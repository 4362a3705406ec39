"""What a partner sent: proved by its signature, and read without ever failing.

JSON, texts and ids are made safe to store. Both partner rooms need exactly this and may not import one another, so it
lies below them.
"""

import hashlib
import hmac
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Self

from app.domain.model.types import Scalar, instant

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
    return value if isinstance(value, Fault | dict) else Fault("not_an_object")


def decode(body: bytes) -> object:
    """The JSON value in these bytes, or a ``Fault``. Never raises.

    NaN and Infinity are let in, for Python services send them and a page is not to be lost over one number;
    ``scalar_of`` lets them no further. A whole number of more digits than Python likes to convert stays a text.
    """
    try:
        text = (body[3:] if body.startswith(_BOM) else body).decode()
        return _DECODER.decode(text) if text.strip() else Fault("empty")
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


_DECODER = json.JSONDecoder(parse_int=_whole_number, parse_float=_WrittenFloat)


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


# Is a body signed with one of our secrets? HMAC-SHA256, the one construction both vendors use. And what is known of the
# deliveries that were not: a wrong secret must not look like a partner that is silent.

MAX_SIGNATURES = 32
"""How many signatures of one header are looked at: rotation needs two, an attacker would like a million."""

SAME_SERIES = timedelta(hours=1)
"""Refused deliveries that lie further apart than this are counted anew."""

UNSIGNED = frozenset({"signature_missing", "signature_malformed"})
"""Why a delivery was refused that no secret ever touched."""
UNSIGNED_IN_NUMBER = 3
"""So many of those, and never a good one: commonly the sender has no secret."""

_HEX_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


def entries(header: str) -> list[str]:
    """The comma-separated entries of a signature header, trimmed; at most ``MAX_SIGNATURES``."""
    return [entry.strip() for entry in header.split(",", MAX_SIGNATURES)[:MAX_SIGNATURES]]


def digests(candidates: Iterable[str]) -> list[bytes]:
    """Those candidates that are a SHA-256 in hexadecimal, as bytes."""
    return [bytes.fromhex(text) for text in islice(candidates, MAX_SIGNATURES) if _HEX_SHA256.fullmatch(text)]


def usable(secrets: Sequence[str]) -> bool:
    """Is there a secret at all? The empty one proves nothing: everybody knows it."""
    return any(secrets)


def matching_secret(message: bytes, signatures: Sequence[bytes], secrets: Sequence[str]) -> int | None:
    """The index of the first secret that made one of these signatures over ``message``, compared in constant time.

    Secrets are used whole, as UTF-8, prefix and all. An empty secret never matches.
    """
    for index, secret in enumerate(secrets):
        if not secret:
            continue
        expected = hmac.digest(secret.encode("utf-8", "surrogatepass"), message, "sha256")
        if any(hmac.compare_digest(expected, signature) for signature in signatures):
            return index
    return None


@dataclass(frozen=True, slots=True)
class RefusedDeliveries:
    """Deliveries to one hook whose signature proved nothing, for one reason: how many, since when, and the newest."""

    count: int
    reason: str
    """``signature_mismatch``, ``signature_missing``, ``signature_malformed``, ``signature_stale``."""
    since: datetime
    at: datetime

    def followed_by(self, later: "RefusedDeliveries") -> "RefusedDeliveries":
        """One series where they lie close together, else the later ones alone. Both are of one hook and one reason."""
        if later.since - self.at > SAME_SERIES:
            return later
        return RefusedDeliveries(
            self.count + later.count, self.reason, min(self.since, later.since), max(self.at, later.at)
        )

    def is_wrong(self, seen_at: datetime | None) -> bool:
        """Whether they are taken for webhooks of the partner's that we miss, with the last good one at ``seen_at``.

        Anybody can send what carries no signature: beside a partner that was ever seen it says nothing of the secret,
        and without one only in number.
        """
        if seen_at is not None:
            return self.at >= seen_at and self.reason not in UNSIGNED
        return self.reason not in UNSIGNED or self.count >= UNSIGNED_IN_NUMBER

    def as_text(self) -> str:
        """How it is stored."""
        return json.dumps([self.count, self.reason, self.since.isoformat(), self.at.isoformat()])

    @classmethod
    def from_text(cls, text: str | None) -> "RefusedDeliveries | None":
        """What ``as_text`` wrote; None for anything else."""
        try:
            count, reason, since, at = json.loads(text or "null")
        except (TypeError, ValueError):
            return None
        first, last = instant(since), instant(at)
        return cls(int(count), str(reason), first, last) if first and last else None
