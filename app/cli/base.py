"""What the commands share: settings, the store, a question to the worker, a draft of rules, and how they end."""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, Union, cast

import click

from app.cli import output
from app.config.settings import Settings
from app.domain.model.events import CommandType, Way
from app.domain.rules.rulebook import Rulebook, Silence
from app.errors import ConfigFault

if TYPE_CHECKING:
    from app.bootstrap.container import Container
    from app.bootstrap.elsewhere import Elsewhere
    from app.services.operator.operator import CommandResult


NOT_SO, WRONG_USE = 1, 2
"""Exit codes: the thing asked for is not so; wrong use or configuration."""
QUIET, SILENT = "WARNING", "CRITICAL"
"""Log levels: what goes wrong; nothing, for the answer says all."""
MANY = 10
"""From so many on, a bar shows how far it is."""
NOT_DONE = frozenset(
    {"no_such_dead_letter", "no_such_link", "not_frozen", "still_unreadable", "not_armed", "not_taken", "bad_request"}
    | {"not_found", "policy_not_found", "number_only", "invalid", "too_many", "no_such_job", "already_over"}
    | {"no_such_silence", "no_such_draft", "not_shadowed", "no_incident", "in_hand"}
)
"""Outcomes with which the thing asked for is not so."""
ONLY_HERE = "--url does not go with this command: run it where the bridge runs."
NOTHING_KNOWN = (
    "The bridge knows no such alert or incident. `truthvouch links list` lists what it knows; whether the webhooks "
    "arrive, /readyz and `truthvouch doctor` say."
)

F = TypeVar("F", bound=Callable[..., Any])
Opened = Union["Container", "Elsewhere"]
"""A bridge, here or elsewhere."""

json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")


def confirm(question: str, as_json: bool, unasked: str) -> None:
    """Ask whether to go on; ``--json`` asks nothing, and says ``unasked`` instead."""
    if as_json:
        refuse(unasked)
    click.confirm(question, abort=True, err=True)


def refuse(message: str) -> NoReturn:
    """Say why nothing was done; exit code 2."""
    click.echo(message, err=True)
    sys.exit(WRONG_USE)


def not_so(message: str) -> NoReturn:
    """Say what is not so; exit code 1."""
    click.echo(message, err=True)
    sys.exit(NOT_SO)


@contextmanager
def refusing(kind: type[Exception]) -> Iterator[None]:
    """An error of this kind is told, and ends the command with exit code 2."""
    try:
        yield
    except kind as fault:
        refuse(str(fault))


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends it as Ctrl-C does: an incident that was opened for a test must not stay behind."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def read_settings() -> Settings:
    """The environment, or every fault of it in one message and exit code 2."""
    with refusing(ConfigFault):
        return Settings.from_env(os.environ)


def check_config(settings: Settings) -> Rulebook:
    """``bridge.yaml``, or every fault of it in one message and exit code 2."""
    from app.config import bridge_yaml

    with refusing(ConfigFault):
        return settings.over(bridge_yaml.load(settings.config_path))


def read_config() -> tuple[Settings, Rulebook]:
    """Both, or every fault of the first that has any, and exit code 2."""
    settings = read_settings()
    return settings, check_config(settings)


def log_only(level: str, settings: Settings) -> None:
    """The log of a command, on standard error, without the secrets of its settings."""
    from app import logs

    logs.configure(settings.log_format, level)
    logs.conceal(logs.hidden_in(settings))


def only_here(run: F) -> F:
    """The command, refused with ``--url``."""

    @wraps(run)
    def running(*given: Any, **options: Any) -> Any:
        if is_elsewhere():
            refuse(ONLY_HERE)
        return run(*given, **options)

    return cast(F, running)


def is_elsewhere() -> bool:
    """Whether ``--url`` names a bridge to work on."""
    return bool(click.get_current_context().find_root().params.get("url"))


@contextmanager
def open_bridge(settings: Settings | None = None) -> Iterator[Opened]:
    """The bridge that ``--url`` names, or else this installation as ``open_store`` opens it."""
    with elsewhere() if is_elsewhere() else open_store(settings) as made:
        yield made


@contextmanager
def elsewhere() -> "Iterator[Elsewhere]":
    """The bridge that ``--url`` names; exit code 2 when it does not answer, or refuses."""
    root = click.get_current_context().find_root().params
    url, token_file = root.get("url") or "", root.get("token_file")
    from app import logs
    from app.bootstrap.elsewhere import Elsewhere
    from app.ports import StoreUnavailable

    if token_file is None:
        refuse("Say --token-file too: a file that holds BRIDGE_ADMIN_TOKEN, or a named token, of that bridge.")
    logs.configure("console", SILENT)
    try:
        token = Path(token_file).read_text("utf-8").strip()
        with Elsewhere(url, token) as made_elsewhere:
            yield made_elsewhere
    except (StoreUnavailable, OSError, ValueError) as fault:
        refuse(str(fault))


@contextmanager
def open_store(settings: Settings | None = None, log_level: str = QUIET) -> Iterator["Container"]:
    """This installation, where a bridge was started before; exit code 2 when its store cannot be read or written."""
    settings = settings or read_settings()
    log_only(log_level, settings)  # first: it keeps structlog from loading what nobody here uses
    from app.bootstrap.container import Container
    from app.ports import StoreUnavailable

    try:
        with Container.existing(settings) as made:
            yield made
    except StoreUnavailable as fault:
        where = f"BRIDGE_DATA_DIR, which is {settings.data_dir.absolute()}"
        if settings.database_url:
            where = "DATABASE_URL, which is set, so the store is that database"
        refuse(
            f"The store cannot be used: {fault}\nHas the bridge been started with this {where}? "
            "docs/operating.md says how to run commands with its environment."
        )


def ask(made: Opened, command_type: CommandType, subjects: Sequence[str], as_json: bool, detail: str = "") -> None:
    """Ask it of each, tell what became of each, and end with 1 if any is not so."""
    results: list[CommandResult] = []
    answers = made.operate.all(command_type, subjects, detail=detail)
    hidden = as_json or len(subjects) < MANY
    with click.progressbar(answers, len(subjects), f"{command_type} ", file=sys.stderr, hidden=hidden) as answered:
        results.extend(answered)
    show_outcomes(results, as_json)


def stored_silences(settings: Settings) -> Sequence[Silence]:
    """Those that are kept in the store; none where there is no store, or it cannot be read."""
    from app.bootstrap.container import if_stored

    return if_stored(settings, lambda made: made.stored_rules_overview.silences()) or ()


def rulebook_in_force(settings: Settings) -> Rulebook:
    """That of ``bridge.yaml``, and what the store adds where there is one that can be read."""
    from app.bootstrap.container import Container

    with Container(settings) as made:
        return made.rulebook.current()


def leave_in_audit(settings: Settings, action: str, kind: str, subject: str, outcome: str = "done") -> None:
    """Write down what a command did at once; nowhere where there is no store."""
    from app.bootstrap import container
    from app.ports.console import SubjectKind

    container.leave_in_audit(settings, Way.CLI, action, SubjectKind(kind), subject, outcome)


def show_outcomes(results: "Sequence[CommandResult]", as_json: bool) -> None:
    """What became of each; ends with 1 if any is not so."""
    if as_json:
        output.as_json([{"subject": one.subject, **one.answer} for one in results])
    for one in () if as_json else results:
        click.echo(
            f"{output.text(one.subject)}: {output.text(one.message)}" if one.subject else output.text(one.message)
        )
    if any(one.outcome in NOT_DONE for one in results):
        sys.exit(NOT_SO)


def draft_argument(command: F) -> F:
    """Which file a command is about: ``FILE`` or ``--config FILE``, whichever comes to mind."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    option = click.option("--config", "draft", type=file, help="The same as FILE.")
    return click.argument("file", required=False, type=file)(option(command))


def named_once(file: Path | None, draft: Path | None) -> Path | None:
    """The file of ``draft_argument``; exit code 2 where two are named."""
    if file and draft:
        refuse("Name one file: FILE or --config FILE.")
    return file or draft


def read_draft(settings: Settings, path: Path, live: Rulebook) -> Rulebook:
    """A draft as it would be in force in the place of ``live``, or every fault of it and exit code 2."""
    from app.bootstrap.rules import draft_of

    with refusing(ConfigFault):
        return draft_of(settings, path, live)
