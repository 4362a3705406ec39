"""Silences and drafts that live in the store, beside those of ``bridge.yaml``.

A silence made here behaves as one from the file: it is part of the rulebook in force of every process within a second
or two, and when it ends, what it silenced and is still open is decided anew.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.model.events import Command, CommandOutcome, CommandType
from app.domain.model.text import clean
from app.domain.model.types import instant
from app.domain.rules.condition import Constant
from app.domain.rules.decide import own_severities, slips, understood
from app.domain.rules.rulebook import LONGEST, Origin, Rulebook, Silence
from app.ports import Transactions, Tx
from app.ports.rules import MAX_SILENCES, StoredDraft, StoredRules
from app.services.rules.rulebook import Backtests

MAX_NAME_CHARS = 200
MAX_MATCH_CHARS = 4_000
MAX_REASON_CHARS = 1_000
MAX_DRAFTS = 50
MAX_DRAFT_BYTES = 256 * 1024
"""As of ``bridge.yaml``."""
LOOKBACK = timedelta(days=7)
"""Of so many days the alerts are counted that a silence would have silenced."""


# ------------------------------------------------------------------------------------------------------- commands


def silence_as_text(silence: Silence) -> str:
    """The detail of ``CommandType.SILENCE``; the name is the command's subject."""
    starts = silence.starts.isoformat() if silence.starts else None
    content = {"match": silence.match, "owner": silence.owner, "reason": silence.reason, "from": starts}
    return json.dumps(content | {"until": silence.until.isoformat()})


def silence_from(name: str, detail: str) -> Silence | None:
    """What ``silence_as_text`` wrote; None for anything that no file could hold either."""
    try:
        content = json.loads(detail)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    texts = [content.get(key) for key in ("match", "owner", "reason")]
    starts, until = content.get("from"), instant(content.get("until"))
    began = instant(starts)
    if not all(isinstance(text, str) and text.strip() for text in texts) or until is None:
        return None
    if (starts is not None and began is None) or (began is not None and until <= began):
        return None
    match, owner, reason = (clean(str(text)).strip() for text in texts)
    return Silence(name, match, owner, reason, until, began, Origin.STORE)


def problem_of(silence: Silence, now: datetime) -> str:
    """Why it cannot be kept, as a sentence for whoever asked; empty when it can."""
    compiled = understood(silence.match)
    if isinstance(compiled, str):
        return f"The trigger {compiled}; see the trigger language in docs/configuration.md."
    if silence.until <= now:
        return "It would be over already."
    if silence.until - now > LONGEST:
        return f"It ends more than {LONGEST.days} days ahead: what has to be quiet for longer is a rule."
    long = len(silence.match) > MAX_MATCH_CHARS or len(silence.reason) > MAX_REASON_CHARS
    if long or not is_name(silence.name) or not is_name(silence.owner):
        return f"Name and owner have 1 to {MAX_NAME_CHARS} characters, the reason at most {MAX_REASON_CHARS}."
    return ""


def is_name(text: str) -> bool:
    """Whether a silence or a draft may be called so."""
    return 0 < len(text) <= MAX_NAME_CHARS and text.isprintable() and text == text.strip()


@dataclass(frozen=True, slots=True)
class Preview:
    """What a silence with some trigger would do, judged by the alerts of the last days."""

    problem: str = ""
    """Why no silence can have that trigger, as a sentence; empty when it can."""
    count: tuple[int, int] | None = None
    """How many alerts it would have silenced, and how many came; None where there is no store to read."""
    misspelt: tuple[tuple[str, str], ...] = ()
    """Words that no alert is known to have, each with the one that was meant."""
    is_for_all: bool = False
    """It matches every alert: nobody would be paged at all."""


def previewed(match: str, live: Rulebook, backtests: Backtests | None, now: datetime) -> Preview:
    """The preview of a silence with this trigger. It reads the alerts of ``LOOKBACK`` and changes nothing. Raises
    ``StoreUnavailable``."""
    compiled = understood(match)
    if isinstance(compiled, str):
        return Preview(f"The trigger {compiled}; see the trigger language in docs/configuration.md.")
    fields, count = None, None
    if backtests is not None:
        if compiled.foreign_fields:  # nearly never, and else no alert is read for it
            fields = backtests.field_names(newest_only=True)
        count = backtests.silenced_by(match, now - LOOKBACK, now)
    misspelt = tuple(slips(match, fields or frozenset(), own_severities(live)))
    matched_all = count is not None and count[0] == count[1] > 0
    return Preview("", count, misspelt, matched_all or compiled.expression == Constant(True))


@dataclass(frozen=True)
class RuleCommands:
    """Implements ``ports.CommandHandler`` for silences and drafts."""

    rules: StoredRules
    clock: Callable[[], datetime]

    def certain(self, tx: Tx, command: Command) -> CommandOutcome | None:
        """What nobody could do, and what is not there."""
        match command.type:
            case CommandType.SILENCE:
                return self._about_silence(tx, command)
            case CommandType.END_SILENCE:
                there = any(one.name == command.subject for one in self.rules.silences(tx))
                return None if there else CommandOutcome.NO_SUCH_SILENCE
            case CommandType.SAVE_DRAFT:
                return self._about_draft(tx, command)
            case CommandType.SILENCE_ALIKE:
                if self._is_silent(tx, command.detail):
                    return CommandOutcome.ALREADY_SO
                return CommandOutcome.TOO_MANY if self._is_full(tx, command.detail) else None
            case CommandType.SHADOW_DRAFT if not command.subject:
                return None if self.rules.shadow(tx) else CommandOutcome.NOT_SHADOWED
            case _:
                return None if self.rules.draft(tx, command.subject) else CommandOutcome.NO_SUCH_DRAFT

    def execute(self, tx: Tx, command: Command, at: datetime) -> CommandOutcome:
        """Write it down, with a new mark."""
        certain = self.certain(tx, command)
        if certain is not None:
            return certain
        match command.type:
            case CommandType.SILENCE:
                silence = silence_from(command.subject, command.detail)
                assert silence is not None  # certain() has looked
                self.rules.put_silence(tx, silence)
            case CommandType.END_SILENCE:
                self.rules.remove_silence(tx, command.subject)
            case CommandType.SAVE_DRAFT:
                self.rules.put_draft(tx, StoredDraft(command.subject, clean(command.detail), clean(command.by), at))
            case CommandType.DELETE_DRAFT:
                self.rules.remove_draft(tx, command.subject)
            case _:
                self.rules.put_shadow(tx, command.subject or None)
        return self._done(command)

    def became(self, tx: Tx, command: Command) -> CommandOutcome:
        """Whether the store shows what was asked for."""
        match command.type:
            case CommandType.SILENCE_ALIKE:
                return (
                    CommandOutcome.SILENCED if self._is_silent(tx, command.detail) else CommandOutcome.SILENCED_BEFORE
                )
            case CommandType.SILENCE:
                asked = silence_from(command.subject, command.detail)
                is_so = asked in self.rules.silences(tx)
            case CommandType.END_SILENCE:
                is_so = all(one.name != command.subject for one in self.rules.silences(tx))
            case CommandType.SAVE_DRAFT:
                draft = self.rules.draft(tx, command.subject)
                is_so = draft is not None and draft.text == clean(command.detail)
            case CommandType.DELETE_DRAFT:
                is_so = self.rules.draft(tx, command.subject) is None
            case _:
                is_so = (self.rules.shadow(tx) or "") == command.subject
        return self._done(command) if is_so else CommandOutcome.NOT_TAKEN

    def _done(self, command: Command) -> CommandOutcome:
        if command.type is CommandType.SHADOW_DRAFT and not command.subject:
            return CommandOutcome.ENDED
        return {
            CommandType.SILENCE: CommandOutcome.SILENCED,
            CommandType.END_SILENCE: CommandOutcome.ENDED,
            CommandType.SAVE_DRAFT: CommandOutcome.SAVED,
            CommandType.DELETE_DRAFT: CommandOutcome.DELETED,
        }.get(command.type, CommandOutcome.SHADOWED)

    def _is_silent(self, tx: Tx, name: str) -> bool:
        now = self.clock()
        return any(one.name == name and one.until > now for one in self.rules.silences(tx))

    def _about_silence(self, tx: Tx, command: Command) -> CommandOutcome | None:
        silence, now = silence_from(command.subject, command.detail), self.clock()
        if silence is None or problem_of(silence, now):
            return CommandOutcome.INVALID
        return CommandOutcome.TOO_MANY if self._is_full(tx, silence.name) else None

    def _is_full(self, tx: Tx, name: str) -> bool:
        """Whether the store takes no silence of that name, because there are too many others."""
        now = self.clock()
        return len([one for one in self.rules.silences(tx) if one.until > now and one.name != name]) >= MAX_SILENCES

    def _about_draft(self, tx: Tx, command: Command) -> CommandOutcome | None:
        size = len(command.detail.encode("utf-8", "surrogatepass"))
        if not is_name(command.subject) or not 0 < size <= MAX_DRAFT_BYTES:
            return CommandOutcome.INVALID
        others = [one for one in self.rules.drafts(tx) if one.name != command.subject]
        return CommandOutcome.TOO_MANY if len(others) >= MAX_DRAFTS else None


@dataclass(frozen=True)
class StoredRulesOverview:
    """Looks at what the store has; changes nothing. Raises ``StoreUnavailable``."""

    transactions: Transactions
    rules: StoredRules

    def silences(self) -> Sequence[Silence]:
        """Those of the store, also those that are over and not yet removed."""
        with self.transactions.read() as tx:
            return self.rules.silences(tx)

    def drafts(self) -> tuple[Sequence[StoredDraft], str | None]:
        """Every draft, and the name of the one that is asked beside the rules in force."""
        with self.transactions.read() as tx:
            return self.rules.drafts(tx), self.rules.shadow(tx)

    def draft(self, name: str) -> StoredDraft | None:
        """The draft of that name."""
        with self.transactions.read() as tx:
            return self.rules.draft(tx, name)
