"""States in words and shape, times for people, and a day drawn without any style in it."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from app.ui import day_chart, pages, shapes

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize("word", [*shapes.TONES, "whatever", ""])
def test_a_state_is_told_by_its_word_and_its_shape(word: str) -> None:
    chip = shapes.state(word)
    shown = shapes.NAMES.get(word, word.replace("_", " "))
    assert f"</span> {shown}</span>" in chip
    assert re.search(r'aria-hidden="true">[●▲✓○]<', chip)


def test_a_state_from_outside_is_escaped() -> None:
    assert "<script>" not in shapes.state("<script>") + shapes.tone("<script>", "bad") + shapes.ticks("`<script>` <b>")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s ago"),
        (12, "12 s ago"),
        (180, "3 min ago"),
        (7_200, "2 h ago"),
        (172_800, "2 days ago"),
        (-600, "in 10 min"),
    ],
)
def test_how_long_ago_is_said_in_the_largest_unit(seconds: int, said: str) -> None:
    assert said == shapes.ago(NOW - timedelta(seconds=seconds), NOW)


def test_what_never_was_is_never() -> None:
    assert "never" == shapes.ago(None, NOW)
    assert "–" in shapes.clock(None)


def test_an_instant_is_shown_by_the_zone_and_kept_in_utc() -> None:
    shown = shapes.clock(NOW, ZoneInfo("Europe/Berlin"))
    assert '<time datetime="2026-03-02T09:30:00+00:00">2026-03-02 10:30:00</time>' == shown


@pytest.mark.parametrize(
    ("value", "said"), [(True, "yes"), (False, "no"), (["a", "b"], "a, b"), ({"a": "<b>"}, "a: &lt;b&gt;")]
)
def test_a_fact_is_shown_as_people_read_it(value: object, said: str) -> None:
    assert said == str(shapes.plain(value))


def test_what_stands_in_backticks_is_code() -> None:
    assert "see <code>x y</code> now" == shapes.ticks("see `x y` now")
    assert "one ` alone" == shapes.ticks("one ` alone")


def test_one_and_many_are_counted_in_words() -> None:
    assert ["1 alert", "0 alerts", "1,200 tries"] == [
        shapes.counted(1, "alert"), shapes.counted(0, "alert"), shapes.counted(1200, "try", "tries"),
    ]  # fmt: skip


def test_a_day_is_24_hours_that_end_with_the_running_one() -> None:
    hour = timedelta(hours=1)
    seen = [(NOW, True, 1), (NOW, False, 1), (NOW - 23 * hour, False, 1), (NOW - 25 * hour, True, 5)]
    day = day_chart.hours(seen, NOW)
    assert 24 == len(day)
    assert (NOW.replace(minute=0), 2, 1) == (day[-1].begins, day[-1].alerts, day[-1].paged)
    assert (3, 1) == (sum(hour.alerts for hour in day), sum(hour.paged for hour in day))


def test_a_drawn_day_has_its_numbers_and_no_style() -> None:
    drawn = day_chart.drawn(day_chart.hours([(NOW, True, 1), (NOW, False, 1)], NOW), ZoneInfo("Asia/Tokyo"))
    assert "style=" not in drawn
    assert "<title>18:00: 2 alerts, 1 paged</title>" in drawn
    assert 'aria-label="Alerts of the last 24 hours by hour: 2 in all, 1 of them paged; at most 2 in an hour."' in drawn
    assert 2 == drawn.count("<rect")
    assert 0 == day_chart.drawn(day_chart.hours([], NOW)).count("<rect")


def test_the_style_loads_nothing_and_names_every_colour_for_light_and_dark() -> None:
    style = pages.text("style.css")
    assert not re.search(r"url\(|@import|https?:", style)
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    names = set(re.findall(r"(--[a-z0-9-]+):", light)) - {"--shade"}
    assert names <= set(re.findall(r"(--[a-z0-9-]+):", dark.partition("\n}")[0]))
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", style))
    assert used <= names | {"--shade"}


def _luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "ground"),
    [("ink", "paper"), ("ink", "ground"), ("quiet", "paper"), ("quiet", "ground"), ("accent", "paper"),
     ("accent", "ground"), ("on-accent", "accent"), ("bad", "bad-ground"), ("warn", "warn-ground"),
     ("good", "good-ground"), ("bad", "paper"),
     ("warn", "paper"), ("plain", "plain-ground"), ("on-bar", "bar"), ("bar-quiet", "bar"), ("ink", "hover"),
     ("quiet", "hover")],
)  # fmt: skip
def test_text_stands_out_from_its_ground(scheme: int, ink: str, ground: str) -> None:
    """https://www.w3.org/TR/WCAG22/#contrast-minimum"""
    part = pages.text("style.css").split("@media (prefers-color-scheme: dark)")[scheme].partition("\n}")[0]
    colours = dict(re.findall(r"--([a-z0-9-]+): (#[0-9a-f]{3,6});", part))
    lighter, darker = sorted((_luminance(colours[ink]), _luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5
