"""The console on a real store: the rig behind it, somebody logged in before it, and a reader of its pages."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from flask import Flask, g

from app.bootstrap.rules import alert_in
from app.config import bridge_yaml
from app.domain.model.events import CommandType, Way
from app.domain.model.types import AlertId, Side, Status
from app.domain.rules.rulebook import Rulebook
from app.domain.sync.link import Link
from app.errors import ConfigFault
from app.ports import BudgetLeft, CommandHandler, Page, Tx
from app.ports.console import FoundLink, LinkFilter, RunsWith, Setting
from app.services.diagnostics.health import Health
from app.services.jobs.commands import JobCommands, JobOverview
from app.services.operator.audit import AuditLog
from app.services.operator.console import Console, ConsoleParts
from app.services.operator.workbench import Workbench
from app.services.reports.report import Reports
from app.services.rules.rulebook import Backtests, Shadow, StoredAlerts
from app.services.rules.stored import RuleCommands, StoredRulesOverview
from app.store.health import StoredRefusals
from app.store.history import StoredHistory, StoredPast
from app.store.jobs import StoredAudit, StoredJobs, encode_job
from app.store.operator_records import StoredRecords
from app.store.stored_rules import RulesInStore
from app.store.worker_configurations import StoredConfigurations
from app.web import auth, console, http
from app.web.access import Actor, Role
from tests.rig import FixedRulebook
from tests.services.operator.test_operate import OperatorRig
from tests.services.rigs import DatedRig
from tests.shapes import health_of, plain_of


class ReadSearch:
    """Finds links by reading them all: slow, and right."""

    def find(self, tx: Tx, wanted: LinkFilter) -> Sequence[FoundLink]:
        records, found = StoredRecords(), []
        for row in records.links(tx, Page(100_000), wanted.is_open, wanted.frozen, wanted.since):
            link = records.link(tx, AlertId(row["alert_id"]))
            assert link is not None
            one = _found(row["id"], link)
            text = wanted.text.lower()
            named = (one.alert_id, one.incident_id, f"#{one.incident_number}", str(one.incident_number))
            if text and wanted.text not in named and text not in one.title.lower():
                continue
            if wanted.severity not in ("", one.severity) or wanted.paged not in (None, one.paged):
                continue
            if wanted.before is None or one.number < wanted.before:
                found.append(one)
        return found[: wanted.limit]

    def per_hour(self, tx: Tx, since: datetime, at_most: int) -> Sequence[tuple[datetime, bool, int]]:
        return [(one.first_seen_at, one.paged, 1) for one in self.find(tx, LinkFilter(since=since, limit=at_most))]


def _found(number: int, link: Link) -> FoundLink:
    alert, decision = link.alert, link.decision
    return FoundLink(
        number, alert.alert_id, alert.message or "", alert.severity or "", alert.kind or "", alert.model or "",
        alert.category or "", _status(link.alert_side.status), _status(link.incident_side.status),
        link.incident_id or "", link.incident_number,
        decision.urgency.value if decision and decision.urgency else "", link.paged, decision.rule if decision else "",
        decision.version if decision else "", link.verdict or "", link.frozen_at is not None, link.first_seen_at,
    )  # fmt: skip


def _status(status: Status | None) -> str:
    return status.value if status else ""


class RulesOfRig(FixedRulebook):
    """The rig's rulebook, with a fault of the file where a test wants one."""

    fault = ""


@dataclass
class ConsoleRig:
    """Everything behind the console, and a browser before it."""

    data_dir: Path
    role: Role = Role.ADMIN
    name: str = "Ada"
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    public_url: str | None = "https://bridge.example.com"
    budgets: tuple[BudgetLeft, ...] = ()
    url: str | None = None
    settings: list[Setting] = field(default_factory=lambda: [Setting("TRUTHVOUCH_API_KEY", "set", "")])

    def __post_init__(self) -> None:
        self.rig = DatedRig(self.data_dir, url=self.url)
        self.operator = OperatorRig(self.rig, self.data_dir, url=self.url)
        self.rules = RulesOfRig(self.rig.rulebook.rulebook)
        self.work = self._workbench()
        database, records = self.rig.database, StoredRecords()
        source = health_of(database, self.rig._inbox)
        self.refusals = StoredRefusals(plain_of(database.engine))
        health = Health(self.operator.inbox, source, lambda: self.missing, lambda: self.notes, self.rig.clock)
        secrets = {Side.TRUTHVOUCH: 2, Side.PAGERDUTY: 1}
        reads = Console(database, records, ReadSearch(), source, secrets, lambda: True, self.rig.clock)
        reports = Reports(database, StoredHistory(), self.rules, "PMAIN", self.rig.clock)
        parts = ConsoleParts(
            reads, self.rules, StoredAlerts(database, records), alert_in, lambda: reports, self.runs_with,
            self.public_url, self.work, lambda: self.budgets, self._revoke,
        )  # fmt: skip
        self.app = Flask("console under test", static_folder=None)
        http.install_errors(self.app)
        self.app.before_request(self._log_in)
        self.app.after_request(auth.add_headers)
        self.app.jinja_env.globals["csrf_token"] = lambda: "a-token"
        self.app.register_blueprint(console.blueprint(parts, self.operator.operate, self.operator.overview, health))
        self.client = self.app.test_client()
        self.revoked: list[str] = []

    def _revoke(self, wanted: str, _by: str, _way: Way) -> Sequence[AlertId]:
        known = [AlertId(wanted)] if wanted.startswith("alert-") else []
        self.revoked += known
        return known

    def _workbench(self) -> Workbench:
        """Over the rig's store; the rig's worker executes what is asked, and no job runs unless a test does it."""
        database, clock = self.rig.database, self.rig.clock
        self.stored_rules = RulesInStore()
        jobs, rules = JobCommands(StoredJobs(), clock=clock), RuleCommands(self.stored_rules, clock)
        handlers: dict[CommandType, CommandHandler] = {
            kind: rules for kind in CommandType if kind.value.endswith(("silence", "draft"))
        }
        handlers |= dict.fromkeys((CommandType.START_JOB, CommandType.CANCEL_JOB), jobs)
        object.__setattr__(self.rig.intake.execute_command, "handlers", handlers)
        object.__setattr__(self.rig.intake.execute_command, "audit", StoredAudit())
        self.operator.operate = replace(self.operator.operate, handlers=handlers)
        shadow = Shadow(self.rules, lambda _name: Rulebook(version="draft"), lambda name: name)
        return Workbench(
            JobOverview(database, StoredJobs()), encode_job, StoredRulesOverview(database, self.stored_rules),
            self.rules, shadow, lambda: Backtests(database, StoredPast()), self.faults_of,
            AuditLog(database, StoredAudit(), clock), StoredConfigurations(), clock,
        )  # fmt: skip

    def runs_with(self) -> RunsWith:
        return RunsWith("3f2a91c07d1e", "1.0", tuple(self.settings), ())

    def faults_of(self, text: str, name: str) -> Sequence[str]:
        """As bootstrap has it."""
        try:
            bridge_yaml.parse(text, name)
        except ConfigFault as fault:
            return [str(one) for one in fault.faults]
        return ()

    def _log_in(self) -> None:
        g.actor = Actor(self.name, self.role)

    def get(self, path: str = "/") -> "PageRead":
        """The page at this address below ``/console``."""
        answer = self.client.get(f"/console{path}")
        return PageRead(answer.status_code, answer.text, dict(answer.headers))

    def post(self, path: str, **form: Any) -> "PageRead":
        """Press a button, and follow where it leads."""
        answer = self.client.post(f"/console{path}", data=form, follow_redirects=True)
        return PageRead(answer.status_code, answer.text, dict(answer.headers))

    def now(self) -> datetime:
        """By the rig's clock."""
        return self.rig.clock()


VOID = {"meta", "link", "input", "br", "rect", "path", "line", "hr", "img"}


class PageRead(HTMLParser):
    """A page as a browser takes it apart: its elements, its headings, and what it says."""

    def __init__(self, status: int, html: str, headers: dict[str, str]) -> None:
        super().__init__(convert_charrefs=True)
        self.status, self.html, self.headers = status, html, headers
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.levels: list[int] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.labelled: list[tuple[dict[str, str], bool]] = []
        self._words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements.append((tag, given))
        if tag[0] == "h" and tag[1:].isdecimal():
            self.levels.append(int(tag[1:]))
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            self.labelled.append((given, "label" in self.open or "aria-label" in given))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style") and data.strip():
            self.unbalanced.append(f"inline {self.open[-1]}")
        self._words.append(data)

    @property
    def text(self) -> str:
        """What it says, blanks made one."""
        return " ".join(" ".join(self._words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of this kind."""
        return [given for name, given in self.elements if name == tag]
