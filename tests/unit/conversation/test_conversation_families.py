"""Stand-ins for the templates of known families, written after what they are known to do."""

from __future__ import annotations

import json
from datetime import date

import pytest

from tuneloop.conversation import Message, ToolCall
from tuneloop.conversation.pinning import pinned, reads_the_clock
from tuneloop.conversation.template import ChatTemplate, TemplateRefusalError, thinking_switch
from tuneloop.datasets.example import Example
from tuneloop.datasets.filters.template import Unwritable

USER, SAID = Message(role="user", content="q"), Message(role="assistant", content="a")
THOUGHT = Message(role="assistant", content="a", reasoning="r")
EARLIER = (Message(role="user", content="q0"), Message(role="assistant", content="a0"))
SYSTEM = Message(role="system", content="s")
TOOL = {"type": "function", "function": {"name": "at", "parameters": {"type": "object"}}}
CALL = ToolCall(name="at", arguments='{"city": "Oulu"}', id="abcdefghi")

QWEN3 = """
{%- if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}{% endfor %}<|im_end|>
{% endif %}
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}
{%- endfor %}
{%- for m in messages %}
{%- if m.role == 'assistant' %}<|im_start|>assistant
{% if loop.index0 > ns.last and (loop.last or m.reasoning_content) %}<think>
{{ m.reasoning_content | default('') | trim }}
</think>

{% endif %}{{ m.content }}
{%- for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments | tojson }}</tool_call>
{%- endfor %}<|im_end|>
{% else %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}{% endif %}"""
DEEPSEEK_R1 = """{{ bos_token }}
{%- for m in messages %}
{%- if m.role == 'user' %}<｜User｜>{{ m.content }}
{%- elif m.role == 'system' %}{{ m.content }}
{%- else %}<｜Assistant｜>{{ m.content.split('</think>')[-1] }}<｜end▁of▁sentence｜>{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<｜Assistant｜><think>
{% endif %}"""
LLAMA = """{{ bos_token }}
{%- if not date_string is defined %}
{%- if strftime_now is defined %}{% set date_string = strftime_now("%d %b %Y") %}
{%- else %}{% set date_string = "26 Jul 2024" %}{% endif %}
{%- endif %}
{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}
{%- set messages = messages[1:] %}
{%- else %}{% set system = "" %}{% endif -%}
<|start_header_id|>system<|end_header_id|>

Today Date: {{ date_string }}

{{ system }}<|eot_id|>
{%- for m in messages %}
{%- if m.tool_calls and m.tool_calls | length != 1 %}
{{- raise_exception("only single tool-calls at once") }}{% endif -%}
<|start_header_id|>{{ 'ipython' if m.role == 'tool' else m.role }}<|end_header_id|>

{% if m.tool_calls %}{"name": "{{ m.tool_calls[0].function.name }}", "parameters":
{{- m.tool_calls[0].function.arguments | tojson }}}{% else %}{{ m.content | trim }}{% endif -%}
<|eot_id|>{% endfor %}
{%- if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""
MISTRAL = """{{ bos_token }}
{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for m in messages %}
{%- if m.role == 'user' %}
{%- if tools and m == users[-1] %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]
{%- endif -%}
[INST] {{ m.content }}[/INST]
{%- elif m.tool_calls %}[TOOL_CALLS] [
{%- for c in m.tool_calls %}
{%- if c.id is not defined or c.id | length != 9 %}
{{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}{% endif %}
{{- c.function | tojson }}{% endfor %}]{{ eos_token }}
{%- elif m.role == 'assistant' %} {{ m.content | trim }}{{ eos_token }}
{%- else %}{{ raise_exception("Only user and assistant roles are supported!") }}{% endif %}
{%- endfor %}"""
GEMMA = """{{ bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for m in messages %}
{%- if (m.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif -%}
<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}
{{ m.content | trim }}<end_of_turn>
{% endfor %}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif %}"""
PHI = """{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}<|end|>
{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% else %}{{ eos_token }}{% endif %}"""
GRANITE = """{%- if not thinking is defined %}{% set thinking = false %}{% endif %}
{%- set today = strftime_now('%B %d, %Y') -%}
<|start_of_role|>system<|end_of_role|>Today's Date: {{ today }}.
{%- if thinking %} Write down your thoughts before responding.{% endif %}<|end_of_text|>
{% for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>
{% endfor %}{% if add_generation_prompt %}<|start_of_role|>assistant<|end_of_role|>{% endif %}"""
SMOLLM3 = """{%- if enable_thinking is not defined %}{% set enable_thinking = true %}{% endif -%}
<|im_start|>system
Today Date: {{ strftime_now("%d %B %Y") }}
Reasoning Mode: {{ '/think' if enable_thinking else '/no_think' }}<|im_end|>
{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.role == 'assistant' and not enable_thinking %}<think>

</think>
{% endif %}{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if not enable_thinking %}<think>

</think>
{% endif %}{% endif %}"""
GPT_OSS = """<|start|>system<|message|>You are a thinking model. Current date:
{{- strftime_now("%Y-%m-%d") }}<|end|>
{%- for m in messages %}<|start|>{{ m.role }}
{%- if m.role == 'assistant' %}
{%- if "thinking" in m %}<|channel|>analysis<|message|>{{ m.thinking }}<|end|><|start|>assistant
{%- endif %}<|channel|>final{% endif -%}
<|message|>{{ m.content }}{{ '<|return|>' if loop.last and m.role == 'assistant' else '<|end|>' }}
{%- endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"""
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
FAMILIES = {
    "qwen3": QWEN3, "deepseek-r1": DEEPSEEK_R1, "llama": LLAMA, "mistral": MISTRAL,
    "gemma": GEMMA, "phi": PHI, "granite": GRANITE, "smollm3": SMOLLM3, "gpt-oss": GPT_OSS,
}  # fmt: skip
ENDS = {
    "qwen3": "a<|im_end|>\n", "deepseek-r1": "\n</think>\n\na<｜end▁of▁sentence｜>",
    "llama": "a<|eot_id|>", "mistral": " a</s>", "gemma": "a<end_of_turn>\n",
    "phi": "a<|end|>\n</s>", "granite": "a<|end_of_text|>\n", "smollm3": "a<|im_end|>\n",
    "gpt-oss": "<|channel|>final<|message|>a<|return|>",
}  # fmt: skip


def family(name: str, *, thinking: bool = False) -> ChatTemplate:
    return ChatTemplate(text=pinned(FAMILIES[name], thinking=thinking), tokens=TOKENS)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("before", [(), EARLIER])
def test_an_answer_is_learnt_behind_the_prompt_that_is_served(
    name: str, before: tuple[Message, ...]
) -> None:
    template = family(name)
    prompt, rest = template.exchange((*before, USER), SAID)
    assert prompt == template.prompt((*before, USER))
    assert rest == ENDS[name]


@pytest.mark.parametrize(
    ("name", "end", "learnt"),
    [
        ("qwen3", "assistant\n", "<think>\nr\n</think>\n\na<|im_end|>\n"),
        ("deepseek-r1", "<think>\n", "r\n</think>\n\na<｜end▁of▁sentence｜>"),
        ("gpt-oss", "assistant", "<|channel|>analysis<|message|>r<|end|>"
         "<|start|>assistant<|channel|>final<|message|>a<|return|>"),
    ],
)  # fmt: skip
def test_a_thought_is_learnt_before_the_answer(name: str, end: str, learnt: str) -> None:
    prompt, rest = family(name, thinking=True).exchange((*EARLIER, USER), THOUGHT)
    assert prompt.endswith(end)
    assert rest == learnt


@pytest.mark.parametrize("name", ["llama", "gemma", "smollm3"])
def test_a_thought_that_a_template_does_not_write_leaves_its_row_out(name: str) -> None:
    filtered = Unwritable(template=family(name, thinking=True))
    row = Example(
        messages=(USER,),
        completion="The lamp is out.",
        reasoning="The lamp has no bulb.",
        source="rows.jsonl",
        line=1,
    )
    assert filtered(row).reason == "reasoning"


@pytest.mark.parametrize("answer", ["e", "s", "Assistant", "</s>", "s\n", "｜", "end"])
def test_an_answer_whose_letters_stand_in_the_end_of_the_turn_is_learnt_whole(answer: str) -> None:
    said = Message(role="assistant", content=answer)
    _, rest = family("deepseek-r1").exchange((USER,), said)
    assert rest == f"\n</think>\n\n{answer}<｜end▁of▁sentence｜>"


def test_what_a_family_refuses_is_refused_in_its_words() -> None:
    called = Message(role="assistant", content="", tool_calls=(CALL,))
    nameless = Message(role="assistant", content="", tool_calls=(ToolCall(name="at", id="1"),))
    twice = Message(role="assistant", content="", tool_calls=(CALL, CALL))
    for name, messages, answer, words in (
        ("gemma", (SYSTEM, USER), SAID, "System role"),
        ("gemma", (USER, USER), SAID, "must alternate"),
        ("mistral", (SYSTEM, USER), SAID, "Only user and assistant"),
        ("mistral", (USER,), nameless, "length 9"),
        ("llama", (USER,), twice, "only single tool-calls"),
        ("deepseek-r1", (USER,), called, "as it was given"),
    ):
        with pytest.raises(TemplateRefusalError, match=words):
            family(name).exchange(messages, answer, [TOOL])
    for name in ("qwen3", "llama", "mistral"):
        prompt, rest = family(name).exchange((USER,), called, [TOOL])
        assert '{"city": "Oulu"}' in rest
        assert ('"at"' in prompt) == (name != "llama")


@pytest.mark.parametrize("name", FAMILIES)
def test_nothing_is_left_to_the_clock_or_to_who_asks(name: str) -> None:
    text = pinned(FAMILIES[name], thinking=False, day=date(2026, 11, 30))
    assert not reads_the_clock(text)
    assert pinned(text, thinking=False, day=date(2026, 11, 30)) == text
    prompt = ChatTemplate(text=text, tokens=TOKENS).prompt((USER,))
    assert ("2026" in prompt) == (name in ("llama", "granite", "smollm3", "gpt-oss"))
    if thinking_switch(FAMILIES[name]):
        thinks = ChatTemplate(text=pinned(FAMILIES[name], thinking=True), tokens=TOKENS)
        assert thinks.prompt((USER,)) != prompt


def test_a_word_in_a_text_of_the_code_is_no_switch() -> None:
    switches = {name: thinking_switch(text) for name, text in FAMILIES.items()}
    assert {name: switch for name, switch in switches.items() if switch} == {
        "qwen3": "enable_thinking", "granite": "thinking", "smollm3": "enable_thinking"
    }  # fmt: skip
    assert thinking_switch("{{ 'You are a deep thinking AI' }}") is None
    assert thinking_switch("{{ \"It's\" if thinking else 'no' }}") == "thinking"


def test_arguments_that_are_nested_too_deeply_stay_text() -> None:
    deep = json.dumps({"a": 1}).replace("1", "[" * 20_000 + "]" * 20_000)
    call = Message(role="assistant", content="", tool_calls=(ToolCall(name="at", arguments=deep),))
    text = "{% for m in messages %}{{ m.tool_calls[0].function.arguments is string }}{% endfor %}"
    assert ChatTemplate(text=text).whole([call]) == "True"
