"""What a worker does again and again for the store and for the other workers on it."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from app.ports import Round, RulebookSource
from app.services.retention import Retention, retention_round
from app.services.take_over import TakeOver, take_over_round
from app.settings import Settings
from app.store.database import Database, open_inbox
from app.store.retention import BATCH_ROWS, StoredRetention
from app.store.seats import PostgresSeats

if TYPE_CHECKING:
    from app.engine.durable import DurableEngine


def upkeep(settings: Settings, database: Database, rulebook: RulebookSource) -> "Upkeep":
    """The rounds of this store; they start only when its engine has."""
    inbox = open_inbox(settings.data_dir, None) if settings.database_url is None else database.engine
    return Upkeep(
        StoredRetention(database, inbox, settings.data_dir),
        PostgresSeats(database.engine) if settings.database_url else None,
        rulebook,
    )


class Upkeep:
    """Holds what the rounds need until there is an engine."""

    def __init__(self, stored: StoredRetention, seats: PostgresSeats | None, rulebook: RulebookSource) -> None:
        self._stored, self._seats, self._rulebook = stored, seats, rulebook
        self._engine: DurableEngine | None = None
        self._look: TakeOver | None = None

    def launched(self, engine: "DurableEngine", executor_id: str) -> None:
        """The engine runs as this executor."""
        self._engine = engine
        self._look = TakeOver(self._seats, engine.leftovers, executor_id)

    @property
    def rounds(self) -> Sequence[Round]:
        """Taking over, and sweeping."""
        retention = Retention({**self._stored.sweeps(), "deliveries": self._sweep_deliveries}, self._rulebook)
        return (take_over_round(self._take_over), retention_round(retention))

    def _take_over(self) -> None:
        if self._look is not None:
            self._look()

    def _sweep_deliveries(self, before: datetime) -> Iterator[int]:
        assert self._engine is not None
        while removed := self._engine.leftovers.sweep(before, BATCH_ROWS):
            yield removed
