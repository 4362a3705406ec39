"""JSON in and out, for every room of the sandbox."""

import json
from typing import Any

from flask import Response, request


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    body = json.dumps(value, ensure_ascii=False)
    return Response(body, status, headers, mimetype="application/json")


def read_json() -> Any:
    """The request's JSON whatever its content type says; None for nothing or for what is no JSON."""
    try:
        return json.loads(request.get_data() or b"null")
    except (ValueError, RecursionError):
        return None
