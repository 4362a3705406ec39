"""Who may call a route: every view says so with ``needs`` where it is registered; a test fails on one that does not.

Who calls is an ``Actor``, found once a request, before the view.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeVar

from flask import g

from app.ports.access import Actor as Actor
from app.ports.access import Role as Role

View = TypeVar("View", bound=Callable[..., Any])


class Access(StrEnum):
    """What a route asks of its caller."""

    OPEN = "open"
    """Nothing: health checks, the login page, style and script."""
    SIGNED = "signed"
    """A partner's signature, which the view checks itself."""
    READ = "read"
    """A session or token of either role."""
    ADMIN = "admin"
    """A session or token of the role ``admin``."""
    LINK = "link"
    """An evidence link, which the view checks itself."""


def needs(access: Access) -> Callable[[View], View]:
    """Mark a view with what it asks of its caller."""

    def mark(view: View) -> View:
        view.__access__ = access  # type: ignore[attr-defined]
        return view

    return mark


def actor() -> Actor:
    """Who calls; only in a view that needs ``READ`` or ``ADMIN``."""
    found = g.actor
    assert isinstance(found, Actor)
    return found
