"""What a page names is there: commands and their options, variables, metrics, log events, modules, and link targets."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from app.cli import main
from app.config.environment import SECRETS, SERVICE_KEY, VARIABLES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = "\n".join(path.read_text("utf-8") for path in (ROOT / "app").rglob("*.py"))
NO_EVENT = re.compile(
    r"(pagerduty|truthvouch|escalation|retention|console|action|calls|redaction|alerts|period|body)\."
    r"|(alert|incident|service|pagey|correction|certification)\."
    r"|.*\.(py|yaml|md|db|json|conf|sh|css|bell|toml)$"
)
"""Keys of ``bridge.yaml`` and of JSON, events of the partners, files."""
OF_A_CLUSTER = re.compile("BRIDGE_(SERVICE_HOST|PORT.*|NAME|ENV_.*)")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def code(page: Path) -> Iterator[str]:
    """Everything in backticks, and every line of a block."""
    text = page.read_text("utf-8")
    for block in re.findall(r"^```.*?\n(.*?)^```", text, re.M | re.S):
        yield from block.splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    yield from (line for line in prose.splitlines() if line.startswith("    "))
    yield from re.findall(r"`([^`\n]+)`", prose)


def unknown_words(command: click.Command, words: list[str]) -> Iterator[str]:
    """Those that are neither a command, where one has to be, nor an option of what they stand behind."""
    for place, word in enumerate(words):
        if word.startswith("-") and word != "-":
            known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
            yield from {word.partition("=")[0]} - known - {"--help", "-h"}
        elif isinstance(command, click.Group):
            for name in word.split("/"):
                if name not in command.commands:
                    yield name
                else:
                    yield from unknown_words(command.commands[name], words[place + 1 :])
            return


@pages
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    lines = [re.sub(r"\b\\\|\b", "/", line) for line in code(page)]
    for words in [found for line in lines for found in re.findall(r"(?:^|[/ ])truthvouch ([a-z-][^#;|>]*)", line)]:
        plain = re.sub(r"^((--url|--token-file) \S+ )+", "", words)  # what goes before every command
        assert [] == list(unknown_words(main, re.sub(r"[\[\]\"'(),]", " ", plain).split())), words


@pages
def test_every_variable_of_a_page_exists(page: Path) -> None:
    named = set(re.findall(r"\b(?:BRIDGE|TRUTHVOUCH|PAGERDUTY)_[A-Z0-9_]*[A-Z0-9]\b", page.read_text("utf-8")))
    unknown = named - {*VARIABLES, *(f"{secret}_FILE" for secret in SECRETS)}
    assert [] == [name for name in unknown if not (name.startswith(SERVICE_KEY) or OF_A_CLUSTER.fullmatch(name))]


@pages
def test_every_metric_of_a_page_exists(page: Path) -> None:
    named = {name for line in code(page) for name in re.findall(r"\btruthvouch_bridge_[a-z_]+[a-z]\b", line)}
    assert set() == {name for name in named if f'"{name.removesuffix("_total")}"' not in SOURCES}
    assert [] == re.findall(r"(?<![a-z_])bridge_(?!store\b)[a-z_]+", page.read_text("utf-8")), "without its prefix"


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "decisions"])
def test_every_log_event_of_a_page_exists(page: Path) -> None:
    named = {line for line in code(page) if re.fullmatch(r"[a-z_]+\.[a-z_]+[a-z]", line)}
    for name in [name for name in named if not NO_EVENT.match(name)]:
        noun, _, what = name.partition(".")
        assert f'"{name}"' in SOURCES or (f'"{noun}"' in SOURCES and f'}}.{what}"' in SOURCES)


@pages
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    named = {line for line in code(page) if re.fullmatch(r"[a-z_/]+/[a-z_]+\.py", line)}
    assert set() == {one for one in named if not ((ROOT / one).exists() or (ROOT / "app" / one).exists())}


@pages
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!http)([^)#\s]*)(?:#([^)]+))?\)", page.read_text("utf-8")):
        there = page.parent / target if target else page
        assert there.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.M)
            assert anchor in {re.sub(r"[^\w\- ]", "", one.lower()).strip().replace(" ", "-") for one in headings}


def test_a_command_or_option_that_is_not_there_is_found() -> None:
    assert ["levitate"] == list(unknown_words(main, ["rules", "levitate"]))
    assert ["--higher"] == list(unknown_words(main, ["escalation", "arm", "2", "--higher", "--minutes", "5"]))
