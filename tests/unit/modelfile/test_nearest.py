from pathlib import Path

from tuneloop.nearest import did_you_mean, nearest, nearest_path


def test_names_are_compared_whatever_their_case() -> None:
    assert nearest("Custmer", ["id", "customer"]) == "customer"
    assert nearest("colour", ["id", "customer"]) is None
    assert did_you_mean("colour", ["id", "customer"]) == "There is: id, customer."


def test_every_part_of_a_path_may_be_mistyped(tmp_path: Path) -> None:
    right = tmp_path / "month one" / "rows.jsonl"
    right.parent.mkdir()
    right.write_text("")
    assert nearest_path(tmp_path / "month-one" / "row.jsonl") == right
    assert nearest_path(tmp_path / "rows.jsonl") == right, "a folder above"
    assert nearest_path(tmp_path / "quite" / "else.csv") is None


def test_what_cannot_be_listed_offers_nothing(tmp_path: Path) -> None:
    """Since Python 3.13 a folder is read when it is asked for, not when it is gone through."""
    (tmp_path / "rows.jsonl").write_text("")
    assert nearest_path(tmp_path / "rows.jsonl" / "more.jsonl") is None
