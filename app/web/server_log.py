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

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """What went wrong in gunicorn's own part of a request, which names its address."""
        super().exception(msg, *(logs.without_link(one) if isinstance(one, str) else one for one in args), **kwargs)
