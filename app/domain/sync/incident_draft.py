"""From an alert and a decision to what a woken person reads.

Everything here is already allowed to leave (``redaction``) and already fits (``text``). The order is the reader's:
first what the alert is and where to look, then what is wrong, then the long texts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from urllib.parse import quote, urlsplit

from app.domain.model.incident import IncidentDraft
from app.domain.model.text import clean, cut, json_bytes, one_line, share_out, shortened
from app.domain.model.types import Alert, Urgency, events_severity, incident_key
from app.domain.rules.rulebook import (
    DEFAULT_DASHBOARD_URL,
    Decision,
    Redaction,
    Rulebook,
    scrub,
    withheld_texts,
    withhold,
)

MAX_TITLE_CHARS = 1_024
"""``payload.summary`` of the Events API. https://developer.pagerduty.com/docs/events-api-v2/trigger-events/"""
MAX_EVENT_BYTES = 512_000
"""A whole Events request may have 512 KB; the smaller kilobyte is the safe one."""
MAX_DETAILS_BYTES = 400_000
"""What the details may take of it; the rest is for the title, which may come to 12 KB, the links and the envelope."""
MAX_WORD_CHARS = 255
MAX_URL_CHARS = 2_000

_SAFE_EXTRAS = ("action_taken", "direction", "pii_type")
"""Fields of TruthVouch's own that are no free text and help to judge: was the answer blocked?
https://truthvouch-doc.pages.dev/developers/webhooks/events"""
_SHORT_KIND_CHARS = 3
EVIDENCE_LINK = "evidence_link"
FIRST_DETAILS = ("alert_id", "dashboard_link")


def draft(alert: Alert, decision: Decision, rulebook: Rulebook) -> IncidentDraft:
    """The incident for this alert. A decision without urgency (there should be no incident) is drafted as high."""
    words = _Words(alert, rulebook.redaction)
    urgency = decision.urgency or Urgency.HIGH
    link = _dashboard_url(alert, rulebook)
    return IncidentDraft(
        incident_key=incident_key(alert.alert_id),
        title=_title(alert, decision.title, words),
        urgency=urgency,
        severity=events_severity(alert.severity, urgency),
        source=words.word(alert.model) or "TruthVouch",
        details=_fitted(dict(_details(alert, decision, link, words))),
        dashboard_url=link,
        service_id=decision.service_id or rulebook.service_id,
        escalation_policy_id=decision.escalation_policy_id or rulebook.escalation_policy_id,
        category=words.word(alert.category) or None,
        occurred_at=alert.created_at,
    )


def with_evidence_link(incident: IncidentDraft, url: str) -> IncidentDraft:
    """The incident with the address of its evidence, next to the dashboard's: redaction is about what an alert says,
    and takes nothing of this away."""
    details: dict[str, str] = {}
    for name, text in incident.details.items():
        if name not in FIRST_DETAILS and EVIDENCE_LINK not in details:
            details[EVIDENCE_LINK] = url
        details[name] = text
    return replace(incident, details={**details, EVIDENCE_LINK: url}, evidence_url=url)


def title_of(alert: Alert, decision: Decision | None, redaction: Redaction) -> str:
    """What the incident for this alert is called, or would be if it had one."""
    return _title(alert, decision.title if decision else None, _Words(alert, redaction))


def labels_of(alert: Alert, names: Iterable[str], redaction: Redaction) -> dict[str, str]:
    """These short texts of an alert as they may leave, by their names; empty where it has none."""
    words = _Words(alert, redaction)
    return {name: words.word(getattr(alert, name)) for name in names}


def body_text(incident: IncidentDraft) -> str:
    """The details as plain text, a line each: the REST API's ``body.details`` is a string.

    https://developer.pagerduty.com/docs/rest-api-v2/incident-creation-api/
    """
    return "\n".join(f"{_label(name)}: {value}" for name, value in incident.details.items())


class _Words:
    """An alert's texts as they may leave."""

    def __init__(self, alert: Alert, redaction: Redaction) -> None:
        self.allowed = redaction
        self._people = tuple(alert.people.values())
        self._hidden = withheld_texts(alert, redaction)

    def chosen(self, value: str | None) -> str:
        """A text that policy sends as such: only people are taken out of it."""
        text = clean(value or "").strip()
        return text if self.allowed.send_people else scrub(text, self._people)

    def text(self, value: str | None) -> str:
        """A text that may repeat what policy does not send."""
        return self.chosen(withhold(clean(value or ""), self._hidden))

    def word(self, value: str | None) -> str:
        """A short text on one line."""
        return shortened(one_line(self.text(value)), MAX_WORD_CHARS)


def _title(alert: Alert, chosen: str | None, words: _Words) -> str:
    ruled = one_line(chosen or "")
    return shortened(ruled or _title_text(alert, words), MAX_TITLE_CHARS)


def _title_text(alert: Alert, words: _Words) -> str:
    claim = words.chosen(alert.claim) if words.allowed.send_claim else ""
    said = one_line(words.text(alert.message)) or one_line(claim) or shortened(one_line(alert.alert_id), MAX_WORD_CHARS)
    said = said if alert.erased_at is None else f"text erased, alert {said}"
    return one_line(f"[{words.word(alert.severity) or 'unknown'}] {_kind(words.word(alert.kind))}: {said}")


def _kind(kind: str) -> str:
    name = kind.replace("_", " ").strip()
    return name.upper() if len(name) <= _SHORT_KIND_CHARS and name else name[:1].upper() + name[1:] or "Alert"


def _details(alert: Alert, decision: Decision, link: str | None, words: _Words) -> Iterator[tuple[str, str]]:
    parts = (
        ("alert_id", clean(alert.alert_id)),
        ("dashboard_link", link or ""),
        ("severity", words.word(alert.severity)),
        ("kind", words.word(alert.kind)),
        ("category", words.word(alert.category)),
        ("confidence", _confidence(alert, words)),
        ("detection_confidence", _share(alert.detection_confidence, "how sure TruthVouch is of its finding")),
        ("trust_score", _share(alert.trust_score, "how far the answer can be trusted")),
        ("model", words.word(alert.model)),
        *((name, words.word(str(alert.extra[name]))) for name in _SAFE_EXTRAS if alert.extra.get(name) is not None),
        *_texts(alert, words),
        ("rule", f"{one_line(decision.rule)} (rulebook {decision.version})"),
    )
    return ((name, text) for name, text in parts if text)


def _texts(alert: Alert, words: _Words) -> Iterator[tuple[str, str]]:
    policy = words.allowed
    if policy.send_claim:
        yield "claim", words.chosen(alert.claim)
        yield "truth", words.chosen(alert.truth)
    yield "message", words.text(alert.message)
    if policy.send_query:
        yield "query", words.chosen(alert.query)
    if policy.send_response:
        yield "response", words.chosen(alert.response)
    if policy.send_people:
        yield "people", clean("; ".join(f"{role}: {person}" for role, person in alert.people.items()))


def _confidence(alert: Alert, words: _Words) -> str:
    written = words.word(alert.confidence_text)
    if alert.confidence is None:
        return written
    meaning = f"how true the answer is, {alert.confidence:g} between 0 (false) and 1 (true)"
    return f"{written}: {meaning}" if written else meaning


def _share(value: float | None, meaning: str) -> str:
    return "" if value is None else f"{value:g}: {meaning}, from 0 to 1"


def _dashboard_url(alert: Alert, rulebook: Rulebook) -> str | None:
    """Where to look: the alert's own address if TruthVouch gave a decent one, else the rulebook's template."""
    escaped = quote(alert.alert_id.encode("utf-8", "surrogatepass"), safe="")
    own = alert.dashboard_url or ""
    for url in (
        own if own == scrub(own, alert.people.values()) else "",
        rulebook.dashboard_url.replace("{alert_id}", escaped),
        DEFAULT_DASHBOARD_URL.replace("{alert_id}", escaped),
    ):
        if is_link(url):
            return url
    return None


def is_link(url: str) -> bool:
    """Whether a click on it opens a web page: http or https, a host, nothing but printable ASCII, not endless."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > MAX_URL_CHARS:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _fitted(details: dict[str, str]) -> dict[str, str]:
    grants = share_out({name: json_bytes(text) for name, text in details.items()}, MAX_DETAILS_BYTES)
    return {name: cut(text, grants[name]) for name, text in details.items()}


def _label(name: str) -> str:
    return (name[0].upper() + name[1:]).replace("_", " ")
