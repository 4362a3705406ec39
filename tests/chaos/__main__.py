"""``python -m tests.chaos``: run the chaos and judge it. Exit code 0 if nothing was lost or doubled, else 1."""

import argparse
import json
import secrets
import sys
from itertools import product

import pytest

from tests.chaos.report import Say, as_json, print_report
from tests.chaos.run import QUIET_SECONDS, run
from tests.chaos.settings import described, drawn, parsed


def main() -> int:
    """Read the options, run, tell."""
    options = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    options.add_argument("--seconds", type=float, default=60.0, help="how long the violence lasts")
    options.add_argument("--store", choices=("sqlite", "postgres", "both"), default="sqlite")
    options.add_argument("--via", choices=("rest", "events", "both"), default="rest", help="which of PagerDuty's APIs")
    options.add_argument("--seed", type=int, default=None, help="the same seed gives the same plan")
    options.add_argument("--set", action="append", default=[], metavar="NAME=JSON", help="a setting of the sandbox "
                         "that the seed shall not draw: truthvouch_keeps_acknowledges=false")  # fmt: skip
    options.add_argument("--quiet-seconds", type=float, default=None, help="how long quiet may take to come")
    options.add_argument("--json", action="store_true", help="the report for machines, on standard output")
    chosen = options.parse_args()
    try:
        fixed = dict(map(parsed, chosen.set))
    except ValueError as wrong:
        options.error(f"--set: {wrong}")
    seed = secrets.randbelow(10**6) if chosen.seed is None else chosen.seed
    stores = ("sqlite", "postgres") if chosen.store == "both" else (chosen.store,)
    apis = ("rest", "events") if chosen.via == "both" else (chosen.via,)
    say = _to(sys.stderr if chosen.json else sys.stdout)
    settings = drawn(seed, fixed)
    runs = []
    for store, via in product(stores, apis):
        say(f"Chaos on {store} via {via} for {chosen.seconds:g} s, seed {seed}")
        say(f"Settings: {described(settings)}")
        try:
            quiet_timeout = chosen.quiet_seconds or max(QUIET_SECONDS, chosen.seconds / 2)
            runs.append(run(store, via, chosen.seconds, seed, say, quiet_timeout, settings=settings))
        except pytest.skip.Exception as missing:
            say(f"Not run on {store}: {missing}")
            return 1
    print_report(runs, say)
    if chosen.json:
        _to(sys.stdout)(json.dumps([as_json(outcome) for outcome in runs]))
    return 0 if all(outcome.passed for outcome in runs) else 1


def _to(stream: object) -> Say:
    return lambda line: print(line, file=stream, flush=True)  # type: ignore[call-overload]


if __name__ == "__main__":
    sys.exit(main())
