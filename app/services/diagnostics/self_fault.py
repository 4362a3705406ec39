"""What can be wrong with the bridge itself that a person has to know of at once, and when an incident of its own opens
and is resolved. Pure: what ``/readyz`` reports goes in, what to send comes out.

A fault has to last before it pages, and has to be over for a while before it is resolved. One that comes back soon
after is resolved later, so that it opens one incident and not one a minute.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from app.domain.model.types import Side, instant
from app.services.diagnostics.health import Check, Report, State


class SelfFault(StrEnum):
    """What the bridge pages about, by the word that its incident is deduplicated by."""

    PAGE_WAITING = "page_waiting"
    PAGE_REFUSED = "page_refused"
    WORKER_SILENT = "worker_silent"
    STORE_GONE = "store_gone"
    SUBSCRIPTION_OFF = "subscription_off"
    SECRETS_MISMATCH = "secrets_mismatch"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a fault pages."""

    title: str
    """What is wrong, in one sentence."""
    severity: str
    """One of PagerDuty's Events severities; whether it wakes somebody is for the service to say."""
    raise_after: timedelta
    """How long it lasts before it pages."""
    remedy: str
    """What to do, where the check does not say it."""


RULES: Mapping[SelfFault, Rule] = {
    SelfFault.PAGE_WAITING: Rule(
        "A page has been waiting for more than a minute",
        "critical",
        timedelta(0),
        "See `paused_targets` in /readyz and the log events delivery.retried, delivery.held.",
    ),
    SelfFault.PAGE_REFUSED: Rule(
        "A page was given up, and nobody got it",
        "critical",
        timedelta(0),
        "Run `truthvouch dead-letters list`, mend what it names, then replay it; or call the person yourself.",
    ),
    SelfFault.WORKER_SILENT: Rule(
        "The worker is silent: nothing is delivered",
        "critical",
        timedelta(seconds=30),
        "See the worker's log; with BRIDGE_ROLE=web start a `truthvouch worker`.",
    ),
    SelfFault.STORE_GONE: Rule(
        "The store cannot be used: deliveries are refused with 503",
        "critical",
        timedelta(seconds=30),
        "Free the disk, or bring the database back: the senders repeat what was refused.",
    ),
    SelfFault.SUBSCRIPTION_OFF: Rule(
        "PagerDuty's webhook subscription does not send here",
        "error",
        timedelta(0),
        "Run `truthvouch doctor --repair`.",
    ),
    # Anybody who can reach the bridge can send deliveries with a wrong signature: that must wake nobody.
    SelfFault.SECRETS_MISMATCH: Rule(
        "Webhooks are refused: their signature does not match",
        "warning",
        timedelta(minutes=5),
        "Put the secret that the sender signs with first into its variable, and restart.",
    ),
}
"""Every fault, and how it pages. docs/operating.md shows the same table."""

CLEAR_AFTER = timedelta(seconds=30)
"""How long a fault is over before its incident is resolved."""
RETURNED_WITHIN = timedelta(minutes=10)
"""A fault that comes back so soon after it was resolved has to be over for as long before it is resolved again."""
REPEAT_AFTER = timedelta(hours=1)
"""How often a fault that lasts is sent again: PagerDuty adds it to the incident that is open, or opens another one
where a person closed it."""
FIRST_RETRY, LAST_RETRY = timedelta(seconds=15), timedelta(minutes=5)
"""From one failed try to the next: twice as long each time."""
MISMATCHES = 3
"""So many deliveries that do not match, and none that does, are taken for a wrong secret."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """A fault that is there now."""

    message: str
    remedy: str
    since: datetime | None = None
    """Where it is known by more than our having seen it."""


def symptoms(report: Report, now: datetime) -> Mapping[SelfFault, Symptom | None]:
    """Every fault of which the report says whether it is there. With the store gone it says nothing of the others."""
    checks = report.checks
    if checks["store"].state is State.RED:
        # Not in the driver's words: they may name hosts and users.
        return {SelfFault.STORE_GONE: Symptom("Nothing can be stored or read.", RULES[SelfFault.STORE_GONE].remedy)}
    waiting, dead, subscription = (checks[name] for name in ("oldest_waiting", "dead_letters", "webhook_subscription"))
    return {
        SelfFault.STORE_GONE: None,
        SelfFault.WORKER_SILENT: _worker(checks["worker"], now),
        SelfFault.PAGE_WAITING: _seen(SelfFault.PAGE_WAITING, waiting, waiting.blocks_pages),
        SelfFault.PAGE_REFUSED: _seen(SelfFault.PAGE_REFUSED, dead, dead.blocks_pages),
        SelfFault.SUBSCRIPTION_OFF: _seen(SelfFault.SUBSCRIPTION_OFF, subscription, subscription.state is not State.OK),
        SelfFault.SECRETS_MISMATCH: _mismatch([checks[side] for side in Side]),
    }


def _seen(fault: SelfFault, check: Check, is_there: bool) -> Symptom | None:
    return Symptom(check.message, check.remedy or RULES[fault].remedy) if is_there else None


def _worker(check: Check, now: datetime) -> Symptom | None:
    if check.state is not State.RED:
        return None
    age = check.facts.get("heartbeat_age_seconds")
    since = None if age is None else now - timedelta(seconds=age)
    return Symptom(check.message, RULES[SelfFault.WORKER_SILENT].remedy, since)


def _mismatch(checks: list[Check]) -> Symptom | None:
    def is_wrong(check: Check) -> bool:
        facts = check.facts
        return check.blocks_pages and facts.get("reason") == "signature_mismatch" and facts["refused"] >= MISMATCHES

    wrong = [check for check in checks if is_wrong(check)]
    if not wrong:
        return None
    return Symptom(" ".join(check.message for check in wrong), " ".join(check.remedy for check in wrong))


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of one fault."""

    since: datetime
    seen_at: datetime
    """When it was last there."""
    opened_at: datetime | None = None
    """When PagerDuty first took it, or may have."""
    key: str = ""
    """What its incident was opened under."""
    tried_at: datetime | None = None
    failures: int = 0
    """Tries in a row that PagerDuty did not take."""
    closed_at: datetime | None = None
    """When PagerDuty took its end."""
    returned: bool = False
    """It came back soon after it was resolved."""

    @property
    def is_open(self) -> bool:
        """Whether there is, or may be, an incident."""
        return self.opened_at is not None and self.closed_at is None

    @property
    def touched_at(self) -> datetime:
        """When something last happened to it."""
        return max(filter(None, (self.seen_at, self.tried_at, self.closed_at)))


class Action(StrEnum):
    """What to send to PagerDuty."""

    NOTHING = "nothing"
    OPEN = "open"
    RESOLVE = "resolve"


def step(
    fault: SelfFault, standing: Standing | None, symptom: Symptom | None, now: datetime
) -> tuple[Standing | None, Action]:
    """What is remembered of the fault from now on, and what to send."""
    if symptom is None:
        return _absent(standing, now) if standing else (None, Action.NOTHING)
    if standing is None or standing.closed_at is not None:
        standing = Standing(symptom.since or now, now, returned=standing is not None)
    since = min(standing.since, symptom.since or now)
    standing = replace(standing, since=since, seen_at=now)
    if standing.failures:
        due = _retry_at(standing) <= now
    elif standing.opened_at is None:
        due = now - standing.since >= RULES[fault].raise_after
    else:
        due = standing.tried_at is None or now - standing.tried_at >= REPEAT_AFTER
    return standing, Action.OPEN if due else Action.NOTHING


def _absent(standing: Standing, now: datetime) -> tuple[Standing | None, Action]:
    if standing.closed_at is not None:
        return (standing if now - standing.closed_at < RETURNED_WITHIN else None), Action.NOTHING
    if now - standing.seen_at < (RETURNED_WITHIN if standing.returned else CLEAR_AFTER):
        return standing, Action.NOTHING
    if standing.opened_at is None:
        return None, Action.NOTHING
    due = not standing.failures or _retry_at(standing) <= now
    return standing, Action.RESOLVE if due else Action.NOTHING


def _retry_at(standing: Standing) -> datetime:
    assert standing.tried_at is not None
    return standing.tried_at + min(LAST_RETRY, FIRST_RETRY * (1 << min(standing.failures - 1, 10)))


def after(standing: Standing, action: Action, key: str, taken: bool, unclear: bool, now: datetime) -> Standing:
    """After a try: whether PagerDuty took it, or (``unclear``) may have."""
    standing = replace(standing, tried_at=now, failures=0 if taken else standing.failures + 1)
    if action is Action.RESOLVE:
        return replace(standing, closed_at=now) if taken else standing
    if (taken or unclear) and standing.opened_at is None:
        return replace(standing, opened_at=now, key=key)
    return standing


def merged(one: Standing | None, other: Standing | None) -> Standing | None:
    """What two watchers remember of one fault: the newer, but an incident that either of them opened is not
    forgotten."""
    if one is None or other is None:
        return one or other
    older, newer = sorted((one, other), key=lambda standing: standing.touched_at)
    if older.is_open and newer.opened_at is None:
        return replace(newer, opened_at=older.opened_at, key=older.key)
    return newer


@dataclass(frozen=True, slots=True)
class Memory:
    """What a watcher hands to the next one, and keeps in the store while there is one."""

    installation: str = ""
    """The id in the store; empty where it was never read."""
    standings: Mapping[SelfFault, Standing] | None = None
    """None: nobody watched before."""

    def as_text(self) -> str:
        """One line of JSON, shorter than 4,096 bytes: so much is written to a pipe at once or not at all."""
        known = {fault: _as_json(standing) for fault, standing in (self.standings or {}).items()}
        return json.dumps({"id": self.installation, "faults": known}, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | None) -> "Memory":
        """What ``as_text`` wrote; an empty one for anything else, another version's say."""
        try:
            stored = json.loads(text or "")
            known = {SelfFault(fault): _from_json(facts) for fault, facts in stored["faults"].items()}
            return cls(str(stored["id"]), known)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()


_TIMES = ("since", "seen_at", "opened_at", "tried_at", "closed_at")


def _as_json(standing: Standing) -> dict[str, Any]:
    facts = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(standing).items()
    }
    return {name: value for name, value in facts.items() if value}


def _from_json(facts: Mapping[str, Any]) -> Standing:
    times = {name: instant(facts.get(name)) for name in _TIMES}
    since, seen_at = times.pop("since"), times.pop("seen_at")
    if since is None or seen_at is None:
        raise ValueError("a fault without a time")
    failures, returned = int(facts.get("failures", 0)), facts.get("returned") is True
    return Standing(since, seen_at, key=str(facts.get("key", "")), failures=failures, returned=returned, **times)
