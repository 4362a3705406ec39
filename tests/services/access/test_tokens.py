"""Who a token is, and what guessing costs."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.ports import StoreUnavailable
from app.ports.access import Identity, Role, WrongGuesses
from app.services.access.tokens import (
    FORGOTTEN,
    LOCKED,
    MANY,
    SEEN_EVERY,
    TokenOutcome,
    TokenResult,
    Tokens,
    delay,
    wait,
)
from app.store.access import StoredAccess
from app.store.database import Database
from tests.conftest import FakeClock
from tests.fakes import START

SECRET = "the admin's"
HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Gone:
    """A store that cannot be reached."""

    @contextmanager
    def begin(self) -> Iterator[Any]:
        raise StoreUnavailable("the disk is on fire")
        yield

    read = begin

    def after_commit(self, tx: Any, act: Any) -> None: ...


@pytest.fixture
def tokens(database: Database, clock: FakeClock) -> Tokens:
    return Tokens(StoredAccess(), lambda: database, SECRET, clock)


def outcomes(tokens: Tokens, *given: str, source: str = HOME) -> list[TokenOutcome]:
    return [tokens.check(one, source).outcome for one in given]


def test_the_admin_token_is_an_admin_who_sees_evidence(tokens: Tokens):
    identity = tokens.check(SECRET, HOME).identity
    assert identity
    assert ("admin", Role.ADMIN, True, None) == (
        identity.name,
        identity.role,
        identity.sees_evidence,
        identity.token_id,
    )
    assert SECRET not in repr(identity)


def test_a_named_token_is_whom_it_was_made_for(tokens: Tokens):
    made = tokens.add("ci", Role.READ_ONLY, sees_evidence=False)
    assert made
    assert re.fullmatch(r"tvpd_[\w-]{43}", made)
    assert TokenResult(TokenOutcome.ACCEPTED, Identity("ci", Role.READ_ONLY, False, 1)) == tokens.check(made, HOME)
    assert "api:ci" == tokens.check(made, HOME).identity.actor("api").name  # type: ignore[union-attr]


def test_a_token_is_kept_as_its_digest_alone(tokens: Tokens, tmp_path: Path):
    made = tokens.add("ci", Role.ADMIN, sees_evidence=True)
    assert made
    tokens.check(made, HOME)
    tokens.check("a guess of mine", HOME)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"ci" in stored
    assert [] == [secret for secret in (made, made[5:], SECRET, "a guess of mine") if secret.encode() in stored]


def test_a_revoked_token_opens_nothing(tokens: Tokens):
    made = tokens.add("ci", Role.ADMIN, sees_evidence=False) or ""
    assert (True, 0) == tokens.revoke("ci")
    assert [TokenOutcome.WRONG] == outcomes(tokens, made)


@pytest.mark.parametrize("name", ["", "admin", "a b", "link:root", "-x", "é", "x" * 65, "a\n", "../a"])
def test_a_name_that_cannot_be_is_refused(tokens: Tokens, name: str):
    with pytest.raises(ValueError, match="A name has"):
        tokens.add(name, Role.ADMIN, sees_evidence=False)


def test_the_last_use_is_written_once_a_minute(tokens: Tokens, clock: FakeClock):
    made = tokens.add("ci", Role.ADMIN, sees_evidence=False) or ""
    seen = []
    for _ in range(3):
        tokens.check(made, HOME)
        seen.append(tokens.all()[0].last_used_at)
        clock.advance(SEEN_EVERY.total_seconds() / 2)
    assert [clock.now - timedelta(seconds=90)] * 2 + [clock.now - timedelta(seconds=30)] == seen


# ------------------------------------------------------------------------------------------------------------- guessing


def test_delays_grow_to_half_a_minute_and_then_it_is_a_quarter_of_an_hour():
    assert [0, 1, 2, 4, 8, 16, 30, 30, 30, 30, 900, 900] == [delay(count) for count in range(12)]


def test_a_wait_ends_and_a_clock_that_was_set_back_makes_none_longer():
    guesses = WrongGuesses(MANY, START)
    at = [timedelta(0), timedelta(seconds=1.5), LOCKED, FORGOTTEN, -timedelta(days=1)]
    assert [900, 899, 0, 0, 900] == [wait(guesses, START + later) for later in at]
    assert 0 == wait(WrongGuesses(), START)


def test_whoever_guesses_waits_and_a_right_token_from_elsewhere_never_does(tokens: Tokens, clock: FakeClock):
    for count in range(1, MANY + 1):
        assert [TokenOutcome.WRONG, TokenOutcome.TOO_MANY] == outcomes(tokens, "guess", SECRET)
        assert [TokenOutcome.ACCEPTED] == outcomes(tokens, SECRET, source=ELSEWHERE)
        clock.advance(delay(count))
    assert [TokenOutcome.ACCEPTED] == outcomes(tokens, SECRET)
    assert [TokenOutcome.WRONG] == outcomes(tokens, "one more")
    assert 900 == tokens.check(SECRET, HOME).wait_seconds


def test_every_process_on_the_store_counts_the_same(tokens: Tokens, database: Database, clock: FakeClock):
    outcomes(tokens, "guess")
    assert [TokenOutcome.TOO_MANY] == outcomes(Tokens(StoredAccess(), lambda: database, SECRET, clock), SECRET)


def test_many_guesses_are_said_once(tokens: Tokens, clock: FakeClock):
    with capture_logs() as lines:
        for count in range(1, MANY + 2):
            outcomes(tokens, f"guess {count}")
            clock.advance(delay(count))
    assert [("operator.guessing", HOME)] == [(line["event"], line["client"]) for line in lines]


# ------------------------------------------------------------------------------------------------- without token, store


def test_where_there_is_no_token_at_all_that_is_said(database: Database, clock: FakeClock):
    tokens = Tokens(StoredAccess(), lambda: database, None, clock)
    assert not tokens.is_configured
    assert [TokenOutcome.NO_TOKEN] == outcomes(tokens, "None")
    made = tokens.add("ci", Role.ADMIN, sees_evidence=False)
    assert tokens.is_configured
    assert [TokenOutcome.ACCEPTED, TokenOutcome.WRONG] == outcomes(tokens, made or "", "None", source=ELSEWHERE)


def test_without_the_store_the_admin_token_works_and_no_other(clock: FakeClock):
    tokens = Tokens(StoredAccess(), Gone, SECRET, clock)
    assert [TokenOutcome.ACCEPTED] == outcomes(tokens, SECRET)
    with pytest.raises(StoreUnavailable):
        tokens.check("guess", HOME)
