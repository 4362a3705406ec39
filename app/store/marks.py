"""Small named facts about the running bridge: the intake's cursor, heartbeats, holds."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from app.ports import Tx
from app.store.database import connection
from app.store.schema import marks


class StoredMarks:
    """One text by name."""

    def read(self, tx: Tx, name: str) -> str | None:
        """The text, or None."""
        return connection(tx).execute(sa.select(marks.c.value).where(marks.c.name == name)).scalar_one_or_none()

    def all(self, tx: Tx) -> dict[str, str]:
        """Every text, by name."""
        return dict(connection(tx).execute(sa.select(marks.c.name, marks.c.value)).all())

    def put(self, tx: Tx, name: str, value: str) -> None:
        """Write it over whatever was there."""
        make = sqlite_insert if connection(tx).dialect.name == "sqlite" else postgres_insert
        row = make(marks).values(name=name, value=value)
        connection(tx).execute(row.on_conflict_do_update(index_elements=["name"], set_={"value": row.excluded.value}))

    def clear(self, tx: Tx, name: str) -> None:
        """Forget it."""
        connection(tx).execute(sa.delete(marks).where(marks.c.name == name))
