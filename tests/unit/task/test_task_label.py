"""A task's label and abstention."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop.modelfile import AbstainSettings, TaskSettings
from tuneloop.task.label import is_abstention, label_field, label_of

KINDS = {"properties": {"free": True, "kind": {"enum": ["a", "b"]}, "other": {"enum": [1]}}}


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({}, None),
        ({"output_schema": {"properties": 5}}, None),
        ({"output_schema": KINDS}, "kind"),
        ({"output_schema": KINDS, "abstain": AbstainSettings(field="free", value="no")}, "free"),
    ],
)
def test_the_label_is_the_abstentions_field_or_the_first_enumerated(
    task: dict[str, Any], field: str | None
) -> None:
    assert label_field(TaskSettings(**task)) == field


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ('{"kind": "a"}', "a"),
        ('{"kind": ""}', ""),
        ('{"kind": 1}', None),
        ('{"other": "a"}', None),
        ('["a"]', None),
        ("a", None),
        ('{"kind": "a", "x": NaN}', None),
        ('{"a": ' * 100_000, None),
    ],
)
def test_the_label_of_an_answer(answer: str, label: str | None) -> None:
    task = TaskSettings(output_schema=KINDS, abstain=AbstainSettings(field="kind", value="a"))
    assert label_of(answer, task) == label
    assert is_abstention(answer, task) is (label == "a")
    assert label_of(answer, TaskSettings()) is None and not is_abstention(answer, TaskSettings())
