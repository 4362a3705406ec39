"""Use case: the health of the whole installation in one list, each point a tick or a named code and what to do.

``/readyz`` asks what a load balancer must know, in milliseconds. The doctor asks everybody else too: both partners,
the service's settings, the webhook subscription. No look can hide another: one that cannot be made says so.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from app.ports import Letter
from app.services.health import Check, Report
from app.services.health import State as HealthState


class State(StrEnum):
    """How a check turned out."""

    FINE = "fine"
    WARNING = "warning"
    """It works, and somebody should know."""
    WRONG = "wrong"
    UNKNOWN = "unknown"
    """The check could not be made."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, in words; ``code`` is one word for machines, ``todo`` is empty where nothing is to do."""

    check: str
    state: State
    code: str
    words: str
    todo: str = ""


Look = Callable[[], Iterable[Finding]]

OLD_SECRET_GRACE = timedelta(hours=48)
"""For so long PagerDuty repeats a delivery; what it signed with the old secret may come that late."""
SECRETS_WINDOW = timedelta(days=31)
"""How far back the use of old secrets is looked up."""


def examine(looks: Mapping[str, Look]) -> tuple[Finding, ...]:
    """Make every look. One that breaks is a finding itself, and the next is made all the same."""
    return tuple(examine_each(looks))


def examine_each(looks: Mapping[str, Look], begin: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """``examine``, finding by finding as they come; ``begin`` hears the name of each check before it is made."""
    for check, look in looks.items():
        begin(check)
        yield from _guarded(check, look)


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether everything could be looked at and nothing is wrong; warnings are allowed."""
    return all(finding.state in (State.FINE, State.WARNING) for finding in findings)


def fine(check: str, words: str) -> Finding:
    """A tick."""
    return Finding(check, State.FINE, "ok", words)


def _guarded(check: str, look: Look) -> Sequence[Finding]:
    try:
        return tuple(look())
    except Exception as fault:
        words = f"This could not be looked at: {type(fault).__name__}: {str(fault)[:200]}"
        return (Finding(check, State.UNKNOWN, "not_looked_at", words, "Mend what the message names and ask again."),)


# ------------------------------------------------------------------------------------------------ configuration


def configuration(missing: Sequence[str], degraded: Sequence[str], broken: str, exposed: str = "") -> Iterable[Finding]:
    """Credentials, what works only in part, and ``bridge.yaml``: why it was refused (``broken``), how others can read
    the keys in it (``exposed``); each empty where that is not so."""
    if broken:
        todo = "Correct the file. A running bridge keeps the last good one; the rest was looked at with the defaults."
        yield Finding("configuration", State.WRONG, "config_broken", broken, todo)
    for words in missing:
        yield Finding("configuration", State.WRONG, "setting_missing", words, "Set the variable it names and restart.")
    for words in degraded:
        todo = "Set the variable it names, if you want that part."
        yield Finding("configuration", State.WARNING, "works_in_part", words, todo)
    if exposed:
        yield Finding("configuration", State.WARNING, "keys_exposed", f"{exposed}.", "Take the file away from others.")
    if not (broken or missing or degraded or exposed):
        yield fine("configuration", "Every setting that has to be set is set.")


# ------------------------------------------------------------------------------------------------ store and worker


def data_exposed(files: Sequence[Path]) -> Iterable[Finding]:
    """``files``: those of the store that other users of this machine can read."""
    if not files:
        return
    names, folder = " and ".join(file.name for file in files), files[0].parent
    words = f"{names} in {folder} can be read by other users of this machine: alerts lie there with their prompts."
    todo = f"Run `chmod 700 {shlex.quote(str(folder))}`, unless that is meant."
    yield Finding("bridge_store", State.WARNING, "data_exposed", words, todo)


_OF_HEALTH: Mapping[str, tuple[str, str]] = {
    "store": ("store_not_writable", "Free the disk, or bring the database back."),
    "worker": ("worker_not_alive", "See the worker's log; with BRIDGE_ROLE=web start a `truthvouch worker`."),
    "oldest_waiting": (
        "delivery_waits_long",
        "See the holds here, and the log events delivery.retried, delivery.held.",
    ),
    "dead_letters": ("dead_letters", "Mend what is named there; `replay` tries again, `discard` lets it go."),
    "frozen_links": ("links_frozen", "`truthvouch links thaw ALERT` when the two sides have stopped quarrelling."),
    "holds": ("target_held", "Mend the credential that is refused; a probe goes out every 15 seconds."),
    "truthvouch": ("truthvouch_never_heard", "Register the webhook at TruthVouch."),
    "pagerduty": ("pagerduty_never_heard", "See the check `subscription` here."),
}
"""Check of ``/readyz`` -> its code here, and what to do."""
LOOKED_AT_ELSEWHERE = ("configuration", "webhook_subscription")
"""Checks of ``/readyz`` that the doctor makes by itself, and makes anew: under `configuration` and `subscription`."""
_STATES = {HealthState.OK: State.FINE, HealthState.DEGRADED: State.WARNING, HealthState.RED: State.WRONG}


def vital_signs(report: Report, refused_page: Letter | None = None) -> Iterable[Finding]:
    """What ``/readyz`` would say of everything that the doctor does not look at by itself.

    ``refused_page``: the newest dead letter that may be a page; its partner's own words are told here alone, for
    everybody may ask ``/readyz``.
    """
    for name, check in report.checks.items():
        if name == "dead_letters" and refused_page is not None and check.holds_pages:
            check = replace(check, message=f"{check.message} {_of_letter(refused_page)}")
        if name not in LOOKED_AT_ELSEWHERE:
            yield _of_health(name, check)


def _of_letter(letter: Letter) -> str:
    said = f", {letter.detail.splitlines()[0]!r}" if letter.detail.strip() else ""
    return f"The newest is letter {letter.letter_id} of {letter.at:%Y-%m-%d %H:%M:%S}Z ({letter.reason}{said})."


def _of_health(name: str, check: Check) -> Finding:
    code, todo = _OF_HEALTH.get(name, (name, "docs/operating.md says what it means."))
    code, todo = check.code or code, check.remedy or todo
    if check.state is HealthState.OK:
        return Finding(name, State.WARNING, code, check.message, todo) if check.code else fine(name, check.message)
    return Finding(name, State.WRONG if check.holds_pages else _STATES[check.state], code, check.message, todo)


def versions(found: Mapping[str, tuple[str, str]]) -> Iterable[Finding]:
    """By store: the version it has, and the one this program was made for."""
    for name, (has, wants) in found.items():
        if has == wants:
            yield fine("migrations", f"The store `{name}` is up to date (version {has}).")
        else:
            words = f"The store `{name}` is of version {has or 'none'}; this program was made for {wants}."
            todo = "Restart the bridge, or run `truthvouch migrate`."
            yield Finding("migrations", State.WRONG, "migration_missing", words, todo)


# ------------------------------------------------------------------------------------------------ secrets


def secrets(
    side: str,
    configured: int,
    old_used_at: datetime | None,
    seen_at: datetime | None,
    now: datetime,
    where: str = "",
) -> Iterable[Finding]:
    """Whether an old webhook secret of that side is still in use.

    ``configured``: how many are set, the newest first; ``old_used_at``: when one that was not the newest last proved a
    delivery; ``seen_at``: the newest delivery of that side; ``where`` they stand, if not in the side's variable.
    """
    check, where = f"{side}_secrets", where or f"{side.upper()}_WEBHOOK_SECRETS"
    if configured < 2:
        yield fine(check, "One secret is set." if configured else "No secret is set.")
    elif old_used_at is None and seen_at is None:
        yield fine(check, "Several secrets are set; no delivery has come yet that could show which one is in use.")
    elif old_used_at is None:
        words = f"No old secret has proved a delivery in the last {SECRETS_WINDOW.days} days: it can be removed."
        todo = f"Remove all but the first from {where}, unless the first was added only now."
        yield Finding(check, State.WARNING, "old_secret_unused", words, todo)
    elif seen_at is not None and seen_at > old_used_at and now - old_used_at >= OLD_SECRET_GRACE:
        words = f"An old secret was last used {ago(now - old_used_at)} ago and not since: it can be removed."
        yield Finding(check, State.WARNING, "old_secret_unused", words, f"Remove all but the first from {where}.")
    else:
        words = f"An old secret was last used {ago(now - old_used_at)} ago: it is still needed."
        todo = "Give the partner the new secret; the old one can go when it has not been used for two days."
        yield Finding(check, State.WARNING, "old_secret_in_use", words, todo)


def ago(time: timedelta) -> str:
    """A length of time in the largest whole unit: ``3 minutes``."""
    seconds = max(0, int(time.total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}{'s' if seconds >= 2 * length else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"
