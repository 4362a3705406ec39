"""Use case: a token proves who calls; wrong ones are counted by address and slowed down.

Every wrong token of an address makes it wait longer for its next one, ``FIRST_DELAY`` seconds and then twice as long
each time, up to ``LONGEST_DELAY``; from the ``MANY``-th on it waits ``LOCKED``. The count is in the store, so all web
processes and machines share it. Only that address waits: a right token from another one, a session and a one-time link
always work, so whoever guesses locks no operator out.

Use case: operators make named tokens, list and revoke them.
"""

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

import structlog

from app.domain.model.events import Way
from app.ports import Clock, StoreUnavailable, Transactions, Tx, utc_now
from app.ports.access import AccessStore, Identity, NamedToken, Role, WrongGuesses
from app.ports.console import Audit, AuditEntry, SubjectKind

log = structlog.get_logger()

ADMIN = "admin"
"""Whoever has ``BRIDGE_ADMIN_TOKEN`` goes by this name."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
PREFIX = "tvpd_"
"""How a named token begins: scanners of secrets can look for it."""
SEEN_EVERY = timedelta(minutes=1)
"""A token's last use and a session's last sign of life are written at most so often."""

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
"""Seconds."""
MANY = 10
LOCKED = timedelta(minutes=15)
FORGOTTEN = timedelta(hours=1)
"""After so long without a wrong token an address begins anew."""
MAX_ADDRESSES = 10_000

PROOF_ROUNDS = 100_000


def digest(secret: str) -> str:
    """What the store keeps of a random token, session id or link."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def delay(count: int) -> float:
    """Seconds that an address waits after so many wrong tokens in a row."""
    if count >= MANY:
        return LOCKED.total_seconds()
    return min(LONGEST_DELAY, FIRST_DELAY * 2 ** (count - 1)) if count else 0.0


def wait(guesses: WrongGuesses, now: datetime) -> int:
    """Whole seconds until the next token of that address is looked at; 0 = now. A clock that was set back makes nobody
    wait longer than from now on."""
    if guesses.last_at is None or now - guesses.last_at >= FORGOTTEN:
        return 0
    seconds = delay(guesses.count)
    return math.ceil(max(0.0, min(seconds, seconds - (now - guesses.last_at).total_seconds())))


class TokenOutcome(StrEnum):
    """What became of a token."""

    ACCEPTED = "accepted"
    WRONG = "token_wrong"
    TOO_MANY = "too_many_wrong"
    """It was not looked at."""
    NO_TOKEN = "no_admin_token"
    """No token opens this bridge."""


@dataclass(frozen=True, slots=True)
class TokenResult:
    """What became of a token, whose it is, and how many seconds to wait."""

    outcome: TokenOutcome
    identity: Identity | None = None
    wait_seconds: int = 0


class Tokens:
    """The admin token of the environment and the named tokens of the store. Every method raises ``StoreUnavailable``,
    but the admin token needs no store.

    Tokens that are made and revoked, and addresses that are locked out, leave a line in the audit log, in the same
    transaction; without a ``way`` no person asks, and there is no line.
    """

    def __init__(
        self,
        store: AccessStore,
        transactions: Callable[[], Transactions],
        admin_token: str | None,
        clock: Clock = utc_now,
        audit: Audit | None = None,
    ) -> None:
        """``transactions`` is asked with the first token: nothing is opened before."""
        self._store, self._of, self._admin, self._clock = store, transactions, admin_token, clock
        self._audit = audit

    def write_down(
        self, tx: Tx, by: str, way: Way | None, action: str, kind: SubjectKind, subject: str, outcome: str
    ) -> None:
        """A line of the audit log about who may look and act."""
        if self._audit is not None and way is not None:
            self._audit.write(tx, AuditEntry(self._clock(), by, way, action, kind, subject, outcome))

    # ------------------------------------------------------------------------------------------------ proving

    @property
    def is_configured(self) -> bool:
        """Whether any token opens this bridge."""
        if self._admin:
            return True
        with self._of().read() as tx:
            return self._store.has_tokens(tx)

    def check(self, given: str, source: str, way: Way | None = None) -> TokenResult:
        """Whose token this is. ``source``: the address that it came from, in the form in which it is counted; ``way``:
        where it was given."""
        now, is_admin = self._clock(), self._is_admin(given)
        try:
            with self._of().read() as tx:
                guesses = self._store.guesses(tx, source)
                named = None if is_admin else self._store.token(tx, digest(given))
        except StoreUnavailable:
            if is_admin:  # whoever has it needs to see what is wrong, and nothing can be counted
                return self._accepted(self.admin)
            raise
        if seconds := wait(guesses, now):
            return TokenResult(TokenOutcome.TOO_MANY, wait_seconds=seconds)
        if is_admin:
            return self._accepted(self.admin)
        return self._wrong(source, now, way) if named is None else self._accepted(self._used(named, now))

    @cached_property
    def admin(self) -> Identity:
        """Whoever has the admin token. The proof is derived slowly, since it is stored and a person may have chosen the
        token: a twentieth of a second, once in each process."""
        assert self._admin
        derived = hashlib.pbkdf2_hmac("sha256", self._admin.encode(), b"truthvouch console session", PROOF_ROUNDS)
        return Identity(ADMIN, Role.ADMIN, True, proof=derived.hex())

    def still_proves(self, identity: Identity) -> bool:
        """Whether a session of this identity was not made with an admin token that has been changed since."""
        return not identity.proof or (bool(self._admin) and hmac.compare_digest(identity.proof, self.admin.proof))

    def _is_admin(self, given: str) -> bool:
        """Compares digests, so that the time it takes tells neither a letter nor the length."""
        return bool(self._admin) and hmac.compare_digest(digest(given), digest(self._admin or ""))

    def _accepted(self, identity: Identity) -> TokenResult:
        return TokenResult(TokenOutcome.ACCEPTED, identity)

    def _used(self, named: NamedToken, now: datetime) -> Identity:
        if named.last_used_at is None or abs(now - named.last_used_at) >= SEEN_EVERY:
            with self._of().begin() as tx:
                self._store.token_used(tx, named.token_id, now)
        return Identity(named.name, named.role, named.sees_evidence, named.token_id)

    def _wrong(self, source: str, now: datetime, way: Way | None) -> TokenResult:
        with self._of().begin() as tx:
            count = self._store.add_guess(tx, source, now, now - FORGOTTEN, MAX_ADDRESSES)
            if count >= MANY:
                about = ("guess_token", SubjectKind.ADDRESS, source, "locked_out")
                self.write_down(tx, f"somebody at {source}", way, *about)
        if count == MANY:
            log.error("operator.guessing", client=source, wait_seconds=int(LOCKED.total_seconds()))
        return TokenResult(TokenOutcome.WRONG if self.is_configured else TokenOutcome.NO_TOKEN)

    # ------------------------------------------------------------------------------------------------ managing

    def add(self, name: str, role: Role, sees_evidence: bool, by: str = "", way: Way | None = None) -> str | None:
        """Make a token; the answer is the token itself, which nobody can read again. None when one of that name is in
        use. ``by``: who asks. Raises ``ValueError`` for a name that cannot be."""
        if not NAME.fullmatch(name) or name == ADMIN:
            raise ValueError(
                "A name has 1 to 64 letters, digits, dots, dashes or underlines, begins with a letter or a digit, and "
                f"is not {ADMIN!r}, the name of whoever has BRIDGE_ADMIN_TOKEN."
            )
        made = PREFIX + secrets.token_urlsafe(32)
        with self._of().begin() as tx:
            added = self._store.add_token(tx, digest(made), name, role, sees_evidence, self._clock())
            self.write_down(tx, by, way, "add_token", SubjectKind.TOKEN, name, "added" if added else "name_in_use")
        return made if added else None

    def all(self) -> Sequence[NamedToken]:
        """Those that are revoked too."""
        with self._of().read() as tx:
            return self._store.tokens(tx)

    def revoke(self, name: str, by: str = "", way: Way | None = None) -> tuple[bool, int]:
        """Revoke the token of this name and end every session of it, or of whoever made a link under it. Whether there
        was a token; how many sessions ended."""
        with self._of().begin() as tx:
            revoked, ended = self._store.revoke(tx, name, self._clock())
            outcome = "revoked" if revoked else "logged_out" if ended else "no_such_token"
            self.write_down(tx, by, way, "revoke_token", SubjectKind.TOKEN, name, outcome)
        return revoked, ended
