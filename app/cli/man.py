"""The manual page of the ``truthvouch`` command, made from the commands themselves.

https://man7.org/linux/man-pages/man7/groff_man_style.7.html
"""

import re
from collections.abc import Iterator
from importlib.metadata import version

import click

_ESCAPES = {"\\": r"\(rs", "-": r"\-", "`": r"\(ga", "'": r"\(aq", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
"""Signs that roff would otherwise read as commands, or print as typographic ones that nobody can copy."""
HELP = ("-h, --help", "Show what a command takes, and exit.")
ENDING = """\
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
What was asked for is not so: something is wrong, unknown, or was not done.
.TP
.B 2
Wrong use or configuration.
.SH ENVIRONMENT
A command needs the environment of the bridge, above all
.BR BRIDGE_DATA_DIR " or " DATABASE_URL ", and " BRIDGE_CONFIG .
All variables are described in docs/configuration.md.
.TP
.B NO_COLOR
No colours on a terminal.
.SH FILES
.TP
.I bridge.yaml
Rules, silences, escalation, and keys if they are not in the environment. BRIDGE_CONFIG names another place.
"""


def page(main: click.Group) -> str:
    """The whole page as roff: every command with its options."""
    return "\n".join(_lines(main)) + "\n" + ENDING


def _lines(main: click.Group) -> Iterator[str]:
    context = click.Context(main, info_name="truthvouch")
    summary = (main.help or "").strip().rstrip(".")
    yield f'.TH TRUTHVOUCH 1 "" "truthvouch {version("truthvouch-pagerduty-bridge")}" "User Commands"'
    yield from (".ad l", ".nh")  # commands are copied from here: no stretched and no divided words
    yield from (".SH NAME", rf"truthvouch \- {_text(summary[:1].lower() + summary[1:])}")
    yield from (".SH SYNOPSIS", ".B truthvouch", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGS\fR]...")
    yield from (".SH OPTIONS", *_options(main, context), *_tagged(*HELP))
    yield ".SH COMMANDS"
    yield from _commands(main, context)


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name, command in sorted(group.commands.items()):
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        elif not command.hidden:
            usage = " ".join(command.collect_usage_pieces(inner))
            yield f'.SS "{_text(f"{inner.command_path} {usage}")}"'
            paragraphs = (command.help or "").partition("\f")[0].strip().split("\n\n")
            yield "\n.PP\n".join(_text(" ".join(paragraph.split())) for paragraph in paragraphs)
            yield from _options(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for option in command.params:
        if isinstance(option, click.Option) and (record := option.get_help_record(context)):
            yield from _tagged(*record)


def _tagged(names: str, description: str) -> tuple[str, ...]:
    return ".TP", f'.B "{_text(names)}"', _text(" ".join(description.split()))


def _text(plain: str) -> str:
    """The text as it is: what begins a line with a dot or a quote is no request."""
    escaped = re.sub(r"[\\\-`'^~\"]", lambda found: _ESCAPES[found[0]], plain)
    ascii_only = "".join(sign if sign.isascii() else rf"\[u{ord(sign):04X}]" for sign in escaped)
    return rf"\&{ascii_only}" if ascii_only.startswith(".") else ascii_only
