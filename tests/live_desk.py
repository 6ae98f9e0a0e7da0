"""A loop with a bundle in production and captured traffic, made by hand: no training, no server."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from tuneloop import modelfile
from tuneloop.loop import Loop
from tuneloop.project import Project
from tuneloop.registry import aliases, bundle
from tuneloop.registry.bundle import Bundle
from tuneloop.storage.spool import new_id
from tuneloop.testing.manifest import manifest_of
from tuneloop.workspace import Workspace

SCHEMA = {
    "type": "object",
    "properties": {"intent": {"enum": ["refund", "delivery", "human"]}},
    "required": ["intent"],
}


def make_loop(workspace: Workspace, folder: Path, **sections: Any) -> Loop:
    """The loop of the model `desk`; keywords are sections of its model file."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"name": "desk", "base": "base", "data": {"sources": ["rows.jsonl"]}} | sections
    path = folder / "tuneloop.yaml"
    path.write_text(yaml.safe_dump(content))
    model_file = modelfile.load(path, environment={})
    return Loop(Project(workspace=workspace, model_file=model_file, actor="ann"))


def put_live(loop: Loop, *, evaluation: str = "", system: str = "", **evaluated: Any) -> Bundle:
    """A bundle in production with nothing behind it; keywords are what its evaluation found."""
    model, workspace = loop.model, loop.workspace
    task = model.task.model_copy(update={"system": system or model.task.system})
    made = bundle.register(
        workspace,
        manifest_of(
            model=model.name,
            base={},
            artifacts={},
            dataset={},
            training={},
            task=task.model_dump(mode="json"),
            serving={"sampling": {"temperature": 0.0, "max_tokens": 32}},
            evaluation={"id": evaluation} | evaluated,
            routing={},
        ),
    )
    with workspace.records.begin() as tx:
        aliases.move(
            tx,
            model=model.name,
            name="production",
            bundle=made.id,
            expected=aliases.read(tx, model.name).get("production"),
            actor="test",
            reason="test",
            now=workspace.now(),
        )
    return made


def capture(
    loop: Loop,
    count: int,
    *,
    bundle: str,
    at: datetime,
    response: str = "fine",
    **columns: Any,
) -> list[str]:
    """Interactions of one moment, each with another question; returns their ids."""
    rows = [
        {
            "id": new_id(int(at.timestamp() * 1_000) * 1_000_000),
            "time": at,
            "endpoint": loop.model.endpoint_name,
            "bundle": bundle,
            "operation": "chat",
            "status": 200,
            "messages": json.dumps([{"role": "user", "content": f"question {number}"}]),
            "response": response,
            "tags": "{}",
        }
        | columns
        for number in range(count)
    ]
    loop.workspace.traffic.append("interactions", rows)
    return [str(row["id"]) for row in rows]


def feedback(loop: Loop, kind: str) -> list[dict[str, Any]]:
    """The feedback of a kind, its value read, in the order of its ids."""
    rows = loop.workspace.traffic.scan("feedback").collect().sort("id").iter_rows(named=True)
    return [row | {"value": json.loads(row["value"])} for row in rows if row["kind"] == kind]
