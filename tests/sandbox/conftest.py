"""A world whose clock stands still and whose webhooks go to a list, and a client that speaks to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from werkzeug.test import Client

from app.sandbox.server import create_app
from app.sandbox.world import Setup, World

CONTRACT = Path(__file__).parents[1] / "contract"
KEY = "sandboxsandboxsandboxsandbox0000"
START = 1_800_000_000.0
PAGERDUTY_SECRET, TRUTHVOUCH_SECRET = "pd-secret", "whsec_tv"


@cache
def webhook_schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads((CONTRACT / "webhook-v3.schema.json").read_text()))


@dataclass
class Delivery:
    """One POST that reached the bridge."""

    url: str
    headers: dict[str, str]
    body: bytes
    timeout: float

    @property
    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.body)
        return answer


@dataclass
class Bridge:
    """The far side of the webhooks: records, and answers as told."""

    deliveries: list[Delivery] = field(default_factory=list)
    answers: list[int | OSError] = field(default_factory=list)
    """Answers to give, first to last; then 202 for ever."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        self.deliveries.append(Delivery(url, dict(headers), body, timeout))
        answer = self.answers.pop(0) if self.answers else 202
        if isinstance(answer, OSError):
            raise answer
        return answer


@dataclass
class Clock:
    now: float = START

    def __call__(self) -> float:
        return self.now


class Rig:
    """One world, driven by hand."""

    def __init__(self) -> None:
        self.clock, self.bridge = Clock(), Bridge()
        setup = Setup("http://bridge.test", TRUTHVOUCH_SECRET, PAGERDUTY_SECRET)
        self.world = World(setup, self.bridge, self.clock)
        self.client: Any = Client(create_app(self.world))

    # ------------------------------------------------------------ asking

    def rest(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """A call to PagerDuty's REST API with good credentials unless ``headers`` say otherwise."""
        sent = {"Authorization": "Token token=key", "From": "oncall@example.com", **headers}
        return self.client.open(path, method=method, json=body, headers={k: v for k, v in sent.items() if v})

    def tv(self, method: str, path: str, body: Any = None, key: str = "Bearer key") -> Any:
        return self.client.open("/api/v1" + path, method=method, json=body, headers={"Authorization": key})

    def order(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """A control request that must succeed."""
        answer = self.client.open("/sandbox" + path, method=method, json={} if body is None else body)
        assert answer.status_code < 300, answer.text
        return answer.json

    # ------------------------------------------------------------ making

    def incident(self, **fields: Any) -> Any:
        """An incident opened through REST."""
        requested = {"type": "incident", "title": "Hallucination", "service": service(), **fields}
        answer = self.rest("POST", "/incidents", {"incident": requested})
        assert 201 == answer.status_code, answer.text
        return answer.json["incident"]

    def put(self, ident: str, **fields: Any) -> Any:
        return self.rest("PUT", f"/incidents/{ident}", {"incident": {"type": "incident_reference", **fields}})

    def enqueue(self, action: str, dedup_key: str, wait: float = 0.05, **fields: Any) -> Any:
        """An event, and the wait until it has taken effect."""
        event = {"routing_key": KEY, "event_action": action, "dedup_key": dedup_key, **fields}
        if action == "trigger":
            event.setdefault("payload", {"summary": "Hallucination", "source": "bot", "severity": "critical"})
        answer = self.client.post("/v2/enqueue", json=event)
        self.pass_time(wait)
        return answer

    def alert(self, **fields: Any) -> Any:
        return self.order("/truthvouch/alerts", {"severity": "critical", "type": "hallucination", **fields})["alert"]

    def pass_time(self, seconds: float) -> None:
        """Move the clock and let happen what is due."""
        self.clock.now += seconds
        self.world.scheduler.run_due()
        self.world.webhook_queue.send_due()

    # ------------------------------------------------------------ looking

    def webhooks_sent(self, seconds: float = 0.0) -> list[dict[str, Any]]:
        """Bodies that have reached the bridge, oldest first."""
        self.pass_time(seconds)
        return [delivery.json for delivery in self.bridge.deliveries]

    def events(self) -> list[str]:
        """The names of the events that have reached the bridge."""
        return [
            b["event"]["event_type"] if "event" in b else b.get("type") or b["event_type"] for b in self.webhooks_sent()
        ]

    def incidents(self, **query: Any) -> list[Any]:
        answer = self.client.get("/incidents", query_string=query, headers={"Authorization": "Token token=key"})
        assert 200 == answer.status_code, answer.text
        found: list[Any] = answer.json["incidents"]
        return found


def service(ident: str = "PSANDBX") -> dict[str, str]:
    return {"id": ident, "type": "service_reference"}


def code_of(answer: Any) -> tuple[int, int]:
    """HTTP status and PagerDuty's own code."""
    return answer.status_code, answer.json["error"]["code"]


@pytest.fixture
def rig() -> Rig:
    return Rig()
