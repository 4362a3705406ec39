"""The first story: one alert through the whole bridge and back, told while it happens.

Speaks HTTP to the sandbox and to the bridge's ``/readyz`` and nothing else; so it tells only what can be seen
from outside.
"""

import hashlib
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

STEP_SECONDS = 10.0
POLL_SECONDS = 0.02
QUIET_SECONDS = 1.0
"""How long "nothing happens" is watched."""
Out = Callable[[str], None]
Sleep = Callable[[float], None]

CRITICAL = {
    "severity": "critical", "type": "hallucination", "category": "Medicine", "confidence": 0.05,
    "confidenceScore": 0.97, "model": "support-assistant-2",
    "message": "The assistant doubled the maximum daily dose",
    "fact": "Adults may take 8 g of paracetamol a day", "actualFact": "The maximum for adults is 4 g a day",
}  # fmt: skip
MEDIUM = {
    "severity": "medium", "type": "hallucination", "category": "Paraphrase", "confidence": 0.72,
    "message": "The opening hours were rounded", "fact": "Open until six", "actualFact": "Open until 17:45",
}  # fmt: skip
NOTE = "Prompt template rolled back"


class Stuck(Exception):
    """A step whose fact did not come; the text says what to look at."""


def _ask(url: str, body: Any = None, timeout: float = 5.0) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - our own loopback addresses
    with urlopen(request, timeout=timeout) as answer:  # noqa: S310
        return json.load(answer)


def bridge_ready(bridge_url: str, timeout: float = 30.0, sleep: Sleep = time.sleep) -> bool:
    """True once ``/readyz`` answers 200; False when it has not within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            _ask(f"{bridge_url.rstrip('/')}/readyz", timeout=2.0)
            return True
        except (OSError, ValueError, http.client.HTTPException):
            if time.monotonic() >= deadline:
                return False
        sleep(0.1)


def incident_key(alert_id: str) -> str:
    """The key by which the bridge's incident of this alert is known: fixed and published by the bridge."""
    return "truthvouch-" + hashlib.sha256(alert_id.encode()).hexdigest()


@dataclass(slots=True)
class Teller:
    """Prints each step with its time since the beginning and how long the bridge needed for it."""

    sandbox_url: str
    out: Out
    sleep: Sleep
    pause: float
    step_seconds: float
    started_at: float
    """By the sandbox's own clock, epoch seconds: what it saw before does not count."""
    clock_started: float

    def say(self, mark: str, text: str) -> None:
        self.out(f"{time.monotonic() - self.clock_started:6.2f} s  {mark} {text}")

    def do(self, text: str, path: str, body: dict[str, Any]) -> Any:
        """A person acts."""
        self.sleep(self.pause)
        self.say("→", text)
        return _ask(f"{self.sandbox_url}{path}", body)

    def wait(self, fact: Callable[[], Any], told: Callable[[Any], str], hint: Callable[[], str]) -> Any:
        """Wait for a fact and tick it off with the milliseconds it took. Raises ``Stuck`` when it never comes."""
        began = time.monotonic()
        while not (found := fact()):
            if time.monotonic() - began > self.step_seconds:
                raise Stuck(hint())
            self.sleep(POLL_SECONDS)
        self.say("✓", f"{told(found)}  ({(time.monotonic() - began) * 1000:.0f} ms)")
        return found

    # ------------------------------------------------------------ facts

    def incident_of(self, alert_id: str) -> Any:
        key = incident_key(alert_id)
        incidents = _ask(f"{self.sandbox_url}/sandbox/state?limit=200")["incidents"]
        return next((i for i in incidents if key == i["incident_key"] or key in i["alert_keys"]), None)

    def patch_of(self, alert_id: str, status: str) -> Any:
        """The bridge's successful call that told TruthVouch this status."""
        path = f"/sandbox/calls?partner=truthvouch&since={self.started_at}"
        for call in _ask(f"{self.sandbox_url}{path}")["calls"]:
            body = call["body"] if isinstance(call["body"], dict) else {}
            is_ours = call["method"] == "PATCH" and alert_id in call["path"] and body.get("status") == status
            if is_ours and 200 <= (call["status"] or 0) < 300:
                return call
        return None

    def webhook_of(self, alert_id: str) -> Any:
        """The newest webhook about an alert that the bridge took."""
        return next((w for w in self.webhooks() if w["subject"] == alert_id and w["outcome"] == "sent"), None)

    def webhooks(self) -> Any:
        return _ask(f"{self.sandbox_url}/sandbox/log?limit=100")["webhooks"]

    # ------------------------------------------------------------ hints

    def why_nothing_came(self, subject: str, secret: str) -> str:
        """What the last webhook about ``subject`` says about the bridge."""
        last = next((w for w in self.webhooks() if w["subject"] == subject), None)
        if last is None:
            return "the sandbox sent no webhook: look at /sandbox/webhooks, are they held?"
        status = last["status"]
        if status is None:
            return "nobody took the webhook: does the bridge listen where the sandbox sends (/sandbox/health)?"
        if status == 401:
            return f"the bridge refused the webhook's signature (401): is {secret} the same on both sides?"
        if status == 503:
            return f"the bridge cannot store, or has no {secret} (503): look at its /readyz"
        if status >= 300:
            return f"the bridge answered the webhook with {status}: look at its log"
        return "the bridge took the webhook and then did nothing: look at its worker's log and at /readyz"


def tell(
    sandbox_url: str, bridge_url: str, out: Out, pause: float = 0.0, step_seconds: float = STEP_SECONDS,
    sleep: Sleep = time.sleep,
) -> bool:  # fmt: skip
    """Tell the story line by line to ``out``; True when every step came true. Never raises.

    ``pause``: seconds before each act, for people who read along. ``step_seconds``: how long a fact may take.
    """
    sandbox_url = sandbox_url.rstrip("/")
    out("SIMULATION: TruthVouch and PagerDuty are both played by the sandbox; nobody is paged.")
    try:
        started_at = _ask(f"{sandbox_url}/sandbox/state?limit=0")["now"]
        teller = Teller(sandbox_url, out, sleep, pause, step_seconds, started_at, time.monotonic())
        _page_somebody(teller)
        _let_sleep(teller)
        return True
    except Stuck as stuck:
        out(f"          ✗ {stuck}")
    except HTTPError as refused:
        out(f"          ✗ {refused.url} answered {refused.code}: look at the sandbox's page")
    except (OSError, ValueError, KeyError, http.client.HTTPException) as fault:
        out(f"          ✗ the sandbox at {sandbox_url} does not answer as it should: {fault!r}")
    out(f"          The bridge says how it is at {bridge_url.rstrip('/')}/readyz")
    return False


def _page_somebody(teller: Teller) -> None:
    """A critical alert, an incident, a person, and TruthVouch knows."""
    raised = teller.do(f"TruthVouch raises a critical alert: {CRITICAL['message']}",
                       "/sandbox/truthvouch/alerts", CRITICAL)  # fmt: skip
    alert_id = raised["alert"]["id"]
    incident = teller.wait(
        lambda: teller.incident_of(alert_id),
        lambda i: f"PagerDuty incident #{i['incident_number']}, {i['urgency']} urgency: {i['title']}",
        lambda: "no incident: " + teller.why_nothing_came(alert_id, "TRUTHVOUCH_WEBHOOK_SECRETS"),
    )
    path = f"/sandbox/pagerduty/incidents/{quote(incident['id'])}"
    teller.do("the person on call acknowledges the incident", f"{path}/acknowledge", {"by": "oncall@example.com"})
    teller.wait(
        lambda: teller.patch_of(alert_id, "acknowledged"),
        lambda call: "TruthVouch was told: acknowledged",
        lambda: "TruthVouch was not told: " + teller.why_nothing_came(incident["id"], "PAGERDUTY_WEBHOOK_SECRETS"),
    )
    teller.do(f"and resolves it with a note: {NOTE}", f"{path}/resolve", {"by": "oncall@example.com", "note": NOTE})
    teller.wait(
        lambda: teller.patch_of(alert_id, "resolved"),
        lambda call: f"TruthVouch was told: resolved, {call['body'].get('resolution') or 'without words'}",
        lambda: "TruthVouch was not told: " + teller.why_nothing_came(incident["id"], "PAGERDUTY_WEBHOOK_SECRETS"),
    )


def _let_sleep(teller: Teller) -> None:
    """A medium alert opens nothing."""
    raised = teller.do(f"TruthVouch raises a medium alert: {MEDIUM['message']}",
                       "/sandbox/truthvouch/alerts", MEDIUM)  # fmt: skip
    alert_id = raised["alert"]["id"]
    teller.wait(
        lambda: teller.webhook_of(alert_id),
        lambda webhook: "the bridge has taken it",
        lambda: teller.why_nothing_came(alert_id, "TRUTHVOUCH_WEBHOOK_SECRETS"),
    )
    watched_until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < watched_until:
        if teller.incident_of(alert_id):
            raise Stuck("the medium alert opened an incident: look at severity_map and rules in bridge.yaml")
        teller.sleep(POLL_SECONDS)
    teller.say("✓", "and lets everybody sleep: no incident")
