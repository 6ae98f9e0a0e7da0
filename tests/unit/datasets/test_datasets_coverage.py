"""What prepare says of classes and conversations: which of them cannot be trained or measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuneloop.datasets import versions
from tuneloop.datasets.coverage import Coverage, coverage
from tuneloop.datasets.example import Example, Message
from tuneloop.datasets.labels import class_field
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.modelfile import (
    DataSettings,
    EvaluationSettings,
    ModelFile,
    ModelSettings,
    TaskSettings,
)
from tuneloop.modelfile.sections.evaluation import SuiteSettings
from tuneloop.workspace import Workspace

THINGS = ("lamp", "kettle", "radio", "scooter", "tent", "drill", "camera", "printer", "juicer")


def question(n: int) -> str:
    return f"{THINGS[n % 9]} {THINGS[n // 9 % 9]} {chr(97 + n % 23) * 4} {n * 7919}"


def write(folder: Path, rows: list[dict[str, Any]], name: str = "rows.jsonl") -> None:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def labelled(**classes: int) -> list[dict[str, Any]]:
    names = [name for name, count in classes.items() for _ in range(count)]
    return [
        {"prompt": question(n), "completion": json.dumps({"intent": name}), "desk": name}
        for n, name in enumerate(names)
    ]


def model_file(
    folder: Path, *, task: TaskSettings = TaskSettings(), golden: bool = False, **data: Any
) -> ModelFile:
    suites = (SuiteSettings(name="golden", file="golden.jsonl"),) if golden else ()
    return ModelFile(
        path=folder / "tuneloop.yaml",
        settings=ModelSettings(
            name="desk",
            base="base",
            task=task,
            data=DataSettings(sources=("rows.jsonl",), **data),
            evaluation=EvaluationSettings(suites=suites),
        ),
        origins={},
    )


def said(version: DatasetVersion, code: str) -> list[str]:
    return [one["message"] for one in version.report["advice"] if one["code"] == code]


def test_a_class_of_one_row_is_trained_on_and_named(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path, labelled(order=30, repair=25, legal=1, press=2))
    version = versions.prepare(workspace, model_file(tmp_path))
    assert version.report["split"]["classes"] == {
        "field": "intent",
        "classes": 4,
        "not_trained": [],
        "not_measured": ["legal"],
    }
    (message,) = said(version, "class_not_measured")
    assert "no case is held out for 'legal', whose rows are all one group" in message
    assert said(version, "class_not_trained") == []


def test_classes_that_are_groups_are_named_on_either_side(
    workspace: Workspace, tmp_path: Path
) -> None:
    """One customer a class: none of them can be on both sides."""
    write(tmp_path, labelled(**{f"desk_{n}": 5 for n in range(12)}))
    version = versions.prepare(workspace, model_file(tmp_path, group_field="desk"))
    classes = version.report["split"]["classes"]
    assert len(classes["not_trained"]) >= 1
    assert len(classes["not_trained"]) + len(classes["not_measured"]) == classes["classes"] == 12
    (message,) = said(version, "class_not_trained")
    assert f"nothing is left to train on for {classes['not_trained'][0]!r}" in message


def test_rare_classes_that_weigh_more_among_the_cases_are_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    write(tmp_path, labelled(order=200, repair=200, **{f"rare_{n}": 2 for n in range(12)}))
    version = versions.prepare(workspace, model_file(tmp_path))
    assert version.report["split"]["classes"]["not_measured"] == []
    (message,) = said(version, "rare_classes")
    assert "12 of 14 classes are so rare" in message and "lean to them" in message
    write(tmp_path, labelled(order=200, repair=200))
    even = versions.prepare(workspace, model_file(tmp_path), previous=None)
    assert said(even, "rare_classes") == []


def test_the_class_that_the_task_names_is_the_one_that_counts(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Another field would say more: it is a detail of the answer here."""
    rows = [
        {
            "prompt": question(n),
            "completion": json.dumps(
                {"day": f"day {n % 20}", "kind": "rare" if n < 3 else "usual"}
            ),
        }
        for n in range(120)
    ]
    write(tmp_path, rows)
    schema = {"properties": {"day": {"type": "string"}, "kind": {"enum": ["rare", "usual"]}}}
    version = versions.prepare(
        workspace, model_file(tmp_path, task=TaskSettings(output_schema=schema))
    )
    assert version.report["split"]["classes"]["field"] == "kind"
    held_out = versions.read_examples(workspace, version, "eval")
    assert sum("rare" in example.completion for example in held_out) in (1, 2)


@pytest.mark.parametrize(
    ("completions", "expected"),
    [
        (["yes", "no"] * 20, "answer"),
        ([f"a text of its own {n}" for n in range(40)], None),
        (["yes"] * 40, None),
        ([json.dumps({"urgent": n % 2 == 0, "intent": f"i{n % 6}"}) for n in range(60)], "intent"),
        # A day comes back too seldom to be what the answers are about.
        ([json.dumps({"intent": f"i{n % 4}", "day": f"d{n % 25}"}) for n in range(60)], "intent"),
        ([json.dumps({"note": f"n{n}"}) for n in range(60)], None),
        ([*(json.dumps({"intent": f"i{n % 3}"}) for n in range(60)), "no idea", "no"], "intent"),
    ],
)
def test_the_class_of_answers_is_told_by_the_answers(
    completions: list[str], expected: str | None
) -> None:
    assert class_field(completions) == expected
    assert class_field(completions, "missing") == expected


def of(intent: str, group: str) -> Example:
    return Example(
        messages=(Message(role="user", content=group),),
        completion=json.dumps({"intent": intent}),
        source="f",
        line=1,
        group=group,
    )


def test_a_class_that_was_held_out_before_or_never_is_told_apart() -> None:
    found = coverage(
        [of("trained", "a"), of("trained", "b"), of("one group", "c"), of("both", "d")],
        [of("held", "e"), of("held", "f"), of("both", "g")],
        "intent",
        0.1,
    )
    assert found.not_trained == ("held",)
    assert found.not_measured == ("one group", "trained")
    told = dict(found.remarks())
    assert "'held', as every row is held out" in told["class_not_trained"]
    messages = [message for code, message in found.remarks() if code == "class_not_measured"]
    assert ["'one group', whose rows are all one" in one for one in messages] == [True, False]
    assert ["'trained', which were trained on before" in one for one in messages] == [False, True]
    assert list(Coverage(field=None, classes=0).remarks()) == []


def growing(*turns: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(turns)]
    return [{"messages": messages[: n + 2]} for n in range(0, len(messages), 2)]


def talks(count: int, turns: int) -> list[dict[str, Any]]:
    return [
        row
        for n in range(count)
        for row in growing(
            *(f"{question(n * 8 + turn)} {'?' if turn % 2 == 0 else 'so'}" for turn in range(turns))
        )
    ]


def sides(workspace: Workspace, version: DatasetVersion) -> dict[str, set[str]]:
    """Opening of a conversation → sides that its rows are on."""
    found: dict[str, set[str]] = {}
    for side in ("train", "eval"):
        for example in versions.read_examples(workspace, version, side):  # type: ignore[arg-type]
            found.setdefault(example.messages[0].content, set()).add(side)
    return found


def test_a_conversation_that_went_on_stays_on_its_side(
    workspace: Workspace, tmp_path: Path
) -> None:
    write(tmp_path, talks(40, turns=4))
    first = versions.prepare(workspace, model_file(tmp_path))
    before = sides(workspace, first)
    assert first.report["split"]["conversations"] == {"rows": 80, "conversations": 40}
    write(tmp_path, talks(50, turns=8))
    second = versions.prepare(workspace, model_file(tmp_path))
    after = sides(workspace, second)
    assert all(len(of) == 1 for of in after.values()) and len(after) == 50
    assert {opening: after[opening] for opening in before} == before
    assert {"train", "eval"} == set().union(*after.values())
    assert second.report["leak_check"]["leaks"] == 0


def test_a_test_case_from_a_conversation_takes_its_rows_out_of_training(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = talks(20, turns=6)
    write(tmp_path, content)
    write(tmp_path, [content[2], content[5]], name="golden.jsonl")
    version = versions.prepare(workspace, model_file(tmp_path, golden=True))
    trained = [
        example.messages[0].content
        for example in versions.read_examples(workspace, version, "train")
    ]
    for case in (content[2], content[5]):
        assert case["messages"][0]["content"] not in trained
    details = [
        row["detail"]
        for row in versions.read_left_out(workspace, version)
        if row["reason"] == "leak"
    ]
    assert details
    assert all("of one conversation with the held-out case in golden" in one for one in details)
