"""Use case: an operator logs in with a token or a one-time link, and is known by a session until it ends.

A session is a row that is looked up at each request, so what ends the row, or revokes its token, ends the login.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog

from app.domain.model.events import Way
from app.ports import Clock, Transactions, utc_now
from app.ports.access import AccessStore, ConsoleSession, Identity, Role
from app.ports.console import SubjectKind
from app.services.access.tokens import SEEN_EVERY, Tokens, digest

log = structlog.get_logger()

LONGEST = timedelta(hours=12)
"""However busy, a session ends after so long."""
IDLE = timedelta(hours=1)
"""A session without a request for so long ends."""
KEY_BYTES = 32
WAY_IN = "console"
"""How the time line and the audit log name whoever is logged in: ``console:NAME``."""


class Sessions:
    """Logins in browsers, and the keys that sign their cookies. Every method raises ``StoreUnavailable``."""

    def __init__(
        self,
        store: AccessStore,
        transactions: Callable[[], Transactions],
        tokens: Tokens,
        keys: Sequence[str] = (),
        clock: Clock = utc_now,
    ) -> None:
        """``keys``: as configured, newest first; none = one is generated and kept. ``transactions`` is asked with the
        first request: nothing is opened before."""
        self._store, self._of, self._tokens, self._clock = store, transactions, tokens, clock
        self._keys = tuple(keys)

    def signing_keys(self) -> tuple[str, ...]:
        """What signs cookies and links, newest first. A generated key is the same in every process on this store."""
        if not self._keys:
            with self._of().begin() as tx:
                self._keys = (self._store.signing_key(tx, secrets.token_urlsafe(KEY_BYTES)),)
        return self._keys

    def start(self, identity: Identity) -> str:
        """Begin a session; the answer is its id, for the cookie."""
        made, now = secrets.token_urlsafe(KEY_BYTES), self._clock()
        with self._of().begin() as tx:
            self._store.add_session(tx, digest(made), ConsoleSession(identity, now, now), now - LONGEST)
            about = ("log_in", SubjectKind.SESSION, identity.name, "logged_in")
            self._tokens.write_down(tx, identity.actor(WAY_IN).name, Way.CONSOLE, *about)
        log.info("session.started", by=identity.name, role=identity.role.value)
        return made

    def find(self, session_id: str) -> Identity | None:
        """Whose session this is; None when it has ended or never was. It counts as a sign of life."""
        now, key = self._clock(), digest(session_id)
        with self._of().read() as tx:
            session = self._store.session(tx, key)
        if session is None or not self._lasts(session):
            return None
        if now - session.last_seen_at >= SEEN_EVERY:
            with self._of().begin() as tx:
                self._store.session_seen(tx, key, now)
        return session.identity

    def _lasts(self, session: ConsoleSession) -> bool:
        now = self._clock()
        is_young = now - session.created_at < LONGEST and now - session.last_seen_at < IDLE
        return is_young and self._tokens.still_proves(session.identity)

    def end(self, session_id: str) -> None:
        """Log out."""
        with self._of().begin() as tx:
            session = self._store.session(tx, digest(session_id))
            self._store.end_session(tx, digest(session_id))
            if session is not None:
                about = ("log_out", SubjectKind.SESSION, session.identity.name, "logged_out")
                self._tokens.write_down(tx, session.identity.actor(WAY_IN).name, Way.CONSOLE, *about)

    def all(self) -> Sequence[ConsoleSession]:
        """Those that last, oldest first. One of an admin token that was changed since is among them until it is idle:
        whoever asks may not know that token."""
        now = self._clock()
        with self._of().read() as tx:
            return self._store.sessions(tx, now - LONGEST, now - IDLE)

    # ------------------------------------------------------------------------------------------------ one-time links

    def make_link(self, by: str, lasting: timedelta, way: Way | None = None) -> str:
        """The secret part of a link that logs in once, as an admin. Whoever logs in by it goes by ``link:`` and ``by``,
        which is no token's name."""
        made, now = secrets.token_urlsafe(KEY_BYTES), self._clock()
        with self._of().begin() as tx:
            self._store.add_link(tx, digest(made), f"link:{by}", now, now + lasting)
            self._tokens.write_down(tx, by, way, "make_console_link", SubjectKind.SESSION, f"link:{by}", "made")
        log.info("console_link.made", by=by, minutes=int(lasting.total_seconds() / 60))
        return made

    def spend_link(self, link: str) -> str | None:
        """Begin a session; the answer is its id. None where the link is spent, expired or none of ours."""
        made, now = secrets.token_urlsafe(KEY_BYTES), self._clock()
        with self._of().begin() as tx:
            by = self._store.spend_link(tx, digest(link), now)
            if by is None:
                return None
            session = ConsoleSession(Identity(by, Role.ADMIN, True), now, now)
            self._store.add_session(tx, digest(made), session, now - LONGEST)
            about = ("log_in", SubjectKind.SESSION, by, "logged_in")
            self._tokens.write_down(tx, session.identity.actor(WAY_IN).name, Way.LINK, *about)
        log.info("session.started", by=by, role=Role.ADMIN.value, link=True)
        return made
