"""What changed between two dataset versions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tuneloop.datasets.example import Example
from tuneloop.datasets.labels import label_counts
from tuneloop.datasets.split import Side
from tuneloop.datasets.versions import DatasetVersion, read_examples
from tuneloop.workspace import Workspace

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class SystemChange:
    """A system text that took the place of another before rows that are otherwise the same."""

    before: str
    after: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class DatasetDiff:
    """From version `before` to version `after`."""

    before: str
    """label"""
    after: str
    """label"""
    added: tuple[Example, ...]
    removed: tuple[Example, ...]
    corrected: tuple[tuple[Example, Example], ...]
    """Same input, other answer; these count neither as added nor as removed."""
    systems: tuple[SystemChange, ...]
    """Rows of which nothing but the system text changed; they count nowhere else."""
    same: int
    """Rows of which nothing changed."""
    moved: tuple[tuple[Example, Side, Side], ...]
    """Rows on another side than before; there should be none."""
    labels: Mapping[str, Mapping[str, tuple[int, int]]]
    """Field → value → (rows before, rows after), where they differ."""
    recipe: Mapping[str, tuple[Any, Any]]
    """Setting → (before, after), where they differ."""
    sources: Mapping[str, tuple[str | None, str | None]]
    """File → (digest before, digest after), where they differ."""

    def as_row(self) -> dict[str, Any]:
        """The difference in JSON form; rows are counted and the first 20 shown."""
        return {
            "before": self.before,
            "after": self.after,
            "added": _shown(self.added),
            "removed": _shown(self.removed),
            "corrected": {
                "rows": len(self.corrected),
                "shown": [
                    {"question": new.question, "before": old.completion, "after": new.completion}
                    for old, new in self.corrected[:_SHOWN]
                ],
            },
            "system_text": [vars(change) for change in self.systems],
            "same": {"rows": self.same},
            "moved": [
                {"question": example.question, "before": old, "after": new}
                for example, old, new in self.moved
            ],
            "labels": {
                field: {value: list(counts) for value, counts in values.items()}
                for field, values in self.labels.items()
            },
            "recipe": {key: list(values) for key, values in self.recipe.items()},
            "sources": {key: list(values) for key, values in self.sources.items()},
        }


def diff(workspace: Workspace, before: DatasetVersion, after: DatasetVersion) -> DatasetDiff:
    """Compare two versions row by row and setting by setting."""
    old, new = _rows(workspace, before), _rows(workspace, after)
    added = {row_id: row for row_id, row in new.items() if row_id not in old}
    removed = {row_id: row for row_id, row in old.items() if row_id not in new}
    same = len(new) - len(added)
    pairs = _same_input(added, removed)
    for was, now in pairs:
        del removed[was.id], added[now.id]
    corrected = [(was, now) for was, now in pairs if was.answer != now.answer]
    kept = [(was, now) for was, now in pairs if was.answer == now.answer]
    systems = Counter((was.system, now.system) for was, now in kept if was.system != now.system)
    return DatasetDiff(
        before=before.label,
        after=after.label,
        added=tuple(row for row, _ in added.values()),
        removed=tuple(row for row, _ in removed.values()),
        corrected=tuple(corrected),
        systems=tuple(
            SystemChange(before=was, after=now, rows=rows)
            for (was, now), rows in systems.most_common()
        ),
        # The same answer written in another way, such as JSON with other spaces, is no change.
        same=same + len(kept) - systems.total(),
        moved=_moved(old.values(), new.values()),
        labels=_label_changes([row for row, _ in old.values()], [row for row, _ in new.values()]),
        recipe=_changes(_flat(before.report["recipe"]), _flat(after.report["recipe"])),
        sources=_changes(_digests(before), _digests(after)),
    )


_Rows = dict[str, tuple[Example, Side]]


def _rows(workspace: Workspace, version: DatasetVersion) -> _Rows:
    sides: tuple[Side, ...] = ("train", "eval")
    return {
        example.id: (example, side)
        for side in sides
        for example in read_examples(workspace, version, side)
    }


def _same_input(added: _Rows, removed: _Rows) -> list[tuple[Example, Example]]:
    """Rows with an input in common, before and after: with the same answer as far as there is one.

    The system text is no part of the input.
    """
    left: dict[str, list[Example]] = {}
    for row, _ in removed.values():
        left.setdefault(row.input_text, []).append(row)
    pairs, rest = [], []
    for row, _ in added.values():
        old = next(
            (earlier for earlier in left.get(row.input_text, ()) if earlier.answer == row.answer),
            None,
        )
        if old is None:
            rest.append(row)
        else:
            left[row.input_text].remove(old)
            pairs.append((old, row))
    other = [(before.pop(0), row) for row in rest if (before := left.get(row.input_text))]
    return [*pairs, *other]


def _moved(old: Any, new: Any) -> tuple[tuple[Example, Side, Side], ...]:
    """By input: a corrected answer does not free a row from its side."""
    sides = {example.input_key: side for example, side in old}
    return tuple(
        (example, sides[example.input_key], side)
        for example, side in new
        if sides.get(example.input_key, side) != side
    )


def _label_changes(
    old: Sequence[Example], new: Sequence[Example]
) -> dict[str, dict[str, tuple[int, int]]]:
    before = label_counts(example.completion for example in old)
    after = label_counts(example.completion for example in new)
    changes = {}
    for field in sorted({*before, *after}):
        was, now = before.get(field, {}), after.get(field, {})
        changed = {
            value: (was.get(value, 0), now.get(value, 0))
            for value in sorted({*was, *now})
            if was.get(value, 0) != now.get(value, 0)
        }
        if changed:
            changes[field] = changed
    return changes


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in recipe.items():
        if key in ("data", "task"):
            flat |= {f"{key}.{name}": item for name, item in value.items()}
        elif key != "digest":
            flat[key] = value
    return flat


def _digests(version: DatasetVersion) -> dict[str, str]:
    return {source["source"]: source["digest"] for source in version.report["sources"]}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        key: (before.get(key), after.get(key))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    }


def _shown(examples: Sequence[Example]) -> dict[str, Any]:
    return {
        "rows": len(examples),
        "shown": [
            {"question": example.question, "answer": example.completion}
            for example in examples[:_SHOWN]
        ],
    }
