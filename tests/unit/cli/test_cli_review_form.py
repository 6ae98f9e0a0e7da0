"""An answer that breaks the declared form is not approved unseen, and nothing typed is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from on_terminal import OnTerminal, tuneloop
from tuneloop import review
from tuneloop.cli.main import app
from tuneloop.datasets.filters import make_filters
from tuneloop.errors import UsageError
from tuneloop.modelfile import load
from tuneloop.registry import audit
from tuneloop.workspace import Workspace

SCHEMA = "{type: object, required: [intent], properties: {intent: {enum: [billing, outage]}}}"
FILE = f"name: desk\nbase: b\ndata: {{sources: [a.jsonl]}}\ntask: {{output_schema: {SCHEMA}}}\n"
GOOD, BROKEN = '{"intent": "billing"}', '{"intent": "refund"}'


@pytest.fixture
def desk(
    tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    """Two edits of clients: the first does not fit the schema."""
    (tmp_path / "tuneloop.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    opened = Workspace.open(desk_workspace)
    for number, text in enumerate((BROKEN, GOOD)):
        put(opened, f"q{number}", text)
    yield opened
    opened.records.close()


def put(workspace: Workspace, question: str, text: str) -> None:
    proposal = review.Proposal(
        kind="correction",
        key=question,
        messages=[{"role": "user", "content": question}],
        answer="wrong",
        proposal=text,
    )
    review.enqueue(workspace, [proposal], model="desk", double_share=0.0)


def run(*words: str, keys: str = "", code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["review", *words], input=keys, env={"COLUMNS": "200"})
    if isinstance(done.exception, UsageError):
        raise done.exception
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


def finals(workspace: Workspace) -> dict[str, str | None]:
    return {item.question: item.final for item in review.listing(workspace, "desk", status=None)}


def broken_id(workspace: Workspace) -> str:
    return next(i.id for i in review.listing(workspace, "desk") if i.proposal == BROKEN)


@pytest.mark.usefixtures("wide_terminal")
def test_the_list_says_which_edits_break_the_form(desk: Workspace) -> None:
    faults = [item["breaks_form"] for item in run("list", "--json")]
    assert faults == ["intent: 'refund' is not one of ['billing', 'outage']", None]
    assert run("list").count("breaks the form") == 1


def test_one_that_breaks_the_form_is_refused_with_what_would_fit(desk: Workspace) -> None:
    item = broken_id(desk)
    for words in ([], ["--answer", "refund, please"]):
        with pytest.raises(UsageError) as caught:
            run("approve", item, *words)
        said = str(caught.value)
        assert "not JSON" in said if words else "'refund' is not one of" in said
        assert "task.output_schema" in said and '"enum": ["billing", "outage"]' in said
    assert finals(desk) == {"q0": None, "q1": None}
    run("approve", item, "--answer", GOOD)
    assert finals(desk)["q0"] == GOOD


def test_of_all_those_that_fit_are_approved_and_the_others_named(desk: Workspace) -> None:
    said = run("approve", "--all", code=1)
    assert "1 approved." in said and f"{broken_id(desk)}: intent: 'refund'" in said
    assert finals(desk) == {"q0": None, "q1": GOOD}
    put(desk, "q2", GOOD)
    left = run("approve", "--all", "--json", code=1)
    assert left["approved"] == 1 and list(left["breaks_form"]) == [broken_id(desk)]
    assert run("approve", "--all", "--anyway", "--json") == {"approved": 1}
    assert finals(desk)["q0"] == BROKEN
    [newest, *_] = audit.listing(desk, "desk")
    assert newest.detail["breaks_form"] is True
    assert "refund" not in json.dumps(newest.detail), "an erasure cannot reach this log"


def test_a_broken_edit_can_be_rejected_as_it_is(desk: Workspace) -> None:
    assert run("reject", "--all", "--json") == {"rejected": 2}


def test_the_walk_shows_the_fault_keeps_what_was_typed_and_goes_on(desk: Workspace) -> None:
    """a is refused, and so is the edit, whose text is there again: Enter keeps it, ! takes it."""
    said = run(keys="a\ne\n{bad\ne\n\n!\na\n")
    assert said.count("Breaks the declared form: intent: 'refund'") == 2
    assert said.count("Breaks the declared form: the answer is not JSON") == 2
    assert 'Expected JSON that fits task.output_schema, {"type": "object"' in said
    assert "The right answer ({bad)" in said
    assert finals(desk) == {"q0": "{bad", "q1": GOOD}


def test_an_edit_that_fits_is_taken_at_once(desk: Workspace) -> None:
    assert "1 approved" in run(keys=f"e\n{GOOD}\nq\n")
    assert finals(desk) == {"q0": GOOD, "q1": None}


def change(terminal: OnTerminal, end: str, to: str) -> None:
    """Choose to edit, wait until the text stands there, and type another end of it."""
    asked = len(terminal.text)
    terminal.press("e\r")
    terminal.wait_for("then Enter):", since=asked)
    terminal.wait_for(end, since=terminal.text.rindex("then Enter):"))
    terminal.press("\x7f" * len(end) + f"{to}\r")


@pytest.mark.process
def test_on_a_terminal_the_text_stands_there_to_be_changed(desk: Workspace, tmp_path: Path) -> None:
    with tuneloop("review", cwd=tmp_path) as terminal:
        terminal.wait_for("approve anyway")
        change(terminal, 'refund"}', 'fund"}')
        terminal.wait_for("'fund' is not one of")
        change(terminal, 'fund"}', 'outage"}')
        terminal.wait_for("2/2")
        terminal.press("q\r")
        assert terminal.end() == 0
    assert finals(desk)["q0"] == '{"intent": "outage"}'


@pytest.mark.parametrize("answer", [GOOD, BROKEN, "x", '{"intent": "oos"}', f" {GOOD} "])
def test_what_may_be_approved_is_what_prepare_keeps(tmp_path: Path, answer: str) -> None:
    from tuneloop.datasets.example import Example
    from tuneloop.datasets.filters import first_objection

    (tmp_path / "tuneloop.yaml").write_text(FILE)
    model = load(tmp_path).settings
    filters = make_filters(
        min_characters=0, max_characters=99, output_schema=model.task.output_schema
    )
    example = Example(messages=(), completion=answer, source="s", line=1)
    kept = first_objection(tuple(f for f in filters if f.name == "schema"), example).keep
    assert (review.declared_form(model).fault(answer) is None) == kept


def test_a_check_that_is_switched_off_is_none(tmp_path: Path) -> None:
    (tmp_path / "tuneloop.yaml").write_text(
        FILE.replace("[a.jsonl]", "[a.jsonl], disabled_filters: [schema]")
    )
    assert review.declared_form(load(tmp_path).settings).fault(BROKEN) is None
    (tmp_path / "tuneloop.yaml").write_text(
        FILE.replace(f"{{output_schema: {SCHEMA}}}", '{output_pattern: "[a-z]+"}')
    )
    form = review.declared_form(load(tmp_path).settings)
    assert form.fault("ab") is None
    assert form.fault("AB") == "the answer does not match '[a-z]+'"
    assert form.expected == "a text that matches task.output_pattern, [a-z]+"
