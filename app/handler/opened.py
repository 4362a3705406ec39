"""A handler before it does anything: what it was given, and what it opens with its first call."""

from collections.abc import Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from app.errors import WrongUse

if TYPE_CHECKING:
    from app.bootstrap.handler import Hand

Json = dict[str, Any]


class PartlyDone(UserWarning):
    """The thing asked for is done, but for what the warning names."""


class Opened:
    """Holds credentials and connections."""

    def __init__(
        self,
        integration_key: str | None = None,
        *,
        api_key: str | None = None,
        from_email: str | None = None,
        service_id: str | None = None,
        region: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """``region``: ``us`` or ``eu``. ``environ`` is read in the place of the environment. Calls nobody.

        With an API key (and the ``From`` e-mail PagerDuty then wants) everything here works; with an integration key
        alone, incidents are opened, acknowledged and resolved by event, and their ids stay unknown.
        """
        if region not in (None, "us", "eu"):
            raise WrongUse("bad_region", f"The region is {region!r}.", "PagerDuty has us and eu.")
        self._said = (integration_key, api_key, from_email, service_id, region)
        self._environ = environ

    def __repr__(self) -> str:
        """What was said here; the rest is the environment's and the file's, which nobody reads for a name."""
        said = {"service_id": self._said[3], "region": self._said[4]}
        told = "".join(f" {name}={value!r}" for name, value in said.items() if value is not None)
        return f"<PagerDutyHandler{told}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. A handler that is used again opens new ones."""
        if "_hand" in self.__dict__:  # else nothing was opened
            self._hand.close()
            del self._hand

    @cached_property
    def _hand(self) -> "Hand":
        """Loaded with the first call, so that importing this module costs nothing."""
        from app.bootstrap.handler import Hand
        from app.bootstrap.handler_given import Given, settings_of
        from app.transport import leave_log_to_caller

        leave_log_to_caller()
        return Hand(settings_of(self._environ, Given(*self._said)))


def ident_of(incident_id: str) -> str:
    """An id, as it may stand in a path."""
    ident = str(incident_id).strip()
    if not any(map(str.isalnum, ident)):
        raise WrongUse("no_incident_id", "The incident id is blank.", "Give the id that create_incident told.")
    return ident
