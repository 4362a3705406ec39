"""Use case: a drill. A real incident that says it is none goes up the real levels, and is closed whatever happens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.escalation import State
from app.domain.incident import IncidentDraft, IncidentFacts
from app.domain.names import IncidentId, IncidentKey, Status, Urgency
from app.domain.outcome import Done, Refused, Retry
from app.domain.words import WishVerb
from app.ports import Incidents, Page, Row
from app.ports.escalations import Policies
from app.services.escalate_wish import CANCELLING, arming
from app.services.operate import Operate
from app.services.overview import Overview
from app.services.receiving import utc_now

TITLE = "[DRILL] TruthVouch escalation drill: nothing has happened"
LOOK_SECONDS = 0.5
LOOKS_FOR_IT, BETWEEN_LOOKS_SECONDS = 8, 1.0
"""After an unclear create: PagerDuty lists an incident moments after it opened it."""
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


class NoPolicy(NotOpened):
    """PagerDuty knows no such policy, so nothing was opened; the text is its id."""


class NotClosed(Exception):
    """The drill's incident is still open; the text says which."""


class NotFound(NotClosed):
    """Nobody knows whether the drill's incident was opened, so it may be open; the text is its key."""


@dataclass(frozen=True)
class Drill:
    """Opens, arms, watches, closes. Everything it sees is told as it happens."""

    incidents: Incidents
    operate: Operate
    overview: Overview
    clock: Callable[[], datetime] = utc_now
    pause: Callable[[float], None] = time.sleep
    policies: Policies | None = None
    """To look whether the policy exists; None: nobody looks before the incident is open."""

    def __call__(self, scene: Scene, told: Callable[[str, Row], None]) -> str:
        """Play it; the answer is how it ended: ``exhausted``, ``acknowledged``, ``nobody_on_call``, ``late``, ...

        Raises ``NotOpened``, ``NoPolicy``; ``NotClosed`` if the incident could not be resolved in the end, or
        (``NotFound``) nobody knows whether there is one.
        """
        self._look_at(scene.policy_id)
        with self._incident(scene) as facts:
            told("opened", {"incident_id": facts.incident_id, "url": facts.html_url})
            granted = self.operate(WishVerb.ESCALATE, facts.incident_id, detail=self._detail(scene))
            if granted.outcome != "armed":
                return "not_armed"
            return self._watch(facts.incident_id, scene, told)

    def _look_at(self, policy_id: str | None) -> None:
        """Raises ``NoPolicy``. Whatever else PagerDuty answers, the drill itself shows."""
        if self.policies is None or not policy_id:
            return
        reply = self.policies.policy(policy_id)
        if isinstance(reply, Refused) and reply.status == 404:
            raise NoPolicy(policy_id)

    def _detail(self, scene: Scene) -> str:
        return arming(scene.policy_id, scene.minutes, drill=True)

    @contextmanager
    def _incident(self, scene: Scene) -> Iterator[IncidentFacts]:
        """The incident, open inside the block and resolved after it, also when somebody interrupts, be it the create:
        it may have opened the incident before its answer came."""
        facts: IncidentFacts | None = None
        nothing_to_close = False
        try:
            facts = self._opened(scene)
            yield facts
        except (NotOpened, NotFound):
            nothing_to_close = True
            raise
        finally:
            if not nothing_to_close:
                left = self._sought(scene) if facts is None else facts
                self._close(left.incident_id)

    def _opened(self, scene: Scene) -> IncidentFacts:
        reply = self.incidents.open(_draft(scene))
        if isinstance(reply, Done):
            return reply.value
        if isinstance(reply, Retry) and reply.unclear:
            return self._sought(scene)
        raise NotOpened(reply.reason)

    def _sought(self, scene: Scene) -> IncidentFacts:
        """The incident that may be open, and must not stay so. Raises ``NotFound``."""
        for look in range(LOOKS_FOR_IT):
            if look:
                self.pause(BETWEEN_LOOKS_SECONDS)
            found = self.incidents.find(scene.key)
            if isinstance(found, Done) and found.value:
                return found.value[0]
        raise NotFound(scene.key)

    def _close(self, incident_id: IncidentId) -> None:
        for _ in range(TRIES):
            if isinstance(self.incidents.set_status(incident_id, Status.RESOLVED, "The drill is over."), Done):
                break
            self.pause(1.0)
        else:
            raise NotClosed(incident_id)
        self.operate(WishVerb.ESCALATE, incident_id, detail=CANCELLING)
        climb = self.overview.escalation(incident_id)
        if climb is not None and climb.letter_id is not None:  # nobody will ever replay a drill
            self.operate(WishVerb.DISCARD, str(climb.letter_id))

    def _watch(self, incident_id: IncidentId, scene: Scene, told: Callable[[str, Row], None]) -> str:
        last, until = 0, self.clock() + timedelta(minutes=sum(scene.minutes)) + GRACE
        while True:
            climb = self.overview.escalation(incident_id)
            for row in self.overview.timeline(incident_id, Page(PAGE, last)):
                last = row["id"]
                told(row["event"], {"at": row["at"], **row["facts"]})
            if climb is not None and climb.state is not State.RUNNING:
                return climb.reason
            if self.clock() > until:
                return "late"
            self.pause(LOOK_SECONDS)


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
