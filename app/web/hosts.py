"""A Host header that is none is left out: nothing here depends on it, and Flask would answer it with a 400."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PLAUSIBLE = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
"""https://www.rfc-editor.org/rfc/rfc9110#section-7.2"""


def install(app: Flask) -> None:
    """Look at every request before Flask does."""
    app.wsgi_app = PlausibleHost(app.wsgi_app)  # type: ignore[method-assign]


class PlausibleHost:
    """Takes the server's own name for a Host header that cannot be a host."""

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer the request."""
        if not _is_host(environ.get("HTTP_HOST", "")):
            environ.pop("HTTP_HOST", None)
        return self._app(environ, start_response)


def _is_host(text: str) -> bool:
    found = _PLAUSIBLE.fullmatch(text)
    try:
        # What the router and whoever builds a URL do to it.
        return found is not None and bool(found.group(1).encode("idna").decode("idna"))
    except UnicodeError:
        return False
