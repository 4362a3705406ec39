"""When each alert has to fire, and when not: what promtool's own unit tests are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """``series``: by name (without the prefix) and labels, promtool's notation of values, one a minute."""

    name: str
    alert: str
    series: Mapping[str, str]
    after: str
    fires: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the alert, besides its severity."""


def two(name: str, values: str) -> dict[str, str]:
    """The same gauge as two machines read it off the store."""
    return {f'{name}{{instance="{machine}"}}': values for machine in ("a", "b")}


BUCKETS = ("0.5", "1", "2.5", "10", "30", "60", "300", "+Inf")


def times(name: str, labels: str, within: str) -> dict[str, str]:
    """A histogram whose every observation is in the bucket up to ``within``: ten a minute."""
    reached = BUCKETS.index(within)
    return {
        f'{name}_bucket{{{labels},le="{bucket}"}}': "0+10x40" if place >= reached else "0x40"
        for place, bucket in enumerate(BUCKETS)
    }


MISMATCH = 'refused_total{source="pagerduty",reason="signature_mismatch"}'
TRUTHVOUCH_GONE = {"target": "truthvouch", "breaker": "circuit"}
HIGH = 'urgency="high"'
ALERT = 'source="truthvouch"'

CASES = (
    Case("nobody is scraped", "TruthVouchBridgeGone", {}, "3m", labels={}),
    Case("one is", "TruthVouchBridgeGone", {"build_info": "1x9"}, "5m", fires=False),
    Case(
        "one machine reads no store", "TruthVouchBridgeStoreGone",
        {'store_up{instance="a"}': "0x9", 'store_up{instance="b"}': "1x9"}, "3m", labels={"instance": "a"},
    ),
    Case("for a moment", "TruthVouchBridgeStoreGone", {"store_up": "1 0 1 1 1"}, "3m", fires=False),
    Case("no heartbeat", "TruthVouchBridgeWorkerSilent", two("worker_heartbeat_age_seconds", "31+60x9"), "3m"),
    Case(
        "one machine reads late", "TruthVouchBridgeWorkerSilent",
        {'worker_heartbeat_age_seconds{instance="a"}': "40x9", 'worker_heartbeat_age_seconds{instance="b"}': "1x9"},
        "5m", fires=False,
    ),
    Case("a page waits", "TruthVouchBridgePageWaiting", two("oldest_page_waiting_seconds", "61+60x9"), "2m"),
    Case("not long", "TruthVouchBridgePageWaiting", two("oldest_page_waiting_seconds", "59x9"), "5m", fires=False),
    Case("a dead page", "TruthVouchBridgePageRefused", two("dead_pages", "1x9"), "1m"),
    Case(
        "a page was refused, and its dead letter is closed already", "TruthVouchBridgePageRefused",
        {"dead_pages": "0x9", "pages_refused_total": "0 0 1 1 1"}, "4m",
    ),
    Case(
        "long ago", "TruthVouchBridgePageRefused", {"dead_pages": "0x30", "pages_refused_total": "0 1x29"}, "25m",
        fires=False,
    ),
    Case(
        "nothing of PagerDuty's proves itself", "TruthVouchBridgeSecretWrong",
        {MISMATCH: "0+1x9", 'deliveries_accepted_total{source="pagerduty"}': "7x9"}, "5m",
        labels={"source": "pagerduty"},
    ),
    Case(
        "two senders, one of them with another secret", "TruthVouchBridgeSecretWrong",
        {MISMATCH: "0+1x9", 'deliveries_accepted_total{source="pagerduty"}': "0+1x9"}, "5m", fires=False,
    ),
    Case(
        "no secret is configured", "TruthVouchBridgeWebhooksUnavailable",
        {'refused_total{source="truthvouch",reason="no_secret"}': "0+1x9"}, "5m",
        labels={"source": "truthvouch", "reason": "no_secret"},
    ),
    Case(
        "forged ones alone", "TruthVouchBridgeWebhooksUnavailable",
        {'refused_total{source="truthvouch",reason="signature_missing"}': "0+1x9"}, "5m", fires=False,
    ),
    Case("a delivery waits", "TruthVouchBridgeDeliveryWaiting", two("oldest_waiting_seconds", "301+60x19"), "6m"),
    Case("not long", "TruthVouchBridgeDeliveryWaiting", two("oldest_waiting_seconds", "299x19"), "9m", fires=False),
    Case("nothing is taken in", "TruthVouchBridgeIntakeBehind", two("intake_lag_seconds", "16+60x9"), "3m"),
    Case("all is taken in", "TruthVouchBridgeIntakeBehind", two("intake_lag_seconds", "0x9"), "5m", fires=False),
    Case("dead letters", "TruthVouchBridgeDeadLetters", two("dead_letters", "2x29"), "11m"),
    Case("decided on in time", "TruthVouchBridgeDeadLetters", two("dead_letters", "2 2 0x20"), "15m", fires=False),
    Case(
        "TruthVouch does not answer", "TruthVouchBridgeTargetPaused",
        {
            'breaker_open{target="truthvouch",breaker="circuit"}': "1x19",
            'breaker_open{target="pagerduty-rest",breaker="circuit"}': "0x19",
        },
        "6m", labels=TRUTHVOUCH_GONE,
    ),
    Case(
        "and is back", "TruthVouchBridgeTargetPaused",
        {'breaker_open{target="truthvouch",breaker="circuit"}': "1 1 1 0x19"}, "9m", fires=False,
    ),
    Case(
        "creates pause again and again", "TruthVouchBridgeKeyPaused",
        {'budget_pause_seconds{key="pagerduty-rest",part="creates"}': "9x19"}, "11m",
        labels={"key": "pagerduty-rest", "part": "creates"},
    ),
    Case(
        "one pause", "TruthVouchBridgeKeyPaused", {'budget_pause_seconds{key="pagerduty-rest",part=""}': "9 0x19"},
        "11m", fires=False,
    ),
    Case(
        "slow to store", "TruthVouchBridgeAcceptSlow", times("accept_seconds", ALERT, "2.5"), "25m",
        labels={"source": "truthvouch"},
    ),
    Case("fast", "TruthVouchBridgeAcceptSlow", times("accept_seconds", ALERT, "0.5"), "25m", fires=False),
    Case("slow pages", "TruthVouchBridgePagesSlow", times("accept_to_page_seconds", HIGH, "60"), "25m"),
    Case("fast pages", "TruthVouchBridgePagesSlow", times("accept_to_page_seconds", HIGH, "1"), "25m", fires=False),
    Case(
        "no reconciliation for an hour", "TruthVouchBridgeReconciliationStale",
        two("reconciliation_last_success_timestamp_seconds", "0x99"), "61m",
    ),
    Case(
        "one just now", "TruthVouchBridgeReconciliationStale",
        {
            'reconciliation_last_success_timestamp_seconds{instance="a"}': "0x99",
            'reconciliation_last_success_timestamp_seconds{instance="b"}': "3600x99",
        },
        "61m", fires=False,
    ),
    Case("it is switched off", "TruthVouchBridgeReconciliationStale", {"build_info": "1x99"}, "61m", fires=False),
    Case(
        "nothing swept", "TruthVouchBridgeRetentionStale",
        two("retention_last_success_timestamp_seconds", "0x399"), "361m",
    ),
    Case(
        "swept hourly", "TruthVouchBridgeRetentionStale",
        two("retention_last_success_timestamp_seconds", "0+60x399"), "361m", fires=False,
    ),
    Case(
        "webhooks do not arrive", "TruthVouchBridgeDrift",
        {'drift_found_total{side="pagerduty",outcome="moved"}': "0+1x60"}, "30m", labels={"side": "pagerduty"},
    ),
    Case(
        "other findings", "TruthVouchBridgeDrift", {'drift_found_total{side="pagerduty",outcome="merged"}': "0+1x60"},
        "30m", fires=False,
    ),
    Case("a ping-pong", "TruthVouchBridgeLinksFrozen", two("links_frozen", "1x19"), "11m"),
    Case("none", "TruthVouchBridgeLinksFrozen", two("links_frozen", "0x19"), "11m", fires=False),
    Case(
        "resubmitted on one of two machines", "TruthVouchBridgeDeliveriesResubmitted",
        {
            'deliveries_resubmitted_total{side="truthvouch",instance="a"}': "0x30",
            'deliveries_resubmitted_total{side="truthvouch",instance="b"}': "0 1x29",
        },
        "10m",
    ),
    Case(
        "never", "TruthVouchBridgeDeliveriesResubmitted", {'deliveries_resubmitted_total{side="truthvouch"}': "0x30"},
        "10m", fires=False,
    ),
)  # fmt: skip
