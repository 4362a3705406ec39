"""What the version before wrote under its own names is read, and is written so that it could read it too."""

import pytest

from app.domain.model.events import Command, CommandType
from app.domain.sync.circuit_breaker import DOWN, PAUSED
from app.services.operator.operator import _delivery_id
from app.store import inbox as internal_events
from app.store.worker_leases import EXECUTOR_PREFIX, HEARTBEAT_PREFIX

BEFORE = [
    (b'{"wish":{"verb":"reconcile"}}', Command(CommandType.RECONCILE)),
    (b'{"wish":{"verb":"replay","subject":"7","by":"dana"}}', Command(CommandType.REPLAY, "7", "dana")),
    (
        b'{"wish":{"verb":"escalate","subject":"Q1","by":"api","detail":"{}"}}',
        Command(CommandType.ESCALATE, "Q1", "api", "{}"),
    ),
]


@pytest.mark.parametrize(("body", "command"), BEFORE)
def test_a_command_has_its_stored_names(body: bytes, command: Command) -> None:
    assert (command,) == internal_events.read(body, None)
    assert body == internal_events.encode_command(command)


def test_the_same_key_is_the_same_command_after_an_upgrade() -> None:
    assert "wish:replay:7:k1:a833fb5b178c" == _delivery_id(Command(CommandType.REPLAY, "7", "dana"), "k1")
    for once in (CommandType.START_JOB, CommandType.SILENCE_ALIKE):
        assert f"wish:{once}:7:k1" == _delivery_id(Command(once, "7", "dana", "more"), "k1")


def test_keys_and_executor_ids_are_as_stored() -> None:
    assert ("hold.", "down.", "worker-", "worker.seen.") == (PAUSED, DOWN, EXECUTOR_PREFIX, HEARTBEAT_PREFIX)
