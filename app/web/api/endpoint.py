"""One route of the API as a value: what it takes, what it answers, who may call it. The document is made of the same.

What goes wrong is answered by RFC 9457 (https://www.rfc-editor.org/rfc/rfc9457), as ``app.web.http`` writes it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import RAISE, Schema, ValidationError

from app.domain.model.events import CommandOutcome, Way
from app.ports import KeyUse, Page
from app.services.operator.once import Once
from app.services.operator.operator import MESSAGES, UNKNOWN, CommandAnswer, CommandResult, Operate
from app.shapes import answer_of
from app.web import http
from app.web.access import Access, actor, needs
from app.web.api.parameters import BadRequest, idempotency_key, load, query
from app.web.bridge import WebBridge

NOT_THERE = UNKNOWN | {CommandOutcome.NO_SUCH_SILENCE}
"""Outcomes that are answered by a 404."""
MAX_BODY_BYTES = 4 * 1024
"""Most calls need no body; a script that sends ``{}`` all the same is no enemy."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, read and checked."""

    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    key: str
    """The ``Idempotency-Key``; empty without one."""
    by: str
    """Who asks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view found: a value for its schema, or the code of what is not there."""

    value: Mapping[str, Any] | None
    status: int = HTTPStatus.OK
    missing: str = ""
    message: str = ""

    @classmethod
    def nothing(cls, code: str, message: str) -> "Answer":
        """What was asked about does not exist."""
        return cls(None, HTTPStatus.NOT_FOUND, code, message)


class Nothing(Schema):
    """No parameter at all."""

    class Meta:
        """Whatever comes is refused by name."""

        unknown = RAISE


View = Callable[[WebBridge, Asked], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route below ``/api/v1``."""

    method: str
    path: str
    """As Flask writes it. An id may hold anything, slashes too: none is redirected to another id."""
    access: Access
    view: View
    answer: type[Schema]
    summary: str
    tag: str
    description: str = ""
    numbers: type[Schema] | None = None
    """Checks the parts of the path that are no free text."""
    query: type[Schema] = Nothing
    body: type[Schema] | None = None
    """None: whatever comes is not read."""
    max_body_bytes: int = MAX_BODY_BYTES
    missing: tuple[str, ...] = ()
    """Codes of a 404 besides ``not_found``."""
    statuses: tuple[int, ...] = field(default=(HTTPStatus.OK,))

    @property
    def name(self) -> str:
        """Of the operation, for generated clients."""
        return "".join(part.title() for part in self.view.__name__.split("_"))

    @property
    def writes(self) -> bool:
        """Whether it may change something."""
        return self.access is Access.ADMIN


DONE_OR_STORED = (HTTPStatus.OK, HTTPStatus.ACCEPTED)


def looks(
    path: str, view: View, answer: type[Schema], summary: str, tag: str, missing: str = "", **more: Any
) -> Endpoint:
    """A route that changes nothing. ``missing``: the code of a 404."""
    codes = (missing,) if missing else ()
    given = {"method": "GET", "access": Access.READ, **more}
    return Endpoint(path=path, view=view, answer=answer, summary=summary, tag=tag, missing=codes, **given)


def commands(path: str, view: View, summary: str, tag: str, missing: str = "", **more: Any) -> Endpoint:
    """A route that puts a command into the inbox."""
    codes = (missing,) if missing else ()
    given = {"method": "POST", "access": Access.ADMIN, "answer": answer_of(CommandAnswer), **more}
    return Endpoint(path=path, view=view, summary=summary, tag=tag, missing=codes, statuses=DONE_OR_STORED, **given)


def operate(bridge: WebBridge, asked: Asked) -> Operate:
    """In the name of whoever asks."""
    return bridge.operate.as_actor(asked.by, Way.API)


def result_of(result: CommandResult) -> Answer:
    """200 when it is done, 202 when it is stored, 404 when there is nothing to do it to."""
    if result.outcome in NOT_THERE:
        return Answer.nothing(result.outcome, result.message)
    return Answer(result.answer, HTTPStatus.OK if result.outcome else HTTPStatus.ACCEPTED)


def piece(name: str, rows: Sequence[Any], page: Page, number: str = "id") -> Answer:
    """A piece of a list; ``next_after`` is null at its end. ``number``: the key that pages go by."""
    return Answer({name: rows, "next_after": rows[-1][number] if len(rows) == page.limit else None})


def one(row: Any, code: CommandOutcome) -> Answer:
    """What was found, or that there is no such thing."""
    return Answer.nothing(code, MESSAGES[code]) if row is None else Answer(row)


def register(blueprint: Blueprint, endpoint: Endpoint, bridge: WebBridge) -> None:
    """Serve it."""

    @needs(endpoint.access)
    def serve(**path: str) -> Response:
        raw = _raw_body(endpoint.max_body_bytes)
        if isinstance(raw, Response):
            return raw
        asked = _read(endpoint, path, raw)
        made: Callable[[], tuple[int, bytes]] = partial(_answer, endpoint, bridge, asked)
        if endpoint.writes and asked.key:
            return _once(bridge.once, endpoint, asked, raw, made)
        return _json(*made())

    serve.__doc__ = endpoint.summary
    blueprint.add_url_rule(
        endpoint.path,
        endpoint=f"{endpoint.method} {endpoint.path}".replace(".", "_"),
        view_func=serve,
        methods=[endpoint.method],
        provide_automatic_options=False,
        merge_slashes=False,
    )


def _read(endpoint: Endpoint, path: Mapping[str, str], raw: bytes) -> Asked:
    """Raises ``BadRequest``."""
    numbers = load(endpoint.numbers(), path) if endpoint.numbers else path
    body = _body(endpoint.body(), raw) if endpoint.body else {}
    return Asked(numbers, query(endpoint.query()), body, idempotency_key() if endpoint.writes else "", actor().name)


def _body(schema: Schema, raw: bytes) -> Mapping[str, Any]:
    try:
        sent = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise BadRequest("The body has to be a JSON object.")
    try:
        read: dict[str, Any] = schema.load(sent)
    except ValidationError as fault:
        raise BadRequest(f"The body: {fault.messages}"[:500]) from fault
    return read


def _raw_body(most: int) -> bytes | Response:
    """What came, or why it is refused. It is read up to the limit: what stays unread would be taken for the
    connection's next request."""
    large = (request.content_length or 0) > most
    try:
        raw = b"" if large else request.stream.read(most + 1)
    except Exception:  # a dropped connection, a malformed chunk: servers raise errors of their own for each
        return http.refusal("body_incomplete", "The body did not come whole.", HTTPStatus.BAD_REQUEST)
    if len(raw) <= most and not large:
        return raw
    message = f"The body is larger than {most // 1024} KiB."
    response = http.refusal("body_too_large", message, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    response.headers["Connection"] = "close"
    return response


def _answer(endpoint: Endpoint, bridge: WebBridge, asked: Asked) -> tuple[int, bytes]:
    """The status and the body of the answer, as text: what is kept for the next request under the same key."""
    found = endpoint.view(bridge, asked)
    if found.value is None:
        response = http.refusal(found.missing, found.message, found.status)
    else:
        response = http.json_response(endpoint.answer().dump(found.value), found.status)
    return response.status_code, response.get_data()


def _once(once: Once, endpoint: Endpoint, asked: Asked, raw: bytes, made: Callable[[], tuple[int, bytes]]) -> Response:
    """The answer given before under this key, or a new one."""
    scope = f"{asked.by} {endpoint.method} {request.path}"
    kept = once(scope, asked.key, request.query_string + b"\0" + raw, made)
    match kept.use:
        case KeyUse.ANSWERED:
            return _json(kept.status, kept.body)
        case KeyUse.OTHER_REQUEST:
            message = "This Idempotency-Key was used with another request. Take a new one for each request."
            return http.refusal("key_reused", message, HTTPStatus.UNPROCESSABLE_ENTITY)
        case KeyUse.UNDER_WAY:
            message = "A request with this Idempotency-Key is under way. Ask again in a moment."
            return http.refusal("key_under_way", message, HTTPStatus.CONFLICT)


def _json(status: int, body: bytes) -> Response:
    kind = "application/json" if status < HTTPStatus.BAD_REQUEST else http.PROBLEM_TYPE
    return Response(body, status, content_type=kind)
