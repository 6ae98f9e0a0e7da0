"""`tuneloop init`: from a data file to a commented model file."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuneloop import modelfile
from tuneloop.amounts import many
from tuneloop.conversation import Message
from tuneloop.conversation.template import ChatTemplate, TemplateRefusalError
from tuneloop.datasets.inspect import MAX_ROW_BYTES, Inspection, inspect
from tuneloop.errors import BaseModelError, DataError, ModelFileError, UsageError
from tuneloop.evaluation.plan import minimum_of
from tuneloop.evaluation.validity import of_rows
from tuneloop.modelfile import ModelFile, Problem
from tuneloop.modelfile.sections.data import LARGEST_SHARE
from tuneloop.modelfile.starter import Start, render
from tuneloop.nearest import nearest_path
from tuneloop.progress import Progress, Silent
from tuneloop.prose.groundedness import checkable
from tuneloop.readers import file_of, read_as
from tuneloop.registry.base_model import base_spec
from tuneloop.registry.base_template import find_template, own_system
from tuneloop.setup import names

_SHOWN_FIELDS = 8
_TEXTS = {"prose": "prose", "short": "short text"}
_SHOWN = 60
"""Characters of an example."""
_SHOWN_SYSTEM = 80
"""Characters of a base's own system text."""


@dataclass(frozen=True, kw_only=True)
class Started:
    """A model file that was written, and what it rests on."""

    model_file: ModelFile
    data: Path
    seen: Inspection
    problems: tuple[Problem, ...]
    """What it names and what is not there, such as the base."""
    base_system: str
    """What the base's template writes where nobody brings a system text; empty: nothing, or the
    base is not on this machine."""


def write_model_file(
    data: Path,
    *,
    base: str,
    name: str | None,
    path: Path,
    prompt: str | None = None,
    answer: str | None = None,
    force: bool = False,
    progress: Progress = Silent(),
) -> Started:
    """Look at `data` and write a model file for it at `path`.

    `prompt` and `answer` name columns of the data, where their names do not tell.

    Raises:
        UsageError: there is a model file already, or no folder for one.
        DataError: the data file cannot be used, or it cannot be told what is asked in it.
        ModelFileError: what was written could not be read; what was there before stays.
    """
    if path.is_dir():
        path = path / modelfile.FILE_NAME
    if path.exists() and not force:
        raise UsageError(f"{path} exists already.", remedy="Keep it, or replace it with --force.")
    if not path.parent.is_dir():
        raise UsageError(
            f"There is no folder {path.parent} for the model file.",
            remedy=_meant(path.parent) or f"Make it: mkdir -p {path.parent}",
        )
    if not file_of(data).exists():
        raise DataError(
            f"There is no file {data}.",
            remedy=_meant(data)
            or "Name a file with examples: JSON, CSV, Parquet or a spreadsheet.",
        )
    seen = inspect(data, prompt=prompt, answer=answer, progress=progress)
    spec = base_spec(base, folder=path.parent)
    thinks, base_system = _thinks(seen, spec), own_system(spec)
    text = render(
        Start(
            name=name or _name(data),
            base=base,
            sources=(os.path.relpath(data, path.parent),),
            kind=seen.kind,
            likeness=_likeness(seen),
            stating=_stating(seen),
            system=seen.system,
            base_system=_quoted(base_system),
            output_schema=seen.output_schema,
            schema_holds=seen.schema_holds,
            thinking=thinks,
            drop_thoughts=seen.thoughts > 0 and not thinks,
            abstain=seen.abstain,
            abstain_rows=seen.abstain_rows,
            majority=seen.majority,
            rows=seen.usable,
            longest_answer=seen.longest_answer,
            group_field=seen.group_field,
            columns=seen.columns,
            notes=tuple(_notes(data, seen)),
        )
    )
    model_file = _written(path.resolve(), text)
    return Started(
        model_file=model_file,
        data=data,
        seen=seen,
        problems=tuple(names.problems(model_file)),
        base_system=base_system,
    )


def _likeness(seen: Inspection) -> str | None:
    """The first measure of likeness that can tell a row's own answer from another row's."""
    if seen.kind != "prose":
        return None
    return next((name for name, of in of_rows(seen.sample).items() if of.valid), None)


def _stating(seen: Inspection) -> float | None:
    """Share of the answers in prose that state something which can be looked up."""
    if seen.kind != "prose":
        return None
    return sum(bool(checkable(answer)) for _, answer in seen.sample) / len(seen.sample)


def _thinks(seen: Inspection, spec: str) -> bool:
    """Whether the model shall think: every answer comes with a thought, and the base can."""
    if not seen.thoughts or seen.thoughts < seen.answers:
        return False
    try:
        template = find_template(spec, thinking=True)
    except BaseModelError:  # it is told with the other names that mean nothing
        return True
    return template is None or _shows_thoughts(template)


def _shows_thoughts(template: ChatTemplate) -> bool:
    answer = Message(role="assistant", content="an answer", reasoning="a thought")
    try:
        _, written = template.exchange([Message(role="user", content="a question")], answer)
    except TemplateRefusalError:
        return False
    return answer.reasoning in written


def _written(path: Path, text: str) -> ModelFile:
    """Write a model file that can be read, or none: one that is there already stays until then."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        model_file = modelfile.load(partial)
        partial.replace(path)
    except ModelFileError as e:
        raise ModelFileError(
            f"No model file was written, as it would not be valid:\n"
            f"{e.message.replace(str(partial), str(path))}",
            remedy=e.remedy,
        ) from None
    finally:
        partial.unlink(missing_ok=True)
    return replace(model_file, path=path)


def found_out(started: Started) -> Iterator[tuple[str, str]]:
    """What was seen in the data: a word for each thing, and what it is."""
    seen = started.seen
    yield "rows", f"{seen.rows:,}, {seen.usable:,} usable"
    if how := read_as(started.data, max_row_bytes=MAX_ROW_BYTES):
        yield "read as", how
    for reason, count in seen.left_out.items():
        yield "left out", f"{count:,} × {reason}, first in {seen.first_left_out[reason]}"
    for reason, count in seen.filtered.items():
        yield "filtered", f"{count:,} × {reason}, first in {seen.first_left_out[reason]}"
    yield "form", seen.forms[0] + (f"; guessed: {seen.guessed}" if seen.guessed else "")
    for form in seen.forms[1:]:
        yield "", form
    if seen.system:
        yield "system", _shortened(seen.system)
    yield "example", " → ".join(map(_shortened, seen.example))
    yield "answers", _answers(seen)
    if seen.pairs:
        yield "pairs", f"{seen.pairs:,} rows with a worse answer beside the right one"
    if seen.group_field is not None:
        yield "groups", f"{seen.groups:,} by {seen.group_field}; each stays together in the split"
    tags = [
        f"{tag} ({many(values, 'value')} in {many(rows, 'row')})"
        for tag, (rows, values) in seen.tags.items()
        if tag != seen.group_field
    ]
    if tags:
        yield "tags", ", ".join(tags)
    if seen.unused:
        columns = ", ".join(f"{name} ({many(rows, 'row')})" for name, rows in seen.unused.items())
        yield "not used", f"{columns}: no format knows it, and it is too long for a tag"


def worth_a_look(started: Started) -> Iterator[str]:
    """What a person should look at in the file, the most doubtful first."""
    seen = started.seen
    for problem in started.problems:
        unsure = "" if problem.certain else "could not be checked: "
        yield f"{unsure}{problem.key}: {problem.message} {problem.remedy}".rstrip()
    if few := _too_few(started):
        yield few
    if seen.guessed:
        yield (
            "data.columns: guessed; to name them yourself: --prompt COLUMN --answer COLUMN --force"
        )
    if seen.no_json:
        yield _no_json(seen)
    if seen.kind == "prose":
        yield (
            "task.kind: prose, so gates compare with the untuned base instead of matching words; "
            "if one wording is right, write short"
        )
    for field, value in seen.seen_once.items():
        yield f"task.output_schema: {field} {value!r} is in one row only: a label, or a slip?"
    if seen.pairs == seen.usable:
        yield (
            "training.method: lora learns the better answers alone; with dpo the pairs are learnt "
            "too, after them"
        )
    if seen.thoughts:
        yield _on_thoughts(started)
    if seen.abstain is not None:
        yield f"task.abstain: taken from the data, {seen.abstain[0]} = {seen.abstain[1]}"
    if on_system := _on_system(started):
        yield on_system


def _on_system(started: Started) -> str:
    """What stands before conversations that bring no system text."""
    seen = started.seen
    if seen.system_texts > 1 or (seen.system_texts and not seen.system):
        return (
            f"task.system: the rows bring {seen.system_texts:,} different system texts and keep "
            "them; what stands there is for rows and requests without one"
        )
    if seen.system:
        return ""
    if not started.base_system:
        return "task.system: empty; say there what the model is for, or leave it so"
    return (
        "task.system: empty, so the base's template puts its own text before every "
        f"conversation, {_quoted(started.base_system)}; say there what the model is for instead"
    )


def _too_few(started: Started) -> str:
    """What it means that there are too few rows to hold out what every gate takes."""
    answers = started.seen.answers
    minimum = minimum_of(started.model_file.settings.evaluation)
    needed = math.ceil(minimum / LARGEST_SHARE)
    if answers >= needed:
        return ""
    return (
        f"rows: a gate takes {minimum} held-out cases, and at most {LARGEST_SHARE:.0%} of the rows "
        f"are held out: with {many(answers, 'answer')} no candidate can pass. {needed} and more "
        "can; evaluation.allow_small_suite: true lets fewer decide"
    )


def _on_thoughts(started: Started) -> str:
    """Rows of the other kind than the task are left out, and a base may have no place for them."""
    seen = started.seen
    if started.model_file.settings.task.thinking:
        return "task.thinking: on, as every answer comes with a thought"
    if seen.thoughts == seen.answers:
        return (
            "data.drop_thoughts: every answer comes with a thought, and the base's chat template "
            "has no place for it"
        )
    return (
        f"data.drop_thoughts: {seen.thoughts:,} of {seen.answers:,} answers come with a thought "
        "and are learnt without it; task.thinking: true would learn only these"
    )


def _no_json(seen: Inspection) -> str:
    """What becomes of the answers that are no JSON as the others are."""
    lines = _joined([str(line) for line in seen.no_json_lines], of=seen.no_json)
    many = seen.no_json > 1
    text = f"{seen.no_json} {'answers are' if many else 'answer is'} no JSON as the others are "
    text += f"(line {lines}): "
    if not seen.schema_holds:
        return (
            f"{text}task.output_schema would leave {'them' if many else 'it'} out, so it stands in "
            "the file as a comment"
        )
    return f"{text}left out, because task.output_schema asks for JSON"


def _answers(seen: Inspection) -> str:
    parts = [_kind(seen)]
    if seen.answers + sum(seen.filtered.values()) != seen.usable:
        parts.insert(0, f"{seen.answers:,} in {seen.usable:,} rows")
    if seen.calls:
        parts.append(f"{seen.calls:,} call tools")
    return "; ".join(parts)


def _kind(seen: Inspection) -> str:
    if seen.output_schema is None:
        return f"{seen.labels} labels in plain text" if seen.labels else _TEXTS[seen.kind]
    fields = list(seen.output_schema.get("properties", {}))
    required = [field for field in fields if field in seen.output_schema.get("required", ())]
    if not fields:
        return "JSON objects"
    always = (
        "all required"
        if required == fields
        else f"required: {_joined(required, of=len(required))}"
        if required
        else "none required"
    )
    return f"JSON with {_joined(fields, of=len(fields))}; {always}"


def _quoted(text: str) -> str:
    """A system text of a base, known by its beginning; empty where there is none."""
    words = " ".join(text.split())
    shown = words if len(words) <= _SHOWN_SYSTEM else f"{words[:_SHOWN_SYSTEM]}…"
    return f"“{shown}”" if shown else ""


def _shortened(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= _SHOWN else f"{one_line[:_SHOWN]}…"


def _joined(items: Sequence[str], *, of: int) -> str:
    shown = items[:_SHOWN_FIELDS]
    more = of - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _notes(data: Path, seen: Inspection) -> Iterator[str]:
    """The same for readers of the file, in few lines."""
    yield f"{data.name}: {seen.usable} of {seen.rows} rows usable, as {seen.forms[0]}."
    if seen.guessed:
        yield f"The columns were guessed: {seen.guessed}."
    if seen.usable < seen.rows:
        yield "`tuneloop prepare` lists every row that is left out, with the reason."


def _meant(path: Path) -> str:
    near = nearest_path(path)
    return f"Did you mean {near}?" if near else ""


def _name(data: Path) -> str:
    return re.sub(r"[^a-z0-9]+", "-", data.stem.lower()).strip("-")[:64] or "model"
