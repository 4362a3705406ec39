"""The bridge from Python: ``from truthvouch_pagerduty import PagerDutyHandler, TruthVouchClient``.

The code lies in the package ``app`` beside this one, and ``app`` is what many projects call a file or a package of
their own. So it is loaded here as part of this package (``app/errors.py`` is ``truthvouch_pagerduty.errors``), and what
its modules import from ``app`` comes from here too. The name ``app`` is neither asked for nor taken: both live in one
process. Importing this package loads nothing else; a name is loaded when it is asked for.
"""

import builtins
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.errors import BridgeError, ConfigFault, NotSetUp, PartnerRefused, PartnerUnavailable, WrongUse
    from app.handler import PagerDutyHandler, PartlyDone
    from app.truthvouch.client import TruthVouchClient

__all__ = [
    "BridgeError",
    "ConfigFault",
    "NotSetUp",
    "PagerDutyHandler",
    "PartlyDone",
    "PartnerRefused",
    "PartnerUnavailable",
    "TruthVouchClient",
    "WrongUse",
]

_MODULES = {"PagerDutyHandler": "handler", "PartlyDone": "handler", "TruthVouchClient": "truthvouch.client"}
"""Where a name of ``__all__`` is defined, unless it is an error."""

__path__ = [str(Path(__file__).parents[1] / "app")]


if not TYPE_CHECKING:  # a type checker would take every name for one of ours

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def _import(
    name: str,
    globals: Mapping[str, object] | None = None,
    locals: Mapping[str, object] | None = None,
    fromlist: Sequence[str] = (),
    level: int = 0,
) -> ModuleType:
    """What an ``import`` in our modules calls. https://docs.python.org/3/library/functions.html#import__"""
    package, dot, rest = name.partition(".")
    if package == "app" and not level:
        name = f"{__name__}{dot}{rest}"
    return builtins.__import__(name, globals, locals, fromlist, level)


class _Loader(SourceFileLoader):
    """Runs a module with our ``import``; its bytecode is the one that Python keeps anyway."""

    def exec_module(self, module: ModuleType) -> None:
        # Documented: "you can control what builtins are available". https://docs.python.org/3/library/functions.html#exec
        module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _import}
        super().exec_module(module)


class _Finder:
    """Finds the modules of this package, and no other."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name.startswith(f"{__name__}.") else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


sys.meta_path.insert(0, _Finder)
