"""Every counter and every histogram of the bridge, declared in one place. docs/metrics.md describes each."""

import os
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from app.domain.model.types import Side, Urgency
from app.domain.sync.effects import TARGETS
from app.domain.sync.observations import FindingOutcome
from app.metrics.folder import FOLDER_VARIABLE, folder, reserve
from app.ports import RefusedReason

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

# prometheus_client decides when it is imported whether it counts into files: import it only after prepare().

ACCEPT_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Up to the time that PagerDuty waits for an answer."""
DELIVERY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
OPERATOR_REASONS = (
    *("no_admin_token", "token_missing", "token_wrong", "too_many_wrong", "read_only"),
    *("plain_http", "foreign_form", "link_gone"),
    *("evidence_link_unknown", "evidence_link_gone", "evidence_link_too_often", "stale_button"),
)
CUT_REASONS = ("too_slow", "too_many", "stalled", "malformed", "unknown_method", "too_long")
"""The last three are what can be wrong with a request; a test holds them against the server's."""
DRIFT = tuple(outcome for outcome in FindingOutcome if outcome is not FindingOutcome.CONFIRMED)
Known = Iterable[Sequence[str]]
"""Label values that are known beforehand."""


class Counts:
    """Counts one under these labels. What has counted once is found without the library's search for it."""

    def __init__(self, counter: "Counter", known: Known) -> None:
        self._counter = counter
        self._made: dict[tuple[str, ...], Counter] = {}
        for values in known:
            self.expect(*values)

    def expect(self, *values: str) -> "Counter":
        """Be there under these labels, with 0 if nothing was counted."""
        made = self._made[values] = self._counter.labels(*values) if values else self._counter
        return made

    def __call__(self, *values: str) -> None:
        (self._made.get(values) or self.expect(*values)).inc()


class Times:
    """Notes so many seconds under this label."""

    def __init__(self, histogram: "Histogram", known: Iterable[str]) -> None:
        self._histogram = histogram
        self._made = {value: histogram.labels(value) for value in known}

    def __call__(self, value: str, seconds: float) -> None:
        (self._made.get(value) or self._histogram.labels(value)).observe(max(0.0, seconds))


class PrometheusMeter:
    """The ``Meter`` port, one method for each counter. Counts are kept even if nobody ever reads them.

    What has a closed set of labels is there from the start with 0: an alert on growth needs the zero before it.
    """

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, disable_created_metrics

        disable_created_metrics()  # type: ignore[no-untyped-call]  # files hold none either: the names are the same
        self.registry = CollectorRegistry()
        self._declare_what_comes_in()
        self._declare_what_goes_out()
        self._declare_the_rest()

    def _declare_what_comes_in(self) -> None:
        sides = _each(Side)
        self._accepted = self._counts(
            "truthvouch_bridge_deliveries_accepted", "Deliveries stored", "source", known=sides
        )
        self._accept = self._times(
            "truthvouch_bridge_accept_seconds",
            "From having a whole delivery to having it stored",
            "source", Side, ACCEPT_BUCKETS,
        )  # fmt: skip
        self.duplicated = self._counts(
            "truthvouch_bridge_duplicates", "Deliveries that were already stored", "source", known=sides
        )
        self.refused = self._counts(
            "truthvouch_bridge_refused", "Deliveries not stored, by reason", "source", "reason", known=_refusals()
        )
        self._matched = self._counts(
            "truthvouch_bridge_secret_matched", "Deliveries, by the secret's place in the list (1 = newest)",
            "source", "secret",
        )  # fmt: skip
        self.dropped = self._counts(
            "truthvouch_bridge_events_dropped", "Events that move nothing, by reason", "source", "reason"
        )

    def _declare_what_goes_out(self) -> None:
        self._parked = self._counts("truthvouch_bridge_parked", "Dead letters written, by reason", "kind", "reason")
        self._pages = self._counts(
            "truthvouch_bridge_pages_refused",
            "What may be a page that nobody got, and escalations that were not made: alarm on it",
            known=[()],
        )
        self.called = self._counts(
            "truthvouch_bridge_partner_calls", "Calls to partners by how they ended", "target", "outcome",
            known=[(target, "done") for target in TARGETS],
        )  # fmt: skip
        self._page = self._times(
            "truthvouch_bridge_accept_to_page_seconds",
            "From accepting an alert to PagerDuty's incident",
            "urgency", Urgency, DELIVERY_BUCKETS,
        )  # fmt: skip
        self._delivery = self._times(
            "truthvouch_bridge_accept_to_delivery_seconds",
            "From accepting an event to having done what it asks for",
            "target", TARGETS, DELIVERY_BUCKETS,
        )  # fmt: skip
        self.resubmitted = self._counts(
            "truthvouch_bridge_deliveries_resubmitted",
            "Pending deliveries that were in no queue",
            "side",
            known=_each(Side),
        )

    def _declare_the_rest(self) -> None:
        from app.domain.escalation.state import EscalationOutcome
        from app.domain.reports.backtest import Change

        self.drifted = self._counts(
            "truthvouch_bridge_drift_found", "What reconciliation found, by outcome", "side", "outcome",
            known=[(side, outcome) for side in Side for outcome in DRIFT],
        )  # fmt: skip
        self.escalated = self._counts(
            "truthvouch_bridge_escalations", "Escalation levels that had their turn", "outcome",
            known=_each(EscalationOutcome),
        )  # fmt: skip
        self.operator_refused = self._counts(
            "truthvouch_bridge_operator_refused", "Requests of operators that were not let in", "reason",
            known=_each(OPERATOR_REASONS),
        )  # fmt: skip
        self.cut = self._counts(
            "truthvouch_bridge_connections_cut", "Connections ended by us, by reason", "reason",
            known=_each(CUT_REASONS),
        )  # fmt: skip
        self.shadowed = self._counts(
            "truthvouch_bridge_shadow_decisions", "What a draft (shadow:) said of alerts", "outcome",
            known=_each(Change),
        )  # fmt: skip

    def _counts(self, name: str, text: str, *labels: str, known: Known = ()) -> Counts:
        """A counter; what is ``known`` beforehand is there with 0."""
        from prometheus_client import Counter

        return Counts(Counter(name, text, labels, registry=self.registry), known)

    def _times(self, name: str, text: str, label: str, known: Iterable[str], buckets: Sequence[float]) -> Times:
        """A histogram, there for each value of its label."""
        from prometheus_client import Histogram

        return Times(Histogram(name, text, (label,), registry=self.registry, buckets=buckets), known)

    def expect_secrets(self, source: Side, count: int) -> None:
        """So many secrets may prove a delivery: each has its count from the start."""
        for place in range(1, count + 1):
            self._matched.expect(source, str(place))

    def accepted(self, source: Side, seconds: float) -> None:
        self._accepted(source)
        self._accept(source, seconds)

    def matched(self, source: Side, secret_index: int) -> None:
        self._matched(source, str(secret_index + 1))

    def delivered(self, target: str, seconds: float) -> None:
        self._delivery(target, seconds)

    def paged(self, urgency: Urgency, seconds: float) -> None:
        self._page(urgency, seconds)

    def parked(self, kind: str, reason: str) -> None:
        self._parked(kind, reason)
        if kind in ("page", "escalation"):
            self._pages()


def _each(values: Iterable[str]) -> list[tuple[str]]:
    return [(value,) for value in values]


def _refusals() -> list[tuple[str, str]]:
    """PagerDuty's signatures carry no time, so none is too old."""
    known = [(side, reason) for side in Side for reason in RefusedReason]
    return [one for one in known if one != (Side.PAGERDUTY, RefusedReason.SIGNATURE_STALE)]


@cache
def meter() -> PrometheusMeter:
    """The one meter of this process: two would overwrite each other's counts."""
    counts = folder()
    if counts and not reserve(counts, str(os.getpid())):
        # No room for files: this process counts for itself alone.
        del os.environ[FOLDER_VARIABLE]
    return PrometheusMeter()
