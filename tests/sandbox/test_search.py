"""``GET /incidents``: the filters and their traps."""

import pytest

from app.sandbox.kit.support import iso
from tests.sandbox.conftest import START, Rig, code_of

MONTH = 31 * 86_400


def test_the_key_also_finds_an_incident_by_its_alert(rig: Rig) -> None:
    rig.incident(incident_key="other")
    rig.enqueue("trigger", "d")

    [found] = rig.incidents(incident_key="d")
    assert found["incident_key"] is None


def test_an_empty_key_matches_every_open_incident(rig: Rig) -> None:
    idents = [rig.incident()["id"] for _ in range(3)]
    rig.put(idents[0], status="resolved")

    assert idents[1:] == [i["id"] for i in rig.incidents(incident_key="")]
    assert [] == rig.incidents(incident_key="unknown")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, 0),
        ({"date_range": "all"}, 1),
        ({"statuses[]": ["triggered", "resolved"]}, 1),
        ({"statuses[]": "resolved"}, 0),
        ({"since": iso(START - 60)}, 1),
        ({"until": iso(START + 60)}, 1),
    ],
)
def test_only_the_last_month_is_looked_at_unless_asked(rig: Rig, query: dict[str, object], expected: int) -> None:
    rig.incident()
    rig.clock.now += MONTH

    assert expected == len(rig.incidents(**query))


def test_filters_narrow_by_status_service_and_urgency(rig: Rig) -> None:
    low = rig.incident(urgency="low")["id"]
    rig.incident(urgency="high")

    assert [low] == [i["id"] for i in rig.incidents(**{"urgencies[]": "low", "service_ids[]": "PSANDBX"})]
    assert [] == rig.incidents(**{"service_ids[]": "PSBXSV2"})


def test_pages_say_whether_there_is_more(rig: Rig) -> None:
    numbers = [rig.incident()["incident_number"] for _ in range(3)]

    first = rig.rest("GET", "/incidents?limit=2&total=true").json
    second = rig.rest("GET", "/incidents?limit=2&offset=2").json
    assert (True, 3) == (first["more"], first["total"])
    assert (False, None) == (second["more"], second["total"])
    assert numbers == [i["incident_number"] for i in first["incidents"] + second["incidents"]]


def test_nobody_reads_beyond_ten_thousand(rig: Rig) -> None:
    assert (400, 2001) == code_of(rig.rest("GET", "/incidents?limit=100&offset=9901"))
    assert 200 == rig.rest("GET", "/incidents?limit=100&offset=9900").status_code
