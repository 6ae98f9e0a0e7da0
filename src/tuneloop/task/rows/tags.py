"""What a row says besides prompt and answer: short values become tags, others are named."""

from __future__ import annotations

from typing import Any

from tuneloop.task.rows import texts
from tuneloop.task.rows.fields import OWN_COLUMNS, Fields, normal_name

_TAG_CHARACTERS = 200


def tags_of(row: Fields, used: set[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Short scalar columns and what a `tags` object holds, and the columns that are left over.

    Raises:
        FormError: a tag holds what no database takes.
    """
    own = row.value.get("tags")
    candidates: dict[Any, Any] = dict(own) if isinstance(own, dict) else {}
    candidates |= {
        key: item
        for key, item in row.others(used)
        if normal_name(key) not in OWN_COLUMNS or (key == "tags" and not isinstance(own, dict))
    }
    tags, unused = {}, []
    for key, item in candidates.items():
        name, text = str(key), _tag_text(item)
        if text:
            texts.check((name + text,))
            tags[name] = text
        elif item not in ("", [], {}):
            unused.append(name)
    return tags, tuple(unused)


def _tag_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        text = str(value)
        return text if len(text) <= _TAG_CHARACTERS else ""
    return ""
