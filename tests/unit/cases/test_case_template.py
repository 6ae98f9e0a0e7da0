"""What a base's chat template cannot write is left out row by row, and never stops a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cases import case
from tuneloop.conversation.control_tokens import neutral
from tuneloop.conversation.template import ChatTemplate
from tuneloop.datasets import versions
from tuneloop.datasets.versions import DatasetVersion, read_examples, read_left_out
from tuneloop.modelfile import DataSettings, ModelFile, ModelSettings, TaskSettings
from tuneloop.workspace import Workspace

TURNS = (
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PLAIN = "{% for m in messages %}" + TURNS
STRICT = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant have to take turns') }}{% endif %}" + TURNS
)
THINKS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['reasoning_content'] %}"
    "<think>\n{{ m['reasoning_content'] }}\n</think>\n{% endif %}{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
Prepared = Callable[..., DatasetVersion]


@pytest.fixture
def prepared(workspace: Workspace, tmp_path: Path) -> Prepared:
    """Makes a version of one file for a base with this template."""

    def prepare(
        file: Path, template: str, *, thinking: bool = False, **data: object
    ) -> DatasetVersion:
        settings = ModelSettings(
            name="desk",
            base="tiny",
            data=DataSettings(sources=(str(file),), **data),
            task=TaskSettings(thinking=thinking),
        )
        return versions.prepare(
            workspace,
            ModelFile(path=tmp_path / "tuneloop.yaml", settings=settings, origins={}),
            previous=None,
            template=ChatTemplate(text=template),
        )

    return prepare


def test_turns_that_the_template_refuses_are_left_out_with_their_line(
    workspace: Workspace, prepared: Prepared
) -> None:
    file = case("roles-in-turn") / "train.jsonl"
    made = prepared(file, STRICT)
    assert (made.report["rows_in"], made.report["rows_kept"]) == (42, 40)
    assert made.report["left_out"] == {"template": 2}
    for row in read_left_out(workspace, made):
        assert row["line"] > 0 and "take turns" in row["detail"]
    assert prepared(file, PLAIN).report["rows_kept"] == 42


def test_a_thought_is_used_or_its_row_is_left_out(workspace: Workspace, prepared: Prepared) -> None:
    file = case("reasoning-key") / "train.jsonl"
    with pytest.raises(Exception, match=r"32 × reasoning|reasoning: 32|task.thinking"):
        prepared(file, PLAIN)
    thinking = prepared(file, THINKS, thinking=True)
    rows = read_examples(workspace, thinking, "train")
    assert rows and all(row.reasoning and row.reasoning not in row.completion for row in rows)
    with pytest.raises(Exception, match="no place for a thought"):
        prepared(file, PLAIN, thinking=True)
    plain = prepared(file, PLAIN, drop_thoughts=True)
    assert not any(row.reasoning for row in read_examples(workspace, plain, "train"))


TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def test_control_tokens_in_words_are_kept_as_words(
    workspace: Workspace, prepared: Prepared
) -> None:
    """Training, suites and the gateway break them up; rows stay as people wrote them."""
    made = prepared(case("control-tokens") / "train.jsonl", PLAIN)
    assert made.report["rows_in"] == made.report["answers_in"]
    assert set(made.report["left_out"]) <= {"leftover_template"}
    template = ChatTemplate(text=PLAIN, control_tokens=TOKENS)
    for side in ("train", "eval"):
        for row in read_examples(workspace, made, side):
            words = tuple(
                turn.rewritten(lambda text: neutral(text, TOKENS)) for turn in row.messages
            )
            prompt = template.prompt(words)
            assert prompt.count("<|im_start|>") == len(row.messages) + 1
            assert prompt.count("<|im_end|>") == len(row.messages) and TOKENS[0] not in prompt


EMPTY_THOUGHT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' and loop.last and '</think>' not in m['content'] %}"
    "<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_no_empty_thought_is_taught(workspace: Workspace, prepared: Prepared) -> None:
    made = prepared(case("empty-thought-block") / "train.jsonl", EMPTY_THOUGHT)
    assert made.report["rows_kept"] == 72
    template = ChatTemplate(text=EMPTY_THOUGHT)
    for row in read_examples(workspace, made, "train"):
        prompt, answer = template.exchange(row.messages, row.said)
        assert prompt.endswith("<|im_start|>assistant\n")
        assert answer == f"{row.completion}<|im_end|>\n"
