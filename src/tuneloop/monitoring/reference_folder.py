"""A reference in the cache: arrays and facts in one folder, whole or not at all.

It can be computed again at any time, so a damaged one is as good as none.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneloop.hashing import canonical_json, digest_file, digest_json

_ARRAYS = "arrays.npz"
_MANIFEST = "reference.json"


def save(folder: Path, arrays: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write the folder; an existing one is replaced. `arrays` are numpy's, `facts` is JSON."""
    import numpy as np

    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}.part")
    partial.mkdir(parents=True)
    try:
        np.savez(partial / _ARRAYS, allow_pickle=False, **arrays)
        manifest = {
            "facts": facts,
            "facts_digest": digest_json(facts),
            "arrays_digest": digest_file(partial / _ARRAYS),
        }
        (partial / _MANIFEST).write_text(canonical_json(manifest), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def load(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The arrays and the facts of a folder; None when there is none or it is damaged."""
    import numpy as np

    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        facts = manifest["facts"]
        if digest_json(facts) != manifest["facts_digest"]:
            return None
        if digest_file(folder / _ARRAYS) != manifest["arrays_digest"]:
            return None
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            return dict(arrays), facts
    except (OSError, ValueError, KeyError, TypeError):
        return None
