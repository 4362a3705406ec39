"""The settings of a script: what its author says, over the environment, over ``bridge.yaml``."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from app.environment import Arguments
from app.settings import REGIONS, PagerDutySettings, Settings


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller says itself: it beats the environment, which beats ``bridge.yaml``."""

    integration_key: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    from_email: str | None = None
    service_id: str | None = None
    region: str | None = None


def settings_of(environ: Mapping[str, str] | None = None, given: Given | None = None) -> Settings:
    """The settings of this process with what was given laid over them. Raises ``ConfigFault`` for what is malformed in
    either."""
    settings = Settings.from_env(os.environ if environ is None else environ)
    return replace(settings, pagerduty=_over(settings.pagerduty, given or Given()))


def _over(pagerduty: PagerDutySettings, given: Given) -> PagerDutySettings:
    arguments = Arguments(
        {
            "PAGERDUTY_API_KEY": ("api_key", given.api_key),
            "PAGERDUTY_FROM_EMAIL": ("from_email", given.from_email),
            "PAGERDUTY_INTEGRATION_KEY": ("integration_key", given.integration_key),
            "PAGERDUTY_SERVICE_ID": ("service_id", given.service_id),
        }
    )
    said = {
        "api_key": arguments.secret("PAGERDUTY_API_KEY"),
        "from_email": arguments.e_mail("PAGERDUTY_FROM_EMAIL"),
        "integration_key": arguments.secret("PAGERDUTY_INTEGRATION_KEY"),
        "service_id": arguments.optional("PAGERDUTY_SERVICE_ID"),
        "region": given.region,
    }
    arguments.raise_faults()
    changes: dict[str, Any] = {name: value for name, value in said.items() if getattr(given, name) is not None}
    if given.integration_key is not None:
        changes["service_keys"] = {}  # one key was named: it is the one to use
    if given.region is not None:
        changes["api_url"], changes["events_url"] = REGIONS[given.region]
    return replace(pagerduty, **changes, in_environment=pagerduty.in_environment | changes.keys())
