"""The far sides: one call a method, no retries inside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.domain.model.events import Reading
from app.domain.model.incident import AlertFacts, IncidentDraft, IncidentFacts, NoteFacts
from app.domain.model.outcome import Reply
from app.domain.model.pagerduty_account import LogFacts, OnCall, PolicyFacts, ServiceFacts, UserFacts
from app.domain.model.subscription import Scope, Subscription
from app.domain.model.types import AlertId, IncidentId, IncidentKey, Status, Urgency

ARGUMENTS_REFUSED = 2002
"""PagerDuty's error number for a create whose arguments it does not take, our key among them."""
KEY_TAKEN = "key_taken"
"""The reason word where its text says that an open incident has our key."""


class Standing(Protocol):
    """Where an incident stands: the part of ``Incidents`` that an escalation asks."""

    def get(self, incident_id: IncidentId) -> Reply[IncidentFacts]: ...


class Incidents(Standing, Protocol):
    """PagerDuty's REST API. Every call has a timeout; success is an allow-list of codes."""

    def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
        """``POST /incidents``. Code 2002 is a ``Refused(code=ARGUMENTS_REFUSED)``, with the reason ``KEY_TAKEN`` where
        the text says "open incident with matching dedup key"."""

    def find(self, key: IncidentKey, since: datetime | None = None) -> Reply[tuple[IncidentFacts, ...]]:
        """Incidents of any status with this key, newest first; with ``since`` only those created from then on.

        Raises ``ValueError`` for an empty key: PagerDuty would answer with *every* open incident.
        """

    def open_page(self, services: Sequence[str], offset: int = 0) -> Reply[tuple[tuple[IncidentFacts, ...], bool]]:
        """A hundred open incidents of these services from that place on, oldest first, and whether there are more.

        Raises ``ValueError`` without services, for then PagerDuty answers with everybody's.
        """

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None
    ) -> Reply[IncidentFacts]:
        """``PUT /incidents/{id}``; ``Status.OPEN`` is PagerDuty's ``triggered`` (reopen, un-acknowledge).

        ``Done`` tells where the incident stands, which is not ``status`` if it was resolved or merged meanwhile.
        Already in that status (codes 1001, 1002) is ``Done``, too.
        """

    def add_note(self, incident_id: IncidentId, content: str) -> Reply[NoteFacts]:
        """Raises ``ValueError`` for a blank note."""

    def notes(self, incident_id: IncidentId) -> Reply[tuple[NoteFacts, ...]]:
        """In PagerDuty's order."""


class Events(Protocol):
    """PagerDuty's Events API v2. ``Done`` means queued, not that an incident exists: where nothing is open under a key,
    PagerDuty says yes to ``acknowledge`` and ``resolve``, and does nothing.

    ``service_id`` is the trigger's: under another integration key the same ``dedup_key`` is another alert.
    """

    def trigger(self, draft: IncidentDraft) -> Reply[None]:
        """Open an alert, or write to the one open under the draft's key."""

    def acknowledge(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]: ...
    def resolve(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]: ...


@dataclass(frozen=True, slots=True)
class AlertPage:
    """One page of TruthVouch's list of alerts, in TruthVouch's order, which no document tells."""

    readings: tuple[Reading, ...]
    has_next: bool
    last_page: int | None = None
    """The number of the list's last page; None where TruthVouch does not say."""


class Alerts(Protocol):
    """TruthVouch's alert API."""

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        """Tell TruthVouch; being there already (409/422 and a read that says so) is ``Done``.

        ``Refused`` when the alert stands elsewhere, or cannot be read to find out.
        """

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]:
        """``GET /alerts/{id}``, which TruthVouch may not have: then ``Refused`` with 404 or 405."""

    def page(self, page: int, status: str | None = None) -> Reply[AlertPage]:
        """One page of ``GET /alerts`` as events. Pages count from 1."""


@dataclass(frozen=True, slots=True)
class Created:
    """A new subscription, and its secret: PagerDuty shows it this once."""

    subscription: Subscription
    secret: str = field(repr=False)


class Subscriptions(Protocol):
    """Webhook subscriptions; ``list`` is one call a page."""

    def list(self) -> Reply[tuple[Subscription, ...]]:
        """All that the API key may see."""

    def create(self, url: str, events: Sequence[str], scope: Scope) -> Reply[Created]:
        """An answer without a secret is a ``Retry``: nothing could be verified."""

    def update(self, subscription_id: str, events: Sequence[str]) -> Reply[Subscription]:
        """Switch it on and let it send these events; its address cannot be changed."""

    def enable(self, subscription_id: str) -> Reply[None]:
        """End a temporary disabling."""

    def ping(self, subscription_id: str) -> Reply[None]:
        """Let PagerDuty send its test event."""


class Policies(Protocol):
    """Who is on call where: the part of ``Account`` that an escalation asks."""

    def policy(self, policy_id: str) -> Reply[PolicyFacts]: ...

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]:
        """Who is on call now, the first level first, one entry for each person and level.

        Raises ``ValueError`` without a policy, for then PagerDuty answers with everybody's.
        """


class Account(Policies, Protocol):
    """What can be asked of the account itself."""

    def accepts_key(self) -> Reply[None]:
        """Whether the API key is good at all, by the cheapest call."""

    def service(self, service_id: str) -> Reply[ServiceFacts]: ...
    def user(self, user_id: str) -> Reply[UserFacts]: ...

    def user_called(self, email: str) -> Reply[UserFacts | None]:
        """The user with this e-mail address, in whatever case it is written; None when there is none."""

    def abilities(self) -> Reply[frozenset[str]]:
        """What the account's plan includes, ``coordinated_responding`` for example."""

    def priorities(self) -> Reply[tuple[str, ...]]:
        """The names of the account's priorities, the highest first; none where it has none."""


class Moves(Protocol):
    """The part of ``Responders`` that an escalation asks."""

    def escalate(
        self,
        incident_id: IncidentId,
        *,
        policy_id: str | None = None,
        level: int | None = None,
        urgency: Urgency | None = None,
    ) -> Reply[IncidentFacts]:
        """Put it on a policy (which begins at its level 1), on a level (from 1), or under another urgency."""


class Responders(Moves, Protocol):
    """Moving people on one incident."""

    def request(
        self,
        incident_id: IncidentId,
        requester_id: str,
        message: str,
        user_ids: Sequence[str],
        policy_ids: Sequence[str],
    ) -> Reply[None]:
        """Page these people too. Needs the ability ``coordinated_responding``."""

    def publish(self, incident_id: IncidentId, message: str) -> Reply[None]:
        """Tell whoever follows the incident."""

    def set_fields(self, incident_id: IncidentId, values: Mapping[str, str]) -> Reply[None]:
        """Custom fields by name. Needs the ability ``incident_custom_fields``."""

    def log(self, incident_id: IncidentId) -> Reply[tuple[LogFacts, ...]]:
        """The newest hundred entries of its history, newest first."""


class IncidentsOnBehalf(Incidents, Protocol):
    """``Incidents``, and on whose behalf."""

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None, sender: str | None = None
    ) -> Reply[IncidentFacts]:
        """As ``Incidents.set_status``, in the name of the user with the e-mail ``sender``; None = the configured."""
