"""Blind A/B: people choose between two answers whose authors they do not know."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from live_desk import make_loop
from tuneloop.cli.choosing import read_sheet, write_sheet
from tuneloop.cli.main import app
from tuneloop.errors import UsageError
from tuneloop.evaluation.plan import plan_evaluation
from tuneloop.evaluation.record import Evaluation
from tuneloop.evaluation.side_by_side import Pair, pairs
from tuneloop.evaluation.stage import evaluate
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import OpenAITarget, Sampling
from tuneloop.loop import Loop
from tuneloop.registry import audit
from tuneloop.testing.upstream import Received, Reply, ScriptedUpstream
from tuneloop.workspace import Workspace

CASES = 12


@pytest.fixture
def loop(tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.chdir(tmp_path)
    workspace = Workspace.open(desk_workspace)
    rows = ({"prompt": f"ask {n}", "completion": "x"} for n in range(CASES))
    (tmp_path / "golden.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield make_loop(
        workspace,
        tmp_path,
        task={"kind": "prose"},
        evaluation={"suites": [{"name": "golden", "file": "golden.jsonl"}]},
    )
    workspace.records.close()


@pytest.fixture
def evaluation(loop: Loop) -> Evaluation:
    """The candidate says `- new …`, the base `=old …`; to `ask 0` both say the same."""
    sampling = Sampling(max_tokens=8)
    plan = plan_evaluation(
        model="desk",
        task=loop.model.task,
        settings=loop.model.evaluation,
        sampling=sampling,
        dataset=None,
        folder=loop.model_file.folder,
    )

    def saying(word: str) -> Any:
        def reply(request: Received) -> Reply:
            asked = request.body["messages"][-1]["content"]
            return Reply(text="the same" if asked == "ask 0" else f"{word} answer to {asked}")

        return reply

    with ScriptedUpstream(saying("- new")) as mine, ScriptedUpstream(saying("=old")) as theirs:
        targets = [
            OpenAITarget(base_url=one.base_url, model="m", identity=name, sampling=sampling)
            for one, name in ((mine, "new"), (theirs, "untuned"))
        ]
        return evaluate(
            loop.workspace,
            plan=plan,
            target=targets[0],
            references={"base": Subject(target=targets[1], main_suite_only=True)},
        )


def run(*words: str, keys: str = "") -> Any:
    return CliRunner().invoke(
        app, ["evaluation", "compare", *words], input=keys, env={"COLUMNS": "80"}
    )


def told(*words: str) -> Any:
    done = run(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def choose(evaluation: Evaluation, loop: Loop, wanted: str, *, reviewer: str, n: int) -> None:
    """In the first `n` pairs that wait for this person, the answer that holds `wanted`."""
    desk = loop.review.blind(evaluation, reviewer=reviewer)
    for pair in desk.waiting()[:n]:
        desk.choose({pair.id: "A" if wanted in pair.shown[0] else "B"})


@pytest.mark.usefixtures("evaluation")
def test_a_person_chooses_on_the_screen_stops_and_goes_on() -> None:
    shown = run("--reviewer", "Ines", keys="a\ns\nt\nq\n").stdout
    assert "1/11" in shown and "4/11" in shown
    for word in ("candidate", "base", "reference"):
        assert word not in shown.partition("4/11")[0], "nobody says whose an answer is"
    result = told()
    assert (result["judged"], result["pairs"], result["identical"]) == (2, 11, 1)
    again = run("--reviewer", " ines", keys="q\n").stdout
    assert "1/9" in again, "what was skipped comes again, what was chosen does not"


def test_everybody_is_shown_the_same_pairs(loop: Loop, evaluation: Evaluation) -> None:
    pairs = loop.review.blind(evaluation).to_choose
    assert pairs == loop.review.blind(evaluation, reviewer="another").to_choose


def test_either_answer_stands_first_in_about_half_of_the_pairs() -> None:
    rows = [
        {
            "case": f"case {number:03}",
            "target": target,
            "suite": "held-out",
            "messages": [{"role": "user", "content": f"ask {number}"}],
            "expected": "",
            "answer": {"text": f"{target} {number}", "error": None},
        }
        for target in ("candidate", "base")
        for number in range(100)
    ]
    drawn = pairs(rows, "base", evaluation="20261130-1")
    assert 35 <= sum(pair.first == "candidate" for pair in drawn) <= 65
    assert [pair.case for pair in drawn] != sorted(pair.case for pair in drawn)


def test_what_was_chosen_is_counted_for_whose_answer_it_was(
    loop: Loop, evaluation: Evaluation
) -> None:
    choose(evaluation, loop, "new", reviewer="Ines", n=10)
    choose(evaluation, loop, "old", reviewer="Ines", n=1)
    result = told()
    assert (result["candidate"], result["other"], result["ties"]) == (10, 1, 0)
    assert result["share"]["value"] == pytest.approx(10 / 11)
    assert 0.6 < result["share"]["low"] < result["share"]["high"] < 1
    assert result["difference"]["value"] == pytest.approx(9 / 11)
    assert result["p_value"] == pytest.approx(2 * 12 / 2**11)
    shown = run("--reviewer", "Ines").stdout
    assert "candidate better 10, base better 1, ties 0" in " ".join(shown.split())


def test_two_people_are_one_vote_each_and_their_agreement_is_told(
    loop: Loop, evaluation: Evaluation
) -> None:
    choose(evaluation, loop, "new", reviewer="Ines", n=8)
    choose(evaluation, loop, "old", reviewer="Bo", n=2)
    choose(evaluation, loop, "new", reviewer="Bo", n=6)
    result = told()
    assert (result["judged"], result["candidate"], result["ties"]) == (8, 6, 2)
    assert result["people"] == {"Bo": {"reference": 2, "candidate": 6}, "Ines": {"candidate": 8}}
    assert result["agreement"]["observed"]["value"] == 0.75
    assert result["agreement"]["kappa"]["value"] == pytest.approx(0.0)


def test_a_second_thought_takes_the_place_of_the_first(loop: Loop, evaluation: Evaluation) -> None:
    desk = loop.review.blind(evaluation, reviewer="Ines")
    pair = desk.waiting()[0]
    desk.choose({pair.id: "A"})
    desk.choose({pair.id: "tie"})
    result = desk.result()
    assert (result.judged, result.ties, result.share) == (1, 1, None)


@pytest.mark.usefixtures("evaluation")
@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_a_sheet_is_filled_in_by_somebody_without_a_terminal(tmp_path: Path, name: str) -> None:
    sheet = tmp_path / name
    written = told("--sheet", name)
    assert (written["sheet"], written["pairs"]) == (name, 11)
    assert written["evaluation"], "`latest` may be another one by the time it is filled in"
    if name == "pairs.csv":
        with sheet.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert all(row["A"][0] == row["B"][0] == "'" for row in rows), "no cell is a formula"
    else:
        rows = [json.loads(line) for line in sheet.read_text().splitlines()]
    for row in rows[:9]:
        row["choice"] = "a" if "new" in row["A"] else " B "
    rows[9]["choice"] = "Tie"
    if name == "pairs.csv":
        with sheet.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        sheet.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = told("--choices", name, "--reviewer", "Dr. Kumar")
    assert (result["candidate"], result["other"], result["ties"]) == (9, 0, 1)
    assert result["people"] == {"Dr. Kumar": {"candidate": 9, "tie": 1}}


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.jsonl"])
def test_a_sheet_is_read_whatever_a_model_said(tmp_path: Path, name: str) -> None:
    """A model says control characters, which no reader of rows takes."""
    pair = Pair(
        id="p1",
        case="c1",
        messages=({"role": "user", "content": "Where\nis it?"},),
        candidate="On\0 its \x1b[2Jway,\r\x0b soon",
        reference="It is\n\tlost",
        expected=None,
        group="",
        first="candidate",
    )
    write_sheet(tmp_path / name, [pair])
    assert read_sheet(tmp_path / name) == {}, "nobody has chosen yet"
    written = (tmp_path / name).read_text("utf-8-sig")
    assert "its \ufffd[2Jway" in written and "lost" in written


@pytest.mark.usefixtures("evaluation")
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"pair": "p1", "choice": "A"}, "There is no pair 'p1'"),
        ({"pair": "p1", "choice": "C"}, "sheet.jsonl, line 1: expected A, B, tie or nothing"),
        ({"pair": "p1"}, "sheet.jsonl, line 1: expected the columns `pair` and `choice`"),
    ],
)
def test_a_sheet_that_cannot_be_used_says_why(
    tmp_path: Path, row: dict[str, str], message: str
) -> None:
    (tmp_path / "sheet.jsonl").write_text(json.dumps(row))
    refused = run("--choices", "sheet.jsonl").exception
    assert isinstance(refused, UsageError) and message in refused.message
    assert told()["judged"] == 0


@pytest.mark.usefixtures("evaluation")
def test_what_there_is_not_is_said() -> None:
    for words, message in (
        (("--with", "production"), "Production was not asked"),
        (("--with", "nobody"), "--with is production or base"),
        (("--sheet", "pairs.docx"), "A sheet is a .csv or a .jsonl"),
        (("--choices", "nowhere.csv"), "There is no file nowhere.csv."),
        ((), "Nobody is there to choose"),
    ):
        refused = run(*words).exception
        assert isinstance(refused, UsageError), words
        assert message in refused.message


def test_every_choice_is_in_the_audit_log(loop: Loop, evaluation: Evaluation) -> None:
    choose(evaluation, loop, "new", reviewer="Ines", n=1)
    event = audit.listing(loop.workspace, model="desk")[-1]
    assert (event.actor, event.action) == ("Ines", "evaluation.preferred")
    assert event.detail["choices"] == {"candidate": 1}
