"""How long somebody is logged in, and what ends it."""

from datetime import timedelta

import pytest

from app.ports.access import Identity, Role
from app.services.access.sessions import IDLE, LONGEST, Sessions
from app.services.access.tokens import SEEN_EVERY, Tokens
from app.store.access import StoredAccess
from app.store.database import Database
from tests.conftest import FakeClock

SECRET = "the admin's"
MINUTE = timedelta(minutes=1)


def sessions_of(database: Database, clock: FakeClock, admin_token: str | None = SECRET, keys: tuple[str, ...] = ()):
    tokens = Tokens(StoredAccess(), lambda: database, admin_token, clock)
    return Sessions(StoredAccess(), lambda: database, tokens, keys, clock), tokens


@pytest.fixture
def made(database: Database, clock: FakeClock) -> tuple[Sessions, Tokens]:
    return sessions_of(database, clock)


def named(tokens: Tokens, role: Role = Role.READ_ONLY) -> Identity:
    identity = tokens.check(tokens.add("ci", role, sees_evidence=False) or "", "192.0.2.1").identity
    assert identity
    return identity


def test_a_session_is_known_by_its_id_alone(made: tuple[Sessions, Tokens]):
    sessions, tokens = made
    session_id = sessions.start(tokens.admin)
    assert [tokens.admin, None, None] == [sessions.find(each) for each in (session_id, session_id[:-1], "")]


def test_a_session_ends_after_an_hour_without_a_request(made: tuple[Sessions, Tokens], clock: FakeClock):
    sessions, tokens = made
    session_id = sessions.start(tokens.admin)
    clock.advance((IDLE - MINUTE).total_seconds())
    assert sessions.find(session_id)
    clock.advance((IDLE - MINUTE).total_seconds())
    assert sessions.find(session_id)
    assert [session_id] == [session_id for _ in sessions.all()]
    clock.advance(IDLE.total_seconds())
    assert sessions.find(session_id) is None
    assert [] == list(sessions.all())


def test_a_session_ends_after_twelve_hours_however_busy(made: tuple[Sessions, Tokens], clock: FakeClock):
    sessions, tokens = made
    session_id, minutes = sessions.start(tokens.admin), 0
    while sessions.find(session_id):
        minutes += 1
        clock.advance(60)
    assert LONGEST == minutes * MINUTE


def test_a_sign_of_life_is_written_once_a_minute(made: tuple[Sessions, Tokens], clock: FakeClock):
    sessions, tokens = made
    session_id, began = sessions.start(tokens.admin), clock.now
    clock.advance(SEEN_EVERY.total_seconds() - 1)
    sessions.find(session_id)
    assert [began] == [session.last_seen_at for session in sessions.all()]
    clock.advance(1)
    sessions.find(session_id)
    assert [clock.now] == [session.last_seen_at for session in sessions.all()]


def test_logging_out_and_revoking_end_a_session_at_once(made: tuple[Sessions, Tokens]):
    sessions, tokens = made
    first, second = sessions.start(tokens.admin), sessions.start(named(tokens))
    sessions.end(first)
    assert [None, Role.READ_ONLY] == [sessions.find(first), sessions.find(second).role]  # type: ignore[union-attr]
    assert (True, 1) == tokens.revoke("ci")
    assert sessions.find(second) is None


def test_another_admin_token_ends_the_sessions_of_the_one_before(
    made: tuple[Sessions, Tokens], database: Database, clock: FakeClock
):
    sessions, tokens = made
    by_admin, by_token = sessions.start(tokens.admin), sessions.start(named(tokens))
    by_link = sessions.spend_link(sessions.make_link("root", MINUTE)) or ""
    for admin_token, lasts in ((SECRET, True), ("another", False), (None, False)):
        later = sessions_of(database, clock, admin_token)[0]
        found = [later.find(each) is not None for each in (by_admin, by_token, by_link)]
        assert [lasts, True, True] == found


# --------------------------------------------------------------------------------------------------------------- links


def test_a_link_logs_in_once(made: tuple[Sessions, Tokens]):
    sessions, _ = made
    link = sessions.make_link("root", 5 * MINUTE)
    session_id = sessions.spend_link(link)
    assert session_id
    assert Identity("link:root", Role.ADMIN, True) == sessions.find(session_id)
    assert sessions.spend_link(link) is None


def test_a_link_works_until_it_expires(made: tuple[Sessions, Tokens], clock: FakeClock):
    sessions, _ = made
    early, late = sessions.make_link("root", 5 * MINUTE), sessions.make_link("root", 5 * MINUTE)
    clock.advance(299)
    assert sessions.spend_link(early)
    clock.advance(1)
    assert sessions.spend_link(late) is None


# ---------------------------------------------------------------------------------------------------------------- keys


def test_keys_are_those_that_are_configured_else_one_that_is_kept(database: Database, clock: FakeClock):
    assert ("new", "old") == sessions_of(database, clock, keys=("new", "old"))[0].signing_keys()
    generated = [sessions_of(database, clock)[0].signing_keys() for _ in range(2)]
    assert generated[0] == generated[1]
    assert 43 == len(generated[0][0])
