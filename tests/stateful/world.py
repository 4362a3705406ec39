"""The bridge's middle on a real store between two far sides, and everything that can go wrong between the three."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app.domain.model.events import AlertEventType, CommandType, Event, Reading
from app.domain.model.types import AlertId, LinkId, Side, Source, Status, incident_key
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook
from app.domain.sync.link import Link
from app.ports import DeadLetter, Order, Tx
from app.store import inbox as internal_events
from app.store.schema import dead_letters, inbox
from tests.fakes import ManualEngine
from tests.rig import Rig
from tests.stateful.model import Change
from tests.stateful.partners import PagerDuty, Switches, TruthVouch

ROUNDS = 300
"""More than any settling takes: whoever needs more goes round in circles."""
LOOKS = 8
"""Reconciliations after which nothing may differ any more: a write that is not kept is made again three times."""
WRITE_LOST = "write_lost"
"""Why a dead letter is no operator's fault to mend: TruthVouch says yes and does nothing."""

OPEN, ACKNOWLEDGED, RESOLVED = Status
AT_TRUTHVOUCH = {
    "ack": (AlertEventType.ACKNOWLEDGED, "investigating", ACKNOWLEDGED, (OPEN,)),
    "resolve": (AlertEventType.RESOLVED, "resolved", RESOLVED, (OPEN, ACKNOWLEDGED)),
    "dismiss": (AlertEventType.RESOLVED, "dismissed", RESOLVED, (OPEN, ACKNOWLEDGED)),
    "reopen": (AlertEventType.REOPENED, "reopened", OPEN, (ACKNOWLEDGED, RESOLVED)),
}
"""What people do there: the event's type, its name, where it leads, from where it is possible."""
AT_PAGERDUTY = {
    "ack": (ACKNOWLEDGED, (OPEN, RESOLVED)),
    "unack": (OPEN, (ACKNOWLEDGED,)),
    "resolve": (RESOLVED, (OPEN, ACKNOWLEDGED)),
    "reopen": (OPEN, (RESOLVED,)),
}

Key = tuple[int, Side, int]
"""A delivery: link, side, number."""


class Killed(BaseException):
    """The process dies here."""


class TimedEngine(ManualEngine):
    """A delivery is due when its delay is over, and begins again after a crash."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self.clock = clock
        self.due: dict[Key, datetime] = {}

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        super().submit(tx, orders)
        for order in orders:
            at = self.clock() + timedelta(seconds=order.delay_seconds or 0)
            self.due.setdefault((order.link_id, order.side, order.seq), at)

    def memory(self) -> tuple[dict[Key, tuple[int, float]], set[Key], dict[Key, datetime]]:
        """Everything it knows, to go back to."""
        return dict(self.waiting), set(self.seen), dict(self.due)

    def next_due(self, but: Collection[Key] = ()) -> Key | None:
        ready = [key for key in self.waiting if self.due[key] <= self.clock() and key not in but]
        return min(ready, key=lambda key: (self.waiting[key][0], self.due[key]), default=None)


@dataclass(eq=False)
class Webhook:
    """One webhook under way."""

    side: Side
    subject: str
    """The incident or the alert that it is about: PagerDuty keeps the order of those of one incident."""
    event: Event
    not_before: datetime
    delayed: bool = False
    """It was refused once, and its sender tries again later."""


@dataclass(frozen=True)
class Meanwhile:
    """What happens while a call is under way."""

    early: bool
    """Before its effect; else after it, before its answer."""
    act: Callable[[], None]
    """What people do."""
    receives: bool = True
    """Every webhook that can, that call's own echo too, is faster than its answer."""
    works: bool = False
    """Other deliveries run."""
    looks: bool = False
    """A reconciliation reads both sides."""
    seconds: float = 0.0


class World(Rig):
    """Two partners, the bridge, a post between them, and people."""

    pagerduty: PagerDuty
    truthvouch: TruthVouch
    engine: TimedEngine

    def __init__(self, data_dir: Path, switches: Switches) -> None:
        self.switches = switches
        self.post: list[Webhook] = []
        self.lost: list[Webhook] = []
        self.journal: list[Change] = []
        """Every change at both sides, in the true order."""
        self.agreed: dict[str, tuple[int, Status]] = {}
        """Alert -> how much of the journal was written when both sides last agreed and nothing was under way; where."""
        self.fuse = 0
        """The process dies at this many partner calls or commits from now; 0 = it lives."""
        self.meanwhile: list[Meanwhile] = []
        """What happens around the next calls."""
        self.running: set[Key] = set()
        """Deliveries that are amid a call."""
        self.agreed_unlooked: list[tuple[Link, Status, Status | None]] = []
        """How both sides stood when it was quiet, before the bridge looked."""
        self.discarded: set[str] = set()
        self.disturbances = 0
        self.crossed_at_truthvouch = switches.shuffled
        """Webhooks about one alert may have overtaken one another."""
        super().__init__(data_dir, switches.via)
        self.calls_per_hour = 1_000_000
        self.rulebook.rulebook = Rulebook(rules=(damped(switches.hold),) if switches.hold else ())
        # What waits for a partner's timeout moves the clock here, and no real time passes.
        self.looking = replace(self.looking, pause=self._wait)
        self.reconcile()  # the store is born: alerts raised from now on are its own
        perform, mark_taken = self.deliver.perform, self.intake.inbox_reader.mark_taken
        self.deliver.perform = lambda link, effect: self._with_fuse(lambda: self._amid(lambda: perform(link, effect)))
        self.intake.inbox_reader.mark_taken = lambda *fields: self._with_fuse(lambda: mark_taken(*fields))  # type: ignore[method-assign]

    def _wait(self, seconds: float) -> None:
        self.clock.move(seconds)

    def far_sides(self) -> tuple[PagerDuty, TruthVouch]:
        pagerduty = PagerDuty(self.clock, self._says, self.switches, self.journal)
        return pagerduty, TruthVouch(self.clock, self._says, self.switches, self.journal)

    def an_engine(self) -> TimedEngine:
        return TimedEngine(self.clock)

    def close(self) -> None:
        """Let go of the files."""
        self.database.engine.dispose()
        self._inbox.dispose()

    # ------------------------------------------------------------ the post

    def _says(self, side: Side, subject: str, event: Event) -> None:
        self.post.append(Webhook(side, subject, event, self.clock()))

    def ready(self) -> list[Webhook]:
        """Those that may arrive now. PagerDuty keeps the order of one incident's, whatever becomes of the first;
        TruthVouch that of one alert's, as long as none has to be sent again."""
        before: set[str] = set()
        found = []
        for hook in self.post:
            in_order = self.switches.shuffled or hook.subject not in before
            if hook.not_before <= self.clock() and in_order:
                found.append(hook)
            if hook.side is Side.PAGERDUTY or not hook.delayed:
                before.add(hook.subject)
        return found

    def lose(self, hook: Webhook) -> None:
        """A webhook that will never come."""
        self.post.remove(hook)
        self.lost.append(hook)
        self.disturbances += 1

    def delay(self, hook: Webhook, minutes: float) -> None:
        """A webhook was refused: it is sent again later."""
        hook.not_before, hook.delayed = self.clock() + timedelta(minutes=minutes), True
        self.crossed_at_truthvouch |= hook.side is Side.TRUTHVOUCH
        self.disturbances += 1

    def arrive(self, hook: Webhook, *, stays: bool = False) -> None:
        """A webhook arrives and is stored, to be taken in later. ``stays``: it will come once more, and is another
        delivery then, as if the first one had been forgotten."""
        if stays:
            self.disturbances += 1
        else:
            self.post.remove(hook)
        self.store(Source(hook.side.value), hook.event)

    def store(self, source: Source, *readings: Reading) -> None:
        """The webhook."""
        body = f"{len(self.said)}".encode()
        self.said[body] = readings
        row = {"source": source.value, "delivery_id": body.decode(), "received_at": self.clock(), "body": body}
        with self._inbox.begin() as connection:
            connection.execute(inbox.insert().values(row))

    def everything_arrives(self) -> None:
        """Everything that can."""
        while ready := self.ready():
            self.arrive(ready[0])

    def take_in(self, batches: int = ROUNDS) -> None:
        """So many batches of the inbox."""
        while batches and self._take_one_batch():
            batches -= 1

    def _take_one_batch(self) -> bool:
        """What was submitted in a transaction that never ended was never submitted."""
        before = self.engine.memory()
        try:
            return self.intake.take() > 0
        except Killed:
            self.engine.waiting, self.engine.seen, self.engine.due = before
            self._die_whole()
            return False

    # ------------------------------------------------------------ people

    def raise_alert(self, alert_id: str, severity: str) -> None:
        """TruthVouch finds something."""
        self.truthvouch.raise_alert(alert_id, severity)
        self.agreed[alert_id] = (len(self.journal), OPEN)

    def possible_acts(self) -> list[tuple[Side, str, str]]:
        """What people could do now: where, about which alert or incident, what."""
        alerts = self.truthvouch.status.items()
        here = [(Side.TRUTHVOUCH, a, d) for a, now in alerts for d, answer in AT_TRUTHVOUCH.items() if now in answer[3]]
        incidents = [i for i in self.pagerduty.incidents.values() if not i.merged_into]
        there = [
            (Side.PAGERDUTY, str(i.incident_id), d)
            for i in incidents
            for d, answer in AT_PAGERDUTY.items()
            if i.status in answer[1]
        ]
        return [*here, *there]

    def act(self, side: Side, subject: str, does: str, says: bool = False) -> bool:
        """A person does something, if it is possible now; whether it was."""
        self.tick(0.5)
        self.note_agreement()
        if side is Side.TRUTHVOUCH:
            event_type, event, after, possible = AT_TRUTHVOUCH[does]
            if self.truthvouch.status[subject] not in possible:
                return False
            reason = "false_positive" if says and event_type is AlertEventType.RESOLVED else None
            self.truthvouch.by_person(subject, event_type, event, after, reason=reason)
            return True
        becomes, from_there = AT_PAGERDUTY[does]
        facts = self.pagerduty.incidents[subject]
        if facts.status not in from_there or facts.merged_into:
            return False
        self.pagerduty.move(subject, becomes, by_person=True)
        return True

    def merge(self, source: str, target: str) -> None:
        """A person merges an incident into an open one."""
        self.tick(0.5)
        self.note_agreement()
        self.pagerduty.merge(source, target)

    def on(self, incident_id: str) -> list[str]:
        """The alerts whose incident this is, at PagerDuty."""
        return [a for a in self.truthvouch.status if key_of(a) in self.pagerduty.children[incident_id]]

    def incident_of(self, alert_id: str) -> str | None:
        """The incident that this alert is on, at PagerDuty."""
        return next((i for i in self.pagerduty.incidents if alert_id in self.on(i)), None)

    def changes_of(self, alert_id: str, since: int = 0) -> list[Change]:
        """What became of one alert at both sides."""
        return [change for change in self.journal[since:] if key_of(alert_id) in change.about]

    def note_agreement(self) -> None:
        """Remember where both sides of an alert agree and nothing is under way: from there on it is judged anew."""
        if self.running or self.pagerduty.coming or self._has_internal_events():
            return
        busy = {hook.subject for hook in self.post}
        for link in self.all_links():
            alert_id, incident_id = link.alert.alert_id, link.incident_id
            if busy.isdisjoint({alert_id, incident_id or ""}) and self._is_quiet(link):
                self.agreed[alert_id] = (len(self.journal), self.truthvouch.status[alert_id])

    def _is_quiet(self, link: Link) -> bool:
        alert, incident = link.alert_side, link.incident_side
        if link.truthvouch.outstanding or link.pagerduty.outstanding or link.frozen_at or link.shares:
            return False
        unsure = alert.must_read or incident.must_read or alert.conflict or incident.conflict
        facts = self.pagerduty.incidents.get(link.incident_id) if link.incident_id else None
        if unsure or facts is None or facts.merged_into:
            return False
        known = {alert.status, incident.status, link.status, link.agreed}
        return known == {facts.status} == {self.truthvouch.status[link.alert.alert_id]}

    def _has_internal_events(self) -> bool:
        with self.database.begin() as tx:
            return bool(self.intake.inbox_reader.next_rows(tx, 1))

    # ------------------------------------------------------------ time, deliveries and crashes

    def tick(self, seconds: float) -> None:
        """Time passes, and what PagerDuty was to do by then is done."""
        self.clock.move(seconds)
        self.pagerduty.take_effect()

    def _with_fuse(self, act: Callable[[], Any]) -> Any:
        """Before the call, and after it before its answer is written: both are places to die."""
        self._burn()
        answer = act()
        self._burn()
        return answer

    def _amid(self, act: Callable[[], Any]) -> Any:
        """A call, and what happens while it is under way."""
        now = self.meanwhile.pop(0) if self.meanwhile else None
        self.tick(0.02)
        if now is not None and now.early:
            self._happens(now)
        answer = act()
        self.tick(0.02)
        if now is not None:
            if not now.early:
                self._happens(now)
            if now.receives:
                self.everything_arrives()
                self.take_in()
        return answer

    def _happens(self, now: Meanwhile) -> None:
        self.tick(now.seconds)
        now.act()
        if now.looks:
            self.look_at_both_sides()
        if now.works:
            self.work()

    def _burn(self) -> None:
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.disturbances += 1
                raise Killed

    def _die_whole(self) -> None:
        """Whatever was amid a call dies with the process."""
        if self.running:
            raise Killed

    def work(self, at_most: int = ROUNDS) -> int:
        """Run what is due; a delivery that is killed begins again, as the engine does it."""
        done = 0
        while done < at_most and (key := self.engine.next_due(self.running)) is not None:
            self.running.add(key)
            try:
                self.deliver(LinkId(key[0]), key[1], key[2], key not in self.engine.begun)
                self.engine.waiting.pop(key, None)
            except Killed:
                self.engine.begun.add(key)
                self.running.discard(key)
                self._die_whole()
            finally:
                self.running.discard(key)
            done += 1
        return done

    def begin_again(self) -> None:
        """The process died after everything was recorded and before the engine knew: what was done is run again."""
        for key in sorted(self.engine.seen - set(self.engine.waiting), key=str)[-3:]:
            self.engine.waiting[key] = (1, 0.0)
            self.engine.begun.add(key)
        self.disturbances += 1

    # ------------------------------------------------------------ looks

    def all_links(self) -> tuple[Link, ...]:
        with self.database.begin() as tx:
            found = [self.links.by_alert(tx, AlertId(alert_id)) for alert_id in self.truthvouch.status]
        return tuple(link for link in found if link is not None)

    def look_at_both_sides(self) -> int:
        """One reconciliation, which may be killed on its way; the answer is how many differences it found."""
        self.tick(0.01)
        try:
            return len(self.reconcile().findings)
        except Killed:
            self._die_whole()
            return 0

    def _post(self, events: Sequence[Event], at: datetime) -> str:
        """As it comes out of the inbox again; stored, to be taken in later."""
        self._burn()
        self.store(Source.BRIDGE, *internal_events.read(internal_events.encode_observed_events(*events), None))
        return f"event {len(self.said)}"

    # ------------------------------------------------------------ operators

    def all_dead_letters(self) -> list[tuple[DeadLetter, str]]:
        """Every dead letter, with the alert that it is about."""
        names = {link.link_id: link.alert.alert_id for link in self.all_links()}
        with self.database.engine.connect() as connection:
            rows = connection.execute(dead_letters.select()).all()
        return [
            (DeadLetter(row.id, row.kind, row.reason, row.at, effect=row.effect or "", closed_at=row.closed_at),
             names.get(row.link_id, AlertId("")))
            for row in rows
        ]  # fmt: skip

    def open_dead_letters(self) -> list[tuple[DeadLetter, str]]:
        """Those that nobody has closed."""
        return [
            (dead_letter, alert_id)
            for dead_letter, alert_id in self.all_dead_letters()
            if dead_letter.closed_at is None
        ]

    def ask(self, command_type: CommandType, subject: object) -> None:
        """An operator's command, taken in at once."""
        self.disturbances += 1
        self.fuse = 0
        if command_type is CommandType.THAW:
            self.agreed.pop(str(subject), None)
        self.command(command_type, subject)

    # ------------------------------------------------------------ quiet

    def quiet(self) -> None:
        """What is under way arrives, nothing goes wrong any more, operators do their work, and we look until nothing
        is found."""
        self.fuse = 0
        self.meanwhile.clear()
        for partner in (self.pagerduty, self.truthvouch):
            partner.trouble.queue.clear()
        self.run_until_quiet()
        self._operators_work()
        self.agreed_unlooked = [self.at_both_sides(link) for link in self.all_links()]
        for _ in range(LOOKS):
            self.tick(60)
            found = self.look_at_both_sides()
            self.run_until_quiet()
            self._operators_work()
            if not found:
                return
        raise AssertionError("reconciliation finds something for ever")

    def _operators_work(self) -> None:
        for _ in range(10):
            frozen = [link.alert.alert_id for link in self.all_links() if link.frozen_at]
            waiting = [dead_letter for dead_letter, _ in self.open_dead_letters() if dead_letter.reason != WRITE_LOST]
            for dead_letter in waiting:
                self.ask(CommandType.REPLAY, dead_letter.dead_letter_id)
            for alert_id in frozen:
                self.ask(CommandType.THAW, alert_id)
            self.run_until_quiet()
            if not waiting and not frozen:
                return

    def at_both_sides(self, link: Link) -> tuple[Link, Status, Status | None]:
        """The link, and where the alert and the incident really stand; None where there is no incident to tell of."""
        incident = self.pagerduty.incidents.get(link.incident_id) if link.incident_id else None
        return link, self.truthvouch.status[link.alert.alert_id], incident.status if incident else None

    def run_until_quiet(self) -> None:
        """Until nothing is under way and nothing waits."""
        for _ in range(ROUNDS):
            self.pagerduty.take_effect()
            self.everything_arrives()
            self.take_in()
            if self.work() or self.ready():
                continue
            coming = [
                *(self.engine.due[key] for key in self.engine.waiting),
                *(hook.not_before for hook in self.post),
                *(at for at, _ in self.pagerduty.coming),
            ]
            if not coming:
                return
            self.clock.now = min(at for at in coming if at > self.clock.now)
        raise AssertionError(f"it never became quiet: {self.engine.waiting}")

    def asked(self) -> list[Status]:
        """Changes of status that the bridge asked for."""
        return [*self.pagerduty.asked, *self.truthvouch.asked]

    def written(self) -> list[Change]:
        """Changes that the bridge made."""
        return [change for change in self.journal if not change.by_person]


def damped(hold: float) -> Rule:
    """A rule that decides as the severity map does, and holds resolves back."""
    return Rule("damped", "severity in [critical, high]", RuleAction.CREATE_INCIDENT, hold_resolve_minutes=hold)


def key_of(alert_id: str) -> str:
    """The key of its incident."""
    return incident_key(AlertId(alert_id))
