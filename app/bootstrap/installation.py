"""The stores of one installation, opened when they are first asked for and closed together."""

import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from app.config.settings import Settings
from app.ports import Wakeup
from app.store.inbox import ClosableInbox, inbox_for
from app.store.plain import PlainStore, check_made, plain_bridge, plain_inbox

if TYPE_CHECKING:
    from app.store.command_status import StoredCommandStatus
    from app.store.database import Database

T = TypeVar("T")


class made_once(Generic[T]):
    """Like ``cached_property``, for an ``Installation`` that many threads share: two databases would be two write
    mutexes. One lock for everything: of two that need one another none waits for ever, and what is imported on the way
    is imported by one thread while the others wait."""

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make, self._name, self.__doc__ = make, make.__name__, make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: "Installation", owner: type) -> T: ...
    def __get__(self, instance: "Installation | None", owner: type) -> Self | T:
        if instance is None:
            return self
        with instance.making:
            if self._name not in instance.__dict__:
                instance.__dict__[self._name] = self._make(instance)
            made: T = instance.__dict__[self._name]
            return made


class Installation:
    """As its settings describe it. On leaving, what was opened is closed."""

    def __init__(self, settings: Settings) -> None:
        """Opens nothing."""
        self.settings = settings
        self._opened, self.making = ExitStack(), threading.RLock()

    @classmethod
    def existing(cls, settings: Settings) -> Self:
        """Raises ``StoreUnavailable`` where no bridge was ever started: looking must not make a store."""
        check_made(settings.data_dir, settings.database_url)
        return cls(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @made_once
    def plain_bridge(self) -> PlainStore:
        """The bridge's own store, for what is asked all the time: by the driver itself."""
        return self._open_plain(plain_bridge)

    @made_once
    def plain_inbox(self) -> PlainStore:
        """The inbox: a file of its own on SQLite; on PostgreSQL the same database, and the same connections."""
        return self.plain_bridge if self.settings.database_url else self._open_plain(plain_inbox)

    def _open_plain(self, opens: Callable[[Path, str | None], PlainStore]) -> PlainStore:
        return self._opened.enter_context(closing(opens(self.settings.data_dir, self.settings.database_url)))

    @made_once
    def database(self) -> "Database":
        """The bridge's own store, for everything else: here SQLAlchemy is loaded."""
        from app.store.database import Database, open_bridge

        return Database(self._open(open_bridge))

    @made_once
    def inbox_engine(self) -> Any:
        """Over the inbox: a file of its own on SQLite; on PostgreSQL the same database, and one pool for both: who asks
        both at once holds two of its connections."""
        from app.store.database import open_inbox

        return self.database.engine if self.settings.database_url else self._open(open_inbox)

    def _open(self, opens: Callable[[Path, str | None], Any]) -> Any:
        engine = opens(self.settings.data_dir, self.settings.database_url)
        self._opened.callback(engine.dispose)
        return engine

    @made_once
    def inbox(self) -> ClosableInbox:
        return self._opened.enter_context(closing(inbox_for(self.settings)))

    @made_once
    def command_status(self) -> "StoredCommandStatus":
        from app.store.command_status import StoredCommandStatus

        return StoredCommandStatus(self.database, self.inbox_engine)

    @made_once
    def wakeup(self) -> Wakeup:
        """What wakes the intake."""
        from app.store.wakeup import open_wakeup

        return open_wakeup(self.settings.data_dir, self.settings.database_url)
