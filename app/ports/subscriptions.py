"""PagerDuty's account around the incidents: who is told what, who is on call, and how the services stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app.domain.account import LogFacts, OnCall, PolicyFacts, UserFacts
from app.domain.incident import IncidentFacts
from app.domain.names import IncidentId, Urgency
from app.domain.outcome import Reply
from app.domain.service import ServiceFacts
from app.domain.subscription import Scope, Subscription


@dataclass(frozen=True, slots=True)
class Created:
    """A new subscription, and its secret: PagerDuty shows it this once."""

    subscription: Subscription
    secret: str = field(repr=False)


class Subscriptions(Protocol):
    """Webhook subscriptions. One call a method (``list`` one a page), no retries."""

    def list(self) -> Reply[tuple[Subscription, ...]]:
        """All that the API key may see."""
        ...

    def create(self, url: str, events: Sequence[str], scope: Scope) -> Reply[Created]: ...

    def update(self, subscription_id: str, events: Sequence[str]) -> Reply[Subscription]:
        """Switch it on and let it send these events; its address cannot be changed."""
        ...

    def enable(self, subscription_id: str) -> Reply[None]:
        """End a temporary disabling."""
        ...

    def ping(self, subscription_id: str) -> Reply[None]:
        """Let PagerDuty send its test event."""
        ...


class Account(Protocol):
    """What can be asked of the account itself."""

    def accepts_key(self) -> Reply[None]:
        """Whether the API key is good at all, by the cheapest call."""
        ...

    def service(self, service_id: str) -> Reply[ServiceFacts]: ...

    def policy(self, policy_id: str) -> Reply[PolicyFacts]: ...

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]:
        """Who is on call now, the first level first. No policy is a ``ValueError``, never a query for everybody."""
        ...

    def user(self, user_id: str) -> Reply[UserFacts]: ...

    def user_called(self, email: str) -> Reply[UserFacts | None]: ...

    def abilities(self) -> Reply[frozenset[str]]:
        """What the account's plan includes."""
        ...

    def priorities(self) -> Reply[tuple[str, ...]]:
        """The names of the account's priorities, the highest first; none where it has none."""
        ...


class Responders(Protocol):
    """Moving people on one incident. One call a method, no retries."""

    def escalate(
        self,
        incident_id: IncidentId,
        *,
        policy_id: str | None = None,
        level: int | None = None,
        urgency: Urgency | None = None,
    ) -> Reply[IncidentFacts]:
        """Put it on a policy (which begins at its level 1), on a level, or under another urgency."""
        ...

    def request(
        self,
        incident_id: IncidentId,
        requester_id: str,
        message: str,
        user_ids: Sequence[str],
        policy_ids: Sequence[str],
    ) -> Reply[None]:
        """Page these people too."""
        ...

    def publish(self, incident_id: IncidentId, message: str) -> Reply[None]:
        """Tell whoever follows the incident."""
        ...

    def set_fields(self, incident_id: IncidentId, values: Mapping[str, str]) -> Reply[None]: ...

    def log(self, incident_id: IncidentId) -> Reply[tuple[LogFacts, ...]]:
        """Its newest history, newest first."""
        ...
