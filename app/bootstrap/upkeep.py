"""What a worker does again and again for the store and for the other workers on it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from app.ports import Meter, Round, RulebookSource
from app.services.lost_lanes import LostLanes
from app.services.retention import Retention, retention_round
from app.services.settle import Settle
from app.services.take_over import TakeOver, take_over_round
from app.settings import Settings
from app.store.database import Database, open_inbox
from app.store.links import StoredLinks
from app.store.overdue import StoredOverdue
from app.store.retention import BATCH_ROWS, StoredRetention
from app.store.seats import PostgresSeats

if TYPE_CHECKING:
    from app.engine.durable import DurableEngine


def upkeep(settings: Settings, database: Database, rulebook: RulebookSource) -> "Upkeep":
    """The rounds of this store; they start only when its engine has."""
    inbox = open_inbox(settings.data_dir, None) if settings.database_url is None else database.engine
    return Upkeep(
        database,
        StoredRetention(database, inbox, settings.data_dir),
        PostgresSeats(database.engine) if settings.database_url else None,
        rulebook,
    )


class Upkeep:
    """Holds what the rounds need until there is an engine."""

    def __init__(
        self, database: Database, stored: StoredRetention, seats: PostgresSeats | None, rulebook: RulebookSource
    ) -> None:
        self._database, self._stored, self._seats, self._rulebook = database, stored, seats, rulebook
        self._engine: DurableEngine | None = None
        self._look: TakeOver | None = None
        self._lost: LostLanes | None = None

    def launched(self, engine: "DurableEngine", executor_id: str, settle: Settle, meter: Meter) -> None:
        """The engine runs as this executor."""
        self._engine, leftovers = engine, engine.leftovers
        self._look = TakeOver(self._seats, leftovers, executor_id)
        self._lost = LostLanes(self._database, StoredOverdue(), leftovers, StoredLinks(), settle, meter)

    @property
    def rounds(self) -> Sequence[Round]:
        """Taking over, which also finds what is owed and made by nobody; and sweeping."""
        retention = Retention({**self._stored.sweeps(), "deliveries": self._sweep_deliveries}, self._rulebook)
        return (take_over_round(self._take_over), retention_round(retention))

    def _take_over(self) -> None:
        if self._look is not None and self._lost is not None:
            self._look()
            self._lost()

    def _sweep_deliveries(self, before: datetime) -> Iterator[int]:
        assert self._engine is not None
        while removed := self._engine.leftovers.sweep(before, BATCH_ROWS):
            yield removed
