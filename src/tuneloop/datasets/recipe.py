"""The recipe of a dataset version: the settings and the code that made it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Any

from tuneloop.conversation.template import ChatTemplate
from tuneloop.hashing import digest_json, digest_text
from tuneloop.modelfile import DataSettings, TaskSettings

_RULES = ("conversation", "datasets", "sameness", "task")
_NOT_RULES = (
    "columns.py",
    "coverage.py",
    "inferred_schema.py",
    "inspect.py",
    "languages.py",
    "looking.py",
    "names.py",
    "recipe.py",
    "stats.py",
    "tags.py",
    "versions.py",
    "sufficiency.py",
    "validation.py",
    "arrivals.py",
    "data_files.py",
    "remote.py",
    "source_watch.py",
)


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
    return {"digest": digest_json(parts), **parts}


@cache
def code_digest() -> str:
    """Identity of the rules' code; comments, docstrings and layout do not count."""
    package = Path(__file__).parent.parent
    return digest_json(
        {
            path.relative_to(package).as_posix(): digest_text(_syntax(path.read_text("utf-8")))
            for folder in _RULES
            for path in sorted((package / folder).rglob("*.py"))
            if path.name not in _NOT_RULES
        }
    )


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
