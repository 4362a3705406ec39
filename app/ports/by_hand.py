"""PagerDuty's incidents as a person or a script moves them: the same door, in a name of their own."""

from typing import Protocol

from app.domain.incident import IncidentFacts
from app.domain.names import IncidentId, Status
from app.domain.outcome import Reply
from app.ports.partners import Incidents


class IncidentsByHand(Incidents, Protocol):
    """``Incidents``, and on whose behalf."""

    def set_status(
        self, incident_id: IncidentId, status: Status, resolution: str | None = None, sender: str | None = None
    ) -> Reply[IncidentFacts]:
        """As ``Incidents.set_status``, in the name of the user with the e-mail ``sender``; None = the configured."""
        ...
