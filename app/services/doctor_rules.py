"""The doctor's look at rules: a draft that is not asked, a silence that ends soon."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from app.domain.silences import Silence, in_force, told_of_expiry
from app.services.doctor import Finding, State, fine


def rules(
    draft: str | None,
    draft_fault: str,
    silences: Sequence[Silence],
    soon: Sequence[Silence],
    now: datetime,
    misspelt: Sequence[str] = (),
) -> Iterable[Finding]:
    """``draft``: what ``shadow:`` names; ``draft_fault``: why it is not asked; ``soon``: the silences that end soon;
    ``misspelt``: the words of the file that nobody sends, each in a sentence with its place."""
    for words in misspelt:
        todo = (
            "Correct it: what asks for it never matches. If TruthVouch does send it, the first alert with it ends this."
        )
        yield Finding("rules", State.WRONG, "rule_misspelt", words, todo)
    if draft_fault:
        words = f"The draft {draft} is not asked beside the rules: {draft_fault}"
        yield Finding(
            "rules", State.WARNING, "shadow_refused", words, "`truthvouch rules check` names every fault of it."
        )
    for silence in soon:
        words = told_of_expiry(silence, now)
        todo = "`truthvouch silences add` with the same name prolongs it."
        yield Finding("rules", State.WARNING, "silence_expires_soon", words[0].upper() + words[1:] + ".", todo)
    if not (draft_fault or soon or misspelt):
        there = len(in_force(silences, now))
        words = f"{there} silence{'' if there == 1 else 's'} in force" if there else "No silence is in force"
        yield fine("rules", f"{words}, none ends within the hour." if there else f"{words}.")
