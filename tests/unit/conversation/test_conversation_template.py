"""What a base's template writes of a conversation, and what is decided in it once and for all."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.conversation import Message, ToolCall
from tuneloop.conversation.pinning import pinned, reads_the_clock
from tuneloop.conversation.template import ChatTemplate, TemplateRefusalError, thinking_switch
from tuneloop.conversation.thoughts import answer_in, split_thought
from tuneloop.registry.base_model import BaseModel
from tuneloop.registry.base_template import template_in
from tuneloop.registry.pinned_base import pinned_base
from tuneloop.storage.captured import text

USER, SAID = Message(role="user", content="q"), Message(role="assistant", content="a")
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
)
SWITCHED = TURNS + (
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% endif %}{% endif %}"
)


def test_a_switch_is_a_variable_and_no_key_of_a_message() -> None:
    assert thinking_switch(SWITCHED) == "enable_thinking"
    assert thinking_switch("{% if thinking %}x{% endif %}") == "thinking"
    assert thinking_switch("{{ m.thinking }}{{ m['thinking'] }} enable_thinking") is None


OWN = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nI am Base.<|im_end|>\n{% endif %}"
)
IN_THE_USERS_TURN = (
    "{% set said = messages[0].content + '\n\n' if messages[0].role == 'system' else '' %}"
    "{% for m in messages if m.role != 'system' %}<{{ m.role }}>{{ said if loop.first else '' }}"
    "{{ m.content }}{% endfor %}"
)
ALWAYS_DATED = (
    "<system>Cutoff: 2023{% if messages[0].role == 'system' %}\n{{ messages[0].content }}"
    "{% endif %}</system>{{ messages[-1].content }}"
)


@pytest.mark.parametrize(
    ("text", "own"),
    [
        (OWN + TURNS + "{% endif %}", "I am Base."),
        (TURNS + "{% endif %}", ""),
        (IN_THE_USERS_TURN, ""),
        (ALWAYS_DATED, ""),
        ("{{ raise_exception('never') }}", ""),
    ],
)
def test_what_a_template_says_where_nobody_brings_a_system_text(text: str, own: str) -> None:
    assert ChatTemplate(text=text).own_system == own


@pytest.mark.parametrize(("thinking", "end"), [(False, "<think>\n\n</think>\n\n"), (True, "")])
def test_whether_to_think_is_decided_in_the_text(thinking: bool, end: str) -> None:
    template = ChatTemplate(text=pinned(SWITCHED, thinking=thinking))
    assert template.prompt([USER]).endswith(f"assistant\n{end}")
    assert pinned(template.text, thinking=thinking) == template.text
    assert pinned(TURNS, thinking=thinking) == TURNS


def test_the_day_is_decided_in_the_text() -> None:
    text = (
        "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}"
        '{% endif %}Today: {{ date_string }}, {{ strftime_now("%Y") }}'
    )
    assert reads_the_clock(text)
    decided = pinned(text, thinking=False, day=date(2026, 11, 30))
    assert not reads_the_clock(decided)
    assert ChatTemplate(text=decided).prompt([USER]) == "Today: 30 Nov 2026, 2026"


def test_a_day_that_a_server_may_hand_over_is_decided_too() -> None:
    text = (
        "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}"
        "Today: {{ date_string }}"
    )
    decided = pinned(text, thinking=False)
    assert pinned(decided, thinking=False) == decided
    handed_over = ChatTemplate(text=decided, tokens={"date_string": "30 Nov 2026"})
    assert handed_over.prompt([USER]) == "Today: 26 Jul 2024"


def test_a_base_that_asks_is_kept_with_the_answer(tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    config = {"chat_template": SWITCHED, "bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    tokens = [{"content": "<s>", "special": True}, {"content": "<think>", "special": False}]
    (folder / "tokenizer.json").write_text(json.dumps({"added_tokens": tokens}))
    (folder / "model.safetensors").write_bytes(b"weights")
    base = BaseModel(spec="x", revision=None, digest="d" * 64, folder=folder)
    off, on = (pinned_base(base, thinking=it, cache=tmp_path / "c") for it in (False, True))
    assert len({base.digest, off.digest, on.digest}) == 3
    assert pinned_base(base, thinking=False, cache=tmp_path / "c") == off
    assert pinned_base(off, thinking=False, cache=tmp_path / "c") == off
    assert (off.folder / "model.safetensors").read_bytes() == b"weights"
    read = template_in(off.folder)
    assert read is not None and read == template_in(folder)
    assert read.prompt([USER]).endswith("</think>\n\n")
    assert read.tokens == {"bos_token": "<s>", "eos_token": "</s>"}
    assert read.control_tokens == ("<s>",)
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": TURNS + "{% endif %}"})
    )
    assert pinned_base(base, thinking=True, cache=tmp_path / "c") == base


def test_arguments_of_calls_reach_a_template_as_values() -> None:
    call = Message(
        role="assistant",
        content="",
        tool_calls=(ToolCall(name="at", arguments='{"city": "Oulu"}'),),
    )
    text = "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments.city }}"
    assert ChatTemplate(text=text + "{% endfor %}{% endfor %}").whole([call]) == "Oulu"


def test_a_refusal_keeps_the_templates_own_words() -> None:
    template = ChatTemplate(text="{{ raise_exception('no system turn here') }}")
    with pytest.raises(TemplateRefusalError, match="no system turn here"):
        template.exchange([USER], SAID)


@pytest.mark.parametrize(
    ("written", "thought", "answer"),
    [
        ("a", "", "a"),
        ("<think>\nr\n</think>\n\na", "r", "a"),
        ("\n<think></think>a", "", "a"),
        ("r\n</think>\na", "r", "a"),
        ("[THINK]r[/THINK]a", "r", "a"),
        ("<think>\nr, cut off", "r, cut off", ""),
        ("say <think> in a text", "", "say <think> in a text"),
        ("Write <think> and </think> tags.", "", "Write <think> and </think> tags."),
        ("The mark </think> ends it.", "", "The mark </think> ends it."),
        ("it says </think> in words\n</think>\n\na", "it says </think> in words", "a"),
        ("<think>one</think>\na\n<think>two</think>", "one", "a\n<think>two</think>"),
        ("<think>the mark [/THINK] is another's</think>a", "the mark [/THINK] is another's", "a"),
        ("r</think>\n", "r", ""),
    ],
)
def test_a_thought_is_no_part_of_the_answer(written: str, thought: str, answer: str) -> None:
    assert split_thought(written) == (thought, answer)
    assert answer_in(written) == answer


PARTS = st.sampled_from(["<think>", "</think>", "[THINK]", "[/THINK]", "\n", "r", " ", "```"])


@given(st.lists(PARTS, max_size=8).map("".join))
def test_captures_are_read_as_answers_are(written: str) -> None:
    frame = pl.DataFrame({"response": [written]}).select(text())
    thought, answer = split_thought(written)
    assert thought in written and written.endswith(answer)
    assert frame.item() == answer
