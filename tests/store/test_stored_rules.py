"""Silences and drafts in the store, and the mark that tells of every change."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.rules.rulebook import Origin, Silence
from app.ports import StoreUnavailable
from app.ports.rules import StoredDraft, StoredPart
from app.store.plain import plain_bridge
from app.store.rules_in_force import RulesInForce
from app.store.stored_rules import RulesInStore
from tests.fakes import START
from tests.shapes import plain_of
from tests.store.conftest import Stores

SILENCE = Silence("deploy", 'model == "m1"', "dana", "a release", START + timedelta(hours=2), START, Origin.STORE)
DRAFT = StoredDraft("calm", "rules: []\n", "dana", START)


def in_force(stores: Stores) -> RulesInForce:
    return RulesInForce(plain_of(stores.bridge.engine))


def test_a_silence_comes_back_as_it_was_and_another_of_its_name_takes_its_place(stores: Stores):
    rules = RulesInStore()
    longer = Silence(**{name: getattr(SILENCE, name) for name in ("name", "match", "owner", "reason")},
                     until=START + timedelta(hours=5), origin=Origin.STORE)  # fmt: skip
    with stores.bridge.begin() as tx:
        rules.put_silence(tx, SILENCE)
        assert (SILENCE,) == rules.silences(tx)
        rules.put_silence(tx, longer)
        assert (longer,) == rules.silences(tx)
        assert [True, False] == [rules.remove_silence(tx, "deploy") for _ in range(2)]
        assert () == rules.silences(tx)


def test_the_mark_changes_with_what_concerns_alerts_and_with_nothing_else(stores: Stores):
    rules, reader = RulesInStore(), in_force(stores)
    marks = [reader.mark()]

    def after(change: object) -> str:
        marks.append(reader.mark())
        return marks[-1]

    assert "" == marks[0]
    with stores.bridge.begin() as tx:
        rules.put_silence(tx, SILENCE)
    silenced = after("a silence")
    with stores.bridge.begin() as tx:
        rules.put_draft(tx, DRAFT)
    assert silenced == after("a draft that nobody asks")
    with stores.bridge.begin() as tx:
        rules.put_shadow(tx, "calm")
    shadowed = after("it is asked")
    with stores.bridge.begin() as tx:
        rules.put_draft(tx, StoredDraft("calm", "rules: [] # another\n", "dana", START))
    edited = after("its text")
    assert 4 == len({"", silenced, shadowed, edited})
    with stores.bridge.begin() as tx:
        assert rules.remove_draft(tx, "calm")
        assert rules.shadow(tx) is None
    assert silenced == after("it is gone")


def test_what_concerns_alerts_is_read_with_its_mark(stores: Stores):
    rules, reader = RulesInStore(), in_force(stores)
    assert StoredPart() == reader.part()
    with stores.bridge.begin() as tx:
        rules.put_silence(tx, SILENCE)
        rules.put_draft(tx, DRAFT)
        rules.put_shadow(tx, "calm")
    assert StoredPart(reader.mark(), (SILENCE,), "calm") == reader.part()
    assert (DRAFT.text, None) == (reader.text_of_draft("calm"), reader.text_of_draft("none"))


def test_drafts_are_listed_by_name(stores: Stores):
    rules, other = RulesInStore(), StoredDraft("bold", "sla: {}\n", "li", START)
    with stores.bridge.begin() as tx:
        rules.put_draft(tx, DRAFT)
        rules.put_draft(tx, other)
        assert [other, DRAFT] == list(rules.drafts(tx))
        assert (DRAFT, None) == (rules.draft(tx, "calm"), rules.draft(tx, "none"))
        assert [True, False] == [rules.remove_draft(tx, "bold") for _ in range(2)]


def test_looking_for_silences_makes_no_store(tmp_path: Path):
    folder = tmp_path / "none"
    with pytest.raises(StoreUnavailable):
        RulesInForce(plain_bridge(folder, None)).mark()
    assert not (tmp_path / "none").exists()
