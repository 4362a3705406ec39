"""The first alert: through the whole bridge and back, described while it happens. And the figures of a chaos run.

Speaks HTTP to the sandbox and to the bridge's ``/readyz`` and nothing else; so it tells only what can be seen
from outside: from both partners' screens, their calls, and ``/readyz``.
"""

import hashlib
import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

STEP_SECONDS = 10.0
POLL_SECONDS = 0.02
QUIET_SECONDS = 1.0
"""How long "nothing happens" is watched."""
Out = Callable[[str], None]

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


def ask(url: str, body: Any = None, method: str | None = None, timeout: float = 10.0) -> Any:
    """JSON from a loopback address. Raises ``OSError`` (an ``HTTPError`` for a refusal)."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - our own addresses
    with urlopen(request, timeout=timeout) as answer:  # noqa: S310
        return json.load(answer)


def bridge_ready(bridge_url: str, timeout: float = 30.0) -> bool:
    """True once ``/readyz`` answers 200; False when it has not within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            ask(f"{bridge_url.rstrip('/')}/readyz", timeout=2.0)
            return True
        except (OSError, ValueError, http.client.HTTPException):
            if time.monotonic() >= deadline:
                return False
        time.sleep(0.1)


def incident_key(alert_id: str) -> str:
    """The key by which the bridge's incident of this alert is known: fixed and published by the bridge."""
    return "truthvouch-" + hashlib.sha256(alert_id.encode()).hexdigest()


@dataclass(slots=True)
class Reporter:
    """Prints each step with its time since the beginning and how long the bridge needed for it."""

    sandbox_url: str
    out: Out
    step_seconds: float
    started_at: float
    """By the sandbox's own clock, epoch seconds: what it saw before does not count."""
    clock_started: float = field(default_factory=time.monotonic)

    def say(self, mark: str, text: str) -> None:
        self.out(f"{time.monotonic() - self.clock_started:6.2f} s  {mark} {text}")

    def do(self, text: str, path: str, body: dict[str, Any]) -> Any:
        """A person acts."""
        self.say("→", text)
        return ask(f"{self.sandbox_url}{path}", body)

    def wait(self, fact: Callable[[], Any], describe: Callable[[Any], str], hint: Callable[[], str]) -> Any:
        """Wait for a fact and tick it off with the milliseconds it took. Raises ``Stuck`` when it never comes."""
        began = time.monotonic()
        while not (found := fact()):
            if time.monotonic() - began > self.step_seconds:
                raise Stuck(hint())
            time.sleep(POLL_SECONDS)
        self.say("✓", f"{describe(found)}  ({(time.monotonic() - began) * 1000:.0f} ms)")
        return found

    def wait_for_truthvouch(self, status: str, alert_id: str, incident_id: str, words: Callable[[Any], str]) -> None:
        """Wait until the bridge has told TruthVouch; ``words`` are added to that."""
        self.wait(
            lambda: self.patch_of(alert_id, status),
            lambda call: f"TruthVouch was told: {status}{words(call)}",
            lambda: "TruthVouch was not told: " + self.why_nothing_came(incident_id, "PAGERDUTY_WEBHOOK_SECRETS"),
        )

    def incident_of(self, alert_id: str) -> Any:
        key = incident_key(alert_id)
        incidents = ask(f"{self.sandbox_url}/sandbox/state?limit=200")["incidents"]
        return next((i for i in incidents if key == i["incident_key"] or key in i["alert_keys"]), None)

    def patch_of(self, alert_id: str, status: str) -> Any:
        """The bridge's successful call that told TruthVouch this status."""
        path = f"/sandbox/calls?partner=truthvouch&method=PATCH&since={self.started_at}"
        for call in ask(f"{self.sandbox_url}{path}")["calls"]:
            body = call["body"] if isinstance(call["body"], dict) else {}
            if alert_id in call["path"] and body.get("status") == status and 200 <= (call["status"] or 0) < 300:
                return call
        return None

    def webhook_of(self, subject: str, outcome: str = "") -> Any:
        """The newest webhook about an alert or incident, with this outcome if one is named."""
        webhooks = ask(f"{self.sandbox_url}/sandbox/log?limit=100")["webhooks"]
        return next((w for w in webhooks if w["subject"] == subject and outcome in ("", w["outcome"])), None)

    def why_nothing_came(self, subject: str, secret: str) -> str:
        """What the last webhook about ``subject`` says about the bridge."""
        last = self.webhook_of(subject)
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


def run_first_alert(sandbox_url: str, bridge_url: str, out: Out, step_seconds: float = STEP_SECONDS) -> bool:
    """Describe it line by line to ``out``; True when every step came true. Never raises.

    ``step_seconds``: how long a fact may take.
    """
    sandbox_url = sandbox_url.rstrip("/")
    out("SIMULATION: TruthVouch and PagerDuty are both played by the sandbox; nobody is paged.")
    try:
        started_at = ask(f"{sandbox_url}/sandbox/state?limit=0")["now"]
        reporter = Reporter(sandbox_url, out, step_seconds, started_at)
        _page_somebody(reporter)
        _let_sleep(reporter)
        return True
    except Stuck as stuck:
        out(f"          ✗ {stuck}")
    except HTTPError as refused:
        out(f"          ✗ {refused.url} answered {refused.code}: look at the sandbox's page")
    except (OSError, ValueError, KeyError, http.client.HTTPException) as fault:
        out(f"          ✗ the sandbox at {sandbox_url} does not answer as it should: {fault!r}")
    out(f"          The bridge says how it is at {bridge_url.rstrip('/')}/readyz")
    return False


def _page_somebody(reporter: Reporter) -> None:
    """A critical alert, an incident, a person, and TruthVouch knows."""
    title = f"TruthVouch raises a critical alert: {CRITICAL['message']}"
    alert_id = reporter.do(title, "/sandbox/truthvouch/alerts", CRITICAL)["alert"]["id"]
    incident = reporter.wait(
        lambda: reporter.incident_of(alert_id),
        lambda i: f"PagerDuty incident #{i['incident_number']}, {i['urgency']} urgency: {i['title']}",
        lambda: "no incident: " + reporter.why_nothing_came(alert_id, "TRUTHVOUCH_WEBHOOK_SECRETS"),
    )
    path, by = f"/sandbox/pagerduty/incidents/{quote(incident['id'])}", {"by": "oncall@example.com"}
    reporter.do("the person on call acknowledges the incident", f"{path}/acknowledge", by)
    reporter.wait_for_truthvouch("acknowledged", alert_id, incident["id"], lambda call: "")
    reporter.do(f"and resolves it with a note: {NOTE}", f"{path}/resolve", {**by, "note": NOTE})
    reporter.wait_for_truthvouch(
        "resolved", alert_id, incident["id"], lambda call: f", {call['body'].get('resolution') or 'without words'}"
    )


def _let_sleep(reporter: Reporter) -> None:
    """A medium alert opens nothing."""
    title = f"TruthVouch raises a medium alert: {MEDIUM['message']}"
    alert_id = reporter.do(title, "/sandbox/truthvouch/alerts", MEDIUM)["alert"]["id"]
    reporter.wait(
        lambda: reporter.webhook_of(alert_id, "sent"),
        lambda webhook: "the bridge has taken it",
        lambda: reporter.why_nothing_came(alert_id, "TRUTHVOUCH_WEBHOOK_SECRETS"),
    )
    watched_until = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < watched_until:
        if reporter.incident_of(alert_id):
            raise Stuck("the medium alert opened an incident: look at severity_map and rules in bridge.yaml")
        time.sleep(POLL_SECONDS)
    reporter.say("✓", "and lets everybody sleep: no incident")


PLAIN = {"triggered": "open", "investigating": "acknowledged", "dismissed": "resolved"}
"""A status of either partner as one of three words, where it is none."""
OVERLAP_SECONDS = 30.0
"""A call is remembered when it is answered, under the time of its arrival."""
IN_VIEW = 300


@dataclass(frozen=True, slots=True)
class Figures:
    """How it stands."""

    raised: int
    paged: int
    """Alerts that have an incident."""
    agree: int
    """Paged alerts about which both sides say the same."""
    unpaged: int
    """Alerts that have none and are not closed: one that people close at once needs no page any more."""
    doubled: int
    """Alerts that have more than one incident."""
    waiting: int | None
    """Deliveries the bridge has pending; None while it does not say."""
    undelivered: int
    """Webhooks on their way to the bridge."""
    kills: int
    repeated: int
    """Changes a partner made twice because it was asked twice."""
    writes: int
    """Changes the bridge asked for."""

    def line(self) -> str:
        """All that people want to see, in one line that no terminal breaks: the next one is written over it."""
        waiting = "?" if self.waiting is None else self.waiting
        return (
            f"raised {self.raised:4}  paged {self.paged:4}  agree {self.agree:4}  "
            f"waiting {waiting:>4}  kills {self.kills:3}  repeated {self.repeated:4}"
        )


@dataclass
class ScenarioCheck:
    """Counts again whenever it looks."""

    sandbox_url: str
    bridge_url: str
    _known: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    """Incident key -> (the alert's status, its incidents' statuses by id)."""
    _repeated: int = 0
    _since: float = 0.0
    _seen_calls: set[tuple[float, str]] = field(default_factory=set)
    _last: dict[str, str] = field(default_factory=dict)
    _writes: int = 0

    def measure(self, kills: int, everything: bool = False) -> Figures:
        """The figures now. What is older than the newest ``IN_VIEW`` is taken as it was, unless ``everything``."""
        state = ask(f"{self.sandbox_url}/sandbox/state?limit={10**6 if everything else IN_VIEW}")
        self._listen(float(state["now"]))
        self._see(state)
        known = self._known.values()
        return Figures(
            raised=len(known),
            paged=sum(bool(incidents) for _, incidents in known),
            agree=sum({status} == set(incidents.values()) for status, incidents in known),
            unpaged=sum(not incidents and status != "resolved" for status, incidents in known),
            doubled=sum(len(incidents) > 1 for _, incidents in known),
            waiting=self._waiting(),
            undelivered=int(state["webhooks"]["queued"]) + int(state["webhooks"]["held"]),
            kills=kills,
            repeated=self._repeated,
            writes=self._writes,
        )

    def forget(self, subject_id: str) -> None:
        """A person changed this alert or incident: the bridge's last change of it, made again, is no repetition."""
        self._last = {subject: says for subject, says in self._last.items() if not subject.endswith(subject_id)}

    def _see(self, state: dict[str, Any]) -> None:
        for alert in state["alerts"]:
            key = incident_key(alert["id"])
            self._known[key] = (PLAIN.get(alert["status"], alert["status"]), self._known.get(key, ("", {}))[1])
        for incident in state["incidents"]:
            for key in {incident["incident_key"], *incident["alert_keys"]} & self._known.keys():
                self._known[key][1][incident["id"]] = PLAIN.get(incident["status"], incident["status"])

    def _listen(self, now: float) -> None:
        """Read the newest calls. Between two changes of one thing another may lie; the same twice in a row may not."""
        for call in ask(f"{self.sandbox_url}/sandbox/calls?since={self._since}")["calls"]:
            known = (float(call["at"]), str(call["path"]))
            if call["method"] == "GET" or known in self._seen_calls:
                continue
            self._seen_calls.add(known)
            self._writes += 1
            took = call["fault"] == "reset_after" or 200 <= (call["status"] or 0) < 300
            subject, says = _change(call)
            if took and subject:
                self._repeated += self._last.get(subject) == says
                self._last[subject] = says
        self._since = now - OVERLAP_SECONDS
        self._seen_calls = {known for known in self._seen_calls if known[0] >= self._since}

    def _waiting(self) -> int | None:
        try:
            readiness = ask(f"{self.bridge_url}/readyz", timeout=2.0)
        except HTTPError as red:
            readiness = json.load(red)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        waiting = readiness["checks"].get("oldest_waiting", {}).get("waiting")
        return None if waiting is None else int(waiting)


def _change(call: dict[str, Any]) -> tuple[str, str]:
    """What a call changes, and into what."""
    body = call["body"] if isinstance(call["body"], dict) else {}
    incident = body.get("incident", {})
    if call["path"].endswith("/v2/enqueue"):
        return str(body.get("dedup_key")), str(body.get("event_action"))
    if call["path"].endswith("/notes"):
        return f"{call['path']} {body.get('note', {}).get('content')}", "noted"
    if "incident_key" in incident:
        return str(incident["incident_key"]), "opened"
    return str(call["path"]), str(body.get("status") or incident.get("status") or json.dumps(body))
