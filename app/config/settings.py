"""Environment, and the keys of ``bridge.yaml`` -> frozen ``Settings``: read once, stopped at the composition root.

The environment beats the file, and its faults come all together. A malformed value stops the start; a missing
credential does not (``Settings.missing`` names it for ``readyz``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.config.environment import Environment, exports_spans
from app.config.schema import Credentials, given_by_file, held_in
from app.domain.model.types import Via
from app.domain.rules.rulebook import Rulebook

REGIONS: Mapping[str, tuple[str, str]] = {
    "us": ("https://api.pagerduty.com", "https://events.pagerduty.com"),
    "eu": ("https://api.eu.pagerduty.com", "https://events.eu.pagerduty.com"),
}
"""REST and Events host of each service region. https://support.pagerduty.com/main/docs/service-regions"""

DEFAULT_REGION = "us"
TRUTHVOUCH_URL = "https://api.truthvouch.com/api/v1"
NO_EVIDENCE_LINKS = "BRIDGE_PUBLIC_URL is not set: incidents carry no evidence link (console.evidence_links)"
_MAX_PER_MINUTE = 1_000_000


@dataclass(frozen=True, slots=True)
class TruthVouchSettings:
    """How TruthVouch is reached, and how it proves itself."""

    api_url: str
    api_key: str | None = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PagerDutySettings:
    """How PagerDuty is reached, and how it proves itself."""

    region: str
    api_url: str
    events_url: str
    api_key: str | None = field(repr=False)
    from_email: str | None
    integration_key: str | None = field(repr=False)
    service_id: str | None
    service_keys: Mapping[str, str] = field(repr=False)
    """Integration keys of other services, by service id."""
    rest_per_minute: int
    """Our own budget of REST calls; 0 = only what PagerDuty's answers say."""
    events_per_minute: int
    """Our own budget of events for each integration key; 0 = only what PagerDuty's answers say."""
    webhook_secrets: tuple[str, ...] = field(repr=False)
    in_environment: frozenset[str] = frozenset()
    """Which of region, api_url, events_url and service_id the environment set: it beats the file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the environment says, and the keys of the file. docs/configuration.md describes each variable."""

    port: int
    bind: tuple[str, ...]
    """Addresses the web processes listen on; empty = every interface."""
    web_concurrency: int
    role: str
    """``all`` or ``web``."""
    data_dir: Path
    database_url: str | None = field(repr=False)
    """None: SQLite in the data directory."""
    config_path: Path
    admin_token: str | None = field(repr=False)
    secret_keys: tuple[str, ...] = field(repr=False)
    """They sign cookies and links, newest first; none = one is generated and kept in the store."""
    metrics_listener: tuple[str, int] | None
    """Address and port where a worker on its own serves ``/metrics``; None: nowhere."""
    self_integration_key: str | None = field(repr=False)
    """Events API v2 key by which the bridge pages about itself."""
    heartbeat_url: str | None = field(repr=False)
    """Called by the worker while it proves to work; commonly holds a token."""
    exports_spans: bool
    """Whether the standard variables of OpenTelemetry ask for it."""
    reconcile_seconds: float
    """0 = never."""
    public_url: str | None
    trusted_proxies: tuple[str, ...]
    log_format: str | None
    """``json``, ``console``, or None: console on a terminal, else json."""
    log_level: str
    truthvouch: TruthVouchSettings
    pagerduty: PagerDutySettings
    in_file: frozenset[str] = field(default=frozenset(), compare=False)
    """Which credentials ``bridge.yaml`` gave, by their place in it (``pagerduty.api_key``)."""

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read the variables of a process, and the keys in the file that ``BRIDGE_CONFIG`` names.

        The faults of ``bridge.yaml`` are told by whoever reads its rules.
        Raises ``ConfigFault`` naming every malformed value and every unknown variable with one of our prefixes.
        """
        env = Environment(environ)
        config_path = Path(env.given("BRIDGE_CONFIG") or "bridge.yaml")
        held = held_in(config_path)
        settings = cls(
            port=env.integer("PORT", 8080, 0, 65_535),
            bind=env.addresses("BIND"),
            web_concurrency=env.integer("WEB_CONCURRENCY", 2, 1, 1_000),
            role=env.choice("BRIDGE_ROLE", ("all", "web")) or "all",
            data_dir=Path(env.given("BRIDGE_DATA_DIR") or "data"),
            database_url=env.database_url(),
            config_path=config_path,
            admin_token=env.secret("BRIDGE_ADMIN_TOKEN"),
            secret_keys=env.secrets("BRIDGE_SECRET_KEY"),
            metrics_listener=env.listener("BRIDGE_METRICS_PORT"),
            self_integration_key=env.secret("BRIDGE_SELF_INTEGRATION_KEY"),
            heartbeat_url=env.secret_url("BRIDGE_HEARTBEAT_URL"),
            exports_spans=exports_spans(environ),
            reconcile_seconds=env.seconds("BRIDGE_RECONCILE_SECONDS", 300),
            public_url=env.url("BRIDGE_PUBLIC_URL"),
            trusted_proxies=env.networks("BRIDGE_TRUSTED_PROXIES"),
            log_format=env.choice("LOG_FORMAT", ("json", "console")),
            log_level=env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")) or "INFO",
            truthvouch=TruthVouchSettings(
                api_url=env.url("TRUTHVOUCH_API_URL") or held.get("truthvouch.api_url") or TRUTHVOUCH_URL,
                api_key=env.secret("TRUTHVOUCH_API_KEY") or held.get("truthvouch.api_key"),
                webhook_secrets=env.secrets("TRUTHVOUCH_WEBHOOK_SECRETS") or held.get("truthvouch.webhook_secrets", ()),
            ),
            pagerduty=_pagerduty(env, held),
            in_file=given_by_file(held, environ),
        )
        env.check_names()
        env.raise_faults()
        return settings

    def with_rulebook(self, rulebook: Rulebook) -> "Settings":
        """These settings with the region and the service of ``bridge.yaml`` where the environment is silent."""
        given = self.pagerduty.in_environment
        region = self.pagerduty.region if "region" in given else rulebook.region or DEFAULT_REGION
        api_url, events_url = REGIONS[region]
        filled = {"region": region, "api_url": api_url, "events_url": events_url, "service_id": rulebook.service_id}
        changes: dict[str, Any] = {name: value for name, value in filled.items() if name not in given}
        return replace(self, pagerduty=replace(self.pagerduty, **changes))

    def over(self, rulebook: Rulebook) -> Rulebook:
        """The rulebook with the environment's service laid over the file's, so that decisions name the right one, and
        with the API that incidents go by."""
        service_id = self.with_rulebook(rulebook).pagerduty.service_id
        return replace(rulebook, service_id=service_id, via=self.via(rulebook))

    @property
    def has_partner_credentials(self) -> bool:
        """Whether any credential of either partner is set; if none is, ``make run`` starts the sandbox."""
        truthvouch, pagerduty = self.truthvouch, self.pagerduty
        keys = (truthvouch.api_key, pagerduty.api_key, pagerduty.integration_key, pagerduty.service_keys)
        return any((*keys, truthvouch.webhook_secrets, pagerduty.webhook_secrets))

    def via(self, rulebook: Rulebook) -> Via:
        """The PagerDuty API for incidents: the file's word, else REST where an API key is set, else Events."""
        return rulebook.via or (Via.REST if self.pagerduty.api_key else Via.EVENTS)

    def missing(self, rulebook: Rulebook | None = None) -> tuple[str, ...]:
        """What is not set and has to be, in words that name the variable; empty when everything is there."""
        wanted = (
            (self.truthvouch.webhook_secrets, "TRUTHVOUCH_WEBHOOK_SECRETS: alerts from TruthVouch are refused"),
            (self.pagerduty.webhook_secrets, "PAGERDUTY_WEBHOOK_SECRETS: webhooks from PagerDuty are refused"),
            (self.truthvouch.api_key, "TRUTHVOUCH_API_KEY: alerts cannot be updated"),
        )
        return (*(words for value, words in wanted if not value), *self._missing_way_out(rulebook or Rulebook()))

    def degraded(self, rulebook: Rulebook) -> tuple[str, ...]:
        """What works only in part, and why; empty when nothing does."""
        has_no_links = rulebook.console.evidence_links and not self.public_url
        return (*self._half_way_out(rulebook), *([NO_EVIDENCE_LINKS] if has_no_links else []))

    def _half_way_out(self, rulebook: Rulebook) -> tuple[str, ...]:
        pagerduty = self.pagerduty
        if self.via(rulebook) is not Via.EVENTS or (pagerduty.api_key and pagerduty.from_email):
            return ()
        if pagerduty.api_key:
            return ("PAGERDUTY_FROM_EMAIL is not set: notes, reopening and escalation by the REST API are off",)
        return (
            "incidents go out by the Events API without PAGERDUTY_API_KEY: their ids stay unknown, "
            "so sync from PagerDuty, notes and escalation are off",
        )

    def _missing_way_out(self, rulebook: Rulebook) -> tuple[str, ...]:
        pagerduty = self.pagerduty
        if self.via(rulebook) is Via.EVENTS:
            if pagerduty.integration_key or pagerduty.service_keys:
                return ()
            key = "PAGERDUTY_INTEGRATION_KEY" if pagerduty.api_key else "PAGERDUTY_API_KEY or PAGERDUTY_INTEGRATION_KEY"
            return (f"{key}: incidents cannot be opened",)
        service = pagerduty.service_id or rulebook.service_id
        wanted = (
            (pagerduty.api_key, "PAGERDUTY_API_KEY: incidents cannot be opened by the REST API"),
            (pagerduty.from_email, "PAGERDUTY_FROM_EMAIL: the REST API wants a user of the account for each change"),
            (service, "PAGERDUTY_SERVICE_ID (or pagerduty.service_id in bridge.yaml): incidents need a service"),
        )
        return tuple(words for value, words in wanted if not value)


def _pagerduty(env: Environment, held: Credentials) -> PagerDutySettings:
    asked = {
        "region": env.choice("PAGERDUTY_REGION", tuple(REGIONS)),
        "api_url": env.url("PAGERDUTY_API_URL"),
        "events_url": env.url("PAGERDUTY_EVENTS_URL"),
        "service_id": env.given("PAGERDUTY_SERVICE_ID"),
    }
    region = asked["region"] or DEFAULT_REGION
    return PagerDutySettings(
        region=region,
        api_url=asked["api_url"] or REGIONS[region][0],
        events_url=asked["events_url"] or REGIONS[region][1],
        api_key=env.secret("PAGERDUTY_API_KEY") or held.get("pagerduty.api_key"),
        from_email=env.e_mail("PAGERDUTY_FROM_EMAIL") or held.get("pagerduty.from_email"),
        integration_key=env.secret("PAGERDUTY_INTEGRATION_KEY") or held.get("pagerduty.integration_key"),
        service_id=asked["service_id"],
        service_keys=env.service_keys(),
        rest_per_minute=env.integer("PAGERDUTY_REST_PER_MINUTE", 960, 0, _MAX_PER_MINUTE),
        events_per_minute=env.integer("PAGERDUTY_EVENTS_PER_MINUTE", 120, 0, _MAX_PER_MINUTE),
        webhook_secrets=env.secrets("PAGERDUTY_WEBHOOK_SECRETS") or held.get("pagerduty.webhook_secrets", ()),
        in_environment=frozenset(name for name, value in asked.items() if value),
    )
