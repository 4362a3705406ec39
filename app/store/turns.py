"""Writers of one process take turns before SQLite makes them.

SQLite's own busy handler sleeps in growing steps and lets whoever wakes luckiest go first: with a dozen threads it
costs most of the throughput and seconds of the tail. A mutex hands the turn on at once.
"""

import threading
from typing import Any

import sqlalchemy as sa

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN")
HOLDS = "write_turn"
PATIENCE_SECONDS = 30.0


class TurnTimeout(sa.exc.TimeoutError):
    """Nobody let go of the write turn for half a minute."""


def take_turns(engine: sa.Engine) -> None:
    """Make the writers of this engine queue for a mutex from their first write until their connection is given back."""
    turn = threading.Lock()

    def before(connection: sa.Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if HOLDS not in connection.info and statement.lstrip()[:7].upper().startswith(WRITES):
            if not turn.acquire(timeout=PATIENCE_SECONDS):
                raise TurnTimeout("the store's write turn was not free for 30 seconds")
            connection.info[HOLDS] = True

    def given_back(_dbapi_connection: Any, record: Any) -> None:
        if record.info.pop(HOLDS, None):
            turn.release()

    sa.event.listen(engine, "before_cursor_execute", before)
    sa.event.listen(engine, "checkin", given_back)
    sa.event.listen(engine, "invalidate", lambda connection, record, _fault: given_back(connection, record))
