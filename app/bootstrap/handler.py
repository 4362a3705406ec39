"""What ``PagerDutyHandler`` and ``truthvouch incidents`` are made of: the use cases over the real PagerDuty.

Everything here waits for its answer and raises ``BridgeError``. No budget of calls is kept: a script is at human speed,
and a 429 is waited for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from app import configfile
from app.bootstrap.subscriptions import service_ids
from app.domain.incident import IncidentFacts
from app.domain.names import IncidentId, IncidentKey, Via
from app.domain.outcome import Held
from app.domain.rulebook import Rulebook
from app.outcomes import PAGERDUTY, value_of
from app.pagerduty import shown
from app.pagerduty.account import AccountApi
from app.pagerduty.events_api import EventsApi
from app.pagerduty.responders import RespondersApi
from app.pagerduty.rest_api import RestApi
from app.patience import Patience
from app.services.incidents import CreateIncident, unknown
from app.services.incidents_change import ChangeIncident
from app.services.incidents_draft import Wanted, drafted
from app.services.incidents_event import KEY_BEGINS, ChangeByEvent
from app.services.notify import Notified, NotifyResponder
from app.settings import Settings
from app.transport import Transport

MAX_OPEN_PAGES = 100
"""PagerDuty shows no more than ten thousand. https://developer.pagerduty.com/docs/rest-api-pagination"""


class Hand:
    """Moves incidents on somebody's behalf. One pool of connections; ``bridge.yaml`` is read anew for each call."""

    def __init__(self, settings: Settings, insist: Patience | None = None) -> None:
        self.given = settings
        self._insist = insist or Patience()

    @cached_property
    def _transport(self) -> Transport:
        return Transport()

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "_transport" in self.__dict__:
            self._transport.close()
            del self._transport

    def create(
        self, wanted: Wanted, fields: Mapping[str, str], keyed: Callable[[str], str] = "incident_key={!r}".format
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The incident in PagerDuty's shape, and what was not done, in words. ``keyed``: how the caller names a key."""
        desk = self._desk()
        wanted = replace(
            wanted,
            service_id=wanted.service_id or desk.settings.pagerduty.service_id,
            escalation_policy_id=wanted.escalation_policy_id or desk.rulebook.escalation_policy_id,
        )
        made = drafted(wanted, desk.by_event)
        create = CreateIncident(desk.incidents, desk.events, desk.responders, self._insist, desk.by_event)
        again = f"Call again with {keyed(made.draft.incident_key)}: then no second incident is opened."
        created = value_of(create(made, fields), PAGERDUTY, "open the incident", again)
        return shown.incident(created.facts or unknown(made.draft)), created.warnings

    def acknowledge(self, incident_id: str, user: str | None = None) -> dict[str, Any]:
        """The incident as it stands then."""
        desk = self._desk()
        if desk.incidents is None and desk.events and incident_id.startswith(KEY_BEGINS):
            reply = ChangeByEvent(desk.events, self._insist).acknowledge(IncidentKey(incident_id))
        else:
            reply = self._change(desk, "acknowledge").acknowledge(IncidentId(incident_id), user)
        return shown.incident(value_of(reply, PAGERDUTY, f"acknowledge {incident_id}"))

    def resolve(self, incident_id: str, note: str | None = None) -> dict[str, Any]:
        """The incident as it stands then."""
        desk = self._desk()
        if desk.incidents is None and desk.events and incident_id.startswith(KEY_BEGINS):
            reply = ChangeByEvent(desk.events, self._insist).resolve(IncidentKey(incident_id))
        else:
            reply = self._change(desk, "resolve").resolve(IncidentId(incident_id), note)
        return shown.incident(value_of(reply, PAGERDUTY, f"resolve {incident_id}"))

    def notify(self, incident_id: str, message: str, link: str | None, users: Sequence[str]) -> Notified:
        """What was done, in words."""
        desk = self._desk()
        incidents = desk.needs_rest("notify responders")
        account, responders = AccountApi(incidents.ask), RespondersApi(incidents.ask, incidents.change)
        from_email = desk.settings.pagerduty.from_email or ""
        notify = NotifyResponder(incidents, account, responders, self._insist, from_email)
        reply = notify(IncidentId(incident_id), message, link, users)
        return value_of(reply, PAGERDUTY, f"notify the responders of {incident_id}")

    def open_incidents(self, services: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Triggered and acknowledged incidents of these services (none = those of the configuration), oldest first."""
        desk = self._desk()
        incidents = desk.needs_rest("list incidents")
        chosen = tuple(services) or service_ids(self.given, desk.rulebook)
        if not chosen:
            value_of(Held("no_service_id"), PAGERDUTY, "list incidents")
        found: list[IncidentFacts] = []
        for _ in range(MAX_OPEN_PAGES):
            reply = self._insist(partial(incidents.open_page, chosen, len(found)))
            page, more = value_of(reply, PAGERDUTY, "list incidents")
            found += page
            if not more or not page:
                break
        return [shown.incident(facts) for facts in found]

    def _change(self, desk: "_Desk", doing: str) -> ChangeIncident:
        incidents = desk.needs_rest(f"{doing} the incident")
        return ChangeIncident(incidents, AccountApi(incidents.ask), self._insist)

    def rulebook(self) -> Rulebook:
        """``bridge.yaml`` as it is now. Raises ``ConfigFault``."""
        return configfile.load(self.given.config_path)

    def _desk(self) -> "_Desk":
        rulebook = self.rulebook()
        return _Desk(self.given.with_rulebook(rulebook), rulebook, self._transport)


@dataclass(frozen=True)
class _Desk:
    """The doors that these settings open; None without their credential."""

    settings: Settings
    rulebook: Rulebook
    transport: Transport

    @cached_property
    def incidents(self) -> RestApi | None:
        told = self.settings.pagerduty
        if not told.api_key:
            return None
        return RestApi(self.transport, told.api_url, told.api_key, told.from_email or "", told.service_id)

    @cached_property
    def events(self) -> EventsApi | None:
        told = self.settings.pagerduty
        if not told.integration_key and not told.service_keys:
            return None
        return EventsApi(self.transport, told.events_url, told.integration_key, told.service_keys)

    @property
    def responders(self) -> RespondersApi | None:
        return RespondersApi(self.incidents.ask, self.incidents.change) if self.incidents else None

    @property
    def by_event(self) -> bool:
        """By event where the file says so, and where REST cannot open: without an API key or a ``From``."""
        if self.events is None:
            return self.incidents is None
        wished = self.settings.via(self.rulebook) is Via.EVENTS
        return wished or self.incidents is None or not self.settings.pagerduty.from_email

    def needs_rest(self, doing: str) -> RestApi:
        """The REST API, or ``NotSetUp``."""
        if self.incidents is None:
            value_of(Held("no_api_key"), PAGERDUTY, doing)
        assert self.incidents is not None
        return self.incidents
