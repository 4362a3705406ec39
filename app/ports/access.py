"""Who may look and act: tokens, the sessions of the operators' pages, one-time links, and wrong guesses.

No secret is kept: of a token, a session's id and a link the store has a SHA-256. All three are random and long, so
nothing slower is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from app.domain.model.types import LinkId
from app.ports.store import Tx

EVERY_LINK = LinkId(0)
"""In the place of a link's number, which is never 0 in a store."""


class Role(StrEnum):
    """What a token or session may do."""

    ADMIN = "admin"
    READ_ONLY = "read-only"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who calls, as the time line and the audit log name them."""

    name: str
    """The way in and the token's name: ``api:ci``, ``console:admin``."""
    role: Role
    sees_evidence: bool = False
    """Whether they may read prompts and answers."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody proved to be."""

    name: str
    role: Role
    sees_evidence: bool
    token_id: int | None = None
    """The named token behind it."""
    proof: str = ""
    """What shows that the admin token is still the one it was made with; empty where that one is not behind it."""

    def actor(self, way_in: str) -> Actor:
        """The same as the time line names it."""
        return Actor(f"{way_in}:{self.name}", self.role, self.sees_evidence)


@dataclass(frozen=True, slots=True)
class NamedToken:
    """A token that an operator made for a person or a script."""

    token_id: int
    name: str
    role: Role
    sees_evidence: bool
    created_at: datetime
    last_used_at: datetime | None = None
    """To the minute."""
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A login in a browser."""

    identity: Identity
    created_at: datetime
    last_seen_at: datetime
    """To the minute."""


@dataclass(frozen=True, slots=True)
class WrongGuesses:
    """How many wrong tokens came from one address in a row, and when the last one came."""

    count: int = 0
    last_at: datetime | None = None


class AccessStore(Protocol):
    """Everything is looked up by its digest, a SHA-256 in hex; ``tx`` of what only reads may be one from ``read``."""

    def add_token(
        self, tx: Tx, digest: str, name: str, role: Role, sees_evidence: bool, at: datetime
    ) -> NamedToken | None:
        """None when a token of that name is in use."""

    def token(self, tx: Tx, digest: str) -> NamedToken | None:
        """The token, unless it is revoked."""

    def tokens(self, tx: Tx) -> Sequence[NamedToken]:
        """All of them, those that are revoked too, by name and age."""

    def has_tokens(self, tx: Tx) -> bool:
        """Whether any is in use."""

    def token_used(self, tx: Tx, token_id: int, at: datetime) -> None: ...

    def revoke(self, tx: Tx, name: str, at: datetime) -> tuple[bool, int]:
        """Revoke the token of that name and end every session of it. Whether there was one; how many ended."""

    def add_session(self, tx: Tx, digest: str, session: ConsoleSession, oldest: datetime) -> None:
        """Store it, and remove those that began before ``oldest``."""

    def session(self, tx: Tx, digest: str) -> ConsoleSession | None:
        """The session, unless it was ended or its token revoked."""

    def sessions(self, tx: Tx, oldest: datetime, idle_since: datetime) -> Sequence[ConsoleSession]:
        """Those that began and were seen since then and whose token is not revoked, oldest first."""

    def session_seen(self, tx: Tx, digest: str, at: datetime) -> None: ...
    def end_session(self, tx: Tx, digest: str) -> None: ...

    def add_link(self, tx: Tx, digest: str, name: str, now: datetime, expires_at: datetime) -> None:
        """Store a one-time link, and remove those that expired."""

    def spend_link(self, tx: Tx, digest: str, now: datetime) -> str | None:
        """Mark a link as spent, by one conditional update: of any number of callers one gets the name of whoever made
        it, the others None. None, too, where it expired or never was."""

    def revoke_evidence(self, tx: Tx, link_ids: Sequence[LinkId], at: datetime, oldest: datetime) -> None:
        """Evidence links of these links (``EVERY_LINK``: of all) that were made until then work no more; what was
        revoked before ``oldest`` is forgotten."""

    def evidence_revoked_at(self, tx: Tx, link_id: LinkId) -> datetime | None:
        """Until when evidence links of this link, or of all, were revoked."""

    def guesses(self, tx: Tx, source: str) -> WrongGuesses: ...

    def add_guess(self, tx: Tx, source: str, now: datetime, forget: datetime, at_most: int) -> int:
        """Count a wrong one; the answer is how many there were in a row. What is older than ``forget`` counts no more,
        and of more than ``at_most`` addresses the oldest go."""

    def signing_key(self, tx: Tx, candidate: str) -> str:
        """The key that is kept. ``candidate`` becomes it where there is none: of several callers all get the same."""
