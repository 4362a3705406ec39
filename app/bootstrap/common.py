"""What every process of the bridge is made of."""

from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path

from app import configfile
from app.domain.names import Source
from app.domain.rulebook import Rulebook
from app.errors import ConfigFault
from app.pagerduty import inbound as pagerduty_inbound
from app.ports import Bell, Read
from app.services.rulebook import LiveRulebook
from app.settings import Settings
from app.store import own_mail
from app.store.database import open_bridge, open_inbox
from app.truthvouch import inbound as truthvouch_inbound

READERS: Mapping[Source, Read] = {
    Source.TRUTHVOUCH: truthvouch_inbound.read,
    Source.PAGERDUTY: pagerduty_inbound.read,
    Source.BRIDGE: own_mail.read,
}


def live_rulebook(settings: Settings) -> LiveRulebook:
    """``bridge.yaml``, hot-reloaded. Raises ``ConfigFault`` when the file is broken at the start."""

    def load() -> Rulebook:
        return settings.over(configfile.load(settings.config_path))

    return LiveRulebook(load, partial(fingerprint, settings.config_path), ConfigFault)


def fingerprint(path: Path) -> Hashable:
    """Changes when the file does; None while it is not there or empty."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status.st_size else None


def migrate_stores(settings: Settings) -> None:
    """Bring both stores to this version's shape. Safe when several processes start at once."""
    from app.store.migrate import migrate

    bridge = open_bridge(settings.data_dir, settings.database_url)
    inbox = open_inbox(settings.data_dir, settings.database_url)
    try:
        migrate(bridge, inbox, settings.data_dir)
    finally:
        bridge.dispose()
        inbox.dispose()


def bell(settings: Settings) -> Bell:
    """What wakes the intake."""
    from app.store import bell as bells

    if settings.database_url:
        return bells.PostgresBell(settings.database_url)
    return bells.SocketBell(settings.data_dir)
