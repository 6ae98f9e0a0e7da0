"""`tuneloop suite`: the cases that candidates answer, and their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from tuneloop.amounts import many
from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    ModelOption,
    ago,
    finishing,
    open_loop,
    out,
    page,
    print_json,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from tuneloop.candidates.suites import SuiteState
    from tuneloop.evaluation.frozen import FrozenSuite
    from tuneloop.evaluation.suite_diff import SuiteDiff
    from tuneloop.evaluation.suites import Case, Suite

app = typer.Typer(no_args_is_help=True, help="Suites of cases: list, add to, freeze, compare.")
NameArgument = Annotated[str, typer.Argument(help="Of the suite, as the model file has it.")]


@app.command("list")
def list_(file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """List the suites: cases, candidates that they decided on, and what is frozen of them.

    Example: tuneloop suite list --json
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        states, now = loop.suites.listing(), loop.workspace.now()
    if json_:
        print_json(states)
        return
    rows = table("suite", "kind", "cases", "looks", "digest", "frozen", optional=("digest",))
    for state in states:
        frozen = f"{state.frozen}, {ago(state.frozen_at, now)}" if state.frozen_at else "never"
        rows.add_row(
            state.name,
            state.kind,
            "?" if state.problem else str(state.cases),
            str(state.looks or "–"),
            state.digest[:12],
            frozen,
        )
    remarks = [remark for state in states for remark in _remarks(state)]
    page(rows if states else "No suite yet. Begin one: tuneloop suite new NAME", *remarks)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="As `tuneloop suite list` has it.")],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show the cases of a suite, and its frozen versions.

    Example: tuneloop suite show held-out
    """
    from tuneloop.evaluation.suite_diff import case_row

    with finishing(open_loop(file, quiet=True)) as loop:
        suite = loop.suites.find(name)
        versions, now = loop.suites.versions(name), loop.workspace.now()
    if json_:
        print_json(
            {
                "name": suite.name,
                "kind": suite.kind,
                "digest": suite.digest,
                "cases": [case_row(case) for case in suite.cases],
                "versions": [_version_row(version) for version in versions],
            }
        )
        return
    frozen = [
        Text(
            f"frozen as {version.label}, {ago(version.at, now)} by {version.by}: "
            f"{many(version.cases, 'case')}"
        )
        for version in versions
    ]
    page(
        f"{suite.name}: {many(len(suite.cases), 'case')}, {suite.kind}", _case_table(suite), *frozen
    )


@app.command()
def new(
    name: NameArgument,
    kind: Annotated[
        Literal["golden", "edge-case", "safety", "general"],
        typer.Option(help="What its cases are for."),
    ] = "golden",
    path: Annotated[
        str | None, typer.Option("--path", help="Its file, beside the model file: NAME.jsonl.")
    ] = None,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Begin a suite: its file, and its entry in the model file.

    Evaluations stop at a suite without a case, so add one to it.

    Example: tuneloop suite new refunds --kind edge-case
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        begun = loop.suites.new(name, kind=kind, file=path)
    if json_:
        print_json(begun)
        return
    if begun.declared:
        out.print(f"{begun.name} is in the model file, with its cases in {begun.file}.")
    else:
        out.print(f"Its cases are in {begun.file}. Write it into the model file:\n")
        out.print(begun.lines, markup=False)
    out.print(f"Add a case: tuneloop suite add {begun.name} --prompt TEXT --expected TEXT")


@app.command()
def add(
    name: NameArgument,
    prompt: Annotated[str | None, typer.Option(help="What is asked.")] = None,
    interaction: Annotated[
        str | None,
        typer.Option(help="Id of a captured chat, from its header x-tuneloop-interaction."),
    ] = None,
    expected: Annotated[
        str | None,
        typer.Option(help="The right answer; of an interaction, by default what people said."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="A slice that it is in.", metavar="K=V")
    ] = None,
    must_contain: Annotated[
        list[str] | None,
        typer.Option(help="A phrase that an answer of prose says.", metavar="TEXT"),
    ] = None,
    must_not_contain: Annotated[
        list[str] | None, typer.Option(help="A phrase that it does not say.", metavar="TEXT")
    ] = None,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Add a case to a suite: a prompt with its answer, or something that went wrong in production.

    The right answer to an interaction is --expected, else what was approved in review, else the
    last edit that came as feedback.

    Example: tuneloop suite add golden --interaction ID
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        added = loop.suites.add(
            name,
            prompt=prompt,
            interaction=interaction,
            expected=expected,
            tags=tag or (),
            must_contain=must_contain or (),
            must_not_contain=must_not_contain or (),
        )
    if json_:
        print_json(added)
        return
    case = added.case
    of = f" (from {added.of})" if interaction else ""
    answer = "its form alone" if case.expected is None else f"{case.expected}{of}"
    out.print(f"Case {case.id} is in line {added.line} of suite {added.suite}.", markup=False)
    out.print(f"  asks:    {case.question}", markup=False)
    out.print(f"  expects: {answer}", markup=False)
    if added.personal_data:
        found = ", ".join(f"{kind} × {count}" for kind, count in added.personal_data.items())
        done = "replaced" if added.redacted else "not replaced (data.redact_personal_data)"
        out.print(f"Personal data in it: {found}, {done}.", markup=False)
    out.print(f"Undo with: tuneloop suite remove {added.suite} {case.id}", markup=False)


@app.command()
def remove(
    name: NameArgument,
    case: Annotated[str, typer.Argument(help="Id of the case, or its beginning.")],
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Take a case out of the file of a suite; frozen versions keep it.

    Example: tuneloop suite remove golden 1f0c5d2a9b77
    """
    from tuneloop.evaluation.suite_diff import case_row

    with finishing(open_loop(file, quiet=True)) as loop:
        gone = loop.suites.remove(name, case)
    if json_:
        print_json(case_row(gone))
    else:
        out.print(f"Case {gone.id} is out of suite {name}: {gone.question}", markup=False)


@app.command()
def freeze(name: NameArgument, file: ModelOption = DEFAULT_FILE, json_: JsonOption = False) -> None:
    """Keep a suite as it is now, for good; reports then say what changed since.

    Example: tuneloop suite freeze golden
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        known = {version.label for version in loop.suites.versions(name)}
        version = loop.suites.freeze(name)
    if json_:
        print_json(_version_row(version))
        return
    already = "is" if version.label not in known else "was already"
    out.print(f"{name} {already} frozen as {version.label}: {many(version.cases, 'case')}.")


@app.command()
def diff(
    name: NameArgument,
    before: Annotated[
        str | None, typer.Argument(help="A frozen version; by default the last one.")
    ] = None,
    after: Annotated[
        str | None, typer.Argument(help="Another; by default `file`, as it is now.")
    ] = None,
    file: ModelOption = DEFAULT_FILE,
    json_: JsonOption = False,
) -> None:
    """Show which cases were added, removed and changed since a suite was frozen.

    Example: tuneloop suite diff golden latest file
    """
    with finishing(open_loop(file, quiet=True)) as loop:
        difference = loop.suites.diff(name, before, after)
    if json_:
        print_json(difference.as_row())
    else:
        page(*_diff_parts(difference))


def _remarks(state: SuiteState) -> Iterator[Text]:
    if state.problem:
        yield Text(f"• {state.name}: {state.problem}")
    if state.since:
        yield Text(
            f"• {state.name}: {state.since} since it was frozen (tuneloop suite diff {state.name})"
        )


def _version_row(version: FrozenSuite) -> dict[str, object]:
    return {"label": version.label, **vars(version)}


def _case_table(suite: Suite) -> RenderableType:
    rows = table("case", "asks", "expects", "slices", optional=("slices", "case"))
    for case in suite.cases:
        slices = ", ".join(f"{key}={value}" for key, value in case.slices.items())
        rows.add_row(case.id, case.question, _expects(case), slices)
    return rows


def _expects(case: Case) -> str:
    said = [f"says {phrase!r}" for phrase in case.must_contain]
    said += [f"does not say {phrase!r}" for phrase in case.must_not_contain]
    return "; ".join([*([] if case.expected is None else [case.expected]), *said]) or "–"


def _diff_parts(difference: SuiteDiff) -> Iterator[RenderableType]:
    yield Text(f"{difference.suite}: {difference.before} → {difference.after}")
    rows = table("", "case", "asks", "expects", optional=("case",))
    for word, cases in (("added", difference.added), ("removed", difference.removed)):
        for case in cases:
            rows.add_row(word, case.id, case.question, _expects(case))
    for change in difference.changed:
        then, now = _expects(change.before), _expects(change.after)
        what = f"changed: {', '.join(change.parts)}"
        expects = now if then == now else f"{then} → {now}"
        rows.add_row(what, change.after.id, change.after.question, expects)
    if difference.differs:
        yield rows
    yield f"{difference.says or 'nothing changed'}, {difference.same} the same"
