"""Was it a false alert? A person's word on it, from either side.

TruthVouch closes an alert with a reason; on an incident anybody can write a tag into a note or the resolution.
"""

import re

FALSE_ALERT, TRUE_ALERT = "false_alert", "true_alert"

FALSE_REASONS = frozenset({"false_positive", "paraphrase_ok", "paraphrase", "outdated_fact", "not_a_hallucination"})
"""TruthVouch's reasons that say the AI was right after all (``resolution_reason``, the dialogue of a dismissal)."""
TRUE_REASONS = frozenset({"true_positive", "confirmed", "corrected", "correction_verified", "fixed"})

TAGS = {"#false-alert": FALSE_ALERT, "#true-alert": TRUE_ALERT}
"""What may stand anywhere in a PagerDuty note or resolution, in any case."""
_TAG = re.compile("|".join(map(re.escape, TAGS)), re.IGNORECASE)


def verdict_of(reason: str | None, *texts: str | None) -> str | None:
    """The verdict in a reason or in texts; a tag is the clearer word. None where neither says anything."""
    for text in texts:
        if found := _TAG.search(text or ""):
            return TAGS[found[0].lower()]
    word = re.sub(r"[^a-z]+", "_", (reason or "").lower()).strip("_")
    return FALSE_ALERT if word in FALSE_REASONS else TRUE_ALERT if word in TRUE_REASONS else None
