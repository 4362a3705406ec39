"""How a delivery becomes a row that any store can hold.

No SQLAlchemy here: it would double the cost of the one statement.
"""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from app.ports import Delivery

COLUMNS = "source, delivery_id, received_at, body, request_id, content_encoding, secret_index"
MAX_ID_BYTES = 512
"""Longer ids are stored as their hash: a PostgreSQL index entry ends near 2,700 bytes."""
MAX_TEXT_CHARS = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Row = tuple[str, str, int, bytes, str, str | None, int]
"""The values of ``COLUMNS``."""
Key = tuple[str, str]
"""Source and delivery id: what makes a delivery new or a duplicate."""


def row_of(delivery: Delivery) -> Row:
    """The values to store. Equal deliveries give equal keys, and no text a sender can write is refused by a store."""
    encoding = delivery.content_encoding
    return (
        str(delivery.source),
        storable_id(delivery.delivery_id),
        (delivery.received_at - _EPOCH) // _MICROSECOND,
        delivery.body,
        _storable_text(delivery.request_id),
        None if encoding is None else _storable_text(encoding),
        delivery.secret_index,
    )


def storable_id(text: str) -> str:
    """The id itself or, if a store would refuse it (lone surrogates, NUL, too long), a hash that stands for it."""
    if text.isascii() and len(text) <= MAX_ID_BYTES and "\0" not in text:
        return text
    raw = text.encode("utf-8", "surrogatepass")
    if len(raw) <= MAX_ID_BYTES and b"\0" not in raw and raw.decode("utf-8", "replace") == text:
        return text
    return "sha256:" + hashlib.sha256(raw).hexdigest()


def keys_of(rows: Sequence[Row]) -> list[Key]:
    """The keys, in the order of the rows."""
    return [row[:2] for row in rows]


def insert_statement(rows: int, mark: str) -> str:
    """One statement for so many rows; it returns the keys of those that were new. ``mark`` is ``?`` or ``%s``.

    A statement by itself is a transaction, so a batch costs one round trip and one fsync.
    """
    one = "(" + ", ".join([mark] * 7) + ")"
    return (
        f"INSERT INTO inbox ({COLUMNS}) VALUES {', '.join([one] * rows)} "  # noqa: S608 - no value is ever part of it
        "ON CONFLICT DO NOTHING RETURNING source, delivery_id"
    )


def newest_statement(mark: str) -> str:
    """The deliveries of a source whose id lies between two texts; few, for the second ends a series. No ``LIMIT``: a
    planner could read the whole inbox backwards for it."""
    return f"SELECT id, delivery_id FROM inbox WHERE source = {mark} AND delivery_id >= {mark} AND delivery_id < {mark}"  # noqa: S608


def bounds_of(series: str) -> tuple[str, str]:
    """Between which texts the ids of a series lie, however a store sorts letters and digits."""
    return f"{series}0", f"{series}g"


def _storable_text(text: str) -> str:
    """Text that only people read: cut, and what cannot be stored replaced."""
    return text[:MAX_TEXT_CHARS].replace("\0", "?").encode("utf-8", "replace").decode()
