from pathlib import Path
from typing import Any

import pytest

from tuneloop import modelfile
from tuneloop.datasets.recipe import recipe
from tuneloop.errors import ModelFileError
from tuneloop.hashing import canonical_json
from tuneloop.modelfile import ModelFile

BASE = """\
name: tables
base: tiny
data:
  sources: [rows.jsonl]
task:
  output_schema: {properties: {people: {}, time: {}}}
"""
RULE = """\
  same_values:
    people: {equal: [["4", "4 people"]], ignore: " persons"}
"""


def load(folder: Path, text: str) -> ModelFile:
    path = folder / "tuneloop.yaml"
    path.write_text(text)
    return modelfile.load(path, environment={})


def test_a_task_without_rules_is_written_as_before_they_existed(tmp_path: Path) -> None:
    task = load(tmp_path, BASE).settings.task
    assert canonical_json(task.model_dump(mode="json")) == (
        '{"abstain":null,"output_pattern":null,'
        '"output_schema":{"properties":{"people":{},"time":{}}},"system":""}'
    )


def test_a_rule_is_part_of_the_task_but_not_of_the_datasets_recipe(tmp_path: Path) -> None:
    plain, ruled = load(tmp_path, BASE).settings, load(tmp_path, BASE + RULE).settings
    written: dict[str, Any] = ruled.task.model_dump(mode="json")
    assert written["same_values"]["people"]["equal"] == [["4", "4 people"]]
    assert type(ruled.task).model_validate(written) == ruled.task
    assert recipe(plain.data, plain.task) == recipe(ruled.data, ruled.task)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("persons: {ignore_case: true}", r"'persons' is no field .* its fields: people, time"),
        ("people: {ignroe: x}", "is not a known key. Did you mean 'ignore'"),
        ('people: {ignore: "("}', "is not a regular expression"),
        ('people: {equal: [["4"]]}', "at least 2 items"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(tmp_path: Path, rule: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        load(tmp_path, BASE + f"  same_values:\n    {rule}\n")
