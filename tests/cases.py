"""Where the cases lie that the product got wrong once; a test of one is skipped without them."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).parents[2] / "shared/cases/data"


def case(name: str) -> Path:
    """The folder of a case."""
    path = CASES / name
    if not path.is_dir():
        pytest.skip(f"{path} is absent")
    return path
