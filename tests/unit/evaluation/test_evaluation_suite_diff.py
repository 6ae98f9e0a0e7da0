"""What changed between two versions of a suite."""

from __future__ import annotations

from dataclasses import replace

from tuneloop.evaluation.suite_diff import diff
from tuneloop.evaluation.suites import Case, make_suite


def case(id: str, question: str, expected: str) -> Case:
    return Case(id=id, messages=({"role": "user", "content": question},), expected=expected)


def test_a_case_is_known_by_its_id_and_else_by_what_it_asks() -> None:
    kept, gone = case("1", "one", "a"), case("2", "two", "b")
    tagged = case("3", "three", "c")
    before = make_suite("golden", "golden", [kept, gone, tagged, case("x4", "four", "d")])
    after = make_suite(
        "golden",
        "golden",
        [
            replace(kept, messages=({"role": "user", "content": "uno"},)),
            replace(tagged, slices={"lang": "de"}, must_contain=("c",)),
            case("y4", "four", "D"),
            case("5", "five", "e"),
        ],
    )
    found = diff(before, after, names=("then", "golden.jsonl"))
    assert [case.id for case in found.added] == ["5"]
    assert [case.id for case in found.removed] == ["2"]
    assert [(change.after.id, change.parts) for change in found.changed] == [
        ("1", ("prompt",)),
        ("3", ("phrases", "tags")),
        ("y4", ("answer",)),
    ]
    assert found.same == 0
    assert found.says == "1 case added, 1 removed, 3 changed"


def test_order_and_new_ids_are_no_change() -> None:
    before = make_suite("golden", "golden", [case("a", "one", "1"), case("b", "two", "2")])
    after = make_suite("golden", "golden", [case("c", "two", "2"), case("a", "one", "1")])
    found = diff(before, after, names=("then", "now"))
    assert not found.differs and found.says == "" and found.same == 2
