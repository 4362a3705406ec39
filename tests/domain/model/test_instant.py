"""Instants as partners write them: every usual spelling is read, nothing raises, and "no time" is none."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import EARLIEST, first_instant, instant

AT = datetime(2026, 11, 29, 23, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-29T23:00:00Z",
        "2026-11-29t23:00:00z",
        "2026-11-29T23:00:00z",
        " 2026-11-29T23:00:00.000Z\n",
        "2026-11-29T23:00:00",
        "2026-11-29 23:00:00",
        "2026-11-29 23:00:00 UTC",
        "2026-11-29 23:00:00 GMT",
        "2026-11-29 23:00:00 Z",
        "2026-11-29T23:00:00+00:00",
        "2026-11-30T00:00:00+01:00",
        "2026-11-29T17:30:00-0530",
        "2026-11-30T04:30:00+05:30",
        "20261129T230000Z",
        "2026-11-29T22:59:60Z",
        "20261129T225960Z",
        "2026-11-29T24:00:00+01:00",
        "2026-11-29T24:00+01:00",
        "20261129T240000+0100",
        1795993200,
        1795993200.0,
        1795993200000,
        1795993200000.0,
        "1795993200",
        "1795993200000",
        "Sun, 29 Nov 2026 23:00:00 GMT",
        "Sun, 29 Nov 2026 23:00:00 -0000",
        "Sunday, 29-Nov-26 23:00:00 GMT",
        "Sun Nov 29 23:00:00 2026",
    ],
)
def test_one_instant_in_every_spelling(value):
    assert AT == instant(value)
    assert UTC is instant(value).tzinfo


@pytest.mark.parametrize(
    ("value", "at"),
    [
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2016-12-31t23:59:60.25z", datetime(2017, 1, 1, 0, 0, 0, 250_000, UTC)),
        ("2017-01-01T05:29:60+05:30", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2026-11-29T24:00:00Z", datetime(2026, 11, 30, tzinfo=UTC)),
        ("2026-12-31T24:00:00.000Z", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-11-29", datetime(2026, 11, 29, tzinfo=UTC)),
        ("20261129", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-29T23:00:00.123456789Z", AT.replace(microsecond=123_456)),
        (1795993200123, AT.replace(microsecond=123_000)),
        (1795993200.25, AT.replace(microsecond=250_000)),
        (946684800, EARLIEST),
        ("2000-01-01T00:00:00Z", EARLIEST),
        ("1999-12-31T23:59:60Z", EARLIEST),
    ],
)
def test_what_is_read_to_the_microsecond(value, at):
    assert at == instant(value)


@pytest.mark.parametrize(
    "value",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1970-01-01T00:00:00Z",
        "1999-12-31T23:59:59.999999Z",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        0,
        "0",
        0.0,
        -1,
        946684799,
        946684799999,
    ],
)
def test_before_the_year_2000_there_is_no_time(value):
    assert None is instant(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        "",
        " ",
        "yesterday",
        "12:60",
        "Sun",
        "Sun, 99 Nov 2026 23:00:00 GMT",
        "Sun, 29 Nov 2026 23:00:00 +9999",
        "2026-02-30T10:00:00Z",
        "2026-11-29T23:00:61Z",
        "2026-11-29T24:00:01Z",
        "2026-11-29T25:00:00Z",
        "2026-11-29T23:60:60Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T24:00:00Z",
        "9999-12-31T23:59:59-23:59",
        "1795993200.5",
        "-1795993200",
        "\u0661\u0667\u0669\u0665\u0669\u0669\u0663\u0662\u0660\u0660",
        "9" * 90,
        "9" * 5_000,
        "2026-11-29T23:00:00Z" + " " * 5_000,
        "\ud800",
        10**400,
        -(10**400),
        253402300800000,
        1e300,
        math.nan,
        math.inf,
        -math.inf,
        [],
        {},
        ["2026-11-29T23:00:00Z"],
        {"seconds": 1795993200},
        b"2026-11-29T23:00:00Z",
    ],
)
def test_what_is_no_time_is_none(value):
    assert None is instant(value)


NEAR = st.one_of(
    st.from_regex(r"\A\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d| UTC)?\Z"),
    st.from_regex(
        r"\A(Sun|Monday|tue)[ ,]{0,2}\d{0,3}[ -]?(Nov|Feb|x)?[ -]?\d{0,5} \d\d:\d\d:\d\d( [A-Z+0-9-]{1,6})?\Z"
    ),
    st.from_regex(r"\A(Sun|Mon|Sat), .{0,30}\Z"),
    st.from_regex(r"\A\d{1,20}\Z"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=40) | NEAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_whatever_json_may_hold_there_is_an_answer(value):
    at = instant(value)
    assert at is None or (at.tzinfo is UTC and at >= EARLIEST)


@given(
    st.timedeltas(timedelta(0), timedelta(days=365 * 2_000)),
    st.integers(-1_439, 1_439).map(lambda offset: timezone(timedelta(minutes=offset))),
)
def test_what_python_writes_is_read_back(since, zone):
    at = EARLIEST + since
    assert at == instant(at.astimezone(zone).isoformat()) == instant(at.isoformat().replace("+00:00", "z").lower())
    whole = at.replace(microsecond=0)
    seconds = int(whole.timestamp())
    assert whole == instant(seconds) == instant(str(seconds * 1_000)) == instant(format_datetime(whole, usegmt=True))


@given(JSON, JSON)
def test_of_two_times_the_first_that_is_one_counts_and_a_time_that_is_none_is_reported(first, second):
    at, unread = first_instant(first, second)
    assert at == (instant(first) or instant(second))
    assert unread == (at is None and (first, second) != (None, None))


def test_the_inputs_of_one_report_as_json():
    answer = json.loads('["2026-11-29t23:00:00z", 1795993200000, "1795993200", 1e999, NaN, 1795993200.0]')
    assert [AT, AT, AT, None, None, AT] == [instant(one) for one in answer]
