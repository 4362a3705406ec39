"""The far sides: one call each, no retries inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.incident import AlertFacts, IncidentDraft, IncidentFacts, NoteFacts
from app.domain.names import AlertId, IncidentId, IncidentKey, Status
from app.domain.outcome import Reply
from app.domain.words import Reading

ARGUMENTS_REFUSED = 2002
"""PagerDuty's error number for a create whose arguments it does not take, our key among them."""
KEY_TAKEN = "key_taken"
"""The reason word where its text says that an open incident has our key."""


class Incidents(Protocol):
    """PagerDuty's REST API. Every call has a timeout; success is an allow-list of codes."""

    def open(self, draft: IncidentDraft) -> Reply[IncidentFacts]:
        """``POST /incidents``. Code 2002 is a ``Refused(code=ARGUMENTS_REFUSED)``, with the reason ``KEY_TAKEN`` where
        the text says "open incident with matching dedup key"."""
        ...

    def find(self, key: IncidentKey, since: datetime | None = None) -> Reply[tuple[IncidentFacts, ...]]:
        """Incidents of any status with this key, newest first. An empty key is a ``ValueError``, never a query."""
        ...

    def get(self, incident_id: IncidentId) -> Reply[IncidentFacts]: ...

    def open_page(self, services: Sequence[str], offset: int = 0) -> Reply[tuple[tuple[IncidentFacts, ...], bool]]:
        """A hundred open incidents of these services from that place on, and whether there are more.

        No services are a ``ValueError``, never a query for everybody's.
        """
        ...

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None
    ) -> Reply[IncidentFacts]:
        """``PUT /incidents/{id}``; ``Status.OPEN`` is PagerDuty's ``triggered`` (reopen, un-acknowledge).

        Already in that status (codes 1001, 1002) is ``Done``.
        """
        ...

    def add_note(self, incident_id: IncidentId, content: str) -> Reply[NoteFacts]: ...

    def notes(self, incident_id: IncidentId) -> Reply[tuple[NoteFacts, ...]]: ...


class Events(Protocol):
    """PagerDuty's Events API v2. ``Done`` means queued, not that an incident exists."""

    def trigger(self, draft: IncidentDraft) -> Reply[None]: ...

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
        """Tell TruthVouch; being there already (409/422 and a read that says so) is ``Done``."""
        ...

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]: ...

    def page(self, page: int, status: str | None = None) -> Reply[AlertPage]:
        """One page of ``GET /alerts`` as events. Pages count from 1."""
        ...
