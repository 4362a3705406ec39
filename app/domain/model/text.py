"""Making any text fit to send: always encodable, no control characters, and cut where it does not fit.

Lengths that a person sees are characters; lengths that a partner limits are bytes of JSON, measured with every
character beyond ASCII escaped. That is the longest way to write a text as JSON, so what fits by this measure fits
however it is sent.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
"""Control characters except tab and newline, and the marks that make text read in another order than it is written."""


def clean(text: str) -> str:
    """The text with newlines and tabs kept, other control characters gone and lone surrogates made harmless."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    paired = lines.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _CONTROL.sub("", paired)


def one_line(text: str) -> str:
    """The text on one line, every run of white space one blank."""
    return " ".join(clean(text).split())


def shortened(text: str, max_chars: int) -> str:
    """The text in at most ``max_chars`` characters, an ellipsis where something was left out."""
    return text if len(text) <= max_chars else text[: max_chars - 1].rstrip() + "…"


def json_bytes(text: str) -> int:
    """The most bytes a text can take as a JSON string."""
    return len(json.dumps(text))


def share_out(sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    """How much of the budget each may use: the small ones all they need, the large ones equal shares of the rest."""
    granted: dict[str, int] = {}
    left = budget
    for served, (name, size) in enumerate(sorted(sizes.items(), key=lambda item: item[1])):
        granted[name] = min(size, left // (len(sizes) - served))
        left -= granted[name]
    return granted


def cut(text: str, budget: int) -> str:
    """The text in at most ``budget`` bytes of JSON, with a notice at its end where characters were left out.

    A budget too small even for the notice gives the notice alone.
    """
    if json_bytes(text) <= budget:
        return text
    room = budget - json_bytes(_notice(len(text), len(text)))
    shown = bisect_right(range(len(text) + 1), room, key=lambda chars: json_bytes(text[:chars])) - 1
    return text[: max(shown, 0)] + _notice(max(shown, 0), len(text))


def _notice(shown: int, of: int) -> str:
    return f"\n[cut: {shown} of {of} characters shown]"
