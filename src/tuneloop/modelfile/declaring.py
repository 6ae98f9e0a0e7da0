"""A suite is written into the text of a model file, whose comments and order stay as they are.

The text is changed in one place, and taken only if it then reads as it did with one suite more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import yaml


def lines_of(suite: Mapping[str, str]) -> str:
    """What a model file without any suite needs, for people to copy."""
    return f"evaluation:\n  suites:\n    - {_flow(suite)}\n"


def with_suite(text: str, suite: Mapping[str, str]) -> str | None:
    """The text of a model file with one suite more; None where a person has to write it."""
    try:
        wanted = _with(yaml.safe_load(text), suite)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        changed = _inserted(text, root, suite)
        return changed if changed and yaml.safe_load(changed) == wanted else None
    except (yaml.YAMLError, RecursionError, TypeError, AttributeError):
        return None


def _with(content: Mapping[str, Any], suite: Mapping[str, str]) -> dict[str, Any]:
    copy = deepcopy(dict(content))
    evaluation = copy.setdefault("evaluation", {})
    evaluation["suites"] = [*evaluation.get("suites", []), dict(suite)]
    return copy


def _inserted(text: str, root: yaml.Node | None, suite: Mapping[str, str]) -> str | None:
    entry = _flow(suite)
    evaluation = _value(root, "evaluation")
    if evaluation is None:
        return _after(text, len(text), f"\n{lines_of(suite)}".rstrip("\n"))
    if not isinstance(evaluation, yaml.MappingNode):
        return None
    suites = _value(evaluation, "suites")
    if suites is None:
        if evaluation.flow_style:
            return _into_flow(text, evaluation, f"suites: [{entry}]")
        indent = " " * evaluation.start_mark.column
        return _after(text, _end(evaluation), f"{indent}suites:\n{indent}  - {entry}")
    if not isinstance(suites, yaml.SequenceNode):
        return None
    if suites.flow_style:
        return _into_flow(text, suites, entry)
    indent = " " * suites.start_mark.column
    return _after(text, _end(suites), f"{indent}- {entry}")


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """What a mapping has under a key."""
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _into_flow(text: str, node: yaml.CollectionNode, entry: str) -> str:
    """The entry as the last one of `{…}` or `[…]`."""
    if not node.value:
        at, separator = node.end_mark.index - 1, ""
    else:
        last = node.value[-1]
        last = last[1] if isinstance(last, tuple) else last
        at, separator = last.end_mark.index, ", "
    return f"{text[:at]}{separator}{entry}{text[at:]}"


def _end(node: yaml.Node) -> int:
    """Where the last thing that is written in a node ends.

    A block ends, for the parser, where the next one begins: behind the comments between them.
    """
    if not isinstance(node, yaml.CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    if isinstance(node, yaml.MappingNode):
        return max(_end(value) for _, value in node.value)
    return max(_end(item) for item in node.value)


def _after(text: str, index: int, lines: str) -> str:
    """The lines after the one that is written at a place."""
    newline = "\r\n" if "\r\n" in text else "\n"
    begins_line = index > 0 and text[index - 1] == "\n"
    end = index if begins_line else text.find("\n", index) + 1
    before = text[:end] if end else text
    if before and not before.endswith("\n"):
        before += newline
    written = lines.replace("\n", newline) + newline
    return before + written + (text[end:] if end else "")


def _flow(suite: Mapping[str, str]) -> str:
    """`{name: golden, kind: golden, file: golden.jsonl}`."""
    return yaml.safe_dump(
        dict(suite), default_flow_style=True, sort_keys=False, allow_unicode=True, width=math.inf
    ).strip()
