"""`tuneloop suite` as a person and a script use it."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from live_desk import SCHEMA, capture, make_loop, put_live
from tuneloop import modelfile, review
from tuneloop.candidates.planning import plan_for
from tuneloop.cli.main import app
from tuneloop.errors import EvaluationError, NotAllowedError, UsageError
from tuneloop.evaluation import looks, names
from tuneloop.loop import Loop
from tuneloop.project import Project
from tuneloop.registry import audit
from tuneloop.review import Proposal
from tuneloop.workspace import Workspace
from watched_desk import make_desk

REFUND, DELIVERY = '{"intent": "refund"}', '{"intent": "delivery"}'


@pytest.fixture
def loop(tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    """A desk with one golden case."""
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open(desk_workspace)
    row = {"prompt": "My money, please", "completion": REFUND}
    (tmp_path / "golden.jsonl").write_text(json.dumps(row) + "\n")
    yield make_loop(
        workspace,
        tmp_path,
        task={"output_schema": SCHEMA},
        evaluation={"suites": [{"name": "golden", "file": "golden.jsonl"}]},
    )
    workspace.records.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["suite", *arguments], env={"COLUMNS": "200"})


def told(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def refused(*arguments: str) -> UsageError:
    done = run(*arguments)
    assert isinstance(done.exception, UsageError), done.output
    return done.exception


def test_a_suite_is_begun_in_the_model_file_and_takes_cases(loop: Loop, tmp_path: Path) -> None:
    text = (tmp_path / "tuneloop.yaml").read_text()
    (tmp_path / "tuneloop.yaml").write_text(f"# ours\n{text}")
    assert told("new", "refunds", "--kind", "edge-case")["declared"]
    assert (tmp_path / "tuneloop.yaml").read_text().startswith("# ours\n")
    declared = modelfile.load(tmp_path / "tuneloop.yaml").settings.evaluation.suites
    assert [(one.name, one.kind, one.file) for one in declared] == [
        ("golden", "golden", "golden.jsonl"),
        ("refunds", "edge-case", "refunds.jsonl"),
    ]
    assert "has no cases" in run("list").stdout
    said = run("add", "refunds", "--prompt", "Give back", "--expected", REFUND, "--tag", "lang=en")
    assert "line 1 of suite refunds" in said.stdout
    (case,) = told("show", "refunds")["cases"]
    assert case["expected"] == REFUND and case["tags"]["lang"] == "en"
    assert f"tuneloop suite remove refunds {case['id']}" in said.stdout.replace("\n", " ")


@pytest.mark.parametrize("name", ["golden", "held-out", "regressions"])
def test_a_taken_name_begins_no_suite(loop: Loop, name: str) -> None:
    assert "already" in refused("new", name).message


def test_what_no_dataset_version_has_brought_yet(loop: Loop) -> None:
    error = refused("show", "held-out")
    assert "No dataset version" in error.message and "tuneloop prepare" in error.remedy
    assert [state["name"] for state in told("list")] == ["golden"]


def test_a_name_that_is_none_is_told_with_the_rule(loop: Loop) -> None:
    assert "lower-case letters" in refused("new", "My Suite").message


def test_a_model_file_that_cannot_be_written_to_is_left_and_the_lines_told(
    loop: Loop, tmp_path: Path
) -> None:
    path = tmp_path / "tuneloop.yaml"
    path.write_text("{name: desk, base: base, data: {sources: [rows.jsonl]}}\n")
    before = path.read_bytes()
    said = run("new", "golden").stdout
    assert "- {name: golden, kind: golden, file: golden.jsonl}" in said
    assert path.read_bytes() == before


def test_what_is_asked_already_is_refused_and_what_is_there_is_named(
    loop: Loop, tmp_path: Path
) -> None:
    before = (tmp_path / "golden.jsonl").read_bytes()
    error = refused("add", "golden", "--prompt", "My money, please", "--expected", DELIVERY)
    assert "golden.jsonl, line 1" in error.message and "refund" in error.message
    assert (tmp_path / "golden.jsonl").read_bytes() == before


def test_an_answer_that_no_model_could_give_is_refused(loop: Loop) -> None:
    wrong = '{"intent": "unheard of"}'
    assert "form" in refused("add", "golden", "--prompt", "q", "--expected", wrong).message


def test_a_case_that_was_removed_leaves_the_file_as_it_was(loop: Loop, tmp_path: Path) -> None:
    before = (tmp_path / "golden.jsonl").read_bytes()
    added = told("add", "golden", "--prompt", "Wo ist es?", "--expected", DELIVERY)
    assert "Wo ist es?" in run("remove", "golden", added["case"]["id"][:6]).stdout
    assert (tmp_path / "golden.jsonl").read_bytes() == before
    assert "0 cases" in refused("remove", "golden", "unknown").message


def test_a_file_that_holds_no_line_a_row_is_not_written_to(loop: Loop, tmp_path: Path) -> None:
    rows = [{"prompt": "q", "completion": REFUND}]
    (tmp_path / "golden.jsonl").write_text(json.dumps(rows, indent=1))
    before = (tmp_path / "golden.jsonl").read_bytes()
    added = ("add", "golden", "--prompt", "other", "--expected", REFUND)
    assert "JSON Lines" in refused(*added).message
    assert (tmp_path / "golden.jsonl").read_bytes() == before
    assert list(tmp_path.glob(".golden*")) == []


def test_what_changed_since_a_suite_was_frozen(loop: Loop, tmp_path: Path) -> None:
    assert "never frozen" in refused("diff", "golden").message
    first = told("freeze", "golden")
    assert told("freeze", "golden") == first
    assert "was already frozen" in run("freeze", "golden").stdout
    assert "nothing changed" in run("diff", "golden").stdout

    row = {"prompt": "My money, please", "completion": DELIVERY}
    (tmp_path / "golden.jsonl").write_text(json.dumps(row) + "\n")
    told("add", "golden", "--prompt", "Where is it?", "--expected", DELIVERY)
    found = told("diff", "golden")
    assert (found["before"], found["after"]) == (first["label"], "golden.jsonl")
    assert [case["question"] for case in found["added"]] == ["Where is it?"]
    assert [change["parts"] for change in found["changed"]] == [["answer", "tags"]]
    golden = next(state for state in told("list") if state["name"] == "golden")
    assert golden["since"] == "1 case added, 1 changed" and golden["frozen"] == first["label"]
    assert "1 case added, 1 changed since it was frozen" in run("list").stdout

    second = told("freeze", "golden")
    assert told("diff", "golden", first["label"], second["artifact"][:8])["same"] == 0
    assert told("diff", "golden", "latest", "file")["same"] == 2
    assert [one["label"] for one in told("show", "golden")["versions"]] == [
        second["label"],
        first["label"],
    ]


def test_a_changed_system_text_changes_no_frozen_case(loop: Loop, tmp_path: Path) -> None:
    told("freeze", "golden")
    text = (tmp_path / "tuneloop.yaml").read_text()
    assert "task:\n" in text
    (tmp_path / "tuneloop.yaml").write_text(text.replace("task:\n", "task:\n  system: Be kind.\n"))
    assert told("diff", "golden")["same"] == 1


def test_what_a_dataset_version_brings_is_shown_and_never_frozen(
    tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open(desk_workspace)
    row = {"prompt": "My money, please", "completion": REFUND}
    (tmp_path / "golden.jsonl").write_text(json.dumps(row) + "\n")
    suites = [{"name": "golden", "file": "golden.jsonl"}]
    project = make_desk(workspace, tmp_path, evaluation={"suites": suites})
    monkeypatch.setenv("TUNELOOP_WORKSPACE", os.fspath(desk_workspace))
    held_out, _ = told("list")
    assert held_out["kind"] == "held-out" and held_out["looks"] == 0
    shown = told("show", "held-out")
    assert len(shown["cases"]) == held_out["cases"]
    version = Loop(project).dataset()
    assert held_out["frozen"] == version.label

    plan = plan_for(project, version)
    looks.take(workspace, evaluation="e", model="desk", suite=plan.main_suite, subject="s")
    assert told("list")[0]["looks"] == 1
    assert "dataset version" in refused("freeze", "held-out").message

    Loop(project).suites.freeze("golden")
    assert not any("frozen" in note for note in plan_for(project, version).notes)
    Loop(project).suites.add("golden", prompt="Where is it?", expected=DELIVERY)
    (note,) = (note for note in plan_for(project, version).notes if "frozen" in note)
    assert note.startswith("suite 'golden': 1 case added since it was frozen at 2")
    workspace.records.close()


@pytest.fixture
def incident(loop: Loop) -> str:
    """A chat that was answered wrongly."""
    live = put_live(loop)
    (asked,) = capture(
        loop,
        1,
        bundle=live.id,
        at=datetime.now(UTC),
        response=DELIVERY,
        messages=json.dumps(
            [{"role": "user", "content": "Refund me, I am ann@example.com, +49 30 1234567"}]
        ),
    )
    return asked


def say(loop: Loop, interaction: str, kind: str, value: Any) -> None:
    row = {
        "id": f"{interaction}-{kind}",
        "time": datetime.now(UTC),
        "interaction": interaction,
        "kind": kind,
        "value": json.dumps(value),
    }
    loop.workspace.traffic.append("feedback", [row])


def judged(
    loop: Loop, interaction: str, decision: Any, proposal: str, *, asked: str = "Refund me"
) -> None:
    proposed = Proposal(
        kind="correction",
        key=interaction,
        messages=[{"role": "user", "content": asked}],
        answer=DELIVERY,
        proposal=proposal,
        interaction=interaction,
    )
    review.enqueue(loop.workspace, [proposed], model="desk", double_share=0.0)
    loop.review.decide(proposed.item("desk"), decision)


def test_an_incident_becomes_a_case_with_the_answer_that_was_approved(
    loop: Loop, incident: str, tmp_path: Path
) -> None:
    judged(loop, incident, "approved", REFUND)
    said = run("add", "golden", "--interaction", incident)
    assert said.exit_code == 0, said.output
    assert "approved by ann" in said.stdout and "EMAIL × 1" in said.stdout
    (_, case) = told("show", "golden")["cases"]
    assert case["id"] == incident and case["expected"] == REFUND
    assert "ann@example.com" in case["question"]
    assert incident in refused("add", "golden", "--interaction", incident).message
    (event,) = (e for e in audit.listing(loop.workspace, "desk") if e.action == "suite.add")
    assert event.detail["interaction"] == incident


def test_the_answer_of_an_incident_that_nobody_reviewed(loop: Loop, incident: str) -> None:
    assert "Nobody has said" in refused("add", "golden", "--interaction", incident).message
    say(loop, incident, "label", {"correct": False})
    assert "Nobody has said" in refused("add", "golden", "--interaction", incident).message
    say(loop, incident, "edit", REFUND)
    added = told("add", "golden", "--interaction", incident)
    assert added["case"]["expected"] == REFUND and "nobody has reviewed" in added["of"]


def test_an_answer_that_was_rejected_is_none(loop: Loop, incident: str) -> None:
    say(loop, incident, "edit", REFUND)
    judged(loop, incident, "rejected", REFUND)
    error = refused("add", "golden", "--interaction", incident)
    assert "rejected" in error.message and "--expected" in error.remedy
    told("add", "golden", "--interaction", incident, "--expected", REFUND)


def test_personal_data_of_an_incident_is_replaced_where_it_is_in_the_data(
    loop: Loop, incident: str, tmp_path: Path
) -> None:
    text = (tmp_path / "tuneloop.yaml").read_text()
    (tmp_path / "tuneloop.yaml").write_text(
        text.replace("data:\n", "data:\n  redact_personal_data: redact\n")
    )
    said = run("add", "golden", "--interaction", incident, "--expected", REFUND)
    assert "replaced" in said.stdout
    written = (tmp_path / "golden.jsonl").read_text()
    assert "[EMAIL]" in written and "ann@" not in written


def test_an_unknown_interaction_is_named(loop: Loop) -> None:
    assert "'nope'" in refused("add", "golden", "--interaction", "nope").message


def test_a_case_needs_a_prompt_or_an_interaction(loop: Loop) -> None:
    assert "one of them" in refused("add", "golden", "--expected", REFUND).message
    assert "KEY=VALUE" in refused("add", "golden", "--prompt", "q", "--tag", "x").message


def test_an_empty_suite_stops_with_what_to_do(loop: Loop, tmp_path: Path) -> None:
    (tmp_path / "golden.jsonl").write_text("")
    with pytest.raises(EvaluationError, match="has no cases") as stopped:
        loop.suites.find("golden")
    assert "tuneloop suite add golden" in stopped.value.remedy


def test_another_process_sees_the_suites_that_were_frozen(loop: Loop) -> None:
    frozen = loop.suites.freeze("golden")
    again = Loop(Project.open(Path("tuneloop.yaml"), actor="ben"))
    assert again.suites.versions("golden") == [frozen]
    again.close()


def test_an_erasure_names_the_case_of_an_incident_and_what_keeps_it(
    loop: Loop, incident: str
) -> None:
    loop.suites.add("golden", interaction=incident, expected=REFUND)
    label = loop.suites.freeze("golden").label
    done = loop.erase("interaction", incident, dry_run=True)
    (reached,) = done.suites
    assert (reached.suite, reached.case, reached.in_file) == ("golden", incident, True)
    assert reached.frozen == (label,) and label in " ".join(done.remains)
    assert f"tuneloop suite remove golden {incident}" in " ".join(done.to_do)

    loop.suites.remove("golden", incident)
    (reached,) = loop.erase("interaction", incident).suites
    assert not reached.in_file and reached.frozen == (label,)


def test_who_has_no_role_changes_no_suite(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    loop.people.add("ann", ["admin"])
    monkeypatch.setenv("TUNELOOP_ACTOR", "stranger")
    for arguments in (
        ("new", "other"),
        ("add", "golden", "--prompt", "q", "--expected", REFUND),
        ("remove", "golden", "x"),
        ("freeze", "golden"),
    ):
        assert isinstance(run(*arguments).exception, NotAllowedError)
    assert told("list")


def test_cases_that_were_found_because_something_failed_are_listed_apart(
    tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open(desk_workspace)
    desk = Loop(make_desk(workspace, tmp_path))
    for number in range(30):
        judged(desk, f"{number}", "approved", REFUND, asked=f"Give {number * 7919} back {number}")
    version = desk.prepare()
    held_out, regressions = told("list")
    assert [held_out["name"], regressions["kind"]] == ["held-out", "regressions"]
    assert held_out["cases"] + regressions["cases"] == version.rows_eval
    shown = told("show", "regressions")
    assert len(shown["cases"]) == regressions["cases"] and shown["versions"] == []
    workspace.records.close()


def test_the_guide_to_an_incident_is_true(loop: Loop, incident: str) -> None:
    judged(loop, incident, "approved", REFUND)
    guide = (Path(__file__).parents[3] / "docs/how-to/gates.md").read_text()
    (block,) = re.findall(r"```sh\n(tuneloop suite new .*?)```", guide, re.DOTALL)
    said = ""
    for line in block.splitlines():
        done = run(*shlex.split(line.replace("ID", incident))[2:])
        assert done.exit_code == 0, done.output
        said += done.stdout
    assert "approved by ann" in said and "nothing changed, 1 the same" in said


def test_the_guide_to_what_tuning_cost_is_true(loop: Loop) -> None:
    guide = (Path(__file__).parents[3] / "docs/how-to/safety.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", guide, re.DOTALL)
    for line in block.splitlines():
        done = run(*shlex.split(line)[2:])
        assert done.exit_code == 0, done.output
    rows = Path("safety.jsonl").read_text().splitlines()
    tags = [json.loads(row)["tags"] for row in rows]
    assert tags == [{"harmful": "yes"}, {"harmful": "no"}]
    declared = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    sections = [yaml.safe_load(text)["evaluation"] for text in declared]
    suites = [suite for section in sections for suite in section["suites"]]
    reopened = make_loop(
        loop.workspace,
        Path.cwd(),
        task={"output_schema": SCHEMA},
        evaluation={
            "suites": suites,
            "gates": {**sections[0]["gates"], "general.right": "not worse than base"},
            "forgetting": sections[1]["forgetting"],
        },
    )
    assert [state["kind"] for state in told("list")] == ["safety", "general"]
    problems = names.problems(
        reopened.model.task,
        reopened.model.evaluation,
        folder=Path.cwd(),
        columns=None,
        judge=False,
    )
    assert problems == []


def test_tuneloops_own_questions_are_shown_and_kept_but_not_changed(loop: Loop) -> None:
    section = {"suites": [{"name": "general", "kind": "general"}]}
    make_loop(loop.workspace, Path.cwd(), task={"output_schema": SCHEMA}, evaluation=section)
    (state,) = told("list")
    assert (state["kind"], state["cases"]) == ("general", 40)
    assert state["source"] == "tuneloop's own questions"
    assert told("show", "general")["cases"][0]["expected"] == "Paris"
    assert run("freeze", "general").exit_code == 0
    assert "the same" in run("diff", "general").stdout
    for arguments in (("add", "--prompt", "Who?", "--expected", "Me"), ("remove", "general-01")):
        command, *rest = arguments
        error = refused(command, "general", *rest)
        assert "nobody changes" in error.message and "file: general.jsonl" in error.remedy


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("golden.accuracy", "those of kind safety and general"),
        ("right", "names no metric"),
        ("golden.right", "names no metric"),
        ("general.accuracy", "names no metric"),
        ("general.right", ""),
        ("general.in_task_form", "names no metric"),
    ],
)
def test_only_what_watches_the_tuning_is_compared_with_the_base(
    loop: Loop, key: str, said: str
) -> None:
    settings = loop.model.evaluation.model_validate(
        {
            "suites": [
                {"name": "golden", "file": "golden.jsonl"},
                {"name": "general", "kind": "general"},
            ],
            "gates": {key: "not worse than base"},
        }
    )
    found = names.problems(loop.model.task, settings, folder=Path.cwd(), columns=None, judge=False)
    told_so = [f"{problem.message} {problem.remedy}" for problem in found]
    assert said in told_so[0] if said else told_so == []
