"""The middle of the bridge on a real SQLite store, with the far sides and the engine in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from app.domain.model.events import (
    AlertEvent,
    AlertEventType,
    Command,
    CommandType,
    Event,
    IncidentEvent,
    IncidentEventType,
    Reading,
)
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Source, Status, Via
from app.domain.rules.rulebook import Rulebook
from app.domain.sync.link import Link
from app.ports import Read
from app.services.escalation.on_event import Escalations
from app.services.reconciliation.context import Findings
from app.services.reconciliation.run import Reconcile
from app.services.sync.commands import ExecuteCommand
from app.services.sync.deliver import Deliver
from app.services.sync.erasure import EraseEvidence
from app.services.sync.execute_effect import Perform, TargetHealth
from app.services.sync.intake import Intake, ProcessEvent
from app.services.sync.link_writer import LinkWriter
from app.store import inbox as internal_events
from app.store.database import Database, StoredKeyValues, open_bridge, open_inbox
from app.store.escalations import StoredEscalations
from app.store.evidence import StoredEvidence
from app.store.inbox_reader import CursorInboxReader, FlagInboxReader
from app.store.jobs import StoredAudit
from app.store.links import StoredDeadLetters, StoredLinks, StoredOpenLinks, newest_page
from app.store.rate_limits import StoredHourlyQuota
from app.store.schema import inbox
from app.store.stored_rules import RulesInStore
from tests.fakes import FakeClock, FakePagerDuty, FakeTruthVouch, ManualEngine, SilentMeter
from tests.shapes import shape


class FixedRulebook:
    def __init__(self, rulebook: Rulebook) -> None:
        self.rulebook = rulebook

    def current(self) -> Rulebook:
        return self.rulebook


class Rig:
    """Send events, run, look at both sides."""

    def __init__(self, data_dir: Path, via: Via = Via.REST, has_api_key: bool = True, url: str | None = None) -> None:
        self.clock = FakeClock()
        self.pagerduty, self.truthvouch = self.far_sides()
        self.engine, self.links = self.an_engine(), StoredLinks()
        self.rulebook = FixedRulebook(Rulebook())
        bridge, self._inbox = open_bridge(data_dir, url), open_inbox(data_dir, url)
        shape(bridge, self._inbox, data_dir)
        self.database = Database(bridge)
        self.said: dict[bytes, tuple[Reading, ...]] = {}
        self.escalations = Escalations(StoredEscalations(), self.links, self.rulebook, StoredDeadLetters())
        writer = LinkWriter(self.links, self.engine, lambda: has_api_key, self.clock)
        reads: dict[Source, Read] = dict.fromkeys(Source, lambda body, _encoding: self.said[bytes(body)])
        inbox_reader = FlagInboxReader(self.database) if url else CursorInboxReader(Database(self._inbox))
        process_event = ProcessEvent(self.links, writer, self.rulebook, lambda: via, self.escalations)
        self.reconciliations = 0
        self.stored_rules = RulesInStore()
        commands = ExecuteCommand(
            self.links,
            StoredDeadLetters(),
            inbox_reader,
            writer,
            process_event,
            reads,
            self._reconcile,
            self.escalations,
            EraseEvidence(self.links, StoredEvidence()),
            StoredAudit(),
            silences=self.stored_rules,
        )
        self.intake = Intake(
            self.database, inbox_reader, self.links, writer, process_event, commands, reads, SilentMeter(), self.clock
        )
        incidents = self.pagerduty if has_api_key else None
        events = self.pagerduty if via is Via.EVENTS else None
        perform = Perform(incidents, events, self.truthvouch, self.rulebook)
        target_health = TargetHealth(StoredKeyValues(), clock=self.clock)
        self.deliver = Deliver(
            self.database,
            self.links,
            target_health,
            writer,
            perform,
            SilentMeter(),
            self.escalations,
            clock=self.clock,
            jitter=lambda: 0.5,
        )
        self.calls_per_hour = 300
        self.looking = Reconcile(
            StoredOpenLinks(), self.database, StoredKeyValues(), incidents, self.truthvouch, lambda: ["PMAIN"],
            StoredHourlyQuota("reconcile.truthvouch", lambda: self.calls_per_hour),
            self._post, SilentMeter(), self.clock,
        )  # fmt: skip

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        """The two partners this rig speaks with."""
        return FakePagerDuty(self.clock), FakeTruthVouch()

    def an_engine(self) -> ManualEngine:
        """What runs the deliveries."""
        return ManualEngine()

    def _post(self, events: Sequence[Event], at: datetime) -> str:
        """As it comes out of the inbox again."""
        self.say(Source.BRIDGE, *internal_events.read(internal_events.encode_observed_events(*events), None))
        return f"event {len(self.said)}"

    def reconcile(self, since: datetime | None = None, dry_run: bool = False) -> Findings:
        """Read both sides back; what is found is taken in at once. ``run`` delivers what follows from it."""
        return self.looking(since, dry_run)

    def _reconcile(self) -> None:
        self.reconciliations += 1

    def command(self, command_type: CommandType, subject: object = "", detail: str = "") -> None:
        """An operator asks for something."""
        self.say(Source.BRIDGE, Command(command_type, str(subject), "somebody", detail))

    def say(self, source: Source | Side, *readings: Reading, trace: str | None = None) -> None:
        """One delivery arrives and is taken in."""
        body = f"{len(self.said)}".encode()
        self.said[body] = readings
        row: dict[str, Any] = {"source": source.value, "delivery_id": body.decode(), "received_at": self.clock()}
        row |= {"body": body, "trace": trace}
        with self._inbox.begin() as connection:
            connection.execute(inbox.insert().values(row))
        while self.intake.take():
            pass

    def alert(
        self, event_type: AlertEventType, at: datetime | None = None, alert_id: str = "a1", **fields: Any
    ) -> AlertEvent:
        """TruthVouch says something; keep the event to send it again."""
        alert = Alert(AlertId(alert_id), severity=fields.pop("severity", "critical"))
        event = AlertEvent(event_type, alert, f"alert.{event_type}", at or self.clock(), **fields)
        self.say(Side.TRUTHVOUCH, event)
        return event

    def incident(
        self, event_type: IncidentEventType, incident_id: str = "Q1", at: datetime | None = None, **fields: Any
    ) -> IncidentEvent:
        """PagerDuty says something, and it is so there."""
        becomes = {
            IncidentEventType.ACKNOWLEDGED: Status.ACKNOWLEDGED,
            IncidentEventType.UNACKNOWLEDGED: Status.OPEN,
            IncidentEventType.REOPENED: Status.OPEN,
            IncidentEventType.RESOLVED: Status.RESOLVED,
        }
        if event_type in becomes and incident_id in self.pagerduty.incidents:
            self.pagerduty.put(incident_id, becomes[event_type])
        event = IncidentEvent(
            event_type, IncidentId(incident_id), f"incident.{event_type}", at or self.clock(), **fields
        )
        self.say(Side.PAGERDUTY, event)
        return event

    def let_go(self) -> None:
        """Close the store; whoever uses it next opens it again."""
        reader = self.intake.inbox_reader
        if isinstance(reader, CursorInboxReader) and reader._reader is not None:
            reader._reader.close()
            reader._reader = None
        self.database.engine.dispose()
        self._inbox.dispose()

    def run(self) -> list[str]:
        """Deliver everything that is owed."""
        return self.engine.run(self.deliver)

    def dead_letter(self) -> tuple[str, str] | None:
        """The newest dead letter that may be a page: its reason, and the partner's own words."""
        with self.database.read() as tx:
            found = newest_page(tx)
        return None if found is None else (found.reason, found.detail)

    def link(self, alert_id: str = "a1") -> Link:
        with self.database.begin() as tx:
            found = self.links.by_alert(tx, AlertId(alert_id))
        assert found is not None
        return replace(found)
