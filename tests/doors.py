"""The ports behind the two doors, in memory, and a web application made of them."""

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from flask import Flask

from app import create_app
from app.domain.names import Source
from app.domain.words import Envelope
from app.ports import Delivery, Pulse, Refusal, StoreUnavailable
from app.services.health import Health
from app.services.receive_alert import receive_alert
from app.services.receive_incident_event import receive_incident_event
from app.settings import Settings

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
            return Envelope(lines[0], "matter.moved", lines[1], index, fault="" if lines[0] else "not_json")
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
class FakeBell:
    """Counts its rings."""

    rings: int = 0
    broken: bool = False

    def ring(self) -> None:
        if self.broken:
            raise ConnectionRefusedError("nobody is listening")
        self.rings += 1

    def wait(self, timeout: float) -> bool:
        return self.rings > 0


class FakeMeter:
    """Counts by name and labels."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Any, ...]] = Counter()

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *labels: self.counts.update([(name, *labels)])


@dataclass
class FakeVitals:
    """A pulse that is what it was set to."""

    pulse: Pulse
    broken: bool = False

    def read(self) -> Pulse:
        if self.broken:
            raise StoreUnavailable("the disk is on fire")
        return self.pulse

    def set(self, **facts: Any) -> None:
        self.pulse = replace(self.pulse, **facts)


def healthy(now: datetime) -> Pulse:
    """The pulse of a bridge that works."""
    return Pulse(now, 0, None, 0, truthvouch_seen_at=now, pagerduty_seen_at=now)


@dataclass
class Doors:
    """Everything behind the web, to be looked at and broken; also a ``WebBridge``."""

    clock: Callable[[], datetime]
    secrets: tuple[str, ...] = SECRETS
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    inbox: FakeInbox = field(default_factory=FakeInbox)
    bell: FakeBell = field(default_factory=FakeBell)
    meter: Any = field(default_factory=FakeMeter)
    operate: Any = None
    overview: Any = None

    def __post_init__(self) -> None:
        self.vitals = FakeVitals(healthy(self.clock()))
        ports = (verify, self.secrets, self.inbox, self.bell, self.meter, self.clock)
        self.receive_alert = receive_alert(*ports)
        self.receive_incident_event = receive_incident_event(*ports)
        self.health = Health(self.inbox, self.vitals, lambda: self.missing, lambda: self.notes, self.clock)

    def metrics_text(self) -> bytes:
        return b"bridge_waiting 0\n"

    def close(self) -> None:
        """Nothing is open."""

    def app(self, **environ: str) -> Flask:
        """The web application in front of these doors."""
        app = create_app(Settings.from_env(environ), self)
        app.testing = False
        return app
