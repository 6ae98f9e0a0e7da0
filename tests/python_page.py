"""Makes docs/reference/python.md from the docstrings: `python tests/python_page.py` writes it.

A test compares the page with what this makes.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any, get_type_hints

import tuneloop
from tuneloop.loop import Loop
from tuneloop.loop.held import Held
from tuneloop.loop.part import Part

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "python.md"

PARTS: dict[str, type[Part]] = {
    name: returned
    for name, member in vars(Loop).items()
    if isinstance(member, property)
    and issubclass(returned := get_type_hints(member.fget)["return"], Part)
}
"""Attribute of the loop → what it reaches."""
CLASSES = (Loop, *Loop.__bases__, *PARTS.values())
"""All whose methods a notebook calls."""
_SHOWN_APART = {"open", *PARTS}
_WIDTH = 96
_HEAD = """\
# Python

Everything that the commands do, as methods; each takes what the one before returned. What belongs
together is reached by an attribute, such as `loop.review` or `loop.keys`. Made from the docstrings
by `python tests/python_page.py`.

```python
import tuneloop

loop = tuneloop.open("tuneloop.yaml", overrides=["training.epochs=2"])
run = loop.train(loop.prepare())
print(run.losses)
```

Errors are `tuneloop.errors.TuneloopError` or a kind of it: `message` says in a sentence what is
wrong, `remedy` what to do. A wrong argument (an unknown keyword, a text where a list of texts
belongs, a number below 1, an empty name) is a `UsageError`.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD, *_function(tuneloop.open, "tuneloop.open", level=2), "## Loop", ""]
    parts += _text(Loop)
    for heading, methods in _stages().items():
        parts += [f"### {heading}", ""]
        for name in methods:
            member = inspect.getattr_static(Loop, name)
            if isinstance(member, property):
                parts += [f"#### `loop.{name}`", "", *_text(member)]
            else:
                parts += _function(getattr(Loop, name), f"loop.{name}", level=4)
    for name, part in PARTS.items():
        parts += [f"### `loop.{name}`", "", *_text(part)]
        for method in _public(part):
            parts += _function(getattr(part, method), f"loop.{name}.{method}", level=4)
    parts += ["## What is returned", ""]
    for name in sorted(_returned()):
        parts += _record(name)
    return "\n".join(parts).rstrip() + "\n"


def _public(class_: type) -> list[str]:
    return [
        name
        for name, member in vars(class_).items()
        if isinstance(member, FunctionType) and not name.startswith("_")
    ]


def _stages() -> dict[str, list[str]]:
    """Heading → methods, as the comments in the classes group them."""
    found: dict[str, list[str]] = {"What it holds": []}
    at = found["What it holds"]
    classes = (Held, Loop, *Loop.__bases__)
    source = "\n".join(inspect.getsource(class_) for class_ in classes)
    for line in source.splitlines():
        if match := re.fullmatch(r"    # (Stage \d: .+)", line):
            at = found[match[1]] = []
        elif (match := re.match(r"    def ([a-z]\w*)\(", line)) and match[1] not in _SHOWN_APART:
            at.append(match[1])
    return found


def _function(function: Any, name: str, *, level: int) -> Iterator[str]:
    signature = inspect.signature(function)
    parameters = _parameters(signature)
    line = f"{name}({', '.join(parameters)}) -> {signature.return_annotation}"
    if len(line) > _WIDTH:
        listed = "".join(f"    {one},\n" for one in parameters)
        line = f"{name}(\n{listed}) -> {signature.return_annotation}"
    yield from (f"{'#' * level} `{name}`", "", "```python", line, "```", "")
    yield from _text(function)


def _parameters(signature: inspect.Signature) -> list[str]:
    shown = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        default = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        shown.append(f"{parameter.name}: {parameter.annotation}{default}")
    return shown


def _text(documented: Any) -> Iterator[str]:
    """The prose of a docstring, then what it raises as a list."""
    prose, _, raises = (inspect.getdoc(documented) or "").partition("Raises:\n")
    yield from (prose.strip(), "")
    if raises:
        yield from ("Raises:", "")
        for line in inspect.cleandoc(raises).splitlines():
            match = re.match(r"(\w+): (.*)", line)
            yield f"- `{match[1]}`: {match[2]}" if match else f"  {line.strip()}"
        yield ""


def _imported() -> dict[str, str]:
    """Name → module of everything that the loop and its parts import for their annotations."""
    modules = [importlib.import_module(class_.__module__) for class_ in CLASSES]
    return {
        alias.name: node.module or ""
        for module in modules
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _returned() -> set[str]:
    """Names of the records that methods return."""
    modules = _imported()
    found: set[str] = set()
    for class_ in CLASSES:
        for name in _public(class_):
            returned = str(inspect.signature(getattr(class_, name)).return_annotation)
            found |= set(re.findall(r"[A-Z]\w+", returned))
    return {name for name in found if modules.get(name, "").startswith("tuneloop.")}


def _record(name: str) -> Iterator[str]:
    record = getattr(importlib.import_module(_imported()[name]), name)
    yield from (f"### {name}", "", *_text(record))
    if rows := list(_members(record)):
        yield from ("| member | type | meaning |", "|---|---|---|")
        yield from ("| " + " | ".join(map(_cell, row)) + " |" for row in rows)
        yield ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _members(record: type) -> Iterator[tuple[str, str, str]]:
    """Public fields, with the docstring below each, properties and methods."""
    (definition,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(definition, ast.ClassDef)
    for at, statement in enumerate(definition.body):
        if isinstance(statement, ast.AnnAssign):
            below = definition.body[at + 1 : at + 2]
            meaning = below[0].value if below and isinstance(below[0], ast.Expr) else None
            said = str(meaning.value) if isinstance(meaning, ast.Constant) else ""
            yield f"`{ast.unparse(statement.target)}`", _type(statement.annotation), said
        elif isinstance(statement, ast.FunctionDef) and not statement.name.startswith("_"):
            kinds = [ast.unparse(one) for one in statement.decorator_list]
            if "classmethod" not in kinds:
                name = statement.name + ("" if "property" in kinds else "()")
                said = (ast.get_docstring(statement) or "").partition("\n\n")[0]
                yield f"`{name}`", _type(statement.returns), said


def _type(annotation: ast.expr | None) -> str:
    return f"`{ast.unparse(annotation)}`" if annotation else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
