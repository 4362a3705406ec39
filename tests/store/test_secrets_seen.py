"""What webhook secrets proved and did not prove, on both stores: old ones by an index of its own."""

from datetime import datetime, timedelta

import pytest

from app.domain.names import Side
from app.domain.proof import RefusedDeliveries
from app.store.schema import EPOCH, inbox
from app.store.secrets_seen import StoredRefusals, StoredSecretsSeen
from app.store.vitals import StoredVitals
from tests.fakes import START
from tests.store.conftest import Stores


def heard(stores: Stores, source: str, at: datetime, secret_index: int) -> None:
    row = {
        "source": source,
        "delivery_id": f"{source}-{at}-{secret_index}",
        "received_at": (at - EPOCH) // timedelta(microseconds=1),
        "body": b"{}",
        "secret_index": secret_index,
    }
    with stores.inbox.begin() as connection:
        connection.execute(inbox.insert().values(row))


def test_only_the_newest_use_of_an_old_secret_counts(stores: Stores) -> None:
    hour = timedelta(hours=1)
    for source, at, secret_index in (
        ("pagerduty", START, 1),
        ("pagerduty", START + hour, 2),
        ("pagerduty", START + 2 * hour, 0),
        ("truthvouch", START + hour, 0),
    ):
        heard(stores, source, at, secret_index)
    seen = StoredSecretsSeen(stores.inbox)
    assert {"pagerduty": START + hour} == seen.old_ones(START - hour)
    assert {} == seen.old_ones(START + hour + timedelta(seconds=1))


def test_refused_deliveries_are_added_up_by_side_and_reason_and_seen_in_the_pulse(stores: Stores) -> None:
    refusals, vitals = StoredRefusals(stores.bridge), StoredVitals(stores.bridge, stores.inbox)
    assert {} == vitals.read().refused
    later, next_day = START + timedelta(minutes=9), START + timedelta(days=1)
    refusals.add(Side.TRUTHVOUCH, RefusedDeliveries(19, "signature_mismatch", START, START))
    refusals.add(Side.TRUTHVOUCH, RefusedDeliveries(1, "signature_missing", later, later))
    refusals.add(Side.TRUTHVOUCH, RefusedDeliveries(1, "signature_mismatch", later, later))
    refusals.add(Side.PAGERDUTY, RefusedDeliveries(5, "signature_mismatch", START, START))
    refusals.add(Side.PAGERDUTY, RefusedDeliveries(2, "signature_mismatch", next_day, next_day))
    assert {
        Side.TRUTHVOUCH: {
            RefusedDeliveries(20, "signature_mismatch", START, later),
            RefusedDeliveries(1, "signature_missing", later, later),
        },
        Side.PAGERDUTY: {RefusedDeliveries(2, "signature_mismatch", next_day, next_day)},
    } == {side: set(found) for side, found in vitals.read().refused.items()}


@pytest.mark.parametrize("text", [None, "", "null", "[]", "[1, 2]", '[1, "x", "y", "z"]', "{}", "nonsense"])
def test_what_is_no_count_of_refused_deliveries_is_none(text: str | None) -> None:
    assert RefusedDeliveries.from_text(text) is None
