"""Makes the API's document of its endpoints: ``make openapi`` writes it, and a test fails while it is not current.

The document is a file of the program, so that no process of the bridge carries what makes it.
"""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from app import shapes
from app.web.api import DOCUMENT, ENDPOINTS
from app.web.api.endpoint import Endpoint
from app.web.api.parameters import KEY, MAX_NUMBER
from app.web.http import PROBLEM_TYPE

DESCRIPTION = (
    "What operators read and change. Reads come from the bridge's store; a change is stored as a command and executed "
    "by the worker. No answer holds the prompts and answers that an alert quotes."
)
TEXT = {"type": "string"}
PROBLEM = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "code", "request_id"],
    "properties": {
        "type": {**TEXT, "description": "A URN that ends with `code`."},
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": {**TEXT, "description": "For people."},
        "code": {**TEXT, "description": "For machines."},
        "request_id": {**TEXT, "description": shapes.REQUEST_ID},
    },
    "additionalProperties": False,
}
CHALLENGE = {"WWW-Authenticate": {"required": True, "schema": {**TEXT, "enum": ["Bearer"]}}}
WAIT = {"Retry-After": {"required": True, "schema": {"type": "integer", "minimum": 1}}}
PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "BadParameter": ("`bad_parameter`: `detail` says which and why; `body_incomplete`.", {}),
    "Unauthorized": ("`token_missing` or `token_wrong`.", CHALLENGE),
    "Forbidden": ("`read_only`: this token may look and change nothing.", {}),
    "UnderWay": ("`key_under_way`: the same request is being answered; ask again in a moment.", {}),
    "TooLarge": ("`body_too_large`.", {}),
    "KeyReused": ("`key_reused`: this key was used with another request.", {}),
    "SlowedDown": ("`too_many_wrong`: too many wrong tokens came from this address.", WAIT),
    "Unavailable": ("`no_admin_token`: BRIDGE_ADMIN_TOKEN is not set. `store_unavailable`: try again later.", {}),
}
ALWAYS = {400: "BadParameter", 401: "Unauthorized", 413: "TooLarge", 429: "SlowedDown", 503: "Unavailable"}
ON_WRITES = {403: "Forbidden", 409: "UnderWay", 422: "KeyReused"}
DONE = {
    HTTPStatus.OK: "Done, or what was asked for.",
    HTTPStatus.ACCEPTED: "Stored and not done yet: the worker is busy, or none is running.",
}
KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes a repeated request the same request: it gets the same answer for 24 hours.",
    "schema": {**TEXT, "pattern": f"^{KEY.pattern}$"},
}


def document() -> dict[str, Any]:
    """The whole API."""
    plugin = MarshmallowPlugin(schema_name_resolver=_named)
    spec = APISpec(
        "TruthVouch PagerDuty bridge",
        "1",
        "3.0.3",
        plugins=[plugin],
        info={"description": DESCRIPTION},
        servers=[{"url": "/api/v1"}],
        security=[{"bearer": []}],
    )
    assert plugin.converter is not None
    plugin.converter.add_attribute_function(_described)
    plugin.map_to_openapi_type(shapes.Instant, "string", "date-time")
    plugin.map_to_openapi_type(shapes.Free, None, None)
    spec.components.security_scheme(
        "bearer", {"type": "http", "scheme": "bearer", "description": "BRIDGE_ADMIN_TOKEN, or a named token"}
    )
    spec.components.schema("Problem", PROBLEM)
    for name, (description, headers) in PROBLEMS.items():
        spec.components.response(name, _problem(description) | ({"headers": headers} if headers else {}))
    spec.components.parameter("key", "header", {k: v for k, v in KEY_PARAMETER.items() if k != "in"})
    for endpoint in ENDPOINTS:
        spec.path(_path(endpoint), operations={endpoint.method.lower(): _operation(endpoint)})
    spec.path("/openapi.json", operations={"get": _this_document()})
    return dict(spec.to_dict())


def _named(schema: Any) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__


def _described(self: Any, field: Any, **_: Any) -> dict[str, Any]:
    """The docstring below the key in the ``TypedDict`` that the schema is made from."""
    of = getattr(field.parent, "of", None)
    found = shapes.descriptions(of).get(field.name, "") if of else ""
    return {"description": found} if found else {}


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    parameters: list[Any] = [*_path_parameters(endpoint), {"in": "query", "schema": endpoint.query}]
    problems = ALWAYS | (ON_WRITES if endpoint.writes else {})
    responses: dict[str, Any] = {
        str(int(status)): {
            "description": DONE[HTTPStatus(status)],
            "content": {"application/json": {"schema": endpoint.answer}},
        }
        for status in endpoint.statuses
    }
    responses |= {str(status): name for status, name in problems.items()}
    if endpoint.missing:
        responses["404"] = _problem(f"{', '.join(f'`{code}`' for code in endpoint.missing)}.")
    operation = {
        "operationId": endpoint.name[0].lower() + endpoint.name[1:],
        "summary": endpoint.summary,
        "description": endpoint.description,
        "tags": [endpoint.tag],
        "parameters": [*parameters, *(["key"] if endpoint.writes else [])],
        "responses": responses,
    }
    if endpoint.body:
        is_needed = any(field.required for field in endpoint.body().fields.values())
        operation["requestBody"] = {"required": is_needed, "content": {"application/json": {"schema": endpoint.body}}}
    return {name: value for name, value in operation.items() if value}


def _this_document() -> dict[str, Any]:
    return {
        "operationId": "showApi",
        "summary": "This document",
        "tags": ["health"],
        "responses": {
            "200": {"description": "OpenAPI 3.0.", "content": {"application/json": {"schema": {"type": "object"}}}},
            **{str(status): name for status, name in ALWAYS.items() if status not in (400, 413)},
        },
    }


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def _path(endpoint: Endpoint) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", endpoint.path)


def _path_parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"<(?:\w+:)?(\w+)>", endpoint.path):
        number = {"type": "integer", "minimum": 1, "maximum": MAX_NUMBER}
        free = {**TEXT, "minLength": 1, "description": "Percent-encoded; a slash may stand as it is."}
        yield {"name": name, "in": "path", "required": True, "schema": number if endpoint.numbers else free}


if __name__ == "__main__":
    DOCUMENT.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n", "utf-8")
