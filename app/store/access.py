"""Tokens, sessions, one-time links, revoked evidence links and wrong guesses, as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from app.domain.model.types import LinkId
from app.ports import Tx
from app.ports.access import EVERY_LINK, ConsoleSession, Identity, NamedToken, Role, WrongGuesses
from app.store.database import connection, upsert
from app.store.schema import access_tokens, console_links, console_sessions, key_values, revoked_evidence, wrong_guesses

SIGNING_KEY = "access.signing_key"
"""The key value under which the generated key is kept."""

_tokens, _sessions, _links, _guesses = access_tokens.c, console_sessions.c, console_links.c, wrong_guesses.c

_IN_USE = _tokens.revoked_at.is_(None)
_TOKEN = sa.select(access_tokens).where(_tokens.digest == sa.bindparam("digest"), _IN_USE)
_TOKENS = sa.select(access_tokens).order_by(_tokens.name, _tokens.id)
_HAS_TOKENS = sa.select(sa.exists().where(_IN_USE))
_ADD_TOKEN = sa.insert(access_tokens).returning(access_tokens)
_USED = sa.update(access_tokens).where(_tokens.id == sa.bindparam("row_id")).values(last_used_at=sa.bindparam("at"))
_REVOKE = (
    sa.update(access_tokens).where(_tokens.name == sa.bindparam("named"), _IN_USE).values(revoked_at=sa.bindparam("at"))
)

_STANDS = sa.or_(_sessions.token_id.is_(None), sa.exists().where(_tokens.id == _sessions.token_id, _IN_USE))
_SESSION = sa.select(console_sessions).where(_sessions.digest == sa.bindparam("digest"), _STANDS)
_SESSIONS = (
    sa.select(console_sessions)
    .where(_sessions.created_at > sa.bindparam("oldest"), _sessions.last_seen_at > sa.bindparam("idle_since"), _STANDS)
    .order_by(_sessions.created_at, _sessions.digest)
)
_SEEN = (
    sa.update(console_sessions)
    .where(_sessions.digest == sa.bindparam("session"))
    .values(last_seen_at=sa.bindparam("at"))
)
_END = sa.delete(console_sessions).where(_sessions.digest == sa.bindparam("digest"))
_END_NAMED = sa.delete(console_sessions).where(_sessions.name == sa.bindparam("named"))
_END_OLD = sa.delete(console_sessions).where(_sessions.created_at <= sa.bindparam("oldest"))

_SPEND = (
    sa.update(console_links)
    .where(_links.digest == sa.bindparam("link"), _links.spent_at.is_(None), _links.expires_at > sa.bindparam("now"))
    .values(spent_at=sa.bindparam("now"))
    .returning(_links.name)
)
_EXPIRED = sa.delete(console_links).where(_links.expires_at <= sa.bindparam("now"))

_REVOKED = sa.select(revoked_evidence.c.at).where(
    revoked_evidence.c.link_id.in_(sa.bindparam("wanted", expanding=True))
)
_OLD_REVOKED = sa.delete(revoked_evidence).where(revoked_evidence.c.at < sa.bindparam("oldest"))

_COUNTED = sa.select(_guesses.guesses, _guesses.last_at).where(_guesses.source == sa.bindparam("source"))
_FORGET = sa.delete(wrong_guesses).where(_guesses.last_at < sa.bindparam("forget"))
_NEWEST = sa.select(_guesses.source).order_by(_guesses.last_at.desc(), _guesses.source)
_TOO_MANY = sa.delete(wrong_guesses).where(_guesses.source.in_(_NEWEST.offset(sa.bindparam("at_most"))))


def _add_guess(insert: Any) -> Any:
    row = insert(wrong_guesses).values(source=sa.bindparam("source"), guesses=1, last_at=sa.bindparam("now"))
    more = {"guesses": _guesses.guesses + 1, "last_at": row.excluded.last_at}
    return row.on_conflict_do_update(index_elements=["source"], set_=more).returning(_guesses.guesses)


def _keep(insert: Any) -> Any:
    row = insert(key_values).values(name=SIGNING_KEY, value=sa.bindparam("candidate"))
    return row.on_conflict_do_nothing(index_elements=["name"])


_ADD_GUESS = {"sqlite": _add_guess(sqlite_insert), "postgresql": _add_guess(postgres_insert)}
_KEEP = {"sqlite": _keep(sqlite_insert), "postgresql": _keep(postgres_insert)}
_KEY = sa.select(key_values.c.value).where(key_values.c.name == SIGNING_KEY)


class StoredAccess:
    """Implements ``ports.access.AccessStore``."""

    # ------------------------------------------------------------------------------------------------------ tokens

    def add_token(
        self, tx: Tx, digest: str, name: str, role: Role, sees_evidence: bool, at: datetime
    ) -> NamedToken | None:
        row = {"name": name, "digest": digest, "role": role.value, "sees_evidence": sees_evidence, "created_at": at}
        try:
            with connection(tx).begin_nested():
                added = connection(tx).execute(_ADD_TOKEN, row).one()
        except sa.exc.IntegrityError:
            return None
        return _token(added)

    def token(self, tx: Tx, digest: str) -> NamedToken | None:
        row = connection(tx).execute(_TOKEN, {"digest": digest}).one_or_none()
        return _token(row) if row else None

    def tokens(self, tx: Tx) -> Sequence[NamedToken]:
        return [_token(row) for row in connection(tx).execute(_TOKENS)]

    def has_tokens(self, tx: Tx) -> bool:
        return bool(connection(tx).execute(_HAS_TOKENS).scalar_one())

    def token_used(self, tx: Tx, token_id: int, at: datetime) -> None:
        connection(tx).execute(_USED, {"row_id": token_id, "at": at})

    def revoke(self, tx: Tx, name: str, at: datetime) -> tuple[bool, int]:
        revoked = connection(tx).execute(_REVOKE, {"named": name, "at": at}).rowcount
        return bool(revoked), connection(tx).execute(_END_NAMED, {"named": name}).rowcount

    # ---------------------------------------------------------------------------------------------------- sessions

    def add_session(self, tx: Tx, digest: str, session: ConsoleSession, oldest: datetime) -> None:
        connection(tx).execute(_END_OLD, {"oldest": oldest})
        identity = session.identity
        row = {
            "digest": digest,
            "name": identity.name,
            "role": identity.role.value,
            "sees_evidence": identity.sees_evidence,
            "token_id": identity.token_id,
            "proof": identity.proof,
            "created_at": session.created_at,
            "last_seen_at": session.last_seen_at,
        }
        connection(tx).execute(sa.insert(console_sessions), row)

    def session(self, tx: Tx, digest: str) -> ConsoleSession | None:
        row = connection(tx).execute(_SESSION, {"digest": digest}).one_or_none()
        return _session(row) if row else None

    def sessions(self, tx: Tx, oldest: datetime, idle_since: datetime) -> Sequence[ConsoleSession]:
        found = connection(tx).execute(_SESSIONS, {"oldest": oldest, "idle_since": idle_since})
        return [_session(row) for row in found]

    def session_seen(self, tx: Tx, digest: str, at: datetime) -> None:
        connection(tx).execute(_SEEN, {"session": digest, "at": at})

    def end_session(self, tx: Tx, digest: str) -> None:
        connection(tx).execute(_END, {"digest": digest})

    # ------------------------------------------------------------------------------------------------------- links

    def add_link(self, tx: Tx, digest: str, name: str, now: datetime, expires_at: datetime) -> None:
        connection(tx).execute(_EXPIRED, {"now": now})
        row = {"digest": digest, "name": name, "created_at": now, "expires_at": expires_at}
        connection(tx).execute(sa.insert(console_links), row)

    def spend_link(self, tx: Tx, digest: str, now: datetime) -> str | None:
        name: str | None = connection(tx).execute(_SPEND, {"link": digest, "now": now}).scalar_one_or_none()
        return name

    # ---------------------------------------------------------------------------------------------- evidence links

    def revoke_evidence(self, tx: Tx, link_ids: Sequence[LinkId], at: datetime, oldest: datetime) -> None:
        connection(tx).execute(_OLD_REVOKED, {"oldest": oldest})
        for link_id in link_ids:
            upsert(connection(tx), revoked_evidence, {"link_id": link_id}, {"at": at})

    def evidence_revoked_at(self, tx: Tx, link_id: LinkId) -> datetime | None:
        wanted = {"wanted": [link_id, EVERY_LINK]}
        return max(connection(tx).execute(_REVOKED, wanted).scalars(), default=None)

    # ----------------------------------------------------------------------------------------------------- guesses

    def guesses(self, tx: Tx, source: str) -> WrongGuesses:
        row = connection(tx).execute(_COUNTED, {"source": source}).one_or_none()
        return WrongGuesses(*row) if row else WrongGuesses()

    def add_guess(self, tx: Tx, source: str, now: datetime, forget: datetime, at_most: int) -> int:
        writer = connection(tx)
        writer.execute(_FORGET, {"forget": forget})
        count = writer.execute(_ADD_GUESS[writer.dialect.name], {"source": source, "now": now}).scalar_one()
        writer.execute(_TOO_MANY, {"at_most": at_most})
        return int(count)

    # -------------------------------------------------------------------------------------------------------- keys

    def signing_key(self, tx: Tx, candidate: str) -> str:
        writer = connection(tx)
        writer.execute(_KEEP[writer.dialect.name], {"candidate": candidate})
        return str(writer.execute(_KEY).scalar_one())


def _token(row: Any) -> NamedToken:
    facts = (row.created_at, row.last_used_at, row.revoked_at)
    return NamedToken(row.id, row.name, Role(row.role), row.sees_evidence, *facts)


def _session(row: Any) -> ConsoleSession:
    identity = Identity(row.name, Role(row.role), row.sees_evidence, row.token_id, row.proof)
    return ConsoleSession(identity, row.created_at, row.last_seen_at)
