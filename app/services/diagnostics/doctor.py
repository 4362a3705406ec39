"""Use case: the health of the whole installation in one list, each point a tick or a named code and what to do.

``/readyz`` asks what a load balancer must know, in milliseconds. The doctor asks everybody else too: both partners,
the service's settings, the webhook subscription. No look can hide another: one that cannot be made says so.
"""

import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial, wraps
from pathlib import Path
from typing import ParamSpec

from app.domain.model.outcome import Done, Reply
from app.domain.rules.rulebook import Silence, expiry_remark, in_force
from app.ports import DeadLetter
from app.services.diagnostics.health import INSTANT, Report
from app.services.diagnostics.health import State as HealthState

P = ParamSpec("P")


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
    """What one check found, in words; ``code`` is one word for machines, ``remedy`` is empty where nothing is to do."""

    check: str
    state: State
    code: str
    message: str
    remedy: str = ""


Probe = Callable[[], Iterable[Finding]]


def probe(look: Callable[P, Iterable[Finding]]) -> Callable[P, Probe]:
    """Makes a probe of a look: it is given what it needs now, and looks when it is called."""

    @wraps(look)
    def given(*args: P.args, **kwargs: P.kwargs) -> Probe:
        return partial(look, *args, **kwargs)

    return given


SELF_TEST = "self_test"
OLD_SECRET_GRACE = timedelta(hours=48)
"""For so long PagerDuty repeats a delivery; what it signed with the old secret may come that late."""
SECRETS_WINDOW = timedelta(days=31)
"""How far back the use of old secrets is looked up."""


def examine(probes: Mapping[str, Probe]) -> tuple[Finding, ...]:
    """Make every look. One that breaks is a finding itself, and the next is made all the same."""
    return tuple(examine_each(probes))


def examine_each(probes: Mapping[str, Probe], begin: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """``examine``, finding by finding as they come; ``begin`` is called with the name of each check before it is
    made."""
    for check, look in probes.items():
        begin(check)
        try:
            found = tuple(look())
        except Exception as fault:
            message = f"This could not be looked at: {type(fault).__name__}: {str(fault)[:200]}"
            remedy = "Mend what the message names and ask again."
            found = (Finding(check, State.UNKNOWN, "not_checked", message, remedy),)
        yield from found


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether everything could be looked at and nothing is wrong; warnings are allowed."""
    return all(finding.state in (State.FINE, State.WARNING) for finding in findings)


def fine(check: str, message: str) -> Finding:
    """A tick."""
    return Finding(check, State.FINE, "ok", message)


def configuration(missing: Sequence[str], degraded: Sequence[str], broken: str, exposed: str = "") -> Iterable[Finding]:
    """Credentials, what works only in part, and ``bridge.yaml``: why it was refused (``broken``), how others can read
    the keys in it (``exposed``); each empty where that is not so."""
    found = partial(Finding, "configuration")
    if broken:
        remedy = "Correct the file. A running bridge keeps the last good one; the rest was looked at with the defaults."
        yield found(State.WRONG, "config_broken", broken, remedy)
    for message in missing:
        yield found(State.WRONG, "setting_missing", message, "Set the variable it names and restart.")
    for message in degraded:
        yield found(State.WARNING, "works_in_part", message, "Set the variable it names, if you want that part.")
    if exposed:
        yield found(State.WARNING, "keys_exposed", f"{exposed}.", "Take the file away from others.")
    if not (broken or missing or degraded or exposed):
        yield fine("configuration", "Every setting that has to be set is set.")


def self_page(is_set: bool, heartbeat_is_set: bool) -> Iterable[Finding]:
    """Whether the bridge can say that it does not work: by a page of its own, and by a heartbeat that stays away."""
    found = partial(Finding, "self_page")
    if is_set:
        yield fine("self_page", "The bridge pages about itself; `truthvouch doctor --self-test` shows that it arrives.")
    else:
        message = "BRIDGE_SELF_INTEGRATION_KEY is not set: nobody is paged when the bridge itself fails."
        remedy = "Make a service for it in PagerDuty, and set the variable to its Events API v2 key."
        yield found(State.WARNING, "self_page_off", message, remedy)
    if heartbeat_is_set:
        yield fine("self_page", "The worker calls the heartbeat's address while a partner answers.")


def self_test(replies: Sequence[Reply[None]]) -> Iterable[Finding]:
    """What became of the test of the bridge's own page: of its trigger, then of its resolve."""
    found = partial(Finding, SELF_TEST)
    for reply, what in zip(replies, ("test incident", "resolve of the test incident"), strict=True):
        if not isinstance(reply, Done):
            message = f"PagerDuty did not take the {what} of the bridge's own page ({reply.reason})."
            remedy = (
                "Copy the Events API v2 key of the service into BRIDGE_SELF_INTEGRATION_KEY anew, and see that "
                "PAGERDUTY_EVENTS_URL can be reached from here."
            )
            yield found(State.WRONG, "self_page_not_taken", message, remedy)
    if all(isinstance(reply, Done) for reply in replies):
        message = "PagerDuty took a test incident of the bridge's own page, and its resolve."
        remedy = (
            "It takes any key of the right length: look in PagerDuty whether the service has the resolved incident."
        )
        yield found(State.WARNING, "self_page_unseen", message, remedy)


def data_exposed(files: Sequence[Path]) -> Iterable[Finding]:
    """``files``: those of the store that other users of this machine can read."""
    if not files:
        return
    names, folder = " and ".join(file.name for file in files), files[0].parent
    message = f"{names} in {folder} can be read by other users of this machine: alerts lie there with their prompts."
    remedy = f"Run `chmod 700 {shlex.quote(str(folder))}`, unless that is meant."
    yield Finding("bridge_store", State.WARNING, "data_exposed", message, remedy)


_OF_HEALTH: Mapping[str, tuple[str, str]] = {
    "store": ("store_not_writable", "Free the disk, or bring the database back."),
    "worker": ("worker_not_alive", "See the worker's log; with BRIDGE_ROLE=web start a `truthvouch worker`."),
    "oldest_waiting": (
        "delivery_waits_long",
        "See the paused targets here, and the log events delivery.retried, delivery.held.",
    ),
    "dead_letters": ("dead_letters", "Mend what is named there; `replay` tries again, `discard` lets it go."),
    "frozen_links": ("links_frozen", "`truthvouch links thaw ALERT` when the two sides have stopped quarrelling."),
    "worker_rules": ("rules_differ", "Give every machine the same bridge.yaml: each reads a changed one by itself."),
    "paused_targets": ("target_paused", "Mend the credential that is refused; a probe goes out every 15 seconds."),
    "truthvouch": ("truthvouch_never_seen", "Register the webhook at TruthVouch."),
    "pagerduty": ("pagerduty_never_seen", "See the check `subscription` here."),
}
"""Check of ``/readyz`` -> its code here, and what to do."""
CHECKED_ELSEWHERE = ("configuration", "webhook_subscription")
"""Checks of ``/readyz`` that the doctor makes by itself, and makes anew: under `configuration` and `subscription`."""
_STATES = {HealthState.OK: State.FINE, HealthState.DEGRADED: State.WARNING, HealthState.RED: State.WRONG}


def health_findings(report: Report, refused_page: DeadLetter | None = None) -> Iterable[Finding]:
    """What ``/readyz`` would say of everything that the doctor does not look at by itself. ``refused_page``: the newest
    dead letter that may be a page; its partner's own words are told here alone, for everybody may ask ``/readyz``."""
    for name, check in report.checks.items():
        if name == "dead_letters" and refused_page is not None and check.blocks_pages:
            said = f", {refused_page.detail.splitlines()[0]!r}" if refused_page.detail.strip() else ""
            newest = f"number {refused_page.dead_letter_id} of {refused_page.at:{INSTANT}}"
            check = replace(check, message=f"{check.message} The newest is {newest} ({refused_page.reason}{said}).")
        if name in CHECKED_ELSEWHERE:
            continue
        code, remedy = _OF_HEALTH.get(name, (name, "docs/operating.md says what it means."))
        code, remedy = check.code or code, check.remedy or remedy
        state = State.WRONG if check.blocks_pages else _STATES[check.state]
        if check.state is HealthState.OK:
            state = State.WARNING if check.code else State.FINE
        yield fine(name, check.message) if state is State.FINE else Finding(name, state, code, check.message, remedy)


def versions(found: Mapping[str, tuple[str, str]]) -> Iterable[Finding]:
    """By store: the version it has, and the one this program was made for."""
    for name, (has, wants) in found.items():
        if has == wants:
            yield fine("migrations", f"The store `{name}` is up to date (version {has}).")
        else:
            message = f"The store `{name}` is of version {has or 'none'}; this program was made for {wants}."
            remedy = "Restart the bridge, or run `truthvouch migrate`."
            yield Finding("migrations", State.WRONG, "migration_missing", message, remedy)


def secrets(
    side: str, configured: int, old_used_at: datetime | None, seen_at: datetime | None, now: datetime, where: str = ""
) -> Iterable[Finding]:
    """Whether an old webhook secret of that side is still in use.

    ``configured``: how many are set, the newest first; ``old_used_at``: when one that was not the newest last proved a
    delivery; ``seen_at``: the newest delivery of that side; ``where`` they stand, if not in the side's variable.
    """
    check, remedy = f"{side}_secrets", f"Remove all but the first from {where or f'{side.upper()}_WEBHOOK_SECRETS'}"
    if configured < 2:
        yield fine(check, "One secret is set." if configured else "No secret is set.")
    elif old_used_at is None and seen_at is None:
        yield fine(check, "Several secrets are set; no delivery has come yet that could show which one is in use.")
    elif old_used_at is None:
        message = f"No old secret has proved a delivery in the last {SECRETS_WINDOW.days} days: it can be removed."
        remedy += ", unless the first was added only now."
        yield Finding(check, State.WARNING, "old_secret_unused", message, remedy)
    elif seen_at is not None and seen_at > old_used_at and now - old_used_at >= OLD_SECRET_GRACE:
        message = f"An old secret was last used {ago(now - old_used_at)} ago and not since: it can be removed."
        yield Finding(check, State.WARNING, "old_secret_unused", message, f"{remedy}.")
    else:
        message = f"An old secret was last used {ago(now - old_used_at)} ago: it is still needed."
        remedy = "Give the partner the new secret; the old one can go when it has not been used for two days."
        yield Finding(check, State.WARNING, "old_secret_in_use", message, remedy)


SECRET_NOT_IN_FORCE = "secret_not_in_force"


def not_in_force(subscription_id: str, remedy: str) -> Finding:
    """PagerDuty signs with a new secret at once; no process knows it before it is in its place and restarted."""
    message = (
        f"The secret of subscription {subscription_id} is not in force until the bridge is restarted with it: its "
        "deliveries are refused, and three of them make PagerDuty switch it off."
    )
    return Finding("pagerduty_secrets", State.WARNING, SECRET_NOT_IN_FORCE, message, remedy)


def ago(time: timedelta) -> str:
    """A length of time in the largest whole unit: ``3 minutes``."""
    seconds = max(0, int(time.total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}{'s' if seconds >= 2 * length else ''}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


_OPTIONS: Mapping[str, str] = {
    "pagerduty.integration_key": "--integration-key",
    "pagerduty.api_key": "--api-key",
    "pagerduty.webhook_secrets": "--webhook-secret",
    "pagerduty.from_email": "--from-email",
}
"""What ``truthvouch config pagerduty`` writes, by its place in the file."""


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one credential."""

    variable: str
    """Beats the file."""
    in_file: str = ""
    """Where in ``bridge.yaml`` it stands; empty where the environment gave it, or nobody did."""

    @property
    def name(self) -> str:
        """Where it stands, in words."""
        return f"{self.in_file} of bridge.yaml" if self.in_file else self.variable

    @property
    def renewal(self) -> str:
        """The sentence that says how a valid one gets there."""
        if option := _OPTIONS.get(self.in_file):
            value = "EMAIL" if option == "--from-email" else "-"
            return f"Run `truthvouch config pagerduty {option} {value}` with a valid one and restart."
        return f"Put a valid one into {self.name} and restart."


def place(path: str, variable: str, given_by_file: Collection[str]) -> Place:
    """Of the credential at this place in the file; ``given_by_file``: the places whose credentials are in force."""
    return Place(variable, path if path in given_by_file else "")


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
    found = partial(Finding, "rules")
    remedy = (
        "Correct it: what asks for it never matches. If TruthVouch does send it, the first alert with it ends this."
    )
    yield from (found(State.WRONG, "rule_misspelt", message, remedy) for message in misspelt)
    if draft_fault:
        message = f"The draft {draft} is not asked beside the rules: {draft_fault}"
        yield found(State.WARNING, "shadow_refused", message, "`truthvouch rules check` names every fault of it.")
    for silence in soon:
        message = expiry_remark(silence, now)
        remedy = "`truthvouch silences add` with the same name prolongs it."
        yield found(State.WARNING, "silence_expires_soon", message[0].upper() + message[1:] + ".", remedy)
    if not (draft_fault or soon or misspelt):
        there = len(in_force(silences, now))
        message = f"{there} silence{'' if there == 1 else 's'} in force" if there else "No silence is in force"
        yield fine("rules", f"{message}, none ends within the hour." if there else f"{message}.")
