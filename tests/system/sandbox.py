"""The two simulated partners, started as a process and driven through their control API."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from tests.system.processes import PYTHON, Tree, free_port
from tests.system.signing import PAGERDUTY_SECRET, TRUTHVOUCH_SECRET, key_of
from tests.system.waiting import until

Json = dict[str, Any]

FINDINGS = {
    "message": "MARKER-MESSAGE the answer names a wrong year",
    "fact": "MARKER-CLAIM founded in 1999",
    "actualFact": "MARKER-TRUTH founded in 2015",
    "confidence": 0.05,
    "category": "Factual error",
    "model": "example-model",
}
"""What an alert says. The MARKER words must reach the incident where the policy lets them, and never a log."""


class Sandbox:
    """``python -m app.sandbox`` as seen through HTTP."""

    def __init__(self, folder: Path, bridge_url: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._session = requests.Session()
        self._raised: dict[str, float] = {}
        command = [PYTHON, "-m", "app.sandbox", "--port", str(self.port), "--bridge-url", bridge_url]
        secrets = {"TRUTHVOUCH_WEBHOOK_SECRETS": TRUTHVOUCH_SECRET, "PAGERDUTY_WEBHOOK_SECRETS": PAGERDUTY_SECRET}
        self.tree = Tree(command, secrets, folder / "sandbox.log")
        until(self._answers, "the sandbox answers", 20, self.tree.output)

    def _answers(self) -> bool:
        try:
            return self._session.get(f"{self.url}/sandbox/state", timeout=5).ok
        except requests.ConnectionError:
            return False

    def close(self) -> None:
        self._session.close()
        self.tree.destroy()

    # ------------------------------------------------------------ control

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Json:
        answer = self._session.post(f"{self.url}/sandbox/{path}", json=dict(body or {}), timeout=30)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
        found: Json = answer.json()
        return found

    def get(self, path: str, /, **query: str) -> Any:
        answer = self._session.get(f"{self.url}/sandbox/{path}", params=query, timeout=30)
        assert answer.ok, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def raise_alert(self, alert_id: str, severity: str = "critical", **more: object) -> None:
        """A new alert at TruthVouch, and its webhook."""
        self._raised[alert_id] = float(self.state()["now"])
        self.post(
            "truthvouch/alerts",
            {"alert_id": alert_id, "severity": severity, "type": "hallucination", **FINDINGS, **more},
        )

    def at_truthvouch(self, alert_id: str, action: str, **said: object) -> None:
        """A person does this at TruthVouch."""
        self.post(f"truthvouch/alerts/{quote(alert_id, safe='')}/{action}", {"by": "lead@example.com", **said})

    def at_pagerduty(self, alert_id: str, action: str, **said: object) -> None:
        """A person does this to the alert's incident."""
        self.post(f"pagerduty/incidents/{self.incident(alert_id)['id']}/{action}", {"by": "oncall@example.com", **said})

    def fault(self, **order: object) -> None:
        """Misbehave from now on."""
        self.post("faults", order)

    def heal(self) -> None:
        """No more misbehaviour."""
        assert self._session.delete(f"{self.url}/sandbox/faults", timeout=30).ok

    def webhooks(self, mode: str, **more: object) -> None:
        """``send``, ``hold`` or ``drop`` webhooks from now on."""
        self.post("webhooks", {"mode": mode, **more})

    def flush(self, **order: object) -> None:
        """Send what was held."""
        self.post("webhooks/flush", order)

    # ------------------------------------------------------------ looking

    def state(self) -> Json:
        """Both sides, the newest alerts and incidents only: a test looks at its own."""
        state: Json = self.get("state", limit="40")
        return state

    def calls(self, **query: str) -> list[Json]:
        """What the bridge asked of the partners, oldest first."""
        calls: list[Json] = self.get("calls", **query)["calls"]
        return calls

    def incidents(self, alert_id: str) -> list[Json]:
        """Every incident that was ever opened for this alert."""
        key = key_of(alert_id)
        return [i for i in self.state()["incidents"] if key in [i["incident_key"], *i["alert_keys"]]]

    def incident(self, alert_id: str) -> Json:
        """The only incident of this alert, waited for."""
        until(lambda: self.incidents(alert_id), f"an incident for {alert_id}", evidence=self.evidence)
        (incident,) = self.incidents(alert_id)
        return incident

    def alert(self, alert_id: str) -> Json:
        (alert,) = [alert for alert in self.state()["alerts"] if alert["id"] == alert_id]
        return dict(alert)

    def hits(self) -> int:
        """How often the faults in force have struck."""
        return sum(fault["hits"] for fault in self.state()["faults"])

    def undelivered(self) -> int:
        """Webhooks still on their way to the bridge."""
        return int(self.state()["webhooks"]["queued"])

    def writes(self, alert_id: str) -> list[str]:
        """What the bridge did about this alert at either partner, in order, in our words; reads do not count."""
        incident_ids = {incident["id"] for incident in self.incidents(alert_id)}
        calls = self.calls(since=str(self._raised[alert_id]))
        words = (_word(call, alert_id, incident_ids) for call in calls if call["method"] != "GET")
        return [word for word in words if word]

    def evidence(self) -> str:
        """The newest calls, for the message of a failed test."""
        lines = [
            f"{c['partner']} {c['method']} {c['path']} {c['status']} {c['body']}"[:300] for c in self.calls()[-25:]
        ]
        return "\n".join(["newest calls to the partners:", *lines])


PAST = {"acknowledge": "incident acknowledged", "resolve": "incident resolved", "trigger": "opened"}


def _word(call: Json, alert_id: str, incident_ids: set[str]) -> str:
    body = call["body"] if isinstance(call["body"], dict) else {}
    path = str(call["path"])
    if call["partner"] == "truthvouch":
        return f"alert {body.get('status')}" if path.endswith("/" + quote(alert_id, safe="")) else ""
    if path.endswith("/v2/enqueue"):
        return PAST[body["event_action"]] if body.get("dedup_key") == key_of(alert_id) else ""
    if path.endswith("/incidents"):
        return "opened" if body.get("incident", {}).get("incident_key") == key_of(alert_id) else ""
    about = [part for part in path.split("/") if part in incident_ids]
    if not about:
        return ""
    return "noted" if path.endswith("/notes") else f"incident {body.get('incident', {}).get('status')}"
