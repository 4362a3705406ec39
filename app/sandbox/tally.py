"""The figures of a rehearsal, counted from outside: from both partners' screens, their calls, and ``/readyz``."""

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from app.sandbox.story import incident_key

PLAIN = {"triggered": "open", "investigating": "acknowledged", "dismissed": "resolved"}
OVERLAP_SECONDS = 30.0
"""A call is remembered when it is answered, under the time of its arrival."""

IN_VIEW = 300


def ask(url: str, body: Any = None, method: str | None = None, timeout: float = 10.0) -> Any:
    """JSON from a loopback address. Raises ``OSError`` (an ``HTTPError`` for a refusal)."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(url, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - our own addresses
    with urlopen(request, timeout=timeout) as answer:  # noqa: S310
        return json.load(answer)


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
    """Deliveries the bridge owes; None while it does not say."""
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
class Tally:
    """Counts again whenever it looks."""

    sandbox_url: str
    bridge_url: str
    _known: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    """Incident key -> (the alert's status, its incidents' statuses by id)."""
    _repeated: int = 0
    _since: float = 0.0
    _heard: set[tuple[float, str]] = field(default_factory=set)
    _last: dict[str, str] = field(default_factory=dict)
    _writes: int = 0

    def look(self, kills: int, everything: bool = False) -> Figures:
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
            self._known[key] = (plain(alert["status"]), self._known.get(key, ("", {}))[1])
        for incident in state["incidents"]:
            for key in {incident["incident_key"], *incident["alert_keys"]} & self._known.keys():
                self._known[key][1][incident["id"]] = plain(incident["status"])

    def _listen(self, now: float) -> None:
        """Read the newest calls. Between two changes of one thing another may lie; the same twice in a row may not."""
        for call in ask(f"{self.sandbox_url}/sandbox/calls?since={self._since}")["calls"]:
            known = (float(call["at"]), str(call["path"]))
            if call["method"] == "GET" or known in self._heard:
                continue
            self._heard.add(known)
            self._writes += 1
            took = call["fault"] == "reset_after" or 200 <= (call["status"] or 0) < 300
            subject, says = _change(call)
            if took and subject:
                self._repeated += self._last.get(subject) == says
                self._last[subject] = says
        self._since = now - OVERLAP_SECONDS
        self._heard = {known for known in self._heard if known[0] >= self._since}

    def _waiting(self) -> int | None:
        try:
            told = ask(f"{self.bridge_url}/readyz", timeout=2.0)
        except HTTPError as red:
            told = json.load(red)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        waiting = told["checks"].get("oldest_waiting", {}).get("waiting")
        return None if waiting is None else int(waiting)


def plain(status: str) -> str:
    """A status of either partner as one of three words."""
    return PLAIN.get(status, status)


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
