"""How the PostgreSQL inbox behaves when the server goes away or promises too little."""

from collections.abc import Iterator

import psycopg
import pytest

from app.ports import StoreUnavailable
from app.store.database import open_inbox
from app.store.inbox_postgres import PostgresInbox
from app.store.schema import inbox_metadata
from tests.store.test_inbox import DELIVERY, numbered

pytestmark = pytest.mark.postgres
NOBODY = "postgresql://postgres@127.0.0.1:9/test"


@pytest.fixture
def url(postgres_url, tmp_path) -> str:
    engine = open_inbox(tmp_path, postgres_url)
    inbox_metadata.create_all(engine)
    engine.dispose()
    return postgres_url


@pytest.fixture
def inbox_store(url) -> Iterator[PostgresInbox]:
    inbox_store = PostgresInbox(url, timeout=1.0)
    yield inbox_store
    inbox_store.close()


def ask(url: str, question: str):
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(question).fetchall()


def test_a_lost_connection_is_replaced_within_the_call(inbox_store, url):
    assert inbox_store.add(DELIVERY)
    ask(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'truthvouch-bridge'")
    assert inbox_store.add(numbered(2))


def test_a_connection_that_was_lost_while_nothing_came_is_no_store_that_cannot_be_written(inbox_store, url):
    inbox_store.check_writable()
    ask(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'truthvouch-bridge'")
    inbox_store.check_writable()


def test_an_unreachable_server_is_store_unavailable(tmp_path):
    inbox_store = PostgresInbox(NOBODY)
    for refused in (lambda: inbox_store.add(DELIVERY), inbox_store.check_writable):
        with pytest.raises(StoreUnavailable):
            refused()


def test_a_table_locked_for_long_refuses_and_accepts_when_it_is_free(inbox_store, url):
    with psycopg.connect(url) as other:
        other.execute("LOCK TABLE inbox IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="timeout"):
            inbox_store.add(DELIVERY)
    assert inbox_store.add(DELIVERY)


def test_a_server_that_commits_without_flushing_is_reported_to_flush(inbox_store, url):
    database = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(f'ALTER DATABASE "{database}" SET synchronous_commit = off')
    # A row trigger notes the setting that the commit itself will obey.
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("""
            CREATE TABLE seen(setting text);
            CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
            CREATE TRIGGER note AFTER INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION note()""")
    inbox_store.add(DELIVERY)
    assert [("on",)] == ask(url, "SELECT setting FROM seen")


def test_the_driver_name_of_sqlalchemy_in_the_url_is_no_obstacle(url):
    inbox_store = PostgresInbox(url.replace("postgresql://", "postgresql+psycopg://"))
    assert inbox_store.add(DELIVERY)
    inbox_store.close()


def test_an_error_never_quotes_the_delivery(inbox_store, url):
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute("ALTER TABLE inbox ADD CHECK (octet_length(body) < 5)")
    with pytest.raises(StoreUnavailable) as refused:
        inbox_store.add(DELIVERY)
    assert "evt-1" not in str(refused.value)
