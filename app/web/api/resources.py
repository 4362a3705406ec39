"""Every route of the API: what is read from the store, and what is asked of the worker."""

from typing import Any, TypedDict

from marshmallow import Schema, fields, validate

from app.domain.model.events import CommandOutcome, CommandType, Way
from app.domain.model.text import clean
from app.domain.reports.figures import Report, Stats
from app.ports import DeadLetterRow, LinkSummary, TimelineRow
from app.ports.console import LinkFilter
from app.services.diagnostics.health import State
from app.services.escalation.target import CANCELLING
from app.services.operator.overview import (
    DeadLetterInFull,
    EscalationRow,
    EvidenceRow,
    FoundLinkRow,
    LinkRow,
    escalation_row,
)
from app.shapes import Instant, answer_of, page_of_shape
from app.web import health
from app.web.access import Access
from app.web.api.endpoint import Answer, Asked, Endpoint, commands, looks, one, operate, piece, result_of
from app.web.api.parameters import DEFAULT_LIMIT, MAX_LIMIT, BadRequest, Number, Numbered, Paged, flag, page_of
from app.web.bridge import WebBridge

NO_SUCH_ALERT_OR_INCIDENT = "no_such_alert_or_incident"


class DeadLettersQuery(Paged):
    """Which dead letters."""

    closed = flag(
        load_default=False,
        metadata={
            "description": "`true`: those that were replayed or discarded; `false`: those that wait for a decision."
        },
    )


class LinksQuery(Paged):
    """Which links; without a word about it, whether or not."""

    open = flag(metadata={"description": "`true`: what is not resolved; `false`: what is."})
    frozen = flag(metadata={"description": "`true`: frozen links; `false`: the others."})
    since = Instant(metadata={"description": "Only alerts first seen from then on."})


class SearchQuery(Paged):
    """Which links, by a word about them; without a word about the rest, whether or not."""

    text = fields.String(
        required=True,
        validate=validate.Length(1, 600),
        metadata={
            "description": "An alert's id or its beginning, an incident's id or number (`#12`), or words of a title in "
            "any case."
        },
    )
    open = flag(metadata={"description": "`true`: what is not resolved; `false`: what is."})
    frozen = flag(metadata={"description": "`true`: frozen links; `false`: the others."})
    since = Instant(metadata={"description": "Only alerts first seen from then on."})


class EscalationsQuery(Schema):
    """Which escalations."""

    limit = Number(load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT))
    all = flag(load_default=False, metadata={"description": "`true`: also those that are finished."})


class PeriodQuery(Schema):
    """Which period of which service. `from` and `to` make `period` unused."""

    period = fields.String(validate=validate.Length(1, 50), metadata={"description": "As `truthvouch stats --period`."})
    start = fields.Date(data_key="from", metadata={"description": "The first day, by the clocks of the time zone."})
    end = fields.Date(data_key="to", metadata={"description": "The last day; today without one."})
    previous = flag(load_default=False, metadata={"description": "The period before the one that `period` means."})
    service_id = fields.String(validate=validate.Length(1, 100))
    time_zone = fields.String(load_default="UTC", validate=validate.Length(1, 100))


class EscalationsAnswer(TypedDict):
    """Those under way, the next due first."""

    escalations: list[EscalationRow]


class RevokedAnswer(TypedDict):
    """What was revoked."""

    alerts: list[str]
    """Whose evidence links work no more; empty where those of every alert do."""


class HealthAnswer(TypedDict):
    """What ``/readyz`` says."""

    status: State
    checks: dict[str, Any]
    """By name: `state` (`ok`, `degraded`, `red`), `message`, what to do (`remedy`), and the figures it rests on."""


def list_dead_letters(bridge: WebBridge, asked: Asked) -> Answer:
    page = page_of(asked.query)
    return piece("dead_letters", bridge.overview.dead_letters(page, asked.query["closed"]), page)


def show_dead_letter(bridge: WebBridge, asked: Asked) -> Answer:
    return one(bridge.overview.dead_letter(asked.path["id"]), CommandOutcome.NO_SUCH_DEAD_LETTER)


def replay_dead_letter(bridge: WebBridge, asked: Asked) -> Answer:
    return result_of(operate(bridge, asked)(CommandType.REPLAY, str(asked.path["id"]), asked.key))


def discard_dead_letter(bridge: WebBridge, asked: Asked) -> Answer:
    return result_of(operate(bridge, asked)(CommandType.DISCARD, str(asked.path["id"]), asked.key))


def list_links(bridge: WebBridge, asked: Asked) -> Answer:
    page, wanted = page_of(asked.query), asked.query
    return piece(
        "links", bridge.overview.links(page, wanted.get("open"), wanted.get("frozen"), wanted.get("since")), page
    )


def search_links(bridge: WebBridge, asked: Asked) -> Answer:
    page, wanted = page_of(asked.query), asked.query
    chosen = LinkFilter(
        clean(wanted["text"]), wanted.get("open"), frozen=wanted.get("frozen"), since=wanted.get("since"),
        before=page.after or None, limit=page.limit,
    )  # fmt: skip
    return piece("found", bridge.overview.found(chosen), page)


def show_evidence(bridge: WebBridge, asked: Asked) -> Answer:
    return one(bridge.overview.evidence(asked.path["alert_id"]), CommandOutcome.NO_SUCH_LINK)


def show_link(bridge: WebBridge, asked: Asked) -> Answer:
    return one(bridge.overview.link(asked.path["alert_id"]), CommandOutcome.NO_SUCH_LINK)


def thaw_link(bridge: WebBridge, asked: Asked) -> Answer:
    return result_of(operate(bridge, asked)(CommandType.THAW, asked.path["alert_id"], asked.key))


def show_timeline(bridge: WebBridge, asked: Asked) -> Answer:
    page = page_of(asked.query)
    rows = bridge.overview.timeline(asked.path["alert_or_incident"], page)
    if not rows and not page.after:
        return Answer.nothing(NO_SUCH_ALERT_OR_INCIDENT, "The bridge knows no such alert or incident.")
    return piece("timeline", rows, page)


def reconcile(bridge: WebBridge, asked: Asked) -> Answer:
    return result_of(operate(bridge, asked)(CommandType.RECONCILE, "", asked.key))


def list_escalations(bridge: WebBridge, asked: Asked) -> Answer:
    found = bridge.overview.escalation_rows(asked.query["limit"], asked.query["all"])
    return Answer(EscalationsAnswer(escalations=list(found)))


def show_escalation(bridge: WebBridge, asked: Asked) -> Answer:
    found = bridge.overview.escalation(asked.path["incident_id"])
    return one(None if found is None else escalation_row(found), CommandOutcome.NOT_ARMED)


def cancel_escalation(bridge: WebBridge, asked: Asked) -> Answer:
    return result_of(operate(bridge, asked)(CommandType.ESCALATE, asked.path["incident_id"], asked.key, CANCELLING))


def show_stats(bridge: WebBridge, asked: Asked) -> Answer:
    return _of_period(bridge, asked, "stats")


def show_report(bridge: WebBridge, asked: Asked) -> Answer:
    return _of_period(bridge, asked, "report")


def _of_period(bridge: WebBridge, asked: Asked, name: str) -> Answer:
    """Raises ``BadRequest`` for a period, a service or a time zone that is none."""
    from app.domain.reports.period import BadPeriod

    wanted = {key: clean(value) if isinstance(value, str) else value for key, value in asked.query.items()}
    try:
        return Answer(getattr(bridge.reports, name)(**wanted))
    except BadPeriod as fault:
        raise BadRequest(str(fault)) from fault


def revoke_evidence_links(bridge: WebBridge, asked: Asked) -> Answer:
    revoked = bridge.revoke_evidence(asked.path["alert_or_incident"], asked.by, Way.API)
    if not revoked:
        return Answer.nothing(NO_SUCH_ALERT_OR_INCIDENT, "The bridge knows no such alert or incident.")
    return Answer(RevokedAnswer(alerts=[*revoked]))


def revoke_all_evidence_links(bridge: WebBridge, asked: Asked) -> Answer:
    bridge.revoke_evidence.all(asked.by, Way.API)
    return Answer(RevokedAnswer(alerts=[]))


def show_health(bridge: WebBridge, _asked: Asked) -> Answer:
    return Answer(health.shown(bridge.health()))


def _revoke(path: str, view: Any, summary: str, *missing: str) -> Endpoint:
    """At once: no worker has to do it."""
    description = (
        "Evidence links that were made until now, or are made within two minutes, work no more. An incident that is "
        "opened later has a new one."
    )
    return Endpoint(
        method="POST", path=path, access=Access.ADMIN, view=view, answer=answer_of(RevokedAnswer), summary=summary,
        tag="evidence links", description=description, missing=missing,
    )  # fmt: skip


DEAD_LETTERS, LINKS, ESCALATIONS, REPORTS, HEALTH = "dead letters", "links", "escalations", "reports", "health"
_dead = page_of_shape("dead_letters", DeadLetterRow)
_closed = "A dead letter that is closed already answers its outcome."
ENDPOINTS: tuple[Endpoint, ...] = (
    looks(
        "/dead-letters", list_dead_letters, _dead, "Dead letters, oldest first", DEAD_LETTERS, query=DeadLettersQuery
    ),
    looks(
        "/dead-letters/<id>",
        show_dead_letter,
        answer_of(DeadLetterInFull),
        "One dead letter, and what waits behind it",
        DEAD_LETTERS,
        CommandOutcome.NO_SUCH_DEAD_LETTER,
        numbers=Numbered,
    ),
    commands(
        "/dead-letters/<id>/replay",
        replay_dead_letter,
        "Try again",
        DEAD_LETTERS,
        CommandOutcome.NO_SUCH_DEAD_LETTER,
        numbers=Numbered,
        description=f"The bridge asks what is missing now and does only that. {_closed}",
    ),
    commands(
        "/dead-letters/<id>/discard",
        discard_dead_letter,
        "Close without trying",
        DEAD_LETTERS,
        CommandOutcome.NO_SUCH_DEAD_LETTER,
        numbers=Numbered,
        description=f"What waits behind the dead letter goes on. {_closed}",
    ),
    looks("/links", list_links, page_of_shape("links", LinkSummary), "Links, newest first", LINKS, query=LinksQuery),
    looks(
        "/search",
        search_links,
        page_of_shape("found", FoundLinkRow),
        "Links by what is known of them",
        LINKS,
        query=SearchQuery,
    ),
    looks(
        "/evidence/<path:alert_id>",
        show_evidence,
        answer_of(EvidenceRow),
        "What of an alert can be erased: how much, never what it says",
        LINKS,
        CommandOutcome.NO_SUCH_LINK,
    ),
    looks(
        "/links/<path:alert_id>",
        show_link,
        answer_of(LinkRow),
        "One link: both sides, and what is pending towards them",
        LINKS,
        CommandOutcome.NO_SUCH_LINK,
    ),
    commands("/links/<path:alert_id>/thaw", thaw_link, "End a freeze", LINKS, CommandOutcome.NO_SUCH_LINK),
    looks(
        "/timeline/<path:alert_or_incident>",
        show_timeline,
        page_of_shape("timeline", TimelineRow),
        "What happened to an alert or an incident, by its id or number",
        LINKS,
        NO_SUCH_ALERT_OR_INCIDENT,
        query=Paged,
    ),
    looks(
        "/escalations",
        list_escalations,
        answer_of(EscalationsAnswer),
        "Escalations, the next due first",
        ESCALATIONS,
        query=EscalationsQuery,
    ),
    looks(
        "/escalations/<path:incident_id>",
        show_escalation,
        answer_of(EscalationRow),
        "The escalation of one incident",
        ESCALATIONS,
        CommandOutcome.NOT_ARMED,
    ),
    commands(
        "/escalations/<path:incident_id>/cancel",
        cancel_escalation,
        "Escalate this incident no more",
        ESCALATIONS,
        CommandOutcome.BAD_REQUEST,
        description="A reopen begins anew.",
    ),
    looks("/stats", show_stats, answer_of(Stats), "The numbers of a period", REPORTS, query=PeriodQuery),
    looks("/report", show_report, answer_of(Report), "The numbers, and each incident", REPORTS, query=PeriodQuery),
    _revoke(
        "/evidence-links/<path:alert_or_incident>/revoke",
        revoke_evidence_links,
        "End the evidence links of an alert or an incident",
        NO_SUCH_ALERT_OR_INCIDENT,
    ),
    _revoke("/evidence-links/revoke", revoke_all_evidence_links, "End every evidence link"),
    commands("/reconciliations", reconcile, "Read both sides back soon", "reconciliation"),
    looks("/health", show_health, answer_of(HealthAnswer), "What /readyz says, always with 200", HEALTH),
)
