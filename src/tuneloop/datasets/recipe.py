"""The recipe of a dataset version: the settings and the code that made it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

from tuneloop.conversation.template import ChatTemplate
from tuneloop.hashing import digest_json, digest_text
from tuneloop.modelfile import DataSettings, TaskSettings

_RULES = (
    "conversation",
    "datasets",
    "personal_data.py",
    "readers",
    "refusal",
    "sameness",
    "task",
)
"""Rooms and files whose code decides which rows come out, and how they read."""
_GROUNDED_RULES = ("prose/groundedness",)
"""The same where `data.grounded` asks for them; elsewhere they only tell."""
_NOT_RULES = (
    "datasets/arrivals.py",
    "datasets/columns.py",
    "datasets/coverage.py",
    "datasets/inferred_schema.py",
    "datasets/inspect.py",
    "datasets/looking.py",
    "datasets/names.py",
    "datasets/other_facts.py",
    "datasets/readers.py",
    "datasets/recipe.py",
    "datasets/remote.py",
    "datasets/source_watch.py",
    "datasets/stats.py",
    "datasets/sufficiency.py",
    "datasets/tags.py",
    "datasets/validation.py",
    "datasets/versions.py",
)
"""What only tells of them."""


def recipe(
    data: DataSettings, task: TaskSettings, template: ChatTemplate | None = None
) -> dict[str, Any]:
    """Everything but the rows that decides what comes out, with its own digest.

    Sources are left out: which files were read stands in the version with their digests.
    """
    parts = {
        "code": code_digest(),
        "data": data.model_dump(mode="json", exclude={"sources"}),
        # How answers are compared decides nothing about the rows.
        "task": task.model_dump(mode="json", exclude={"same_values"}),
    }
    if template is not None:  # It decides which rows can be written.
        parts["chat_template"] = digest_text(template.text)
    if data.grounded:
        parts["grounded_code"] = code_digest(_GROUNDED_RULES)
    return {"digest": digest_json(parts), **parts}


@cache
def code_digest(rooms: tuple[str, ...] = _RULES) -> str:
    """Identity of the rules' code; comments, docstrings and layout do not count."""
    package = Path(__file__).parent.parent
    return digest_json(
        {
            name: digest_text(_syntax((package / name).read_text("utf-8")))
            for name in rules(package, rooms)
        }
    )


def rules(package: Path, rooms: tuple[str, ...] = _RULES) -> list[str]:
    """The files whose code decides about rows, relative to the package, in order."""
    files = [
        path
        for rule in rooms
        for path in ([package / rule] if rule.endswith(".py") else (package / rule).rglob("*.py"))
    ]
    names = sorted(path.relative_to(package).as_posix() for path in files)
    return [name for name in names if name not in _NOT_RULES]


def _syntax(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_docstring(statement)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
