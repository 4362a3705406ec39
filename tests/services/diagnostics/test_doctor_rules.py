"""What ``readyz`` and the doctor say about rules."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.bootstrap.rules import Spelling, misspelt_faults, notes, shadow_of
from app.config.settings import Settings
from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import Alert, AlertId, Side
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook, Silence, expiring
from app.services.diagnostics.doctor import Finding, State, rules
from app.store.history import StoredPast
from tests.fakes import START
from tests.rig import FixedRulebook, Rig

DOCS = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text("utf-8")


def silence(minutes: float) -> Silence:
    return Silence("release", "true", "dana", "a release", START + timedelta(minutes=minutes))


def found(fault: str, *silences: Silence) -> list[Finding]:
    return list(rules("draft.yaml", fault, silences, expiring(silences, START), START))


@pytest.mark.parametrize(
    ("fault", "minutes", "codes"),
    [
        ("", 61, ["ok"]),
        ("", 60, ["silence_expires_soon"]),
        ("", -1, ["ok"]),
        ("is missing", 61, ["shadow_refused"]),
        ("is missing", 5, ["shadow_refused", "silence_expires_soon"]),
    ],
)
def test_the_doctor_names_a_draft_that_is_not_asked_and_a_silence_that_ends(
    fault: str, minutes: float, codes: list[str]
):
    findings = found(fault, silence(minutes))
    assert codes == [finding.code for finding in findings]
    assert {"rules"} == {finding.check for finding in findings}
    assert all(finding.remedy for finding in findings if finding.code != "ok")
    assert all(f"`{code}`" in DOCS for code in codes if code != "ok")


def test_how_many_silences_are_in_force_is_reported():
    assert "1 silence in force" in found("", silence(90))[0].message
    assert "No silence is in force." == found("")[0].message


@pytest.mark.parametrize(("minutes", "fields"), [(61, 0), (60, 1), (0, 0)])
def test_readyz_notes_a_silence_that_ends_within_the_hour(tmp_path: Path, minutes: float, fields: int):
    book = Rulebook(silences=(silence(minutes),))
    settings = Settings.from_env({"BRIDGE_CONFIG": str(tmp_path / "bridge.yaml")})
    noted = notes(book, shadow_of(settings, FixedRulebook(book)), START)
    assert fields == len(noted)
    assert all("'release' of dana ends in" in note for note in noted)


MISSPELT = Rulebook(rules=(Rule("r", "confidnce < 0.5 and scan_mss > 5", RuleAction.SUPPRESS),), version="v1")


def test_a_misspelt_word_is_wrong_and_named_with_what_may_be_meant(tmp_path: Path):
    file = tmp_path / "bridge.yaml"
    file.write_text("rules:\n  - {name: r, trigger: 'confidnce < 0.5', action: {type: suppress}}\n", "utf-8")
    settings = Settings.from_env({"BRIDGE_CONFIG": str(file), "BRIDGE_DATA_DIR": str(tmp_path / "data")})
    words = [str(fault) for fault in misspelt_faults(settings)]
    (finding,) = rules(None, "", (), (), START, words)
    assert ("rule_misspelt", State.WRONG) == (finding.code, finding.state)
    assert "rules[0].trigger, line 2" in finding.message
    assert "did you mean confidence?" in finding.message
    assert f"`{finding.code}`" in DOCS
    file.write_text("rules: 7\n", "utf-8")
    assert () == misspelt_faults(settings), "a broken file is told of elsewhere"
    file.unlink()
    assert () == misspelt_faults(settings)


def test_readyz_notes_a_misspelt_word_until_an_alert_has_it(tmp_path: Path):
    rig = Rig(tmp_path)
    spelling = Spelling(FixedRulebook(MISSPELT), lambda: rig.database)
    assert ["confidence"] == [note.partition("did you mean ")[2].rstrip("?") for note in spelling.notes(START)]
    event = AlertEvent(AlertEventType.CREATED, Alert(AlertId("a1"), extra={"confidnce": 1}), "alert.created", START)
    rig.say(Side.TRUTHVOUCH, event)
    later = START + Spelling.EVERY
    assert 1 == len(spelling.notes(later - timedelta(seconds=1))), "it looks seldom"
    assert () == spelling.notes(later)
    assert () == Spelling(FixedRulebook(Rulebook()), lambda: rig.database).notes(START)


def test_no_alert_is_read_for_a_severity_that_no_field_can_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[object] = []
    monkeypatch.setattr(StoredPast, "field_names", lambda *given, **_more: read.append(given))
    book = Rulebook(rules=(Rule("r", "severity == hihg", RuleAction.SUPPRESS),), severity_map={"critcal": None})
    assert 2 == len(Spelling(FixedRulebook(book), lambda: Rig(tmp_path).database).notes(START))
    assert [] == read
