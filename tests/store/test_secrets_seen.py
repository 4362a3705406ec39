"""What webhook secrets proved and did not prove, on both stores: old ones by an index of its own."""

from datetime import datetime, timedelta

import pytest

from app.domain.model.types import Side
from app.remote.payload import RefusedDeliveries
from app.store.health import StoredRefusals
from app.store.schema import inbox
from app.store.secrets_seen import StoredSecretsSeen, add_pending, confirm, pending
from tests.fakes import START
from tests.shapes import health_of, plain_of
from tests.store.conftest import Stores


def accepted(stores: Stores, source: str, at: datetime, secret_index: int) -> None:
    row = {
        "source": source,
        "delivery_id": f"{source}-{at}-{secret_index}",
        "received_at": at,
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
        accepted(stores, source, at, secret_index)
    seen = StoredSecretsSeen(stores.inbox)
    assert {"pagerduty": START + hour} == seen.old_ones(START - hour)
    assert {} == seen.old_ones(START + hour + timedelta(seconds=1))


def test_refused_deliveries_are_added_up_by_side_and_reason_and_seen_in_the_snapshot(stores: Stores) -> None:
    refusals, health_source = StoredRefusals(plain_of(stores.bridge.engine)), health_of(stores.bridge, stores.inbox)
    assert {} == health_source.read().refused
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
    } == {side: set(found) for side, found in health_source.read().refused.items()}


@pytest.mark.parametrize("text", [None, "", "null", "[]", "[1, 2]", '[1, "x", "y", "z"]', "{}", "nonsense"])
def test_what_is_no_count_of_refused_deliveries_is_none(text: str | None) -> None:
    assert RefusedDeliveries.from_text(text) is None


def test_a_new_secret_is_pending_until_a_bridge_starts_with_it_and_is_not_kept(stores: Stores) -> None:
    database = stores.bridge
    with database.begin() as tx:
        add_pending(tx, "P1", "one-new-secret")
        add_pending(tx, "P2", "another")
    confirm(database, ["an-old-one", "another"])
    with database.read() as tx:
        [(subscription_id, digest)] = pending(tx).items()
    assert "P1" == subscription_id
    assert "one-new-secret" not in digest
    confirm(database, ["one-new-secret", "an-old-one"])
    with database.read() as tx:
        assert {} == pending(tx)
