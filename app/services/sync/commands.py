"""What an operator asked for is done: in the worker, in the transaction that takes the command in, so it is done once.

A command meets the link as it is now: what was mended meanwhile is not done again, and asking twice does nothing twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from app.domain.model.events import Command, CommandOutcome, CommandType, Ignored, Unreadable
from app.domain.model.types import AlertId, Side, Source, Status
from app.domain.sync.asked import alike, asked_for, has_own_incident, judged_false, noted, silenced
from app.domain.sync.effects import desired_effect
from app.domain.sync.erasure import Evidence, subjects_of
from app.domain.sync.link import Link, thawed
from app.domain.sync.retry import discarded, replayed
from app.ports import (
    NO_BODY,
    CommandHandler,
    DeadLetter,
    DeadLetters,
    Escalator,
    InboxReader,
    Links,
    Read,
    TakenBody,
    TimelineEntry,
    Tx,
)
from app.ports.console import Audit, AuditEntry, SubjectKind
from app.ports.rules import MAX_SILENCES, StoredRules
from app.services.sync.erasure import EraseEvidence
from app.services.sync.intake import Gathered, ProcessEvent, Taken
from app.services.sync.link_writer import LinkWriter, line

IGNORED, DONE = "command.ignored", "command.done"
NOT_DONE = frozenset(
    {
        CommandOutcome.NO_SUCH_DEAD_LETTER,
        CommandOutcome.ALREADY_CLOSED,
        CommandOutcome.NO_SUCH_LINK,
        CommandOutcome.NOT_FROZEN,
        CommandOutcome.NOT_ARMED,
        CommandOutcome.BAD_REQUEST,
        CommandOutcome.INVALID,
        CommandOutcome.ALREADY_OVER,
        CommandOutcome.TOO_MANY,
        CommandOutcome.NOT_SHADOWED,
        CommandOutcome.NO_SUCH_JOB,
        CommandOutcome.NO_SUCH_SILENCE,
        CommandOutcome.NO_SUCH_DRAFT,
        CommandOutcome.ALREADY_SO,
        CommandOutcome.ALREADY_ASKED,
        CommandOutcome.SILENCED_BEFORE,
        CommandOutcome.NO_INCIDENT,
        CommandOutcome.IN_HAND,
    }
)
SUBJECTS: Mapping[CommandType, SubjectKind] = {
    CommandType.REPLAY: SubjectKind.DEAD_LETTER,
    CommandType.DISCARD: SubjectKind.DEAD_LETTER,
    CommandType.THAW: SubjectKind.ALERT,
    CommandType.RECONCILE: SubjectKind.RECONCILIATION,
    CommandType.ESCALATE: SubjectKind.INCIDENT,
    CommandType.ERASE: SubjectKind.ALERT,
    CommandType.START_JOB: SubjectKind.JOB,
    CommandType.CANCEL_JOB: SubjectKind.JOB,
    CommandType.SILENCE: SubjectKind.SILENCE,
    CommandType.END_SILENCE: SubjectKind.SILENCE,
    CommandType.SAVE_DRAFT: SubjectKind.DRAFT,
    CommandType.DELETE_DRAFT: SubjectKind.DRAFT,
    CommandType.SHADOW_DRAFT: SubjectKind.DRAFT,
    CommandType.ACKNOWLEDGE: SubjectKind.ALERT,
    CommandType.RESOLVE: SubjectKind.ALERT,
    CommandType.FALSE_ALERT: SubjectKind.ALERT,
    CommandType.SILENCE_ALIKE: SubjectKind.ALERT,
    CommandType.NOTE: SubjectKind.ALERT,
}
"""What the subject of each command is, for the audit log."""
MAX_DIGITS = 18
"""A longer number is nobody's: no column could hold it."""


@dataclass(frozen=True)
class ExecuteCommand:
    """Executes a command."""

    links: Links
    dead_letters: DeadLetters
    inbox_reader: InboxReader
    writer: LinkWriter
    process_event: ProcessEvent
    readers: Mapping[Source, Read]
    reconcile: Callable[[], None]
    """Asks for a reconciliation soon."""
    escalations: Escalator | None = None
    erase: EraseEvidence | None = None
    audit: Audit | None = None
    """Where a command that a person gave leaves a line, in the same transaction."""
    handlers: Mapping[CommandType, CommandHandler] = field(default_factory=dict)
    """Who executes what is no matter of links."""
    silences: StoredRules | None = None
    """Where silences by link are kept."""

    def __call__(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> Taken:
        """One command, in the caller's transaction."""
        outcome = self._outcome(tx, command, at, gathered)
        if self.audit is not None and command.way is not None:
            about = (SUBJECTS[command.type], command.subject, outcome.value)
            self.audit.write(tx, AuditEntry(at, command.by, command.way, command.type.value, *about))
        facts = {"command_type": command.type.value, "subject": command.subject, "by": command.by, "outcome": outcome}
        return Taken(IGNORED if outcome in NOT_DONE else DONE, facts)

    def _outcome(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        match command.type:
            case CommandType.REPLAY | CommandType.DISCARD:
                return self._about_dead_letter(tx, command, at, gathered)
            case CommandType.THAW:
                return self._thaw(tx, command, at, gathered)
            case CommandType.RECONCILE:
                self.reconcile()
                return CommandOutcome.ASKED
            case CommandType.ESCALATE:
                # Due times are compared with this machine's clock: one that is ahead elsewhere must not delay a page.
                began = min(at, self.writer.clock())
                return self.escalations.execute(tx, command, began) if self.escalations else CommandOutcome.BAD_REQUEST
            case CommandType.ERASE:
                return self._erase(tx, command, at, gathered)
            case CommandType.ACKNOWLEDGE | CommandType.RESOLVE:
                return self._carry(tx, command, at, gathered)
            case CommandType.FALSE_ALERT:
                return self._judge(tx, command, at, gathered)
            case CommandType.SILENCE_ALIKE:
                return self._silence_alike(tx, command, at, gathered)
            case CommandType.NOTE:
                return self._note(tx, command, at, gathered)
            case _:
                handler = self.handlers.get(command.type)
                return handler.execute(tx, command, at) if handler else CommandOutcome.BAD_REQUEST

    def _about_dead_letter(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        known = command.subject.isascii() and command.subject.isdecimal() and len(command.subject) <= MAX_DIGITS
        dead_letter = self.dead_letters.get(tx, int(command.subject)) if known else None
        if dead_letter is None:
            return CommandOutcome.NO_SUCH_DEAD_LETTER
        if dead_letter.closed_at is not None:
            return CommandOutcome.ALREADY_CLOSED
        discards = command.type is CommandType.DISCARD
        if dead_letter.kind == "event":
            outcome = self._event(tx, dead_letter, discards, at, gathered)
        elif dead_letter.kind == "escalation" and self.escalations:
            outcome = self.escalations.about_dead_letter(tx, dead_letter, command, discards, at)
        else:
            outcome = self._effect(tx, dead_letter, command, discards, at, gathered)
        if outcome is CommandOutcome.STILL_UNREADABLE:
            self.dead_letters.tried(tx, dead_letter.dead_letter_id)
        else:
            self.dead_letters.close(tx, dead_letter.dead_letter_id, outcome.value, at, command.by)
        return outcome

    def _event(
        self, tx: Tx, dead_letter: DeadLetter, discards: bool, at: datetime, gathered: Gathered
    ) -> CommandOutcome:
        """An event that could not be read: a newer version may be able to."""
        if discards:
            return CommandOutcome.DISCARDED
        row = self.inbox_reader.row(tx, dead_letter.inbox_id) if dead_letter.inbox_id is not None else None
        if row is None:
            return CommandOutcome.GONE
        readings = self.readers[row.delivery.source](row.delivery.body, row.delivery.content_encoding)
        if any(isinstance(reading, Unreadable) for reading in readings):
            return CommandOutcome.STILL_UNREADABLE
        for reading in readings:
            if not isinstance(reading, Unreadable | Ignored | Command):
                self.process_event(tx, reading, at, row.inbox_id, gathered)
        return CommandOutcome.REPLAYED

    def _effect(
        self, tx: Tx, dead_letter: DeadLetter, command: Command, discards: bool, at: datetime, gathered: Gathered
    ) -> CommandOutcome:
        """An effect that was given up: the link decides anew whether anything is missing."""
        if dead_letter.link_id is None or dead_letter.side is None:
            return CommandOutcome.GONE
        link = self.links.get(tx, dead_letter.link_id)
        others = self.dead_letters.others_of_side(tx, dead_letter)
        link = (discarded if discards else replayed)(link, dead_letter.side, dead_letter.effect, others)
        saved, orders = self.writer.write(tx, link, at)
        gathered.orders += orders
        is_pending = self._is_pending(tx, saved, dead_letter.side)
        tried = CommandOutcome.REPLAYED if is_pending else CommandOutcome.NOTHING_TO_DO
        outcome = CommandOutcome.DISCARDED if discards else tried
        facts: dict[str, Any] = {"dead_letter": dead_letter.dead_letter_id}
        if behind := saved.delivery(dead_letter.side).dead:
            facts["waits_behind"] = behind
        gathered.entries.append(self._line(saved, f"dead_letter.{outcome}", command, at, facts))
        return outcome

    def _is_pending(self, tx: Tx, link: Link, side: Side) -> bool:
        """Whether anything is pending there, also where it waits behind another dead letter."""
        return desired_effect(link, side, self.writer.circumstances(tx, link, side)) is not None

    def _thaw(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        link = self.links.by_alert(tx, AlertId(command.subject))
        if link is None:
            return CommandOutcome.NO_SUCH_LINK
        if link.frozen_at is None:
            return CommandOutcome.NOT_FROZEN
        saved, orders = self.writer.write(tx, thawed(link), at)
        gathered.orders += orders
        gathered.entries.append(self._line(saved, "link.thawed", command, at, {}))
        if self.escalations:
            gathered.entries += self.escalations.followed(tx, link, saved, at)
        return CommandOutcome.THAWED

    def _erase(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        link = self.links.by_alert(tx, AlertId(command.subject))
        if link is None or self.erase is None:
            return CommandOutcome.NO_SUCH_LINK
        gathered.bodies.append(TakenBody(NO_BODY, link.alert.alert_id, due=True))
        if link.erased_at is not None:
            return CommandOutcome.ALREADY_ERASED
        _, entry = self.erase(tx, link, at, {"because": "asked"}, command.by or None)
        taken_out = Evidence.of(link.alert).taken_out_of
        subjects = subjects_of(link)
        # What came in the same batch is not written yet.
        gathered.entries[:] = [_without(one, link, taken_out) for one in gathered.entries] + [entry]
        gathered.bodies[:] = [replace(one, due=one.due or one.subject in subjects) for one in gathered.bodies]
        return CommandOutcome.ERASED

    def _carry(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        """Acknowledge or resolve on both sides."""
        link = self.links.by_alert(tx, AlertId(command.subject))
        if link is None:
            return CommandOutcome.NO_SUCH_LINK
        status = Status.ACKNOWLEDGED if command.type is CommandType.ACKNOWLEDGE else Status.RESOLVED
        step = asked_for(link, status, command.by or "somebody", at, command.detail)
        if step.link == link:
            return CommandOutcome.ALREADY_SO
        saved, orders = self.writer.write(tx, step.link, at)
        gathered.orders += orders
        facts = {"note": True} if command.detail else {}
        gathered.entries.append(self._line(saved, f"link.{status}", command, at, facts))
        if self.escalations:
            gathered.entries += self.escalations.followed(tx, link, saved, at, command.by or None)
        return CommandOutcome.CARRIED

    def _judge(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        """Record a verdict, which reports count. Whether the alert is open is another matter."""
        link = self.links.by_alert(tx, AlertId(command.subject))
        if link is None:
            return CommandOutcome.NO_SUCH_LINK
        judged = judged_false(link)
        if judged == link:
            return CommandOutcome.ALREADY_SO
        self.links.save(tx, judged)
        gathered.entries.append(self._line(judged, "link.judged", command, at, {"verdict": "false alert"}))
        return CommandOutcome.JUDGED

    def _silence_alike(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        """Silence for a while what looks like this alert, and say so on the incident. What is silenced already is not
        silenced for longer."""
        link = self.links.by_alert(tx, AlertId(command.subject))
        if link is None or self.silences is None:
            return CommandOutcome.NO_SUCH_LINK
        silence = alike(link, command.by or "somebody", self.writer.clock())
        if silence is None:
            return CommandOutcome.INVALID
        there = [one for one in self.silences.silences(tx) if one.until > self.writer.clock()]
        if any(one.name == silence.name for one in there):
            return CommandOutcome.ALREADY_SO
        if len(there) >= MAX_SILENCES:
            return CommandOutcome.TOO_MANY
        self.silences.put_silence(tx, silence)
        saved, orders = self.writer.write(tx, silenced(link, silence), at)
        gathered.orders += orders
        facts = {"silence": silence.name, "until": f"{silence.until:%Y-%m-%d %H:%M} UTC"}
        gathered.entries.append(self._line(saved, "link.silenced", command, at, facts))
        return CommandOutcome.SILENCED

    def _note(self, tx: Tx, command: Command, at: datetime, gathered: Gathered) -> CommandOutcome:
        """Write a note to the incident. The same words of the same person are the same note."""
        link = self.links.by_alert(tx, AlertId(command.subject))
        if link is None:
            return CommandOutcome.NO_SUCH_LINK
        if not command.detail.strip():
            return CommandOutcome.INVALID
        if not (has_own_incident(link) and self.writer.has_api_key()):
            return CommandOutcome.NO_INCIDENT
        with_it = noted(link, command.by or "somebody", command.detail)
        if with_it == link:
            return CommandOutcome.ALREADY_SO
        saved, orders = self.writer.write(tx, with_it, at)
        gathered.orders += orders
        gathered.entries.append(self._line(saved, "link.noted", command, at, {}))
        return CommandOutcome.NOTED

    def _line(self, link: Link, event: str, command: Command, at: datetime, facts: Mapping[str, Any]) -> TimelineEntry:
        return line(link, event, at, facts, command.by or None)


def _without(entry: TimelineEntry, link: Link, taken_out: Callable[[str], str]) -> TimelineEntry:
    """The entry of that link without what its erased author or texts would be; of facts none holds a text here."""
    if entry.link_id != link.link_id or not entry.author:
        return entry
    return replace(entry, author=taken_out(entry.author))
