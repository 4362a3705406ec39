"""One TruthVouch alert as the bridge remembers it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from app.domain.names import AlertId

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Alert:
    """What TruthVouch told about an alert, put together from every word so far.

    ``confidence`` is how true the AI's answer is, 0 (false) to 1 (true); ``detection_confidence`` is how
    sure TruthVouch is of its finding, 0 to 1. They have opposite meanings and are never mixed.
    None always means "never told".
    """

    alert_id: AlertId
    severity: str | None = None
    """critical, high, medium, low, or whatever word came, in lower case."""
    kind: str | None = None
    """hallucination, pii, injection, toxicity, ... (``data.type``, ``detection_type``)."""
    category: str | None = None
    message: str | None = None
    claim: str | None = None
    """What the AI claimed (``fact``)."""
    truth: str | None = None
    """What is true instead (``actualFact``)."""
    query: str | None = None
    response: str | None = None
    model: str | None = None
    confidence: float | None = None
    confidence_text: str | None = None
    """The confidence as it was written, for people: ``5%``."""
    detection_confidence: float | None = None
    trust_score: float | None = None
    dashboard_url: str | None = None
    created_at: datetime | None = None
    people: Mapping[str, str] = field(default_factory=dict)
    """Personal data: user ids, e-mails, IP addresses. Leaves only by opt-in."""
    extra: Mapping[str, Scalar] = field(default_factory=dict)
    """Every other scalar field TruthVouch sent, by its snake_case name; rules may name them."""

    def updated_by(self, newer: "Alert") -> "Alert":
        """This alert with everything ``newer`` tells laid over it; silence in ``newer`` erases nothing."""
        told = {
            f.name: getattr(newer, f.name)
            for f in fields(newer)
            if f.name not in ("people", "extra") and getattr(newer, f.name) is not None
        }
        return replace(self, **told, people={**self.people, **newer.people}, extra={**self.extra, **newer.extra})
