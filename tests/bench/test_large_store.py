"""A store that is grown by SQL is one that the bridge could have written."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.store.database import open_bridge
from app.store.figures import TABLES
from app.store.schema import links, timeline
from bench import large_store

COPIED, COUNT = 20, 60


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def grown(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Connection]:
    url = None if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    monkeypatch.setattr(large_store, "COPIED", COPIED)
    large_store.grow(tmp_path, url, COUNT)
    engine = open_bridge(tmp_path, url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def count_of(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())


def test_every_row_is_copied_as_often_as_its_link(grown: sa.Connection):
    assert COUNT == count_of(grown, links)
    for table in TABLES:
        first = count_of(grown, table, table.c.link_id <= COPIED)
        assert first > 0
        assert COUNT // COPIED * first == count_of(grown, table), table.name
    copies = COUNT // COPIED - 1
    lines = COPIED * (large_store.LINES_EACH + copies * large_store.COPIED_LINES)
    assert lines == count_of(grown, timeline)


def test_a_copy_tells_of_its_own_alert(grown: sa.Connection):
    rows = grown.execute(sa.select(links.c.alert_id, links.c.state)).all()
    assert COUNT == len({alert_id for alert_id, _ in rows})
    assert all(json.loads(state)["alert"]["alert_id"] == alert_id for alert_id, state in rows)


def test_the_next_link_has_an_id_of_its_own(grown: sa.Connection):
    row = dict(grown.execute(sa.select(links).limit(1)).mappings().one())
    new = {name: value for name, value in row.items() if name != "id"} | {"alert_id": "new", "incident_key": "new"}
    given = grown.execute(sa.insert(links).values(new).returning(links.c.id)).scalar_one()
    assert COUNT + 1 == given
