"""Both webhooks with whatever can be signed, on a real store: 202 and nothing else, and intake chokes on none of it."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import Headers

from app import create_app
from app.config.settings import Settings
from app.domain.model.types import Source
from app.pagerduty import inbound as pagerduty
from app.store import inbox as internal_events
from app.store.schema import dead_letters
from app.truthvouch import wire as truthvouch
from tests.contract.pagerduty import PAYLOADS
from tests.properties.test_inbound import BODIES, HEADERS, sha256_body, v3
from tests.rig import Rig

SECRET = "webhook-secret"
HOOKS = {"/truthvouch/alerts": sha256_body, "/pagerduty/webhook": v3}
ALERT = json.dumps(
    {
        "id": "evt-1", "type": "alert.resolved", "timestamp": "2026-05-04T09:20:00Z",
        "data": {"alertId": "a1", "severity": "critical", "confidence": 0.05, "details": {"confidence": "97%"},
                 "resolvedBy": "qa@example.com", "resolutionReason": "false_positive", "createdAt": "2026-05-04"},
    }
).encode()  # fmt: skip
WHOLE = [ALERT, *PAYLOADS.values()]
STRANGE: list[Any] = [
    None, True, 0, -1, 2**70, 1e308, float("nan"), float("inf"), "", " ", "\0", "\ud800", "9999-12-31T23:59:59-23:59",
    "0001-01-01T00:00:00+23:59", [], {}, [[]], {"id": {}}, "x" * 5_000, "../..", "2026-05-04T09:20:00Z",
]  # fmt: skip


class Bridge:
    """Real webhooks and a real intake on one SQLite store."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig(folder)
        self.rig.intake.readers = {
            Source.TRUTHVOUCH: truthvouch.read, Source.PAGERDUTY: pagerduty.read, Source.BRIDGE: internal_events.read,
        }  # fmt: skip
        environ = {
            "BRIDGE_DATA_DIR": str(folder),
            "BRIDGE_CONFIG": str(folder / "bridge.yaml"),
            "TRUTHVOUCH_WEBHOOK_SECRETS": SECRET,
            "PAGERDUTY_WEBHOOK_SECRETS": SECRET,
        }
        app = create_app(Settings.from_env(environ))
        app.testing = False
        self.client: FlaskClient = app.test_client()

    def deliver(self, hook: str, body: bytes, **more: str) -> int:
        headers = Headers({**HOOKS[hook](body, SECRET), **more})
        return self.client.post(hook, data=body, headers=headers).status_code

    def take_in(self) -> None:
        while self.rig.intake.take():
            pass

    def poisoned(self) -> list[str]:
        """Why rows were parked that should have been read."""
        with self.rig.database.engine.connect() as connection:
            reasons = connection.execute(dead_letters.select().where(dead_letters.c.kind == "event")).all()
        return [row.reason for row in reasons if row.reason.startswith("poison")]


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    made = Bridge(tmp_path_factory.mktemp("webhooks"))
    yield made
    made.rig.database.engine.dispose()
    made.rig._inbox.dispose()


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good body with a few of its values made strange, renamed, doubled or cut."""
    answer = json.loads(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(answer))
        table, name = draw(st.sampled_from(places))
        table[name] = deepcopy(draw(st.sampled_from(STRANGE)))  # a later change must not reach the list itself
    body = json.dumps(answer).encode()
    if draw(st.booleans()):
        body = body.replace(b"{", b'{"id": 1, "event": {}, "data": [], ', 1)  # keys that come twice
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 9)) == 0 else body


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    names = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for name in names:
        yield value, name
        yield from _places(value[name])


@pytest.mark.parametrize("hook", HOOKS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(bodies=st.lists(BODIES | mutated(), min_size=1, max_size=8), encoding=st.sampled_from(["", "gzip", "identity"]))
def test_whatever_is_signed_is_accepted_and_no_row_poisons_the_intake(
    bridge: Bridge, hook: str, bodies: list[bytes], encoding: str
):
    for body in bodies:
        assert 202 == bridge.deliver(hook, body, **({"Content-Encoding": encoding} if encoding else {}))
    bridge.take_in()
    assert [] == bridge.poisoned()


@pytest.mark.parametrize("hook", HOOKS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, header=HEADERS, name=st.sampled_from(["X-PagerDuty-Signature", "X-TruthVouch-Signature"]))
def test_whatever_is_not_is_refused(bridge: Bridge, hook: str, body: bytes, header: str, name: str):
    answer = bridge.client.post(hook, data=body, headers={name: header})
    assert 401 == answer.status_code


def test_a_good_delivery_after_all_of_it_still_moves_its_alert(bridge: Bridge):
    for second, kind in enumerate(("alert.created", "alert.acknowledged"), 1):
        at = f"2026-05-04T08:00:0{second}Z"
        about = {"alertId": "a-good", "severity": "critical"}
        answer = {"id": f"evt-{kind}", "type": kind, "timestamp": at, "data": about}
        assert 202 == bridge.deliver("/truthvouch/alerts", json.dumps(answer).encode())
    bridge.take_in()
    assert "acknowledged" == bridge.rig.link("a-good").status
