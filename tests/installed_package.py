"""A package as pip would install it: a module and its dist-info, in a folder on sys.path."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    package: str = "acme",
    version: str = "1.2",
    module: str = "",
    adds: Mapping[str, Mapping[str, str]],
) -> None:
    """Install `package` for one test; `adds` is group → name → `module:object`."""
    name = package.replace("-", "_")
    if module:
        (folder / f"{name}.py").write_text(module, "utf-8")
    described = folder / f"{name}-{version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n", "utf-8"
    )
    points = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in adds.items()
    )
    (described / "entry_points.txt").write_text(points, "utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, name, raising=False)
