"""Two versions side by side: what a newer one writes stops no older one."""

import json
from pathlib import Path

import sqlalchemy as sa

from app.domain.alert import Alert
from app.domain.link import Link
from app.domain.names import AlertId, Source, incident_key
from app.domain.words import AlertVerb
from app.engine.durable import APPLICATION_VERSION
from app.store import codec, own_mail
from app.store.database import connection
from app.store.schema import inbox, letters
from tests.fakes import START
from tests.rig import Rig

ALERT = Alert(AlertId("a1"), "high")


def parked(rig: Rig) -> list[str]:
    with rig.database.read() as tx:
        return list(connection(tx).execute(sa.select(letters.c.reason)).scalars())


def put(rig: Rig, source: str, body: bytes) -> None:
    row = {"source": source, "delivery_id": "new-1", "received_at": 1, "body": body}
    with rig._inbox.begin() as writer:
        writer.execute(inbox.insert().values(row))


def test_fields_of_a_newer_link_are_passed_over() -> None:
    link = Link(ALERT, incident_key(ALERT.alert_id), START)
    written = json.loads(codec.dump_link(link))
    written["mood"] = {"of": ["the", "day"]}
    written["alert"]["colour"] = "red"
    written["pagerduty"] = {"seq": 3, "weather": None}
    read = codec.load_link(json.dumps(written))
    assert (link.alert, 3) == (read.alert, read.pagerduty.seq)


def test_a_row_of_a_source_nobody_knows_is_parked_and_stops_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.intake.readers = {**rig.intake.readers, Source.BRIDGE: own_mail.read}
    put(rig, "carrier_pigeon", b'{"coo": 1}')
    rig.alert(AlertVerb.CREATED)
    assert ["empty_mail"] == parked(rig)
    assert "a1" == rig.link().alert.alert_id


def test_mail_of_a_newer_bridge_is_parked_and_stops_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.intake.readers = {**rig.intake.readers, Source.BRIDGE: own_mail.read}
    put(rig, "bridge", b'{"wish": {"verb": "levitate", "subject": "1", "by": "somebody"}}')
    rig.alert(AlertVerb.CREATED)
    assert ["unknown_mail"] == parked(rig)
    assert "a1" == rig.link().alert.alert_id


def test_the_engines_version_is_a_constant() -> None:
    """Another one would strand what is under way: raised only when a delivery's arguments change their meaning."""
    assert "1" == APPLICATION_VERSION
