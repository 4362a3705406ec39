"""A bridge whose one incident carries an evidence link, on a real store, and whoever has that link."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from app.domain.model.events import AlertEvent, AlertEventType, CommandType
from app.domain.model.types import Alert, AlertId, Side
from app.domain.rules.rulebook import ConsoleRules, EvidenceShows, Rulebook
from app.ports.console import AuditFilter
from app.services.access.evidence import EvidencePace, EvidenceTokens
from app.services.operator.console import Console
from app.services.operator.evidence import Evidence, RevokeEvidence
from app.services.rules.stored import RuleCommands
from app.store.access import StoredAccess
from app.store.jobs import StoredAudit
from app.store.link_search import StoredLinkSearch
from app.store.operator_records import StoredRecords
from tests.services.operator.test_operate import OperatorRig
from tests.services.rigs import DatedRig
from tests.shapes import health_of
from tests.web.console_client import HTTPS, TOKEN
from tests.web_fakes import FakeBridge

KEY = "the key"
ALERT = Alert(
    AlertId("a1"), "critical", "hallucination", "Medicine", "The dose is wrong",
    claim="Take eight a day.", truth="Take four a day.", query="How many may I take?",
    response="You may take eight a day, dana@example.com.", model="assistant-2", confidence=0.05,
    people={"user": "Dana Smith"},
)  # fmt: skip
_BUTTON = re.compile(r'name="button" value="([^"]+)"><button[^>]* name="action" value="(\w+)"')


@dataclass
class EvidenceRig:
    """What is behind the link, and a browser before it that knows nothing but its address."""

    data_dir: Path
    shows: EvidenceShows = EvidenceShows.REDACTED
    url: str | None = None

    def __post_init__(self) -> None:
        self.rig = DatedRig(self.data_dir, url=self.url)
        self.clock, database = self.rig.clock, self.rig.database
        self.set(ConsoleRules(True, self.shows))
        operator = OperatorRig(self.rig, self.data_dir)
        handlers = {CommandType.SILENCE_ALIKE: RuleCommands(self.rig.stored_rules, self.clock)}
        self.operator, records = operator, StoredRecords()
        self.tokens = EvidenceTokens(lambda: (KEY,), self.clock)
        source = health_of(database, self.rig._inbox)
        reads = Console(database, records, StoredLinkSearch(), source, {}, lambda: True, self.clock)
        stored = (database, records, StoredAccess())
        self.bridge = FakeBridge(self.clock)
        self.bridge.__dict__["database"] = database
        self.bridge.operate = replace(operator.operate, handlers=handlers)
        self.bridge.evidence = Evidence(
            self.tokens, self.rig.rulebook, reads, *stored, EvidencePace(self.clock), self.clock
        )
        self.revoke = RevokeEvidence(*stored, StoredAudit(), self.clock)
        self.app: Flask = self.bridge.app(BRIDGE_SECRET_KEY=KEY, BRIDGE_ADMIN_TOKEN=TOKEN)
        self.client = self.app.test_client(use_cookies=False)

    def close(self) -> None:
        """Let go of the store."""
        self.operator.inbox.close()
        self.rig.database.engine.dispose()
        self.rig._inbox.dispose()

    def set(self, console: ConsoleRules, **more: Any) -> None:
        """In place of the file."""
        self.rig.rulebook.rulebook = Rulebook(console=console, **more)

    def opened(self, alert: Alert = ALERT) -> str:
        """An alert, its incident, and the token of its evidence link."""
        event = AlertEvent(AlertEventType.CREATED, alert, "alert.created", self.clock())
        self.rig.say(Side.TRUTHVOUCH, event)
        self.rig.run()
        link = self.rig.link(alert.alert_id)
        return self.tokens.make(link.link_id, link.incident_key)

    def get(self, token: str, method: str = "GET", **headers: str) -> TestResponse:
        return self.client.open(f"/e/{token}", method=method, base_url=HTTPS, headers=headers)

    def buttons(self, token: str) -> dict[str, str]:
        """The signed word of each button on the page."""
        return {action: word for word, action in _BUTTON.findall(self.get(token).text)}

    def post(self, token: str, action: str, button: str, **more: str) -> TestResponse:
        form = {"action": action, "button": button, **more}
        return self.client.post(f"/e/{token}", base_url=HTTPS, data=form)

    def press(self, token: str, action: str, **more: str) -> str:
        """Press a button of a fresh page; what the next page says."""
        answer = self.post(token, action, self.buttons(token)[action], **more)
        assert 303 == answer.status_code, answer.text
        self.rig.run()
        return self.client.get(answer.headers["Location"], base_url=HTTPS).text

    def audited(self) -> list[tuple[str, ...]]:
        """Who did what by which way, oldest first."""
        with self.rig.database.read() as tx:
            found = StoredAudit().find(tx, AuditFilter())
        return [(one.actor, one.way.value, one.action, one.subject, one.outcome) for one in reversed(found)]
