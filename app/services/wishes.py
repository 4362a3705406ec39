"""What an operator asked for is done: in the worker, in the transaction that takes the wish in, so it is done once.

A wish meets the link as it is now: what was mended meanwhile is not done again, and asking twice does nothing twice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.effects import Circumstances, desired_effect
from app.domain.freeze import thawed
from app.domain.link import Link
from app.domain.names import AlertId, Side, Source
from app.domain.reprieve import asked_again, let_go
from app.domain.words import Ignored, Unreadable, Wish, WishVerb
from app.ports import Arrivals, Letter, Letters, Links, Read, TimelineEntry, Tx
from app.services.escalations import Escalations
from app.services.hear import Gathered, Hear
from app.services.settle import Settle, line

IGNORED, DONE = "wish.ignored", "wish.done"
NOT_DONE = frozenset({"no_such_letter", "already_closed", "no_such_link", "not_frozen", "not_armed", "bad_request"})
MAX_DIGITS = 18
"""A longer number is nobody's: no column could hold it."""


@dataclass(frozen=True)
class Grant:
    """Does what a wish asks; the answer is the log line about it."""

    links: Links
    letters: Letters
    arrivals: Arrivals
    settle: Settle
    hear: Hear
    readers: Mapping[Source, Read]
    reconcile: Callable[[], None]
    """Asks for a reconciliation soon."""
    escalations: Escalations | None = None

    def __call__(self, tx: Tx, wish: Wish, at: datetime, gathered: Gathered) -> dict[str, Any]:
        """One wish, in the caller's transaction."""
        outcome = self._outcome(tx, wish, at, gathered)
        ignored = outcome in NOT_DONE
        said = {"event": IGNORED if ignored else DONE, "verb": wish.verb.value, "subject": wish.subject, "by": wish.by}
        return said | {"outcome": outcome}

    def _outcome(self, tx: Tx, wish: Wish, at: datetime, gathered: Gathered) -> str:
        match wish.verb:
            case WishVerb.REPLAY | WishVerb.DISCARD:
                return self._about_letter(tx, wish, at, gathered)
            case WishVerb.THAW:
                return self._thaw(tx, wish, at, gathered)
            case WishVerb.RECONCILE:
                self.reconcile()
                return "asked"
            case WishVerb.ESCALATE:
                return self.escalations.wish(tx, wish, at) if self.escalations else "bad_request"

    def _about_letter(self, tx: Tx, wish: Wish, at: datetime, gathered: Gathered) -> str:
        known = wish.subject.isascii() and wish.subject.isdecimal() and len(wish.subject) <= MAX_DIGITS
        letter = self.letters.get(tx, int(wish.subject)) if known else None
        if letter is None:
            return "no_such_letter"
        if letter.closed_at is not None:
            return "already_closed"
        discards = wish.verb is WishVerb.DISCARD
        outcome = self._event(tx, letter, discards, at, gathered) if letter.kind == "event" else ""
        if letter.kind == "escalation" and self.escalations:
            outcome = self.escalations.about_letter(tx, letter, wish, discards, at)
        outcome = outcome or self._effect(tx, letter, wish, discards, at, gathered)
        if outcome == "still_unreadable":
            self.letters.tried(tx, letter.letter_id)
        else:
            self.letters.close(tx, letter.letter_id, outcome, at, wish.by)
        return outcome

    def _event(self, tx: Tx, letter: Letter, discards: bool, at: datetime, gathered: Gathered) -> str:
        """An event that could not be read: a newer version may be able to."""
        if discards:
            return "discarded"
        row = self.arrivals.row(tx, letter.inbox_id) if letter.inbox_id is not None else None
        if row is None:
            return "gone"
        readings = self.readers[row.delivery.source](row.delivery.body, row.delivery.content_encoding)
        if any(isinstance(reading, Unreadable) for reading in readings):
            return "still_unreadable"
        for reading in readings:
            if not isinstance(reading, Unreadable | Ignored | Wish):
                self.hear(tx, reading, at, row.inbox_id, gathered)
        return "replayed"

    def _effect(self, tx: Tx, letter: Letter, wish: Wish, discards: bool, at: datetime, gathered: Gathered) -> str:
        """An effect that was given up: the link decides anew whether anything is missing."""
        if letter.link_id is None or letter.side is None:
            return "gone"
        link = self.links.get(tx, letter.link_id)
        others = self.letters.others_of_lane(tx, letter)
        link = (let_go if discards else asked_again)(link, letter.side, letter.effect, others)
        saved, orders = self.settle.write(tx, link, at)
        gathered.orders += orders
        outcome = "discarded" if discards else "replayed" if self._owes(tx, saved, letter.side) else "nothing_to_do"
        facts: dict[str, Any] = {"letter": letter.letter_id}
        if behind := saved.lane(letter.side).dead:
            facts["waits_behind"] = behind
        gathered.entries.append(self._line(saved, f"letter.{outcome}", wish, at, facts))
        return outcome

    def _owes(self, tx: Tx, link: Link, side: Side) -> bool:
        """Whether anything is missing there, also where it waits behind another letter."""
        at = Circumstances(self.settle.clock(), self.settle.shared(tx, link, side), self.settle.rest())
        return desired_effect(link, side, at) is not None

    def _thaw(self, tx: Tx, wish: Wish, at: datetime, gathered: Gathered) -> str:
        link = self.links.by_alert(tx, AlertId(wish.subject))
        if link is None:
            return "no_such_link"
        if link.frozen_at is None:
            return "not_frozen"
        saved, orders = self.settle.write(tx, thawed(link), at)
        gathered.orders += orders
        gathered.entries.append(self._line(saved, "link.thawed", wish, at, {}))
        if self.escalations:
            gathered.entries += self.escalations.followed(tx, link, saved, at)
        return "thawed"

    def _line(self, link: Link, event: str, wish: Wish, at: datetime, facts: Mapping[str, Any]) -> TimelineEntry:
        return line(link, event, at, facts, wish.by or None)
