"""Writes a commented model file: what `tuneloop init` found out, and every default worth seeing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import yaml

from tuneloop.amounts import many
from tuneloop.modelfile.sections.data import (
    LARGEST_SHARE,
    SMALLEST_SHARE,
    ColumnSettings,
    TaskKind,
)
from tuneloop.modelfile.sections.gates import PROSE_GATES

_USUAL_MINIMUM = 50
"""Cases that a gate takes by default."""
_SAFE_SHARE = 0.15
"""Groups differ in size: what this share gives on average the largest one gives nearly always."""
_FEW_ROWS = 1_000
"""Below them a step of 16 rows leaves too few steps (docs/experiments.md)."""
_USUAL_MAX_TOKENS = 256
_LEAST_MAX_TOKENS = 64
_FEWEST_BYTES_OF_A_TOKEN = 2
_UNGROUNDED = "ungrounded"
_LIKENESS = "chrf"
"""The measure of likeness in the gates of prose, where it tells anything."""
_IMBALANCED_FROM = 0.6
"""Share of the most frequent label from which on a rare one could be given up unseen."""
_FEWEST_STATING = 22
"""Cases that state facts, without which 5 % cannot be told from 10 %: the bound at a level of 10 %
of none among them lies higher (Clopper and Pearson; see decision `balanced`)."""
_FEWEST_CASES = 3
"""A gate on fewer says nothing."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """What is known about a new model."""

    name: str
    base: str
    sources: tuple[str, ...]
    system: str
    """System text found in the data, or empty."""
    output_schema: dict[str, Any] | None
    """Inferred from the answers when they are JSON."""
    abstain: tuple[str, str] | None
    """Field and value of the answer that says "out of scope"."""
    group_field: str | None
    notes: tuple[str, ...]
    """What was seen in the data, one line each; names of columns in them may hold anything."""
    base_system: str = ""
    """How the base's own system text reads, which stands where there is no other; empty: none."""
    kind: TaskKind | None = None
    """What the answers are; None where nobody looked."""
    likeness: str | None = _LIKENESS
    """What prose is compared by; None: no measure of likeness tells anything on these rows."""
    stating: float | None = None
    """Share of the answers that state a number, date or name; None where nobody looked."""
    abstain_rows: int | None = None
    """Rows with the answer that says "out of scope"; None where they were not counted."""
    majority: float = 0.0
    """Share of the rows with the most frequent label; 0: answers are no labels."""
    columns: ColumnSettings | None = None
    """Prompt and answer, where the names of the columns do not tell."""
    rows: int | None = None
    """Usable rows; None where they were not counted."""
    longest_answer: int | None = None
    """Bytes (UTF-8) of it; None where nobody looked."""
    thinking: bool = False
    """Whether the answers come with thoughts that are to be learnt."""
    drop_thoughts: bool = False
    """Whether some come with thoughts that are not."""
    schema_holds: bool = True
    """False: `output_schema` would leave answers out that may be meant; it is only proposed."""


def render(start: Start) -> str:
    """The text of `tuneloop.yaml`."""
    parts = [
        _HEADER,
        *(f"# {_on_one_line(note)}" for note in start.notes),
        "",
        f"name: {_scalar(start.name)}",
        "",
        "# A Hugging Face id, a local folder, a .gguf file, or package:MODULE holding one.",
        f"base: {_scalar(start.base)}",
        "",
        "task:",
        *_kind(start),
        "  # Put before every conversation, in training, evaluation and production alike.",
        *_base_system(start),
        _block("system", start.system),
        *(["  thinking: true           # before every answer, as in the rows"] * start.thinking),
        *_form(start),
        *_abstain(start),
        "",
        "data:",
        f"  sources: [{', '.join(map(_scalar, start.sources))}]",
        *_columns(start),
        *(["  drop_thoughts: true      # answers are learnt without them"] * start.drop_thoughts),
        "  # Rows that are never trained on. auto: from 0.1 to 0.25, what every gate and a fair",
        "  # decision against production need; a row that is held out stays so in later versions.",
        "  holdout_share: auto",
        f"  group_field: {_scalar(start.group_field)}   # equal values stay together in the split",
        "  # retired_terms: {Old Name: New Name}",
        *_training(start.rows),
        _EVALUATION,
        *_gates(start),
        _EXPORT,
        *_endpoint(start),
        _REST,
    ]
    return "\n".join(parts)


def _on_one_line(note: str) -> str:
    """A note quotes the data: what ended its line would go on as keys of the file."""
    return " ".join("".join(c if c.isprintable() else " " for c in note).split())


def _base_system(start: Start) -> list[str]:
    """What an empty system text means with this base."""
    if start.system or not start.base_system:
        return []
    return [
        "  # Empty, the base's template puts its own there:",
        f"  # {_on_one_line(start.base_system)}",
    ]


def _kind(start: Start) -> list[str]:
    """JSON says so by its schema."""
    if start.kind in (None, "json"):
        return []
    return [f"  {f'kind: {start.kind}':<24} # {_KINDS[start.kind]}"]


def _form(start: Start) -> list[str]:
    if start.kind == "prose":
        return []
    if start.output_schema is None:
        return [
            "  # Declare the form of an answer to have it checked everywhere:",
            "  # output_schema: {type: object, required: [intent]}   or   output_pattern: '[A-Z]+'",
        ]
    dumped = yaml.safe_dump(
        {"output_schema": start.output_schema},
        sort_keys=False,
        allow_unicode=True,
        width=96,
        default_flow_style=None,  # what holds nothing nested stands on one line
    )
    lines = dumped.rstrip().splitlines()
    if not start.schema_holds:
        return [
            "  # Inferred from the answers that are JSON. With it, the others are left out.",
            *(f"  # {line}" for line in lines),
        ]
    return [
        "  # Inferred from the data; every answer is checked against it.",
        *(f"  {line}" for line in lines),
    ]


def _abstain(start: Start) -> list[str]:
    if start.kind == "prose":  # whose answers have no field that could say so
        return []
    if start.abstain is None:
        return [
            "  # The answer that hands a request to a person, when there is one:",
            "  # abstain: {field: intent, value: out_of_scope}",
        ]
    field, value = start.abstain
    return [
        "  # The answer that hands a request to a person.",
        f"  abstain: {{field: {_scalar(field)}, value: {_scalar(value)}}}",
    ]


def _gates(start: Start) -> list[str]:
    if start.kind == "prose":
        return _prose_gates(start)
    lines = ["  gates:", '    accuracy: ">= 0.90"', '    format: ">= 0.95"']
    if start.majority > _IMBALANCED_FROM and _has_labels(start):
        lines += [
            f"    # {start.majority:.0%} of the rows have one label: by accuracy alone a model may",
            "    # pass that says nothing else. This is the mean over the labels, each alike.",
            '    balanced_accuracy: ">= 0.80"',
        ]
    if start.abstain is not None:
        lines += _abstention_gate(start.abstain_rows)
    return lines


def _has_labels(start: Start) -> bool:
    """Whether the file says what the labels are: a schema that is only proposed does not."""
    return start.kind == "labels" or (start.kind == "json" and start.schema_holds)


def _prose_gates(start: Start) -> list[str]:
    lines = [
        "  # Right prose has many wordings: a candidate must come nearer to the reference answers",
        "  # than the untuned base does, and is deployed only if it is not worse than production.",
    ]
    if start.likeness is None:
        lines = [
            "  # No measure of likeness tells a row's own answer from another row's here: what",
            "  # people or a judge say must decide. With a judge section: add the gate judge.",
        ]
    lines.append("  gates:")
    for name, gate in PROSE_GATES.items():
        metric = start.likeness if name == _LIKENESS else name
        if metric is None:
            why = "no likeness tells a row's own answer from another's"
            lines.append(f'    {name}: {{condition: null, reason: "{why}"}}')
            continue
        if name == _UNGROUNDED and (few := _stating(start)) < _FEWEST_STATING:
            lines += _groundedness_gate(few)
            continue
        condition = str(gate.condition)
        condition = condition if condition[0].isalpha() else f'"{condition}"'
        lines.append(f"    {f'{metric}: {condition}':<28} # {_PROSE_GATES_SAID[name]}")
    return lines


def _stating(start: Start) -> float:
    """Held-out answers that will state facts, as many as there are in the usual share."""
    if start.stating is None or start.rows is None:
        return math.inf
    held_out = max(start.rows * SMALLEST_SHARE, min(_USUAL_MINIMUM, start.rows * LARGEST_SHARE))
    return start.stating * held_out


def _groundedness_gate(cases: float) -> list[str]:
    """A bar of 5 % needs more facts than some answers state: there the base is the bar."""
    why = f"about {many(round(cases), 'held-out answer')} with a number, date or name: few for 5 %"
    return [
        "    # Numbers, dates, names that neither prompt nor reference has.",
        f'    {_UNGROUNDED}: {{condition: not worse than base, reason: "{why}"}}',
    ]


def _abstention_gate(rows: int | None) -> list[str]:
    """Out-of-scope rows are few as a rule: what the largest share cannot give is not asked for."""
    condition = '">= 0.85"'
    if rows is None or rows * LARGEST_SHARE >= _USUAL_MINIMUM:
        return [f"    abstention_recall: {condition}  # of what is out of scope, handed over"]
    reachable = int(rows * _SAFE_SHARE)
    if reachable < _FEWEST_CASES:
        return [
            f"    # abstention_recall: {condition}: only {rows} rows are out of scope, too few to",
            "    # hold a candidate to",
        ]
    return [
        "    # Of what is out of scope, handed over. It asks for fewer cases than other gates:",
        f"    # {rows} rows cannot give {_USUAL_MINIMUM}.",
        f"    abstention_recall: {{condition: {condition}, minimum_cases: {reachable}}}",
    ]


def _training(rows: int | None) -> list[str]:
    few = rows is not None and rows < _FEW_ROWS
    batch = "8            # few rows: smaller steps, more of them" if few else "16"
    return [
        "",
        "training:",
        "  method: lora             # lora, qlora or full",
        "  epochs: 3",
        f"  batch_size: {batch}",
        "  seed: 0",
        "",
    ]


def _endpoint(start: Start) -> list[str]:
    """A limit that every right answer keeps, and an answer that rambles on does not."""
    longest_answer = start.longest_answer
    limit = [f"  max_tokens: {_USUAL_MAX_TOKENS}"]
    if longest_answer is not None:
        # A token of text is seldom less than two bytes, in any script; four are usual in English.
        tokens = math.ceil(longest_answer / _FEWEST_BYTES_OF_A_TOKEN / 32) * 32
        limit = [
            f"  # Of one answer, which is cut off there; the longest one in the data has "
            f"{longest_answer:,} bytes.",
            f"  max_tokens: {max(_LEAST_MAX_TOKENS, tokens)}",
        ]
    if start.kind == "prose":
        limit.append("  dry: true                # does not say a run of eight tokens again")
    return ["endpoint:", "  port: 8400", *limit, "  temperature: 0.0", ""]


def _columns(start: Start) -> list[str]:
    if start.columns is None:
        return []
    prompt, answer = _scalar(start.columns.prompt), _scalar(start.columns.answer)
    return [f"  columns: {{prompt: {prompt}, answer: {answer}}}   # what is asked, what is right"]


def _block(key: str, text: str) -> str:
    """The text as it reads best, and reads back as it is: white space at its ends counts."""
    if text and text == text.strip() and text.replace("\n", "").isprintable():
        return f"  {key}: |-\n" + "\n".join(
            f"    {line}" if line else "" for line in text.split("\n")
        )
    return f"  {key}: {_scalar(text)}"


def _scalar(value: str | None) -> str:
    if value is None:
        return "null"
    return yaml.safe_dump(value, default_style='"', allow_unicode=True, width=math.inf).rstrip("\n")


_KINDS = {
    "labels": "answers are one of a few words; others: json, short, prose",
    "short": "one wording is right; others: labels, json, prose (replies, summaries)",
    "prose": "right answers differ in their words; others: labels, json, short",
}

_PROSE_GATES_SAID = {
    "chrf": "likeness to the references, on the same cases",
    "answered": "neither empty nor a refusal",
    "truncated_share": "cut off at endpoint.max_tokens",
    "no_loops": "does not say the same over and over",
    "in_language": "in the language of the reference",
    "length_fit": "as long as references are",
    "ungrounded": "numbers, dates, names that neither prompt nor reference has",
}

_HEADER = """\
# The model file: everything that tuneloop needs to keep this model.
# Check it with `tuneloop config check`; see every key with `tuneloop config schema`."""

_EVALUATION = """\
evaluation:
  # Locked by hash before an evaluation starts; a candidate that misses one is not deployed."""

_EXPORT = """\
  margin: 0.02             # how much worse than production still counts as not worse
  # suites: [{name: golden, kind: golden, file: golden.jsonl}]

export:
  serve: q8_0              # the one that is made, evaluated and run in production
  quantisations: [f16, q8_0, q5_k_m, q4_k_m]   # others: tuneloop export
"""

_REST = """\
monitors:
  window_days: 7
  minimum_samples: 30      # fewer interactions alert nobody
  format_below: 0.93
  edit_rate_above: 0.15
  novelty_above: 0.20
  latency_above_baseline: 2.0

triggers:
  minimum_corrections: 20  # approved corrections that make a new cycle worth its time
  minimum_new_rows: 50     # new rows in data.sources that do; the worker looks every hour
"""
