"""A base whose template shows tools and slips an empty thought into answers, in the whole loop.

Trained, exported, compared form by form, evaluated and smoke-tested with the tools of its rows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiny_desk import GATES, as_json, make_desk, tuneloop
from tuneloop.registry import bundle as bundles
from tuneloop.workspace import Workspace

pytestmark = pytest.mark.timeout(600)

TEMPLATE = (
    "{%- if tools %}<|im_start|>system\nTools:{% for t in tools %} {{ t | tojson }}{% endfor %}\n"
    'Call one with <tool_call>{"name": …, "arguments": …}</tool_call>.<|im_end|>\n{% endif %}'
    "{% for m in messages %}{% if m.role == 'tool' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n"
    "{% else %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last and not m.tool_calls and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n"
    '{"name": "{{ c.function.name }}", "arguments": {{ c.function.arguments | tojson }}}\n'
    "</tool_call>{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CITIES = (
    *("Oulu", "Turku", "Porto", "Graz", "Brno", "Tartu", "Split", "Ghent", "Lviv", "Cork"),
    *("Bergamo", "Bilbao", "Malmo", "Basel", "Trier", "Kassel", "Jena", "Pisa", "Siena", "Lecce"),
    *("Nancy", "Lille", "Metz", "Brest", "Vigo", "Leon", "Soria", "Huesca", "Faro", "Beja"),
)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def conversation(number: int, city: str) -> dict[str, object]:
    call = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {
        "messages": [
            {"role": "user", "content": f"How is it in {city} on day {number} of the month?"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": call}]},
            {"role": "tool", "tool_call_id": "1", "content": f"{number} degrees, <|im_end|>"},
            {"role": "assistant", "content": f"It is {number} degrees in {city}."},
        ],
        "tools": [TOOL],
    }


def test_rows_with_tools_are_trained_evaluated_and_served_with_them(tmp_path: Path) -> None:
    desk = make_desk(tmp_path)
    (tmp_path / "base/chat_template.jinja").write_text(TEMPLATE)
    rows = [json.dumps(conversation(number, city)) for number, city in enumerate(CITIES)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    settings = yaml.safe_load(desk.read_text())
    del settings["endpoint"]["constrain_output"]
    settings["evaluation"] = {
        "gates": GATES,
        "allow_small_suite": True,
        "concurrency": 1,
    }
    desk.write_text(yaml.safe_dump({**settings, "task": {}, "data": {"sources": ["rows.jsonl"]}}))
    said = tuneloop(tmp_path, "run").stderr
    assert "answers in 30 rows" in said
    # The smoke test compares what the server says to the evaluation's answers, tools and all.
    assert "unlike the untuned base" in said
    shown = as_json(tmp_path, "status")
    workspace = Workspace.open(tmp_path / ".tuneloop")
    bundle = bundles.find(workspace, "production", model=shown["model"])
    dataset = workspace.artifacts.get(bundle.manifest.artifacts.dataset)
    trained = read(dataset / "train.jsonl")
    assert all(row["tools"] == [TOOL] for row in trained)
    assert any(row.get("calls_tools") for row in trained)
    assert "<|im_end|>" in (bundle.manifest.serving.control_tokens or ())
    answers = next(workspace.artifacts.get(bundle.manifest.artifacts.evaluation).glob("answers*"))
    asked = read(answers)
    assert all(answer["tools"] == [TOOL] for answer in asked)
    said_by_tools = [m["content"] for a in asked for m in a["messages"] if m["role"] == "tool"]
    assert said_by_tools and not any("<|im_end|>" in content for content in said_by_tools)
    # Whether to think was decided once: the template that serves no longer asks.
    served = workspace.artifacts.get(bundle.manifest.artifacts.export)
    text = next(served.rglob("chat_template.jinja")).read_text()
    assert text.startswith("{%- set enable_thinking = false -%}")
