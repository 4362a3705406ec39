"""The doctor's looks at PagerDuty's people: who is told, in whose name we write, what the plan includes."""

from collections.abc import Iterable, Mapping, Sequence

from app.domain.account import OnCall, PolicyFacts
from app.domain.outcome import Done, Refused, Reply
from app.ports import Account
from app.services.doctor import Finding, Look, State, fine
from app.services.doctor_places import Place

POLICY = "escalation_policy"
SENDER = "from_user"
FROM_EMAIL = Place("PAGERDUTY_FROM_EMAIL")
PLAN = "abilities"

FEATURES: Mapping[str, str] = {
    "coordinated_responding": "responder requests",
    "incident_custom_fields": "custom fields",
}
"""Ability -> what of ours needs it. https://developer.pagerduty.com/api-reference/ (abilities)"""

Users = Mapping[str, Sequence[str]]
"""Policy id -> who names it, in words: ``rule Critical``, ``service P1``."""


def policies(named: Users, service_ids: Sequence[str], account: Account | None) -> Look:
    """Whether every escalation policy exists and has somebody on call at each level.

    ``named``: the policies of ``bridge.yaml``; those of the services are asked for. ``account`` None: no API key.
    """

    def look() -> Iterable[Finding]:
        if account is None:
            yield _not_asked(POLICY, "the escalation policies were not looked at")
            return
        found = with_services(named, service_ids, account)
        if not found:
            words = "No escalation policy is named, and no service is known whose own could be looked at."
            todo = "Set PAGERDUTY_SERVICE_ID, or service_id in bridge.yaml."
            if service_ids:
                words = (
                    f"No escalation policy is named, and that of service {', '.join(service_ids)} could not be read."
                )
                todo = "See the checks `pagerduty_service` and `pagerduty_key`."
            yield Finding(POLICY, State.WARNING, "policy_not_known", words, todo)
        for ident, users in found.items():
            yield _of_policy(ident, ", ".join(users), account)

    return look


def with_services(named: Users, service_ids: Sequence[str], account: Account) -> dict[str, tuple[str, ...]]:
    """The named policies, and those the services use themselves; a service that cannot be read adds none."""
    found = {ident: tuple(users) for ident, users in named.items()}
    for service_id in service_ids:
        reply = account.service(service_id)
        if isinstance(reply, Done) and reply.value.policy_id:
            ident = reply.value.policy_id
            found[ident] = (*found.get(ident, ()), f"service {service_id}")
    return found


def _of_policy(ident: str, users: str, account: Account) -> Finding:
    reply = account.policy(ident)
    if isinstance(reply, Refused) and reply.status == 404:
        words = f"PagerDuty has no escalation policy {ident}, which is that of {users}."
        return Finding(POLICY, State.WRONG, "policy_missing", words, "Correct the id in bridge.yaml, or in PagerDuty.")
    if not isinstance(reply, Done):
        return _unread(f"Escalation policy {ident}", reply)
    on_call = account.on_call(ident)
    if not isinstance(on_call, Done):
        return _unread(f"Who is on call for {ident}", on_call)
    return _of_levels(reply.value, users, on_call.value)


def _of_levels(policy: PolicyFacts, users: str, on_call: Sequence[OnCall]) -> Finding:
    name = f"Escalation policy {policy.policy_id} ({policy.name or 'no name'}; {users})"
    levels = range(1, len(policy.levels) + 1)
    empty = [level for level in levels if not any(one.level == level for one in on_call)]
    if len(empty) == len(levels):
        words = f"{name} has nobody on call at any level: PagerDuty pages no one."
        todo = "Put somebody on its schedules in PagerDuty, or name another policy."
        return Finding(POLICY, State.WRONG, "nobody_on_call", words, todo)
    if empty:
        words = f"{name} has nobody on call at level {', '.join(map(str, empty))}: an escalation there reaches no one."
        todo = "Fill the gap in the schedule of that level in PagerDuty."
        return Finding(POLICY, State.WRONG, "level_empty", words, todo)
    first = ", ".join(dict.fromkeys(one.user_name or one.user_id for one in on_call if one.level == 1))
    return fine(POLICY, f"{name} has somebody on call at each of its {len(levels)} levels; first {first}.")


def _unread(what: str, reply: Reply[object]) -> Finding:
    reason = "" if isinstance(reply, Done) else reply.reason
    words = f"{what} could not be looked at ({reason})."
    return Finding(POLICY, State.UNKNOWN, "policy_not_read", words, "See the check `pagerduty_key`.")


def sender(email: str | None, account: Account | None, where: Place = FROM_EMAIL) -> Look:
    """Whether the user exists in whose name the REST API changes things; the e-mail stands ``where``.

    ``account`` None: no API key.
    """

    def look() -> Iterable[Finding]:
        if account is None:
            return (_not_asked(SENDER, "the user of the `From` header was not looked at"),)
        if not email:
            words = "PAGERDUTY_FROM_EMAIL is not set: the REST API changes nothing without the e-mail of a user."
            todo = "Set it to the login e-mail of a user of the account."
            return (Finding(SENDER, State.WARNING, "from_not_set", words, todo),)
        return (_of_sender(email, account.user_called(email), where),)

    return look


def _of_sender(email: str, reply: Reply[object], where: Place) -> Finding:
    if not isinstance(reply, Done):
        words = f"The users could not be looked at ({reply.reason})."
        return Finding(SENDER, State.UNKNOWN, "from_not_read", words, "See the check `pagerduty_key`.")
    if reply.value is None:
        words = f"PagerDuty has no user {email}: every change by the REST API is refused."
        todo = f"It has to be the login e-mail of a user of the account. {where.renewal}"
        return Finding(SENDER, State.WRONG, "from_unknown", words, todo)
    return fine(SENDER, f"{email} is a user of the account.")


def abilities(account: Account | None) -> Look:
    """What the account's plan includes of what we can use: for information. ``account`` None: no API key."""

    def look() -> Iterable[Finding]:
        if account is None:
            return (_not_asked(PLAN, "the account's plan was not looked at"),)
        reply, priorities = account.abilities(), account.priorities()
        if not isinstance(reply, Done):
            words = f"The account's abilities could not be looked at ({reply.reason})."
            return (Finding(PLAN, State.UNKNOWN, "abilities_not_read", words, "See the check `pagerduty_key`."),)
        return (fine(PLAN, _of_plan(reply.value, priorities)),)

    return look


def _of_plan(has: frozenset[str], priorities: Reply[tuple[str, ...]]) -> str:
    told = [f"{words}: {'yes' if ability in has else 'no'}" for ability, words in FEATURES.items()]
    names = ", ".join(priorities.value) or "none" if isinstance(priorities, Done) else f"not read ({priorities.reason})"
    return f"The account's plan: {', '.join(told)}, priorities: {names}."


def _not_asked(check: str, words: str) -> Finding:
    todo = "Set PAGERDUTY_API_KEY, if you want that looked at."
    return Finding(check, State.WARNING, "key_not_set", f"PAGERDUTY_API_KEY is not set, so {words}.", todo)
