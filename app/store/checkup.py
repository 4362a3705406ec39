"""What only somebody who examines the stores asks: are they there, are they writable, are they of this version."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from app.domain.names import Side
from app.domain.proof import RefusedDeliveries
from app.ports import Letter, StoreUnavailable
from app.store.database import Database, open_bridge, open_inbox
from app.store.letters import newest_page
from app.store.marks import StoredMarks
from app.store.migrate import MIGRATIONS
from app.store.pings import StoredPings
from app.store.secrets_seen import StoredSecretsSeen, refusals
from app.store.vitals import StoredVitals

EXAMINED = "doctor.seen"


class Checkup:
    """Both stores of one installation. Opens nothing before it is asked; everything may raise ``StoreUnavailable``."""

    def __init__(self, data_dir: Path, database_url: str | None) -> None:
        self._bridge, self._inbox = open_bridge(data_dir, database_url), open_inbox(data_dir, database_url)
        self._files = () if database_url else (data_dir / "bridge.db", data_dir / "inbox.db")
        self.database = Database(self._bridge)
        self.vitals = StoredVitals(self.database, self._inbox)
        self.secrets_seen = StoredSecretsSeen(self._inbox)
        self._pings = StoredPings(self._inbox)

    def close(self) -> None:
        """Give every connection back."""
        self._bridge.dispose()
        self._inbox.dispose()

    def check_there(self) -> None:
        """Raise unless somebody has made the stores: looking must not make them."""
        for file in self._files:
            if not file.exists():
                raise StoreUnavailable(f"there is no {file.name} in {file.parent.absolute()}")

    def exposed(self) -> tuple[Path, ...]:
        """The files of the store that other users of this machine can read."""
        return tuple(file.absolute() for file in self._files if _is_readable_by_others(file))

    def write(self, at: datetime) -> None:
        """Prove that the bridge's own store takes a write."""
        self.check_there()
        with self.database.begin() as tx:
            StoredMarks().put(tx, EXAMINED, at.isoformat())

    def newest(self) -> int:
        """The number of the newest delivery; 0 where there is none."""
        self.check_there()
        return self._pings.newest()

    def came_after(self, number: int) -> bool:
        """Whether PagerDuty's test event arrived after that delivery."""
        return self._pings.came_after(number)

    def mark(self, name: str) -> str | None:
        """A small named fact, None where there is none."""
        self.check_there()
        with self.database.read() as tx:
            return StoredMarks().read(tx, name)

    def refused(self) -> RefusedDeliveries | None:
        """PagerDuty's newest deliveries whose signature proved nothing."""
        self.check_there()
        with self.database.read() as tx:
            found = refusals(StoredMarks().all(tx), Side.PAGERDUTY)
        return max(found, key=lambda refused: refused.at, default=None)

    def refused_page(self) -> Letter | None:
        """The newest open dead letter that may be a page which nobody got."""
        self.check_there()
        with self.database.read() as tx:
            return newest_page(tx)

    def versions(self) -> Mapping[str, tuple[str, str]]:
        """By store: the version it has, and the one this program was made for."""
        self.check_there()
        engines = {"bridge": self._bridge, "inbox": self._inbox}
        try:
            return {name: (_found(engine, name), _head(name)) for name, engine in engines.items()}
        except sa.exc.DBAPIError as fault:
            raise StoreUnavailable(str(fault.orig)) from fault


def _is_readable_by_others(file: Path) -> bool:
    """Whether the group or everybody may read the file and pass through its folder."""
    try:
        through, readable = file.parent.stat().st_mode, file.stat().st_mode
    except OSError:
        return False
    return bool((readable >> 2) & through & 0o011)


def _head(branch: str) -> str:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS / branch).replace("%", "%%"))
    return ScriptDirectory.from_config(config).get_current_head() or ""


def _found(engine: sa.Engine, branch: str) -> str:
    table = sa.table(f"{branch}_version", sa.column("version_num"))
    with engine.connect() as reader:
        if not sa.inspect(reader).has_table(table.name):
            return ""
        return reader.execute(sa.select(table.c.version_num)).scalar_one_or_none() or ""
