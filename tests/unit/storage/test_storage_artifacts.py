"""Artifacts are immutable, complete or absent, and never read when they have changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuneloop.errors import CorruptArtifactError, StoreError
from tuneloop.storage.artifacts import Artifacts


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(str(tmp_path / "store"), cache=tmp_path / "cache")


def folder(at: Path, **files: str) -> Path:
    for name, text in files.items():
        path = at / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return at


def blobs(root: Path) -> list[Path]:
    return [path for path in (root / "store" / "blobs").rglob("*") if path.is_file()]


def test_equal_folders_have_one_identity(tmp_path: Path, artifacts: Artifacts) -> None:
    first = artifacts.put(folder(tmp_path / "a", x="1", sub__y="2"), kind="k")
    second = artifacts.put(folder(tmp_path / "b", sub__y="2", x="1"), kind="k")
    other = artifacts.put(folder(tmp_path / "c", x="1", sub__y="3"), kind="k")
    assert first == second != other
    assert len(blobs(tmp_path)) == 3


def test_round_trip(tmp_path: Path, artifacts: Artifacts) -> None:
    digest = artifacts.put(folder(tmp_path / "a", x="1", sub__y="two"), kind="k")
    assert (artifacts.get(digest) / "sub" / "y").read_text() == "two"
    assert artifacts.describe(digest).size_bytes == 4
    assert artifacts.describe(digest).kind == "k"


def test_changed_bytes_are_refused_by_name(tmp_path: Path, artifacts: Artifacts) -> None:
    digest = artifacts.put(folder(tmp_path / "a", x="good"), kind="k")
    (blob,) = blobs(tmp_path)
    blob.chmod(0o644)
    blob.write_text("evil")
    with pytest.raises(CorruptArtifactError, match="x should have the hash"):
        artifacts.get(digest)


def test_putting_it_again_mends_a_corrupt_artifact(tmp_path: Path, artifacts: Artifacts) -> None:
    source = folder(tmp_path / "a", x="good")
    digest = artifacts.put(source, kind="k")
    artifacts.get(digest)
    (blob,) = blobs(tmp_path)
    blob.chmod(0o644)
    blob.write_text("evil")  # the laid-out copy is a hard link: it has changed too
    with pytest.raises(CorruptArtifactError):
        artifacts.get(digest)
    assert artifacts.put(source, kind="k") == digest
    assert (artifacts.get(digest) / "x").read_text() == "good"


def test_a_blob_restored_from_a_backup_is_read_again(tmp_path: Path, artifacts: Artifacts) -> None:
    """The remedy that the error names is enough."""
    digest = artifacts.put(folder(tmp_path / "a", x="good"), kind="k")
    artifacts.get(digest)
    (blob,) = blobs(tmp_path)
    blob.chmod(0o644)
    blob.write_text("evil")
    with pytest.raises(CorruptArtifactError, match=f"Restore {blob} from a backup"):
        artifacts.get(digest)
    backup = tmp_path / "backup"
    backup.write_text("good")
    backup.replace(blob)
    assert (artifacts.get(digest) / "x").read_text() == "good"


@pytest.mark.parametrize("damage", ["evil", None])
def test_a_damaged_copy_of_a_sound_store_heals(tmp_path: Path, damage: str | None) -> None:
    artifacts = Artifacts("memory://tuneloop-damaged-copy", cache=tmp_path / "cache")
    digest = artifacts.put(folder(tmp_path / "a", x="good", sub__y="2"), kind="k")
    copy = artifacts.get(digest) / "x"
    copy.unlink()
    if damage is not None:
        copy.write_text(damage)
    assert (artifacts.get(digest) / "x").read_text() == "good"


def test_changed_manifest_is_refused(tmp_path: Path, artifacts: Artifacts) -> None:
    digest = artifacts.put(folder(tmp_path / "a", x="1"), kind="k")
    tree = tmp_path / "store" / "trees" / f"{digest}.json"
    tree.write_text(tree.read_text().replace('"kind":"k"', '"kind":"z"'))
    with pytest.raises(CorruptArtifactError, match="manifest"):
        artifacts.get(digest)


def test_missing_blob_is_refused(tmp_path: Path, artifacts: Artifacts) -> None:
    digest = artifacts.put(folder(tmp_path / "a", x="1"), kind="k")
    (blob,) = blobs(tmp_path)
    blob.unlink()
    with pytest.raises(CorruptArtifactError, match="missing"):
        artifacts.get(digest)


def test_unknown_artifact_and_empty_folder(tmp_path: Path, artifacts: Artifacts) -> None:
    with pytest.raises(StoreError, match="is not in"):
        artifacts.get("0" * 64)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="found none"):
        artifacts.put(tmp_path / "empty", kind="k")


@pytest.mark.process
def test_full_disk_leaves_nothing_visible_and_the_next_try_works(tmp_path: Path) -> None:
    """A file-size limit fails a large write as a full disk does (EFBIG, without root)."""
    source = folder(tmp_path / "a", small="1", large="x" * 300_000)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tuneloop.storage.artifacts import Artifacts\n"
        "from tuneloop.errors import StoreError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: Artifacts(sys.argv[1], cache=Path(sys.argv[2])).put(Path(sys.argv[3]), kind='k')\n"
        "except StoreError as e: print(e); sys.exit(7)\n"
    )
    store, cache = str(tmp_path / "store"), str(tmp_path / "cache")
    done = subprocess.run(
        [sys.executable, "-c", script, store, cache, str(source)],
        capture_output=True,
        text=True,
        env={**os.environ},
        check=False,
    )
    assert done.returncode == 7, done.stderr
    assert "No room left" in done.stdout
    assert not (tmp_path / "store" / "trees").exists()
    assert not list((tmp_path / "store").rglob("*.part"))
    artifacts = Artifacts(store, cache=Path(cache))
    assert artifacts.get(artifacts.put(source, kind="k"))


def test_any_fsspec_store(tmp_path: Path) -> None:
    artifacts = Artifacts("memory://tuneloop-test", cache=tmp_path / "cache")
    digest = artifacts.put(folder(tmp_path / "a", x="1", sub__y="2"), kind="k")
    assert (artifacts.get(digest) / "sub" / "y").read_text() == "2"
