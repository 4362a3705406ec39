"""Changing bridge.yaml: what is set is what is read, what is not touched stays, and a file is whole or as it was."""

import errno
import json
import os
import re
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config import edit as lines
from app.config.bridge_yaml import load, parse
from app.config.edit import remove, set_values, upsert
from app.config.schema import held_in, plain, read
from app.errors import ConfigFault

EXAMPLE = (Path(__file__).parents[2] / "docs" / "bridge.example.yaml").read_text("utf-8")
KEY = "integration-key-marker-0001"
RULE = {"name": "Noise", "trigger": "confidence < 0.5", "action": {"type": "suppress"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bridge.yaml"


def written(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def tree(text: str) -> dict[str, Any]:
    root = read(text)
    assert not root.faults, (text, root.faults)
    return plain(root.value) or {}


def comments(text: str) -> list[str]:
    """Comments that stand on lines of their own before the first column of any value."""
    return re.findall(r"^# .*$", text, re.MULTILINE)


# ------------------------------------------------------------------------------------------------ the law, at random

_PAGERDUTY = (
    "pagerduty:\n  region: us  # near\n  # inside\n  service_id: 'P0'\n",
    "pagerduty: {region: us, service_id: P0}  # flow\n",
    "pagerduty:   # nothing yet\n",
    "pagerduty: {}\n",
    "pagerduty:\n    service_id: >-\n      P0\n    webhook_secrets:\n    - one\n    - two  # old\n",
)
_RULES = (
    "rules:\n  - name: a   # first\n    trigger: blocked\n    action: {type: suppress}\n  # about b\n  -\n    name: b\n"
    '    trigger: |\n      severity == "low"\n    action:\n      type: suppress\n',
    "rules:\n- name: a\n  trigger: blocked\n  action: {type: suppress}\n",
    "rules: [{name: a, trigger: blocked, action: {type: suppress}}]\n",
    "rules: []  # none\n",
    "rules:\n",
)
_MAPS = (
    "severity_map: {critical: high, high: low}\n",
    "severity_map:\n  # inside\n  critical: high   # page\n  high: low\n",
    "severity_map:\n  critical: high\n",
)
_COMMENTS = ("", "# between\n", "\n# two\n\n# more: [\n", "\n\n")

_sections = st.permutations([_PAGERDUTY, _RULES, _MAPS, ("sla:\n  critical: {resolve_minutes: 60}\n",)])


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file as people write them: sections in any order and style, some left out, comments between."""
    parts = ["# head\n"]
    for variants in draw(_sections):
        if draw(st.integers(0, 4)):
            parts += [draw(st.sampled_from(variants)), draw(st.sampled_from(_COMMENTS))]
    text = "".join(parts)
    text = text if draw(st.booleans()) else text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.integers(0, 4)) == 0 else text


_texts = st.one_of(
    st.sampled_from(["P1", "yes", "1e9", "# no", "a: b", "- x", "", "→", "null", "'\""]), st.text(max_size=12)
)
_texts = _texts.filter(lambda text: text.isprintable() or True).filter(lambda text: "\ud800" > text or text > "\udfff")
_values = st.recursive(
    st.one_of(st.booleans(), st.integers(-9, 9), _texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_texts, inner, max_size=3)),
    max_leaves=6,
)
_paths = st.sampled_from(
    ["pagerduty.service_id", "pagerduty.new", "pagerduty", "severity_map", "severity_map.high", "rules", "a.b.c", "sla"]
)


def no_surrogates(value: object) -> bool:
    return json.dumps(value, ensure_ascii=False).isprintable() or not re.search(
        "[\ud800-\udfff]", json.dumps(value, ensure_ascii=False)
    )


@given(files(), _paths, _values.filter(no_surrogates))
def test_what_is_put_is_what_is_read_and_comments_stay(text: str, path: str, value: object):
    expected = tree(text)
    keys, inner = path.split("."), expected
    for key in keys[:-1]:
        inner[key] = inner[key] if isinstance(inner.get(key), dict) else {}
        inner = inner[key]
    inner[keys[-1]] = value
    new = lines.put(text, path, value)
    assert expected == tree(new)
    assert comments(text) == comments(new)
    assert new == lines.put(new, path, value)


@given(files(), st.sampled_from("abc"), _values.filter(no_surrogates))
def test_an_entry_takes_its_place_and_the_others_keep_theirs(text: str, name: str, value: object):
    before = [one["name"] for one in tree(text).get("rules") or ()]
    new = lines.put_entry(text, "rules", "name", {"name": name, "x": value})
    entries = tree(new)["rules"]
    assert {"name": name, "x": value} in entries
    assert (before if name in before else [*before, name]) == [one["name"] for one in entries]
    assert comments(text) == comments(new)
    gone = lines.take_entry(new, "rules", "name", name)
    assert [one for one in before if one != name] == [one["name"] for one in tree(gone)["rules"]]
    assert comments(text) == comments(gone)


# ------------------------------------------------------------------------------------------------ the file


def test_a_file_is_made_with_a_mode_of_its_owners(path: Path):
    said = set_values(path, {"pagerduty.integration_key": KEY, "pagerduty.service_id": "P1"})
    assert ("pagerduty.integration_key: ****0001", "pagerduty.service_id: 'P1'") == said
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert KEY == held_in(path)["pagerduty.integration_key"]
    assert "P1" == load(path).service_id
    assert () == set_values(path, {"pagerduty.integration_key": KEY, "pagerduty.service_id": "P1"})
    assert [path] == list(path.parent.iterdir())


def test_everything_else_of_the_example_stays(path: Path):
    written(path, EXAMPLE)
    said = set_values(path, {"pagerduty.service_id": "PNEW", "pagerduty.api_key": KEY})
    assert said[:2] == ("pagerduty.service_id: 'PNEW' (was 'PXXXXXX')", "pagerduty.api_key: ****0001") or said[:2] == (
        "pagerduty.api_key: ****0001",
        "pagerduty.service_id: 'PNEW' (was 'PXXXXXX')",
    )
    new = path.read_text("utf-8").splitlines()
    changed = [line for line in new if line not in EXAMPLE.splitlines()]
    assert 2 == len(changed)
    assert any(
        "PNEW" in line and line.endswith("# the service incidents are opened on; PAGERDUTY_SERVICE_ID beats it")
        for line in changed
    )
    assert len(EXAMPLE.splitlines()) + 1 == len(new)


def test_rules_are_added_changed_and_removed(path: Path):
    written(path, EXAMPLE)
    old = [rule.name for rule in load(path).rules]
    assert ("rules: 'Noise' added",) == upsert(path, "rules", "name", RULE)
    assert () == upsert(path, "rules", "name", RULE)
    assert [*old, "Noise"] == [rule.name for rule in load(path).rules]
    assert ("rules: 'Noise' changed",) == upsert(path, "rules", "name", {**RULE, "trigger": "confidence < 0.4"})
    assert ("rules: 'Noise' removed",) == remove(path, "rules", "name", "Noise")
    assert () == remove(path, "rules", "name", "Noise")
    assert EXAMPLE == path.read_text("utf-8")


@pytest.mark.parametrize("text", ["rules: 7\n", "pagerduty: [\n", "a: &x 1\n", "nonsense: 1\n"])
def test_a_broken_file_is_left_as_it_is(path: Path, text: str):
    written(path, text)
    with pytest.raises(ConfigFault):
        set_values(path, {"pagerduty.service_id": "P1"})
    assert text == path.read_text()


def test_a_broken_file_is_left_even_where_the_change_would_mend_it(path: Path):
    """Whoever broke it meant something: that is for a person to say."""
    written(path, "pagerduty: {via: pigeon}\n")
    with pytest.raises(ConfigFault, match="rest or events"):
        set_values(path, {"pagerduty.via": "rest"})
    assert "pagerduty: {via: pigeon}\n" == path.read_text()


def test_what_would_break_the_file_is_not_written(path: Path):
    with pytest.raises(ConfigFault, match="rest or events"):
        set_values(path, {"pagerduty.via": "pigeon"})
    with pytest.raises(ConfigFault, match="trigger"):
        upsert(path, "rules", "name", {**RULE, "trigger": "confidence <"})
    assert not path.exists()


def test_a_folder_that_takes_no_file_says_so(path: Path):
    with pytest.raises(ConfigFault, match="cannot be changed"):
        set_values(path.parent / "nowhere" / "bridge.yaml", {"pagerduty.service_id": "P1"})


@pytest.mark.parametrize(
    ("error", "remedy"), [(errno.EBUSY, "mount its folder"), (errno.EROFS, "change it where it comes from")]
)
def test_a_file_that_nothing_can_replace_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: int, remedy: str
):
    """A file that is mounted by itself into a container is busy for as long as it is mounted."""
    written(path, "pagerduty: {region: us}\n")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(error, os.strerror(error))))
    with pytest.raises(ConfigFault, match=remedy):
        set_values(path, {"pagerduty.region": "eu"})
    assert "pagerduty: {region: us}\n" == path.read_text()
    assert ["bridge.yaml"] == [one.name for one in path.parent.iterdir()]


def test_the_mode_is_narrowed_when_keys_come_in_and_kept_otherwise(path: Path):
    written(path, "pagerduty: {region: us}\n").chmod(0o644)
    set_values(path, {"pagerduty.service_id": "P1"})
    assert 0o644 == stat.S_IMODE(path.stat().st_mode)
    said = set_values(path, {"pagerduty.api_key": KEY})
    assert "mode: 0600 (was 0644), because the file holds keys" == said[-1]
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_a_link_stays_a_link_and_a_byte_order_mark_stays(path: Path):
    real = path.parent / "real.yaml"
    real.write_bytes(b"\xef\xbb\xbfpagerduty: {region: us}\r\n")
    path.symlink_to(real)
    set_values(path, {"pagerduty.service_id": "P1"})
    assert path.is_symlink()
    assert b"\xef\xbb\xbfpagerduty: {region: us, service_id: P1}\r\n" == real.read_bytes()


def test_changes_at_once_lose_none(path: Path):
    def add(number: int) -> None:
        upsert(path, "rules", "name", {**RULE, "name": f"rule {number}"})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"rule {number}" for number in range(8)} == {rule.name for rule in load(path).rules}


# ------------------------------------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "text",
    [
        "pagerduty: {api_key: 314159265358}",
        "pagerduty: {webhook_secrets: 314159265358}",
        "pagerduty: {webhook_secrets: [314159265358]}",
        "truthvouch: {api_key: [314159265358]}",
        "pagerduty:\n  api_key: '314159265358'\n  api_key: 'x314159265358'\n",
    ],
)
def test_a_fault_never_quotes_a_secret(text: str):
    with pytest.raises(ConfigFault) as refusal:
        parse(text)
    assert "314159" not in str(refusal.value)


def test_the_version_does_not_come_from_secrets():
    one, two = (f"pagerduty: {{api_key: {key}, service_id: P1}}\n" for key in ("a-key", "another-key"))
    assert parse(one).version == parse(two).version
    assert parse(one).version != parse(one.replace("P1", "P2")).version
    assert KEY not in repr(parse(f"pagerduty: {{api_key: {KEY}}}\n"))
