"""A bridge elsewhere, reached over its API: what commands with ``--url`` work on in the place of the store."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError

from app.domain.model.events import CommandType
from app.domain.reports.figures import Report, Stats
from app.domain.reports.period import BadPeriod
from app.ports import DeadLetterRow, LinkSummary, Page, StoreUnavailable, TimelineRow
from app.remote.replies import Answer
from app.remote.transport import Transport
from app.services.escalation.target import CANCELLING
from app.services.operator.operator import CommandAnswer, CommandResult
from app.services.operator.overview import DeadLetterInFull, EscalationRow, LinkRow
from app.shapes import schema_of

T = TypeVar("T")
MOST_ROWS = 500
"""In one answer."""
TIMEOUT_SECONDS, POLL_SECONDS = 5.0, 0.25
"""How long a command waits for the worker, and how often it asks."""
PATHS: Mapping[CommandType, str] = {
    CommandType.REPLAY: "dead-letters/{}/replay",
    CommandType.DISCARD: "dead-letters/{}/discard",
    CommandType.THAW: "links/{}/thaw",
    CommandType.RECONCILE: "reconciliations",
    CommandType.ESCALATE: "escalations/{}/cancel",
}
STATUSES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the token is not one of that bridge's: see `truthvouch tokens list` there",
    HTTPStatus.FORBIDDEN: "the token may look and change nothing",
    HTTPStatus.NOT_FOUND: "it has no such address; is this a bridge, of the same version?",
    HTTPStatus.TOO_MANY_REQUESTS: "too many wrong tokens came from here; wait a moment",
}


class Unreachable(StoreUnavailable):
    """The other bridge does not answer, or refuses; the message says why."""


@dataclass(frozen=True)
class Api:
    """The calls, with the token. Raises ``Unreachable`` for whatever is no answer to the question."""

    url: str
    token: str
    transport: Transport

    def get(self, path: str, **query: str | int | None) -> Mapping[str, Any] | None:
        """The answer; None where there is no such thing."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        status, answer = self._call("GET", path, given)
        return None if status == HTTPStatus.NOT_FOUND else answer

    def post(self, path: str, key: str) -> tuple[int, Mapping[str, Any]]:
        """The status (200, 202 or 404) and the answer."""
        return self._call("POST", path, {}, {"Idempotency-Key": key})

    def _call(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        url = f"{self.url.rstrip('/')}/api/v1/{path}"
        login = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        came = self.transport.call(method, url, headers=login, params=query, target="bridge")
        if not isinstance(came, Answer):
            raise Unreachable(f"{self.url} does not answer ({came.reason})")
        try:
            answer = json.loads(came.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(f"{self.url} is no bridge, or has a proxy in front of it (HTTP {came.status})")
        if came.status == HTTPStatus.BAD_REQUEST:
            raise BadPeriod(str(answer.get("detail", "")))
        known = came.status == HTTPStatus.NOT_FOUND and answer.get("code") not in (None, "not_found")
        if not known and came.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            why = STATUSES.get(came.status) or answer.get("detail") or f"HTTP {came.status}"
            raise Unreachable(f"{self.url} refuses: {why}")
        return came.status, answer


@dataclass(frozen=True)
class RemoteOverview:
    """What ``Overview`` shows, of that bridge."""

    api: Api

    def dead_letters(self, page: Page, closed: bool = False) -> Sequence[DeadLetterRow]:
        """The dead letters that wait for a decision, or those that had one."""
        return self._rows("dead-letters", "dead_letters", DeadLetterRow, page, closed=_flag(closed))

    def dead_letter(self, dead_letter_id: int) -> DeadLetterInFull | None:
        """One dead letter, and what waits behind it."""
        return _read(DeadLetterInFull, self.api.get(f"dead-letters/{dead_letter_id}"))

    def links(
        self, page: Page, is_open: bool | None = None, frozen: bool | None = None, since: datetime | None = None
    ) -> Sequence[LinkSummary]:
        """Links in short, newest first."""
        asked = {"open": _flag(is_open), "frozen": _flag(frozen), "since": since.isoformat() if since else None}
        return self._rows("links", "links", LinkSummary, page, **asked)

    def link(self, alert_id: str) -> LinkRow | None:
        """One link."""
        return _read(LinkRow, self.api.get(f"links/{_id(alert_id)}"))

    def timeline(self, wanted: str, page: Page) -> Sequence[TimelineRow]:
        """What happened to an alert or an incident."""
        return self._rows(f"timeline/{_id(wanted)}", "timeline", TimelineRow, page)

    def incident_of_that_number(self, wanted: str) -> None:
        """Not told over the API."""

    def escalation_rows(self, limit: int, every: bool = False) -> Sequence[EscalationRow]:
        """Escalations, the next due first; at most ``MOST_ROWS``."""
        found = self.api.get("escalations", limit=min(limit, MOST_ROWS), all=_flag(every)) or {}
        return [row for one in found.get("escalations", ()) if (row := _read(EscalationRow, one))]

    def _rows(
        self, path: str, name: str, shape: Callable[..., T], page: Page, **query: str | int | None
    ) -> Sequence[T]:
        """As many as were asked for, however many an answer holds."""
        rows: list[T] = []
        after: int | None = page.after
        while after is not None and len(rows) < page.limit:
            limit = min(page.limit - len(rows), MOST_ROWS)
            found = self.api.get(path, limit=limit, after=after, **query)
            if found is None:
                break
            rows += [row for one in found.get(name, ()) if (row := _read(shape, one)) is not None]
            after = found.get("next_after")
        return rows


@dataclass(frozen=True)
class RemoteOperate:
    """What ``Operate`` does, on that bridge."""

    api: Api
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def all(
        self, command_type: CommandType, subjects: Sequence[str], key: str = "", detail: str = ""
    ) -> Iterator[CommandResult]:
        """Ask the same of many, one after the other. Raises ``Unreachable`` for a command that its API has not."""
        if command_type not in PATHS or (detail and detail != CANCELLING):
            raise Unreachable("this cannot be asked over the API: run it where the bridge runs")
        for subject in subjects:
            yield self._ask(PATHS[command_type].format(_id(subject)), subject, key or uuid.uuid4().hex)

    def _ask(self, path: str, subject: str, key: str) -> CommandResult:
        until = self.monotonic() + TIMEOUT_SECONDS
        while True:
            status, answer = self.api.post(path, key)
            if status == HTTPStatus.NOT_FOUND:
                return CommandResult(subject, "", str(answer.get("code", "")))
            said = _read(CommandAnswer, answer)
            outcome = (said["outcome"] if said else None) or ""
            if outcome or self.monotonic() >= until:
                return CommandResult(subject, key, outcome)
            self.pause(POLL_SECONDS)


@dataclass(frozen=True)
class RemoteReports:
    """What ``Reports`` tells, of that bridge."""

    api: Api

    def stats(self, **options: Any) -> Stats:
        """The numbers of a period. Raises ``BadPeriod``."""
        return self._of_period("stats", Stats, options)

    def report(self, **options: Any) -> Report:
        """The numbers, and a line for each incident. Raises ``BadPeriod``."""
        return self._of_period("report", Report, options)

    def _of_period(self, path: str, shape: Callable[..., T], options: Mapping[str, Any]) -> T:
        asked = {**options, "from": _day(options.get("start")), "to": _day(options.get("end"))}
        query = {name: value for name, value in asked.items() if name not in ("start", "end", "progress") and value}
        if "previous" in query:
            query["previous"] = "true"
        found = _read(shape, self.api.get(path, **query))
        if found is None:
            raise Unreachable(f"{self.api.url} has no {path}: it is of another version")
        return found


class Elsewhere:
    """That bridge, as far as its API goes. On leaving, the connection is closed."""

    def __init__(self, url: str, token: str) -> None:
        """Raises ``ValueError`` for an address that is none."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(f"{url!r} is no address of a bridge: write https://bridge.example.com")
        self._api = Api(url, token, Transport())

    def __enter__(self) -> "Elsewhere":
        return self

    def __exit__(self, *_: object) -> None:
        self._api.transport.close()

    @cached_property
    def overview(self) -> RemoteOverview:
        return RemoteOverview(self._api)

    @cached_property
    def operate(self) -> RemoteOperate:
        return RemoteOperate(self._api)

    @cached_property
    def reports(self) -> RemoteReports:
        return RemoteReports(self._api)


def _read(shape: Callable[..., T], answer: Mapping[str, Any] | None) -> T | None:
    """The answer as its type, instants read; keys of a later version are left out."""
    if answer is None:
        return None
    schema: Schema = schema_of(shape)(unknown=EXCLUDE)
    try:
        read: T = schema.load(answer)
    except ValidationError as fault:
        raise Unreachable(f"its answer is of another version: {sorted(fault.messages_dict)}") from fault
    return read


def _id(text: str) -> str:
    return quote(text, safe="")


def _flag(value: bool | None) -> str | None:
    return None if value is None else str(value).lower()


def _day(value: date | str | None) -> str | None:
    return str(value) if value else None
