"""Use case: the bridge opens an incident of its own when it cannot do its work, and resolves it by itself.

Every machine may do so: the incident's key is made of the installation and the fault, so whatever is sent twice is one
incident. What was sent is remembered in the store, and by whoever watches, for the time when the store is the fault.
"""

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from queue import Empty, SimpleQueue

import structlog

from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Done, Refused, Reply, Retry
from app.domain.model.types import IncidentKey, Urgency
from app.ports import Clock, Events, KeyValueStore, StoreUnavailable, Transactions, utc_now
from app.services.diagnostics.health import INSTANT, Check, Report, State
from app.services.diagnostics.self_fault import (
    RULES,
    Action,
    Memory,
    SelfFault,
    Standing,
    Symptom,
    after,
    merged,
    step,
    symptoms,
)

log = structlog.get_logger()

INSTALLATION = "installation.id"
"""Key: tells this installation from others that page through the same PagerDuty key."""
REMEMBERED = "self_page"
"""Key: what is remembered of every fault, as ``Memory.as_text`` writes it."""
SOURCE = "truthvouch-pagerduty-bridge"
HEALTH_SECONDS = 20.0
"""A store that does not answer for so long is gone."""


@dataclass
class SelfPage:
    """One watcher: each call is one look, and what follows from it."""

    health: Callable[[], Report]
    """What ``/readyz`` reports."""
    events: Events
    transactions: Callable[[], Transactions]
    """Raises ``StoreUnavailable`` where there is no store."""
    key_values: KeyValueStore
    fallback_id: str
    """In the place of the installation's id while the store was never read: made of the configuration."""
    public_url: str | None
    memory: Memory = field(default_factory=Memory)
    announce: Callable[[Memory], None] = lambda _: None
    """Called before something is sent, with what is then to be remembered."""
    clock: Clock = utc_now
    health_seconds: float = HEALTH_SECONDS
    _looking: threading.Thread | None = None
    _reports: SimpleQueue[Report] = field(default_factory=SimpleQueue)

    def __call__(self) -> Memory:
        """Look once, send what is due, remember it. The answer is for the next watcher. Raises nothing that the store
        or PagerDuty does."""
        report = self._report()
        now = self.clock()
        there = symptoms(report, now)
        if there.get(SelfFault.STORE_GONE):
            log.warning("self_page.without_store", reason=report.checks["store"].message[:200])
        stored = None if there.get(SelfFault.STORE_GONE) else self._stored()
        if stored and self.memory.standings is None:
            self._resolve_forgotten(stored.installation)
        self.memory = self._joined(stored)
        for fault, symptom in there.items():
            self._take_step(fault, symptom, now, stored is not None)
        if stored and self.memory != stored:
            self._store()
        return self.memory

    def _joined(self, stored: Memory | None) -> Memory:
        """What we remember and what the store does."""
        ours, theirs = self.memory.standings or {}, (stored.standings or {} if stored else {})
        known = {fault: merged(theirs.get(fault), ours.get(fault)) for fault in SelfFault}
        installation = stored.installation if stored else self.memory.installation
        return Memory(installation, {fault: standing for fault, standing in known.items() if standing})

    def _put(self, fault: SelfFault, standing: Standing | None) -> None:
        others = {one: known for one, known in (self.memory.standings or {}).items() if one is not fault}
        self.memory = replace(self.memory, standings=others | ({fault: standing} if standing else {}))

    def _report(self) -> Report:
        """The report, or that the store does not answer: a disk or a network that hangs must not stop the page about
        it. One look that hangs is enough: another begins when it has ended."""
        if self._looking is None or not self._looking.is_alive():
            self._reports = SimpleQueue()
            self._looking = threading.Thread(
                target=_look, args=(self.health, self._reports), name="self-page-health", daemon=True
            )
            self._looking.start()
        try:
            return self._reports.get(timeout=self.health_seconds)
        except Empty:
            return store_gone("The store does not answer.")

    def _take_step(self, fault: SelfFault, symptom: Symptom | None, now: datetime, has_store: bool) -> None:
        standing, action = step(fault, (self.memory.standings or {}).get(fault), symptom, now)
        self._put(fault, standing)
        if standing is None or action is Action.NOTHING:
            return
        ident = self.memory.installation or self.fallback_id
        key = standing.key or _key(ident, fault)
        if action is Action.OPEN and symptom is not None:
            # Remembered before it is sent: whoever is killed in between leaves nothing open that nobody knows of.
            self._put(fault, after(standing, action, key, taken=True, unclear=False, now=now))
            if has_store:
                self._store()
            self.announce(self.memory)
            reply = self.events.trigger(draft(fault, symptom, standing.since, key, ident, self.public_url))
        else:
            reply = self.events.resolve(IncidentKey(key))
        _say(fault, action, reply)
        # To a resolve that is refused for good there is nothing to add: the key is another one by now.
        taken = isinstance(reply, Done) or (action is Action.RESOLVE and isinstance(reply, Refused))
        unclear = isinstance(reply, Retry) and reply.unclear
        self._put(fault, after(standing, action, key, taken, unclear, self.clock()))

    def _resolve_forgotten(self, installation: str) -> None:
        """A watcher that paged from memory, and was killed, took its memory with it. A resolve too many does nothing;
        where another machine still misses the store, its next repetition pages again."""
        for ident in (installation, self.fallback_id):
            self.events.resolve(_key(ident, SelfFault.STORE_GONE))

    def _stored(self) -> Memory | None:
        """What the store remembers, with the installation's id, which is made the first time; None without a store."""
        try:
            with self.transactions().read() as tx:
                ident, text = self.key_values.read(tx, INSTALLATION), self.key_values.read(tx, REMEMBERED)
            if ident is None:
                with self.transactions().begin() as tx:
                    ident = self.key_values.read(tx, INSTALLATION) or uuid.uuid4().hex
                    self.key_values.put(tx, INSTALLATION, ident)
        except StoreUnavailable:
            return None
        return replace(Memory.from_text(text), installation=ident)

    def _store(self) -> None:
        try:
            with self.transactions().begin() as tx:
                self.key_values.put(tx, REMEMBERED, self.memory.as_text())
        except StoreUnavailable as fault:
            log.warning("self_page.not_remembered", reason=str(fault)[:200])


def _key(ident: str, fault: SelfFault) -> IncidentKey:
    return IncidentKey(f"truthvouch-bridge-{ident}-{fault}")


def _say(fault: SelfFault, action: Action, reply: Reply[None]) -> None:
    if not isinstance(reply, Done):
        log.error("self_page.not_sent", fault=fault.value, action=action.value, reason=reply.reason)
    elif action is Action.OPEN:
        log.error("self_page.opened", fault=fault.value)
    else:
        log.info("self_page.resolved", fault=fault.value)


def draft(
    fault: SelfFault, symptom: Symptom, since: datetime, key: str, ident: str, public_url: str | None
) -> IncidentDraft:
    """The incident about a fault: what is wrong, since when, what to do, and where. No secret, no word of an alert."""
    rule = RULES[fault]
    details = {
        "fault": fault.value,
        "what": symptom.message,
        "since": f"{since:{INSTANT}}",
        "remedy": symptom.remedy,
        "bridge": public_url or "BRIDGE_PUBLIC_URL is not set",
        "installation": ident,
    }
    urgency = Urgency.LOW if rule.severity == "warning" else Urgency.HIGH
    title, source = f"TruthVouch bridge: {rule.title}", public_url or SOURCE
    key, client = IncidentKey(key), "TruthVouch bridge"
    return IncidentDraft(key, title, urgency, rule.severity, source, details, occurred_at=since, client=client)


def trial_draft(nonce: str, public_url: str | None, now: datetime) -> IncidentDraft:
    """The incident of a test: opened and resolved at once, under a key of its own."""
    details = {
        "note": "Opened and resolved by `truthvouch doctor --self-test`. Nothing is to be done.",
        "bridge": public_url or "BRIDGE_PUBLIC_URL is not set",
    }
    key, title = IncidentKey(f"truthvouch-bridge-test-{nonce}"), "TruthVouch bridge: test of its own page"
    client = "TruthVouch bridge"
    return IncidentDraft(key, title, Urgency.LOW, "info", SOURCE, details, occurred_at=now, client=client)


def _look(health: Callable[[], Report], reports: SimpleQueue[Report]) -> None:
    try:
        reports.put(health())
    except StoreUnavailable as fault:
        reports.put(store_gone(str(fault)))
    except Exception as fault:
        log.exception("self_page.health_broke")
        reports.put(store_gone(type(fault).__name__))


def store_gone(why: str) -> Report:
    """A report in which nothing is known but that the store cannot be used."""
    return Report({"store": Check(State.RED, why)})
