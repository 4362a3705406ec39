"""What the partners are like in a run."""

import re

import pytest

from tests.chaos.settings import DEFAULTS, MOST_OFF_SECONDS, SHARES, described, drawn, parsed
from tests.system.processes import ROOT

MANY = [drawn(seed) for seed in range(300)]


def test_the_same_seed_draws_the_same_and_many_seeds_draw_everything():
    assert drawn(7) == drawn(7)
    assert {(name, value) for name in SHARES for value in (True, False)} == {
        (name, settings[name]) for settings in MANY for name in SHARES
    }
    assert {"newest_first", "oldest_first"} == {settings["truthvouch_list_order"] for settings in MANY}


def test_clocks_are_up_to_five_minutes_off_either_way_so_ten_apart():
    off = [[clock["offset_seconds"] for clock in settings["clocks"].values()] for settings in MANY]
    assert MOST_OFF_SECONDS == max(map(max, off)) == -min(map(min, off))
    assert 2 * MOST_OFF_SECONDS == max(abs(one - other) for one, other in off)
    drifts = {clock["drift_seconds_per_hour"] for settings in MANY for clock in settings["clocks"].values()}
    assert min(drifts) < -60 < 60 < max(drifts)


def test_the_sandbox_says_that_it_has_every_setting_that_is_drawn():
    documented = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "sandbox.md").read_text("utf-8")))
    assert set() == set(DEFAULTS) - documented
    assert all(set(DEFAULTS) == set(settings) for settings in MANY)


def test_a_setting_of_the_command_line_is_not_drawn():
    fixed = dict(map(parsed, ["truthvouch_keeps_acknowledges=false", 'truthvouch_list_order="oldest_first"']))
    assert {"truthvouch_keeps_acknowledges": False, "truthvouch_list_order": "oldest_first"} == fixed
    for seed in range(20):
        assert drawn(seed) | fixed == drawn(seed, fixed)


@pytest.mark.parametrize("given", ["limits={}", "truthvouch_list_order", "truthvouch_list_order=oldest_first"])
def test_a_setting_that_is_not_drawn_or_no_json_is_refused(given: str):
    with pytest.raises(ValueError):
        parsed(given)


def test_they_are_described_in_one_line():
    line = described(drawn(7))
    assert "\n" not in line
    assert all(name in line for name in DEFAULTS)
