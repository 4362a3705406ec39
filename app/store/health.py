"""How the bridge is, for ``readyz`` and ``metrics``, and what webhook secrets proved and did not prove."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from app.domain.model.subscription import from_text
from app.domain.model.types import Side, instant
from app.domain.sync.circuit_breaker import open_breakers, paused_targets
from app.ports import HealthSnapshot, Tx, WorkerRules
from app.ports.console import RunsWith, Setting, WorkerConfiguration
from app.remote.payload import RefusedDeliveries
from app.store.database import KEY_VALUES, Database, connection, readable, upsert
from app.store.inbox_reader import CURSOR
from app.store.links import IS_PAGE
from app.store.schema import OLD_SECRET, OPEN_DEAD_LETTER, inbox, key_values, links, worker_configurations

# When an old one last proved a delivery is the evidence that it can be removed. Deliveries proved by the newest secret,
# nearly all, are not in the index that is read here: neither the read nor the index costs anything while no secret is
# being changed.

REFUSED = "refused."
"""How the keys begin that hold the newest refused deliveries; the side and the reason follow."""

PENDING = "secret_pending."
"""How the keys begin that hold the digest of a new secret which no bridge has been started with; the
subscription's id follows."""


@dataclass(eq=False)
class StoredSecretsSeen:
    """Reads the inbox of either store."""

    inbox_engine: sa.Engine

    def old_ones(self, since: datetime) -> Mapping[str, datetime]:
        """By source: when a secret that was not the newest at that time last proved a delivery, from ``since`` on.

        Raises ``StoreUnavailable``.
        """
        newest = sa.select(sa.func.max(inbox.c.received_at)).where(OLD_SECRET, inbox.c.received_at >= since)
        with readable(self.inbox_engine) as reader:
            # Each by itself: of all at once every delivery of that time would be looked at.
            seen: dict[Side, datetime | None] = {
                side: reader.execute(newest.where(inbox.c.source == side)).scalar_one() for side in Side
            }
        return {side: at for side, at in seen.items() if at is not None}


def refusals(facts: Mapping[str, str], side: Side) -> tuple[RefusedDeliveries, ...]:
    """What is known of the refused deliveries of one side, among all key values: one for each reason."""
    found = [RefusedDeliveries.from_text(text) for name, text in facts.items() if name.startswith(f"{REFUSED}{side}")]
    return tuple(refused for refused in found if refused)


@dataclass(eq=False)
class StoredRefusals:
    """Writes down the deliveries whose signature proved nothing. Never their bodies: anybody can send those."""

    database: Database

    def add(self, side: Side, refused: RefusedDeliveries) -> None:
        """Add to what is known of that side and reason. Raises ``StoreUnavailable``."""
        name = f"{REFUSED}{side}.{refused.reason}"
        with self.database.begin() as tx:
            row = sa.select(key_values.c.value).where(key_values.c.name == name).with_for_update()
            known = RefusedDeliveries.from_text(connection(tx).execute(row).scalar_one_or_none())
            KEY_VALUES.put(tx, name, (known.followed_by(refused) if known else refused).as_text())


def add_pending(tx: Tx, subscription_id: str, secret: str) -> None:
    """Remember a new secret, by its digest, until a bridge starts with it."""
    KEY_VALUES.put(tx, f"{PENDING}{subscription_id}", _digest(secret))


def pending(tx: Tx) -> Mapping[str, str]:
    """The digests of the secrets that no bridge has been started with, by the id of their subscription."""
    facts = KEY_VALUES.all(tx)
    return {name.removeprefix(PENDING): digest for name, digest in facts.items() if name.startswith(PENDING)}


def confirm(database: Database, secrets: Sequence[str]) -> None:
    """A bridge starts with these secrets: they are pending no more. Raises ``StoreUnavailable``."""
    digests = set(map(_digest, secrets))
    with database.read() as tx:
        known = [name for name, digest in pending(tx).items() if digest in digests]
    if known:
        with database.begin() as tx:
            for name in known:
                KEY_VALUES.clear(tx, f"{PENDING}{name}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


WORKER_SEEN = "worker.seen"
RECONCILED, SWEPT = "reconcile.done_at", "retention.done_at"
"""Keys: when the worker's reconciliation, and retention, last did all of their work."""
SUBSCRIPTION = "subscription.health"
_workers = worker_configurations.c


@dataclass(eq=False)
class StoredHealth:
    """Implements ``ports.HealthSource`` from the bridge's tables and its inbox (the same engine twice on
    PostgreSQL)."""

    bridge: Database
    inbox_engine: sa.Engine

    def read(self) -> HealthSnapshot:
        with readable(self.bridge.engine) as bridge, readable(self.inbox_engine) as reader:
            return self._snapshot(Tx(bridge), reader)

    def _snapshot(self, tx: Tx, reader: sa.Connection) -> HealthSnapshot:
        facts = KEY_VALUES.all(tx)
        by_cursor = reader.dialect.name == "sqlite"
        untaken = inbox.c.id > int(facts.get(CURSOR, 0)) if by_cursor else inbox.c.taken_at.is_(None)
        arrivals = sa.select(sa.func.count(), sa.func.min(inbox.c.received_at)).where(untaken)
        rows, arrived = reader.execute(arrivals).one()
        pending, oldest = _pending(tx)
        page = sa.select(sa.func.min(links.c.pagerduty_since)).where(
            links.c.pagerduty_since.is_not(None), links.c.paged, links.c.incident_status.is_(None)
        )
        oldest_page = connection(tx).execute(page).scalar_one()
        counts = sa.select(sa.func.count(), sa.func.sum(sa.case((IS_PAGE, 1), else_=0)))
        dead, dead_pages = connection(tx).execute(counts.where(OPEN_DEAD_LETTER)).one()
        frozen = connection(tx).execute(sa.select(sa.func.count()).where(links.c.frozen_at.is_not(None))).scalar_one()
        now = datetime.now(UTC)
        (truthvouch_at, truthvouch_secret), (pagerduty_at, pagerduty_secret) = (
            _last_seen(reader, side) for side in (Side.TRUTHVOUCH, Side.PAGERDUTY)
        )
        return HealthSnapshot(
            worker_seen_at=instant(facts.get(WORKER_SEEN)),
            waiting=rows + pending,
            oldest_waiting_at=min(filter(None, (arrived, oldest)), default=None),
            oldest_page_at=min(filter(None, (arrived, oldest_page)), default=None),
            dead=dead,
            dead_pages=dead_pages or 0,
            truthvouch_seen_at=truthvouch_at,
            pagerduty_seen_at=pagerduty_at,
            paused_targets=paused_targets(facts, now),
            frozen=frozen,
            subscription=from_text(facts.get(SUBSCRIPTION)),
            refused={side: found for side in Side if (found := refusals(facts, side))},
            untaken=rows,
            oldest_untaken_at=arrived,
            open_breakers=open_breakers(facts, now),
            reconciled_at=instant(facts.get(RECONCILED)),
            swept_at=instant(facts.get(SWEPT)),
            truthvouch_secret=truthvouch_secret,
            pagerduty_secret=pagerduty_secret,
            workers=_workers_of(tx),
        )


def _workers_of(tx: Tx) -> tuple[WorkerRules, ...]:
    rows = connection(tx).execute(sa.select(_workers.rules, _workers.since, _workers.seen_at))
    return tuple(WorkerRules(*row) for row in rows)


class StoredConfigurations:
    """Implements ``ports.console.WorkerConfigurations``. There are as many rows as workers, at most one for a lease."""

    def publish(self, tx: Tx, one: WorkerConfiguration, dead_before: datetime) -> None:
        connection(tx).execute(sa.delete(worker_configurations).where(_workers.seen_at < dead_before))
        values = {"host": one.host, "rules": one.runs_with.rules, "since": one.since, "seen_at": one.seen_at}
        upsert(
            connection(tx), worker_configurations, {"worker": one.worker},
            values | {"content": json.dumps(asdict(one.runs_with))},
        )  # fmt: skip

    def remove(self, tx: Tx, worker: str) -> None:
        connection(tx).execute(sa.delete(worker_configurations).where(_workers.worker == worker))

    def all(self, tx: Tx, since: datetime) -> Sequence[WorkerConfiguration]:
        query = sa.select(worker_configurations).where(_workers.seen_at >= since).order_by(_workers.worker)
        return [
            WorkerConfiguration(row.worker, row.host, row.since, row.seen_at, _runs_with(json.loads(row.content)))
            for row in connection(tx).execute(query)
        ]


def _runs_with(content: Mapping[str, Any]) -> RunsWith:
    """As far as this version knows it: a newer worker may say more."""
    settings = tuple(Setting(one["name"], one["value"], one.get("meaning", "")) for one in content.get("settings", ()))
    return RunsWith(content.get("rules", ""), content.get("program", ""), settings, tuple(content.get("faults", ())))


def _pending(tx: Tx) -> tuple[int, datetime | None]:
    columns = (links.c.truthvouch_since, links.c.pagerduty_since)
    queries = (sa.select(sa.func.count(), sa.func.min(since)).where(since.is_not(None)) for since in columns)
    found = [connection(tx).execute(query).one() for query in queries]
    return sum(count for count, _ in found), min((at for _, at in found if at), default=None)


def _last_seen(reader: sa.Connection, side: Side) -> tuple[datetime | None, int]:
    """When that side last proved a delivery, and with which secret."""
    columns = (inbox.c.received_at, inbox.c.secret_index)
    newest = sa.select(*columns).where(inbox.c.source == side).order_by(inbox.c.id.desc()).limit(1)
    row = reader.execute(newest).one_or_none()
    return (row.received_at, row.secret_index) if row else (None, 0)
