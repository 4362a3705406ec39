"""Reads a delivery off a request: the raw bytes, never decoded, up to the limit.

Whatever goes wrong while reading is a property of the arrival, not an error of ours: a partner's broken connection must
neither look like a broken bridge nor leave a stack in the log.
"""

from collections.abc import Mapping
from typing import cast

from flask import Request, g

from app.services.receiving import Arrival
from app.web.limits import MAX_BODY_BYTES

STEP_BYTES = 64 * 1024
INCOMPLETE = "body_incomplete"


def read(request: Request) -> Arrival:
    """The delivery in this request. Reads at most one byte more than the limit, and nothing of what says it has more.

    The server takes in what it has to before it closes the connection of a refused request.
    """
    declared = request.content_length or 0
    body, broken = _read_body(request) if declared <= MAX_BODY_BYTES else (b"", False)
    too_large = max(declared, len(body)) > MAX_BODY_BYTES
    # Case-insensitive, and a mapping in all but its base class.
    headers = cast(Mapping[str, str], request.headers)
    return Arrival(headers, body, g.request_id, too_large, INCOMPLETE if broken or len(body) < declared else "")


def _read_body(request: Request) -> tuple[bytes, bool]:
    """What came, and whether reading ended in an error."""
    body = bytearray()
    try:
        while len(body) <= MAX_BODY_BYTES:
            piece = request.stream.read(min(STEP_BYTES, MAX_BODY_BYTES + 1 - len(body)))
            if not piece:
                break
            body += piece
    except Exception:
        # A dropped connection, a malformed chunk, a reset: servers raise errors of their own for each.
        return bytes(body), True
    return bytes(body), False
