"""A model with a dataset version in production and a folder of sources, without any training."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tuneloop import modelfile
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.project import Project
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

INTENTS = ("refund", "delivery", "human")
SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": list(INTENTS)}},
    "required": ["intent"],
}
WORDS = ("parcel", "invoice", "battery", "password", "radiator", "kettle", "order", "warranty")
LONG_AGO = 946_684_800
"""The year 2000, in seconds."""


def row(number: int, intent: str = "") -> dict[str, Any]:
    """A question that is like no other, and one of three labels."""
    question = f"{WORDS[number % 8]} {number * 7919} {WORDS[number // 8 % 8]}"
    answer = json.dumps({"intent": intent or INTENTS[number % 3]})
    return {"prompt": question, "completion": answer}


def write(path: Path, rows: Sequence[dict[str, Any]], *, settled: bool = True) -> Path:
    """Rows as a file; `settled`: as if it had been there for long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    if settled:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def make_desk(workspace: Workspace, folder: Path, **sections: Any) -> Project:
    """The model `desk` with 120 rows of October in a version, and a bundle of it in production."""
    write(folder / "data/october.jsonl", [row(number) for number in range(120)])
    content = {
        "name": "desk",
        "base": "base",
        "task": {"output_schema": SCHEMA},
        "data": {"sources": ["data"]},
        **sections,
    }
    path = folder / "tuneloop.yaml"
    path.write_text(yaml.safe_dump(content))
    project = Project(
        workspace=workspace, model_file=modelfile.load(path, environment={}), actor="ann"
    )
    release(project, versions.prepare(workspace, project.model_file))
    return project


def release(project: Project, version: DatasetVersion) -> None:
    """Put a bundle that was made of a version into production."""
    made = bundles.register(
        project.workspace,
        manifest_of(
            model=project.model.name,
            base={},
            artifacts={"dataset": version.digest},
            dataset={"digest": version.digest, "label": version.label, "corrections": 0},
            training={},
            task={},
            serving={},
            evaluation={},
            routing={},
        ),
    )
    with project.workspace.records.begin() as tx:
        aliases.move(
            tx,
            model=project.model.name,
            name="production",
            bundle=made.id,
            expected=aliases.read(tx, project.model.name).get("production"),
            actor="test",
            reason="release",
            now=project.workspace.now(),
        )
