"""What a worker process is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from app.bootstrap.common import READERS, bell, live_rulebook
from app.ports import Asked, Bell, Engine, Round
from app.services.rulebook import LiveRulebook
from app.settings import Settings
from app.store.arrivals import CursorArrivals, MarkedArrivals
from app.store.database import Database, open_bridge, open_inbox
from app.store.marks import StoredMarks
from app.store.revision import check
from app.store.vitals import WORKER_SEEN

if TYPE_CHECKING:
    from app.services.intake import Intake


class Seat(Protocol):
    """A place to work that only one process can hold."""

    def take(self) -> str | None:
        """The executor id of the seat taken; None while every seat is taken."""
        ...

    def leads(self) -> bool:
        """Whether this worker is the one that takes the inbox in."""
        ...

    def beat(self) -> None:
        """Show whoever shares the store that the holder of this seat does not hang."""
        ...

    def leave(self) -> None: ...


@dataclass(frozen=True)
class WorkerBridge:
    """What a worker process is made of."""

    seat: Seat
    check_schema: Callable[[], None]
    """Raises ``SchemaTooNew`` when a newer version has upgraded the store."""
    launch: Callable[[str], Callable[[], int]]
    """Starts the engine as this executor; the answer takes in one inbox batch and says how many rows."""
    beat: Callable[[datetime], None]
    """Writes the worker's sign of life."""
    bell: Bell
    rounds: Sequence[Round]
    """What it does again and again besides."""
    close: Callable[[int], None]
    """Lets deliveries in hand end for so many seconds, and lets go of the store."""


def build_worker(settings: Settings) -> WorkerBridge:
    """Everything that takes in and delivers. Opens no engine before the worker has its seat."""
    from app.bootstrap.escalation import missed_round_of
    from app.bootstrap.escalation import round_of as escalating_round
    from app.bootstrap.partners import budgets, partners
    from app.bootstrap.reconcile import call_quota, round_of
    from app.bootstrap.rules import SilenceWatch
    from app.bootstrap.subscriptions import round_of as watching_round
    from app.bootstrap.upkeep import upkeep
    from app.engine.durable import DurableEngine
    from app.services.abandon import Abandon
    from app.services.deliver import Deliver
    from app.services.doors import Doors
    from app.services.perform import Perform
    from app.services.reconcile import born_at
    from app.store.links import StoredLinks
    from app.store.locks import FileSeat, PostgresSeat

    rulebook = live_rulebook(settings)
    sql = open_bridge(settings.data_dir, settings.database_url)
    database, marks = Database(sql), StoredMarks()
    engines: list[DurableEngine] = []
    budget_of = budgets(sql)
    kept_up = upkeep(settings, database, rulebook)
    asked = Asked()
    reconciling = round_of(settings, rulebook, database, budget_of, asked)
    watching = watching_round(settings, rulebook, database)
    silences = SilenceWatch(rulebook, database)
    escalating = [escalating_round(settings, rulebook, database, budget_of)]
    if settings.pagerduty.api_key:
        escalating.append(missed_round_of(rulebook, database))

    def launch(executor_id: str) -> "Intake":
        engine = DurableEngine(sql, executor_id, _budgets(settings))
        engines.append(engine)
        intake = _intake(settings, rulebook, database, engine, asked)
        far = partners(settings, rulebook, budget_of)
        perform = Perform(far.incidents, far.events, far.alerts, rulebook, call_quota(rulebook, database))
        doors = Doors(marks, executor_id)
        deliver: Deliver = Deliver(database, StoredLinks(), doors, intake.settle, perform, intake.meter)
        with database.begin() as tx:
            doors.clear(tx, DOORS)
            born_at(tx, marks, datetime.now(UTC))
        engine.launch(deliver, Abandon(database, StoredLinks(), intake.meter))
        kept_up.launched(engine, executor_id, intake.settle, intake.meter)
        silences.launched(intake.hear)
        return intake

    def check_schema() -> None:
        check(sql, "bridge")

    def beat(now: datetime) -> None:
        with database.begin() as tx:
            marks.put(tx, WORKER_SEEN, now.isoformat())

    def close(patience_seconds: int) -> None:
        for engine in engines:
            engine.close(patience_seconds)

    seat = PostgresSeat(sql) if settings.database_url else FileSeat(settings.data_dir)
    rounds = (*kept_up.rounds, silences.round, *escalating, *(found for found in (reconciling, watching) if found))
    return WorkerBridge(
        seat,
        check_schema,
        lambda executor_id: launch(executor_id).take,
        beat,
        bell(settings),
        rounds,
        close,
    )


DOORS = ("truthvouch", "pagerduty-rest", "pagerduty-events")
"""The ways out, each with its own credential and its own health."""


def _budgets(settings: Settings) -> Mapping[str, int]:
    """Every queue and its starts a minute, 0 = no limit.

    The budget of each key is kept where the calls are made. These limits only see to it that little is in hand when
    something urgent comes; and that status changes, which have queues of their own, never take more than half of
    what pages may.
    """
    from app.services.settle import CHANGES

    pagerduty = settings.pagerduty
    keys = {pagerduty.integration_key, *pagerduty.service_keys.values()} - {None}
    rest, events = pagerduty.rest_per_minute, pagerduty.events_per_minute * max(1, len(keys))
    return {
        "truthvouch": 0,
        "pagerduty-rest": rest,
        "pagerduty-events": events,
        f"pagerduty-rest{CHANGES}": (rest + 1) // 2,
        f"pagerduty-events{CHANGES}": (events + 1) // 2,
    }


def _intake(settings: Settings, rulebook: LiveRulebook, database: Database, engine: Engine, asked: Asked) -> "Intake":
    from app import metrics
    from app.bootstrap.escalation import escalations
    from app.bootstrap.rules import shadow_of
    from app.services.hear import Hear
    from app.services.intake import Intake
    from app.services.settle import Settle
    from app.services.wishes import Grant
    from app.store.letters import StoredLetters
    from app.store.links import StoredLinks

    links = StoredLinks()
    climbing = escalations(rulebook)
    settle = Settle(
        links, engine, lambda: bool(settings.pagerduty.api_key), arm=climbing.attached, follow=climbing.followed
    )
    arrivals = MarkedArrivals() if settings.database_url else CursorArrivals(open_inbox(settings.data_dir, None))
    hear = Hear(links, settle, rulebook, lambda: settings.via(rulebook.current()), climbing)
    hear = replace(hear, shadow=shadow_of(settings, rulebook, metrics.meter().shadowed))
    grant = Grant(links, StoredLetters(), arrivals, settle, hear, READERS, asked.ask, climbing)
    return Intake(database, arrivals, links, settle, hear, grant, READERS, metrics.meter())
