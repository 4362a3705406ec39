"""The composition root: the only place that names real adapters.

``build_web`` makes what a web process needs and never imports the engine; ``build_worker`` makes the rest; ``tools``
makes what single commands need.
"""

from app.bootstrap.common import live_rulebook, migrate_stores
from app.bootstrap.web import WebBridge, build_web
from app.bootstrap.work import Seat, WorkerBridge, build_worker
from app.store.revision import SchemaTooNew

__all__ = [
    "SchemaTooNew",
    "Seat",
    "WebBridge",
    "WorkerBridge",
    "build_web",
    "build_worker",
    "live_rulebook",
    "migrate_stores",
]
