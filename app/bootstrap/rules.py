"""Rules, wired: the draft beside the rulebook, the watch over silences, and what the commands about rules read."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from app import configfile
from app.bootstrap.common import fingerprint
from app.domain.alert import Alert
from app.domain.cover import Misspelt, misspelt
from app.domain.payload import Fault, read_object
from app.domain.rulebook import Rulebook, completed
from app.domain.silences import expiring, told_of_expiry
from app.domain.words import AlertWord, Ignored, Unreadable
from app.ports import Round, RulebookSource, StoreUnavailable
from app.services.shadow import Shadow
from app.settings import Settings
from app.store.database import Database, check_made, open_bridge
from app.truthvouch import inbound, wire

if TYPE_CHECKING:
    from app.services.backtest import Backtests
    from app.services.explain import StoredAlerts
    from app.services.hear import Hear
    from app.services.silences import WatchSilences


NO_ID = "without an id"
"""What an alert is called that has none."""


def shadow_of(settings: Settings, rulebook: RulebookSource, count: Callable[[str], None] | None = None) -> Shadow:
    """The draft that ``shadow:`` names, hot-reloaded. Its path begins where ``bridge.yaml`` is."""

    def path(name: str) -> Path:
        return settings.config_path.parent / name

    def load(name: str) -> Rulebook:
        return draft_of(settings, path(name), rulebook.current())

    return Shadow(rulebook, load, lambda name: fingerprint(path(name)), count or (lambda _kind: None))


def draft_of(settings: Settings, path: Path, live: Rulebook) -> Rulebook:
    """The draft in a file, as it would be in force in the place of ``live``. Raises ``ConfigFault``."""
    return settings.over(completed(configfile.load(path), live))


@dataclass(frozen=True)
class Fixed:
    """A rulebook that stays as it is, for a single look."""

    rulebook: Rulebook

    def current(self) -> Rulebook:
        """The rulebook."""
        return self.rulebook


def notes(rulebook: Rulebook, shadow: Shadow, now: datetime) -> tuple[str, ...]:
    """What deserves a look about rules: a draft that is not asked, a silence that ends soon."""
    refused = (f"the draft {rulebook.shadow} (shadow:) is not asked: {shadow.fault}",) if shadow.fault else ()
    return (*refused, *(told_of_expiry(silence, now) for silence in expiring(rulebook.silences, now)))


class Spelling:
    """The misspelt words of the rulebook in force, for ``readyz``: looked for when it changes, and then seldom, for a
    field that no alert had before may come. Safe to call from many threads."""

    EVERY = timedelta(minutes=10)

    def __init__(self, rulebook: RulebookSource, database: Database) -> None:
        self._rulebook, self._database = rulebook, database
        self._looked: tuple[str, datetime, tuple[str, ...]] = ("", datetime.min.replace(tzinfo=UTC), ())

    def notes(self, now: datetime) -> tuple[str, ...]:
        """A sentence for each."""
        rulebook = self._rulebook.current()
        version, at, found = self._looked
        if version != rulebook.version or now - at >= self.EVERY:
            found = tuple(map(str, self._misspelt(rulebook)))
            self._looked = (rulebook.version, now, found)
        return found

    def _misspelt(self, rulebook: Rulebook) -> tuple[Misspelt, ...]:
        found = misspelt(rulebook)
        if not any(slip.is_field for slip in found):  # nearly always, and then no alert is read
            return found
        from app.services.backtest import Backtests
        from app.store.backtest import StoredPast

        stored = Backtests(self._database, StoredPast())
        try:
            return misspelt(rulebook, stored.field_names(newest_only=True) or frozenset())
        except StoreUnavailable:
            return found


class SilenceWatch:
    """Holds what the round needs until there is an engine."""

    def __init__(self, rulebook: RulebookSource, database: Database) -> None:
        self._rulebook, self._database = rulebook, database
        self._watch: WatchSilences | None = None

    def launched(self, hear: "Hear") -> None:
        """Words can be heard from now on."""
        from app.services.silences import WatchSilences
        from app.store.marks import StoredMarks
        from app.store.silenced import StoredSilenced

        self._watch = WatchSilences(self._database, StoredMarks(), StoredSilenced(), hear, self._rulebook)

    @property
    def round(self) -> Round:
        """The leader's look at silences."""
        from app.services.silences import silences_round

        return silences_round(lambda: self._watch() if self._watch is not None else 0)


@dataclass(frozen=True)
class RulesDesk:
    """What the commands about rules read. They change nothing in the store."""

    backtests: "Backtests"
    stored: "StoredAlerts"


@contextmanager
def rules_desk(settings: Settings) -> Iterator[RulesDesk]:
    """The stored alerts of this installation. Raises ``StoreUnavailable``, also where no bridge was ever started."""
    check_made(settings.data_dir, settings.database_url)
    from app.services.backtest import Backtests
    from app.services.explain import StoredAlerts
    from app.store.backtest import StoredPast
    from app.store.records import StoredRecords

    bridge = open_bridge(settings.data_dir, settings.database_url)
    database = Database(bridge)
    try:
        yield RulesDesk(Backtests(database, StoredPast()), StoredAlerts(database, StoredRecords()))
    finally:
        bridge.dispose()


def alert_in(body: bytes) -> Alert | str:
    """The alert in a file: a webhook's body in either envelope, or an alert alone. Else in a word why there is none."""
    told = read_object(body)
    if isinstance(told, Fault):
        return told.reason
    if not _is_event(told):  # an alert alone is what an event carries as its data
        named = told if wire.alert_id({"data": told}) else {"alertId": NO_ID, **told}
        body = json.dumps({"type": "alert.created", "data": named}).encode()
    for reading in inbound.read(body, None):
        if isinstance(reading, AlertWord):
            return reading.alert
        return reading.reason if isinstance(reading, Unreadable | Ignored) else "not_an_alert"
    return "not_an_alert"


def _is_event(told: Mapping[str, object]) -> bool:
    """An alert's own ``type`` says what was found (``hallucination``); an event's says what happened."""
    return (
        "event_type" in told
        or "eventType" in told
        or isinstance(told.get("data"), dict)
        or "." in str(told.get("type"))
    )
