"""The ports behind the two webhooks, in memory, and a web application made of them."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from flask import Flask

from app import create_app
from app.config.settings import Settings
from app.domain.model.events import Envelope
from app.domain.model.types import Side, Source
from app.ports import Delivery, HealthSnapshot, Refusal, RefusedReason, StoreUnavailable
from app.services.access.sessions import Sessions
from app.services.access.tokens import Tokens
from app.services.diagnostics.health import Health
from app.services.operator.console import Console, ConsoleParts
from app.services.sync.receive import Receive

SECRETS = ("newest-secret", "older-secret")


def sign(body: bytes, secret: str = SECRETS[0]) -> dict[str, str]:
    """The header that proves a body to ``verify``."""
    return {"X-Signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Envelope:
    """A vendor's reader in small: the first line of a body is its id, the second its subject."""
    given = headers.get("X-Signature", "")
    for index, secret in enumerate(secrets):
        if hmac.compare_digest(given.encode(), sign(body, secret)["X-Signature"].encode()):
            lines = [*body.decode("latin-1").split("\n"), "", ""]
            return Envelope(lines[0], "alert.moved", lines[1], index, fault="" if lines[0] else "not_json")
    raise Refusal("signature_mismatch" if given else "signature_missing")


@dataclass
class FakeInbox:
    """Keeps deliveries; ``broken`` is why it cannot."""

    deliveries: dict[tuple[Source, str], Delivery] = field(default_factory=dict)
    broken: Exception | None = None
    writes: int = 0

    def add(self, delivery: Delivery) -> bool:
        self.check_writable()
        key = (delivery.source, delivery.delivery_id)
        return self.deliveries.setdefault(key, delivery) is delivery

    def newest_of(self, source: Source, series: str) -> tuple[int, str] | None:
        numbered = [(number, key[1]) for number, key in enumerate(self.deliveries) if key[0] == source]
        return max((one for one in numbered if one[1].startswith(series)), default=None)

    def check_writable(self) -> None:
        self.writes += 1
        if self.broken:
            raise self.broken

    @property
    def only(self) -> Delivery:
        (delivery,) = self.deliveries.values()
        return delivery


@dataclass
class FakeWakeup:
    """Counts its notifications."""

    notifications: int = 0
    broken: bool = False

    def notify(self) -> None:
        if self.broken:
            raise ConnectionRefusedError("nobody is listening")
        self.notifications += 1

    def wait(self, timeout: float) -> bool:
        return self.notifications > 0


class FakeMeter:
    """Counts by name and labels."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def accepted(self, source: Side, seconds: float) -> None:
        assert 0 <= seconds < 10
        self.counts["accepted", source] += 1

    def refused(self, source: Side, reason: str) -> None:
        self.counts["refused", source, RefusedReason(reason).value] += 1

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *labels: self.counts.update([(name, *labels)])


@dataclass
class FakeHealthSource:
    """A health snapshot that is what it was set to."""

    snapshot: HealthSnapshot
    broken: bool = False

    def read(self) -> HealthSnapshot:
        if self.broken:
            raise StoreUnavailable("the disk is on fire")
        return self.snapshot

    def set(self, **facts: Any) -> None:
        self.snapshot = replace(self.snapshot, **facts)


def healthy(now: datetime) -> HealthSnapshot:
    """The health snapshot of a bridge that works."""
    return HealthSnapshot(now, 0, None, 0, truthvouch_seen_at=now, pagerduty_seen_at=now)


class LateAudit:
    """``StoredAudit`` likewise."""

    def __getattr__(self, name: str) -> Any:
        from app.store.jobs import StoredAudit

        return getattr(StoredAudit(), name)


class LateAccess:
    """``StoredAccess``, imported when it is first asked: a server of a test that asks nothing starts without SQL."""

    def __getattr__(self, name: str) -> Any:
        from app.store.access import StoredAccess

        return getattr(StoredAccess(), name)


@dataclass
class FakeBridge:
    """Everything behind the web, to be looked at and broken; also a ``WebBridge``."""

    clock: Callable[[], datetime]
    secrets: tuple[str, ...] = SECRETS
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    inbox: FakeInbox = field(default_factory=FakeInbox)
    wakeup: FakeWakeup = field(default_factory=FakeWakeup)
    meter: Any = field(default_factory=FakeMeter)
    operate: Any = None
    overview: Any = None
    once: Any = None
    reports: Any = None
    rules_overview: Any = None
    jobs_overview: Any = None
    audit_log: Any = None
    evidence: Any = None
    revoke_evidence: Any = None

    def __post_init__(self) -> None:
        self.health_source = FakeHealthSource(healthy(self.clock()))
        ports = (verify, self.secrets, self.inbox, self.wakeup, self.meter, self.clock)
        self.receive_alert = Receive(Side.TRUTHVOUCH, *ports)
        self.receive_incident_event = Receive(Side.PAGERDUTY, *ports)
        self.health = Health(self.inbox, self.health_source, lambda: self.missing, lambda: self.notes, self.clock)
        nothing: Any = None
        reads = Console(nothing, nothing, nothing, self.health_source, {}, lambda: True, self.clock)
        self.console = ConsoleParts(reads, nothing, nothing, nothing, nothing, nothing, None, nothing, tuple)

    @cached_property
    def database(self) -> Any:
        """An empty store in memory, made when somebody asks it who may come in."""
        import sqlalchemy as sa

        from app.store import schema
        from app.store.database import Database

        engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool, connect_args={"check_same_thread": False})
        schema.bridge.create_all(engine)
        return Database(engine)

    def metrics_text(self) -> bytes:
        return b"truthvouch_bridge_waiting 0\n"

    def job_detail(self, wanted: Any) -> str:
        return str(wanted)

    def close(self) -> None:
        """Nothing is open."""

    def app(self, **environ: str) -> Flask:
        """The web application in front of these fakes."""
        settings = Settings.from_env(environ)
        store: Any = LateAccess()
        audit: Any = LateAudit()
        self.tokens = Tokens(store, lambda: self.database, settings.admin_token, self.clock, audit)
        self.sessions = Sessions(store, lambda: self.database, self.tokens, settings.secret_keys, self.clock)
        app = create_app(settings, self)
        app.testing = False
        return app
