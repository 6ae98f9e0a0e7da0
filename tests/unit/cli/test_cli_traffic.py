"""How people write an age."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tuneloop.cli.traffic import age
from tuneloop.errors import UsageError


def test_an_age_is_days_or_hours() -> None:
    assert age("90d") == timedelta(days=90)
    assert age(" 12h") == timedelta(hours=12)
    assert age("0d") == timedelta(0)


@pytest.mark.parametrize("wrong", ["", "90", "d", "-1d", "1.5d", "90 days", "9999999d", "1m"])
def test_anything_else_is_refused_with_an_example(wrong: str) -> None:
    with pytest.raises(UsageError, match="such as 90d or 12h"):
        age(wrong)
