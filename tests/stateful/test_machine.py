"""The whole bridge against a model: alerts, people on both sides, webhooks that come twice, late, crossed or never,
partners that fail in every way, a process that dies anywhere, operators, and then quiet and one reconciliation.

``BRIDGETEST_EXAMPLES=2000`` looks longer than a pull request has time for.
"""

import os
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from app.domain.names import Side, Status, Via
from app.domain.rulebook import Rule, RuleAction, Rulebook
from app.domain.words import AlertVerb, WishVerb
from tests.stateful.partners import FAULTS
from tests.stateful.promises import check
from tests.stateful.world import World

EXAMPLES = int(os.environ.get("BRIDGETEST_EXAMPLES", "60"))
SEVERITIES = ("critical", "high", "medium")
"""The last one deserves no incident."""
ALERTS = ("a1", "a2", "a3")
CALLS = ("", "", "open", "note", "put", "event", "trigger", "find")
"""How the names of calls begin: of any, of those that create, write a note, change a status, look."""
HOLDS = (0, 0, 0.4, 15)
"""Minutes for which a resolve from TruthVouch is held back."""
SHORT, LONG = 3, 45
"""Seconds: within and beyond the time in which a word that says what we wrote is taken for its echo."""

OPEN, ACKNOWLEDGED, RESOLVED = Status
AT_TRUTHVOUCH = {
    "ack": (AlertVerb.ACKNOWLEDGED, "investigating", ACKNOWLEDGED, (OPEN,)),
    "resolve": (AlertVerb.RESOLVED, "resolved", RESOLVED, (OPEN, ACKNOWLEDGED)),
    "dismiss": (AlertVerb.RESOLVED, "dismissed", RESOLVED, (OPEN, ACKNOWLEDGED)),
    "reopen": (AlertVerb.REOPENED, "reopened", OPEN, (RESOLVED,)),
}
"""What people do there: the word it makes, the event's name, where it leads, from where it is possible."""
AT_PAGERDUTY = {
    "ack": (ACKNOWLEDGED, (OPEN,)),
    "unack": (OPEN, (ACKNOWLEDGED,)),
    "resolve": (RESOLVED, (OPEN, ACKNOWLEDGED)),
    "reopen": (OPEN, (RESOLVED,)),
}

any_severity = st.sampled_from(SEVERITIES)
any_fault = st.sampled_from(FAULTS)
any_number = st.integers(0, 1_000)


def damped(hold: float) -> Rule:
    """A rule that decides as the severity map does, and holds resolves back."""
    return Rule("damped", "severity in [critical, high]", RuleAction.CREATE_INCIDENT, hold_resolve_minutes=hold)


class BridgeMachine(RuleBasedStateMachine):
    """Rules are what may happen; ``teardown`` is the quiet afterwards, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)

    @initialize(
        via=st.sampled_from(list(Via)),
        severities=st.lists(st.sampled_from(SEVERITIES), min_size=1, max_size=2),
        calm=st.booleans(),
        hold=st.sampled_from(HOLDS),
    )
    def begin(self, via: Via, severities: list[str], calm: bool, hold: float) -> None:
        self.calm = calm  # no webhook is lost, no process dies: then both sides agree before anybody looks
        self.world = World(Path(self.folder.name), via)
        self.world.hold = timedelta(minutes=hold)
        self.world.rulebook.rulebook = Rulebook(rules=(damped(hold),) if hold else ())
        for severity in severities:
            self.truthvouch_finds_something(severity)

    # ------------------------------------------------------------ people

    @precondition(lambda self: len(self.world.truthvouch.status) < len(ALERTS))
    @rule(severity=any_severity)
    def truthvouch_finds_something(self, severity: str) -> None:
        self.world.truthvouch.raise_alert(ALERTS[len(self.world.truthvouch.status)], severity)

    @rule(picks=st.lists(any_number, min_size=1, max_size=4), says=st.booleans())
    def people_at_both_sides(self, picks: list[int], says: bool) -> None:
        """Each does something that is possible there, before anybody hears of what the others did."""
        for pick in picks:
            possible = self.possible_deeds()
            side, subject, does = possible[pick % len(possible)]
            if side is Side.TRUTHVOUCH:
                self.at_truthvouch(subject, does, says)
            else:
                self.at_pagerduty(subject, does)

    @rule(pick=any_number, lost=st.booleans())
    def a_person_does_something_that_is_heard_or_lost_at_once(self, pick: int, lost: bool) -> None:
        before = len(self.world.post)
        self.people_at_both_sides([pick], False)
        while len(self.world.post) > before:
            self.world.lose(before) if lost and not self.calm else self.world.arrive(before)

    @rule(picks=st.lists(any_number, max_size=2), first=st.booleans())
    def people_act_while_a_call_is_under_way(self, picks: list[int], first: bool) -> None:
        """And every webhook, that call's own echo too, is faster than its answer."""
        act = (lambda: self.people_at_both_sides(picks, False)) if picks else (lambda: None)
        self.world.meanwhile.append((first, act))

    def possible_deeds(self) -> list[tuple[Side, str, str]]:
        alerts = self.world.truthvouch.status.items()
        here = [(Side.TRUTHVOUCH, a, d) for a, now in alerts for d, told in AT_TRUTHVOUCH.items() if now in told[3]]
        incidents = [i for i in self.world.pagerduty.incidents.values() if not i.merged_into]
        there = [
            (Side.PAGERDUTY, str(i.incident_id), d)
            for i in incidents
            for d, told in AT_PAGERDUTY.items()
            if i.status in told[1]
        ]
        return [*here, *there]

    def at_truthvouch(self, alert_id: str, does: str, says: bool = False) -> None:
        verb, event, after, legal = AT_TRUTHVOUCH[does]
        if self.world.truthvouch.status[alert_id] in legal:
            reason = "false_positive" if says and verb is AlertVerb.RESOLVED else None
            with self.world.deed([alert_id], Side.TRUTHVOUCH, "resolve" if does == "dismiss" else does):
                self.world.truthvouch.act(alert_id, verb, event, after, reason=reason)

    def at_pagerduty(self, incident_id: str, does: str) -> None:
        after, legal = AT_PAGERDUTY[does]
        facts = self.world.pagerduty.incidents[incident_id]
        if facts.status in legal and not facts.merged_into:
            with self.world.deed(self.world.on(incident_id), Side.PAGERDUTY, does):
                self.world.pagerduty.move(incident_id, after, "Dana Example")

    @precondition(lambda self: self.world.pagerduty.incidents)
    @rule(which=any_number, note=st.booleans())
    def a_person_writes_a_note_or_opens_an_incident_by_hand(self, which: int, note: bool) -> None:
        pagerduty = self.world.pagerduty
        if note or pagerduty.by_hand:
            pagerduty.annotate(list(pagerduty.incidents)[which % len(pagerduty.incidents)], "prompt rolled back")
        else:
            pagerduty.by_person("Something else")

    @precondition(lambda self: len(self.open_incidents()) > 1)
    @rule(one_of_them=any_number, into=any_number)
    def a_person_merges_incidents(self, one_of_them: int, into: int) -> None:
        open_ones = self.open_incidents()
        source, target = open_ones[one_of_them % len(open_ones)], open_ones[into % len(open_ones)]
        if source != target:
            self.world.pagerduty.merge(source, target)

    def open_incidents(self) -> list[str]:
        return [i for i, facts in self.world.pagerduty.incidents.items() if facts.status is not RESOLVED]

    @rule(which=any_number, turns=st.sampled_from([10, 11]))
    def two_people_fight(self, which: int, turns: int) -> None:
        """Acknowledged here, un-acknowledged there, each heard and carried at once."""
        alert_id = ALERTS[which % len(self.world.truthvouch.status)]
        incident = next((i for i in self.world.pagerduty.incidents if alert_id in self.world.on(i)), None)
        if incident is None or self.world.fuse:
            return
        for n in range(turns):
            self.at_pagerduty(incident, "unack") if n % 2 else self.at_truthvouch(alert_id, "ack")
            self.everything_runs()
            self.world.clock.move(1)

    # ------------------------------------------------------------ the post

    @precondition(lambda self: self.world.post)
    @rule(which=any_number, stays=st.booleans())
    def a_webhook_arrives(self, which: int, stays: bool) -> None:
        self.world.arrive(which % len(self.world.post), stays=stays)

    @precondition(lambda self: self.world.post and not self.calm)
    @rule(which=any_number)
    def a_webhook_is_lost(self, which: int) -> None:
        self.world.lose(which % len(self.world.post))

    @rule(batches=st.integers(1, 3))
    def the_inbox_is_taken_in(self, batches: int) -> None:
        self.world.take_in(batches)

    # ------------------------------------------------------------ the bridge, and what befalls it

    @rule(at_most=st.integers(1, 5))
    def deliveries_run(self, at_most: int) -> None:
        self.world.work(at_most)

    @rule()
    def everything_runs(self) -> None:
        while self.world.post:
            self.world.arrive(0)
        self.world.take_in()
        self.world.work()

    @precondition(lambda self: not self.calm)
    @rule(steps=st.integers(1, 8))
    def the_process_will_die(self, steps: int) -> None:
        self.world.fuse = steps

    @precondition(lambda self: not self.calm)
    @rule()
    def what_was_done_is_run_again(self) -> None:
        self.world.begin_again()

    @rule(seconds=st.sampled_from([SHORT, LONG, 700]))
    def time_passes(self, seconds: int) -> None:
        self.world.clock.move(seconds)

    @rule(kinds=st.lists(any_fault, min_size=1, max_size=3), calls=st.sampled_from(CALLS), here=st.booleans())
    def calls_will_fail(self, kinds: list[str], calls: str, here: bool) -> None:
        partner = self.world.truthvouch if here else self.world.pagerduty
        partner.trouble.queue.extend((kind, calls) for kind in kinds if not self.calm or kind not in ("400", "401"))

    @precondition(lambda self: not self.calm)
    @rule()
    def the_bridge_looks(self) -> None:
        self.world.look_at_both_sides()

    @precondition(lambda self: not self.calm and self.world.open_letters())
    @rule(which=any_number, discard=st.booleans())
    def an_operator_closes_a_dead_letter(self, which: int, discard: bool) -> None:
        letters = self.world.open_letters()
        number, alert_id = letters[which % len(letters)]
        if discard:
            self.world.discarded.add(alert_id)
        self.world.ask(WishVerb.DISCARD if discard else WishVerb.REPLAY, number)

    # ------------------------------------------------------------ afterwards

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.world.quiet()
                check(self.world, self.calm)
        finally:
            if hasattr(self, "world"):
                self.world.close()
            self.folder.cleanup()


TestBridge = BridgeMachine.TestCase
TestBridge.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
