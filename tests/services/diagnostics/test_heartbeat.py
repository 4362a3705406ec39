"""A beat goes out only where a partner has really answered; whatever the heartbeat's service does harms nothing."""

from collections.abc import Callable, Iterator

import pytest

from app.bootstrap.self_page import heartbeat
from app.domain.model.outcome import Done, Reply, Retry
from app.remote.transport import Transport
from app.services.diagnostics.heartbeat import BEAT_SECONDS, Heartbeat, heartbeat_task
from tests.far_side import FarSide, far_side


class Partner:
    """Counts what it answers; ``is_up`` says whether it does."""

    def __init__(self) -> None:
        self.answers, self.probes, self.is_up = 0, 0, True
        self.beats: list[Reply[None]] = []
        self.reply: Reply[None] = Done(None)

    def probe(self) -> None:
        self.probes += 1
        self.answers += self.is_up

    def send(self) -> Reply[None]:
        self.beats.append(self.reply)
        return self.reply

    def heartbeat(self) -> Heartbeat:
        return Heartbeat(lambda: self.answers, self.probe, self.send)


def test_a_delivery_that_was_answered_is_proof_enough():
    partner = Partner()
    beat = partner.heartbeat()
    partner.answers = 3
    beat()
    assert (0, 1) == (partner.probes, len(partner.beats))


def test_an_idle_bridge_asks_something_small_and_beats():
    partner = Partner()
    beat = partner.heartbeat()
    for _ in range(5):
        beat()
    assert (5, 5) == (partner.probes, len(partner.beats))


def test_one_answer_is_good_for_one_beat():
    partner = Partner()
    partner.answers, partner.is_up = 1, False
    beat = partner.heartbeat()
    for _ in range(5):
        beat()
    assert (4, 1) == (partner.probes, len(partner.beats))


def test_with_no_partner_that_answers_there_is_no_beat(capsys: pytest.CaptureFixture[str]):
    partner = Partner()
    partner.is_up = False
    partner.heartbeat()()
    assert [] == partner.beats
    assert "heartbeat.withheld" in capsys.readouterr().out


def test_a_beat_that_is_not_taken_is_logged_and_not_repeated(capsys: pytest.CaptureFixture[str]):
    partner = Partner()
    partner.reply = Retry("connect_failed")
    beat = partner.heartbeat()
    beat()
    assert 1 == len(partner.beats)
    assert "heartbeat.not_sent" in capsys.readouterr().out
    beat()
    assert 2 == len(partner.beats)


def test_there_is_one_beat_a_minute_of_the_leading_worker():
    task = heartbeat_task(Partner().heartbeat())
    assert (BEAT_SECONDS, True) == (task.every_seconds, task.leader_only)


# ----------------------------------------------------------------------------------------------- over the wire


@pytest.fixture
def partner_and_service() -> Iterator[tuple[FarSide, FarSide]]:
    with far_side() as partner, far_side() as service:
        yield partner, service


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport()
    yield made
    made.close()


@pytest.mark.parametrize(("status", "beats"), [(200, 1), (202, 1), (401, 0), (404, 0), (429, 0), (500, 0)])
def test_only_a_good_answer_of_a_partner_is_an_answer(
    partner_and_service: tuple[FarSide, FarSide], transport: Transport, status: int, beats: int
):
    partner, service = partner_and_service
    partner.will_answer(status)
    service.will_answer(200)
    heartbeat(f"{service.url}/ping/token-marker?status=up", transport, lambda: transport.call("GET", partner.url))()
    assert beats == len(service.requests)
    if beats:
        assert ("GET", "/ping/token-marker", "status=up") == (
            service.only_request.method,
            service.only_request.path,
            service.only_request.query,
        )


@pytest.mark.parametrize("break_it", [lambda far: far.will_answer(500), lambda far: far.will_answer(302, location="/")])
def test_a_heartbeat_service_that_is_broken_harms_nothing_and_no_log_line_holds_its_address(
    partner_and_service: tuple[FarSide, FarSide],
    transport: Transport,
    break_it: Callable[[FarSide], None],
    capsys: pytest.CaptureFixture[str],
):
    partner, service = partner_and_service
    partner.will_answer(200)
    break_it(service)
    heartbeat(f"{service.url}/ping/token-marker", transport, lambda: transport.call("GET", partner.url))()
    said = capsys.readouterr().out
    assert "heartbeat.not_sent" in said
    assert "partner.called" in said
    assert "token-marker" not in said
    assert 1 == len(service.requests)


def test_an_answer_of_the_heartbeat_service_proves_nothing(
    partner_and_service: tuple[FarSide, FarSide], transport: Transport
):
    partner, service = partner_and_service
    partner.will_answer(200)
    service.will_answer(200)
    beat = heartbeat(service.url, transport, lambda: transport.call("GET", partner.url))
    beat()
    beat()
    assert 1 == len(service.requests), "the second time the partner answers 500"
