"""The bridge's own gunicorn settings for the yardstick: as many processes as take in webhooks, same threads, loop and
logger, without its hooks."""

from pathlib import Path

_HOOKS = (
    "on_starting", "when_ready", "on_reload", "nworkers_changed", "pre_fork", "post_fork", "child_exit", "worker_abort",
    "worker_exit",
)  # fmt: skip
_FILE = Path(__file__).parents[1] / "gunicorn.conf.py"

exec(compile(_FILE.read_text(), _FILE, "exec"))  # gunicorn itself reads it this way
for _hook in _HOOKS:
    globals().pop(_hook, None)
globals()["workers"] -= globals()["workers"] > 1
