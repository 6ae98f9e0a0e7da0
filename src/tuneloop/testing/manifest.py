"""A bundle's manifest that says as much as a test needs.

manifest = manifest_of(model="router", evaluation={"verdict": "passed"})
bundle = bundles.register(workspace, manifest)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuneloop.registry.manifest import MANIFEST_VERSION, PARTS, Manifest


def manifest_of(*, model: str, **parts: Mapping[str, Any]) -> Manifest:
    """The manifest with these parts; those that are not given state nothing."""
    stated = {name: parts.get(name, {}) for name in PARTS}
    return Manifest.of({"version": MANIFEST_VERSION, "model": model, **stated})
