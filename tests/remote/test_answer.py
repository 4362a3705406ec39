"""One judgement of HTTP answers for both partners."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.outcome import Done, Held, Refused, Retry
from app.remote.replies import Answer, Failure, judge

NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)


def answer(status: int, fields: object = b"", writes: bool = True, **headers: str) -> Answer:
    body = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, NOW, writes)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_the_listed_statuses_are_done_with_what_was_told(status):
    assert Done({"a": 1}) == judge(answer(status, {"a": 1}))


@pytest.mark.parametrize("status", [203, 204, 206, 226, 299])
def test_a_status_that_is_not_listed_is_no_success(status):
    assert isinstance(judge(answer(status)), Refused)


def test_the_list_is_the_callers():
    assert (Done(None), True) == (judge(answer(204), ok={204}), isinstance(judge(answer(200), ok={204}), Refused))


@pytest.mark.parametrize(
    ("date", "at"),
    [
        ("Thu, 15 Jan 2026 09:58:07 GMT", datetime(2026, 1, 15, 9, 58, 7, tzinfo=UTC)),
        ("Thursday, 15-Jan-26 09:58:07 GMT", datetime(2026, 1, 15, 9, 58, 7, tzinfo=UTC)),
        ("Thu Jan 15 09:58:07 2026", datetime(2026, 1, 15, 9, 58, 7, tzinfo=UTC)),
        ("Thu, 15 Jan 2026 10:58:07 +0100", datetime(2026, 1, 15, 9, 58, 7, tzinfo=UTC)),
        ("Thu, 15 Jan 2026 09:58:07 -0000", datetime(2026, 1, 15, 9, 58, 7, tzinfo=UTC)),
        ("2026-01-15T09:58:07.9Z", datetime(2026, 1, 15, 9, 58, 7, tzinfo=UTC)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Thu, 32 Jan 2026 09:58:07 GMT", None),
        ("Thu, 15 Jan 2026 09:58:07 +9999", None),
        ("Thu", None),
        ("yesterday", None),
        ("", None),
        ("é", None),
    ],
)
def test_a_yes_says_what_the_partners_own_clock_was(date, at):
    assert Done(None, at) == judge(answer(200, date=date))
    assert at is None or at.tzinfo is UTC


def test_without_a_date_the_partners_clock_is_not_known():
    assert Done(None, None) == judge(answer(200))


def test_a_web_page_is_no_yes():
    page = answer(200, b"<html>log in</html>", content_type="text/html; charset=utf-8")
    assert Retry("unreadable_answer", unclear=True) == judge(page)


@pytest.mark.parametrize(("status", "reason"), [(401, "unauthorized"), (403, "forbidden")])
def test_refused_credentials_pause_the_target(status, reason):
    assert Held(reason) == judge(answer(status, {"error": {"code": 2010, "message": "Access Denied"}}))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308, 399])
@pytest.mark.parametrize("writes", [True, False])
def test_an_address_that_only_redirects_pauses_the_target(status, writes):
    assert Held("redirected") == judge(answer(status, writes=writes, location="https://elsewhere.example.com/"))


@pytest.mark.parametrize(
    ("status", "unclear"),
    [(408, True), (429, False), (500, True), (502, True), (503, True), (599, True),
     (407, False), (421, False), (423, False), (425, False)],
)  # fmt: skip
def test_passing_troubles_are_tried_again_and_unclear_only_where_something_may_have_happened(status, unclear):
    assert Retry(f"http_{status}", unclear=unclear) == judge(answer(status))
    assert Retry(f"http_{status}", unclear=False) == judge(answer(status, writes=False))


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {"retry_after": "7"}, 7.0),
        (429, {"retry_after": "1.5"}, 1.5),
        (429, {"retry_after": "Thu, 15 Jan 2026 10:01:00 GMT"}, 60.0),
        (429, {"retry_after": "Thu, 15 Jan 2026 09:00:00 GMT"}, 0.0),
        (429, {"retry_after": "-5"}, 0.0),
        (429, {"retry_after": "999999"}, 3_600.0),
        (429, {"retry_after": "inf"}, 3_600.0),
        (429, {"retry_after": "nan"}, None),
        (429, {"retry_after": "soon"}, None),
        (429, {"retry_after": "soon", "ratelimit_reset": "9"}, 9.0),
        (429, {"ratelimit_reset": "9"}, 9.0),
        (429, {"x_ratelimit_reset": "9"}, 9.0),
        (429, {"x_ratelimit_reset": str(int(NOW.timestamp()) + 30)}, 30.0),
        (429, {"retry_after": "3", "ratelimit_reset": "9"}, 3.0),
        (500, {"ratelimit_reset": "9"}, None),
        (429, {}, None),
    ],
)
def test_what_the_partner_asked_for_is_what_we_wait(status, headers, seconds):
    reply = judge(answer(status, **headers))
    assert isinstance(reply, Retry)
    assert seconds == reply.after_seconds


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"error": {"code": 2001, "message": "Invalid Input", "errors": ["Title is too long", 5, "and bad"]}},
            Refused("bad_request", 400, 2001, "Invalid Input; Title is too long; and bad"),
        ),
        ({"error": {"code": 2001, "message": "Invalid Input"}}, Refused("bad_request", 400, 2001, "Invalid Input")),
        (
            {"status": "invalid event", "message": "Event object is invalid", "errors": ["severity"]},
            Refused("bad_request", 400, None, "Event object is invalid; severity"),
        ),
        (
            {
                "error": {
                    "code": "VALIDATION_ERROR",
                    "message": "Validation failed",
                    "statusCode": 400,
                    "details": [{"field": "status", "message": "unknown"}],
                    "requestId": "r",
                }
            },
            Refused("validation_error", 400, None, "Validation failed; status: unknown"),
        ),
        ({"detail": "No such thing", "request_id": "r"}, Refused("bad_request", 400, None, "No such thing")),
        ({"error": "plain words"}, Refused("bad_request", 400, None, "plain words")),
        ({"error": {"code": "not a word!", "message": "m"}}, Refused("bad_request", 400, None, "m")),
        ([1, 2], Refused("bad_request", 400)),
        (b"<html>", Refused("bad_request", 400)),
        (b"[" * 100_000, Refused("bad_request", 400)),
    ],
)
def test_a_refusal_carries_the_partners_own_words_in_either_ones_shape(fields, expected):
    assert expected == judge(answer(400, fields))


@pytest.mark.parametrize(
    ("status", "reason"),
    [(402, "not_in_plan"), (404, "not_found"), (409, "conflict"),
     (413, "http_413"), (418, "http_418"), (422, "invalid")],
)  # fmt: skip
def test_everything_else_is_final_with_a_reason_word(status, reason):
    assert Refused(reason, status) == judge(answer(status))


def test_a_refusals_words_are_bounded_and_hide_what_must_not_be_seen():
    reply = judge(
        answer(400, {"message": "key k3y of a@example.com " + "x" * 9_000}), hide=("k3y", "a@example.com", "")
    )
    assert isinstance(reply, Refused)
    assert (True, 500) == (reply.detail.startswith("key *** of *** x"), len(reply.detail))


def test_failures_are_tried_again_unless_they_can_never_be_sent():
    assert Retry("read_timeout", unclear=True) == judge(Failure("read_timeout", unclear=True))
    assert Held("unsendable") == judge(Failure("unsendable", hopeless=True))


@given(
    status=st.integers(100, 999),
    body=st.binary(max_size=200)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode),
    headers=st.dictionaries(st.sampled_from(["retry-after", "ratelimit-reset", "content-type"]), st.text(max_size=30)),
)
def test_every_answer_has_a_meaning(status, body, headers):
    reply = judge(Answer(status, headers, body, NOW, True))
    assert isinstance(reply, Done | Retry | Held | Refused)
