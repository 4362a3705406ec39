"""How the bridge is, for ``readyz`` and ``metrics``, and what webhook secrets did not prove: read and written by the
driver itself (``store/plain.py``), since every web process asks for it and most of them never show a page.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.model.subscription import from_text
from app.domain.model.types import Side, instant, instant_of
from app.domain.sync.circuit_breaker import open_breakers, paused_targets
from app.ports import PAGES, HealthSnapshot, WorkerRules
from app.remote.payload import RefusedDeliveries
from app.store.inbox_sqlite import CURSOR
from app.store.plain import VALUE, PlainStore

REFUSED = "refused."
"""How the keys begin that hold the newest refused deliveries; the side and the reason follow."""
WORKER_SEEN = "worker.seen"
RECONCILED, SWEPT = "reconcile.done_at", "retention.done_at"
"""Keys: when the worker's reconciliation, and retention, last did all of their work."""
SUBSCRIPTION = "subscription.health"


def refusals(facts: Mapping[str, str], side: Side) -> tuple[RefusedDeliveries, ...]:
    """What is known of the refused deliveries of one side, among all key values: one for each reason."""
    found = [RefusedDeliveries.from_text(text) for name, text in facts.items() if name.startswith(f"{REFUSED}{side}")]
    return tuple(refused for refused in found if refused)


_PUT = "INSERT INTO marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


@dataclass(eq=False)
class StoredRefusals:
    """Writes down the deliveries whose signature proved nothing. Never their bodies: anybody can send those."""

    bridge: PlainStore

    def add(self, side: Side, refused: RefusedDeliveries) -> None:
        """Add to what is known of that side and reason. Raises ``StoreUnavailable``."""
        name = f"{REFUSED}{side}.{refused.reason}"
        with self.bridge.writing() as ask:
            found = ask(VALUE if self.bridge.is_sqlite else f"{VALUE} FOR UPDATE", (name,))
            known = RefusedDeliveries.from_text(found[0][0]) if found else None
            ask(_PUT, (name, (known.followed_by(refused) if known else refused).as_text()))


_FACTS = "SELECT name, value FROM marks"
_AFTER_CURSOR = "SELECT count(*), min(received_at) FROM inbox WHERE id > ?"
_UNTAKEN = "SELECT count(*), min(received_at) FROM inbox WHERE taken_at IS NULL"
_PENDING = tuple(
    f"SELECT count(*), min({since}) FROM links WHERE {since} IS NOT NULL"  # noqa: S608 - names of ours
    for since in ("truthvouch_since", "pagerduty_since")
)
_OLDEST_PAGE = (
    "SELECT min(pagerduty_since) FROM links WHERE pagerduty_since IS NOT NULL AND paged AND incident_status IS NULL"
)
_DEAD_LETTERS = (
    "SELECT count(*), sum(CASE WHEN kind = 'escalation' OR (kind = 'event' AND side = ?)"  # noqa: S608 - only marks
    f" OR (kind = 'effect' AND side = ? AND effect IN ({', '.join('?' * len(PAGES))})) THEN 1 ELSE 0 END)"
    " FROM letters WHERE closed_at IS NULL"
)
"""The second number is of those that ``ports.DeadLetter.is_page`` is true of."""
_FROZEN = "SELECT count(*) FROM links WHERE frozen_at IS NOT NULL"
_LAST_SEEN = "SELECT received_at, secret_index FROM inbox WHERE source = ? ORDER BY id DESC LIMIT 1"
_WORKERS = "SELECT rules, since, seen_at FROM worker_configurations"


@dataclass(eq=False)
class StoredHealth:
    """Implements ``ports.HealthSource`` from the bridge's tables and its inbox (the same database twice on
    PostgreSQL)."""

    bridge: PlainStore
    inbox: PlainStore

    def read(self) -> HealthSnapshot:
        facts = dict(self.bridge.rows(_FACTS))
        if self.inbox.is_sqlite:
            rows, arrived = self.inbox.row(_AFTER_CURSOR, (int(facts.get(CURSOR, 0)),))
        else:
            rows, arrived = self.inbox.row(_UNTAKEN)
        pending = [self.bridge.row(statement) for statement in _PENDING]
        (oldest_page,) = self.bridge.row(_OLDEST_PAGE)
        dead, dead_pages = self.bridge.row(_DEAD_LETTERS, (Side.TRUTHVOUCH.value, Side.PAGERDUTY.value, *PAGES))
        (frozen,) = self.bridge.row(_FROZEN)
        now = datetime.now(UTC)
        truthvouch, pagerduty = (self._last_seen(side) for side in (Side.TRUTHVOUCH, Side.PAGERDUTY))
        return HealthSnapshot(
            worker_seen_at=instant(facts.get(WORKER_SEEN)),
            waiting=rows + sum(count for count, _ in pending),
            oldest_waiting_at=_oldest(arrived, *(since for _, since in pending)),
            oldest_page_at=_oldest(arrived, oldest_page),
            dead=dead,
            dead_pages=dead_pages or 0,
            truthvouch_seen_at=truthvouch[0],
            pagerduty_seen_at=pagerduty[0],
            paused_targets=paused_targets(facts, now),
            frozen=frozen,
            subscription=from_text(facts.get(SUBSCRIPTION)),
            refused={side: found for side in Side if (found := refusals(facts, side))},
            untaken=rows,
            oldest_untaken_at=instant_of(arrived),
            open_breakers=open_breakers(facts, now),
            reconciled_at=instant(facts.get(RECONCILED)),
            swept_at=instant(facts.get(SWEPT)),
            truthvouch_secret=truthvouch[1],
            pagerduty_secret=pagerduty[1],
            workers=tuple(self._workers()),
        )

    def _last_seen(self, side: Side) -> tuple[datetime | None, int]:
        """When that side last proved a delivery, and with which secret."""
        for received_at, secret_index in self.inbox.rows(_LAST_SEEN, (side.value,)):
            return instant_of(received_at), secret_index
        return None, 0

    def _workers(self) -> Iterator[WorkerRules]:
        for rules, since, seen_at in self.bridge.rows(_WORKERS):
            yield WorkerRules(rules, instant_of(since), instant_of(seen_at))


def _oldest(*instants: int | None) -> datetime | None:
    return instant_of(min((at for at in instants if at is not None), default=None))
