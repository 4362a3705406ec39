"""What only somebody who examines the stores asks: are they there, are they writable, are they of this version."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from app.domain.model.types import Side, Source
from app.ports import DeadLetter
from app.remote.payload import RefusedDeliveries
from app.store.database import KEY_VALUES, Database, known, open_bridge, open_inbox, readable, stored, unavailable
from app.store.health import StoredHealth, refusals
from app.store.links import newest_page
from app.store.plain import missing, plain_bridge, plain_inbox
from app.store.schema import inbox
from app.store.secrets_seen import StoredSecretsSeen, add_pending, pending

PING = b'"pagey.ping"'
EXAMINED = "doctor.seen"


class StoreCheck:
    """Both stores of one installation. Opens nothing before it is asked; everything may raise ``StoreUnavailable``."""

    def __init__(self, data_dir: Path, database_url: str | None) -> None:
        self._bridge, self._inbox = open_bridge(data_dir, database_url), open_inbox(data_dir, database_url)
        self._files = () if database_url else (data_dir / "bridge.db", data_dir / "inbox.db")
        self.database = Database(self._bridge)
        self._plain = plain_bridge(data_dir, database_url), plain_inbox(data_dir, database_url)
        self.health_source = StoredHealth(*self._plain)
        self.secrets_seen = StoredSecretsSeen(self._inbox)

    def close(self) -> None:
        """Give every connection back."""
        self._bridge.dispose()
        self._inbox.dispose()
        for one in self._plain:
            one.close()

    def check_there(self) -> None:
        """Raise unless somebody has made the stores: looking must not make them."""
        for file in self._files:
            if not file.exists():
                raise missing(file)

    def exposed(self) -> tuple[Path, ...]:
        """The files of the store that other users of this machine can read."""
        return tuple(file.absolute() for file in self._files if _is_readable_by_others(file))

    def write(self, at: datetime) -> None:
        """Prove that the bridge's own store takes a write."""
        self.check_there()
        with self.database.begin() as tx:
            KEY_VALUES.put(tx, EXAMINED, at.isoformat())

    def newest(self) -> int:
        """The number of the newest delivery; 0 where there is none."""
        self.check_there()
        with readable(self._inbox) as reader:
            return reader.execute(sa.select(sa.func.max(inbox.c.id))).scalar_one() or 0

    def came_after(self, number: int) -> bool:
        """Whether PagerDuty's test event arrived after that delivery."""
        later = sa.select(inbox.c.body).where(inbox.c.id > number, inbox.c.source == Source.PAGERDUTY)
        with readable(self._inbox) as reader:
            return any(PING in body for body in reader.execute(later).scalars())

    def value(self, name: str) -> str | None:
        """A small named fact, None where there is none."""
        self.check_there()
        with self.database.read() as tx:
            return KEY_VALUES.read(tx, name)

    def add_pending_secret(self, subscription_id: str, secret: str) -> None:
        """Remember a new secret, by its digest, until a bridge starts with it."""
        self.check_there()
        with self.database.begin() as tx:
            add_pending(tx, subscription_id, secret)

    def pending_secrets(self) -> tuple[str, ...]:
        """The subscriptions with whose secret no bridge has been started."""
        self.check_there()
        with self.database.read() as tx:
            return tuple(pending(tx))

    def refused(self) -> RefusedDeliveries | None:
        """PagerDuty's newest deliveries whose signature proved nothing."""
        self.check_there()
        with self.database.read() as tx:
            found = refusals(KEY_VALUES.all(tx), Side.PAGERDUTY)
        return max(found, key=lambda refused: refused.at, default=None)

    def refused_page(self) -> DeadLetter | None:
        """The newest open dead letter that may be a page which nobody got."""
        self.check_there()
        with self.database.read() as tx:
            return newest_page(tx)

    def versions(self) -> Mapping[str, tuple[str, str]]:
        """By store: the version it has, and the one this program was made for."""
        self.check_there()
        engines = {"bridge": self._bridge, "inbox": self._inbox}
        try:
            return {name: (stored(engine, name), known(name)[-1]) for name, engine in engines.items()}
        except sa.exc.DBAPIError as fault:
            raise unavailable(fault) from fault


def _is_readable_by_others(file: Path) -> bool:
    """Whether the group or everybody may read the file and pass through its folder."""
    try:
        through, readable = file.parent.stat().st_mode, file.stat().st_mode
    except OSError:
        return False
    return bool((readable >> 2) & through & 0o011)
