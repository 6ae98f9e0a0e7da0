"""Inputs that the product got wrong, kept outside of the project."""

from pathlib import Path

import pytest

CASES = Path(__file__).parents[2] / "shared/cases/data"


def case(name: str) -> Path:
    """The folder of a case; skips the test where it is absent."""
    path = CASES / name
    if not path.is_dir():
        pytest.skip(f"{path} is absent")
    return path
