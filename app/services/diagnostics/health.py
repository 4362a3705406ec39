"""Use case: can the bridge do its work, and what would a person have to do about it?

Red only for what makes accepting or delivering impossible: a store that cannot be written, a worker that is not there,
a credential that is missing. Everything else that deserves a look is *degraded*.

Use case: does PagerDuty still tell us what happens there, and if not, put right what can be put right.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog

from app.domain.model.outcome import REDIRECTED, UNSENDABLE, Done, Held, Refused, Reply, Retry
from app.domain.model.subscription import Fault, Mend, Subscription, Verdict, Wanted, judge
from app.domain.model.types import Side
from app.domain.sync.circuit_breaker import FORBIDDEN
from app.ports import (
    Clock,
    HealthSnapshot,
    HealthSource,
    Inbox,
    KeyValueStore,
    StoreUnavailable,
    Subscriptions,
    Transactions,
    WorkerRules,
    utc_now,
)
from app.remote.payload import RefusedDeliveries
from app.services.diagnostics.configuration import DEAD_AFTER

log = structlog.get_logger()

INSTANT = "%Y-%m-%d %H:%M:%SZ"
"""How people read an instant."""
HEARTBEAT_LIMIT_SECONDS = 10.0
DIFFER_FOR = timedelta(seconds=30)
"""So long may workers run with different rules before it is a fault: each reads a changed file by itself."""
WAITING_LIMIT_SECONDS = 60.0
REFUSED_REMEMBERED = timedelta(days=1)
"""How long a refused delivery matters while no good one has come since."""
REFUSED_BESIDE = timedelta(hours=1)
"""How long it matters after a good one: two senders may sign with different secrets."""
FRESH_SECONDS = 1.0
"""A flood of probes costs one write a second: an answer is kept that long, unless it is red. Each web process looks for
itself, and a kept red would contradict the green of the one that was asked before."""


class State(StrEnum):
    """How a check turned out, best first."""

    OK = "ok"
    DEGRADED = "degraded"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what was found in words, and the numbers behind them."""

    state: State
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    """One word for the doctor, where the check's name alone does not say what is the matter."""
    remedy: str = ""
    """What to do, where the words do not say it."""
    blocks_pages: bool = False
    """It keeps, or kept, a page from going out: wrong for the doctor, though requests may still be sent here."""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks by name, and the worst of them."""

    checks: Mapping[str, Check]

    @property
    def state(self) -> State:
        """``RED`` if any check is, else ``DEGRADED`` if any is."""
        return max((check.state for check in self.checks.values()), key=list(State).index)


@dataclass
class Health:
    """Looks at everything the bridge needs. Safe to call from many threads."""

    inbox: Inbox
    health_source: HealthSource
    missing: Callable[[], Sequence[str]]
    """Credentials that are not set; names the variable, as ``notes`` does."""
    notes: Callable[[], Sequence[str]]
    """What works only in part."""
    clock: Clock = utc_now
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: tuple[datetime, Report] | None = None
    _readings: int = 0

    def __call__(self) -> Report:
        """The report: at most ``FRESH_SECONDS`` old, and a red one never older than the question. Whoever asks during a
        check waits for the next one, together with all others who ask meanwhile."""
        begun = self._readings
        with self._lock:
            now = self.clock()
            if self._kept is None or not (self._readings > begun or _is_fresh(*self._kept, now)):
                self._readings += 1
                self._kept = (now, self._examine(now))
            return self._kept[1]

    def _examine(self, now: datetime) -> Report:
        store = Check(State.OK, "A delivery can be stored.")
        try:
            self.inbox.check_writable()
        except StoreUnavailable as fault:
            store = Check(State.RED, f"Nothing can be stored, so deliveries are answered with 503: {str(fault)[:200]}")
        checks = {"store": store, "configuration": _configuration(self.missing(), self.notes())}
        try:
            checks |= _snapshot_checks(self.health_source.read(), now)
        except StoreUnavailable as fault:
            if store.state is not State.RED:
                checks["store"] = Check(State.RED, f"The store cannot be read: {str(fault)[:200]}")
            checks["worker"] = Check(State.RED, "Unknown: its heartbeat is in the store, which cannot be read.")
        return Report(checks)


def _is_fresh(at: datetime, report: Report, now: datetime) -> bool:
    return report.state is not State.RED and 0 <= (now - at).total_seconds() < FRESH_SECONDS


def _configuration(missing: Sequence[str], notes: Sequence[str]) -> Check:
    facts = {"missing": list(missing), "notes": list(notes)}
    if missing:
        return Check(State.RED, "Missing: " + "; ".join(missing), facts)
    if notes:
        return Check(State.DEGRADED, "; ".join(notes), facts)
    return Check(State.OK, "Every credential is set.", facts)


def _snapshot_checks(snapshot: HealthSnapshot, now: datetime) -> dict[str, Check]:
    return {
        "worker": _worker(_age(snapshot.worker_seen_at, now)),
        "oldest_waiting": _waiting(snapshot, _age(snapshot.oldest_waiting_at, now), _age(snapshot.oldest_page_at, now)),
        "worker_rules": _worker_rules(snapshot.workers, now),
        "dead_letters": _dead_letters(snapshot.dead, snapshot.dead_pages),
        "frozen_links": _frozen_links(snapshot.frozen),
        "webhook_subscription": _subscription(snapshot.subscription),
        **deliveries(snapshot, now),
        "paused_targets": _paused(snapshot.paused_targets),
    }


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round(max(0.0, (now - at).total_seconds()), 1)


def _worker(age: float | None) -> Check:
    facts = {"heartbeat_age_seconds": age}
    if age is None:
        return Check(State.RED, "No worker has ever started on this store: nothing is delivered.", facts)
    if age > HEARTBEAT_LIMIT_SECONDS:
        message = f"The worker's last heartbeat was {age:.0f} seconds ago: nothing is delivered. See the worker's log."
        return Check(State.RED, message, facts)
    return Check(State.OK, "The worker is alive.", facts)


def _worker_rules(published: Sequence[WorkerRules], now: datetime) -> Check:
    """Whether all workers decide by the same ``bridge.yaml``. One that has changed just now is given time: the others
    may be about to read the same."""
    found = [one for one in published if now - one.seen_at <= DEAD_AFTER]
    versions = sorted({one.version for one in found})
    settled = {one.version for one in found if now - one.since > DIFFER_FOR}
    facts = {"workers": len(found), "versions": versions}
    if len(settled) < 2:
        return Check(State.OK, "The workers that run decide by the same rules.", facts)
    message = (
        f"Workers decide by different rules ({', '.join(versions)}), so it is chance which of them an alert meets: the "
        "console's page Configuration shows what each runs with."
    )
    return Check(State.DEGRADED, message, facts)


def _waiting(snapshot: HealthSnapshot, age: float | None, page_age: float | None) -> Check:
    facts = {"waiting": snapshot.waiting, "age_seconds": age}
    if page_age is not None and page_age > WAITING_LIMIT_SECONDS:
        message = f"An incident that has to be opened has been waiting for {page_age:.0f} seconds."
        remedy = "See `paused_targets`, the log events delivery.retried, delivery.held; until then look at TruthVouch."
        return Check(State.DEGRADED, message, facts, "page_waits_long", remedy, blocks_pages=True)
    if age is None or age <= WAITING_LIMIT_SECONDS:
        return Check(State.OK, "Nothing waits for long." if snapshot.waiting else "Nothing is waiting.", facts)
    message = f"A delivery has been waiting for {age:.0f} seconds: see `paused_targets` and the partners' status pages."
    return Check(State.DEGRADED, message, facts)


def _dead_letters(count: int, pages: int) -> Check:
    facts = {"count": count, "pages": pages}
    if not count:
        return Check(State.OK, "No dead letters.", facts)
    if not pages:
        message = "Something could not be read or delivered: `truthvouch dead-letters list` says what and why."
        return Check(State.DEGRADED, message, facts)
    message = f"{pages} of {count} dead letters may be a page that nobody got. `truthvouch dead-letters list` says why."
    remedy = "Mend what the dead letter names, then `truthvouch dead-letters replay ID`; or call the person yourself."
    return Check(State.DEGRADED, message, facts, "pages_refused", remedy, blocks_pages=True)


def _subscription(verdict: Verdict | None) -> Check:
    if verdict is None:
        return Check(State.OK, "PagerDuty's webhook subscription is not watched.", {"codes": []})
    faults = [fault for fault in verdict.faults if not fault.warning]
    facts = {"codes": [fault.code for fault in verdict.faults], "seen_at": verdict.at.isoformat()}
    message = " ".join(f"{fault.message} {fault.remedy}" for fault in faults or verdict.faults)
    if faults:
        return Check(State.DEGRADED, message, facts)
    return Check(State.OK, message or "PagerDuty's webhook subscription is in order.", facts)


def _frozen_links(count: int) -> Check:
    if not count:
        return Check(State.OK, "No link is frozen.", {"count": 0})
    message = (
        "The two sides kept undoing each other's changes: `truthvouch links list --frozen` names the alerts, "
        "`truthvouch links thaw ALERT` ends it."
    )
    return Check(State.DEGRADED, message, {"count": count})


_HOOKS: Mapping[Side, tuple[str, str, str]] = {
    Side.TRUTHVOUCH: ("TruthVouch", "/truthvouch/alerts", "The next alert"),
    Side.PAGERDUTY: ("PagerDuty", "/pagerduty/webhook", "`truthvouch config pagerduty --test`"),
}
"""Its name, its path, and what shows that a delivery is taken again."""
_REFUSED: Mapping[str, str] = {
    "signature_mismatch": "None of the secrets in {secrets} is the one {name} signs with: put that one first and "
    "restart. {proof} shows whether it is right.",
    "signature_missing": "They carry no signature: {name} has no secret for this webhook, a proxy takes the header "
    "away, or somebody else sends them.",
    "signature_malformed": "Their signature has a form {name} does not document: see what a proxy does with it, and "
    "who sends them.",
    "signature_stale": "They were signed longer ago than truthvouch.replay_window_seconds allows: set the clock of "
    "this machine, or allow more.",
}
"""Why a delivery was refused -> what to do."""


def deliveries(snapshot: HealthSnapshot, now: datetime) -> dict[str, Check]:
    """By side: whether its webhooks come, and whether they prove to be its own."""
    seen_at = {Side.TRUTHVOUCH: snapshot.truthvouch_seen_at, Side.PAGERDUTY: snapshot.pagerduty_seen_at}
    return {side.value: _deliveries(side, at, snapshot.refused.get(side, ()), now) for side, at in seen_at.items()}


def _deliveries(side: Side, at: datetime | None, refusals: Sequence[RefusedDeliveries], now: datetime) -> Check:
    """When that side's webhook last arrived, and what came of it that could not be proved to be its own: the worst
    reason."""
    name, path, proof = _HOOKS[side]
    facts: dict[str, Any] = {"last_seen_at": at.isoformat() if at else None, "seconds_ago": _age(at, now)}
    fresh = [one for one in refusals if now - one.at <= (REFUSED_BESIDE if at and one.at < at else REFUSED_REMEMBERED)]
    refused = max(fresh, key=lambda one: (one.is_wrong(at), one.at), default=None)
    if refused is None:
        if at is not None:
            return Check(State.OK, f"Webhooks of {name} arrive.", facts)
        message = f"No authentic delivery from {name} has ever arrived. Is its webhook registered for {path}?"
        return Check(State.DEGRADED, message, facts)
    facts |= {"refused": refused.count, "reason": refused.reason, "last_refused_at": refused.at.isoformat()}
    last_good = f"the last good one came at {at:{INSTANT}}." if at else "no good one has ever come."
    message = (
        f"{refused.count} {'delivery' if refused.count == 1 else 'deliveries'} to {path} refused since "
        f"{refused.since:{INSTANT}} ({refused.reason}), the last at {refused.at:{INSTANT}}; {last_good}"
    )
    secrets = f"{side.upper()}_WEBHOOK_SECRETS (or {side}.webhook_secrets in bridge.yaml)"
    remedy = _REFUSED.get(refused.reason, _REFUSED["signature_mismatch"])
    remedy = remedy.format(name=name, secrets=secrets, proof=proof)
    if at and refused.at < at:
        remedy = f"Nothing, if the secret was changed in between. Else two senders use different secrets: {remedy}"
        return Check(State.OK, message, facts, "deliveries_refused", remedy)
    return Check(State.DEGRADED, message, facts, "deliveries_refused", remedy, blocks_pages=refused.is_wrong(at))


_REMEDY_OF_REASON: Mapping[str, str] = {
    "unauthorized": "Put a valid key in the place of the one that is refused, and restart.",
    "forbidden": "Use a key that may write, or give this one the right to.",
    "forbidden_to_some": "The log event `delivery.held` names the alerts: give the key the right to change them.",
    **dict.fromkeys(
        ("from_unknown", "from_malformed", "from_missing"),
        "Set PAGERDUTY_FROM_EMAIL to the login e-mail of a user of the account, and restart.",
    ),
    "redirected_to_some": "The log event `delivery.held` names the alerts: if their path alone redirects, see what a "
    "proxy on the way does with it; if every path does, the address of the API is another one.",
    UNSENDABLE: "Nothing was sent: the address of the API, the key or the e-mail has a character no request can carry.",
    REDIRECTED: "The address of its API only redirects: set TRUTHVOUCH_API_URL, PAGERDUTY_API_URL or "
    "PAGERDUTY_EVENTS_URL to the one its documents name, and restart.",
    "http_407": "The proxy on the way wants a user and a password: put them into HTTPS_PROXY, and restart.",
}
"""Why a target is paused -> what to do."""


def _paused(paused_targets: Mapping[str, str]) -> Check:
    facts = {"targets": dict(paused_targets)}
    if not paused_targets:
        return Check(State.OK, "No target is paused.", facts)
    listed = "; ".join(f"{target} ({reason})" for target, reason in sorted(paused_targets.items()))
    message = (
        "Deliveries wait, and are tried again every few seconds, because a partner refuses our credentials or does "
        f"not answer: {listed}"
    )
    reasons = sorted({reason for hold in paused_targets.values() for reason in hold.split(", ")})
    remedies = dict.fromkeys(_REMEDY_OF_REASON[reason] for reason in reasons if reason in _REMEDY_OF_REASON)
    remedy = " ".join(remedies) or "See the partner's status page, and the network between; it goes on by itself."
    pages = any(target.startswith(Side.PAGERDUTY) for target in paused_targets)
    return Check(State.DEGRADED, message, facts, remedy=remedy, blocks_pages=pages)


# A subscription that PagerDuty switched off has thrown away what people did meanwhile, so whoever switches it on again
# also asks for a reconciliation.

KEY = "subscription.health"
"""The newest verdict, as ``Verdict.as_text`` writes it."""
NOT_READ = "subscriptions_not_read"


@dataclass(frozen=True)
class WatchSubscriptions:
    """Looks, mends, and remembers what it found."""

    subscriptions: Subscriptions
    wanted: Callable[[], Wanted]
    transactions: Transactions
    key_values: KeyValueStore
    reconcile: Callable[[], None]
    """Asks for a reconciliation soon: the gap is filled from what both sides say now."""
    clock: Clock = utc_now

    def __call__(self) -> Verdict:
        """The periodic task: ends PagerDuty's own switching-off, changes nothing that a person decided."""
        verdict = self.repair({Mend.ENABLE})
        if all(fault.code != NOT_READ for fault in verdict.faults):  # a check that failed leaves the last one's word
            with self.transactions.begin() as tx:
                self.key_values.put(tx, KEY, verdict.as_text())
        for fault in verdict.faults:
            say = log.warning if fault.warning else log.error
            say("subscription.unhealthy", code=fault.code, subscription_id=fault.subscription_id)
        return verdict

    def inspect(self) -> Verdict:
        """What is wrong now."""
        return inspect(self.subscriptions, self.wanted(), self.clock())[0]

    def listed(self) -> Sequence[Subscription]:
        """All of them; nothing where the list cannot be read."""
        return inspect(self.subscriptions, self.wanted(), self.clock())[1]

    def repair(self, allowed: set[Mend]) -> Verdict:
        """Mend what may be mended, and if anything was, ask for a reconciliation; the verdict says what was and what is
        still wrong."""
        wanted = self.wanted()
        verdict, found = inspect(self.subscriptions, wanted, self.clock())
        mended = tuple(fault for fault in verdict.faults if fault.mend in allowed and self._mend(fault, found, wanted))
        if mended:
            self.reconcile()
            verdict, _ = inspect(self.subscriptions, wanted, self.clock())
        return replace(verdict, mended=tuple(fault.code for fault in mended))

    def _mend(self, fault: Fault, found: Sequence[Subscription], wanted: Wanted) -> bool:
        ident = fault.subscription_id
        reply: Reply[object]
        if fault.mend is Mend.ENABLE:
            reply = self.subscriptions.enable(ident)
        else:
            sent = next((one.events for one in found if one.subscription_id == ident), ())
            reply = self.subscriptions.update(ident, tuple(dict.fromkeys((*sent, *wanted.events))))
        if isinstance(reply, Done):
            self.subscriptions.ping(ident)  # shows in the bridge's last-seen that deliveries arrive again
            log.info("subscription.mended", code=fault.code, subscription_id=ident)
        else:
            log.error("subscription.not_mended", code=fault.code, subscription_id=ident, reason=reply.reason)
        return isinstance(reply, Done)


def inspect(subscriptions: Subscriptions, wanted: Wanted, now: datetime) -> tuple[Verdict, Sequence[Subscription]]:
    """What is wrong, and the list it was read from; empty where the list could not be read."""
    reply = subscriptions.list()
    if isinstance(reply, Done):
        return Verdict(now, judge(reply.value, wanted)), reply.value
    return Verdict(now, (_not_readable(reply),)), ()


def _not_readable(reply: Retry | Held | Refused) -> Fault:
    """Refused for good, or only not now."""
    if isinstance(reply, Retry):
        message = f"PagerDuty's webhook subscriptions could not be read just now ({reply.reason})."
        return Fault(NOT_READ, message, "It is tried again; see whether PagerDuty answers at all.")
    if isinstance(reply, Held) and reply.reason != FORBIDDEN:
        message = f"PagerDuty's webhook subscriptions could not be read ({reply.reason})."
        return Fault(NOT_READ, message, "See the check `pagerduty_key`.")
    message = f"PagerDuty does not let this API key see its webhook subscriptions ({reply.reason})."
    remedy = "Use a key that may, or look yourself: PagerDuty, Integrations, Generic Webhooks (v3)."
    return Fault("subscriptions_not_readable", message, remedy, warning=True)
