"""A webhook's path with one slash too many is the path without: a partner counts a redirect, or a 404, as a failure."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from app.web.errors import HOOKS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def install(app: Flask) -> None:
    """Look at every request before Flask does, which redirects nobody to a path with fewer slashes any more."""
    app.url_map.merge_slashes = False
    app.wsgi_app = HookPaths(app.wsgi_app, _hook_paths(app))  # type: ignore[method-assign]


def _hook_paths(app: Flask) -> frozenset[str]:
    """Call it when every route is there."""
    return frozenset(rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.partition(".")[0] in HOOKS)


class HookPaths:
    """``//pagerduty//webhook/`` is ``/pagerduty/webhook``; every other path stays as it is."""

    def __init__(self, app: "WSGIApplication", paths: frozenset[str]) -> None:
        self._app, self._paths = app, paths

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer the request."""
        plain = "/" + "/".join(filter(None, environ.get("PATH_INFO", "").split("/")))
        if plain in self._paths:
            environ["PATH_INFO"] = plain
        return self._app(environ, start_response)
