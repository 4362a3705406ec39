"""PagerDuty's test events in the inbox: the evidence that its deliveries arrive."""

from typing import Any

import sqlalchemy as sa

from app.domain.names import Source
from app.ports import StoreUnavailable
from app.store.schema import inbox

KIND = b'"pagey.ping"'


class StoredPings:
    """Reads the inbox of either store."""

    def __init__(self, inbox_engine: sa.Engine) -> None:
        self._inbox = inbox_engine

    def newest(self) -> int:
        """The number of the newest delivery of any kind; 0 where there is none. Raises ``StoreUnavailable``."""
        ((newest,),) = self._ask(sa.select(sa.func.max(inbox.c.id)))
        return newest or 0

    def came_after(self, number: int) -> bool:
        """Whether a test event is among the deliveries behind that one. Raises ``StoreUnavailable``."""
        later = sa.select(inbox.c.body).where(inbox.c.id > number, inbox.c.source == Source.PAGERDUTY)
        return any(KIND in body for (body,) in self._ask(later))

    def _ask(self, query: sa.Select[Any]) -> list[Any]:
        try:
            with self._inbox.connect() as reader:
                return list(reader.execute(query).all())
        except sa.exc.DBAPIError as fault:
            raise StoreUnavailable(str(fault.orig)) from fault
