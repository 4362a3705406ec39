"""PagerDuty's account around the incidents, by its REST API: is the key good, how do the services stand.

https://developer.pagerduty.com/api-reference/ (abilities, services)
"""

from urllib.parse import quote

from app.domain.outcome import Done, Reply, Retry
from app.domain.payload import id_of, table_of, text_of
from app.domain.service import ServiceFacts
from app.pagerduty.subscriptions import Ask


class AccountApi:
    """Implements ``ports.Account``."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def accepts_key(self) -> Reply[None]:
        """``GET /abilities``: small, and open to every kind of key."""
        reply = self._ask("GET", "/abilities")
        return Done(None) if isinstance(reply, Done) else reply

    def service(self, service_id: str) -> Reply[ServiceFacts]:
        """``GET /services/{id}``."""
        reply = self._ask("GET", f"/services/{quote(service_id, safe='')}")
        if not isinstance(reply, Done):
            return reply
        facts = _service(table_of(reply.value).get("service"))
        return Retry("unreadable_answer") if facts is None else Done(facts)


def _service(told: object) -> ServiceFacts | None:
    shown = table_of(told)
    ident = id_of(shown.get("id"))
    if not ident:
        return None
    rule = table_of(shown.get("incident_urgency_rule"))
    return ServiceFacts(
        service_id=ident,
        name=text_of(shown.get("name"), 200) or "",
        status=text_of(shown.get("status"), 50) or "",
        acknowledgement_timeout=_seconds(shown.get("acknowledgement_timeout")),
        auto_resolve_timeout=_seconds(shown.get("auto_resolve_timeout")),
        urgency=text_of(rule.get("urgency"), 50) if rule.get("type") == "constant" else None,
    )


def _seconds(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
