"""The database that tests on PostgreSQL share, one after the other: nothing of a test is left for the next."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.conftest import KeptPostgres

pytestmark = pytest.mark.postgres
TABLES = "SELECT count(*) FROM inbox", "SELECT count(*) FROM marks", "SELECT version_num FROM bridge_version"


def asked(url: str, *statements: str) -> list[Any]:
    with psycopg.connect(url, autocommit=True) as connection:
        return [connection.execute(statement).fetchone() for statement in statements]


def test_rows_numbers_and_connections_are_as_they_were_at_first(kept_postgres: Callable[[], KeptPostgres]) -> None:
    kept = kept_postgres()
    before = asked(kept.url, *TABLES)
    with psycopg.connect(kept.url) as left:
        left.execute("INSERT INTO inbox (source, delivery_id, received_at, body) VALUES ('truthvouch', 'd1', 1, '')")
        left.commit()
        left.execute("LOCK TABLE inbox")
        left.execute("DELETE FROM marks")

        assert kept.url == kept_postgres().url
        assert before == asked(kept.url, *TABLES)
        assert (1,) == asked(kept.url, "SELECT nextval(pg_get_serial_sequence('inbox', 'id'))")[0]
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")


def test_one_whose_tables_were_changed_is_not_used_again(kept_postgres: Callable[[], KeptPostgres]) -> None:
    kept = kept_postgres()
    with psycopg.connect(kept.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE inbox ADD COLUMN more integer")
    assert kept.url != kept_postgres().url
