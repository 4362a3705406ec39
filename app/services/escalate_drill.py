"""Use case: a drill. A real incident that says it is none goes up the real levels, and is closed whatever happens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.escalation import Climb, State
from app.domain.incident import IncidentDraft, IncidentFacts
from app.domain.names import IncidentId, IncidentKey, Status, Urgency
from app.domain.outcome import Done, Reply, Retry
from app.domain.words import WishVerb
from app.ports import Incidents, Page, Row
from app.services.escalate_wish import CANCELLING, arming
from app.services.operate import Operate
from app.services.overview import Overview
from app.services.receiving import utc_now

TITLE = "[DRILL] TruthVouch escalation drill: nothing has happened"
LOOK_SECONDS = 0.5
GRACE = timedelta(seconds=60)
"""After the last level's time: the drill is late by more, so something is wrong."""
TRIES = 5
"""To close the incident again. After so many a person is asked to."""
PASSED = frozenset({"exhausted", "acknowledged"})
"""Outcomes of a drill that went well: every level was moved, or somebody took it."""
PAGE = 100


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be played."""

    key: IncidentKey
    service_id: str
    policy_id: str | None
    minutes: tuple[float, ...]
    """To wait before each level."""
    by: str = ""


class NotOpened(Exception):
    """PagerDuty would not open the incident; the reason word says why. Nobody was paged."""


class NotClosed(Exception):
    """The drill's incident is still open; the text says which."""


@dataclass(frozen=True)
class Drill:
    """Opens, arms, watches, closes. Everything it sees is told as it happens."""

    incidents: Incidents
    operate: Operate
    overview: Overview
    clock: Callable[[], datetime] = utc_now
    pause: Callable[[float], None] = time.sleep

    def __call__(self, scene: Scene, told: Callable[[str, Row], None]) -> str:
        """Play it; the answer is how it ended: ``exhausted``, ``acknowledged``, ``nobody_on_call``, ``late``, ...

        Raises ``NotOpened``; ``NotClosed`` if the incident could not be resolved in the end.
        """
        with self._incident(scene) as facts:
            told("opened", {"incident_id": facts.incident_id, "url": facts.html_url})
            granted = self.operate(WishVerb.ESCALATE, facts.incident_id, detail=self._detail(scene))
            if granted.outcome != "armed":
                return "not_armed"
            return self._watch(facts.incident_id, scene, told)

    def _detail(self, scene: Scene) -> str:
        return arming(scene.policy_id, scene.minutes, drill=True)

    @contextmanager
    def _incident(self, scene: Scene) -> Iterator[IncidentFacts]:
        """The incident, open inside the block and resolved after it, also when somebody interrupts."""
        facts = self._opened(scene)
        try:
            yield facts
        finally:
            self._close(facts.incident_id)

    def _opened(self, scene: Scene) -> IncidentFacts:
        reply = self._clear(scene, self.incidents.open(_draft(scene)))
        if not isinstance(reply, Done):
            raise NotOpened(reply.reason)
        return reply.value

    def _clear(self, scene: Scene, reply: Reply[IncidentFacts]) -> Reply[IncidentFacts]:
        """After an unclear answer: it may be open, and must not stay so."""
        if not isinstance(reply, Retry) or not reply.unclear:
            return reply
        found = self.incidents.find(scene.key)
        return Done(found.value[0]) if isinstance(found, Done) and found.value else reply

    def _close(self, incident_id: IncidentId) -> None:
        for _ in range(TRIES):
            if isinstance(self.incidents.set_status(incident_id, Status.RESOLVED, "The drill is over."), Done):
                break
            self.pause(1.0)
        else:
            raise NotClosed(incident_id)
        self.operate(WishVerb.ESCALATE, incident_id, detail=CANCELLING)

    def _watch(self, incident_id: IncidentId, scene: Scene, told: Callable[[str, Row], None]) -> str:
        last, until = 0, self.clock() + timedelta(minutes=sum(scene.minutes)) + GRACE
        while True:
            climb = self.overview.escalation(incident_id)
            for row in self.overview.timeline(incident_id, Page(PAGE, last)):
                last = row["id"]
                told(row["event"], {"at": row["at"], **row["facts"]})
            if climb is not None and (outcome := _ended(climb)):
                return outcome
            if self.clock() > until:
                return "late"
            self.pause(LOOK_SECONDS)


def _ended(climb: Climb) -> str:
    return climb.reason if climb.state is not State.RUNNING else ""


def _draft(scene: Scene) -> IncidentDraft:
    return IncidentDraft(
        incident_key=scene.key,
        title=TITLE,
        urgency=Urgency.HIGH,
        severity="info",
        source="TruthVouch bridge",
        details={
            "what": "A test of the escalation to you. Acknowledge it and the drill ends; it is resolved by itself.",
            "asked by": scene.by or "an operator",
        },
        service_id=scene.service_id,
    )
