"""Use case: an operator asks for something, and is told what became of it.

What is asked becomes a row of the inbox, durable before anybody is answered; the worker does it, once, in its place
among everything else (``services/wishes.py``). Whoever asked waits a moment and reads the outcome from the store.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from app.domain.escalation import State
from app.domain.names import AlertId, IncidentId, Source
from app.domain.words import Wish, WishVerb
from app.ports import Bell, Delivery, Inbox, Postbox, Records, Row, Transactions
from app.services.escalate_target import TARGET_WORDS
from app.services.escalate_wish import SOMEBODY, fit_for_an_id, read
from app.services.health import HEARTBEAT_LIMIT_SECONDS
from app.services.receiving import utc_now

log = structlog.get_logger()

POLL_SECONDS = 0.05
NO_SUCH_LETTER, NO_SUCH_LINK = "no_such_letter", "no_such_link"
NOT_ARMED, NOT_TAKEN, BAD_REQUEST = "not_armed", "not_taken", "bad_request"
UNKNOWN = frozenset({NO_SUCH_LETTER, NO_SUCH_LINK, BAD_REQUEST})
"""Outcomes that mean: what was asked about does not exist."""

WORDS: Mapping[str, str] = {
    NO_SUCH_LETTER: "There is no such dead letter.",
    NO_SUCH_LINK: "The bridge knows no such alert.",
    "replayed": "It is owed again and goes out with the next delivery.",
    "nothing_to_do": "Nothing is missing any more, so nothing was sent.",
    "discarded": "It is closed without being tried; what waited behind it goes on.",
    "closed": "It was closed before.",
    "gone": "What it was about is kept no more; it is closed.",
    "still_unreadable": "This version cannot read it either; it stays open with one more attempt.",
    "thawed": "The link is carried again in both directions, with what was held.",
    "not_frozen": "The link is not frozen.",
    "asked": "A reconciliation runs as soon as the worker gets to it.",
    "armed": "It is escalated unless somebody acknowledges it in time.",
    "cancelled": "It is escalated no more.",
    NOT_ARMED: "No escalation of this incident is under way.",
    NOT_TAKEN: "Nothing was changed: an older worker took it in and could not read it. End the old workers, ask again.",
    **TARGET_WORDS,
    BAD_REQUEST: "That is no incident, policy and time that could be escalated; nothing was stored.",
}
"""Every outcome in words."""
STORED = "It is stored; the worker has not done it yet."
NOBODY = "It is stored; no worker is running, and it is done when one runs."


@dataclass(frozen=True, slots=True)
class Granted:
    """What became of a wish."""

    subject: str
    key: str
    """What tells this wish from others of its kind; empty when nothing had to be stored. Asking again under the same
    key asks nothing new and tells what became of it."""
    outcome: str
    """A word of ``WORDS``; empty while it is stored and not done."""
    alive: bool = True
    """Whether a worker is there to do it."""

    @property
    def words(self) -> str:
        """The outcome for people."""
        return WORDS.get(self.outcome, self.outcome) if self.outcome else STORED if self.alive else NOBODY


@dataclass(frozen=True)
class Operate:
    """Puts wishes into the inbox and waits for what becomes of them. Raises ``StoreUnavailable``."""

    inbox: Inbox
    bell: Bell
    post: Postbox
    transactions: Transactions
    records: Records
    mail_of: Callable[[Wish], bytes]
    patience_seconds: float
    """How long to wait for the worker."""
    by: str
    """Who asks, for the time line."""
    clock: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def __call__(self, verb: WishVerb, subject: str = "", key: str = "", detail: str = "") -> Granted:
        """Ask for one thing. ``key`` makes a repeated request the same wish; without it each is one of its own.
        ``detail``: what the wish needs besides, ``escalate_wish.arming(...)`` for example."""
        (granted,) = self.all(verb, [subject], key, detail)
        return granted

    def all(self, verb: WishVerb, subjects: Sequence[str], key: str = "", detail: str = "") -> Iterator[Granted]:
        """Ask the same of many: all are stored before the first answer is waited for, so the worker shares commits."""
        asked = [self._ask(verb, subject, key, detail) for subject in subjects]
        if any(not granted.outcome for granted in asked):
            self._ring()
        patient = self._is_alive()
        for granted in asked:
            done = granted if granted.outcome else self._wait(verb, granted, patient, detail)
            patient = patient and bool(done.outcome)
            yield done

    def is_anybody_there(self) -> bool:
        """Whether a worker is running that would do what is asked."""
        return self._is_alive()

    def _ask(self, verb: WishVerb, subject: str, key: str, detail: str) -> Granted:
        key = key or uuid.uuid4().hex
        delivery_id = _delivery_id(verb, subject, key)
        known = self._standing(verb, subject, detail)
        if known in UNKNOWN or (known and self.post.taken(delivery_id) is None):
            return Granted(subject, "", known)
        wish = Wish(verb, subject, self.by, detail)
        if self.inbox.add(Delivery(Source.BRIDGE, delivery_id, self.clock(), self.mail_of(wish))):
            log.info("wish.stored", verb=verb.value, subject=subject, key=key, by=self.by)
        return Granted(subject, key, "")

    def _standing(self, verb: WishVerb, subject: str, detail: str = "") -> str:
        """The outcome that is certain without asking: what is closed stays closed. Empty when there is none."""
        match verb:
            case WishVerb.REPLAY | WishVerb.DISCARD:
                with self.transactions.read() as tx:
                    letter = self.records.letter(tx, int(subject))
                return NO_SUCH_LETTER if letter is None else _outcome(letter)
            case WishVerb.THAW:
                with self.transactions.read() as tx:
                    link = self.records.link(tx, AlertId(subject))
                return NO_SUCH_LINK if link is None else "" if link.frozen_at else "not_frozen"
            case WishVerb.RECONCILE:
                return ""
            case WishVerb.ESCALATE:
                return self._escalation(subject, detail)

    def _escalation(self, incident_id: str, detail: str) -> str:
        asked = read(detail)
        if asked is None or not fit_for_an_id(incident_id):
            return BAD_REQUEST
        if asked.course is not None:
            return ""
        with self.transactions.read() as tx:
            climb = self.records.climb(tx, IncidentId(incident_id))
        return NOT_ARMED if climb is None or climb.state is State.FINISHED else ""

    def _wait(self, verb: WishVerb, asked: Granted, patient: bool, detail: str) -> Granted:
        until = self.monotonic() + (self.patience_seconds if patient else 0.0)
        while not self.post.taken(_delivery_id(verb, asked.subject, asked.key)):
            if self.monotonic() >= until:
                return replace(asked, alive=self._is_alive())
            self.pause(POLL_SECONDS)
        return replace(asked, outcome=self._became(verb, asked.subject, detail))

    def _became(self, verb: WishVerb, subject: str, detail: str) -> str:
        """The outcome of a wish that the worker has taken in."""
        match verb:
            case WishVerb.REPLAY | WishVerb.DISCARD:
                return self._standing(verb, subject) or "still_unreadable"
            case WishVerb.THAW:
                return "thawed"
            case WishVerb.RECONCILE:
                return "asked"
            case WishVerb.ESCALATE:
                return self._escalates(subject, detail)

    def _escalates(self, incident_id: str, detail: str) -> str:
        """What became of it as its climb shows: a worker of an older version parks what it cannot read, and that looks
        the same in the inbox."""
        asked = read(detail)
        with self.transactions.read() as tx:
            climb = self.records.climb(tx, IncidentId(incident_id))
        if asked is None or asked.course is None:
            return "cancelled" if climb is None or climb.state is State.FINISHED else NOT_TAKEN
        ours = climb is not None and (climb.course, climb.by) == (asked.course, self.by or SOMEBODY)
        return "armed" if ours else NOT_TAKEN

    def _is_alive(self) -> bool:
        seen_at = self.post.worker_seen_at()
        return seen_at is not None and (self.clock() - seen_at).total_seconds() <= HEARTBEAT_LIMIT_SECONDS

    def _ring(self) -> None:
        try:
            self.bell.ring()
        except Exception:
            # It is stored: whatever is wrong with the bell costs one poll interval.
            log.warning("bell.failed", exc_info=True)


def _delivery_id(verb: WishVerb, subject: str, key: str) -> str:
    """One key may be used for different things: only the same wish is the same delivery."""
    return f"wish:{verb}:{subject}:{key}"


def _outcome(letter: Row) -> str:
    return str(letter["outcome"] or "closed") if letter["closed_at"] else ""
