"""What `init` writes from rows that think, come in pairs, or cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tuneloop.datasets import versions
from tuneloop.errors import DataError
from tuneloop.registry.base_template import find_template
from tuneloop.setup.starting import Started, found_out, worth_a_look, write_model_file
from tuneloop.workspace import Workspace

PLAIN = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
THINKS = PLAIN.replace(
    ">{{ m['content'] }}",
    ">{% if m['reasoning_content'] %}<think>{{ m['reasoning_content'] }}</think>{% endif %}"
    "{{ m['content'] }}",
)

ON_THOUGHTS = ("task.thinking: ", "data.drop_thoughts: ")


def base(folder: Path, template: str) -> Path:
    """As much of a base as `init` and `prepare` read."""
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return folder


def row(n: int, **said: str) -> dict[str, Any]:
    asked = f"What do {n * 7919} kettles of {chr(97 + n % 23) * 4} cost?"
    answer = {"role": "assistant", "content": f"{n} euros", **said}
    return {"messages": [{"role": "user", "content": asked}, answer]}


def start(tmp_path: Path, rows: list[dict[str, Any]], template: str = PLAIN) -> Started:
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(one) + "\n" for one in rows))
    spec = str(base(tmp_path / "base", template))
    return write_model_file(data, base=spec, name="m", path=tmp_path)


@pytest.mark.parametrize(
    ("thinking_rows", "template", "thinking"),
    [(30, THINKS, True), (30, PLAIN, False), (10, THINKS, False)],
)
def test_a_model_thinks_where_every_answer_does_and_the_base_can(
    tmp_path: Path, thinking_rows: int, template: str, thinking: bool
) -> None:
    """Otherwise the answers are learnt alone: no row is left out for the sake of its thought."""
    rows = [
        row(n, **({"reasoning_content": f"I reckon {n}."} if n < thinking_rows else {}))
        for n in range(30)
    ]
    started = start(tmp_path, rows, template)
    settings = started.model_file.settings
    assert (settings.task.thinking, settings.data.drop_thoughts) == (thinking, not thinking)
    (said,) = (text for text in worth_a_look(started) if text.startswith(ON_THOUGHTS))
    assert said.startswith("task.thinking: on" if thinking else "data.drop_thoughts: ")
    assert ("10 of 30 answers" in said) is (thinking_rows == 10)
    version = versions.prepare(
        Workspace.open(tmp_path / ".tuneloop"),
        started.model_file,
        template=find_template(str(tmp_path / "base"), thinking=thinking),
    )
    assert version.report["rows_kept"] == 30 and version.report["left_out"] == {}


def test_without_thoughts_nothing_is_said_of_them(tmp_path: Path) -> None:
    started = start(tmp_path, [row(n) for n in range(30)])
    assert not any(text.startswith(ON_THOUGHTS) for text in worth_a_look(started))
    text = (tmp_path / "tuneloop.yaml").read_text()
    assert "thinking" not in text and "drop_thoughts" not in text


def test_what_becomes_of_every_column_and_every_row_is_said(tmp_path: Path) -> None:
    rows = [
        {
            "Prompt": f"What do {n * 7919} kettles of {chr(97 + n % 23) * 4} cost?",
            "Chosen": f"{n} euros",
            "REJECTED": "Who knows?",
            "System": "Be brief.",
            "lang": "de" if n % 2 else "en",
            "Ticket": f"t{n}",
            "Customer ID": f"c{n % 5}",
            "notes": "long " * 60 if n < 4 else None,
        }
        for n in range(20)
    ]
    started = start(tmp_path, [*rows, {"Prompt": "and this?"}, {"Prompt": None, "Chosen": "x"}])
    found = dict(found_out(started))
    assert found["rows"] == "22, 20 usable"
    assert found["left out"].startswith("2 × unknown_form, first in line 21: no answer among")
    assert found["form"] == "preference pair"
    assert found["system"] == started.model_file.settings.task.system == "Be brief."
    assert found["pairs"] == "20 rows with a worse answer beside the right one"
    assert found["groups"] == "5 by Customer ID; each stays together in the split"
    assert found["tags"] == "Ticket (20 values in 20 rows), lang (2 values in 20 rows)"
    assert found["not used"].startswith("notes (4 rows): ")
    assert any(text.startswith("training.method: lora") for text in worth_a_look(started))


def test_a_conversation_is_looked_at_answer_by_answer(tmp_path: Path) -> None:
    """Also where the early ones are those that do not fit what the last ones are like."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Number {n * 7919} of {chr(97 + n % 23) * 4}?"},
                {"role": "assistant", "content": json.dumps({"way": None, "sum": n + 0.5})},
                {"role": "user", "content": f"And {n * 104729}?"},
                {"role": "assistant", "content": json.dumps({"way": f"way {n}", "sum": n})},
            ]
        }
        for n in range(20)
    ]
    started = start(tmp_path, rows)
    assert dict(found_out(started))["answers"] == (
        "40 in 20 rows; JSON with way, sum; all required"
    )
    schema = started.model_file.settings.task.output_schema
    assert schema is not None
    assert schema["properties"] == {
        "way": {"type": ["null", "string"]},
        "sum": {"type": "number"},
    }
    version = versions.prepare(Workspace.open(tmp_path / ".tuneloop"), started.model_file)
    assert version.report["left_out"] == {}


def test_calls_of_tools_are_no_answers_in_the_form_of_the_task(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": '{"n": 1}'}}
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Number {n * 7919} of {chr(97 + n % 23) * 4}?"},
                {"role": "assistant", "tool_calls": [call]},
                {"role": "tool", "content": "found"},
                {"role": "assistant", "content": json.dumps({"sum": n})},
            ],
            "tools": [{"type": "function", "function": {"name": "find"}}],
        }
        for n in range(20)
    ]
    started = start(tmp_path, rows)
    assert dict(found_out(started))["answers"].endswith("; 20 call tools")
    schema = started.model_file.settings.task.output_schema
    assert schema is not None and list(schema["properties"]) == ["sum"]
    version = versions.prepare(Workspace.open(tmp_path / ".tuneloop"), started.model_file)
    assert version.report["rows_kept"] == 40 - version.report["left_out"].get("exact_duplicate", 0)
    assert "output_breaks_schema" not in version.report["left_out"]


def test_a_file_without_a_usable_row_is_answered_with_reasons_and_lines(tmp_path: Path) -> None:
    rows = [{"messages": []}, {"messages": [{"role": "boss", "content": "x"}]}, {"messages": []}]
    with pytest.raises(DataError) as caught:
        start(tmp_path, rows)
    assert "has no usable row:\n  2 × no_messages, first in line 1: " in caught.value.message
    assert "  1 × unknown_role, first in line 2: " in caught.value.message


@pytest.mark.parametrize(("rare", "balanced"), [(4, True), (25, False)])
def test_rows_of_which_most_have_one_label_are_held_to_every_label(
    tmp_path: Path, rare: int, balanced: bool
) -> None:
    """A constant answer would be right in 92 %: accuracy alone lets it pass."""
    rows = [
        {"prompt": f"{n * 7919} and then?", "completion": "refund" if n >= rare else "delivery"}
        for n in range(50)
    ]
    gates = start(tmp_path, rows).model_file.settings.evaluation.gates
    assert ("balanced_accuracy" in gates) is balanced
    assert gates["accuracy"].condition == ">= 0.90"
