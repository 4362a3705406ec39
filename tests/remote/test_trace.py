"""W3C Trace Context: what is read strictly, what a call carries, and that nothing else gets in."""

import re
import threading

import pytest
import structlog

from app.remote import trace
from app.remote.transport import Transport
from tests.far_side import far_side

ID, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{ID}-{PARENT}-01", f"{ID}-01"),
        (f"00-{ID}-{PARENT}-00", f"{ID}-00"),
        (f"00-{ID}-{PARENT}-03", f"{ID}-01"),
        (f"00-{ID}-{PARENT}-fe", f"{ID}-00"),
        (f"  00-{ID}-{PARENT}-01\t", f"{ID}-01"),
        (f"cc-{ID}-{PARENT}-01", f"{ID}-01"),
        (f"cc-{ID}-{PARENT}-01-what-the-future-brings", f"{ID}-01"),
    ],
)
def test_a_trace_that_is_given_is_gone_on_with(header: str, expected: str):
    assert expected == trace.of_request(header)


@pytest.mark.parametrize(
    "header",
    [
        None, "", "00", f"00-{ID}-{PARENT}", f"00-{ID}-{PARENT}-1", f"00-{ID}-{PARENT}-01-more",
        f"00-{ID}-{PARENT}-01.",
        f"ff-{ID}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{ID}-{'0' * 16}-01", f"00-{ID.upper()}-{PARENT}-01",
        f"00-{ID[1:]}-{PARENT}-01", f"cc-{ID}-{PARENT}-01more", f"00-{ID}-{PARENT}-01,00-{ID}-{PARENT}-01",
        f"00-{ID}-{PARENT}-0g", f"00-{ID}-{PARENT}-01\n", f"00-{ID}-{PARENT}-٠١", "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_trace_begins_a_new_one(header: str | None):
    first, second = trace.of_request(header), trace.of_request(header)
    assert re.fullmatch(r"[0-9a-f]{32}-00", first)
    assert first != second
    assert ID not in first


def test_outside_of_a_trace_a_call_carries_nothing():
    assert {} == trace.call_headers()
    for nothing in (None, "", "no trace", f"{ID}-01\r\nX-Evil: 1"):
        with trace.current(nothing):
            assert {} == trace.call_headers()


def test_each_call_is_a_span_of_its_own_and_log_lines_name_the_trace():
    with trace.current(f"{ID}-01"):
        one, other = (trace.call_headers()["traceparent"] for _ in range(2))
        assert ID == structlog.contextvars.get_contextvars()["trace_id"]
    assert re.fullmatch(f"00-{ID}-[0-9a-f]{{16}}-01", one)
    assert one != other
    assert {} == trace.call_headers()
    assert "trace_id" not in structlog.contextvars.get_contextvars()


def test_a_trace_is_that_of_its_own_thread():
    seen: list[dict[str, str]] = []
    with trace.current(f"{ID}-01"):
        other = threading.Thread(target=lambda: seen.append(trace.call_headers()))
        other.start()
        other.join()
    assert [{}] == seen


def test_a_call_to_a_partner_carries_it():
    transport = Transport()
    with far_side() as partner:
        partner.will_answer(200)
        partner.will_answer(200)
        with trace.current(f"{ID}-01"):
            transport.call("GET", partner.url)
        transport.call("GET", partner.url)
        inside, outside = partner.requests
    transport.close()
    assert trace.of_request(inside.headers["traceparent"]) == f"{ID}-01"
    assert None is outside.headers["traceparent"]


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [
        ("rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7"),
        (" rojo=1 ,\t, congo@0-x*/_=t61rcWkgMzE ", "rojo=1,congo@0-x*/_=t61rcWkgMzE"),
        (",".join(f"k{number}={'v' * 250}" for number in range(3)), f"k0={'v' * 250},k1={'v' * 250}"),
        ("", ""), ("rojo", ""), ("rojo=a=b", ""), ("ROJO=1", ""), ("rojo=1,rojo=2", ""), ("rojo=é", ""),
        (",".join(f"k{number}=v" for number in range(33)), ""), ("rojo=1\r\nX-Evil: 1", ""),
    ],
)  # fmt: skip
def test_the_state_of_a_trace_is_passed_on_as_it_came_or_not_at_all(state: str, goes_on: str):
    text = trace.of_request(f"00-{ID}-{PARENT}-01", state)
    assert ID == trace.trace_id(text)
    with trace.current(text):
        assert ({"tracestate": goes_on} if goes_on else {}) == {
            name: value for name, value in trace.call_headers().items() if name != "traceparent"
        }


def test_the_state_of_a_trace_that_is_none_is_not_passed_on():
    with trace.current(trace.of_request("nonsense", "rojo=1")):
        assert ["traceparent"] == list(trace.call_headers())
