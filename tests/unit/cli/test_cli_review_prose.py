"""Reviewing prose: what was changed is seen at a glance, and a comma is no other answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from on_terminal import tuneloop
from tuneloop import review
from tuneloop.cli.main import app
from tuneloop.workspace import Workspace

FILE = "name: desk\nbase: b\ntask: {kind: prose}\ndata: {sources: [a.jsonl]}\n"
SAID = "The patient takes 20 mg of lisinopril. She feels well and was seen by Dr. Kumar in July."
FORM = SAID.replace(". She", ".\n\nShe").replace("mg of", "MG of")
WORDING = SAID.replace("feels well", "is fine")
FACTS = SAID.replace("20 mg", "40 mg")


@pytest.fixture
def desk(
    tmp_path: Path, desk_workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workspace]:
    (tmp_path / "tuneloop.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    opened = Workspace.open(desk_workspace)
    yield opened
    opened.records.close()


def put(workspace: Workspace, name: str, proposal: str, *, double_share: float = 0.0) -> str:
    asked = [{"role": "user", "content": f"Summarise {name} [/b]"}]
    kind: review.Kind = "sample" if proposal == SAID else "correction"
    item = review.Proposal(
        kind=kind, key=name, messages=asked, answer=SAID, proposal=proposal, interaction=name
    )
    review.enqueue(workspace, [item], model="desk", double_share=double_share)
    return item.item("desk")


def run(*words: str, keys: str = "") -> Any:
    done = CliRunner().invoke(app, ["review", *words], input=keys, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout) if "--json" in words else done.stdout


def test_an_edit_is_shown_as_what_it_changes(desk: Workspace) -> None:
    item = put(desk, "one", FACTS)
    text = run("show", item)
    assert "Asked\nSummarise one [/b]\n" in text
    assert "takes [-20-]{+40+} mg of" in text
    assert "(changes 6 % of the words; facts: - 20 mg, + 40 mg)" in text
    assert text.count("She feels well") == 1, "what was kept is read once"
    (listed,) = run("list", "--json")
    assert listed == run("show", item, "--json")
    assert listed["edit"] == {
        "share": pytest.approx(1 / 18, abs=1e-4),
        "kind": "facts",
        "facts": {"removed": ["20 mg"], "added": ["40 mg"]},
    }


@pytest.mark.usefixtures("wide_terminal")
def test_the_list_says_how_much_each_changes(desk: Workspace) -> None:
    for name, text in (("form", FORM), ("wording", WORDING), ("facts", FACTS), ("none", SAID)):
        put(desk, name, text)
    assert [edit and edit["kind"] for edit in (one["edit"] for one in run("list", "--json"))] == [
        "form", "wording", "facts", None
    ]  # fmt: skip
    assert "6 % facts" in run("list")


def test_other_tasks_are_reviewed_as_before(desk: Workspace, tmp_path: Path) -> None:
    (tmp_path / "tuneloop.yaml").write_text(FILE.replace("prose", "short"))
    item = put(desk, "one", FACTS)
    assert "edit" not in run("list", "--json")[0]
    assert "[-20-]" not in run("show", item) + run(keys="q\n")
    assert not {"edits", "measures"} & run("stats", "--json").keys()


def test_figures_tell_edits_of_form_from_those_of_facts(desk: Workspace) -> None:
    for number, text in enumerate((FORM, WORDING, FACTS, FACTS, SAID)):
        put(desk, str(number), text)
    put(desk, "waits", FACTS)
    for item in review.listing(desk, "desk")[:-1]:
        run("approve", item.id)
    found = run("stats", "--json")["edits"]
    assert (found["n"], found["kinds"]) == (4, {"form": 1, "wording": 1, "facts": 2})
    assert found["median_share"] == pytest.approx(1 / 18)
    assert "Edits: 1 form only, 1 wording, 2 facts (n = 4); median 6 % of the words" in run("stats")


@pytest.mark.parametrize(
    ("ann", "bob", "status"),
    [
        (SAID, SAID, "approved"),
        (SAID, FORM, "approved"),
        (WORDING, SAID.replace("feels well", "is well"), "approved"),
        (WORDING, FACTS, "disputed"),
        (FACTS, SAID.replace("20 mg", "60 mg"), "disputed"),
        (SAID, WORDING, "disputed"),  # one of the texts would be lost
        (SAID, None, "disputed"),
    ],
)
def test_two_people_agree_on_prose_where_they_state_the_same_facts(
    desk: Workspace, ann: str, bob: str | None, status: str
) -> None:
    item = put(desk, "one", SAID, double_share=1.0)
    run("approve", item, "--answer", ann, "--reviewer", "ann")
    if bob is None:
        run("reject", item, "--reviewer", "bob")
    else:
        run("approve", item, "--answer", bob, "--reviewer", "bob")
    (found,) = review.listing(desk, "desk", status=None)
    assert found.status == status
    agreement = run("stats", "--json")["agreement"]
    assert agreement["same_answer"]["value"] == (status == "approved")
    # Whoever mends a comma decided as whoever approved the answer.
    assert agreement["observed"]["value"] == ((ann, bob) != (SAID, None) and bob != WORDING)
    run("undo", item)
    assert review.listing(desk, "desk", status="second"), "undone by the same rule"


def test_the_last_of_two_agreeing_edits_stands(desk: Workspace) -> None:
    item = put(desk, "one", SAID, double_share=1.0)
    other = SAID.replace("feels well", "is well")
    run("approve", item, "--answer", WORDING, "--reviewer", "ann")
    run("approve", item, "--answer", other, "--reviewer", "bob")
    assert review.listing(desk, "desk", status="approved")[0].final == other


def test_rows_say_what_kind_of_edit_they_learn_from(desk: Workspace) -> None:
    for number, text in enumerate((FORM, FACTS)):
        run("approve", put(desk, str(number), text))
    rows = review.approved_rows(desk, "desk", prose=True)
    assert [row["tags"]["edit"] for row in rows] == ["form", "facts"]
    assert all("edit" not in row["tags"] for row in review.approved_rows(desk, "desk"))


def test_what_decisions_say_of_the_answers(desk: Workspace) -> None:
    samples = {name: put(desk, name, SAID) for name in ("stood", "edited", "bad", "waits")}
    corrections = {name: put(desk, name, FACTS) for name in ("taken", "refused")}
    for name in ("stood", "bad"):
        run("reject" if name == "bad" else "approve", samples[name])
    run("approve", samples["edited"], "--answer", WORDING)
    run("approve", corrections["taken"])
    run("reject", corrections["refused"])
    judged = review.judged_answers(review.listing(desk, "desk", status=None))
    found = {one.messages[0]["content"].split()[1]: one for one in judged}
    assert {name: (one.decision, one.correction) for name, one in found.items()} == {
        "stood": ("approved", None),
        "edited": ("edited", WORDING),
        "bad": ("rejected", None),
        "taken": ("edited", FACTS),
    }, "a refused correction says nothing of the answer"
    assert all(one.answer == SAID for one in found.values())


def test_stats_say_how_far_each_measure_goes_with_what_people_decided(desk: Workspace) -> None:
    """People rejected what the prompt does not say, and approved what it does."""
    assert run("stats", "--json")["measures"] == {}
    for number in range(4):
        said = SAID if number % 2 else "How is she?"
        asked = [{"role": "user", "content": f"Summarise {number}: {said}"}]
        item = review.Proposal(
            kind="sample",
            key=str(number),
            messages=asked,
            answer=SAID,
            proposal=SAID,
            interaction=str(number),
        )
        review.enqueue(desk, [item], model="desk", double_share=0.0)
        run("approve" if number % 2 else "reject", item.item("desk"))
    measures = run("stats", "--json")["measures"]
    assert (measures["ungrounded"]["value"], measures["ungrounded"]["n"]) == (1.0, 4)
    assert measures["answered"]["value"] == 0.5
    assert "chrf" not in measures, "there is no reference but the answer itself"
    assert "agrees with people" in run("stats")


def test_prose_is_read_and_edited_at_80_columns(desk: Workspace, tmp_path: Path) -> None:
    """Several lines are edited in the person's own editor, and the walk says what was changed."""
    put(desk, "one", FORM)
    editor = tmp_path / "editor.py"
    editor.write_text(
        "import sys; from pathlib import Path; file = Path(sys.argv[1]);"
        "file.write_text(file.read_text().replace('20', '30'))"
    )
    with tuneloop("review", cwd=tmp_path, VISUAL=f"python {editor}") as terminal:
        terminal.wait_for("[a]pprove")
        assert "  The patient takes 20 mg MG of lisinopril.\n" in terminal.screen
        assert max(map(len, terminal.screen.splitlines())) <= 80
        terminal.press("e\n")
        assert terminal.end() == 0
        assert "Your answer changes 11 % of the words; facts: - 20 mg, + 30 MG." in terminal.text
    assert review.listing(desk, "desk", status="approved")[0].final == FORM.replace("20", "30")


def test_on_a_screen_without_colours_changes_are_in_marks(desk: Workspace, tmp_path: Path) -> None:
    item = put(desk, "one", FACTS)
    with tuneloop("review", "show", item, cwd=tmp_path, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
        assert "takes [-20-]{+40+} mg" in terminal.text
    with tuneloop("review", "show", item, cwd=tmp_path) as terminal:
        assert terminal.end() == 0
        assert "takes 20 40 mg" in terminal.text
