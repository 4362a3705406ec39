"""A storm of pages of low urgency under a budget, with the real engine, the real budget and both stores: whoever is to
be woken is woken within seconds, what calms a page goes out too, and the budget holds."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap.worker import queue_budgets
from app.config.settings import Settings
from app.domain.model.types import Alert, AlertId, IncidentId, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision, Rulebook
from app.domain.sync.link import Link
from app.domain.sync.side_state import SideState
from app.engine.durable import DurableEngine
from app.pagerduty.rest_api import Pacing, RestApi
from app.remote.replies import Answer
from app.services.sync.deliver import Deliver
from app.services.sync.execute_effect import Perform, TargetHealth
from app.services.sync.link_writer import LinkWriter
from app.store.claims import StoredClaims
from app.store.database import Database, StoredKeyValues, open_bridge, open_inbox
from app.store.links import StoredLinks
from app.store.rate_limits import budget
from tests.fakes import SilentMeter
from tests.rig import FixedRulebook
from tests.shapes import shape

PER_MINUTE = 960
LATENCY_SECONDS = 0.03
DELIVERY_TIMEOUT_SECONDS = 5.0


@dataclass
class Call:
    at: float
    method: str
    path: str
    about: str


class Partner:
    """Answers every create and change as PagerDuty does, and notes when."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._lock = threading.Lock()

    def call(self, method: str, url: str, *, json: Any = None, **_: Any) -> Answer:
        path = url.removeprefix("http://pagerduty")
        asked = json["incident"] if json else {}
        about = "look" if method == "GET" else asked.get("title") or path.rpartition("/")[2][:4]
        with self._lock:
            self.calls.append(Call(time.monotonic(), method, path, about))
        time.sleep(LATENCY_SECONDS)
        return _answer(method, path, asked)

    def sent(self, about: str) -> list[float]:
        with self._lock:
            return [call.at for call in self.calls if call.about == about]


def _answer(method: str, path: str, asked: Mapping[str, Any]) -> Answer:
    number = path.rpartition("/")[2] if method != "POST" else f"QNEW{asked['incident_key'][-12:]}"
    now = datetime.now(UTC)
    answer = {"id": number, "status": asked.get("status", "triggered"), "incident_number": 1, "title": "t"}
    body = json.dumps({"incident": answer | {"created_at": now.isoformat()}}).encode()
    return Answer(200, {"content-type": "application/json"}, body, now, True)


class Storm:
    """One worker over one store."""

    def __init__(self, data_dir: Path, database_url: str | None) -> None:
        sql, inbox = open_bridge(data_dir, database_url), open_inbox(data_dir, database_url)
        shape(sql, inbox, data_dir)
        inbox.dispose()
        self.partner, self.database, self.links = Partner(), Database(sql), StoredLinks()
        queues = queue_budgets(Settings.from_env({"PAGERDUTY_REST_PER_MINUTE": str(PER_MINUTE)}))
        self.engine = DurableEngine(self.database, "main", queues, claims=StoredClaims())
        self.writer = LinkWriter(self.links, self.engine, lambda: True)
        pacing = Pacing(budget(sql, "pagerduty-rest", PER_MINUTE))
        rest = RestApi(self.partner, "http://pagerduty", "key", "a@example.com", "PSVC", pacing)  # type: ignore[arg-type]
        perform = Perform(rest, None, None, FixedRulebook(Rulebook()))
        deliver: Deliver = Deliver(
            self.database, self.links, TargetHealth(StoredKeyValues()), self.writer, perform, SilentMeter()
        )
        self.engine.launch(deliver, lambda *_: None)

    def say(self, *links: Link) -> None:
        """What the links owe is owed from now on."""
        with self.database.begin() as tx:
            for link in links:
                self.writer.save(tx, link, datetime.now(UTC))

    def close(self) -> None:
        self.engine.close(10)  # a connection in hand when the store is let go of would be nobody's
        self.database.engine.dispose()


def page(number: int, urgency: Urgency) -> Link:
    """An alert that owes a page. One of low urgency is acknowledged already, so its delivery makes two calls."""
    alert = Alert(AlertId(f"{urgency}-{number}"), severity="critical")
    decision = Decision(urgency, "rule", "v", "rule", urgency.value, "PSVC", None)
    now = datetime.now(UTC)
    side = SideState(Status.ACKNOWLEDGED if urgency is Urgency.LOW else Status.OPEN, now, now)
    return Link(alert, incident_key(alert.alert_id), now, alert_side=side, decision=decision)


def acknowledged(number: int) -> Link:
    """An incident that is open at PagerDuty and acknowledged at TruthVouch."""
    now = datetime.now(UTC)
    return replace(
        page(1_000 + number, Urgency.HIGH),
        incident_id=IncidentId(f"QACK{number}"),
        incident_side=SideState(Status.OPEN, now - timedelta(minutes=1), now - timedelta(minutes=1)),
        alert_side=SideState(Status.ACKNOWLEDGED, now, now),
    )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def storm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storm]:
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    made = Storm(tmp_path, url)
    yield made
    made.close()


def wait_until_sent(storm: Storm, about: str, count: int) -> list[float]:
    deadline = time.monotonic() + 30
    while len(storm.partner.sent(about)) < count and time.monotonic() < deadline:
        time.sleep(0.02)
    return storm.partner.sent(about)


def most_within(calls: list[Call], seconds: float) -> int:
    return max(sum(1 for other in calls if call.at <= other.at < call.at + seconds) for call in calls)


def test_a_page_is_never_late_behind_noise(storm: Storm) -> None:
    low = [page(number, Urgency.LOW) for number in range(500)]
    for start in range(0, len(low), 50):
        storm.say(*low[start : start + 50])
    assert wait_until_sent(storm, "low", 40), "the storm blows"
    began = time.monotonic()
    storm.say(*[page(number, Urgency.HIGH) for number in range(20)])
    storm.say(*[acknowledged(number) for number in range(15)])
    woken, calmed = wait_until_sent(storm, "high", 20), wait_until_sent(storm, "QACK", 15)
    assert (20, 15) == (len(woken), len(calmed))
    assert max(woken) - began < DELIVERY_TIMEOUT_SECONDS
    assert max(calmed) - began < DELIVERY_TIMEOUT_SECONDS
    assert len(storm.partner.sent("low")) < 400, "there was a storm to be late behind"
    calls = list(storm.partner.calls)
    for seconds in (2.0, 5.0, 60.0):
        assert most_within(calls, seconds) <= PER_MINUTE / 60 * seconds + 16, f"within {seconds} s"
