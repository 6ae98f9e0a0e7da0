"""Small inputs that the product got wrong, which lie beside the project where it is developed."""

from __future__ import annotations

from pathlib import Path

import pytest

CASES = Path(__file__).parents[2] / "shared/cases/data"


def case(name: str) -> Path:
    """The folder of a case; the test that asks for one that is absent is skipped."""
    path = CASES / name
    if not path.is_dir():
        pytest.skip(f"{path} is absent")
    return path
