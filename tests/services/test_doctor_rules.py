"""What ``readyz`` and the doctor say about rules."""

from datetime import timedelta
from pathlib import Path

import pytest

from app.bootstrap.rules import Fixed, notes, shadow_of
from app.domain.rulebook import Rulebook
from app.domain.silences import Silence, expiring
from app.services.doctor import Finding
from app.services.doctor_rules import rules
from app.settings import Settings
from tests.fakes import START

DOCS = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")


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
    assert all(finding.todo for finding in findings if finding.code != "ok")
    assert all(f"`{code}`" in DOCS for code in codes if code != "ok")


def test_how_many_silences_are_in_force_is_told():
    assert "1 silence in force" in found("", silence(90))[0].words
    assert "No silence is in force." == found("")[0].words


@pytest.mark.parametrize(("minutes", "told"), [(61, 0), (60, 1), (0, 0)])
def test_readyz_notes_a_silence_that_ends_within_the_hour(tmp_path: Path, minutes: float, told: int):
    book = Rulebook(silences=(silence(minutes),))
    settings = Settings.from_env({"BRIDGE_CONFIG": str(tmp_path / "bridge.yaml")})
    noted = notes(book, shadow_of(settings, Fixed(book)), START)
    assert told == len(noted)
    assert all("'release' of dana ends in" in note for note in noted)
