"""Rows of the formats in use: what stands beside prompt and answer is used, or said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from cases import case
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion, read_examples
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings
from tuneloop.workspace import Workspace

Prepared = Callable[..., DatasetVersion]


@pytest.fixture
def prepared(workspace: Workspace, tmp_path: Path) -> Prepared:
    """Makes a version of one file of a case."""

    def prepare(file: Path, **data: object) -> DatasetVersion:
        settings = ModelSettings(
            name="desk", base="tiny", data=DataSettings(sources=(str(file),), **data)
        )
        path = tmp_path / "tuneloop.yaml"
        return versions.prepare(
            workspace, ModelFile(path=path, settings=settings, origins={}), previous=None
        )

    return prepare


def rows(workspace: Workspace, version: DatasetVersion) -> list[tuple[str, str, str]]:
    """System text, the last question, and the answer of all rows."""
    return [
        (example.system, example.question, example.completion)
        for side in ("train", "eval")
        for example in read_examples(workspace, version, side)
    ]


def test_the_system_text_of_a_column_is_the_system_turn(
    workspace: Workspace, prepared: Prepared
) -> None:
    for name in ("train.jsonl", "dpo.jsonl"):
        made = rows(workspace, prepared(case("system-column") / name))
        pirates = [answer for system, _, answer in made if system == "Answer like a pirate."]
        assert pirates and all(answer.startswith("Arr") for answer in pirates)
        assert all(system for system, _, _ in made)


def test_the_context_is_part_of_the_prompt(workspace: Workspace, prepared: Prepared) -> None:
    made = prepared(case("context-column") / "train.jsonl")
    assert all(answer in question for _, question, answer in rows(workspace, made))
    table = prepared(case("context-column") / "alpaca.csv")
    assert (table.report["rows_in"], table.report["sources"][0]["kept"]) == (32, 32)
    assert table.report["contradictions"]["questions"] == 0
    questions = [question for _, question, _ in rows(workspace, table)]
    assert all(question.startswith("Say in one word") for question in questions)
    assert len(set(questions)) == len(questions)


def test_whole_conversations_are_pairs_of_their_last_turns(
    workspace: Workspace, prepared: Prepared
) -> None:
    for name in ("pairs.jsonl", "no-messages-column.jsonl"):
        made = prepared(case("full-conversation-pairs") / name)
        pairs = made.report["preferences"]
        assert pairs["train"] + pairs["eval"] == made.report["rows_in"] == 60
        for _, question, answer in rows(workspace, made):
            assert "I am sorry" in answer and "I am sorry" not in question


def test_every_answer_of_a_conversation_is_learnt(workspace: Workspace, prepared: Prepared) -> None:
    file = case("only-last-turn") / "train.jsonl"
    made = prepared(file)
    assert (made.report["rows_in"], made.report["answers_in"]) == (16, 48)
    assert len(set(rows(workspace, made))) == made.report["rows_kept"] == 48
    assert prepared(file, turns="last").report["rows_kept"] == 16


def test_what_was_marked_as_bad_is_not_taught(workspace: Workspace, prepared: Prepared) -> None:
    made = prepared(case("thumbs-down-rows") / "train.jsonl")
    assert made.report["left_out"] == {"marked_bad": 30}
    assert not any("Not our problem" in answer for _, _, answer in rows(workspace, made))


def test_two_forms_in_one_file_are_both_read(workspace: Workspace, prepared: Prepared) -> None:
    made = prepared(case("two-forms-in-one-file") / "train.parquet")
    assert made.report["rows_in"] == made.report["rows_kept"] == 40
    both = prepared(case("two-forms-in-one-file") / "examples-and-pairs.parquet")
    forms = Counter(both.report["sources"][0]["forms"])
    assert (forms.pop("preference pair"), forms.total()) == (10, 30)
