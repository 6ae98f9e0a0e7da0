"""Suites are begun, added to and frozen: what people change of the cases that candidates answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tuneloop.candidates import suites
from tuneloop.candidates.incidents import incident
from tuneloop.errors import UsageError
from tuneloop.evaluation import frozen, suite_file
from tuneloop.evaluation.declared import OUR_SOURCE
from tuneloop.evaluation.frozen import FrozenSuite
from tuneloop.evaluation.metrics import unfit_references
from tuneloop.evaluation.suite_diff import same_prompt
from tuneloop.evaluation.suites import Case, case_in, make_suite
from tuneloop.modelfile import SuiteSettings, declaring
from tuneloop.project import Project
from tuneloop.registry import audit, people
from tuneloop.storage.references import one_named


@dataclass(frozen=True, kw_only=True)
class NewSuite:
    """A suite that was begun."""

    name: str
    kind: str
    file: str
    declared: bool
    """whether it was written into the model file"""
    lines: str
    """what has to stand there"""


@dataclass(frozen=True, kw_only=True)
class AddedCase:
    """A case that was added to a suite."""

    suite: str
    case: Case
    line: int
    of: str
    """where its answer comes from"""
    personal_data: Mapping[str, int] = field(default_factory=dict)
    """kind → finds in it"""
    redacted: bool = False


def new(project: Project, name: str, *, kind: str, file: str | None) -> NewSuite:
    """Begin a suite: an empty file, if there is none yet, and its entry in the model file.

    Raises:
        NotAllowedError: people are declared, and whoever acts may not change suites.
        UsageError: there is a suite of that name, or name, kind or file cannot be one.
    """
    _allow(project)
    entry = {"name": name, "kind": kind, "file": file or f"{name}.jsonl"}
    try:
        SuiteSettings.model_validate(entry)
    except ValidationError as e:
        raise UsageError(f"A suite {name!r}: {_expected(e)}.") from None
    taken = {*suites.OF_DATASET, *(suite.name for suite in project.model.evaluation.suites)}
    if name in taken:
        raise UsageError(
            f"There is a suite {name!r} already.",
            remedy=f"Add to it: tuneloop suite add {name} --prompt TEXT --expected TEXT",
        )
    path = project.model_file.folder / entry["file"]
    if not path.exists():
        suite_file.begin(path)
    written = _declare(project.model_file.path, entry)
    detail = {"suite": name, "kind": kind, "file": entry["file"], "declared": written}
    _record(project, "suite.new", detail)
    return NewSuite(**entry, declared=written, lines=declaring.lines_of(entry))


def add(
    project: Project,
    name: str,
    *,
    prompt: str | None = None,
    interaction: str | None = None,
    expected: str | None = None,
    tags: Sequence[str] = (),
    must_contain: Sequence[str] = (),
    must_not_contain: Sequence[str] = (),
) -> AddedCase:
    """Add a case to the file of a suite: of a prompt, or of a captured interaction.

    Raises:
        NotAllowedError: people are declared, and whoever acts may not change suites.
        UsageError: it is in the suite already, cannot be a case, or the file takes no line.
        EvaluationError: the file cannot be used.
    """
    _allow(project)
    settings = _own(project, name)
    if (prompt is None) == (interaction is None):
        raise UsageError(
            "Expected a prompt or an interaction, one of them.",
            remedy=f"tuneloop suite add {name} --prompt TEXT --expected TEXT, or: "
            f"tuneloop suite add {name} --interaction ID",
        )
    row, about = (
        _of_prompt(project, str(prompt), expected)
        if interaction is None
        else _of_interaction(project, interaction, expected)
    )
    row |= {"tags": _tags(tags)} if tags else {}
    row |= {"must_contain": list(must_contain)} if must_contain else {}
    row |= {"must_not_contain": list(must_not_contain)} if must_not_contain else {}
    case = _checked(project, settings, row)
    line = suite_file.add_row(suites.path_of(project, settings), row)
    detail = {"suite": name, "case": case.id, "interaction": interaction}
    _record(project, "suite.add", detail)
    return AddedCase(suite=name, case=case, line=line, **about)


def remove(project: Project, name: str, case: str) -> Case:
    """Take a case out of the file of a suite, by its id or the beginning of it.

    Raises:
        NotAllowedError: people are declared, and whoever acts may not change suites.
        UsageError: none, or more than one, is meant; or the file takes no such change.
        EvaluationError: the file cannot be used.
    """
    _allow(project)
    settings = _own(project, name)
    path, read = suites.path_of(project, settings), _reader(project, settings)
    rows = suite_file.rows_in(path)
    found = [(read(row.value, f"{path.name}, line {row.line}"), row.line) for row in rows]
    gone, line = one_named(
        found,
        case,
        lambda one: (one[0].id,),
        what=f"cases of suite {name}",
        remedy=f"List them with: tuneloop suite show {name}",
    )
    suite_file.remove_line(path, line)
    _record(project, "suite.remove", {"suite": name, "case": gone.id})
    return gone


def freeze(project: Project, name: str) -> tuple[FrozenSuite, bool]:
    """Keep the suite as it is now for good; the version, and whether it is a new one.

    Raises:
        NotAllowedError: people are declared, and whoever acts may not change suites.
        UsageError: the model file names no such suite.
        EvaluationError: its file cannot be used.
        StoreError: the artifact store cannot be written.
    """
    _allow(project)
    settings = suites.declared(project, name)
    return frozen.freeze(
        project.workspace,
        model=project.model.name,
        suite=suites.loaded(project, settings),
        file=suites.path_of(project, settings),
        actor=project.actor,
    )


def _own(project: Project, name: str) -> SuiteSettings:
    """A suite whose file is the user's to change.

    Raises:
        UsageError: there is none, or it has no file.
    """
    settings = suites.declared(project, name)
    if not settings.file:
        raise UsageError(
            f"The suite {name!r} asks {OUR_SOURCE}, which nobody changes.",
            remedy="Name a file of your own in the model file: {name: "
            f"{name}, kind: {settings.kind}, file: {name}.jsonl}}",
        )
    return settings


def _reader(project: Project, settings: SuiteSettings) -> Callable[[Mapping[str, Any], str], Case]:
    """How a row of the suite's file is read."""
    return partial(case_in, kind=settings.kind, **suites.reading(project))


def _allow(project: Project) -> None:
    people.allow(project.workspace, project.actor, "change suites", model=project.model.name)


def _checked(project: Project, settings: SuiteSettings, row: Mapping[str, Any]) -> Case:
    """The case of a row that may be added.

    Raises:
        NotAllowedError: people are declared, and whoever acts may not change suites.
        UsageError: it is in the suite already, or its answer breaks the declared form.
    """
    read = _reader(project, settings)
    case = read(row, "The new case")
    path = suites.path_of(project, settings)
    known = {}
    for other in suite_file.rows_in(path):
        where = f"{path.name}, line {other.line}"
        known[where] = read(other.value, where)
    twin = same_prompt(list(known.values()), case)
    if twin is not None:
        where = next(where for where, other in known.items() if other is twin)
        raise UsageError(
            f"The suite {settings.name!r} asks this already: {where}, case {twin.id}, "
            f"expecting {_short(twin.expected)}.",
            remedy=f"Take that one out first: tuneloop suite remove {settings.name} {twin.id}",
        )
    if unfit_references(make_suite(settings.name, settings.kind, [case]), project.model.task):
        raise UsageError(
            f"The answer {_short(case.expected)} breaks the form that the task declares, so no "
            "model could pass the case.",
            remedy="Write the answer as the model has to: see `task` in the model file.",
        )
    return case


def _tags(pairs: Sequence[str]) -> dict[str, str]:
    tags = {}
    for pair in pairs:
        key, separator, value = (part.strip() for part in pair.partition("="))
        if not (separator and key and value):
            raise UsageError(
                f"The tag {pair!r}: expected KEY=VALUE.", remedy="For example: --tag lang=de"
            )
        tags[key] = value
    return tags


def _expected(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _short(text: str | None) -> str:
    return "nothing" if text is None else repr(text if len(text) <= 60 else f"{text[:59]}…")


def _of_prompt(
    project: Project, prompt: str, expected: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A row, and what is to be said of it."""
    columns = project.model.data.columns
    asked, answer = (columns.prompt, columns.answer) if columns else ("prompt", "completion")
    if expected is None:
        return {asked: prompt}, {"of": ""}
    return {asked: prompt, answer: expected}, {"of": "--expected"}


def _of_interaction(
    project: Project, interaction: str, expected: str | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of a captured chat, whose id the row gets."""
    found = incident(project, interaction, expected=expected)
    turns = [message.as_row() for message in found.messages]
    answer = {"role": "assistant", "content": found.expected}
    row = {
        "id": interaction,
        "messages": [*turns, answer],
        **({"tools": list(found.tools)} if found.tools else {}),
    }
    return row, {
        "of": found.of,
        "personal_data": found.personal_data,
        "redacted": found.redacted,
    }


def _declare(path: Path, entry: Mapping[str, str]) -> bool:
    """Write the entry into the model file, if that can be done without a person."""
    raw = path.read_bytes()
    mark = b"\xef\xbb\xbf" if raw.startswith(b"\xef\xbb\xbf") else b""
    changed = declaring.with_suite(raw.decode("utf-8-sig"), entry)
    if changed is None:
        return False
    path.write_bytes(mark + changed.encode("utf-8"))
    return True


def _record(project: Project, action: str, detail: Mapping[str, Any]) -> None:
    with project.workspace.records.begin() as tx:
        audit.record(
            tx,
            model=project.model.name,
            actor=project.actor,
            action=action,
            detail=detail,
            now=project.workspace.now(),
        )
