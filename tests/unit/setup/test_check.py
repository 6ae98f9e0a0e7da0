"""What can fail later is said before anything is trained: what, found, verdict, remedy."""

from __future__ import annotations

import json
import re
import shlex
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from on_terminal import OnTerminal
from tiny_base import CHATML, SPECIALS, starting_with, write_base, write_json, write_weights
from tuneloop import review
from tuneloop.candidates import held_out, preparing
from tuneloop.cli.main import app
from tuneloop.errors import CheckError
from tuneloop.loop import Loop
from tuneloop.progress import Silent
from tuneloop.project import Project
from tuneloop.retraining import cycles
from tuneloop.setup import check
from tuneloop.setup.checks import time
from tuneloop.setup.finding import Finding
from tuneloop.setup.look import Look
from tuneloop.testing.upstream import Reply, ScriptedUpstream
from web_files import WebFiles, serving

LONG = "is it this one or is it that one? " * 20
QUARTER = {"holdout_share": 0.25}
"""Of a hundred rows enough that the decision is no coin."""
LABELS = ("billing", "delivery", "returns")
STRICT = (
    "{% for m in messages %}"
    "{% if m['role'] == 'system' %}{{ raise_exception('no system turn here') }}{% endif %}"
    "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant have to take turns') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write(folder: Path, *, rows: list[dict[str, Any]] | None = None, **sections: Any) -> Path:
    """A model's folder in which nothing is wrong but what `sections` say."""
    rows = asked(400) if rows is None else rows
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content: dict[str, Any] = {
        "name": "desk",
        "base": "base",
        "data": {"sources": ["rows.jsonl"]},
        "evaluation": {"gates": {"error_share": "<= 0.1"}},
        "endpoint": {"port": free(), "context_tokens": 512},
    }
    for section, values in sections.items():
        known = content.get(section)
        both = isinstance(known, dict) and isinstance(values, dict)
        content[section] = {**known, **values} if both else values
    (folder / "tuneloop.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def asked(count: int) -> list[dict[str, Any]]:
    return [
        {"prompt": f"{n * 7919} and then {n * 104729}?", "completion": LABELS[n % 3]}
        for n in range(count)
    ]


def free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def looked_over(folder: Path, *, port: bool = False) -> list[Finding]:
    """What is found; without `port` not of the port, which anybody here may have taken since."""
    project = Project.open(folder, actor="ada")
    try:
        return [f for f in check.look_over(project) if port or f.what != "port"]
    finally:
        project.close()


def the_one(folder: Path, what: str, verdict: str) -> Finding:
    """The one finding of this verdict, which is on this thing."""
    (found,) = [f for f in looked_over(folder, port=what == "port") if f.verdict == verdict]
    assert found.what == what, found
    return found


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_nothing_is_said_against_what_is_right(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    found = looked_over(write(tmp_path))
    assert {f.verdict for f in found} == {"ok"}, found
    assert {
        *(
            "names",
            "gate",
            "decision",
            "rows",
            "kind",
            "weights",
            "converter",
            "template",
            "start token",
        ),
        *("end token", "tokens", "clock", "window", "row length", "answer", "context"),
        *("memory", "disk", "time", "system text"),
    } == {f.what for f in found}


def prose(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"Dialogue {n}: {n * 7919} and then {n * 104729}?",
            "completion": f"The caller of {n * 7919} asked for {n * 31} and was told to wait for a "
            f"letter that comes within {n % 9} days, unless it is number {n}.",
        }
        for n in range(count)
    ]


def test_prose_that_is_judged_by_a_match_of_words(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    said = the_one(write(tmp_path, rows=prose(400)), "kind", "warning")
    assert "hardly any answer reaches" in said.found
    assert "task.kind: prose" in said.remedy
    as_prose = {"kind": "prose"}
    found = looked_over(write(tmp_path, rows=prose(400), task=as_prose))
    assert {f.verdict for f in found if f.what != "grounded"} == {"ok"}


def test_answers_that_add_what_no_prompt_has(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    task = {"kind": "prose"}
    said = the_one(write(tmp_path, rows=prose(400), task=task), "grounded", "warning")
    assert "do not stand in their prompts" in said.found and "made up" in said.found
    assert "into the prompts" in said.remedy
    kept = [
        {**row, "completion": f"Thank you, we have written down that {row['prompt']} was asked."}
        for row in prose(400)
    ]
    folder = write(tmp_path, rows=kept, task=task)
    (fine,) = [found for found in looked_over(folder) if found.what == "grounded"]
    assert (fine.verdict, fine.found[:14]) == ("ok", "0.0% (0.0% to ")


YES = "Yes, we ship to Norway as well."


@pytest.mark.parametrize(
    ("other", "suspected"),
    [
        ("No, we do not ship abroad.", True),
        ("Yes, we ship to Sweden as well.", True),
        ("We ship to Norway, of course, and it takes 3 days.", False),
        ("Gladly: what you order goes to Norway.", False),
        ("Yes, gladly, also to Norway. We do not charge you for it.", False),
    ],
)
def test_prose_that_answers_one_question_with_other_facts(
    tmp_path: Path, other: str, suspected: bool
) -> None:
    """It is learnt all the same, as both may be right; a person reads the rows that are named."""
    write_base(tmp_path / "base")
    asked_twice = [
        {"prompt": "Do you ship abroad?", "completion": YES},
        {"prompt": "Hello, do you ship abroad? Thanks!", "completion": other},
    ]
    write(tmp_path, rows=[*prose(60), *asked_twice], task={"kind": "prose"})
    (said,) = [found for found in looked_over(tmp_path) if found.what == "contradictions"]
    assert said.verdict == ("warning" if suspected else "ok")
    if suspected:
        assert said.found.startswith("1 question is answered with other facts")
        assert f"rows.jsonl, line 61 (“{YES}”) and rows.jsonl, line 62 (“{other}”)" in said.found


def test_labels_that_are_declared_as_prose(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    rows = [{"prompt": f"message {n * 7919}", "completion": "abc"[n % 3]} for n in range(400)]
    said = the_one(write(tmp_path, rows=rows, task={"kind": "prose"}), "kind", "warning")
    assert said.remedy == "Declare task.kind: labels."


# Names, suites, gates


@pytest.mark.parametrize(
    ("gate", "meant"),
    [
        ({"acuracy": ">= 0.9"}, "Did you mean 'accuracy'?"),
        ({"accuracy": "<= 0.9"}, 'Did you mean ">= 0.9"?'),
    ],
)
def test_a_gate_on_nothing_or_the_wrong_way_round(
    tmp_path: Path, gate: dict[str, str], meant: str
) -> None:
    write_base(tmp_path / "base")
    write(tmp_path, evaluation={"gates": gate})
    found = the_one(tmp_path, "names", "error")
    assert meant in found.sentence and "tuneloop.yaml:" in found.found


def test_a_suite_without_cases(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    (tmp_path / "golden.jsonl").write_text("\n")
    suites = [{"name": "golden", "kind": "golden", "file": "golden.jsonl"}]
    write(tmp_path, evaluation={"suites": suites})
    assert "has no cases" in the_one(tmp_path, "names", "error").found


def test_how_often_the_decision_will_err_on_so_many_cases(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    small = {"gates": {"accuracy": ">= 0.9"}, "allow_small_suite": True}
    write(tmp_path, rows=asked(20), evaluation=small)
    (found,) = [f for f in looked_over(tmp_path) if f.what == "decision"]
    assert found.verdict == "warning"
    assert "On 2 cases a candidate as good as production is refused in" in found.found
    assert "label a random sample" in found.remedy
    write(tmp_path, rows=asked(420), evaluation=small)
    told = next(f for f in looked_over(tmp_path) if f.what == "decision")
    assert told.verdict == "ok" and "takes about 200 cases" in told.found
    for rows, said in (
        (420, "25% of 420 rows, the most that it takes."),
        (1_000, "20% of 1,000 rows for that."),
    ):
        write(tmp_path, rows=asked(rows))
        told = next(f for f in looked_over(tmp_path) if f.what == "decision")
        assert f"auto holds out {said}" in told.found


def test_rows_of_few_customers_say_less_than_as_many_others(tmp_path: Path) -> None:
    """Of the gate before anything is split and trained; of the decision once it is split."""
    write_base(tmp_path / "base")
    rows = [{**row, "customer": f"c{n % 8}"} for n, row in enumerate(asked(400))]
    gates: dict[str, Any] = {"accuracy": {"condition": None, "reason": "x"}, "format": ">= 0.95"}
    data = {"sources": ["rows.jsonl"], "group_field": "customer"}
    write(tmp_path, rows=rows, data=data, evaluation={"gates": gates})
    (doubted,) = [f for f in looked_over(tmp_path) if f.what == "gate"]
    assert doubted.verdict == "warning" and "held-out.format counts" in doubted.found
    assert "even a candidate that fails none" in doubted.found
    with closing(Project.open(tmp_path, actor="ada")) as project:
        held = held_out.held_out(project, preparing.prepare(project))
    (size,) = held.doubted
    assert size.doubt and f"{size.doubt.groups} groups" in doubted.found
    assert any("even a candidate that fails none" in told for told in held.warnings())
    (told,) = [f for f in looked_over(tmp_path) if f.what == "decision"]
    assert f"On {int(size.doubt.worth)} cases" in told.found
    assert f"The {size.counted} held-out cases are {size.doubt.groups} groups" in told.found


def test_a_gate_gets_too_few_cases_of_its_own_metric(tmp_path: Path) -> None:
    """The rows are enough for accuracy, and only three of them are out of scope."""
    write_base(tmp_path / "base")
    rows = [
        {"prompt": row["prompt"], "completion": json.dumps({"intent": intent})}
        for n, row in enumerate(asked(300))
        for intent in ["other" if n % 100 == 0 else LABELS[n % 3]]
    ]
    schema = {"type": "object", "properties": {"intent": {"type": "string"}}}
    task = {"output_schema": schema, "abstain": {"field": "intent", "value": "other"}}
    gates = {"accuracy": ">= 0.9", "abstention_recall": ">= 0.9"}
    write(tmp_path, rows=rows, task=task, evaluation={"gates": gates})
    found = the_one(tmp_path, "gate", "error")
    # A class with two groups is on both sides of the split.
    assert (
        "held-out.abstention_recall counts 1 held-out" in found.found and "needs 50" in found.found
    )
    assert "rows that it counts" in found.remedy


def test_the_name_of_the_datasets_own_regressions_is_taken(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    (tmp_path / "mine.jsonl").write_text(json.dumps({"prompt": "hi", "completion": "billing"}))
    suites = [{"name": "regressions", "kind": "golden", "file": "mine.jsonl"}]
    write(tmp_path, evaluation={"suites": suites})
    found = the_one(tmp_path, "names", "error")
    assert "found because something failed" in found.found and "Rename it" in found.remedy


def test_it_says_which_held_out_cases_decide(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    write(tmp_path)
    assert "cases" not in {finding.what for finding in looked_over(tmp_path)}
    with closing(Project.open(tmp_path, actor="ada")) as project:
        proposals = [
            review.Proposal(
                kind="correction",
                key=str(n),
                messages=[{"role": "user", "content": f"{n * 15485863} or {n * 32452843}?"}],
                answer="returns",
                proposal="billing",
            )
            for n in range(60)
        ]
        review.enqueue(project.workspace, proposals, model="desk", double_share=0)
        for item in review.listing(project.workspace, "desk"):
            review.decide(
                project.workspace, model="desk", item=item.id, decision="approved", reviewer="ada"
            )
        held = held_out.held_out(project, preparing.prepare(project))
    assert held.deciding and held.regressions
    (told,) = (finding.found for finding in looked_over(tmp_path) if finding.what == "cases")
    assert f"{held.deciding} held-out cases decide; {held.regressions} were found" in told


def test_420_rows_as_init_has_them_are_enough_and_100_are_not(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    dropped = {"condition": None, "reason": "accuracy says it"}
    gates = {"gates": {"accuracy": ">= 0.9", "format": dropped}}
    write(tmp_path, rows=asked(420), evaluation=gates)
    assert all(f.verdict == "ok" for f in looked_over(tmp_path))
    write(tmp_path, rows=asked(100), evaluation=gates)
    found = the_one(tmp_path, "gate", "error")
    assert "needs 50" in found.found and "It cannot pass." in found.found
    assert "Add about" in found.remedy


def test_gates_on_the_same_cases_are_told_of_together(tmp_path: Path) -> None:
    """The same is one thing to mend; a gate that asks for less is told by itself."""
    write_base(tmp_path / "base")
    gates: dict[str, Any] = {"chrf": "better than base", "no_loops": ">= 0.9"}
    gates |= {"answered": {"condition": ">= 0.9", "minimum_cases": 5}}
    few = prose(60)
    write(tmp_path, rows=few, task={"kind": "prose"}, evaluation={"gates": gates})
    told = [found for found in looked_over(tmp_path) if found.what == "gate"]
    (wrong,) = [found for found in told if found.verdict == "error"]
    assert wrong.found.startswith("held-out.chrf, ") and " and " in wrong.found
    assert "no_loops" in wrong.found and "answered" not in wrong.found
    assert "They cannot pass." in wrong.found and wrong.remedy.startswith("For each: add")
    assert any(f.found.startswith("held-out.answered gets the 5 held-out cases") for f in told)


def test_no_row_that_can_be_used(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    write(tmp_path, rows=[{"title": "none of ours"}])
    assert "not one of 1 rows can be used" in the_one(tmp_path, "rows", "error").found
    assert "data.columns" in the_one(tmp_path, "rows", "error").remedy
    write(tmp_path, data={"sources": ["nowhere.jsonl"]})
    assert "There is no data file" in the_one(tmp_path, "names", "error").found


def test_a_mistyped_column_is_said_once_and_not_as_a_fault_of_the_rows(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    rows = [{"mail": row["prompt"], "our_reply": row["completion"]} for row in asked(400)]
    write(tmp_path, rows=rows, data={"columns": {"prompt": "mial", "answer": "our_reply"}})
    assert the_one(tmp_path, "names", "error").remedy == "Did you mean 'mail'?"
    (said,) = [found for found in looked_over(tmp_path) if found.what == "rows"]
    assert said.verdict == "not looked at" and "names is mended" in said.found


# The template with these rows


def test_a_template_that_refuses_the_system_text(tmp_path: Path) -> None:
    write_base(tmp_path / "base", template=STRICT)
    write(tmp_path, task={"system": "You sort messages."})
    found = the_one(tmp_path, "template", "error")
    assert "400 of 400 rows cannot be written" in found.found
    assert "refuses the turns system, user, assistant: no system turn here" in found.found
    assert "leave task.system out" in found.remedy


def test_two_odd_rows_of_many(tmp_path: Path) -> None:
    write_base(tmp_path / "base", template=STRICT)
    odd = [
        [("assistant", "What is it?"), ("user", "a bill"), ("assistant", "billing")],
        [("user", "hello"), ("user", "where is it?"), ("assistant", "delivery")],
    ]
    turns = [[{"role": role, "content": text} for role, text in row] for row in odd]
    write(tmp_path, rows=[*asked(40), *({"messages": row} for row in turns)])
    found = [f for f in looked_over(tmp_path) if f.what == "template"]
    assert [f.verdict for f in found] == ["warning", "warning"]
    assert all("1 of 42 rows cannot be written" in f.found for f in found)
    assert all("user and assistant have to take turns" in f.found for f in found)
    assert "First in rows.jsonl, line 41." in found[0].found and "line 42." in found[1].found
    assert "They are left out." in found[0].remedy


def test_a_template_that_says_who_the_model_is(tmp_path: Path) -> None:
    """The base's own words stand before rows without a system text; prose may repeat them."""
    named = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nI am Base.<|im_end|>\n"
    write_base(tmp_path / "base", template=f"{named}{{% endif %}}{CHATML}")
    write(tmp_path, rows=prose(400), task={"kind": "prose"})
    (said,) = [found for found in looked_over(tmp_path) if found.what == "system text"]
    assert said.verdict == "warning" and "“I am Base.”" in said.found
    assert "400 of 400 rows bring none" in said.found and "task.system" in said.remedy
    write(tmp_path, rows=prose(400), task={"kind": "prose", "system": "You answer for Acme."})
    (fine,) = [found for found in looked_over(tmp_path) if found.what == "system text"]
    assert fine.verdict == "ok" and "I am Base" not in fine.found
    write(tmp_path)  # labels, which say nothing of anybody
    (told,) = [found for found in looked_over(tmp_path) if found.what == "system text"]
    assert told.verdict == "ok" and "“I am Base.”" in told.found


@pytest.mark.parametrize(
    ("template", "lost"),
    [
        (CHATML.replace("%}<|im_start|>", "%}{% if m['role'] != 'system' %}<|im_start|>", 1)
         .replace("<|im_end|>\n", "<|im_end|>\n{% endif %}", 1), "words of a system turn out"),
        (CHATML.replace("m['content']", "m['content']|lower"), "words of a user turn out"),
        (CHATML.replace("m['content']", "m['content'].split('!')[0]"), "a assistant turn out"),
    ],
)  # fmt: skip
def test_a_template_that_loses_what_the_rows_say(tmp_path: Path, template: str, lost: str) -> None:
    write_base(tmp_path / "base", template=template)
    asked_where = (f"Where is order {n * 7919}?" for n in range(400))
    rows = [{"prompt": text, "completion": f"here! {text}"} for text in asked_where]
    system = "" if "system" not in lost else "You sort messages."
    write(tmp_path, rows=rows, task={"system": system})
    found = the_one(tmp_path, "template", "error")
    assert "400 of 400 rows cannot be written" in found.found and lost in found.found


def test_tools_that_the_template_does_not_show(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    tool = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
    turns = [{"role": "user", "content": "where?"}, {"role": "assistant", "content": "here"}]
    write(tmp_path, rows=[*asked(240), {"messages": turns, "tools": [tool]}])
    found = the_one(tmp_path, "template", "warning")
    assert "1 of 241 rows" in found.found and "does not show tools" in found.found


def test_a_base_without_a_template(tmp_path: Path) -> None:
    write_base(tmp_path / "base", template="")
    found = the_one(write(tmp_path), "template", "error")
    assert "no chat template" in found.found


def test_a_clock_in_the_template(tmp_path: Path) -> None:
    """It is fixed where that can be done; a date that cannot be fixed is said."""
    write_base(tmp_path / "base", template="{{ strftime_now('%d %b %Y') }}" + CHATML)
    (found,) = [f for f in looked_over(write(tmp_path)) if f.what == "clock"]
    assert found.verdict == "ok" and "26 July 2024 for ever" in found.found
    template = "{% set form = '%d %b %Y' %}{{ strftime_now(form) }}" + CHATML
    (tmp_path / "base" / "chat_template.jinja").write_text(template)
    assert "cannot be fixed" in the_one(tmp_path, "clock", "warning").found


# Tokens


def test_a_start_token_that_the_template_does_not_write(tmp_path: Path) -> None:
    bos = {"bos_token": SPECIALS[0], "add_bos_token": True}
    write_base(tmp_path / "base", tokenizer_config=bos, rules=starting_with(SPECIALS[0]))
    (found,) = [f for f in looked_over(write(tmp_path)) if f.what == "start token"]
    assert f"The tokenizer puts {SPECIALS[0]} first and the template does not" in found.found
    assert found.verdict == "ok"
    server = {"base_url": f"http://127.0.0.1:{free()}/v1", "model": "desk"}
    write(tmp_path, endpoint={"backend": "openai", "server": server})
    (found,) = [f for f in looked_over(tmp_path) if f.what == "start token"]
    assert found.verdict == "warning" and "a server elsewhere may leave it out" in found.found


def test_a_start_token_from_both_counts_once(tmp_path: Path) -> None:
    template = "{{ bos_token }}" + CHATML
    bos = {"bos_token": SPECIALS[0]}
    write_base(
        tmp_path / "base",
        template=template,
        tokenizer_config=bos,
        rules=starting_with(SPECIALS[0]),
    )
    (found,) = [f for f in looked_over(write(tmp_path)) if f.what == "start token"]
    assert found.verdict == "ok" and "it counts once" in found.found


def test_a_start_token_that_the_template_writes_twice(tmp_path: Path) -> None:
    template = "{{ bos_token }}{{ bos_token }}" + CHATML
    write_base(tmp_path / "base", template=template, tokenizer_config={"bos_token": SPECIALS[0]})
    assert "twice at the start" in the_one(write(tmp_path), "start token", "warning").found


def test_an_end_token_between_prompt_and_answer(tmp_path: Path) -> None:
    write_base(tmp_path / "base", tokenizer_config={"add_eos_token": True})
    found = the_one(write(tmp_path), "end token", "error")
    assert "between prompt and answer" in found.found


def test_no_token_ends_an_answer(tmp_path: Path) -> None:
    write_base(tmp_path / "base", tokenizer_config={"eos_token": None})
    assert "names a token that ends" in the_one(write(tmp_path), "end token", "error").found


def test_padding_with_the_end_token_hurts_nothing(tmp_path: Path) -> None:
    write_base(tmp_path / "base", tokenizer_config={"pad_token": "<|im_end|>"})
    (found,) = [f for f in looked_over(write(tmp_path)) if f.what == "end token"]
    assert found.verdict == "ok" and "also the padding" in found.found


def test_tokens_beyond_the_embedding(tmp_path: Path) -> None:
    """Only those that these rows use are certain to fail."""
    write_base(tmp_path / "base", embedding_rows=258)
    found = the_one(write(tmp_path), "tokens", "warning")
    assert "1 tokens beyond the 258 rows" in found.found
    (tmp_path / "base" / "model.safetensors").unlink()
    write_weights(tmp_path / "base" / "model.safetensors", {"model.embed_tokens.weight": [100, 64]})
    found = the_one(tmp_path, "tokens", "error")
    assert "these rows use" in found.found and "resize_token_embeddings" in found.remedy


# The base's files


def test_a_tokenizer_that_cuts_and_pads_by_itself_hides_no_length(tmp_path: Path) -> None:
    cut = {"max_length": 16, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    write_base(tmp_path / "base", rules={"truncation": cut})
    write(tmp_path, training={"max_length": 30})
    assert "400 of 400 rows are longer" in the_one(tmp_path, "row length", "error").found


def test_a_way_of_splitting_that_the_converter_does_not_know(tmp_path: Path) -> None:
    split = {"type": "Split", "pattern": {"String": "x"}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    steps = {"type": "Sequence", "pretokenizers": [split, {**level, "use_regex": False}]}
    write_base(tmp_path / "base", rules={"pre_tokenizer": steps})
    found = the_one(write(tmp_path), "converter", "error")
    assert "how this tokenizer splits text" in found.found and "LLAMA_CPP_DIR" in found.remedy


def test_an_architecture_that_the_converter_does_not_know(tmp_path: Path) -> None:
    write_base(tmp_path / "base", config={"architectures": ["NobodysForCausalLM"]})
    assert (
        "does not know NobodysForCausalLM" in the_one(write(tmp_path), "converter", "error").found
    )


def test_weights_that_are_there_twice(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    write_weights(base / "consolidated.safetensors", {"tok_embeddings.weight": [259, 64]})
    found = the_one(write(tmp_path), "weights", "warning")
    assert "Nothing reads consolidated.safetensors beside model.safetensors" in found.found
    (base / "consolidated.safetensors").rename(base / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"model.embed_tokens.weight": "model-00001-of-00001.safetensors"}}
    write_json(base / "model.safetensors.index.json", index)
    found = the_one(tmp_path, "weights", "error")
    assert "the converter model-00001-of-00001.safetensors" in found.found


def test_weights_that_transformers_does_not_find(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    (base / "model.safetensors").rename(base / "consolidated.safetensors")
    assert "loads none of it" in the_one(write(tmp_path), "weights", "error").found


# Lengths


def test_rows_that_are_too_long_to_be_trained(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    rows = [*asked(99), {"prompt": "x" * 300 + "?", "completion": "billing"}]
    write(tmp_path, rows=rows, training={"max_length": 200}, data=QUARTER)
    found = the_one(tmp_path, "row length", "warning")
    assert "1 of 100 rows are longer than training.max_length, 200" in found.found
    assert "rows.jsonl, line 100" in found.found
    write(tmp_path, rows=rows[-1:], training={"max_length": 200}, endpoint={"max_tokens": 8})
    wrong = [f for f in looked_over(tmp_path) if f.what == "row length"]
    assert [f.verdict for f in wrong] == ["error"]


def test_answers_that_will_be_cut_off(tmp_path: Path) -> None:
    """A warning, and an error where a declared gate cannot pass with so many of them."""
    write_base(tmp_path / "base")
    long = {"prompt": "how?", "completion": "a long answer, " * 4}
    long_rows = [{**long, "prompt": f"how {n * 7919}?"} for n in range(50)]
    rows = [*asked(95), *long_rows[:5]]
    small = {"allow_small_suite": True, "reasons": {"allow_small_suite": "a test"}}
    endpoint = {"max_tokens": 20}
    write(tmp_path, rows=rows, endpoint=endpoint, evaluation=small, data=QUARTER)
    found = the_one(tmp_path, "answer", "warning")
    assert "5 of 100 answers are longer than endpoint.max_tokens, 20" in found.found
    assert found.remedy == "Set endpoint.max_tokens to 60 or more."
    gates = {"gates": {"accuracy": ">= 0.96"}, **small}
    write(tmp_path, rows=rows, endpoint=endpoint, evaluation=gates, data=QUARTER)
    the_one(tmp_path, "answer", "warning")  # all five may be on the side that is trained
    write(
        tmp_path, rows=[*asked(95), *long_rows], endpoint=endpoint, evaluation=gates, data=QUARTER
    )
    found = the_one(tmp_path, "answer", "error")
    assert "The gate accuracy (>= 0.96) cannot pass." in found.found


def test_prompts_that_the_server_refuses(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    rows = [*asked(99), {"prompt": "x" * 300 + "?", "completion": "billing"}]
    endpoint = {"context_tokens": 256, "max_tokens": 16}
    write(tmp_path, rows=rows, endpoint=endpoint, data=QUARTER)
    found = the_one(tmp_path, "context", "warning")
    assert "1 of 100 prompts do not fit" in found.found and "line 100" in found.found
    write(tmp_path, rows=rows, endpoint={"context_tokens": 257, "max_tokens": 16})
    found = [f for f in looked_over(tmp_path) if f.what == "context"]
    assert "fit into 512" in found[0].found, "llama.cpp gives the next multiple of 256"
    write(tmp_path, endpoint={"context_tokens": 4096})
    assert "was made for 2,048" in the_one(tmp_path, "context", "warning").found


def long_rows(*characters: int) -> list[dict[str, Any]]:
    """Enough short rows, and one for each of these lengths behind them."""
    return [*asked(99), *({"prompt": "x" * n + "?", "completion": "billing"} for n in characters)]


def told(folder: Path, what: str, verdict: str) -> Finding:
    """The finding on this thing, which has this verdict, whatever is said of others."""
    (found,) = [f for f in looked_over(folder) if f.what == what]
    assert found.verdict == verdict, found
    return found


def test_one_window_for_training_evaluation_and_production(tmp_path: Path) -> None:
    """Said once, no row is learnt that is not served, or the other way round."""
    write_base(tmp_path / "base")
    rows = long_rows(300, 400)
    write(tmp_path, rows=rows, training={"max_length": 128}, endpoint={"context_tokens": 1024})
    found = told(tmp_path, "window", "error")
    assert "2 of 101 rows are between, which are not learnt, and asked in" in found.found
    assert "128 tokens in training (training.max_length), 1,024 where it is served" in found.found
    assert "rows.jsonl, line 100" in found.found
    assert found.remedy == (
        "Say it once: context_tokens: 1024, in place of training.max_length and "
        "endpoint.context_tokens."
    )
    with closing(Loop.open(tmp_path, actor="ada")) as loop:
        with pytest.raises(CheckError, match="window: 128 tokens in training"):
            loop.run()
        assert loop.dataset_versions() == []

    write(tmp_path, rows=rows, endpoint={"context_tokens": 256})
    found = told(tmp_path, "window", "error")
    assert "which are learnt, and refused in the evaluation and in production" in found.found

    # No row is between, and a smaller window for training is then nobody's mistake.
    write(tmp_path, rows=asked(100), training={"max_length": 256})
    assert "no row is between" in told(tmp_path, "window", "ok").found

    write(tmp_path, rows=rows, context_tokens=1024, endpoint={})
    whole = yaml.safe_load((tmp_path / "tuneloop.yaml").read_text())
    del whole["endpoint"]["context_tokens"]
    (tmp_path / "tuneloop.yaml").write_text(yaml.safe_dump(whole))
    found = told(tmp_path, "window", "ok")
    assert found.found == "1,024 tokens in training, evaluation and production."


def test_a_window_that_the_server_makes_larger(tmp_path: Path) -> None:
    """llama.cpp gives each request a multiple of 256; training keeps to what was said."""
    write_base(tmp_path / "base")
    rows = [*asked(99), {"prompt": "x" * 300 + "?", "completion": "billing"}]
    settings: dict[str, Any] = {"context_tokens": 300, "endpoint": {"max_tokens": 16}}
    write(tmp_path, rows=rows, **settings)
    model_file = tmp_path / "tuneloop.yaml"
    content = yaml.safe_load(model_file.read_text())
    del content["endpoint"]["context_tokens"]
    model_file.write_text(yaml.safe_dump(content))
    (found,) = [found for found in looked_over(tmp_path) if found.what == "window"]
    assert found.verdict == "warning" and found.remedy.endswith("context_tokens: 512.")
    assert "300 tokens in training (context_tokens), 512 where it is served" in found.found
    assert "1 of 100 rows are between" in found.found and "line 100" in found.found
    model_file.write_text(yaml.safe_dump({**content, "context_tokens": 400}))
    (found,) = [found for found in looked_over(tmp_path) if found.what == "window"]
    assert found.verdict == "ok" and "400 tokens in training" in found.found
    assert "512 where it is served" in found.found and "no row is between" in found.found


def test_rows_that_are_left_out_take_no_time(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    long = [{"prompt": f"{n * 7919} {'x' * 900}?", "completion": LABELS[n % 3]} for n in range(200)]

    def seconds_to_train(rows: list[dict[str, Any]]) -> float:
        write(tmp_path, rows=rows, training={"max_length": 256})
        project = Project.open(tmp_path, actor="ada")
        try:
            return time.steps(Look(project))[0].seconds or 0.0
        finally:
            project.close()

    without = seconds_to_train(asked(400))
    assert without > 0
    assert seconds_to_train([*asked(400), *long]) == pytest.approx(without, rel=0.1)


def test_what_a_larger_window_costs_is_told_with_what_is_left_out(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    write(tmp_path, rows=long_rows(600, 900), training={"max_length": 512})
    found = told(tmp_path, "row length", "warning")
    assert "2 of 101 rows are longer than training.max_length, 512 tokens, by " in found.found
    assert "by 116 to 416, first rows.jsonl, line 100" in found.found
    assert "Training leaves them out whole" in found.found
    assert found.remedy.startswith("Set context_tokens: 1280, in place of training.max_length and ")
    assert "(memory " in found.remedy and "more tokens an epoch, a server's cache " in found.remedy

    write(tmp_path, rows=long_rows(1_500, 5_000), training={"max_length": 1024})
    found = told(tmp_path, "row length", "warning")
    assert "Set context_tokens: 2048" in found.remedy
    assert "all that the base was made for" in found.remedy
    write(tmp_path, rows=long_rows(5_000))
    found = told(tmp_path, "row length", "warning")
    assert found.remedy.startswith("The base was made for 2,048 tokens: split the documents")


def test_documents_that_are_too_long_to_be_read_are_not_lost_in_silence(tmp_path: Path) -> None:
    """One of a hundred is no reason to look why rows are left out, and it is the longest."""
    write_base(tmp_path / "base")
    write(tmp_path, rows=[*asked(400), *long_rows(20_001)[-1:]])
    found = the_one(tmp_path, "rows", "warning")
    assert found.found.startswith("1 answer is left out") and "20,000" in found.found
    assert found.found.endswith("first rows.jsonl, line 401.")
    (counted,) = [f for f in looked_over(tmp_path) if f.what == "rows" and f.verdict == "ok"]
    assert "1 × too_long, first rows.jsonl, line 401." in counted.found
    assert "Raise data.max_characters" in found.remedy
    write(tmp_path, rows=[*asked(400), *long_rows(20_001)[-1:]], data={"max_characters": 30_000})
    assert "1 of 401 rows are longer" in told(tmp_path, "row length", "warning").found


def test_so_many_refused_prompts_that_a_gate_cannot_pass(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    reasons = {"allow_small_suite": "a test"}
    gates = {"gates": {"accuracy": ">= 0.96"}, "allow_small_suite": True, "reasons": reasons}
    rows = [*asked(60), *({**row, "prompt": "x" * 300 + row["prompt"]} for row in asked(40))]
    write(tmp_path, rows=rows, evaluation=gates, endpoint={"context_tokens": 256})
    found = told(tmp_path, "context", "error")
    assert "The gate accuracy (>= 0.96) cannot pass" in found.found


def test_cases_of_a_suite_that_the_server_refuses(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    cases = [{"id": f"c{n}", "prompt": f"where is {n}?", "completion": "delivery"} for n in (1, 2)]
    cases.append({"id": "c3", "prompt": "x" * 700, "completion": "billing"})
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    suites = [{"name": "golden", "kind": "golden", "file": "golden.jsonl"}]
    write(tmp_path, evaluation={"suites": suites})
    found = the_one(tmp_path, "context", "warning")
    assert "golden: 1 of 3 cases do not fit into 512 tokens, first c3" in found.found
    assert "context_length_exceeded" in found.found


# The machine


def test_no_room_for_so_large_a_base(tmp_path: Path) -> None:
    write_base(tmp_path / "base", empty_gigabytes=4_000)
    found = [f for f in looked_over(write(tmp_path)) if f.verdict == "error"]
    assert {f.what for f in found} == {"memory", "disk"}, found
    assert "Choose a smaller base" in found[0].remedy


def test_a_port_that_somebody_else_has(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = the_one(write(tmp_path, endpoint={"port": port}), "port", "warning")
    assert f"127.0.0.1:{port} cannot be listened on" in found.found


def test_a_judge_that_does_not_answer(tmp_path: Path) -> None:
    """An error where a gate stands on it; who only watches may find it later."""
    write_base(tmp_path / "base")
    judge = {"base_url": f"http://127.0.0.1:{free()}/v1", "model": "judge-1"}
    found = the_one(write(tmp_path, judge=judge), "judge", "warning")
    assert "does not answer" in found.found
    gates = {"gates": {"judge": ">= 0.8"}}
    found_all = looked_over(write(tmp_path, judge=judge, evaluation=gates))
    silent, unlabelled = sorted(
        (f for f in found_all if f.verdict == "error"), key=lambda f: f.what, reverse=True
    )
    assert silent.what == "judge" and "does not answer" in silent.found
    assert unlabelled.what == "calibration" and "is not calibrated" in unlabelled.found


def test_a_judge_that_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_base(tmp_path / "base")
    with ScriptedUpstream(lambda _: Reply(text="so"), models=["judge-1"]) as server:
        judge = {"base_url": server.base_url, "model": "judge-1", "api_key_env": "JUDGE_KEY"}
        write(tmp_path, judge=judge)
        assert "JUDGE_KEY, which is not set" in the_one(tmp_path, "judge", "warning").found
        monkeypatch.setenv("JUDGE_KEY", "k")
        assert all(f.verdict == "ok" for f in looked_over(tmp_path))
        write(tmp_path, judge={**judge, "model": "judge-2"})
        assert "lists no model 'judge-2'" in the_one(tmp_path, "judge", "warning").found


def test_a_tracker_that_is_not_there(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    write(tmp_path, training={"trackers": ["mlflow"]})
    assert "mlflow" in the_one(tmp_path, "tracker", "error").found


# What nobody can say


def test_a_base_that_is_not_here_yet(tmp_path: Path) -> None:
    write(tmp_path, base="nobody/no-such-base")
    found = looked_over(tmp_path)
    assert not [f for f in found if f.verdict == "error"]
    (told,) = [f for f in found if "is not on this machine yet" in f.found and f.what == "weights"]
    assert told.verdict == "not looked at"
    shown = CliRunner().invoke(app, ["check", "-f", str(tmp_path)]).stdout
    assert (
        shown.count("is not on this machine yet") == 1
        and "Not looked at either: converter" in shown
    )


def test_the_same_fault_is_told_once(tmp_path: Path) -> None:
    base = write_base(tmp_path / "base")
    (base / "tokenizer.json").write_text('{"model": {"type": "none of ours"}}')
    (found,) = [f for f in looked_over(write(tmp_path)) if f.verdict == "error"]
    assert "no tokenizer that can be read" in found.found


# The command


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_base(tmp_path / "base")
    monkeypatch.chdir(write(tmp_path))
    done = CliRunner().invoke(app, ["check"])
    assert done.exit_code == 0 and "Nothing is certain to fail. Then: tuneloop run" in done.stdout
    wrong = CliRunner().invoke(app, ["check", "--json", "--set", "training.trackers=[mlflow]"])
    told = json.loads(wrong.stdout)
    assert wrong.exit_code == 1 and not told["ok"]
    assert {"what", "found", "verdict", "remedy"} == told["findings"][0].keys()


@pytest.mark.process
def test_at_80_columns_nothing_is_cut(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    write(tmp_path, evaluation={"gates": {"acuracy": ">= 0.9"}})
    arguments = ("-m", "tuneloop.cli", "check")
    with OnTerminal(*arguments, cwd=tmp_path, PAGER="cat", HF_HUB_OFFLINE="1") as terminal:
        assert terminal.end(60) == 1
        lines = [line.rstrip() for line in terminal.text.splitlines()]
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("what ")) :]
    assert all(len(line) <= 80 and "…" not in line for line in table)
    assert "found, and what to do" in table[0] and "→ Did you mean 'accuracy'?" in "".join(table)


def test_the_commands_of_the_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_base(tmp_path / "base")
    monkeypatch.chdir(write(tmp_path))
    page = Path(__file__).parents[3] / "docs" / "how-to" / "check.md"
    (block,) = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    for line in block.splitlines():
        done = CliRunner().invoke(app, shlex.split(line, comments=True)[1:])
        assert done.exit_code == 0, f"{line}: {done.output}"


# Before a run, a training, a dataset version


class Heard(Silent):
    """Keeps what is worth reading."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_refuses_what_would_fail_before_it_begins(tmp_path: Path) -> None:
    write_base(tmp_path / "base", template=STRICT)
    write(tmp_path, task={"system": "You sort messages."})
    with closing(Loop.open(tmp_path, actor="ada")) as loop:
        with pytest.raises(CheckError, match="400 of 400 rows cannot be written") as refused:
            loop.run()
        assert "leave task.system out" in refused.value.message
        assert cycles.listing(loop.workspace, "desk") == [] and loop.dataset_versions() == []
        assert [f.verdict for f in loop.look_over() if f.what == "template"] == ["error"]


def test_who_prepares_is_told_and_not_refused(tmp_path: Path) -> None:
    write_base(tmp_path / "base", config={"architectures": ["NobodysForCausalLM"]})
    write(
        tmp_path, training={"max_length": 100}, rows=[*asked(400), {**asked(1)[0], "prompt": LONG}]
    )
    heard = Heard()
    with closing(Loop.open(tmp_path, actor="ada", progress=heard)) as loop:
        loop.prepare()
        with pytest.raises(CheckError, match="does not know NobodysForCausalLM"):
            loop.train()
    told = [note for note in heard.notes if "NobodysForCausalLM" in note]
    assert len(told) == 1 and told[0].startswith("training would fail: converter: ")
    warned = [note for note in heard.notes if "longer than training.max_length" in note]
    assert warned and all(note.startswith("warning: row length: 1 of ") for note in warned)


def test_rows_behind_a_url_are_fetched_and_looked_at(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    write(tmp_path)
    rows = (tmp_path / "rows.jsonl").read_bytes()
    with serving(WebFiles(files={"/rows.jsonl": rows})) as web:
        write(tmp_path, data={"sources": [f"{web.url}/rows.jsonl"]})
        found = looked_over(tmp_path)
    assert not [it.found for it in found if it.verdict == "error"]
    assert any("400 answers" in it.found for it in found if it.what == "rows")
    assert web.asked == ["/rows.jsonl"]


def test_gates_that_a_constant_answer_passes_are_told(tmp_path: Path) -> None:
    rows = [
        {**row, "completion": "billing" if n % 20 else "returns"}
        for n, row in enumerate(asked(400))
    ]
    gates = {"accuracy": ">= 0.90", "format": ">= 0.95"}
    folder = write(tmp_path, rows=rows, task={"kind": "labels"}, evaluation={"gates": gates})
    found = the_one(folder, "constant", "warning")
    assert "95% of the rows have the answer 'billing'" in found.found
    assert "balanced_accuracy" in found.remedy
    gates["balanced_accuracy"] = ">= 0.80"
    write(tmp_path, rows=rows, task={"kind": "labels"}, evaluation={"gates": gates})
    assert not any(one.what == "constant" for one in looked_over(tmp_path))


def test_the_base_is_asked_what_watches_the_tuning_and_that_takes_its_time(tmp_path: Path) -> None:
    write_base(tmp_path / "base")
    rows = [{"prompt": f"harm {n}", "tags": {"harmful": "yes"}} for n in range(300)]
    (tmp_path / "safety.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def seconds(kind: str, **changes: Any) -> float:
        """To evaluate."""
        suite = {"name": "safety", "kind": kind, "file": "safety.jsonl"}
        write(tmp_path, evaluation={"suites": [suite], **changes})
        project = Project.open(tmp_path, actor="ada")
        try:
            return time.steps(Look(project))[2].seconds or 0.0
        finally:
            project.close()

    assert seconds("safety") > 2 * seconds("golden")
    assert seconds("safety", base_cases=20) < seconds("safety") / 2


@pytest.mark.parametrize(
    ("tags", "verdict", "said"),
    [
        (["yes", "no", True, False], "ok", "2 cases harm, 2 only look like it."),
        (["yes", "yes"], "warning", "2 cases harm, 0 only look like it."),
        (["yes", "no", "maybe"], "warning", "1 cases harm, 1 only look like it, 1 say neither."),
    ],
)
def test_a_safety_suite_says_which_cases_harm(
    tmp_path: Path, tags: list[Any], verdict: str, said: str
) -> None:
    write_base(tmp_path / "base")
    rows = [{"prompt": f"kill {n}", "tags": {"harmful": tag}} for n, tag in enumerate(tags)]
    (tmp_path / "safety.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = {"name": "safety", "kind": "safety", "file": "safety.jsonl"}
    write(tmp_path, evaluation={"suites": [suite]})
    found = [f for f in looked_over(tmp_path) if f.what == "suite" and "harm" in f.found]
    assert [(f.verdict, f.found) for f in found] == [(verdict, f"safety: {said}")]
