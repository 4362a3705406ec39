"""When an old webhook secret last proved a delivery: on both stores, by an index of its own."""

from datetime import datetime, timedelta

from app.store.schema import EPOCH, inbox
from app.store.secrets_seen import StoredSecretsSeen
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
