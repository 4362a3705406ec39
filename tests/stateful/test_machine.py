"""The whole bridge against a model: alerts, people on both sides, three clocks, partners of every kind, webhooks that
come twice, late, crossed or never, calls that fail in every way, a process that dies anywhere, operators, and then
quiet and reconciliation.

``BRIDGETEST_EXAMPLES=2000`` looks longer than a pull request has time for.
"""

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from app.domain.model.events import CommandType
from app.domain.model.types import Side, Status, Via
from tests.stateful.partners import FAULTS, Switches
from tests.stateful.promises import check
from tests.stateful.world import Meanwhile, World

EXAMPLES = int(os.environ.get("BRIDGETEST_EXAMPLES", "60"))
SEVERITIES = ("critical", "high", "medium")
"""The last one deserves no incident."""
ALERTS = ("a1", "a2", "a3")
CALLS = ("", "", "open", "note", "put", "event", "trigger", "find", "get")
"""How the names of calls begin: of any, of those that create, write a note, change a status, look."""
HOLDS = (0.0, 0.0, 0.4, 15.0)
"""Minutes for which a resolve from TruthVouch is held back."""
AHEAD = st.integers(-300, 300).map(float)
"""Seconds: of three clocks two are up to ten minutes apart."""
DRIFT = st.sampled_from([0.0, 0.0, -20.0, 20.0])
"""Seconds that a clock gains in an hour."""
RETRIES = (1, 5, 30)
"""Minutes after which a webhook that was refused is sent again."""

any_switches = st.builds(
    Switches,
    via=st.sampled_from(list(Via)),
    pagerduty_ahead=AHEAD,
    truthvouch_ahead=AHEAD,
    pagerduty_drift=DRIFT,
    truthvouch_drift=DRIFT,
    reports_api_changes=st.booleans(),
    keeps_acknowledges=st.sampled_from([True, True, False]),
    reopens=st.booleans(),
    shows_single=st.booleans(),
    newest_first=st.booleans(),
    reports_times=st.sampled_from([True, True, False]),
    alerts_reopen=st.booleans(),
    events_take=st.sampled_from([0.0, 0.3, 2.0]),
    shuffled=st.booleans(),
    hold=st.sampled_from(HOLDS),
)
any_severity = st.sampled_from(SEVERITIES)
any_fault = st.sampled_from(FAULTS)
any_number = st.integers(0, 1_000)


class BridgeMachine(RuleBasedStateMachine):
    """Rules are what may happen; ``teardown`` is the quiet afterwards, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)

    @initialize(
        switches=any_switches,
        severities=st.lists(st.sampled_from(SEVERITIES), min_size=1, max_size=2),
        calm=st.booleans(),
        loses=st.booleans(),
    )
    def begin(self, switches: Switches, severities: list[str], calm: bool, loses: bool) -> None:
        self.calm = calm  # no webhook is lost, no process dies: then both sides agree before anybody looks
        self.loses = loses and not calm
        self.world = World(Path(self.folder.name), switches)
        for severity in severities:
            self.truthvouch_finds_something(severity)

    # ------------------------------------------------------------ people

    @precondition(lambda self: len(self.world.truthvouch.status) < len(ALERTS))
    @rule(severity=any_severity)
    def truthvouch_finds_something(self, severity: str) -> None:
        self.world.raise_alert(ALERTS[len(self.world.truthvouch.status)], severity)

    @rule(picks=st.lists(any_number, min_size=1, max_size=4), says=st.booleans())
    def people_at_both_sides(self, picks: list[int], says: bool) -> None:
        """Each does something that is possible there, before anybody hears of what the others did."""
        for pick in picks:
            possible = self.world.possible_acts()
            self.world.act(*possible[pick % len(possible)], says)

    @rule(pick=any_number, lost=st.booleans())
    def a_person_does_something_that_is_received_or_lost_at_once(self, pick: int, lost: bool) -> None:
        before = list(self.world.post)
        self.people_at_both_sides([pick], False)
        for hook in [hook for hook in self.world.post if hook not in before]:
            if lost and self.loses:
                self.world.lose(hook)
            elif hook in self.world.ready():
                self.world.arrive(hook)

    @rule(
        picks=st.lists(any_number, max_size=2),
        early=st.booleans(),
        receives=st.booleans(),
        works=st.booleans(),
        looks=st.booleans(),
        seconds=st.sampled_from([0, 0, 1, 6, 40]),
    )
    def people_act_while_a_call_is_under_way(
        self, picks: list[int], early: bool, receives: bool, works: bool, looks: bool, seconds: int
    ) -> None:
        def act() -> None:
            if picks:
                self.people_at_both_sides(picks, False)

        looks = looks and not self.calm
        self.world.meanwhile.append(Meanwhile(early, act, receives, works, looks, seconds))

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
            self.world.merge(source, target)

    def open_incidents(self) -> list[str]:
        return [i for i, facts in self.world.pagerduty.incidents.items() if facts.status is not Status.RESOLVED]

    @rule(which=any_number, turns=st.sampled_from([10, 11]))
    def two_people_fight(self, which: int, turns: int) -> None:
        """Acknowledged here, un-acknowledged there, each heard and carried at once."""
        alert_id = ALERTS[which % len(self.world.truthvouch.status)]
        incident = next((i for i in self.world.pagerduty.incidents if alert_id in self.world.on(i)), None)
        if incident is None or self.world.fuse:
            return
        for n in range(turns):
            if n % 2:
                self.world.act(Side.PAGERDUTY, incident, "unack")
            else:
                self.world.act(Side.TRUTHVOUCH, alert_id, "ack")
            self.everything_runs()
            self.world.tick(1)

    # ------------------------------------------------------------ the post

    @precondition(lambda self: self.world.ready())
    @rule(which=any_number, stays=st.booleans())
    def a_webhook_arrives(self, which: int, stays: bool) -> None:
        ready = self.world.ready()
        self.world.arrive(ready[which % len(ready)], stays=stays)

    @precondition(lambda self: self.world.ready())
    @rule(which=any_number, minutes=st.sampled_from(RETRIES))
    def a_webhook_is_refused_and_sent_again_later(self, which: int, minutes: int) -> None:
        ready = self.world.ready()
        self.world.delay(ready[which % len(ready)], minutes)

    @precondition(lambda self: self.world.post and self.loses)
    @rule(which=any_number)
    def a_webhook_is_lost(self, which: int) -> None:
        self.world.lose(self.world.post[which % len(self.world.post)])

    @rule(batches=st.integers(1, 3))
    def the_inbox_is_taken_in(self, batches: int) -> None:
        self.world.take_in(batches)

    # ------------------------------------------------------------ the bridge, and what befalls it

    @rule(at_most=st.integers(1, 5))
    def deliveries_run(self, at_most: int) -> None:
        self.world.work(at_most)

    @rule()
    def everything_runs(self) -> None:
        self.world.tick(0.5)
        self.world.everything_arrives()
        self.world.take_in()
        self.world.work()

    @rule()
    def it_becomes_quiet(self) -> None:
        """So that what people do next is judged anew."""
        self.world.fuse = 0
        self.world.run_until_quiet()

    @precondition(lambda self: not self.calm)
    @rule(steps=st.integers(1, 8))
    def the_process_will_die(self, steps: int) -> None:
        self.world.fuse = steps

    @precondition(lambda self: not self.calm)
    @rule()
    def what_was_done_is_run_again(self) -> None:
        self.world.begin_again()

    @rule(seconds=st.sampled_from([1, 3, 45, 700]))
    def time_passes(self, seconds: int) -> None:
        self.world.tick(seconds)

    @rule(kinds=st.lists(any_fault, min_size=1, max_size=3), calls=st.sampled_from(CALLS), here=st.booleans())
    def calls_will_fail(self, kinds: list[str], calls: str, here: bool) -> None:
        partner = self.world.truthvouch if here else self.world.pagerduty
        partner.trouble.queue.extend((kind, calls) for kind in kinds if not self.calm or kind not in ("400", "401"))

    @precondition(lambda self: not self.calm)
    @rule()
    def the_bridge_looks(self) -> None:
        self.world.look_at_both_sides()

    @precondition(lambda self: not self.calm and self.world.open_dead_letters())
    @rule(which=any_number, discard=st.booleans())
    def an_operator_closes_a_dead_letter(self, which: int, discard: bool) -> None:
        dead_letters = self.world.open_dead_letters()
        dead_letter, alert_id = dead_letters[which % len(dead_letters)]
        if discard:
            self.world.discarded.add(alert_id)
        self.world.ask(CommandType.DISCARD if discard else CommandType.REPLAY, dead_letter.dead_letter_id)

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
    derandomize="BRIDGETEST_EXAMPLES" not in os.environ,  # the same scenarios, unless somebody asks for more
    suppress_health_check=list(HealthCheck),
)
