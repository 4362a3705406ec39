"""A bridge elsewhere, reached over its API: what commands with ``--url`` work on in the place of the store."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError

from app.domain.model.events import CommandType, Way
from app.domain.model.types import AlertId
from app.domain.reports.figures import Report, Stats
from app.domain.reports.period import BadPeriod
from app.ports import DeadLetterRow, LinkSummary, Page, StoreUnavailable, TimelineRow
from app.ports.console import AuditFilter, LinkFilter
from app.ports.jobs import KINDS, JobResult, JobState, JobWanted, Progress, ReplayWanted, ReportWanted
from app.remote.replies import Answer
from app.remote.transport import Transport
from app.services.escalation.target import CANCELLING, read
from app.services.jobs.commands import JobRow
from app.services.operator.audit import AuditRow
from app.services.operator.operator import CommandAnswer, CommandResult
from app.services.operator.overview import DeadLetterInFull, EscalationRow, EvidenceRow, FoundLinkRow, LinkRow
from app.services.rules.overview import ExplanationShown, RulesShown, SilencePreview, SilenceRow
from app.services.rules.stored import Preview
from app.shapes import plain, schema_of

T = TypeVar("T")
MOST_ROWS = 500
"""In one answer."""
MOST_BYTES = 256 * 1024 * 1024
"""Of one answer: the report of a year is large."""
TIMEOUT_SECONDS, POLL_SECONDS = 5.0, 0.25
"""How long a command waits for the worker, and how often it asks."""
FOLLOW_SECONDS = 0.5
"""How often it is asked how far a job is."""
PATHS: Mapping[CommandType, str] = {
    CommandType.REPLAY: "dead-letters/{}/replay",
    CommandType.DISCARD: "dead-letters/{}/discard",
    CommandType.THAW: "links/{}/thaw",
    CommandType.ERASE: "links/{}/erase",
    CommandType.RECONCILE: "reconciliations",
    CommandType.CANCEL_JOB: "jobs/{}/cancel",
    CommandType.SILENCE: "silences",
    CommandType.END_SILENCE: "silences/{}/end",
}
CANCEL_ESCALATION, ESCALATE_NOW = "escalations/{}/cancel", "escalations/{}/now"
STATUSES: Mapping[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the token is not one of that bridge's: see `truthvouch tokens list` there",
    HTTPStatus.FORBIDDEN: "the token may look and change nothing",
    HTTPStatus.NOT_FOUND: "it has no such address; is this a bridge, of the same version?",
    HTTPStatus.TOO_MANY_REQUESTS: "too many wrong tokens came from here; wait a moment",
}


class Refused(ValueError):
    """The other bridge does not take the question as it is; the message says why."""


class Unreachable(StoreUnavailable):
    """The other bridge does not answer, or refuses; the message says why."""


@dataclass(frozen=True)
class Api:
    """The calls, with the token. Raises ``Refused`` for a question that is none, ``Unreachable`` for whatever is no
    answer to it."""

    url: str
    token: str
    transport: Transport

    def get(self, path: str, **query: str | int | None) -> Mapping[str, Any] | None:
        """The answer; None where there is no such thing."""
        given = {name: str(value) for name, value in query.items() if value is not None}
        status, answer = self._call("GET", path, given)
        return None if status == HTTPStatus.NOT_FOUND else answer

    def post(self, path: str, key: str, body: Mapping[str, Any] | None = None) -> tuple[int, Mapping[str, Any]]:
        """The status (200, 202 or 404) and the answer."""
        return self._call("POST", path, {}, {"Idempotency-Key": key} if key else None, body)

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, Mapping[str, Any]]:
        url = f"{self.url.rstrip('/')}/api/v1/{path}"
        login = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        came = self.transport.call(method, url, headers=login, params=query, json=body, target="bridge")
        if not isinstance(came, Answer):
            raise Unreachable(f"{self.url} does not answer ({came.reason})")
        try:
            answer = json.loads(came.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(f"{self.url} is no bridge, or has a proxy in front of it (HTTP {came.status})")
        if came.status == HTTPStatus.BAD_REQUEST:
            raise Refused(str(answer.get("detail", "")))
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
        return rows_of(self.api, "dead-letters", "dead_letters", DeadLetterRow, page, closed=_flag(closed))

    def dead_letter(self, dead_letter_id: int) -> DeadLetterInFull | None:
        """One dead letter, and what waits behind it."""
        return _read(DeadLetterInFull, self.api.get(f"dead-letters/{dead_letter_id}"))

    def links(
        self, page: Page, is_open: bool | None = None, frozen: bool | None = None, since: datetime | None = None
    ) -> Sequence[LinkSummary]:
        """Links in short, newest first."""
        asked = {"open": _flag(is_open), "frozen": _flag(frozen), "since": since.isoformat() if since else None}
        return rows_of(self.api, "links", "links", LinkSummary, page, **asked)

    def found(self, wanted: LinkFilter) -> Sequence[FoundLinkRow]:
        """The links that these words and filters mean, in short, newest first."""
        asked = {"text": wanted.text, "open": _flag(wanted.is_open), "frozen": _flag(wanted.frozen)}
        since = wanted.since.isoformat() if wanted.since else None
        page = Page(wanted.limit, wanted.before or 0)
        return rows_of(self.api, "search", "found", FoundLinkRow, page, **asked, since=since)

    def evidence(self, alert_id: str) -> EvidenceRow | None:
        """What of an alert would be erased; None where that bridge knows no such alert."""
        return _read(EvidenceRow, self.api.get(f"evidence/{_id(alert_id)}"))

    def link(self, alert_id: str) -> LinkRow | None:
        """One link."""
        return _read(LinkRow, self.api.get(f"links/{_id(alert_id)}"))

    def timeline(self, wanted: str, page: Page) -> Sequence[TimelineRow]:
        """What happened to an alert or an incident."""
        return rows_of(self.api, f"timeline/{_id(wanted)}", "timeline", TimelineRow, page)

    def incident_of_that_number(self, wanted: str) -> None:
        """Not told over the API."""

    def escalation(self, incident_id: str) -> EscalationRow | None:
        """How the escalation of this incident stands."""
        return _read(EscalationRow, self.api.get(f"escalations/{_id(incident_id)}"))

    def escalation_rows(self, limit: int, every: bool = False) -> Sequence[EscalationRow]:
        """Escalations, the next due first; at most ``MOST_ROWS``."""
        found = self.api.get("escalations", limit=min(limit, MOST_ROWS), all=_flag(every)) or {}
        return [row for one in found.get("escalations", ()) if (row := _read(EscalationRow, one))]


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
        for subject in subjects:
            path, body = _request(command_type, subject, detail)
            yield self.ask(path.format(_id(subject)), subject, key, body)[0]

    def ask(
        self, path: str, subject: str, key: str = "", body: Mapping[str, Any] | None = None
    ) -> tuple[CommandResult, Mapping[str, Any]]:
        """Ask for one thing until it is done, or nobody does it. Besides what became of it: the whole answer."""
        key, until = key or uuid.uuid4().hex, self.monotonic() + TIMEOUT_SECONDS
        while True:
            status, answer = self.api.post(path, key, body)
            if status == HTTPStatus.NOT_FOUND:
                code, detail = (str(answer.get(name, "")) for name in ("code", "detail"))
                return CommandResult(subject, "", code, said=detail), answer
            said = _there(CommandAnswer, path, answer)
            outcome = said["outcome"] or ""
            if outcome or self.monotonic() >= until:
                return CommandResult(subject, key, outcome, said=said["message"]), answer
            self.pause(POLL_SECONDS)


def _request(command_type: CommandType, subject: str, detail: str) -> tuple[str, Mapping[str, Any] | None]:
    """The path and the body that ask it. Raises ``Unreachable`` for a command that the API has not."""
    if command_type is CommandType.SILENCE:
        return PATHS[command_type], {"name": subject, **json.loads(detail)}
    if command_type in PATHS and not detail:
        return PATHS[command_type], None
    asked = read(detail) if command_type is CommandType.ESCALATE else None
    if asked is not None and asked.now:
        saw = {} if asked.saw is None else {"moves": asked.saw}
        return ESCALATE_NOW, {"raise_urgency": asked.raise_urgency, **saw}
    if detail == CANCELLING and asked is not None:
        return CANCEL_ESCALATION, None
    raise Unreachable("this cannot be asked over the API: run it where the bridge runs")


@dataclass(frozen=True)
class RemoteRevokeEvidence:
    """What ``RevokeEvidence`` does, on that bridge; whose token it is and by which way, it knows by itself."""

    api: Api

    def __call__(self, wanted: str, _by: str, _way: Way) -> Sequence[AlertId]:
        """Those of an alert or an incident; the alerts they were of, none where nobody knows it."""
        answer = self.api.post(f"evidence-links/{_id(wanted)}/revoke", "")[1]
        return [AlertId(one) for one in answer.get("alerts", ())]

    def all(self, _by: str, _way: Way) -> None:
        """Those of every alert."""
        self.api.post("evidence-links/revoke", "")


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
        try:
            return _there(shape, path, self.api.get(path, **query))
        except Refused as fault:
            raise BadPeriod(str(fault)) from fault


@dataclass(frozen=True)
class RemoteRules:
    """What ``RulesOverview`` shows, of that bridge."""

    api: Api

    def listed(self) -> RulesShown:
        """The rulebook in force there."""
        return _there(RulesShown, "rules", self.api.get("rules"))

    def explained(self, alert_id: str) -> ExplanationShown | None:
        """What its rules do with an alert that it knows; None when it knows none of that id."""
        return self._explained({"alert_id": alert_id})

    def explained_body(self, body: bytes) -> ExplanationShown | None:
        """The same of an alert that comes along. Raises ``Refused`` where there is none in it."""
        try:
            alert = json.loads(body)
        except (ValueError, RecursionError) as fault:
            raise Refused("This is no JSON.") from fault
        return self._explained({"alert": alert})

    def silences(self, everything: bool = False) -> Sequence[SilenceRow]:
        """Those of its file, then those of its store."""
        found = self.api.get("silences", all=_flag(everything)) or {}
        return [row for one in found.get("silences", ()) if (row := _read(SilenceRow, one))]

    def preview(self, match: str) -> Preview:
        """What a silence would have done there. Raises ``Refused`` for a trigger that is none."""
        answer = self.api.post("silences/preview", "", {"match": match})[1]
        found = _there(SilencePreview, "silences/preview", answer)
        slips = tuple((one["word"], one["meant"]) for one in found["misspelt"])
        return Preview("", (found["would_have_silenced"], found["alerts"]), slips, found["is_for_all"])

    def _explained(self, body: Mapping[str, Any]) -> ExplanationShown | None:
        status, answer = self.api.post("rules/explain", "", body)
        return None if status == HTTPStatus.NOT_FOUND else _read(ExplanationShown, answer)


@dataclass(frozen=True)
class RemoteJobs:
    """What ``JobOverview`` shows, of that bridge."""

    api: Api
    pause: Callable[[float], None] = time.sleep

    def rows(self, page: Page) -> Sequence[JobRow]:
        """Newest first."""
        return rows_of(self.api, "jobs", "jobs", JobRow, page)

    def row(self, job_id: int) -> JobRow | None:
        """One, without its result."""
        return _read(JobRow, self.api.get(f"jobs/{job_id}"))

    def followed(self, job_id: int, progress: Progress) -> JobRow:
        """One, once it is over."""
        while True:
            job = _there(JobRow, f"jobs/{job_id}", self.api.get(f"jobs/{job_id}"))
            progress(job["done"], job["total"])
            if JobState(job["state"]).is_over:
                return job
            self.pause(FOLLOW_SECONDS)

    def result(self, job_id: int) -> JobResult | None:
        """What it made."""
        found = self.api.get(f"jobs/{job_id}/result")
        return JobResult(found["name"], found["content_type"], found["text"].encode("utf-8")) if found else None


@dataclass(frozen=True)
class RemoteAudit:
    """What ``AuditLog`` shows, of that bridge."""

    api: Api

    def rows(self, wanted: AuditFilter) -> Sequence[AuditRow]:
        """Newest first."""
        since = wanted.since.isoformat() if wanted.since else None
        about = {"since": since, "actor": wanted.actor or None, "subject": wanted.subject or None}
        return rows_of(self.api, "audit", "audit", AuditRow, Page(wanted.limit, wanted.before or 0), **about)


class Elsewhere:
    """That bridge, as far as its API goes. On leaving, the connection is closed."""

    def __init__(self, url: str, token: str) -> None:
        """Raises ``ValueError`` for an address that is none."""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(f"{url!r} is no address of a bridge: write https://bridge.example.com")
        self._api = Api(url, token, Transport(max_answer_bytes=MOST_BYTES))

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
    def revoke_evidence(self) -> RemoteRevokeEvidence:
        return RemoteRevokeEvidence(self._api)

    @cached_property
    def reports(self) -> RemoteReports:
        return RemoteReports(self._api)

    @cached_property
    def rules_overview(self) -> RemoteRules:
        return RemoteRules(self._api)

    @cached_property
    def jobs_overview(self) -> RemoteJobs:
        return RemoteJobs(self._api)

    @cached_property
    def audit_log(self) -> RemoteAudit:
        return RemoteAudit(self._api)

    def start_job(self, wanted: JobWanted) -> tuple[CommandResult, int | None]:
        """Ask for long work, and its number where the worker there has taken it in."""
        given = asdict(wanted)
        if isinstance(wanted, ReportWanted):
            given |= {"format": given.pop("form"), "from": given.pop("start"), "to": given.pop("end")}
        elif isinstance(wanted, ReplayWanted) and not any(given.values()):
            given = {"all": True}
        body = {name: value for name, value in plain(given).items() if value not in (None, "", [])}
        result, answer = self.operate.ask(f"jobs/{KINDS[type(wanted)]}", "", body=body)
        return result, answer.get("job_id")


def rows_of(
    api: Api, path: str, name: str, shape: Callable[..., T], page: Page, **query: str | int | None
) -> Sequence[T]:
    """As many as were asked for, however many an answer holds."""
    rows: list[T] = []
    after: int | None = page.after
    while after is not None and len(rows) < page.limit:
        limit = min(page.limit - len(rows), MOST_ROWS)
        found = api.get(path, limit=limit, after=after, **query)
        if found is None:
            break
        rows += [row for one in found.get(name, ()) if (row := _read(shape, one)) is not None]
        after = found.get("next_after")
    return rows


def _there(shape: Callable[..., T], path: str, answer: Mapping[str, Any] | None) -> T:
    found = _read(shape, answer)
    if found is None:
        raise Unreachable(f"that bridge has no {path}: it is of another version")
    return found


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
