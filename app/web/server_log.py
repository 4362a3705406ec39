"""Gunicorn's logger: its lines leave as ours do."""

import os
from typing import Any

from gunicorn import glogging  # type: ignore[import-untyped]

from app import logs


class ServerLog(glogging.Logger):  # type: ignore[misc]
    """Hands gunicorn's records to the one formatter of this process."""

    def setup(self, cfg: Any) -> None:
        """Called at the start and on every reload."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
        logs.configure_from(os.environ)

    def access(self, resp: Any, req: Any, environ: Any, request_time: Any) -> None:
        """Nothing: the application says how it answered, with what only it knows (``request.answered``)."""
