"""``python -m app.cli``: the same as ``truthvouch``."""

from app.cli import main

main()
