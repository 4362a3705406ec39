"""A trigger's text, checked word by word before rule-engine sees it.

The grammar is rule-engine's (https://zerosteiner.github.io/rule-engine/syntax.html), of which only questions about
fields are let through. Every token must be one of a short list, because rule-engine computes constant expressions while
it parses: ``9**9**9`` would stop a worker. Regular expressions are left out because Python cannot bound their running
time; ``"text" in message`` takes their place.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rule_engine import Context, Rule
from rule_engine.errors import EngineError, RuleSyntaxError

MAX_TRIGGER_CHARS = 4_000
MAX_TRIGGER_TOKENS = 500
MAX_TRIGGER_JOINTS = 60
"""``and``, ``or``, ``not`` and opening brackets together: what nests, and so what recursion has to bear."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)(?P<percent>\s*%)?
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>==|!=|<=|>=|<>|=(?!~)|<(?!<)|>(?!>)|[()\[\],-])
    """,
    re.VERBOSE,
)
_BAD_ESCAPE = re.compile(r"""\\(?:\\|["'ntr]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|(?P<bad>\\.)""")
_OPERATOR_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "null"})
_RESERVED = frozenset({"for", "if", "elif", "else", "while", "inf", "nan"})
_SPELLINGS = {"=": "==", "<>": "!="}
_JOINTS = frozenset({"and", "or", "not", "(", "["})


class BadTrigger(ValueError):
    """A trigger that does not say anything. ``position`` counts characters from 0, None where it cannot be told."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (at character {position + 1})")
        self.reason = reason
        self.position = position


def parsed(text: str) -> Any:
    """rule-engine's tree of a trigger. Raises ``BadTrigger``; nothing in the tree has been computed but constants."""
    if len(text) > MAX_TRIGGER_CHARS:
        raise BadTrigger(f"is longer than {MAX_TRIGGER_CHARS} characters")
    tokens = list(_tokens(text))
    if not tokens:
        raise BadTrigger("is empty; write for example: confidence < 0.5")
    _check_size(tokens)
    return _tree(tokens)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    """As rule-engine wants it."""
    written: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise BadTrigger(_refusal(text[at : at + 2]), at)
        if found.lastgroup != "space":
            yield _Token(_spelled(found, at), found.group(), at)
        at = found.end()


def _refusal(start: str) -> str:
    if start in ("=~", "!~"):
        return 'holds a regular expression, which the language leaves out; write "text" in message'
    if start[0] in "\"'":
        return "has a quote that is never closed"
    return f"does not understand {start[0]!r}"


def _spelled(found: re.Match[str], at: int) -> str:
    token = found.group()
    if found["percent"]:
        return repr(float(found["number"]) / 100)
    if found["word"]:
        return _word(token, at)
    if found["text"]:
        _check_escapes(token, at)
    return _SPELLINGS.get(token, token)


def _word(token: str, at: int) -> str:
    lowered = _SPELLINGS.get(token.lower(), token.lower())
    if lowered in _RESERVED:
        raise BadTrigger(f"uses the reserved word {token}; put it in quotes", at)
    return lowered if lowered in _OPERATOR_WORDS else token


def _check_escapes(literal: str, at: int) -> None:
    for escape in _BAD_ESCAPE.finditer(literal):
        if escape["bad"]:
            raise BadTrigger(f"has the unknown escape {escape['bad']}; write \\\\ for a backslash", at + escape.start())


def _check_size(tokens: list[_Token]) -> None:
    if len(tokens) > MAX_TRIGGER_TOKENS:
        raise BadTrigger(f"has more than {MAX_TRIGGER_TOKENS} words and signs")
    if sum(token.text in _JOINTS for token in tokens) > MAX_TRIGGER_JOINTS:
        raise BadTrigger(f"has more than {MAX_TRIGGER_JOINTS} of and, or, not and brackets; make it several rules")


def _tree(tokens: list[_Token]) -> Any:
    texts = _bracketed([token.text for token in tokens])
    starts = [0]
    for text in texts[:-1]:
        starts.append(starts[-1] + len(text) + 1)
    try:
        return Rule(" ".join(texts), context=_CONTEXT).statement.expression
    except RuleSyntaxError as fault:
        raise BadTrigger(*_syntax_fault(fault, tokens, starts)) from None
    except EngineError as fault:
        raise BadTrigger(f"cannot be read: {fault}") from None


_CONTEXT = Context()


def _bracketed(texts: list[str]) -> list[str]:
    """``in (a, b)`` as people know it from SQL, in rule-engine's spelling ``in [a, b]``."""
    out = list(texts)
    for index in range(1, len(out)):
        if out[index] == "(" and out[index - 1] == "in" and ")" in out[index:]:
            out[index], out[out.index(")", index)] = "[", "]"
    return out


def _syntax_fault(fault: RuleSyntaxError, tokens: list[_Token], starts: list[int]) -> tuple[str, int]:
    if fault.token is None:
        last = tokens[-1]
        return "ends too early", last.at + len(last.written)
    token = tokens[bisect_right(starts, fault.token.lexpos) - 1]
    return f"does not expect {token.written} here; texts of several words need quotes", token.at
