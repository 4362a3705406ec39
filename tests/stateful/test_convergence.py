"""Whatever people do on either side, and however webhooks are repeated and reordered and calls fail: once it is quiet
both sides agree, and there was never more than one incident."""

import random as randomness
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.domain.alert import Alert
from app.domain.incident import IncidentFacts
from app.domain.names import AlertId, IncidentId, Side, Status, Via
from app.domain.words import AlertVerb, AlertWord, IncidentVerb, IncidentWord, Word
from tests.rig import Rig

ACTS = [
    "pd ack",
    "pd unack",
    "pd resolve",
    "pd reopen",
    "tv ack",
    "tv resolve",
    "hear",
    "hear twice",
    "run",
    "crash",
    "fault",
]


class World(Rig):
    """A rig whose far sides speak: every change there is a word that will arrive some day, at least once."""

    def __init__(self, data_dir: Path, via: Via, seed: int) -> None:
        super().__init__(data_dir, via)
        self.on_the_way: list[tuple[Side, Word]] = []
        self.random = randomness.Random(seed)
        self.via = via
        put, new, tell = self.pagerduty.put, self.pagerduty._new, self.truthvouch.set_status

        def loud_put(incident_id: str, status: Status) -> IncidentFacts:
            before = self.pagerduty.incidents[incident_id].status
            after = put(incident_id, status)
            if before is not status:
                self.pd_says(_verb(before, status), incident_id)
            return after

        def loud_new(draft: object) -> IncidentFacts:
            made = new(draft)  # type: ignore[arg-type]
            self.pd_says(IncidentVerb.TRIGGERED, made.incident_id)
            return made

        def loud_tell(alert_id: AlertId, status: Status, resolution: str | None = None) -> object:
            before = self.truthvouch.status.get(alert_id)
            reply = tell(alert_id, status, resolution)
            if self.truthvouch.status.get(alert_id) is not before:
                self.tv_says(_alert_verb(self.truthvouch.status[alert_id]))
            return reply

        self.pagerduty.put, self.pagerduty._new = loud_put, loud_new  # type: ignore[method-assign]
        self.truthvouch.set_status = loud_tell  # type: ignore[method-assign, assignment]

    def pd_says(self, verb: IncidentVerb, incident_id: str) -> None:
        key = None if self.via is Via.EVENTS else self.pagerduty.incidents[incident_id].incident_key
        at = self.clock.move(0.001)
        word = IncidentWord(verb, IncidentId(incident_id), f"incident.{verb}", at, incident_key=key)
        self.on_the_way.append((Side.PAGERDUTY, word))

    def tv_says(self, verb: AlertVerb) -> None:
        alert = Alert(AlertId("a1"), severity="critical")
        self.on_the_way.append((Side.TRUTHVOUCH, AlertWord(verb, alert, f"alert.{verb}", self.clock.move(0.001))))

    def act(self, name: str) -> None:
        """One thing that happens in the world."""
        self.clock.move(1)
        incident = next(iter(self.pagerduty.incidents.values()), None)
        status = self.truthvouch.status["a1"]
        match name:
            case "pd ack" | "pd unack" | "pd resolve" | "pd reopen" if incident is not None:
                self._person_at_pagerduty(name, incident)
            case "tv ack" if status is Status.OPEN:
                self._person_at_truthvouch(Status.ACKNOWLEDGED, AlertVerb.ACKNOWLEDGED)
            case "tv resolve" if status is not Status.RESOLVED:
                self._person_at_truthvouch(Status.RESOLVED, AlertVerb.RESOLVED)
            case "hear" | "hear twice" if self.on_the_way:
                self.hear(again=name == "hear twice")
            case "run":
                self.run()
            case "crash":
                self.engine.run(self.deliver_and_die, at_most=1)
            case "fault":
                kind = self.random.choice(["refused", "reset", "429"])
                self.pagerduty.faults.queue.append(kind)
                self.truthvouch.faults.queue.append(kind if kind != "429" else "refused")

    def _person_at_pagerduty(self, name: str, incident: IncidentFacts) -> None:
        allowed = {
            "pd ack": (Status.OPEN, Status.ACKNOWLEDGED),
            "pd unack": (Status.ACKNOWLEDGED, Status.OPEN),
            "pd resolve": (None, Status.RESOLVED),
            "pd reopen": (Status.RESOLVED, Status.OPEN),
        }
        before, after = allowed[name]
        if incident.status is before or (before is None and incident.status is not Status.RESOLVED):
            self.pagerduty.put(incident.incident_id, after)

    def _person_at_truthvouch(self, status: Status, verb: AlertVerb) -> None:
        self.truthvouch.status["a1"] = status
        self.tv_says(verb)

    def hear(self, again: bool = False) -> None:
        index = self.random.randrange(len(self.on_the_way))
        side, word = self.on_the_way[index] if again else self.on_the_way.pop(index)
        self.say(side, word)

    def deliver_and_die(self, link_id: object, side: Side, seq: int, first_run: bool) -> str:
        """Make the call and die before writing its answer down; the engine will run the delivery again."""
        step = self.deliver._begin(link_id, side, seq, first_run)  # type: ignore[arg-type]
        if step is not None:
            self.deliver.perform(*step)
        self.engine.waiting[link_id, side, seq] = (1, 0.0)  # type: ignore[index]
        self.engine.begun.add((link_id, side, seq))  # type: ignore[arg-type]
        return "died"

    def quiet(self) -> None:
        self.pagerduty.faults.queue.clear()
        self.truthvouch.faults.queue.clear()
        for _ in range(100):
            while self.on_the_way:
                self.hear()
            self.run()
            if not self.on_the_way and not self.engine.waiting:
                return
        raise AssertionError("it never became quiet")


def _verb(before: Status, after: Status) -> IncidentVerb:
    if after is Status.OPEN:
        return IncidentVerb.REOPENED if before is Status.RESOLVED else IncidentVerb.UNACKNOWLEDGED
    return IncidentVerb.ACKNOWLEDGED if after is Status.ACKNOWLEDGED else IncidentVerb.RESOLVED


def _alert_verb(status: Status) -> AlertVerb:
    verbs = {Status.OPEN: AlertVerb.REOPENED, Status.ACKNOWLEDGED: AlertVerb.ACKNOWLEDGED}
    return verbs.get(status, AlertVerb.RESOLVED)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(ACTS), max_size=25), st.sampled_from(list(Via)), st.integers(0, 2**16))
def test_both_sides_agree_once_it_is_quiet(acts: list[str], via: Via, seed: int) -> None:
    with tempfile.TemporaryDirectory() as data_dir:
        world = World(Path(data_dir), via, seed)
        world.truthvouch.status["a1"] = Status.OPEN
        world.tv_says(AlertVerb.CREATED)
        for act in acts:
            world.act(act)
        world.quiet()
        link = world.link()
        incidents = list(world.pagerduty.incidents.values())
        assert len(incidents) <= 1
        assert not link.pagerduty.outstanding
        assert not link.truthvouch.outstanding
        reopen_refused = link.truthvouch.refused is not None
        if incidents:
            assert link.status is incidents[0].status
        assert link.status is world.truthvouch.status["a1"] or reopen_refused
        assert len({note.content for note in world.pagerduty.notes_on.get("Q1", ())}) == len(
            world.pagerduty.notes_on.get("Q1", ())
        )
