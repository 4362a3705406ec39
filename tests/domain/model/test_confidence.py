"""Confidence, in every way TruthVouch's pages write it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import MAX_TEXT_CHARS, normalise


@pytest.mark.parametrize(
    ("written", "share", "text"),
    [
        (0.05, 0.05, "0.05"),
        (5, 0.05, "5"),
        (1, 1.0, "1"),
        (0, 0.0, "0"),
        (92.5, 0.925, "92.5"),
        (100, 1.0, "100"),
        ("5%", 0.05, "5%"),
        (" 0.5 % ", 0.005, "0.5 %"),
        ("100%", 1.0, "100%"),
        ("0.92", 0.92, "0.92"),
        ("92", 0.92, "92"),
        ("15/100", 0.15, "15/100"),
        ("3 / 4", 0.75, "3 / 4"),
        (".5", 0.5, ".5"),
        ("9e-1", 0.9, "9e-1"),
    ],
)
def test_every_documented_spelling_is_read_to_one_scale(written: object, share: float, text: str):
    number, shown = normalise(written)
    assert pytest.approx(share) == number
    assert text == shown


@pytest.mark.parametrize(
    "nonsense", ["high", "101%", "150", "5/0", "7/5", "-5%", "nan", "inf", "1_0", "٥%", "1e999", "5%%"]
)
def test_a_text_that_is_no_confidence_keeps_its_words_and_has_no_number(nonsense: str):
    assert (None, nonsense) == normalise(nonsense)


@pytest.mark.parametrize("nonsense", [None, True, False, math.nan, math.inf, -0.1, 101, 10**400, [], {}, ""])
def test_a_value_that_is_no_confidence_says_nothing(nonsense: object):
    assert (None, None) == normalise(nonsense)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
def test_every_value_has_an_answer_from_0_to_1_or_none(value: object):
    share, text = normalise(value)
    assert share is None or 0 <= share <= 1
    assert text is None or 1 <= len(text) <= MAX_TEXT_CHARS
