"""How PagerDuty says no. https://developer.pagerduty.com/docs/rest-api-errors"""

from typing import Any

MESSAGES = {
    1001: "Incident Already Resolved",
    1002: "Incident Already Acknowledged",
    1003: "Invalid Status Provided",
    1006: "Incident Cannot Be Escalated",
    1008: "Requester User Not Found",
    1012: "Incident Not Acknowledged",
    1013: "Invalid Snooze Duration",
    1014: "Escalation Policy Not Found",
    1015: "Nobody Is On Call",
    1019: "Incident Already Merged",
    1020: "Invalid Priority",
    1028: "Malformed From Header",
    2001: "Invalid Input Provided",
    2002: "Arguments Caused Error",
    2006: "Authentication Failed",
    2014: "Account Does Not Have The Abilities To Perform Action",
    2016: "Requester Header Missing",
    2019: "Limit Reached",
    2020: "Rate Limit Exceeded",
    2100: "Not Found",
}


class Refusal(Exception):
    """A REST call that PagerDuty refuses: HTTP status, PagerDuty's own code, and the details."""

    def __init__(self, code: int, *errors: str, status: int = 400) -> None:
        super().__init__(code, errors)
        self.code, self.errors, self.status = code, list(errors), status

    def as_json(self) -> dict[str, Any]:
        """The documented envelope."""
        return {"error": {"message": MESSAGES[self.code], "code": self.code, "errors": self.errors}}


def refuse_if(wrong: object, code: int, *errors: str, status: int = 400) -> None:
    """Raises ``Refusal`` where something is wrong; 2001 for a body or a query that makes no sense."""
    if wrong:
        raise Refusal(code, *errors, status=status)


def not_found() -> Refusal:
    """404 for a thing that is not there."""
    return Refusal(2100, status=404)


def invalid(*errors: str) -> Refusal:
    """400 for a body or a query that makes no sense."""
    return Refusal(2001, *errors)
