"""The program speaks the words of its field; docs/glossary.md has the two dozen that need a definition.

What is kept out here are words that only this program's makers knew: in names of the code, in JSON keys, in log events
and in metrics. Plain English may use them: in prose, comments, strings with blanks and names of tests they are not
looked for.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "truthvouch_pagerduty", "tests", "bench")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "versions" not in path.parts)

PRIVATE_WORDS = frozenset(
    re.findall(
        r"\w+",
        """allowance bell bury checkup climb climbing course desk doubt grant hear hearing hears keeper lane lanes
        letters patience placed postbox postman purse reprieve rung rungs seat seats settle settles shelf strays vitals
        wish wishes""",
    )
)
"""One word of a name: ``dead_letter`` is one, ``letters`` alone is none."""

STORED = {
    "app/store/inbox.py": "wish",
    "app/store/codec.py": "course rungs placed lane letters",
    "app/store/schema.py": "letters strays",
    "tests/store/old_links.py": "course rungs",
    "tests/store/test_revision_0004.py": "strays",
    "tests/store/test_stored_names.py": "course rungs placed lane",
    "tests/store/test_stored_commands.py": "wish",
}
"""Names that rows have had from the first and keep: tables, columns, fields in JSON."""


def words_of(name: str) -> set[str]:
    """The words a name is made of: ``deadLetters`` and ``dead_letters`` are *dead letters* alike."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return set(re.sub(r"dead_letters?", "", parts).split("_"))


def names_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every identifier, and every string that is a key, an event's name or a metric's: one without blanks."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                yield node.lineno, name
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                if not name.startswith("test_"):
                    yield node.lineno, name
            case ast.keyword(arg=str(name)) | ast.alias(name=name):
                yield node.lineno, name.rpartition(".")[2]
            case ast.Constant(value=str(text)) if re.fullmatch(r"[a-z][a-z0-9]*([._][a-z0-9]+)*", text):
                yield node.lineno, text.replace(".", "_")
            case _:
                pass


def private_words(path: Path) -> list[str]:
    """The names in this file that hold one, each with its place."""
    where = str(path.relative_to(ROOT))
    kept_out = PRIVATE_WORDS - set(STORED.get(where, "").split())
    named = names_in(ast.parse(path.read_text("utf-8")))
    return [f"{where}:{line} {name}" for line, name in named if words_of(name) & kept_out]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_name_is_a_private_word(folder: str):
    files = [path for path in FILES if path.relative_to(ROOT).parts[0] == folder and path != Path(__file__)]
    assert [] == [found for path in files for found in private_words(path)]


def test_no_module_is_called_by_a_private_word():
    assert [] == [str(path.relative_to(ROOT)) for path in FILES if words_of(path.stem) & PRIVATE_WORDS]


def test_what_is_kept_out_is_found_where_it_is():
    code = "def settle(bell):\n    lanes.hear(Wish(purse=1), 'lane.resubmitted', {'rungs': 'a letter of the alphabet'})"
    assert {"settle", "bell", "lanes", "hear", "Wish", "purse", "lane_resubmitted", "rungs"} == {
        name for _, name in names_in(ast.parse(code)) if words_of(name) & PRIVATE_WORDS
    }


def test_the_words_that_need_a_definition_have_one():
    glossary = (ROOT / "docs" / "glossary.md").read_text("utf-8")
    defined = set(re.findall(r"^\| \*\*(.+?)\*\*", glossary, re.M))
    assert {"alert", "severity", "incident", "urgency", "link", "inbox", "intake", "delivery", "dead letter"} <= defined
