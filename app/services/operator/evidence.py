"""Use case: whoever has the evidence link of an incident sees what it is about, and presses one of three buttons.

Nobody logs in. So the page shows what redaction would send to PagerDuty, where the link came from, and a button is a
command like an operator's, in the name of *somebody with the link of #12*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Protocol

from app.domain.model.events import CommandOutcome, CommandType, Way
from app.domain.model.text import one_line, shortened
from app.domain.model.types import FALSE_ALERT, AlertId, LinkId, Status
from app.domain.rules.rulebook import EvidenceShows, Redaction, Rulebook, Silence, scrub, withheld_texts, withhold
from app.domain.sync.asked import ALIKE, alike
from app.domain.sync.incident_draft import draft, labels_of, title_of
from app.domain.sync.link import Link
from app.ports import Clock, Records, Row, Transactions, utc_now
from app.ports.access import EVERY_LINK, AccessStore
from app.ports.console import Audit, AuditEntry, SubjectKind
from app.services.access.evidence import CLOCKS_APART, LONGEST, EvidenceAction, EvidencePace, EvidenceTokens
from app.services.access.tokens import digest
from app.services.operator.console import Console
from app.services.operator.operator import Operate

REVOKE = "revoke_evidence_links"
"""The action, as the audit log names it."""
MAX_NAME_CHARS = 60
COMMANDS: Mapping[EvidenceAction, CommandType] = {
    EvidenceAction.ACKNOWLEDGE: CommandType.ACKNOWLEDGE,
    EvidenceAction.FALSE_ALERT: CommandType.FALSE_ALERT,
}
SEES_EVERYTHING = Redaction(send_claim=True, send_query=True, send_response=True, send_people=True)


class LinkState(StrEnum):
    """How a link stands. Each but the first is the reason why nothing is shown."""

    WORKS = "works"
    UNKNOWN = "evidence_link_unknown"
    """Not signed by us, of an alert that is not here, or evidence links are switched off."""
    GONE = "evidence_link_gone"
    """Too old, or its incident is over for too long, or it was revoked."""
    TOO_OFTEN = "evidence_link_too_often"


class PressOutcome(StrEnum):
    """Why a button did nothing."""

    STALE_BUTTON = "stale_button"
    """Its page was open for too long, or the form is not one of this link."""


@dataclass(frozen=True, slots=True)
class FoundEvidence:
    """What became of a link."""

    state: LinkState
    link: Link | None = None
    wait_seconds: int = 0
    """When it may be asked for again, where it was too often."""


@dataclass(frozen=True, slots=True)
class EvidencePage:
    """What a page shows: nothing that redaction would not send, unless more may be seen."""

    link: Link
    author: str
    """Whoever presses a button is recorded as this."""
    title: str
    details: Mapping[str, str]
    decided: str
    lines: Sequence[Row]
    """The time line."""
    shows_everything: bool
    silence: Silence | None
    """What the button would silence."""
    labels: Mapping[str, str]
    """What it goes by."""
    buttons: Mapping[EvidenceAction, str]
    """The signed word of each button that would do something."""


class Rules(Protocol):
    """The rulebook of this process."""

    def current(self) -> Rulebook: ...


@dataclass(frozen=True)
class Evidence:
    """Shows evidence by link, and does what its buttons ask. Raises ``StoreUnavailable``."""

    tokens: EvidenceTokens
    rules: Rules
    reads: Console
    transactions: Transactions
    records: Records
    access: AccessStore
    pace: EvidencePace
    clock: Clock = utc_now

    def find(self, token: str) -> FoundEvidence:
        """Whose evidence this link shows, if it works. It counts as a request of that link."""
        read = self.tokens.read(token) if self.rules.current().console.evidence_links else None
        if read is None:
            return FoundEvidence(LinkState.UNKNOWN)
        if wait := self.pace.wait(read.link_id):
            return FoundEvidence(LinkState.TOO_OFTEN, wait_seconds=wait)
        with self.transactions.read() as tx:
            link = self.records.link_of(tx, read.link_id)
            revoked_at = self.access.evidence_revoked_at(tx, read.link_id)
        if link is None or not read.fits(link.incident_key):
            return FoundEvidence(LinkState.UNKNOWN)
        is_revoked = revoked_at is not None and read.made_at <= revoked_at
        if is_revoked or read.has_expired(link.over_at, self.clock()):
            return FoundEvidence(LinkState.GONE)
        return FoundEvidence(LinkState.WORKS, link)

    def page(self, token: str, link: Link, sees_evidence: bool) -> EvidencePage:
        """What this link's page shows. ``sees_evidence``: to somebody who may see prompts and answers anyway."""
        book = self.rules.current()
        allowed = redaction_for(book, sees_evidence)
        found = self.reads.alert(link.alert.alert_id)
        decided = link.decision
        shown = draft(link.alert, decided, replace(book, redaction=allowed)).details if decided else {}
        silence = alike(link, author_of(link), self.clock())
        return EvidencePage(
            link, author_of(link), title_of(link.alert, decided, allowed), shown, found.decided if found else "",
            fit_to_show(found.lines if found else (), link, allowed), allowed.send_query, silence,
            labels_of(link.alert, ALIKE, allowed),
            {action: self.tokens.make_button(token, action) for action in buttons_of(link, silence)},
        )  # fmt: skip

    def press(
        self, operate: Operate, token: str, link: Link, action: EvidenceAction, button: str, resolve: bool
    ) -> str:
        """Do what a button asks; the answer is the outcome in a word. The same button pressed twice is one command.
        ``resolve``: with a false alert, whether it is resolved too."""
        if not self.tokens.is_button(token, action, button):
            return PressOutcome.STALE_BUTTON
        by = author_of(link)
        ask = operate.as_actor(by, Way.LINK)
        if action is EvidenceAction.SILENCE:
            silence = alike(link, by, self.clock())
            if silence is None:
                return CommandOutcome.INVALID
            # Once for each life of the alert, whichever incident it has: no link can begin its silence anew.
            key = f"evidence-{link.life}"
            return ask(CommandType.SILENCE_ALIKE, link.alert.alert_id, key, silence.name).word
        key = digest(button)
        done = ask(COMMANDS[action], link.alert.alert_id, key)
        if action is EvidenceAction.FALSE_ALERT and resolve:
            done = ask(CommandType.RESOLVE, link.alert.alert_id, key, "#false-alert")
        return done.word


@dataclass(frozen=True)
class RevokeEvidence:
    """Ends evidence links that were made until ``CLOCKS_APART`` from now. Raises ``StoreUnavailable``."""

    transactions: Transactions
    records: Records
    access: AccessStore
    audit: Audit
    clock: Clock = utc_now

    def __call__(self, wanted: str, by: str, way: Way) -> Sequence[AlertId]:
        """Those of an alert, or of an incident by its id or number; the alerts they were of, none where nobody knows
        it."""
        with self.transactions.begin() as tx:
            links = self.records.about(tx, wanted)
            self._revoke(tx, [link.link_id for link in links])
            for link in links:
                self._write_down(tx, by, way, link.alert.alert_id)
        return [link.alert.alert_id for link in links]

    def all(self, by: str, way: Way) -> None:
        """Those of every alert."""
        with self.transactions.begin() as tx:
            self._revoke(tx, [EVERY_LINK])
            self._write_down(tx, by, way, "")

    def _revoke(self, tx: Any, link_ids: Sequence[LinkId]) -> None:
        now = self.clock()
        self.access.revoke_evidence(tx, link_ids, now + CLOCKS_APART, now - LONGEST)

    def _write_down(self, tx: Any, by: str, way: Way, subject: str) -> None:
        self.audit.write(tx, AuditEntry(self.clock(), by, way, REVOKE, SubjectKind.ALERT, subject, "done"))


def author_of(link: Link) -> str:
    """Who pressed a button, as far as anybody knows."""
    if link.incident_number is not None:
        return f"somebody with the link of #{link.incident_number}"
    name = link.incident_id or link.alert.alert_id
    return f"somebody with the link of {shortened(one_line(name), MAX_NAME_CHARS)}"


def redaction_for(book: Rulebook, sees_evidence: bool) -> Redaction:
    """What may be seen of an alert."""
    if sees_evidence:
        return SEES_EVERYTHING
    if book.console.evidence_shows is EvidenceShows.EVERYTHING:
        return replace(SEES_EVERYTHING, send_people=book.redaction.send_people)
    return book.redaction


def buttons_of(link: Link, silence: Silence | None) -> Sequence[EvidenceAction]:
    """The buttons that would do something."""
    wanted = (
        (EvidenceAction.ACKNOWLEDGE, link.status is Status.OPEN),
        (EvidenceAction.FALSE_ALERT, link.verdict != FALSE_ALERT),
        (EvidenceAction.SILENCE, silence is not None),
    )
    return [action for action, does_something in wanted if does_something]


def fit_to_show(lines: Sequence[Row], link: Link, allowed: Redaction) -> Sequence[Row]:
    """A time line without what may not be seen: who acted at TruthVouch, people, and repetitions of texts."""
    if allowed == SEES_EVERYTHING:
        return lines
    people = () if allowed.send_people else tuple(link.alert.people.values())
    hidden = withheld_texts(link.alert, allowed)

    def fit(value: Any) -> Any:
        match value:
            case str():
                freed = withhold(value, hidden)
                return freed if allowed.send_people else scrub(freed, people)
            case dict():
                return {name: fit(one) for name, one in value.items()}
            case list() | tuple():
                return [fit(one) for one in value]
            case _:
                return value

    def author(row: Row) -> Any:
        of_truthvouch = str(row["event"]).startswith("alert.")
        return None if of_truthvouch and not allowed.send_people else row["author"]

    return [{**row, "author": fit(author(row)), "facts": fit(row["facts"])} for row in lines]
