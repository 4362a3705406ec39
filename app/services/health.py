"""Use case: can the bridge do its work, and what would a person have to do about it?

Red only for what makes accepting or delivering impossible: a store that cannot be written, a worker that is not there,
a credential that is missing. Everything else that deserves a look is *degraded*.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain.names import Side
from app.domain.outcome import REDIRECTED, UNSENDABLE
from app.domain.proof import RefusedDeliveries
from app.domain.subscription import Verdict
from app.ports import Inbox, Pulse, StoreUnavailable, Vitals
from app.services.receiving import utc_now

HEARTBEAT_LIMIT_SECONDS = 10.0
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
    holds_pages: bool = False
    """It keeps, or kept, a page from going out: wrong for the doctor, though requests may still be sent here."""


@dataclass(frozen=True, slots=True)
class Report:
    """All checks by name, and the worst of them."""

    checks: Mapping[str, Check]

    @property
    def state(self) -> State:
        """``RED`` if any check is, else ``DEGRADED`` if any is."""
        order = list(State)
        return max((check.state for check in self.checks.values()), key=order.index)


class Health:
    """Looks at everything the bridge needs. Safe to call from many threads."""

    def __init__(
        self,
        inbox: Inbox,
        vitals: Vitals,
        missing: Callable[[], Sequence[str]],
        notes: Callable[[], Sequence[str]],
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        """``missing``: credentials that are not set; ``notes``: what works only in part. Both name the variable."""
        self._inbox, self._vitals, self._missing, self._notes, self._clock = inbox, vitals, missing, notes, clock
        self._lock = threading.Lock()
        self._kept: tuple[datetime, Report] | None = None
        self._looks = 0

    def __call__(self) -> Report:
        """The report: at most ``FRESH_SECONDS`` old, and a red one never older than the question.

        Whoever asks during a look waits for the next one, together with all others who ask meanwhile.
        """
        begun = self._looks
        with self._lock:
            now = self._clock()
            if self._kept is None or not (self._looks > begun or _is_fresh(*self._kept, now)):
                self._looks += 1
                self._kept = (now, self._look(now))
            return self._kept[1]

    def _look(self, now: datetime) -> Report:
        store = self._store()
        checks = {"store": store, "configuration": _configuration(self._missing(), self._notes())}
        try:
            checks |= _vital_signs(self._vitals.read(), now)
        except StoreUnavailable as fault:
            checks["store"] = store if store.state is State.RED else _unreadable(fault)
            checks["worker"] = Check(State.RED, "Unknown: its heartbeat is in the store, which cannot be read.")
        return Report(checks)

    def _store(self) -> Check:
        try:
            self._inbox.check_writable()
        except StoreUnavailable as fault:
            return Check(State.RED, f"Nothing can be stored, so deliveries are answered with 503: {str(fault)[:200]}")
        return Check(State.OK, "A delivery can be stored.")


def _is_fresh(at: datetime, report: Report, now: datetime) -> bool:
    return report.state is not State.RED and 0 <= (now - at).total_seconds() < FRESH_SECONDS


def _unreadable(fault: StoreUnavailable) -> Check:
    return Check(State.RED, f"The store cannot be read: {str(fault)[:200]}")


def _configuration(missing: Sequence[str], notes: Sequence[str]) -> Check:
    facts = {"missing": list(missing), "notes": list(notes)}
    if missing:
        return Check(State.RED, "Missing: " + "; ".join(missing), facts)
    if notes:
        return Check(State.DEGRADED, "; ".join(notes), facts)
    return Check(State.OK, "Every credential is set.", facts)


def _vital_signs(pulse: Pulse, now: datetime) -> dict[str, Check]:
    return {
        "worker": _worker(_age(pulse.worker_seen_at, now)),
        "oldest_waiting": _waiting(pulse, _age(pulse.oldest_waiting_at, now), _age(pulse.oldest_page_at, now)),
        "dead_letters": _dead_letters(pulse.dead, pulse.dead_pages),
        "frozen_links": _frozen_links(pulse.frozen),
        "webhook_subscription": _subscription(pulse.subscription),
        **deliveries(pulse, now),
        "holds": _holds(pulse.holds),
    }


def _age(at: datetime | None, now: datetime) -> float | None:
    return None if at is None else round(max(0.0, (now - at).total_seconds()), 1)


def _worker(age: float | None) -> Check:
    facts = {"heartbeat_age_seconds": age}
    if age is None:
        return Check(State.RED, "No worker has ever started on this store: nothing is delivered.", facts)
    if age > HEARTBEAT_LIMIT_SECONDS:
        words = f"The worker's last heartbeat was {age:.0f} seconds ago: nothing is delivered. See the worker's log."
        return Check(State.RED, words, facts)
    return Check(State.OK, "The worker is alive.", facts)


def _waiting(pulse: Pulse, age: float | None, page_age: float | None) -> Check:
    facts = {"waiting": pulse.waiting, "age_seconds": age}
    if page_age is not None and page_age > WAITING_LIMIT_SECONDS:
        words = f"An incident that has to be opened has been waiting for {page_age:.0f} seconds."
        remedy = "See the holds, and the log events delivery.retried and delivery.held; until then look at TruthVouch."
        return Check(State.DEGRADED, words, facts, "page_waits_long", remedy, holds_pages=True)
    if age is not None and age > WAITING_LIMIT_SECONDS:
        words = f"A delivery has been waiting for {age:.0f} seconds: see `holds` and the partners' status pages."
        return Check(State.DEGRADED, words, facts)
    return Check(State.OK, "Nothing waits for long." if pulse.waiting else "Nothing is waiting.", facts)


def _dead_letters(count: int, pages: int) -> Check:
    facts = {"count": count, "pages": pages}
    if pages:
        words = (
            f"{pages} of {count} dead letters may be a page that nobody got. `truthvouch dead-letters list` says why."
        )
        remedy = "Mend what the letter names, then `truthvouch dead-letters replay ID`; or call the person yourself."
        return Check(State.DEGRADED, words, facts, "pages_refused", remedy, holds_pages=True)
    if count:
        words = "Something could not be read or delivered: `truthvouch dead-letters list` says what and why."
        return Check(State.DEGRADED, words, facts)
    return Check(State.OK, "No dead letters.", facts)


def _subscription(verdict: Verdict | None) -> Check:
    if verdict is None:
        return Check(State.OK, "PagerDuty's webhook subscription is not watched.", {"codes": []})
    faults = [fault for fault in verdict.faults if not fault.warning]
    facts = {"codes": [fault.code for fault in verdict.faults], "seen_at": verdict.at.isoformat()}
    words = " ".join(f"{fault.words} {fault.todo}" for fault in faults or verdict.faults)
    if faults:
        return Check(State.DEGRADED, words, facts)
    return Check(State.OK, words or "PagerDuty's webhook subscription is in order.", facts)


def _frozen_links(count: int) -> Check:
    if count:
        words = (
            "The two sides kept undoing each other's changes: `truthvouch links list --frozen` names the alerts, "
            "`truthvouch links thaw ALERT` ends it."
        )
        return Check(State.DEGRADED, words, {"count": count})
    return Check(State.OK, "No link is frozen.", {"count": 0})


@dataclass(frozen=True, slots=True)
class _Hook:
    """What people are told about one of the two hooks."""

    name: str
    path: str
    secrets: str
    """Where its secrets stand."""
    proof: str
    """What shows that a delivery is taken again."""


_TRUTHVOUCH = _Hook(
    "TruthVouch",
    "/truthvouch/alerts",
    "TRUTHVOUCH_WEBHOOK_SECRETS (or truthvouch.webhook_secrets in bridge.yaml)",
    "the next alert",
)
_PAGERDUTY = _Hook(
    "PagerDuty",
    "/pagerduty/webhook",
    "PAGERDUTY_WEBHOOK_SECRETS (or pagerduty.webhook_secrets in bridge.yaml)",
    "`truthvouch config pagerduty --test`",
)
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


def deliveries(pulse: Pulse, now: datetime) -> dict[str, Check]:
    """By side: whether its webhooks come, and whether they prove to be its own."""
    return {
        "truthvouch": _deliveries(_TRUTHVOUCH, pulse.truthvouch_seen_at, pulse.refused.get(Side.TRUTHVOUCH, ()), now),
        "pagerduty": _deliveries(_PAGERDUTY, pulse.pagerduty_seen_at, pulse.refused.get(Side.PAGERDUTY, ()), now),
    }


def _deliveries(hook: _Hook, at: datetime | None, refusals: Sequence[RefusedDeliveries], now: datetime) -> Check:
    """When that side was last heard, and what came of it that could not be proved to be its own: the worst reason."""
    facts: dict[str, Any] = {"last_seen_at": at.isoformat() if at else None, "seconds_ago": _age(at, now)}
    fresh = [one for one in refusals if now - one.at <= (REFUSED_BESIDE if at and one.at < at else REFUSED_REMEMBERED)]
    refused = max(fresh, key=lambda one: (one.is_wrong(at), one.at), default=None)
    if refused is None:
        if at is None:
            words = (
                f"No authentic delivery from {hook.name} has ever arrived. Is its webhook registered for {hook.path}?"
            )
            return Check(State.DEGRADED, words, facts)
        return Check(State.OK, f"{hook.name} has been heard.", facts)
    facts |= {"refused": refused.count, "reason": refused.reason, "last_refused_at": refused.at.isoformat()}
    words = (
        f"{refused.count} {'delivery' if refused.count == 1 else 'deliveries'} to {hook.path} refused since "
        f"{refused.since:%Y-%m-%d %H:%M:%S}Z ({refused.reason}), the last at {refused.at:%Y-%m-%d %H:%M:%S}Z; "
        + (f"the last good one came at {at:%Y-%m-%d %H:%M:%S}Z." if at else "no good one has ever come.")
    )
    remedy = _REFUSED.get(refused.reason, _REFUSED["signature_mismatch"])
    remedy = remedy.format(name=hook.name, secrets=hook.secrets, proof=hook.proof[:1].upper() + hook.proof[1:])
    if at and refused.at < at:
        remedy = f"Nothing, if the secret was changed in between. Else two senders use different secrets: {remedy}"
        return Check(State.OK, words, facts, "deliveries_refused", remedy)
    return Check(State.DEGRADED, words, facts, "deliveries_refused", remedy, holds_pages=refused.is_wrong(at))


_OF_A_HOLD: Mapping[str, str] = {
    "unauthorized": "Put a valid key in the place of the one that is refused, and restart.",
    "forbidden": "Use a key that may write, or give this one the right to.",
    "forbidden_to_some": "The log event `delivery.held` names the alerts: give the key the right to change them.",
    "from_unknown": "Set PAGERDUTY_FROM_EMAIL to the login e-mail of a user of the account, and restart.",
    "from_malformed": "Set PAGERDUTY_FROM_EMAIL to the login e-mail of a user of the account, and restart.",
    "from_missing": "Set PAGERDUTY_FROM_EMAIL to the login e-mail of a user of the account, and restart.",
    "redirected_to_some": "The log event `delivery.held` names the alerts: if their path alone redirects, see what a "
    "proxy on the way does with it; if every path does, the address of the API is another one.",
    UNSENDABLE: "Nothing was sent: the address of the API, the key or the e-mail has a character no request can carry.",
    REDIRECTED: "The address of its API only redirects: set TRUTHVOUCH_API_URL, PAGERDUTY_API_URL or "
    "PAGERDUTY_EVENTS_URL to the one its documents name, and restart.",
    "http_407": "The proxy on the way wants a user and a password: put them into HTTPS_PROXY, and restart.",
}
"""Why a target is held -> what to do."""


def _holds(holds: Mapping[str, str]) -> Check:
    facts = {"targets": dict(holds)}
    if holds:
        held = "; ".join(f"{target} ({reason})" for target, reason in sorted(holds.items()))
        words = (
            "Deliveries wait, and are tried again every few seconds, because a partner refuses our credentials or does "
            f"not answer: {held}"
        )
        reasons = {reason for told in holds.values() for reason in told.split(", ")}
        remedy = " ".join(dict.fromkeys(_OF_A_HOLD[reason] for reason in sorted(reasons) if reason in _OF_A_HOLD))
        remedy = remedy or "See the partner's status page, and the network between; it goes on by itself."
        pages = any(target.startswith(Side.PAGERDUTY) for target in holds)
        return Check(State.DEGRADED, words, facts, remedy=remedy, holds_pages=pages)
    return Check(State.OK, "No target is held.", facts)
