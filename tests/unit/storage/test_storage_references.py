"""One rule finds what people name: by its id, by a beginning that no other has, or `latest`."""

from __future__ import annotations

import pytest

from tuneloop.errors import UsageError
from tuneloop.storage.references import meant_by, one_named

RECORDS = [("abcd1", "monday"), ("abce2", "sunday"), ("abc", "abce"), ("f00d", "sunday")]


def meant(reference: str, least: int = 1) -> list[str]:
    return [
        record[0] for record in meant_by(RECORDS, reference, lambda record: record, least=least)
    ]


@pytest.mark.parametrize(
    ("reference", "ids"),
    [
        ("f", ["f00d"]),
        ("ab", ["abcd1", "abce2", "abc"]),
        ("abc", ["abc"]),  # the whole id of one, though others begin so
        ("abce", ["abc"]),  # called so, as is no other
        ("monday", ["abcd1"]),
        ("mon", []),  # of a label, no beginning is enough
        ("sunday", ["abce2", "f00d"]),
        ("", []),
        ("%", []),
    ],
)
def test_whole_names_come_before_beginnings(reference: str, ids: list[str]) -> None:
    assert meant(reference) == ids


def test_of_long_ids_a_letter_or_two_are_no_name() -> None:
    assert meant("f0", least=4) == [] and meant("f00d", least=4) == ["f00d"]
    assert meant("abc", least=4) == ["abc"], "a whole id is enough however short"


def test_the_message_says_how_many_are_meant_and_where_to_look() -> None:
    for reference, count in {"ab": 3, "nothing": 0}.items():
        with pytest.raises(UsageError, match=f"'{reference}' names {count} cycles of desk") as e:
            one_named(RECORDS, reference, lambda r: r, what="cycles of desk", remedy="look")
        assert e.value.remedy == "look"


def test_latest_is_the_first_of_those_that_count() -> None:
    def latest(among: list[tuple[str, str]] | None) -> str:
        return one_named(RECORDS, "latest", lambda r: r, what="runs", remedy="", latest=among)[0]

    assert latest(None) == "abcd1"
    assert latest(RECORDS[2:]) == "abc"
    with pytest.raises(UsageError, match="'latest' names 0 runs"):
        latest([])
