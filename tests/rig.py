"""The middle of the bridge on a real SQLite store, with the far sides and the engine in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from app.domain.alert import Alert
from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, Side, Source, Status, Via
from app.domain.rulebook import Rulebook
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Reading, Wish, WishVerb, Word
from app.ports import Read
from app.services.deliver import Deliver
from app.services.doors import Doors
from app.services.escalations import Escalations
from app.services.hear import Hear
from app.services.intake import Intake
from app.services.perform import Perform
from app.services.reconcile import Findings, Reconcile
from app.services.settle import Settle
from app.services.wishes import Grant
from app.store import own_mail
from app.store.allowance import HourlyAllowance
from app.store.arrivals import CursorArrivals, MarkedArrivals
from app.store.database import Database, open_bridge, open_inbox
from app.store.escalations import StoredClimbs
from app.store.letters import StoredLetters, newest_page
from app.store.links import StoredLinks
from app.store.marks import StoredMarks
from app.store.open_links import StoredOpenLinks
from app.store.schema import Instant, inbox
from tests.fakes import FakeClock, FakePagerDuty, FakeTruthVouch, ManualEngine, SilentMeter
from tests.shapes import shape


class FixedRulebook:
    def __init__(self, rulebook: Rulebook) -> None:
        self.rulebook = rulebook

    def current(self) -> Rulebook:
        return self.rulebook


class Rig:
    """Say words, run, look at both sides."""

    def __init__(self, data_dir: Path, via: Via = Via.REST, rest: bool = True, url: str | None = None) -> None:
        self.clock = FakeClock()
        self.pagerduty, self.truthvouch = self.far_sides()
        self.engine, self.links = self.an_engine(), StoredLinks()
        self.rulebook = FixedRulebook(Rulebook())
        bridge, self._inbox = open_bridge(data_dir, url), open_inbox(data_dir, url)
        shape(bridge, self._inbox, data_dir)
        self.database = Database(bridge)
        self.said: dict[bytes, tuple[Reading, ...]] = {}
        self.escalations = Escalations(StoredClimbs(), self.links, self.rulebook)
        settle = Settle(
            self.links, self.engine, lambda: rest, self.clock,
            arm=self.escalations.attached, follow=self.escalations.followed,
        )  # fmt: skip
        reads: dict[Source, Read] = dict.fromkeys(Source, lambda body, _encoding: self.said[bytes(body)])
        arrivals = MarkedArrivals() if url else CursorArrivals(self._inbox)
        hear = Hear(self.links, settle, self.rulebook, lambda: via, self.escalations)
        self.reconciliations = 0
        grant = Grant(self.links, StoredLetters(), arrivals, settle, hear, reads, self._reconcile, self.escalations)
        self.intake = Intake(self.database, arrivals, self.links, settle, hear, grant, reads, SilentMeter(), self.clock)
        incidents = self.pagerduty if rest else None
        events = self.pagerduty if via is Via.EVENTS else None
        perform = Perform(incidents, events, self.truthvouch, self.rulebook)
        doors = Doors(StoredMarks(), clock=self.clock)
        self.deliver = Deliver(
            self.database, self.links, doors, settle, perform, SilentMeter(), clock=self.clock, dice=lambda: 0.5
        )
        self.calls_per_hour = 300
        self.looking = Reconcile(
            StoredOpenLinks(), self.database, StoredMarks(), incidents, self.truthvouch, lambda: ["PMAIN"],
            HourlyAllowance("reconcile.truthvouch", lambda: self.calls_per_hour),
            self._post, SilentMeter(), self.clock,
        )  # fmt: skip

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        """The two partners this rig speaks with."""
        return FakePagerDuty(self.clock), FakeTruthVouch()

    def an_engine(self) -> ManualEngine:
        """What runs the deliveries."""
        return ManualEngine()

    def _post(self, words: Sequence[Word], at: datetime) -> str:
        """As it comes out of the inbox again."""
        self.say(Source.BRIDGE, *own_mail.read(own_mail.of_finding(*words), None))
        return f"mail {len(self.said)}"

    def reconcile(self, since: datetime | None = None, dry_run: bool = False) -> Findings:
        """Read both sides back; what is found is taken in at once. ``run`` delivers what follows from it."""
        return self.looking(since, dry_run)

    def _reconcile(self) -> None:
        self.reconciliations += 1

    def wish(self, verb: WishVerb, subject: object = "", detail: str = "") -> None:
        """An operator asks for something."""
        self.say(Source.BRIDGE, Wish(verb, str(subject), "somebody", detail))

    def say(self, source: Source | Side, *readings: Reading) -> None:
        """One delivery arrives and is taken in."""
        body = f"{len(self.said)}".encode()
        self.said[body] = readings
        at = Instant().process_bind_param(self.clock(), self._inbox.dialect)
        row = {"source": source.value, "delivery_id": body.decode(), "received_at": at, "body": body}
        with self._inbox.begin() as connection:
            connection.execute(inbox.insert().values(row))
        while self.intake.take():
            pass

    def alert(self, verb: AlertVerb, at: datetime | None = None, alert_id: str = "a1", **told: Any) -> AlertWord:
        """TruthVouch says something; keep the word to say it again."""
        alert = Alert(AlertId(alert_id), severity=told.pop("severity", "critical"))
        word = AlertWord(verb, alert, f"alert.{verb}", at or self.clock(), **told)
        self.say(Side.TRUTHVOUCH, word)
        return word

    def incident(
        self, verb: IncidentVerb, incident_id: str = "Q1", at: datetime | None = None, **told: Any
    ) -> IncidentWord:
        """PagerDuty says something, and it is so there."""
        becomes = {
            IncidentVerb.ACKNOWLEDGED: Status.ACKNOWLEDGED,
            IncidentVerb.UNACKNOWLEDGED: Status.OPEN,
            IncidentVerb.REOPENED: Status.OPEN,
            IncidentVerb.RESOLVED: Status.RESOLVED,
        }
        if verb in becomes and incident_id in self.pagerduty.incidents:
            self.pagerduty.put(incident_id, becomes[verb])
        word = IncidentWord(verb, IncidentId(incident_id), f"incident.{verb}", at or self.clock(), **told)
        self.say(Side.PAGERDUTY, word)
        return word

    def run(self) -> list[str]:
        """Deliver everything that is owed."""
        return self.engine.run(self.deliver)

    def letter(self) -> tuple[str, str] | None:
        """The newest dead letter that may be a page: its reason, and the partner's own words."""
        with self.database.read() as tx:
            found = newest_page(tx)
        return None if found is None else (found.reason, found.detail)

    def link(self, alert_id: str = "a1") -> Link:
        with self.database.begin() as tx:
            found = self.links.by_alert(tx, AlertId(alert_id))
        assert found is not None
        return replace(found)
