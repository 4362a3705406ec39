"""The composition root: what processes and commands are made of.

LAW: the only place that names real adapters; decides nothing. ``WebBridge`` is what a web process needs and never
imports the engine; ``worker`` is the rest; a ``Container`` is what single commands need.
"""

from app.bootstrap.container import migrate_stores
from app.bootstrap.web import WebBridge
from app.store.plain import StoreRefused

__all__ = ["StoreRefused", "WebBridge", "migrate_stores"]
