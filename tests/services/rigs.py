"""Rigs that are nearer to life: partners that have clocks of their own precision and show what people did there, and
deliveries that run when they are due."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.incident import AlertFacts, IncidentFacts
from app.domain.model.outcome import Done, Reply
from app.domain.model.types import AlertId, IncidentId, LinkId, Side, Status
from app.ports import Order, Tx
from tests.fakes import FakeClock, FakePagerDuty, FakeTruthVouch, ManualEngine, PartnerClock
from tests.rig import Rig

T = TypeVar("T")

BECOMES = {
    AlertEventType.CREATED: Status.OPEN,
    AlertEventType.ACKNOWLEDGED: Status.ACKNOWLEDGED,
    AlertEventType.RESOLVED: Status.RESOLVED,
    AlertEventType.REOPENED: Status.OPEN,
}


@dataclass
class DatedPagerDuty(FakePagerDuty):
    """Its REST API tells whole seconds, its webhooks milliseconds; and incidents are merged."""

    def merge(self, source: str, into: str) -> None:
        """The source looks resolved: https://support.pagerduty.com/main/docs/merge-incidents"""
        self.incidents[source] = replace(self.put(source, Status.RESOLVED), merged_into=IncidentId(into))

    def by_hand(self, incident_id: str) -> str:
        """Somebody opens an incident that has nothing to do with us."""
        made = IncidentFacts(IncidentId(incident_id), Status.OPEN, service_id="PMAIN", created_at=self.clock())
        self.incidents[incident_id] = replace(made, status_changed_at=self.clock())
        return incident_id

    def _call(self, name: str, act: Callable[[], Reply[Any]]) -> Reply[Any]:
        reply = super()._call(name, act)
        return Done(_by_the_second(reply.value), reply.at) if isinstance(reply, Done) else reply


def _by_the_second(fields: Any) -> Any:
    if isinstance(fields, tuple):
        return tuple(map(_by_the_second, fields))
    if not isinstance(fields, IncidentFacts):
        return fields
    created_at, changed_at = fields.created_at, fields.status_changed_at
    return replace(
        fields,
        created_at=created_at and created_at.replace(microsecond=0),
        status_changed_at=changed_at and changed_at.replace(microsecond=0),
    )


@dataclass
class DatedTruthVouch(FakeTruthVouch):
    """Its answers carry the HTTP ``Date`` header, which tells whole seconds."""

    clock: FakeClock | PartnerClock = field(default_factory=FakeClock)

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        return self._dated(super().set_status(alert_id, status, resolution))

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]:
        return self._dated(super().get(alert_id))

    def _dated(self, reply: Reply[T]) -> Reply[T]:
        return Done(reply.value, self.clock().replace(microsecond=0)) if isinstance(reply, Done) else reply


class DatedRig(Rig):
    """Send events, run, look at both sides: what is said is so there."""

    pagerduty: DatedPagerDuty
    truthvouch: DatedTruthVouch

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        return DatedPagerDuty(self.clock), DatedTruthVouch(clock=self.clock)

    def alert(
        self, event_type: AlertEventType, at: datetime | None = None, alert_id: str = "a1", **fields: Any
    ) -> AlertEvent:
        if event_type in BECOMES:
            self.truthvouch.status[alert_id] = BECOMES[event_type]
        return super().alert(event_type, at, alert_id, **fields)


Key = tuple[int, Side, int]
"""A delivery: link, side, number."""


class TimedEngine(ManualEngine):
    """A delivery is due when its delay is over."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self.clock = clock
        self.due: dict[Key, datetime] = {}

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        super().submit(tx, orders)
        for order in orders:
            at = self.clock() + timedelta(seconds=order.delay_seconds or 0)
            self.due.setdefault((order.link_id, order.side, order.seq), at)

    def next_due(self) -> Key | None:
        """The most urgent of those whose time has come."""
        ready = [key for key in self.waiting if self.due[key] <= self.clock()]
        return min(ready, key=lambda key: (self.waiting[key][0], self.due[key]), default=None)


class TimedRig(DatedRig):
    """Nothing runs before it is due."""

    engine: TimedEngine

    def an_engine(self) -> TimedEngine:
        return TimedEngine(self.clock)

    def work(self) -> int:
        """Run what is due now."""
        done = 0
        while (key := self.engine.next_due()) is not None:
            assert done < 50, "it spins"
            first = key not in self.engine.begun
            del self.engine.waiting[key]
            self.deliver(LinkId(key[0]), key[1], key[2], first)
            done += 1
        return done

    def wait(self, seconds: float) -> None:
        """Time passes, and what becomes due runs."""
        until = self.clock.now + timedelta(seconds=seconds)
        while True:
            self.work()
            due = [self.engine.due[key] for key in self.engine.waiting]
            if not due or min(due) > until:
                break
            self.clock.now = max(self.clock.now, min(due))
        self.clock.now = until
        self.work()
