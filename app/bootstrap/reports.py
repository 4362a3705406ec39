"""Statistics and reports, wired: for the commands and for the handler. Loads no charts and calls nobody by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.bootstrap.common import live_rulebook
from app.bootstrap.subscriptions import rest, service_ids
from app.domain.rulebook import Rulebook
from app.pagerduty.analytics import AnalyticsApi
from app.services.compare import Compare
from app.services.report import Reports
from app.settings import Settings
from app.store.database import Database, check_made, open_bridge
from app.store.history import StoredHistory
from app.transport import Transport


@contextmanager
def open_reports(settings: Settings) -> Iterator[Reports]:
    """Reports on this store.

    Raises ``StoreUnavailable``, also where no bridge was ever started, and ``ConfigFault`` (a broken ``bridge.yaml``).
    """
    check_made(settings.data_dir, settings.database_url)
    rulebook = live_rulebook(settings)
    default_service = settings.with_rulebook(rulebook.current()).pagerduty.service_id
    bridge = open_bridge(settings.data_dir, settings.database_url)
    try:
        yield Reports(Database(bridge), StoredHistory(), rulebook, default_service)
    finally:
        bridge.dispose()


def comparison(settings: Settings, rulebook: Rulebook) -> Compare:
    """What lays the numbers beside PagerDuty's own. Without an API key it says so."""
    ask = rest(settings.with_rulebook(rulebook), Transport()).ask if settings.pagerduty.api_key else None
    return Compare(AnalyticsApi(ask) if ask else None, service_ids(settings, rulebook))
