"""Tokens, sessions, links and wrong guesses on both stores; what only one may get is raced for."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from app.ports.access import ConsoleSession, Identity, Role, WrongGuesses
from app.store.access import StoredAccess
from app.store.database import connection
from app.store.schema import console_links, console_sessions, wrong_guesses
from tests.fakes import START
from tests.store.conftest import Stores

ACCESS = StoredAccess()
HOUR = timedelta(hours=1)
ADMIN = Identity("admin", Role.ADMIN, True, proof="p")


def write(stores: Stores, what: Callable[..., Any], *arguments: Any) -> Any:
    with stores.bridge.begin() as tx:
        return what(tx, *arguments)


def read(stores: Stores, what: Callable[..., Any], *arguments: Any) -> Any:
    with stores.bridge.read() as tx:
        return what(tx, *arguments)


def count(stores: Stores, table: sa.Table) -> int:
    with stores.bridge.read() as tx:
        return int(connection(tx).execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def raced(what: Callable[[int], Any], runners: int = 4) -> list[Any]:
    """What each of several threads got that did the same at once."""
    got: list[Any] = []
    start = threading.Barrier(runners)

    def run(number: int) -> None:
        start.wait()
        got.append(what(number))

    threads = [threading.Thread(target=run, args=[number]) for number in range(runners)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def add_token(stores: Stores, digest: str, name: str = "ci", role: Role = Role.READ_ONLY) -> Any:
    return write(stores, ACCESS.add_token, digest, name, role, False, START)


def begin(stores: Stores, digest: str, identity: Identity, at: Any = START) -> None:
    write(stores, ACCESS.add_session, digest, ConsoleSession(identity, at, at), at - 12 * HOUR)


# -------------------------------------------------------------------------------------------------------------- tokens


def test_a_token_is_found_by_its_digest_until_it_is_revoked(stores: Stores) -> None:
    assert not read(stores, ACCESS.has_tokens)
    made = add_token(stores, "d1")
    assert (made, None) == (read(stores, ACCESS.token, "d1"), read(stores, ACCESS.token, "d2"))
    assert ("ci", Role.READ_ONLY, False, START) == (made.name, made.role, made.sees_evidence, made.created_at)
    write(stores, ACCESS.token_used, made.token_id, START + HOUR)
    assert START + HOUR == read(stores, ACCESS.token, "d1").last_used_at
    assert read(stores, ACCESS.has_tokens)
    assert (True, 0) == write(stores, ACCESS.revoke, "ci", START + HOUR)
    assert (False, 0) == write(stores, ACCESS.revoke, "ci", START + HOUR)
    assert read(stores, ACCESS.token, "d1") is None
    assert not read(stores, ACCESS.has_tokens)
    assert [START + HOUR] == [token.revoked_at for token in read(stores, ACCESS.tokens)]


def test_a_name_is_used_once_at_a_time(stores: Stores) -> None:
    first = add_token(stores, "d1")
    assert add_token(stores, "d2") is None
    assert first == read(stores, ACCESS.token, "d1")
    write(stores, ACCESS.revoke, "ci", START)
    again = add_token(stores, "d3")
    assert again.token_id > first.token_id


def test_of_several_that_take_a_name_at_once_one_gets_it(stores: Stores) -> None:
    made = raced(lambda number: add_token(stores, f"d{number}"))
    assert 1 == len([token for token in made if token])


# ------------------------------------------------------------------------------------------------------------ sessions


def test_a_session_is_found_until_it_is_ended(stores: Stores) -> None:
    begin(stores, "s1", ADMIN)
    write(stores, ACCESS.session_seen, "s1", START + HOUR)
    assert ConsoleSession(ADMIN, START, START + HOUR) == read(stores, ACCESS.session, "s1")
    write(stores, ACCESS.end_session, "s1")
    assert read(stores, ACCESS.session, "s1") is None


def test_revoking_a_token_ends_its_sessions_even_when_the_name_is_used_again(stores: Stores) -> None:
    token = add_token(stores, "d1")
    of_token = Identity("ci", Role.READ_ONLY, False, token.token_id)
    begin(stores, "s1", of_token)
    begin(stores, "s2", ADMIN)
    assert (True, 1) == write(stores, ACCESS.revoke, "ci", START)
    begin(stores, "s3", of_token)  # it had proved itself a moment before
    add_token(stores, "d2")
    assert [None, None] == [read(stores, ACCESS.session, digest) for digest in ("s1", "s3")]
    lasting = read(stores, ACCESS.sessions, START - HOUR, START - HOUR)
    assert [ADMIN] == [session.identity for session in lasting]


def test_sessions_of_a_link_end_by_their_name(stores: Stores) -> None:
    begin(stores, "s1", Identity("link:root", Role.ADMIN, True))
    assert (False, 1) == write(stores, ACCESS.revoke, "link:root", START)
    assert read(stores, ACCESS.session, "s1") is None


def test_old_sessions_are_removed_when_a_new_one_begins(stores: Stores) -> None:
    begin(stores, "s1", ADMIN)
    begin(stores, "s2", ADMIN, START + 12 * HOUR)
    assert 1 == count(stores, console_sessions)


def test_sessions_are_listed_while_they_last(stores: Stores) -> None:
    begin(stores, "s1", ADMIN)
    assert 1 == len(read(stores, ACCESS.sessions, START - HOUR, START - HOUR))
    assert [] == [
        *read(stores, ACCESS.sessions, START, START - HOUR),
        *read(stores, ACCESS.sessions, START - HOUR, START),
    ]


# --------------------------------------------------------------------------------------------------------------- links


def test_a_link_is_spent_once(stores: Stores) -> None:
    write(stores, ACCESS.add_link, "l1", "link:root", START, START + HOUR)
    assert ["link:root", None, None] == [
        write(stores, ACCESS.spend_link, link, START) for link in ("l1", "l1", "another")
    ]


def test_of_several_that_spend_a_link_at_once_one_gets_in(stores: Stores) -> None:
    for round_number in range(5):
        write(stores, ACCESS.add_link, f"l{round_number}", "link:root", START, START + HOUR)

        def spend(_number: int, link: str = f"l{round_number}") -> Any:
            return write(stores, ACCESS.spend_link, link, START)

        assert ["link:root"] == [name for name in raced(spend) if name]


def test_an_expired_link_opens_nothing_and_is_removed(stores: Stores) -> None:
    write(stores, ACCESS.add_link, "l1", "link:root", START, START + HOUR)
    assert write(stores, ACCESS.spend_link, "l1", START + HOUR) is None
    write(stores, ACCESS.add_link, "l2", "link:root", START + HOUR, START + 2 * HOUR)
    assert 1 == count(stores, console_links)


# ------------------------------------------------------------------------------------------------------- wrong guesses


def test_wrong_guesses_are_counted_by_address_and_forgotten(stores: Stores) -> None:
    def guess(source: str, hours: float) -> int:
        now = START + hours * HOUR
        return int(write(stores, ACCESS.add_guess, source, now, now - HOUR, 100))

    assert [1, 2, 1, 3] == [guess(source, hours) for source, hours in (("a", 0), ("a", 0.5), ("b", 0.5), ("a", 1))]
    assert WrongGuesses(3, START + HOUR) == read(stores, ACCESS.guesses, "a")
    assert WrongGuesses() == read(stores, ACCESS.guesses, "c")
    assert 1 == guess("a", 2.5)
    assert 1 == count(stores, wrong_guesses)


def test_guesses_that_come_at_once_are_all_counted(stores: Stores) -> None:
    counts = raced(lambda _number: write(stores, ACCESS.add_guess, "a", START, START - HOUR, 100), runners=6)
    assert [1, 2, 3, 4, 5, 6] == sorted(counts)


def test_the_addresses_of_those_who_guess_are_bounded(stores: Stores) -> None:
    for number in range(12):
        now = START + timedelta(seconds=number)
        write(stores, ACCESS.add_guess, str(number), now, START - HOUR, 10)
    assert 10 == count(stores, wrong_guesses)
    assert [0, 1] == [read(stores, ACCESS.guesses, source).count for source in ("1", "11")]


# ---------------------------------------------------------------------------------------------------------------- keys


def test_processes_that_need_a_key_at_once_agree_on_one(stores: Stores) -> None:
    keys = raced(lambda number: write(stores, ACCESS.signing_key, f"candidate {number}"))
    assert 1 == len(set(keys))
    assert keys[0] == write(stores, ACCESS.signing_key, "later")
