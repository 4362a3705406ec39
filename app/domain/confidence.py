"""Confidence as TruthVouch writes it, read to one scale.

TruthVouch's pages write the same thing as ``0.05``, ``"5%"``, ``5`` (out of 100) and ``"15/100"``. They also use the
word for two opposite things, how true the answer is and how sure the detection is. This module reads numbers and does
not know which of the two it reads; the caller keeps them in different fields (``Alert.confidence``,
``Alert.detection_confidence``) and never mixes them.
"""

import re

MAX_TEXT_CHARS = 100

_NUMBER = r"(?:[0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?"
_WRITTEN = re.compile(rf"({_NUMBER})\s*(?:(%)|/\s*({_NUMBER}))?", re.ASCII)


def normalise(value: object) -> tuple[float | None, str | None]:
    """A confidence on the scale 0 to 1, and the text to show to people.

    A bare number above 1 is out of 100, so ``5`` is 0.05 and ``1`` is 1.0. What is no confidence (NaN, infinity,
    negative, beyond 100, a boolean, prose) gives None for the number; a text is kept as it was written, at most 100
    characters of it.
    """
    if isinstance(value, str):
        text = value.strip()
        return _read(text), text[:MAX_TEXT_CHARS] or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, None
    share = _out_of_one(value)
    return share, None if share is None else str(value)


def _read(text: str) -> float | None:
    written = _WRITTEN.fullmatch(text)
    if written is None:
        return None
    number, percent, whole = written.groups()
    if percent:
        return _ratio(float(number), 100)
    if whole:
        return _ratio(float(number), float(whole))
    return _out_of_one(float(number))


def _out_of_one(number: int | float) -> float | None:
    if not 0 <= number <= 100:  # NaN fails this comparison too
        return None
    return float(number) if number <= 1 else number / 100


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if 0 <= part <= whole and 0 < whole < float("inf") else None
