"""Use case: TruthVouch says that something happened to an alert."""

from collections.abc import Callable, Sequence
from datetime import datetime

from app.domain.names import Side
from app.ports import Bell, Inbox, Meter, Verify
from app.services.receiving import Receive, utc_now


def receive_alert(
    verify: Verify,
    secrets: Sequence[str],
    inbox: Inbox,
    bell: Bell,
    meter: Meter,
    clock: Callable[[], datetime] = utc_now,
) -> Receive:
    """The door for TruthVouch's alerts. ``secrets``: newest first, any may match; none shuts the door."""
    return Receive(Side.TRUTHVOUCH, "alert", "alert_id", verify, secrets, inbox, bell, meter, clock)
