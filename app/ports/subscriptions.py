"""PagerDuty's account around the incidents: who is told what, and how the services stand."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

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
