"""The texts in the package's code that are not given to gettext where they stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.messages import FUNCTIONS, PACKAGE

#: Two words with a blank between them.
WORDS = re.compile(r"[A-Za-z]{2,}[^\w\s]*\s[^\w\s]*[A-Za-z]{2,}")
#: Markup, SQL, and what goes over the wire.
NO_SENTENCE = re.compile(
    r"<\w|^\s*[A-Z]{4,} |\b(AND|CASE|CAST|EXTRACT|NULL|VALUES)\b|_timestamp\(|\r\n|;.*=|^(private|default-src)[,\s]"
)
#: What is given to these is for whoever writes the code, or translated there.
CALLS = {"RuntimeError", "TypeError", "ValueError", "AssertionError", "translate"}


def plain_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield place and text of every literal of several words that a person could be shown, with X for what it fills in.

    Left out are docstrings, keys of dictionaries, and what is given to gettext, to a logger or to one of CALLS.
    """
    tree = ast.parse(path.read_text())
    names = {alias.asname or alias.name for node in ast.walk(tree) for alias in _imported(node)}
    left_out = {id(inner) for node in ast.walk(tree) for part in _not_shown(node, names) for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if id(node) in left_out or not isinstance(node, (ast.Constant, ast.JoinedStr)):
            continue
        left_out |= {id(inner) for inner in ast.walk(node)}
        text = text_of(node)
        if WORDS.search(text) and not NO_SENTENCE.search(text):
            yield f"{path.relative_to(PACKAGE)}:{node.lineno}", text


def text_of(node: ast.expr) -> str:
    """Return a literal as text, with X for what an f-string fills in; "" for what is no text."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    values = [part.value if isinstance(part, ast.Constant) else "X" for part in parts]
    return "".join(value for value in values if isinstance(value, str))


def _imported(node: ast.AST) -> list[ast.alias]:
    is_gettext = isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
    return [alias for alias in node.names if alias.name in FUNCTIONS] if is_gettext else []  # type: ignore[attr-defined]


def _not_shown(node: ast.AST, names: set[str]) -> list[ast.AST]:
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in names | CALLS:
            return [*node.args, *node.keywords]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="logger" | "re"))):
            return [*node.args, *node.keywords]
        case ast.Dict():
            return [key for key in node.keys if key is not None]
        case ast.Module() | ast.ClassDef() | ast.FunctionDef() if ast.get_docstring(node) is not None:
            return [node.body[0]]
    return []
