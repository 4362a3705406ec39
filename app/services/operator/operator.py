"""Use case: an operator asks for something, and is told what became of it.

What is asked becomes a row of the inbox, durable before anybody is answered; the worker does it, once, in its place
among everything else (``services/sync/commands.py``). Whoever asked waits a moment and reads the outcome from the
store.
"""

import hashlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Literal, TypedDict

import structlog

from app.domain.escalation.state import Escalation, EscalationOutcome, State, is_asked_for, level_at
from app.domain.model.events import Command, CommandOutcome, CommandType, Way
from app.domain.model.types import FALSE_ALERT, AlertId, IncidentId, Source, Status
from app.domain.sync.asked import has_own_incident, noted
from app.ports import Clock, CommandHandler, CommandStatus, Delivery, Inbox, Records, Transactions, Wakeup, utc_now
from app.services.diagnostics.health import HEARTBEAT_LIMIT_SECONDS
from app.services.escalation.target import SOMEBODY, TARGET_MESSAGES, Asked, fit_for_an_id, read

log = structlog.get_logger()

POLL_SECONDS = 0.05
JUST_NOW = timedelta(minutes=1)
"""A level that was moved within this time may be the one that was asked for."""
ONCE_BY_KEY = frozenset({CommandType.START_JOB, CommandType.SILENCE_ALIKE})
"""Commands whose key alone says which one it is: a job is found by it, and an evidence link silences once."""
UNKNOWN = frozenset(
    {
        CommandOutcome.NO_SUCH_DEAD_LETTER,
        CommandOutcome.NO_SUCH_LINK,
        CommandOutcome.NO_SUCH_JOB,
        CommandOutcome.BAD_REQUEST,
        CommandOutcome.INVALID,
    }
)
"""Outcomes that mean: what was asked about does not exist."""

MESSAGES: Mapping[str, str] = {
    CommandOutcome.NO_SUCH_DEAD_LETTER: "There is no such dead letter.",
    CommandOutcome.NO_SUCH_LINK: "The bridge knows no such alert.",
    CommandOutcome.REPLAYED: "It is pending again and goes out with the next delivery.",
    CommandOutcome.NOTHING_TO_DO: "Nothing is missing any more, so nothing was sent.",
    CommandOutcome.DISCARDED: "It is closed without being tried; what waited behind it goes on.",
    CommandOutcome.CLOSED: "It was closed before.",
    CommandOutcome.GONE: "What it was about is kept no more; it is closed.",
    CommandOutcome.STILL_UNREADABLE: "This version cannot read it either; it stays open with one more attempt.",
    CommandOutcome.THAWED: "The link is carried again in both directions, with what was held.",
    CommandOutcome.NOT_FROZEN: "The link is not frozen.",
    CommandOutcome.ERASED: "Its texts, its people and the raw webhooks about it are erased.",
    CommandOutcome.ERASING: "Its texts and people are erased; the raw webhooks about it follow within minutes.",
    CommandOutcome.ALREADY_ERASED: "It was erased before.",
    CommandOutcome.ASKED: "A reconciliation runs as soon as the worker gets to it.",
    CommandOutcome.ARMED: "It is escalated unless somebody acknowledges it in time.",
    CommandOutcome.CANCELLED: "It is escalated no more.",
    CommandOutcome.NOT_ARMED: "No escalation of this incident is under way.",
    CommandOutcome.NOT_TAKEN: "Nothing was changed: an older worker took it in and could not read it. End the old "
    "workers, ask again.",
    **TARGET_MESSAGES,
    CommandOutcome.CARRIED: "Both sides are being brought there.",
    CommandOutcome.ALREADY_SO: "It is so already; nothing was changed.",
    CommandOutcome.SILENCED_BEFORE: "It was silenced by link before; the console can silence it again.",
    CommandOutcome.JUDGED: "The verdict is recorded; reports count it.",
    CommandOutcome.NOTED: "The note goes to the incident.",
    CommandOutcome.NO_INCIDENT: "There is no incident to write it to, or no PagerDuty API key to write it with.",
    CommandOutcome.HURRIED: "The next level comes now, unless PagerDuty shows that somebody has it in hand.",
    CommandOutcome.ALREADY_ASKED: "Somebody asked for that level already; nothing more is asked for.",
    CommandOutcome.IN_HAND: "The incident is acknowledged or resolved, so it is not escalated.",
    CommandOutcome.BAD_REQUEST: "That is no incident, policy and time that could be escalated; nothing was stored.",
    CommandOutcome.INVALID: "That is not as it has to be; nothing was stored.",
    CommandOutcome.QUEUED: "It is queued; the worker runs one job at a time.",
    CommandOutcome.CANCEL_ASKED: "It ends within seconds.",
    CommandOutcome.ALREADY_OVER: "The job is over.",
    CommandOutcome.TOO_MANY: "There are too many of its kind; nothing was changed. Remove some, or wait.",
    CommandOutcome.SILENCED: "It silences what matches within seconds, on every machine.",
    CommandOutcome.ENDED: "It has ended, on every machine within seconds.",
    CommandOutcome.SAVED: "The draft is kept in the store.",
    CommandOutcome.DELETED: "The draft is gone from the store.",
    CommandOutcome.SHADOWED: "The draft is asked beside the rules in force, within seconds.",
    CommandOutcome.NOT_SHADOWED: "No stored draft is asked beside the rules.",
    CommandOutcome.NO_SUCH_JOB: "There is no such job.",
    CommandOutcome.NO_SUCH_SILENCE: "The store has no silence of that name.",
    CommandOutcome.NO_SUCH_DRAFT: "The store has no draft of that name.",
}
"""What each outcome means, for people."""
STORED = "It is stored; the worker has not done it yet."
NOBODY = "It is stored; no worker is running, and it is done when one runs."


class CommandAnswer(TypedDict):
    """What became of a command, as the API and the commands write it."""

    status: Literal["done", "stored"]
    outcome: str | None
    message: str
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of a command."""

    subject: str
    key: str
    """What tells this command from others of its kind; empty when nothing had to be stored. Asking again under the same
    key asks nothing new and tells what became of it."""
    outcome: str
    """A key of ``MESSAGES``; empty while it is stored and not done."""
    alive: bool = True
    """Whether a worker is there to do it."""
    said: str = ""
    """What is said in the place of the outcome's usual message."""

    @property
    def message(self) -> str:
        """The outcome for people."""
        if self.said:
            return self.said
        return MESSAGES.get(self.outcome, self.outcome) if self.outcome else STORED if self.alive else NOBODY

    @property
    def word(self) -> str:
        """The outcome for the address of a page; ``stored`` and ``nobody`` while it is not done."""
        return self.outcome or ("stored" if self.alive else "nobody")

    @property
    def answer(self) -> CommandAnswer:
        """For machines."""
        status: Literal["done", "stored"] = "done" if self.outcome else "stored"
        return CommandAnswer(
            status=status, outcome=self.outcome or None, message=self.message, idempotency_key=self.key or None
        )


@dataclass(frozen=True)
class Operate:
    """Puts commands into the inbox and waits for what becomes of them. Raises ``StoreUnavailable``."""

    inbox: Inbox
    wakeup: Wakeup
    command_status: CommandStatus
    transactions: Transactions
    records: Records
    encode: Callable[[Command], bytes]
    timeout_seconds: float
    """How long to wait for the worker."""
    by: str
    """Who asks, for the time line."""
    way: Way | None = None
    """By which way; None: no person asks, and nothing of it is in the audit log."""
    handlers: Mapping[CommandType, CommandHandler] = field(default_factory=dict)
    """What is known of the commands that are no matter of links."""
    clock: Clock = utc_now
    monotonic: Callable[[], float] = time.monotonic
    pause: Callable[[float], None] = time.sleep

    def as_actor(self, by: str, way: Way) -> "Operate":
        """The same in the name of somebody else, who comes by this way."""
        return replace(self, by=by, way=way)

    def __call__(self, command_type: CommandType, subject: str = "", key: str = "", detail: str = "") -> CommandResult:
        """Ask for one thing. ``key`` makes a repeated request the same command; without it each is one of its own.
        ``detail``: what the command needs besides, ``target.arming(...)`` for example."""
        (result,) = self.all(command_type, [subject], key, detail)
        return result

    def start_job(self, detail: str, key: str = "") -> CommandResult:
        """Ask for long work; ``detail`` as ``ports.jobs`` has it encoded. The job is found by the result's ``key``."""
        key = key or uuid.uuid4().hex
        return self(CommandType.START_JOB, key, key, detail)

    def all(
        self, command_type: CommandType, subjects: Sequence[str], key: str = "", detail: str = ""
    ) -> Iterator[CommandResult]:
        """Ask the same of many: all are stored before the first answer is waited for, so the worker shares commits."""
        commands = [Command(command_type, subject, self.by, detail, self.way) for subject in subjects]
        asked = [self._ask(command, key) for command in commands]
        if any(not result.outcome for result in asked):
            try:
                self.wakeup.notify()
            except Exception:  # it is stored: whatever is wrong with the wake-up costs one poll interval
                log.warning("wakeup.failed", exc_info=True)
        waits = self.is_anybody_there()
        for command, result in zip(commands, asked, strict=True):
            done = result if result.outcome else self._wait(command, result, waits)
            waits = waits and bool(done.outcome)
            yield done

    def is_anybody_there(self) -> bool:
        """Whether a worker is running that would do what is asked."""
        seen_at = self.command_status.worker_seen_at()
        return seen_at is not None and (self.clock() - seen_at).total_seconds() <= HEARTBEAT_LIMIT_SECONDS

    def _ask(self, command: Command, key: str) -> CommandResult:
        key = key or uuid.uuid4().hex
        delivery_id = _delivery_id(command, key)
        known = self._standing(command)
        if known in UNKNOWN or (known and self.command_status.taken(delivery_id) is None):
            return CommandResult(command.subject, "", known)
        if self.inbox.add(Delivery(Source.BRIDGE, delivery_id, self.clock(), self.encode(command))):
            about = {"command_type": command.type.value, "subject": command.subject, "key": key, "by": self.by}
            log.info("command.stored", **about)
        return CommandResult(command.subject, key, "")

    def _standing(self, command: Command) -> str:
        """The outcome that is certain without asking: what is closed stays closed. Empty when there is none."""
        match command.type:
            case CommandType.REPLAY | CommandType.DISCARD:
                with self.transactions.read() as tx:
                    row = self.records.dead_letter(tx, int(command.subject))
                if row is None:
                    return CommandOutcome.NO_SUCH_DEAD_LETTER
                return str(row["outcome"] or CommandOutcome.CLOSED) if row["closed_at"] else ""
            case CommandType.THAW:
                with self.transactions.read() as tx:
                    link = self.records.link(tx, AlertId(command.subject))
                return (
                    CommandOutcome.NO_SUCH_LINK if link is None else "" if link.frozen_at else CommandOutcome.NOT_FROZEN
                )
            case CommandType.ERASE:
                outcome = self._erased(command)
                return (
                    outcome
                    if outcome is CommandOutcome.NO_SUCH_LINK
                    else (CommandOutcome.ALREADY_ERASED if outcome is CommandOutcome.ERASED else "")
                )
            case CommandType.RECONCILE:
                return ""
            case CommandType.ACKNOWLEDGE | CommandType.RESOLVE | CommandType.FALSE_ALERT | CommandType.NOTE:
                return self._about_link(command)
            case CommandType.ESCALATE:
                asked = read(command.detail)
                if asked is None or not fit_for_an_id(command.subject):
                    return CommandOutcome.BAD_REQUEST
                if asked.now:
                    return ""
                return CommandOutcome.NOT_ARMED if asked.plan is None and _is_over(self._escalation(command)) else ""
            case _:
                with self.transactions.read() as tx:
                    return self.handlers[command.type].certain(tx, command) or ""

    def _about_link(self, command: Command) -> str:
        """Whether what is asked of a link is so already."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(command.subject))
        if link is None:
            return CommandOutcome.NO_SUCH_LINK
        if command.type is CommandType.FALSE_ALERT:
            return CommandOutcome.ALREADY_SO if link.verdict == FALSE_ALERT else ""
        if command.type is CommandType.NOTE:
            if not command.detail.strip():
                return CommandOutcome.INVALID
            if not has_own_incident(link):
                return CommandOutcome.NO_INCIDENT
            return CommandOutcome.NOTED if noted(link, command.by or SOMEBODY, command.detail) == link else ""
        wanted = Status.ACKNOWLEDGED if command.type is CommandType.ACKNOWLEDGE else Status.RESOLVED
        return CommandOutcome.ALREADY_SO if link.status.rank >= wanted.rank else ""

    def _escalation(self, command: Command) -> Escalation | None:
        with self.transactions.read() as tx:
            return self.records.escalation(tx, IncidentId(command.subject))

    def _erased(self, command: Command) -> CommandOutcome:
        """How far the erasing of this alert is; ``NOT_TAKEN`` where it has not begun."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(command.subject))
            if link is None:
                return CommandOutcome.NO_SUCH_LINK
            if link.erased_at is None:
                return CommandOutcome.NOT_TAKEN
            return CommandOutcome.ERASING if self.records.kept_bodies(tx, link) else CommandOutcome.ERASED

    def _wait(self, command: Command, asked: CommandResult, waits: bool) -> CommandResult:
        until = self.monotonic() + (self.timeout_seconds if waits else 0.0)
        while not self.command_status.taken(_delivery_id(command, asked.key)):
            if self.monotonic() >= until:
                return replace(asked, alive=self.is_anybody_there())
            self.pause(POLL_SECONDS)
        while (outcome := self._became(command)) is CommandOutcome.ERASING and self.monotonic() < until:
            self.pause(POLL_SECONDS)
        before = self._escalation(command) if outcome == CommandOutcome.ALREADY_ASKED else None
        return replace(asked, outcome=outcome, said=already_asked(before) if before else "")

    def _became(self, command: Command) -> str:
        """The outcome of a command that the worker has taken in. That of an escalation is what it shows: a worker of an
        older version parks what it cannot read, and that looks the same in the inbox."""
        match command.type:
            case CommandType.REPLAY | CommandType.DISCARD:
                return self._standing(command) or CommandOutcome.STILL_UNREADABLE
            case CommandType.THAW:
                return CommandOutcome.THAWED
            case CommandType.ERASE:
                return self._erased(command)
            case CommandType.RECONCILE:
                return CommandOutcome.ASKED
            case CommandType.ACKNOWLEDGE | CommandType.RESOLVE:
                return CommandOutcome.CARRIED if self._about_link(command) else CommandOutcome.NOT_TAKEN
            case CommandType.FALSE_ALERT:
                return CommandOutcome.JUDGED if self._about_link(command) else CommandOutcome.NOT_TAKEN
            case CommandType.NOTE:
                return self._about_link(command) or CommandOutcome.NO_INCIDENT
            case CommandType.ESCALATE:
                asked, escalation = read(command.detail), self._escalation(command)
                if asked is not None and asked.now:
                    return self._hurried(escalation, asked)
                if asked is None or asked.plan is None:
                    return CommandOutcome.CANCELLED if _is_over(escalation) else CommandOutcome.NOT_TAKEN
                ours = escalation is not None and (escalation.plan, escalation.by) == (asked.plan, self.by or SOMEBODY)
                return CommandOutcome.ARMED if ours else CommandOutcome.NOT_TAKEN
            case _:
                with self.transactions.read() as tx:
                    return self.handlers[command.type].became(tx, command)

    def _hurried(self, escalation: Escalation | None, asked: Asked) -> CommandOutcome:
        """Whether its next level was asked for by this request or another; where the worker does not say which, as an
        older one does, whether it was asked for a moment ago, or is due."""
        if escalation is None:
            return CommandOutcome.NOT_ARMED
        if escalation.state is not State.RUNNING and escalation.reason != EscalationOutcome.EXHAUSTED:
            return CommandOutcome.IN_HAND
        due, now = level_at(escalation), self.clock()
        if escalation.hurried is not None and asked.ask != escalation.hurried.ask:
            if is_asked_for(escalation, asked.saw, asked.raise_urgency, now):
                return CommandOutcome.ALREADY_ASKED
            if asked.saw is not None and asked.saw < escalation.moves:
                return CommandOutcome.ALREADY_SO
        is_due = due is None or due <= now or (escalation.due_at is not None and escalation.due_at <= now)
        return CommandOutcome.HURRIED if is_due or now - escalation.clock_at < JUST_NOW else CommandOutcome.NOT_TAKEN


def already_asked(escalation: Escalation) -> str:
    """Who asked for the level at once before, as a sentence."""
    if escalation.hurried is None:
        return MESSAGES[CommandOutcome.ALREADY_ASKED]
    return f"Already asked for by {escalation.hurried.by}; nothing more is asked for."


def _is_over(escalation: Escalation | None) -> bool:
    return escalation is None or escalation.state is State.FINISHED


def _delivery_id(command: Command, key: str) -> str:
    """One key may be used for different things, and by different people: only the same command is the same delivery.
    ``wish:`` is a stored name."""
    named = f"wish:{command.type}:{command.subject}:{key}"
    if command.type in ONCE_BY_KEY:
        return named
    content = f"{command.by}\0{command.detail}".encode("utf-8", "surrogatepass")
    return f"{named}:{hashlib.sha256(content).hexdigest()[:12]}"
