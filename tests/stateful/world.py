"""The bridge's middle on a real store between two far sides, and everything that can go wrong between the three."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app.domain.link import Link
from app.domain.names import AlertId, LinkId, Side, Source, Status, Via
from app.domain.words import Reading, WishVerb, Word
from app.ports import Order, Tx
from app.services.reconcile_incidents import LookAtIncidents
from app.services.reconcile_run import Shelf
from app.store import own_mail
from app.store.marks import StoredMarks
from app.store.open_links import StoredOpenLinks
from app.store.schema import Instant, inbox, letters
from tests.fakes import ManualEngine
from tests.rig import Rig
from tests.stateful.model import Deed
from tests.stateful.partners import PagerDuty, TruthVouch, Write

ROUNDS = 300
"""More than any settling takes: whoever needs more goes round in circles."""


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

    def next_due(self) -> Key | None:
        ready = [key for key in self.waiting if self.due[key] <= self.clock()]
        return min(ready, key=lambda key: (self.waiting[key][0], self.due[key]), default=None)


class World(Rig):
    """Two partners, the bridge, a post between them, and people."""

    pagerduty: PagerDuty
    truthvouch: TruthVouch
    engine: TimedEngine

    def __init__(self, data_dir: Path, via: Via) -> None:
        self.via = via
        self.post: list[tuple[Side, Word, Deed | None]] = []
        """Webhooks under way, with the deed they tell of."""
        self.deeds: dict[str, list[Deed]] = {}
        self.looks: list[datetime] = []
        self.told: list[Word] = []
        """What the last act made the far sides say."""
        self.fuse = 0
        """The process dies at this many partner calls or commits from now; 0 = it lives."""
        self.meanwhile: list[tuple[bool, Callable[[], None]]] = []
        """What people do around the next calls: before their effect, or after it and before their answer."""
        self.agreed_unlooked: list[tuple[Link, Status, Status | None]] = []
        """How both sides stood when it was quiet, before the bridge looked."""
        self.hold = timedelta(0)
        """For how long the rulebook holds a resolve from TruthVouch back."""
        self.discarded: set[str] = set()
        self.disturbances = 0
        super().__init__(data_dir, via)
        self.calls_per_hour = 1_000_000
        shelf = Shelf(self.database, StoredOpenLinks(), StoredMarks())
        # What waits for a partner's patience moves the clock here, and no real time passes.
        self.looking._at_pagerduty.append(LookAtIncidents(self.pagerduty, shelf, lambda: ["PMAIN"], self._wait))
        self.reconcile()  # the store is born: alerts raised from now on are its own
        perform, mark_taken = self.deliver.perform, self.intake.arrivals.mark_taken
        self.deliver.perform = lambda link, effect: self._with_fuse(lambda: self._amid(lambda: perform(link, effect)))
        self.intake.arrivals.mark_taken = lambda *told: self._with_fuse(lambda: mark_taken(*told))  # type: ignore[method-assign]

    def _wait(self, seconds: float) -> None:
        self.clock.move(seconds)

    def far_sides(self) -> tuple[PagerDuty, TruthVouch]:
        return PagerDuty(self.clock, self._says, self.via is Via.REST), TruthVouch(self.clock, self._says)

    def an_engine(self) -> TimedEngine:
        return TimedEngine(self.clock)

    def close(self) -> None:
        """Let go of the files."""
        self.database.engine.dispose()
        self._inbox.dispose()

    # ------------------------------------------------------------ the post

    def _says(self, side: Side, word: Word) -> None:
        self.told.append(word)
        self.post.append((side, word, None))

    def lose(self, index: int) -> None:
        """A webhook that will never come."""
        _, _, deed = self.post.pop(index)
        self.disturbances += 1
        for deeds in self.deeds.values():
            if deed in deeds:
                deeds[deeds.index(deed)] = replace(deed, lost=True)

    def arrive(self, index: int, *, stays: bool = False) -> None:
        """A webhook arrives and is stored, to be taken in later. ``stays``: it will come once more."""
        side, word, _ = self.post[index] if stays else self.post.pop(index)
        self.disturbances += stays
        self.store(Source(side.value), word)

    def store(self, source: Source, *readings: Reading) -> None:
        """The door: a delivery that comes twice is stored once."""
        known = next((body for body, said in self.said.items() if said == readings), None)
        body = known or f"{len(self.said)}".encode()
        self.said[body] = readings
        at = Instant().process_bind_param(self.clock(), self._inbox.dialect)
        row = {"source": source.value, "delivery_id": body.decode(), "received_at": at, "body": body}
        with self._inbox.begin() as connection:
            connection.execute(inbox.insert().prefix_with("OR IGNORE").values(row))

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
            return False

    # ------------------------------------------------------------ people

    @contextmanager
    def deed(self, alert_ids: Sequence[str], side: Side, kind: str) -> Iterator[None]:
        """Whatever a person says inside is one deed about these alerts."""
        self.clock.move(0.5)
        before = len(self.post)
        yield
        moving = {"ack": "acknowledged", "unack": "unacknowledged", "resolve": "resolved", "reopen": "reopened"}
        deed = Deed(self.clock(), side, kind)
        for alert_id in alert_ids:
            self.deeds.setdefault(alert_id, []).append(deed)
        for n in range(before, len(self.post)):
            if self.post[n][1].verb == moving[kind]:
                self.post[n] = (*self.post[n][:2], deed)

    def on(self, incident_id: str) -> list[str]:
        """The alerts whose incident this is, at PagerDuty."""
        keys = {str(link.incident_key): link.alert.alert_id for link in self.all_links()}
        return [keys[key] for key in self.pagerduty.children[incident_id] if key in keys]

    # ------------------------------------------------------------ deliveries and crashes

    def _with_fuse(self, act: Callable[[], Any]) -> Any:
        """Before the call, and after it before its answer is written: both are places to die."""
        self._burn()
        answer = act()
        self._burn()
        return answer

    def _amid(self, act: Callable[[], Any]) -> Any:
        """A call during which people act, and all the post arrives and is taken in before the answer does."""
        if self.fuse or not self.meanwhile:
            return act()
        first, people_act = self.meanwhile.pop(0)
        if first:
            people_act()
        answer = act()
        if not first:
            people_act()
        while self.post:
            self.arrive(0)
        self.take_in()
        return answer

    def _burn(self) -> None:
        if self.fuse:
            self.fuse -= 1
            if not self.fuse:
                self.disturbances += 1
                raise Killed

    def work(self, at_most: int = ROUNDS) -> int:
        """Run what is due; a delivery that is killed begins again, as the engine does it."""
        done = 0
        while done < at_most and (key := self.engine.next_due()) is not None:
            try:
                self.deliver(LinkId(key[0]), key[1], key[2], key not in self.engine.begun)
                del self.engine.waiting[key]
            except Killed:
                self.engine.begun.add(key)
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

    def look_at_both_sides(self) -> None:
        """One reconciliation, which may be killed on its way."""
        self.looks.append(self.clock.move(0.01))
        with contextlib.suppress(Killed):
            self.reconcile()

    def _post(self, words: Sequence[Word], at: datetime) -> str:
        """As it comes out of the inbox again; stored, to be taken in later."""
        self._burn()
        self.store(Source.BRIDGE, *own_mail.read(own_mail.of_finding(*words), None))
        return f"mail {len(self.said)}"

    # ------------------------------------------------------------ operators

    def open_letters(self) -> list[tuple[int, str]]:
        """(number, alert id) of every dead letter nobody has closed."""
        names = {link.link_id: link.alert.alert_id for link in self.all_links()}
        with self.database.engine.connect() as connection:
            rows = connection.execute(letters.select().where(letters.c.closed_at.is_(None))).all()
        return [(row.id, names.get(row.link_id, "")) for row in rows]

    def ask(self, verb: WishVerb, subject: object) -> None:
        """An operator's wish, taken in at once."""
        self.disturbances += 1
        self.fuse = 0
        self.wish(verb, subject)

    # ------------------------------------------------------------ quiet

    def quiet(self) -> None:
        """What is under way arrives, nothing goes wrong any more, operators do their work, and we look once."""
        self.fuse = 0
        self.meanwhile.clear()
        for partner in (self.pagerduty, self.truthvouch):
            partner.trouble.queue.clear()
        self.settle_down()
        for _ in range(10):
            frozen = [link.alert.alert_id for link in self.all_links() if link.frozen_at]
            waiting = self.open_letters()
            for number, _ in waiting:
                self.ask(WishVerb.REPLAY, number)
            for alert_id in frozen:
                self.ask(WishVerb.THAW, alert_id)
            self.settle_down()
            if not waiting and not frozen:
                break
        self.agreed_unlooked = [self.at_both_sides(link) for link in self.all_links()]
        self.clock.move(60)
        self.look_at_both_sides()
        self.settle_down()

    def at_both_sides(self, link: Link) -> tuple[Link, Status, Status | None]:
        """The link, and where the alert and the incident really stand; None where there is no incident to tell of."""
        incident = self.pagerduty.incidents.get(link.incident_id) if link.incident_id else None
        return link, self.truthvouch.status[link.alert.alert_id], incident.status if incident else None

    def settle_down(self) -> None:
        """Until nothing is under way and nothing waits."""
        for _ in range(ROUNDS):
            while self.post:
                self.arrive(0)
            self.take_in()
            if not self.work() and not self.post:
                if not self.engine.waiting:
                    return
                self.clock.now = max(self.clock.now, min(self.engine.due[key] for key in self.engine.waiting))
        raise AssertionError(f"it never became quiet: {self.engine.waiting}")

    def asked(self) -> list[Write]:
        """Changes of status that the bridge asked for."""
        return [*self.pagerduty.asked, *self.truthvouch.asked]

    def written(self) -> list[Write]:
        """Changes that the bridge made."""
        return [*self.pagerduty.writes, *self.truthvouch.writes]
