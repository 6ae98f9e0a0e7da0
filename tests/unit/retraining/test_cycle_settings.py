"""A cycle that waits for a person outlives an upgrade."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuneloop import modelfile
from tuneloop.retraining.cycles import settings_digest

BEFORE_BACKENDS = "2aa69a30293c266bb128990995b7b22012607eab846177812631138d6cf1047f"
"""What the version before `endpoint.backend` kept of this model file."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tuneloop.yaml"
    path.write_text("name: router\nbase: b\ndata: {sources: [a.jsonl]}\n")
    return path


def test_a_setting_that_came_later_changes_nothing_while_it_says_nothing(file: Path) -> None:
    assert settings_digest(modelfile.load(file, environment={}).settings) == BEFORE_BACKENDS


@pytest.mark.parametrize(
    "changed",
    ["endpoint.max_tokens=8", "endpoint.server={base_url: 'http://127.0.0.1:1/v1', model: m}"],
)
def test_another_setting_begins_another_cycle(file: Path, changed: str) -> None:
    overrides = [changed]
    if "server" in changed:
        overrides.append("endpoint.backend=openai")
    settings = modelfile.load(file, overrides=overrides, environment={}).settings
    assert settings_digest(settings) != BEFORE_BACKENDS
