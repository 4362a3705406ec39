"""Who and what exists in the simulated PagerDuty account: fixed, small, invented."""

from dataclasses import dataclass
from typing import Any

Ref = dict[str, Any]


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can be paged."""

    user_id: str
    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Policy:
    """An escalation policy: one user on call for each level, and the minutes before the next is paged."""

    policy_id: str
    name: str
    user_ids: tuple[str, ...]
    delay_minutes: int = 30


@dataclass(frozen=True, slots=True)
class Service:
    """A service with one Events API v2 integration."""

    service_id: str
    name: str
    policy_id: str
    integration_id: str
    integration_key: str
    """The routing key: 32 characters."""


@dataclass(slots=True)
class Standing:
    """How a service stands: what an administrator changes about it."""

    status: str = "active"
    acknowledgement_timeout: int | None = None
    auto_resolve_timeout: int | None = None


USERS = {
    user.user_id: user
    for user in (
        User("PSBXUS1", "Oncall Example", "oncall@example.com"),
        User("PSBXUS2", "Manager Example", "manager@example.com"),
        User("PSBXUS3", "Director Example", "director@example.com"),
    )
}
POLICIES = {
    policy.policy_id: policy
    for policy in (
        Policy("PSBXEP1", "Sandbox on call", ("PSBXUS1", "PSBXUS2")),
        Policy("PSBXEP2", "Sandbox management", ("PSBXUS2", "PSBXUS3", "PSBXUS1")),
    )
}
SERVICES = {
    service.service_id: service
    for service in (
        Service("PSANDBX", "Sandbox AI answers", "PSBXEP1", "PSBXIN1", "sandboxsandboxsandboxsandbox0000"),
        Service("PSBXSV2", "Sandbox second service", "PSBXEP2", "PSBXIN2", "sandboxsandboxsandboxsandbox0002"),
    )
}
BY_ROUTING_KEY = {service.integration_key: service for service in SERVICES.values()}
BY_EMAIL = {user.email: user for user in USERS.values()}
PRIORITIES = {"PSBXPR1": "P1", "PSBXPR2": "P2", "PSBXPR3": "P3"}
ABILITIES = ("coordinated_responding", "incident_custom_fields", "service_support_hours", "teams", "urgencies")
STRANGER_ID = "PSBXUSX"
"""The id of anybody who acts through the control API under a name that is not in the directory."""


def find_user(word: str) -> User:
    """The user with this id, e-mail or name; somebody new with a name of their own if there is none."""
    for user in USERS.values():
        if word.casefold() in (user.user_id.casefold(), user.email, user.name.casefold()):
            return user
    return User(STRANGER_ID, word, word if "@" in word else "stranger@example.com")


class References:
    """References as PagerDuty writes them; ``base_url`` (no slash at its end) makes their links lead somewhere."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    def ref(self, kind: str, ident: str, collection: str, summary: str) -> Ref:
        """One reference object; ``kind`` without its ``_reference``."""
        return {
            "id": ident,
            "type": f"{kind}_reference",
            "summary": summary,
            "self": f"{self.base_url}/{collection}/{ident}",
            "html_url": f"{self.base_url}/#{ident}",
        }

    def user(self, user: User) -> Ref:
        return self.ref("user", user.user_id, "users", user.name)

    def policy(self, policy_id: str) -> Ref:
        return self.ref("escalation_policy", policy_id, "escalation_policies", POLICIES[policy_id].name)

    def service(self, service_id: str) -> Ref:
        return self.ref("service", service_id, "services", SERVICES[service_id].name)

    def priority(self, priority_id: str) -> Ref:
        return self.ref("priority", priority_id, "priorities", PRIORITIES[priority_id])

    def integration(self, service: Service) -> Ref:
        """The agent of whatever came through the Events API."""
        collection = f"services/{service.service_id}/integrations"
        return self.ref("inbound_integration", service.integration_id, collection, "Events API V2")

    def user_in_full(self, user: User) -> Ref:
        more = {"type": "user", "name": user.name, "email": user.email, "role": "user", "time_zone": "Etc/UTC"}
        return self.user(user) | more

    def policy_in_full(self, policy: Policy) -> Ref:
        rules = [
            {
                "id": f"{policy.policy_id}R{level}",
                "escalation_delay_in_minutes": policy.delay_minutes,
                "targets": [self.user(USERS[user_id])],
            }
            for level, user_id in enumerate(policy.user_ids, 1)
        ]
        services = [self.service(s.service_id) for s in SERVICES.values() if s.policy_id == policy.policy_id]
        return {**self.policy(policy.policy_id), "type": "escalation_policy", "name": policy.name,
                "escalation_rules": rules, "num_loops": 0, "services": services, "teams": []}  # fmt: skip

    def service_in_full(self, service: Service, with_key: bool, standing: Standing) -> Ref:
        integration = self.integration(service) | {"type": "events_api_v2_inbound_integration_reference"}
        if with_key:
            integration |= {"type": "events_api_v2_inbound_integration", "integration_key": service.integration_key}
        return {
            **self.service(service.service_id),
            "type": "service",
            "name": service.name,
            "status": standing.status,
            "escalation_policy": self.policy(service.policy_id),
            "incident_urgency_rule": {"type": "constant", "urgency": "severity_based"},
            "acknowledgement_timeout": standing.acknowledgement_timeout,
            "auto_resolve_timeout": standing.auto_resolve_timeout,
            "alert_creation": "create_alerts_and_incidents",
            "integrations": [integration],
            "teams": [],
        }
