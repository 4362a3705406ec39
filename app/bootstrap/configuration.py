"""What a process runs with, for people: its settings without any secret, its rules' version, and what is wrong."""

import platform
from collections.abc import Sequence

from app import metrics
from app.bootstrap.container import Container
from app.config.settings import Settings
from app.domain.rules.rulebook import Rulebook
from app.ports.console import RunsWith, Setting
from app.services.diagnostics.configuration import PublishConfiguration


def publisher(executor_id: str) -> PublishConfiguration:
    """What publishes the configuration of the worker that runs as this executor."""
    from app.store.worker_configurations import StoredConfigurations

    return PublishConfiguration(StoredConfigurations(), executor_id, platform.node())


def runs_with(made: Container) -> RunsWith:
    """What this process runs with now. It asks no store: the version is that of ``bridge.yaml`` alone, for what the
    store adds is the same for all. A file that has changed is read: not for a caller who keeps others from writing."""
    rules, settings = made.rulebook, made.settings
    book = rules.in_file()
    refused = (f"bridge.yaml is broken, the last good one is in force: {rules.fault}",) if rules.fault else ()
    faults = (*settings.missing(book), *refused, *settings.degraded(book))
    return RunsWith(book.version, metrics.program_version(), shown_settings(settings, book), faults)


def shown_settings(settings: Settings, book: Rulebook) -> tuple[Setting, ...]:
    """What a process was started with. No secret is among it."""
    partners = settings.with_rulebook(book)
    truthvouch, pagerduty = partners.truthvouch, partners.pagerduty
    return (
        Setting("BRIDGE_ROLE", settings.role),
        Setting("BRIDGE_PUBLIC_URL", settings.public_url or "", "where the partners reach this bridge"),
        Setting("BRIDGE_CONFIG", str(settings.config_path)),
        Setting("DATABASE_URL", "PostgreSQL" if settings.database_url else f"SQLite in {settings.data_dir}"),
        Setting("BRIDGE_ADMIN_TOKEN", _is_set(settings.admin_token)),
        Setting("BRIDGE_SECRET_KEY", _number_set(settings.secret_keys), "else one is generated and kept in the store"),
        Setting("BRIDGE_SELF_INTEGRATION_KEY", _is_set(settings.self_integration_key), "pages about the bridge itself"),
        Setting("BRIDGE_HEARTBEAT_URL", _is_set(settings.heartbeat_url)),
        Setting("BRIDGE_RECONCILE_SECONDS", f"{settings.reconcile_seconds:g}", "0 turns reconciliation off"),
        Setting("BRIDGE_TRUSTED_PROXIES", ", ".join(settings.trusted_proxies)),
        Setting("WEB_CONCURRENCY", str(settings.web_concurrency), "web processes that take in webhooks"),
        Setting("TRUTHVOUCH_API_URL", truthvouch.api_url),
        Setting("TRUTHVOUCH_API_KEY", _is_set(truthvouch.api_key)),
        Setting("TRUTHVOUCH_WEBHOOK_SECRETS", _number_set(truthvouch.webhook_secrets)),
        Setting("PAGERDUTY_REGION", pagerduty.region),
        Setting("PAGERDUTY_API_URL", pagerduty.api_url),
        Setting("PAGERDUTY_EVENTS_URL", pagerduty.events_url),
        Setting("PAGERDUTY_API_KEY", _is_set(pagerduty.api_key)),
        Setting("PAGERDUTY_FROM_EMAIL", pagerduty.from_email or ""),
        Setting("PAGERDUTY_INTEGRATION_KEY", _is_set(pagerduty.integration_key)),
        Setting("PAGERDUTY_SERVICE_ID", pagerduty.service_id or ""),
        Setting("PAGERDUTY_WEBHOOK_SECRETS", _number_set(pagerduty.webhook_secrets)),
        Setting("PAGERDUTY_REST_PER_MINUTE", str(pagerduty.rest_per_minute), "calls; 0 = as PagerDuty answers"),
        Setting("PAGERDUTY_EVENTS_PER_MINUTE", str(pagerduty.events_per_minute), "events for each integration key"),
    )


def _is_set(secret: str | None) -> str:
    return "set" if secret else ""


def _number_set(secrets: Sequence[str]) -> str:
    return f"{len(secrets)} set" if secrets else ""
