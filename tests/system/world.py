"""A bridge between two simulated partners, and what may be asked of the three together."""

import uuid
from dataclasses import dataclass

from tests.system.bridge import Bridge
from tests.system.sandbox import Sandbox
from tests.system.waiting import steady, until

QUIET_SECONDS = 0.6
"""Without a call for so long, with nothing under way, nothing more comes: what is submitted starts at once."""


@dataclass
class World:
    """The three, running."""

    bridge: Bridge
    sandbox: Sandbox

    def new_alert_id(self) -> str:
        return f"alert-{uuid.uuid4().hex[:12]}"

    def evidence(self) -> str:
        return self.sandbox.evidence() + "\n" + self.bridge.tail()

    def statuses(self, alert_id: str) -> tuple[str, list[str]]:
        """(the alert's status, its incidents' statuses) as each partner has it."""
        return self.sandbox.alert(alert_id)["status"], [i["status"] for i in self.sandbox.incidents(alert_id)]

    def until_both_are(self, alert_id: str, alert: str, incident: str, seconds: float = 20.0) -> None:
        """Wait until the alert and its one incident have these statuses."""
        wanted = (alert, [incident])
        until(
            lambda: self.statuses(alert_id) == wanted,
            f"{wanted}",
            seconds,
            lambda: f"now {self.statuses(alert_id)}\n{self.evidence()}",
        )

    def writes(self, alert_id: str) -> list[str]:
        """What the bridge did about the alert, once nothing is under way any more."""
        until(lambda: self.sandbox.undelivered() == 0, "webhooks are delivered", 20, self.evidence)
        return steady(lambda: self.sandbox.writes(alert_id), f"calls about {alert_id}", QUIET_SECONDS)
