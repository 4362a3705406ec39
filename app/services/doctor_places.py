"""Where a credential stands, and how it is changed there: a person who is told the wrong place changes nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

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
    """Its variable; it beats the file."""
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
