"""Use case: PagerDuty says that something happened to an incident."""

from collections.abc import Callable, Sequence
from datetime import datetime

from app.domain.names import Side
from app.ports import Bell, Inbox, Meter, Verify
from app.services.receiving import Receive, utc_now


def receive_incident_event(
    verify: Verify,
    secrets: Sequence[str],
    inbox: Inbox,
    bell: Bell,
    meter: Meter,
    clock: Callable[[], datetime] = utc_now,
) -> Receive:
    """The door for PagerDuty's webhooks. ``secrets``: newest first, any may match; none shuts the door."""
    return Receive(Side.PAGERDUTY, "incident_event", "incident_id", verify, secrets, inbox, bell, meter, clock)
