"""Templates, and the files that pages load: the style, the script, the icon.

Every file's name carries a hash of its content, so browsers may keep it for ever.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.ui import shapes

HERE = Path(__file__).parent
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_NO_TEXT = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may hold, and control characters."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One file that a page loads."""

    name: str
    """With the hash of its content: ``style.0a1b2c3d4e5f.css``."""
    content_type: str
    content: bytes


def environment(*more: Path) -> Environment:
    """The templates of this room, and of these folders."""
    folders = [HERE / "templates", *more]
    made = Environment(
        loader=FileSystemLoader(folders), autoescape=True, finalize=_text, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    made.globals.update(asset=lambda name: asset(name).name)
    made.filters.update(shapes.FILTERS)
    return made


@cache
def _own() -> Environment:
    return environment()


def render(template: str, **values: Any) -> str:
    """A page of this room's own templates."""
    return _own().get_template(template).render(**values)


def text(name: str) -> Markup:
    """A file of ours, to stand in a page that loads nothing."""
    return Markup((HERE / "assets" / name).read_text("utf-8"))  # noqa: S704 - our own file


@cache
def asset(name: str) -> Asset:
    """The file of this name (``style.css``)."""
    path = HERE / "assets" / name
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(f"{path.stem}.{digest}{path.suffix}", TYPES[path.suffix], content)


@cache
def assets() -> dict[str, Asset]:
    """All of them, by the name they are asked for."""
    found = (asset(path.name) for path in sorted((HERE / "assets").iterdir()) if path.suffix in TYPES)
    return {one.name: one for one in found}


def _text(value: object) -> object:
    """Words from outside without what no document may hold; an absent value is no word."""
    if isinstance(value, Markup):
        return value
    return "" if value is None else _NO_TEXT.sub("", str(value))
