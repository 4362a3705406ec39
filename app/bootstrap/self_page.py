"""What pages about the bridge itself, and what proves to the outside that it works."""

import hashlib
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from app.bootstrap.container import Container
from app.config.settings import Settings
from app.domain.model.outcome import Done, Reply
from app.errors import ConfigFault
from app.pagerduty.events_api import EventsApi
from app.ports import Events
from app.remote.replies import Answer, judge, without_value
from app.remote.transport import Transport
from app.services.diagnostics.health import Health, Report
from app.services.diagnostics.heartbeat import Heartbeat
from app.services.diagnostics.self_fault import Memory
from app.services.diagnostics.self_page import SelfPage
from app.store.database import KEY_VALUES, Database
from app.store.health import StoredHealth
from app.store.plain import check_made

HEARTBEAT_TARGET = "heartbeat"
HEARTBEAT_SECONDS = 5.0
"""Longest for each part of a beat's call, and for all of it."""


class SelfWatch(Container):
    """One watcher, with a store and a way to PagerDuty of its own: neither waits for what it watches."""

    def __init__(
        self, settings: Settings, memory: str = "", remember: Callable[[str], None] = lambda _memory: None
    ) -> None:
        """``memory``: what the watcher before remembered; ``remember`` is called with what the next one should,
        before something is sent and after each look. Opens nothing yet."""
        super().__init__(settings)
        self._page: SelfPage | None = None
        self._remember = remember
        if settings.self_integration_key:
            self._page = SelfPage(
                self._health,
                self.self_events(settings.self_integration_key),
                self._transactions,
                KEY_VALUES,
                fallback_id(settings),
                settings.public_url,
                Memory.from_text(memory),
                lambda memory: remember(memory.as_text()),
            )

    def look(self) -> None:
        """Look once and send what is due; nothing where there is no key to send with."""
        if self._page is not None:
            self._remember(self._page().as_text())

    def self_events(self, key: str) -> Events:
        """PagerDuty's Events API with the bridge's own key: no budget of calls is kept for it, the store may be
        gone."""
        try:
            url = self.pagerduty.events_url
        except ConfigFault:  # a bridge.yaml that is broken just now must not keep a page
            url = self.settings.pagerduty.events_url
        return EventsApi(self.transport, url, key)

    def _health(self) -> Report:
        self._check_made()
        source = StoredHealth(self.plain_bridge, self.plain_inbox)
        return Health(self.inbox, source, lambda: (), lambda: ())()

    def _transactions(self) -> Database:
        self._check_made()
        return self.database

    def _check_made(self) -> None:
        """To look must not make a store."""
        check_made(self.settings.data_dir, self.settings.database_url)


def heartbeat(url: str, transport: Transport, probe: Callable[[], object]) -> Heartbeat:
    """Beats at this address whenever a call through ``transport`` was answered; ``probe`` makes one."""
    # A pool of its own: its answers prove nothing about the partners.
    way_out = Transport(HEARTBEAT_SECONDS, HEARTBEAT_SECONDS, HEARTBEAT_SECONDS, pool_size=1, hides_paths=True)

    def send() -> Reply[None]:
        answer = way_out.call("GET", url, target=HEARTBEAT_TARGET)
        if isinstance(answer, Answer) and 200 <= answer.status < 300:
            return Done(None)  # whatever its body is: such a service may well answer with a web page
        return without_value(judge(answer, hide=(url,)))

    return Heartbeat(lambda: transport.successes, probe, send)


def fallback_id(settings: Settings) -> str:
    """Tells installations apart without asking the store: the same for every machine that shares a database."""
    if settings.database_url:
        url = urlsplit(settings.database_url)
        place = f"{url.hostname}:{url.port or 5432}{url.path}"
    else:
        place = f"{settings.data_dir.absolute()}"
    shared = settings.public_url or ("" if settings.database_url else socket.gethostname())
    return hashlib.sha256(f"{place} {shared}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
