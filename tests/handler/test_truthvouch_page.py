"""TruthVouch's PagerDuty page from top to bottom: every snippet and command on it, against the real bridge.

The code is the page's, with its indentation put back. What stands for something of the reader's own on the page (ids,
keys) is replaced by what exists in the sandbox; of the imports, the line that names the package.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from werkzeug.test import TestResponse

from app.cli import main
from tests.system.bridge import ADMIN_TOKEN, INTEGRATION_KEY, SECRETS
from tests.system.conftest import a_world
from tests.system.processes import PYTHON, ROOT
from tests.system.signing import key_of
from tests.system.waiting import until
from tests.system.world import World
from tests.test_logs import configured

pytestmark = pytest.mark.system

TABLE = (ROOT / "docs" / "page.md").read_text("utf-8")
QUIET = "quiet-alert"
"""An alert that the first configuration opens no incident for."""

Json = dict[str, Any]
READERS_OWN = {
    "from truthvouch.integrations.pagerduty import": "from truthvouch_pagerduty import",
    "from truthvouch.client import": "from truthvouch_pagerduty import",
    "your-integration-key": INTEGRATION_KEY,
    '"escalation_policy_id": "pxxxxx"': '"escalation_policy_id": "PSBXEP2"',
    'escalation_policy_id="pxxxxx"': 'escalation_policy_id="PSBXEP2"',
    "pxxxxx": "PSANDBX",
    "user123": "PSBXUS2",
}


@dataclass
class Page:
    """A reader who types what the page says, one snippet after the other, into one Python session."""

    world: World
    session: Json = field(default_factory=dict)

    def run(self, snippet: str, **own: str) -> None:
        """The snippet, with what is the reader's own."""
        for ours, theirs in {**READERS_OWN, **own}.items():
            snippet = snippet.replace(ours, theirs)
        exec(compile(snippet, "the page", "exec"), self.session)  # the page's own code is what is tested

    def type(self, line: str, **settings: str) -> tuple[int, str]:
        """A command as a terminal would take it: its exit code, and what it said, in which nothing is secret."""
        environment = {name: value for name, value in {**self.world.bridge.environment, **settings}.items() if value}
        words = [str(PYTHON), "-m", "app.cli", *line.removeprefix("truthvouch ").split()]
        answer = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
        return answer.returncode, fit_to_show(answer.stdout + answer.stderr)

    def ask(self, line: str, **settings: str) -> tuple[int, str]:
        """The same without a process of its own, which takes most of the time."""
        with configured("json", "WARNING"):
            answer = CliRunner().invoke(main, line.removeprefix("truthvouch ").split(), env=settings)
        return answer.exit_code, fit_to_show(answer.output)

    def incidents(self, title: str) -> list[Json]:
        """What PagerDuty has under this title."""
        return [one for one in self.world.sandbox.state()["incidents"] if one["title"] == title]

    def incident(self, ident: str) -> Json:
        [found] = [one for one in self.world.sandbox.state()["incidents"] if one["id"] == ident]
        return found


def fit_to_show(said: str) -> str:
    assert "Traceback" not in said, said
    assert [] == [secret for secret in SECRETS if secret in said]
    return said


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with pytest.MonkeyPatch.context() as environment, a_world(tmp_path_factory.mktemp("page")) as world:
        world.bridge.environment["BRIDGE_PUBLIC_URL"] = world.bridge.url
        for name, value in world.bridge.environment.items():
            environment.setenv(name, value)
        world.sandbox.raise_alert(QUIET, severity="low")
        reader = Page(world)
        reader.run('from truthvouch.integrations.pagerduty import PagerDutyHandler\nhandler = PagerDutyHandler(\n    '
                   'integration_key="your-integration-key"\n)')  # fmt: skip
        with closing(reader.session["handler"]):
            yield reader


def an_incident(page: Page, title: str, **more: Any) -> str:
    """A fresh incident of the reader's; its id."""
    return str(page.session["handler"].create_incident(title, **more)["incident"]["id"])


# ------------------------------------------------------------------------------------------------ Setup


def test_setup_configure_truthvouch(page: Page, tmp_path: Path):
    config = tmp_path / "bridge.yaml"
    line = "truthvouch config pagerduty --integration-key xxxxx --service-id pxxxxx"
    code, said = page.type(line, BRIDGE_CONFIG=str(config))
    assert 0 == code, said
    written = config.read_text("utf-8")
    assert "xxxxx" in written
    assert "pxxxxx" in written
    assert 0o600 == config.stat().st_mode & 0o777


def test_setup_test_connection(page: Page):
    code, said = page.type("truthvouch config pagerduty --test")
    assert 0 == code, said
    opened = [one for one in page.world.sandbox.state()["incidents"] if "connection test" in one["title"].lower()]
    assert ["resolved"] == [one["status"] for one in opened]


# ------------------------------------------------------------------------------------------------ Alert routing

CRITICAL_TO_INCIDENTS = """
# Route critical alerts to incidents
handler.configure_rule(
    name="Critical Hallucinations → Incident",
    trigger="confidence < 0.5",
    action={
        "type": "create_incident",
        "title": "CRITICAL: Hallucination detected",
        "urgency": "high",
        "service_id": "pxxxxx",
        "escalation_policy_id": "pxxxxx"
    }
)
"""


def test_alert_routing_critical_to_incidents(page: Page):
    page.run(CRITICAL_TO_INCIDENTS)
    reloaded(page)
    page.world.sandbox.raise_alert("routed", severity="low", confidence=0.3)
    [incident] = until(lambda: page.incidents("CRITICAL: Hallucination detected"), "the rule opens it", 15)
    routed = (incident["urgency"], incident["service"]["id"], incident["escalation_policy"]["id"])
    assert ("high", "PSANDBX", "PSBXEP2") == routed


def reloaded(page: Page) -> None:
    """Wait until the running worker decides by the file as it is now: it looks once a second, when it is needed."""
    version = re.search(r"version (\w+)", page.ask("truthvouch config check")[1])
    assert version
    until(lambda: version[1] == decided_by(page), "the worker has taken the file up", 15, page.world.evidence)


def decided_by(page: Page) -> str:
    """The rulebook's version by which the worker decides about an alert now."""
    alert_id = page.world.new_alert_id()
    page.world.sandbox.raise_alert(alert_id, severity="low", confidence=0.9)
    path, token = f"/api/v1/timeline/{alert_id}", {"Authorization": f"Bearer {ADMIN_TOKEN}"}

    def applied() -> list[str]:
        answer = page.world.bridge.get(path, headers=token)
        lines = answer.json()["timeline"] if answer.ok else []
        return [line["facts"]["rulebook"] for line in lines if "rulebook" in line["facts"]]

    return until(applied, "the event is applied")[0]


SEVERITY_MAPPING = """
# Map TruthVouch severity to PagerDuty urgency
severity_map = {
    "critical": "high", # Page on-call
    "high": "low", # Add to queue
    "medium": "low", # Log only
    "low": "low" # Log only
}
# Configure mapping
handler.configure_severity_map(severity_map)
"""


def test_alert_routing_severity_mapping(page: Page):
    page.run(SEVERITY_MAPPING)
    reloaded(page)
    for severity, urgency in page.session["severity_map"].items():
        alert_id = f"mapped-{severity}"
        page.world.sandbox.raise_alert(alert_id, severity=severity, confidence=0.9)
        [incident] = until(partial(page.world.sandbox.incidents, alert_id), alert_id)
        assert urgency == incident["urgency"]


# ------------------------------------------------------------------------------------------------ Incident creation

CREATE_INCIDENT = """
incident = handler.create_incident(
    title="Hallucination in production",
    description="Confidence: 5% - Earth is flat claim",
    service_id="pxxxxx",
    urgency="high",
    body={
        "type": "incident_body",
        "details": {
            "query": "Is the Earth flat?",
            "response": "Yes, the Earth is flat",
            "confidence": "5%",
            "category": "Science",
            "dashboard_link": "https://dash.truthvouch.com/alert/123"
        }
    }
)
print(f"Created incident: {incident['incident']['incident_number']}")
"""


def test_incident_creation_create_incident(page: Page, capsys: pytest.CaptureFixture[str]):
    page.run(CREATE_INCIDENT)
    [there] = page.incidents("Hallucination in production")
    assert f"Created incident: {there['incident_number']}\n" == capsys.readouterr().out
    for words in ("Confidence: 5% - Earth is flat claim", "Query: Is the Earth flat?", "Category: Science"):
        assert words in there["body"].splitlines() or f"Description: {words}" in there["body"].splitlines()
    assert "https://dash.truthvouch.com/alert/123" in there["body"]


WITH_CUSTOM_FIELDS = """
incident = handler.create_incident(
    title="Hallucination - Policy Violation",
    description="Auto-generated from TruthVouch",
    service_id="pxxxxx",
    urgency="high",
    client="api.integration.client:TruthVouch",
    details={
        "custom_field_1": "hallucination",
        "custom_field_2": "5%",
        "alert_id": "alert_123"
    }
)
"""


def test_incident_creation_with_custom_fields_is_the_alerts_own_incident(page: Page):
    page.run(WITH_CUSTOM_FIELDS)
    [there] = page.incidents("Hallucination - Policy Violation")
    lines = {"Alert id: alert_123", "Custom field 1: hallucination", "Client: TruthVouch (api.integration.client)"}
    assert lines <= set(there["body"].splitlines())
    assert key_of("alert_123") == there["incident_key"] == page.session["incident"]["incident"]["incident_key"]
    page.world.sandbox.raise_alert("alert_123")
    until(lambda: page.world.bridge.events("incident.opened") or adopted(page, there["id"]), "the bridge knows it", 15)
    page.session["handler"].acknowledge_incident(there["id"])
    page.world.until_both_are("alert_123", "acknowledged", "acknowledged")
    page.session["handler"].resolve_incident(there["id"], "It was wrong indeed")
    page.world.until_both_are("alert_123", "resolved", "resolved")
    assert "It was wrong indeed" == page.world.sandbox.alert("alert_123")["resolution"]


def adopted(page: Page, ident: str) -> bool:
    answer = page.world.bridge.get("/api/v1/links/alert_123", headers={"Authorization": f"Bearer {ADMIN_TOKEN}"})
    return answer.ok and answer.json()["incident"]["id"] == ident


# ------------------------------------------------------------------------------------------------ Incident lifecycle

ACKNOWLEDGE_AND_RESOLVE = """
# Get incident details
incident_id = "Q02JTUPZWHSN7Q"
# Acknowledge
handler.acknowledge_incident(
    incident_id=incident_id,
    user_id="user123"
)
# Resolve when issue is fixed
handler.resolve_incident(
    incident_id=incident_id,
    resolution_note="Issue fixed in production"
)
"""


def test_incident_lifecycle_acknowledge_and_resolve(page: Page):
    ident = an_incident(page, "lifecycle")
    page.run(ACKNOWLEDGE_AND_RESOLVE, Q02JTUPZWHSN7Q=ident)
    there = page.incident(ident)
    assert "resolved" == there["status"]
    assert ["Issue fixed in production"] == [note["content"] for note in there["notes"]]
    assert "acknowledge by Manager Example" in [line["summary"] for line in there["log"]]


ESCALATION = """
# Escalate if not acknowledged in 30 minutes
handler.escalate_if_unacknowledged(
    incident_id=incident_id,
    timeout_minutes=30,
    escalation_policy_id="pxxxxx"
)
"""


def test_incident_lifecycle_escalation(page: Page):
    page.session["incident_id"] = ident = an_incident(page, "to be escalated")
    page.run(ESCALATION)
    assert ident in page.ask("truthvouch escalation list")[1]
    answer = page.session["handler"].escalate_if_unacknowledged(ident, 0.01, "PSBXEP2")
    assert "armed" == answer["outcome"]
    until(lambda: page.incident(ident)["escalation_policy"]["id"] == "PSBXEP2", "it is on the policy", 20)


def test_incident_lifecycle_nothing_acknowledged_is_escalated(page: Page):
    ident = an_incident(page, "not to be escalated")
    page.session["handler"].acknowledge_incident(ident)
    page.session["handler"].escalate_if_unacknowledged(ident, 0.01, "PSBXEP2")
    looked = {"method": "GET", "path": f"/incidents/{ident}"}
    before = len(page.world.sandbox.calls(**looked))  # the acknowledge looked, and so did the arming
    until(lambda: len(page.world.sandbox.calls(**looked)) > before, "the worker has looked")
    assert "PSBXEP1" == page.incident(ident)["escalation_policy"]["id"]


# ------------------------------------------------------------------------------------------------ Bidirectional sync

INCIDENT_UPDATE_WEBHOOK = '''
from flask import Flask, request
from truthvouch.client import TruthVouchClient
app = Flask(__name__)
tv_client = TruthVouchClient(api_key="your-api-key")
@app.route("/pagerduty/webhook", methods=["POST"])
def handle_pd_event():
    """Handle PagerDuty incident updates."""
    event = request.get_json()
    # When incident is acknowledged
    if event["type"] == "incident.acknowledged":
        incident = event["data"]["incident"]
        alert_id = incident["body"]["details"]["alert_id"]
        # Update TruthVouch alert
        tv_client.alerts.acknowledge(alert_id=alert_id)
    # When incident is resolved
    elif event["type"] == "incident.resolved":
        incident = event["data"]["incident"]
        alert_id = incident["body"]["details"]["alert_id"]
        # Mark alert as resolved
        tv_client.alerts.resolve(alert_id=alert_id)
    return {"status": "ok"}, 200
'''


def webhook(kind: str, incident_id: str, alert_id: str) -> Json:
    """In the shape that the page reads."""
    return {"type": kind, "data": {"incident": {"id": incident_id, "body": {"details": {"alert_id": alert_id}}}}}


@pytest.mark.parametrize(("kind", "status"), [("acknowledged", "acknowledged"), ("resolved", "resolved")])
def test_bidirectional_sync_the_pages_own_receiver(page: Page, kind: str, status: str):
    page.session["__name__"] = "reader"
    page.run(INCIDENT_UPDATE_WEBHOOK)
    alert_id = f"by-hand-{kind}"
    page.world.sandbox.raise_alert(alert_id, confidence=0.9)
    with closing(page.session["tv_client"]):
        client = page.session["app"].test_client()
        answer: TestResponse = client.post("/pagerduty/webhook", json=webhook(f"incident.{kind}", "Q1", alert_id))
    assert (200, {"status": "ok"}) == (answer.status_code, answer.json)
    assert status == page.world.sandbox.alert(alert_id)["status"]


@pytest.mark.parametrize("kind", ["acknowledged", "resolved"])
def test_bidirectional_sync_the_bridge_takes_that_shape_signed(page: Page, kind: str):
    """Also of an incident it never heard of, for an alert it knows: the alert's id is in the body."""
    body = webhook(f"incident.{kind}", "QUNHEARDOF0001", QUIET)
    body["data"]["incident"]["status"] = kind
    unsigned = page.world.bridge.deliver("pagerduty", json.dumps(body).encode(), headers={})
    assert 401 == unsigned.status_code
    assert 202 == page.world.bridge.send_webhook("pagerduty", body).status_code
    until(lambda: page.world.sandbox.alert(QUIET)["status"] == kind, f"the alert is {kind}", 15, page.world.evidence)


# ------------------------------------------------------------------------------------------------ On-call escalation

AUTO_ESCALATE = """
# Escalate critical issues to on-call rotation
handler.configure_escalation(
    escalation_policy_id="pxxxxx", # Your escalation policy
    levels=[
        {
            "level": 1,
            "timeout_minutes": 15,
            "description": "Wait 15 minutes, then escalate"
        },
        {
            "level": 2,
            "timeout_minutes": 30,
            "description": "Wait 30 minutes, then escalate manager"
        }
    ]
)
"""


def test_on_call_escalation_auto_escalate(page: Page):
    page.run(AUTO_ESCALATE)
    reloaded(page)
    page.world.sandbox.raise_alert("auto", severity="critical", confidence=0.9)
    [incident] = until(lambda: page.world.sandbox.incidents("auto"), "the incident is open")
    assert "triggered" == incident["status"]
    code, plan = page.ask("truthvouch escalation plan auto")
    assert 0 == code, plan
    assert "PSBXEP2" in plan


NOTIFY_RESPONDER = """
# When responder is assigned
handler.notify_responder(
    incident_id="Q02JTUPZWHSN7Q",
    message="Critical hallucination detected. Review in TruthVouch dashboard.",
    link="https://dash.truthvouch.com/alerts/123"
)
"""


def test_on_call_escalation_notify_responder(page: Page):
    ident = an_incident(page, "responders")
    for _ in range(2):
        page.run(NOTIFY_RESPONDER, Q02JTUPZWHSN7Q=ident)
    [note] = page.incident(ident)["notes"]
    assert "Review in TruthVouch dashboard. https://dash.truthvouch.com/alerts/123" in note["content"]
    asked = page.world.sandbox.calls(method="POST", path=f"/incidents/{ident}/responder_requests")
    assert 1 == len(asked)


# ------------------------------------------------------------------------------------------------ Metrics and reports

GET_INCIDENT_STATS = """
# Get metrics for service
stats = handler.get_incident_stats(
    service_id="pxxxxx",
    start_date="2024-03-01",
    end_date="2024-03-15"
)
print(f"Total incidents: {stats['total']}")
print(f"Avg resolution time: {stats['avg_resolution_minutes']}m")
print(f"Incidents escalated: {stats['escalated']}")
"""


def test_metrics_and_reports_get_incident_stats(page: Page, capsys: pytest.CaptureFixture[str]):
    page.run(GET_INCIDENT_STATS)
    assert "Total incidents: 0\n" in capsys.readouterr().out
    yesterday, tomorrow = (str((datetime.now(UTC) + timedelta(days=days)).date()) for days in (-1, 1))
    page.run(GET_INCIDENT_STATS, **{"2024-03-01": yesterday, "2024-03-15": tomorrow})
    stats = page.session["stats"]
    assert stats["total"] >= 5
    assert 0 <= stats["avg_resolution_minutes"] < 60
    assert "Incidents escalated: " in capsys.readouterr().out


INCIDENT_REPORT = """
# Generate monthly report
report = handler.generate_report(
    service_id="pxxxxx",
    period="monthly"
)
for incident in report["incidents"]:
    print(f"- {incident['incident_number']}: {incident['title']}")
    print(f" Status: {incident['status']}")
    print(f" Duration: {incident['duration_minutes']}m")
"""


def test_metrics_and_reports_incident_report(page: Page, capsys: pytest.CaptureFixture[str]):
    page.run(INCIDENT_REPORT)
    out = capsys.readouterr().out
    [incident] = page.incidents("CRITICAL: Hallucination detected")
    assert f"- {incident['incident_number']}: CRITICAL: Hallucination detected\n Status: triggered\n Duration: " in out


# ------------------------------------------------------------------------------------------------ Practice, trouble

COMMAND = re.compile(r"`(truthvouch [^`]+)`")


def commands_of_the_table() -> list[str]:
    return sorted(set(COMMAND.findall(TABLE)))


def test_every_line_of_the_page_has_its_row():
    """The page's points, each in the words that the table's first column begins with."""
    rows = [line.split("|")[1].strip() for line in TABLE.splitlines() if line.startswith("| ")]
    assert [] == [point for point in POINTS if not any(row.startswith(point) for row in rows)]


POINTS = """
Create incidents only for high/critical alerts
Include dashboard link in incident details
Use consistent severity mapping
Implement SLA targets
Set realistic escalation timeouts
Test rotation before production
Monitor escalation effectiveness
Review and adjust policy quarterly
Track MTTR (mean time to resolution)
Monitor alert vs incident ratio
Review false alert rates
Plan capacity based on incident volume
Verify integration key is correct
Check service_id exists
Test with curl first
Check request format
Verify escalation policy is active
Check user is in rotation
Test with manual escalation first
Review timeout settings
Verify webhook URL is correct
Check TruthVouch can reach PagerDuty
Implement retry logic
Add comprehensive logging
""".strip().splitlines()


@pytest.mark.parametrize("line", commands_of_the_table())
def test_every_command_of_the_table_exists_with_its_options(line: str):
    command: click.Command = main
    words = line.split()[1:]
    while words and isinstance(command, click.Group):
        name = words.pop(0)
        assert name in command.commands, f"{line}: there is no {name}"
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    assert [] == [word for word in words if word.startswith("--") and word not in known]


ASKED = {
    "truthvouch doctor": "PSANDBX",
    "truthvouch incidents list": "triggered",
    "truthvouch rules list": "Critical Hallucinations",
    "truthvouch rules explain mapped-high": "severity",
    "truthvouch escalation list": "PSBXEP2",
    "truthvouch timeline mapped-high": "TruthVouch: alert created.",
    "truthvouch dead-letters list": "",
    "truthvouch stats": "MTTR",
    "truthvouch report --period monthly": "CRITICAL: Hallucination detected",
    "truthvouch config check": "rulebook",
}
"""What a reader with a question runs, and a word of the answer."""


@pytest.mark.parametrize("line", ASKED)
def test_what_the_page_recommends_has_an_answer(page: Page, line: str):
    code, said = page.ask(line)
    assert 0 == code, said
    assert ASKED[line].lower() in said.lower()


def test_trouble_a_wrong_integration_key_and_a_missing_service_are_named(page: Page):
    wrong = {"PAGERDUTY_SERVICE_ID": "PNONE", "PAGERDUTY_INTEGRATION_KEY": "tooshort"}
    code, said = page.ask("truthvouch config pagerduty --test", **wrong)
    assert 1 == code
    assert "PNONE" in said


def test_trouble_a_manual_escalation_can_be_tried(page: Page):
    """The drill, shortened: it opens an incident, watches it rise, and resolves it."""
    code, said = page.ask("truthvouch escalation drill --policy PSBXEP2 --minutes-per-level 0.02 --yes")
    assert 0 == code, said
    drills = [one for one in page.world.sandbox.state()["incidents"] if "[DRILL]" in one["title"]]
    assert {"resolved"} == {one["status"] for one in drills}


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("openssl")), reason="needs curl and openssl")
def test_trouble_test_with_curl_first(page: Page):
    [script] = re.findall(r"```sh\n(curl.*?)```", TABLE, re.S)
    here = {"https://events.pagerduty.com": page.world.sandbox.url, "http://127.0.0.1:8080": page.world.bridge.url}
    for written, ours in here.items():
        assert written in script
        script = script.replace(written, ours)
    answer = subprocess.run(["sh", "-e", "-c", script], env=os.environ, capture_output=True, text=True, timeout=30)
    assert '"Event processed"' in answer.stdout, answer.stdout + answer.stderr
    assert '"accepted"' in answer.stdout
    until(lambda: page.incidents("Test with curl"), "the event is an incident")
    until(lambda: page.world.sandbox.incidents("curl-1"), "the alert is an incident")


# ------------------------------------------------------------------------------------------------ docs/python.md


def test_every_example_for_python_developers_runs(page: Page, capsys: pytest.CaptureFixture[str]):
    for alert_id in ("alert-7", "alert-8"):
        page.world.sandbox.raise_alert(alert_id, confidence=0.9)
    page.world.until_both_are("alert-7", "open", "triggered")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text("utf-8"), re.S)
    own = {'region="us",': "", "PXXXXXX": "PSANDBX", "PPOLICY": "PSBXEP2"}
    reader = Page(page.world)
    for block in blocks:
        reader.run(block, **own)
    reader.session["handler"].close()
    out = capsys.readouterr().out
    assert 9 == len(blocks)
    assert "armed" in out
    assert "not_found\nCannot resolve QNOSUCHINCIDENT: not_found (PagerDuty: Not Found). Check the id" in out
    assert [] == [secret for secret in SECRETS if secret in out]
    for alert_id in ("alert-7", "alert-8"):
        page.world.until_both_are(alert_id, "resolved", "resolved")
