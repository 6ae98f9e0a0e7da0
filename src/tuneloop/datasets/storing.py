"""The files of a dataset version, written and put into the artifact store."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tuneloop.datasets.imported import Imported
from tuneloop.datasets.preferences import Preferences
from tuneloop.datasets.preferences import as_row as preference_row
from tuneloop.datasets.selection import Earlier, Selection
from tuneloop.datasets.split import Side
from tuneloop.errors import StoreError
from tuneloop.hashing import canonical_json
from tuneloop.workspace import Workspace

KIND = "dataset"
SIDES: tuple[Side, ...] = ("train", "eval")


def store(
    workspace: Workspace,
    imported: Imported,
    selection: Selection,
    preferences: Preferences,
    earlier: Earlier,
    report: Mapping[str, Any],
) -> str:
    """Write everything and store it; returns the digest.

    Raises:
        StoreError: there is no room.
    """
    folder = Path(tempfile.mkdtemp(dir=workspace.folder("work"), prefix="dataset-"))
    left_out = sorted(
        [*imported.left_out, *selection.left_out], key=lambda row: (row.source, row.line)
    )
    placed = {side: {example.input_key for example in getattr(selection, side)} for side in SIDES}
    assigned = {
        side: sorted(
            placed[side]
            | {
                key
                for key, known in earlier.sides.items()
                if known == side and key not in placed["train"] | placed["eval"]
            }
        )
        for side in SIDES
    }
    try:
        _write_rows(folder / "train.jsonl", (example.as_row() for example in selection.train))
        _write_rows(folder / "eval.jsonl", (example.as_row() for example in selection.eval))
        _write_rows(folder / "preferences.jsonl", map(preference_row, preferences.train))
        _write_rows(folder / "preferences_eval.jsonl", map(preference_row, preferences.eval))
        _write_rows(folder / "quarantine.jsonl", (row.as_row() for row in left_out))
        (folder / "assigned.json").write_text(canonical_json(assigned), "utf-8")
        (folder / "report.json").write_text(canonical_json(report), "utf-8")
        return workspace.artifacts.put(folder, kind=KIND)
    except OSError as e:
        raise StoreError(
            f"The dataset version cannot be written to {folder.parent}: {e.strerror or e}.",
            remedy="Free some space and run the same command again.",
        ) from e
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    encode = json.JSONEncoder(ensure_ascii=False).encode
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(encode(row) + "\n")
