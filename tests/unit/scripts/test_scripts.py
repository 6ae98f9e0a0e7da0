"""What only `make acceptance`, `make bench-…` and `make chaos` run still fits the product.

Nothing else imports these files: a renamed class would be found out by whoever runs them next.
"""

from __future__ import annotations

import ast
import runpy
import symtable
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = sorted(
    path
    for folder in (ROOT / "tests" / "acceptance", BENCHMARKS, ROOT / "examples")
    for path in folder.rglob("*.py")
)
OTHERS = {"alibi_detect", "evidently", "nannyml", "tensorzero"}
"""What tuneloop is measured against; a benchmark installs it beside, not here."""

every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))


@every_script
def test_it_can_be_imported(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(script.parent), str(BENCHMARKS), *sys.path])
    try:
        runpy.run_path(str(script), run_name="imported")
    except ModuleNotFoundError as e:
        if e.name not in OTHERS:
            raise
        pytest.skip(f"{e.name} is not installed")


@every_script
def test_what_it_takes_from_the_product_is_there(script: Path) -> None:
    """Also what is imported only where it is used."""
    for module, name in taken(script):
        assert has(module, name), f"{module} has no {name}"


def taken(script: Path) -> Iterator[tuple[str, str]]:
    """Module and name of every import from the product, wherever in the file it stands."""
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tuneloop":
            yield from ((str(node.module), alias.name) for alias in node.names)


def has(module: str, name: str) -> bool:
    """Whether a module binds or holds a name; it is read and not run, as some import torch."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, f"there is no {module}"
    table = symtable.symtable(Path(spec.origin).read_text("utf-8"), spec.origin, "exec")
    bound = name in table.get_identifiers() and (
        table.lookup(name).is_assigned() or table.lookup(name).is_imported()
    )
    return bound or (
        spec.submodule_search_locations is not None and find_spec(f"{module}.{name}") is not None
    )
