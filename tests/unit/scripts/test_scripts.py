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
OTHERS = {"alibi_detect", "datasketch", "evidently", "nannyml", "semhash", "tensorzero"}
"""What tuneloop is measured against; a benchmark installs it beside, not here."""

every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: str(p.relative_to(ROOT)))


@pytest.fixture(autouse=True)
def forget_what_lies_beside() -> Iterator[None]:
    """A script's neighbours, such as `rows`, are modules for that script only."""
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(BENCHMARKS):
            del sys.modules[name]


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
    """Module and name of what is taken from the product, wherever in the file it stands.

    That is what is imported, and what is asked of an imported module by its name.
    """
    tree = ast.parse(script.read_text("utf-8"))
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tuneloop":
            for alias in node.names:
                yield str(node.module), alias.name
                if is_module(str(node.module), alias.name):
                    modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            own = [alias.name for alias in node.names if alias.name.startswith("tuneloop.")]
            assert not own, f"write `from package import module`, not `import {own}`"
    rebound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and is_stored(n)}
    rebound |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = node.value.id
            if name in modules and name not in rebound:
                yield modules[name], node.attr


def is_stored(name: ast.Name) -> bool:
    """Whether something is assigned to the name there."""
    return isinstance(name.ctx, ast.Store)


def has(module: str, name: str) -> bool:
    """Whether a module binds or holds a name."""
    return binds(module, name) or is_module(module, name)


def binds(module: str, name: str) -> bool:
    """Whether a module binds a name; it is read and not run, as some import torch."""
    spec = find_spec(module)
    assert spec is not None and spec.origin is not None, f"there is no {module}"
    table = symtable.symtable(Path(spec.origin).read_text("utf-8"), spec.origin, "exec")
    return name in table.get_identifiers() and (
        table.lookup(name).is_assigned() or table.lookup(name).is_imported()
    )


def is_module(package: str, name: str) -> bool:
    """Whether a package has a module of this name."""
    spec = find_spec(package)
    return (
        spec is not None
        and spec.submodule_search_locations is not None
        and find_spec(f"{package}.{name}") is not None
    )
