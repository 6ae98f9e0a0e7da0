"""The files of the untuned base are made once, and again where their bytes have changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tuneloop.deployment.export.base import BaseFile, base_file
from tuneloop.deployment.export.llama_cpp import find_converter
from tuneloop.errors import DeploymentError
from tuneloop.hashing import digest_file
from tuneloop.progress import Silent
from tuneloop.registry.base_model import BaseModel, resolve_base
from tuneloop.testing.tiny_model import make_tiny_model

pytestmark = pytest.mark.timeout(120)


@dataclass
class Heard:
    """A progress that remembers the steps."""

    steps: list[str] = field(default_factory=list)

    def step(self, text: str, *, keeps: str = "") -> None:
        """Keep."""
        self.steps.append(text)

    def update(self, done: float, total: float | None, detail: str = "") -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    root = tmp_path_factory.mktemp("base")
    return resolve_base(str(make_tiny_model(root / "m")), cache=root / "c", progress=Silent())


@pytest.fixture(scope="module")
def made(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> BaseFile:
    cache = tmp_path_factory.mktemp("made")
    return base_file(base, "f16", cache=cache, progress=Silent())


def again(base: BaseModel, cache: Path) -> tuple[BaseFile, int]:
    """The file, and how many steps it took to make."""
    heard = Heard()
    return base_file(base, "f16", cache=cache, progress=heard), len(heard.steps)


def damage(file: Path) -> None:
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)


def test_a_damaged_file_is_made_again(base: BaseModel, made: BaseFile) -> None:
    """Whoever compares a candidate with the base would compare it with something else."""
    cache = made.path.parent.parent
    assert again(base, cache) == (made, 0)
    damage(made.path)
    assert again(base, cache) == (made, 1)
    assert digest_file(made.path) == made.digest
    made.path.unlink()
    assert again(base, cache) == (made, 1)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda manifest: {},
        lambda manifest: [],
        lambda manifest: {"digest": manifest["digest"]},
        lambda manifest: {"decided_by": manifest["decided_by"]},
        lambda manifest: {**manifest, "digest": 1},
        lambda manifest: {**manifest, "decided_by": {**manifest["decided_by"], "base": "other"}},
        lambda manifest: {**manifest, "decided_by": {**manifest["decided_by"], "converter": "9"}},
        lambda manifest: {**manifest, "decided_by": list(manifest["decided_by"])},
    ],
)
def test_so_is_one_that_does_not_say_that_it_was_made_of_this(
    base: BaseModel,
    made: BaseFile,
    tmp_path: Path,
    spoil: Callable[[dict[str, Any]], object],
) -> None:
    cache = shutil.copytree(made.path.parent.parent, tmp_path / "cache")
    gone = replace(base, folder=tmp_path / "gone")
    assert again(gone, cache)[1] == 0
    manifest = cache / made.path.parent.name / "base.json"
    manifest.write_text(json.dumps(spoil(json.loads(manifest.read_text()))))
    with pytest.raises(DeploymentError, match="gone"):  # what it would be made of
        again(gone, cache)


def test_so_is_one_of_an_older_workspace(base: BaseModel, made: BaseFile, tmp_path: Path) -> None:
    folder = tmp_path / f"{base.digest}-f16"
    folder.mkdir()
    shutil.copy(made.path, folder)
    file = {"path": made.path.name, "digest": made.digest, "size_bytes": 1}
    manifest = {
        "version": 1,
        "inputs": {"base": base.digest, "name": "base", "converter": find_converter().version},
        "forms": {"f16": {"name": "f16", "files": [file], "tool": "t"}},
    }
    (folder / "export.json").write_text(json.dumps(manifest))
    older = BaseFile(path=folder / made.path.name, digest=made.digest)
    assert again(base, tmp_path) == (older, 0)
    damage(older.path)
    found, steps = again(base, tmp_path)
    assert (found.digest, steps) == (made.digest, 1) and found.path != older.path
    assert again(base, tmp_path) == (found, 0)
