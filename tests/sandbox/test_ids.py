"""Identifiers and instants, and the signatures against known vectors."""

import pytest

from app.sandbox.kit.support import Ids, epoch, iso
from app.sandbox.kit.webhook_sender import truthvouch_headers

BODY = b'{"event_id":"evt-0001","event_type":"alert.detected","alert_id":"alert-xyz789"}'
S1 = "40f53ff99bb9d1e550ffe0d035486f163bb145865cd9dd6e321794c6aad5d069"
S2 = "926f9aec794df9f34bb276b15131f4a9601ef6530293014ff287f4638cabda6d"


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("s1", {"X-TruthVouch-Signature": f"sha256={S1}"}),
        ("s2", {"X-TruthVouch-Signature": f"t=1705314600,v1={S2}"}),
        ("s3", {"X-Signature": f"hmac-sha256={S1}"}),
    ],
)
def test_signatures_equal_the_vectors_worked_out_by_hand(variant: str, expected: dict[str, str]) -> None:
    assert expected == truthvouch_headers(variant, "whsec_test_secret", BODY, 1705314600.9)


def test_names_are_unique_and_as_long_as_asked() -> None:
    ids = Ids()
    made = {ids.next("Q") for _ in range(1000)} | {ids.next("P", 7) for _ in range(1000)}

    assert 2000 == len(made)
    assert {14, 7} == {len(name) for name in made}


def test_event_ids_sort_by_time() -> None:
    ids = Ids()
    made = [ids.ulid(at) for at in (1.0, 2.0, 2.0, 3.0)]

    assert sorted(made) == made
    assert {26} == {len(name) for name in made}


def test_instants_are_written_and_read_in_utc() -> None:
    assert ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00.250Z") == (iso(1_800_000_000.25), iso(1_800_000_000.25, True))
    assert [1_800_000_000.0] * 3 == [epoch("2027-01-15T08:00:00Z"), epoch("2027-01-15T09:00:00+01:00"), epoch(1.8e9)]
    assert epoch("soon") is None
