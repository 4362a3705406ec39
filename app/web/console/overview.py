"""Is it healthy, what is open, what is stuck: the overview; the addresses and what last came in: the set-up; and the
settings of this process.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from app.domain.model.events import CommandType
from app.domain.model.types import Status, Urgency
from app.ports.console import FoundLink, LinkFilter, RunsWith, Setting
from app.ports.jobs import ConnectionTestWanted, JobWanted, RepairWanted
from app.services.diagnostics.health import Check, Report, State
from app.services.operator.console import ConsoleParts
from app.services.operator.operator import Operate
from app.ui import day_chart
from app.ui.standing import key_name, why
from app.web.access import Access, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, did, key_of_form, see_other, zone
from app.web.console.jobs import started

MOST_OPEN = 12
READ_OPEN = 200
"""How many open alerts are read to find the most urgent."""
CHECKS = {
    "store": ("Store", "configuration"),
    "configuration": ("Configuration", "configuration"),
    "worker": ("Worker", "configuration"),
    "worker_rules": ("Workers' rules", "configuration"),
    "oldest_waiting": ("Deliveries", "links?state=open"),
    "dead_letters": ("Dead letters", "dead-letters"),
    "frozen_links": ("Frozen alerts", "links?frozen=yes"),
    "webhook_subscription": ("Subscription", "setup"),
    "truthvouch": ("TruthVouch", "setup"),
    "pagerduty": ("PagerDuty", "setup"),
    "paused_targets": ("Paused targets", "dead-letters"),
}
"""Each check by name: what a page calls it, and the page about it."""
HEADLINES = {
    State.OK: "The bridge is healthy: alerts are accepted and delivered.",
    State.DEGRADED: "The bridge works, and something needs a look.",
    State.RED: "The bridge does not do its work.",
}
TONES = {State.OK: "good", State.DEGRADED: "warn", State.RED: "bad"}
MENDING: Mapping[str, JobWanted] = {"repair": RepairWanted(), "test": ConnectionTestWanted()}
PATHS = {"truthvouch": "/truthvouch/alerts", "pagerduty": "/pagerduty/webhook"}


@dataclass(frozen=True, slots=True)
class ShownCheck:
    """One check on a page."""

    name: str
    path: str
    check: Check


@dataclass(frozen=True, slots=True)
class ShownLink:
    """One alert in a list, with why it was paged or not."""

    link: FoundLink
    why: str
    address: str


def shown(found: Sequence[FoundLink]) -> list[ShownLink]:
    """Links for a list."""
    return [
        ShownLink(one, why(one.rule, one.urgency, bool(one.incident_status)), address("alert", alert=one.alert_id))
        for one in found
    ]


def checks(report: Report) -> Iterator[ShownCheck]:
    """What was looked at: what is wrong first."""
    order = list(State)
    for name, check in sorted(report.checks.items(), key=lambda one: -order.index(one[1].state)):
        label, path = CHECKS.get(name, (name.replace("_", " "), ""))
        yield ShownCheck(label, f"{PREFIX}/{path}", check)


def most_urgent(found: Sequence[FoundLink]) -> list[FoundLink]:
    """What nobody has in hand and pages somebody first; then the newest."""

    def rank(link: FoundLink) -> int:
        unattended = Status.OPEN in (link.incident_status, link.alert_status)
        return -2 * (unattended and link.urgency == Urgency.HIGH) - (unattended and bool(link.incident_status))

    return sorted(found, key=rank)[:MOST_OPEN]


def side_by_side(here: RunsWith, workers: Sequence[RunsWith]) -> list[tuple[Setting, list[str], bool]]:
    """Each setting of this process, its value in each worker, and whether any is another one. What a worker of another
    version does not know is empty."""
    rows = []
    for setting in here.settings:
        values = [next((one.value for one in other.settings if one.name == setting.name), "") for other in workers]
        rows.append((setting, values, any(value != setting.value for value in values)))
    return rows


def install(blueprint: Blueprint, frame: Frame, parts: ConsoleParts, operate: Operate) -> None:
    """The routes of these pages."""

    @blueprint.get(f"{PREFIX}/", **ROUTE)
    @needs(Access.READ)
    def overview() -> Response:
        """Whether the bridge is healthy, and what is open."""
        report = frame.report()
        open_links = parts.reads.find(LinkFilter(is_open=True, limit=READ_OPEN))
        day = day_chart.hours(parts.reads.newest_day(), frame.clock())
        budgets = [(key_name(one.key, one.part), one.calls, one.pause_seconds) for one in parts.budgets()]
        return frame.page(
            "overview.html", "overview", "Overview", report=report, headline=HEADLINES[report.state],
            tone=TONES[report.state], checks=list(checks(report)), links=shown(most_urgent(open_links)),
            open_count=len(open_links), more_open=len(open_links) == READ_OPEN, most=MOST_OPEN,
            day=day_chart.drawn(day, zone()), day_total=sum(hour.alerts for hour in day),
            day_paged=sum(hour.paged for hour in day), budgets=budgets,
        )  # fmt: skip

    @blueprint.post(f"{PREFIX}/reconcile", **ROUTE)
    @needs(Access.ADMIN)
    def reconcile() -> Response:
        """Read both sides back now."""
        return see_other(address("", done=did(operate, CommandType.RECONCILE)))

    @blueprint.get(f"{PREFIX}/setup", **ROUTE)
    @needs(Access.READ)
    def setup() -> Response:
        """The addresses to copy, what is missing, and what last came in."""
        configuration = frame.report().checks["configuration"]
        addresses = {side: f"{parts.public_url or ''}{path}" for side, path in PATHS.items()}
        return frame.page(
            "setup.html", "setup", "Setup", addresses=addresses, public_url=parts.public_url,
            has_api_key=parts.reads.has_api_key(), incoming=parts.reads.incoming(),
            missing=configuration.facts.get("missing", ()),
            notes=configuration.facts.get("notes", ()),
            subscription=frame.report().checks.get("webhook_subscription"),
        )  # fmt: skip

    @blueprint.post(f"{PREFIX}/setup", **ROUTE)
    @needs(Access.ADMIN)
    def mend() -> Response:
        """Have the worker mend what it can, or test the connection: both call PagerDuty, and take seconds."""
        action = request.form.get("action", "")
        wanted = MENDING.get(action)
        if wanted is None:
            abort(HTTPStatus.BAD_REQUEST)
        return started(operate, parts.work.encode_job(wanted), f"{action}-{key_of_form()}")

    @blueprint.get(f"{PREFIX}/configuration", **ROUTE)
    @needs(Access.READ)
    def configuration() -> Response:
        """What this process and each worker run with, side by side."""
        checks, here, workers = frame.report().checks, parts.runs_with(), parts.work.workers()
        found = checks["configuration"]
        return frame.page(
            "configuration.html", "configuration", "Configuration", check=found, own=here, workers=workers,
            missing=found.facts.get("missing", ()), notes=found.facts.get("notes", ()),
            version=parts.rules.current().version, fault=parts.rules.fault, rules_check=checks.get("worker_rules"),
            rows=side_by_side(here, [one.runs_with for one in workers]),
        )  # fmt: skip
