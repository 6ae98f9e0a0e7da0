"""A suite is written into a model file without touching what a person wrote there."""

from __future__ import annotations

import pytest
import yaml

from tuneloop.modelfile.declaring import lines_of, with_suite

SUITE = {"name": "golden", "kind": "golden", "file": "golden.jsonl"}
ENTRY = "{name: golden, kind: golden, file: golden.jsonl}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: desk # mine\n", f"name: desk # mine\n\nevaluation:\n  suites:\n    - {ENTRY}\n"),
        (
            "evaluation:\n  # what counts\n  margin: 0.02 # little\n  # later\n\nname: desk\n",
            "evaluation:\n  # what counts\n  margin: 0.02 # little\n"
            f"  suites:\n    - {ENTRY}\n  # later\n\nname: desk\n",
        ),
        (
            "evaluation:\n    suites:\n    - name: a\n      file: a.jsonl # first\nname: desk",
            "evaluation:\n    suites:\n    - name: a\n      file: a.jsonl # first\n"
            f"    - {ENTRY}\nname: desk",
        ),
        (
            "evaluation: {margin: 0.02}\r\nname: desk\r\n",
            f"evaluation: {{margin: 0.02, suites: [{ENTRY}]}}\r\nname: desk\r\n",
        ),
        (
            "evaluation:\r\n  suites: [{name: a, file: a.jsonl}, ]  # two\r\n",
            f"evaluation:\r\n  suites: [{{name: a, file: a.jsonl}}, {ENTRY}, ]  # two\r\n",
        ),
        ("evaluation:\n  suites: []\n", f"evaluation:\n  suites: [{ENTRY}]\n"),
        (
            "evaluation:\n  gates:\n    note: |\n      two\n      lines\nname: desk\n",
            "evaluation:\n  gates:\n    note: |\n      two\n      lines\n"
            f"  suites:\n    - {ENTRY}\nname: desk\n",
        ),
    ],
)
def test_one_entry_more_and_all_else_as_it_was(text: str, expected: str) -> None:
    assert with_suite(text, SUITE) == expected
    assert yaml.safe_load(expected)["evaluation"]["suites"][-1] == SUITE


@pytest.mark.parametrize(
    "text",
    [
        "evaluation:\nname: desk\n",  # which is null
        "evaluation:\n  suites:\n",
        "{name: desk}\n",
        "name: desk\n...\n",
        "name: [",
        "",
    ],
)
def test_what_cannot_be_written_for_sure_is_left_to_a_person(text: str) -> None:
    assert with_suite(text, SUITE) is None


def test_the_lines_to_copy_are_a_model_files() -> None:
    odd = SUITE | {"file": "my cases: 1.jsonl"}
    assert yaml.safe_load(lines_of(odd)) == {"evaluation": {"suites": [odd]}}
