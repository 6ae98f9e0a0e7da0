"""Dataset versions as a curator relies on them: nothing lost, nothing leaks, nothing moves."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tuneloop.datasets import versions
from tuneloop.datasets.diff import diff
from tuneloop.datasets.holdout import Need
from tuneloop.datasets.inspect import inspect
from tuneloop.datasets.versions import DatasetVersion, Extras
from tuneloop.hashing import digest_file, digest_json, short
from tuneloop.modelfile import (
    ColumnSettings,
    DataSettings,
    EvaluationSettings,
    ModelFile,
    ModelSettings,
)
from tuneloop.modelfile.sections.data import TaskSettings
from tuneloop.modelfile.sections.evaluation import SuiteSettings
from tuneloop.workspace import Workspace

TOPICS = ("parcel", "invoice", "battery", "password", "radiator", "refund", "order", "warranty")
VERBS = ("lose", "find", "cancel", "change", "pay", "charge", "return", "move", "open", "close")


def row(message: str, answer: str = "yes", **columns: Any) -> dict[str, Any]:
    return {"prompt": message, "completion": answer, **columns}


def rows(count: int, *, start: int = 0) -> list[dict[str, Any]]:
    """Messages that have little in common."""
    return [
        row(
            f"{VERBS[n % 10]} my {TOPICS[n // 10 % 8]} {chr(97 + n % 23) * 3}{n * 7919} please",
            f"answer {n}",
        )
        for n in range(start, start + count)
    ]


def write(path: Path, content: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in content))
    return path


def model_file(folder: Path, *sources: str, **data: Any) -> ModelFile:
    chosen = {"sources": sources or ("rows.jsonl",), **data}
    suites = chosen.pop("suites", ())
    task = chosen.pop("task", TaskSettings(system="Be brief."))
    return ModelFile(
        path=folder / "tuneloop.yaml",
        settings=ModelSettings(
            name="router",
            base="base",
            task=task,
            data=DataSettings(**chosen),
            evaluation=EvaluationSettings(suites=suites),
        ),
        origins={},
    )


def sides(workspace: Workspace, version: DatasetVersion) -> dict[str, str]:
    return {
        example.question: side
        for side in ("train", "eval")
        for example in versions.read_examples(workspace, version, side)  # type: ignore[arg-type]
    }


def reasons(workspace: Workspace, version: DatasetVersion) -> dict[int, str]:
    return {one["line"]: one["reason"] for one in versions.read_left_out(workspace, version)}


def test_equal_input_is_one_version(workspace: Workspace, tmp_path: Path, clock: Any) -> None:
    write(tmp_path / "rows.jsonl", rows(80))
    first = versions.prepare(workspace, model_file(tmp_path))
    clock.advance(days=3)
    again = versions.prepare(workspace, model_file(tmp_path))
    assert again == first
    other = versions.prepare(workspace, model_file(tmp_path, min_characters=3))
    assert other.digest != first.digest, "another recipe is another version"
    assert len(versions.list_versions(workspace, "router")) == 2


def test_the_rows_of_a_version_are_written_as_earlier_versions_wrote_them(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Of every form and fault; the recipe in the report changes with the code, and no row does."""
    user, said = {"role": "user", "content": "a chat"}, {"role": "assistant", "content": '{"a": 1}'}
    forms: list[dict[str, Any]] = [
        {"messages": [{"role": "developer", "content": "own"}, user, said], "month": 3},
        {"conversations": [{"from": "human", "value": "shared"}, {"from": "gpt", "value": "{}"}]},
        {"Instruction": "Add up.", "input": "1 and 2", "output": {"a": 3}, "tags": {"x": True}},
        {"prompt": [{"role": "user", "content": "turns"}], "completion": [said], "system": "no"},
        {"question": "what is this", "answer": '{"a": 4}', "system": "own", "id": 4},
        {"prompt": "which is better", "chosen": '{"a": 5}', "rejected": "neither"},
        {"said": "declared", "slots": {"a": 6}, "label": "tag"},
        {"prompt": "no answer"},
        {"prompt": "null", "completion": None},
        {"prompt": "number", "completion": 3},
        {"said": "declared, no answer", "label": "x"},
        {"messages": [user]},
        {"messages": [said]},
        {"messages": [{"role": "robot", "content": "x"}, said]},
        {"prompt": "not json", "completion": "well"},
        {"prompt": "not in the schema", "completion": '{"a": "x"}'},
    ]
    write(tmp_path / "rows.jsonl", [*({**one, "completion": "{}"} for one in rows(30)), *forms])
    task = TaskSettings(
        system="Be brief.", output_schema={"properties": {"a": {"type": "integer"}}}
    )
    columns = ColumnSettings(prompt="said", answer="slots")
    version = versions.prepare(workspace, model_file(tmp_path, task=task, columns=columns))
    folder = workspace.artifacts.get(version.digest)
    kept = {path.name: digest_file(path) for path in folder.glob("*") if path.name != "report.json"}
    assert short(digest_json(kept)) == "d8508f193519"


def test_the_system_text_is_in_every_row(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", rows(30))
    version = versions.prepare(workspace, model_file(tmp_path))
    for example in versions.read_examples(workspace, version, "train"):
        assert example.as_row()["messages"][0] == {"role": "system", "content": "Be brief."}


def test_the_split_never_moves_a_row(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", rows(100))
    first = versions.prepare(workspace, model_file(tmp_path))
    assert 3 <= first.rows_eval <= 20
    write(tmp_path / "rows.jsonl", [*rows(160, start=60), *rows(60)])
    second = versions.prepare(workspace, model_file(tmp_path))
    before, after = sides(workspace, first), sides(workspace, second)
    assert set(before) <= set(after)
    assert {q: after[q] for q in before} == before
    assert diff(workspace, first, second).moved == ()


def test_a_row_that_left_and_came_back_keeps_its_side(workspace: Workspace, tmp_path: Path) -> None:
    everything = rows(100)
    write(tmp_path / "rows.jsonl", everything)
    first = sides(workspace, versions.prepare(workspace, model_file(tmp_path)))
    write(tmp_path / "rows.jsonl", everything[:50])
    versions.prepare(workspace, model_file(tmp_path))
    write(tmp_path / "rows.jsonl", everything)
    third = versions.prepare(workspace, model_file(tmp_path))
    assert sides(workspace, third) == first


def split_check(version: DatasetVersion) -> dict[str, str]:
    assert version.validation is not None
    return next(one for one in version.validation["checks"] if one["name"] == "split")


def test_a_larger_share_holds_out_more_for_good_and_says_how_many(
    workspace: Workspace, tmp_path: Path, clock: Any
) -> None:
    write(tmp_path / "rows.jsonl", rows(400))
    first = versions.prepare(workspace, model_file(tmp_path, holdout_share=0.1))
    clock.advance(minutes=1)
    second = versions.prepare(workspace, model_file(tmp_path, holdout_share=0.2))
    before, after = sides(workspace, first), sides(workspace, second)
    moved = {question for question, side in before.items() if after[question] != side}
    assert {before[question] for question in moved} == {"train"}
    assert 20 <= len(moved) == second.rows_eval - first.rows_eval <= 80
    assert split_check(second)["verdict"] == "changed"
    assert f"{len(moved)} rows moved from training to the held-out" in split_check(second)["detail"]

    clock.advance(minutes=1)
    lower = versions.prepare(workspace, model_file(tmp_path, holdout_share=0.1))
    assert sides(workspace, lower) == after, "none goes back into training"
    assert f"{len(moved)} rows that it would not hold out stay" in split_check(lower)["detail"]


def needs(minimum: int, start: str = "") -> tuple[Need, ...]:
    """A gate that counts the rows whose message begins so."""
    return (Need(of="g", minimum=minimum, counts=lambda one: one.question.startswith(start)),)


@pytest.mark.parametrize("count", [400, 420])
def test_the_share_is_the_smallest_that_serves_the_gates(
    workspace: Workspace, tmp_path: Path, count: int
) -> None:
    write(tmp_path / "rows.jsonl", [*rows(count), *rows(20)])  # duplicates do not count
    made = versions.prepare(workspace, model_file(tmp_path), needs=needs(50))
    share = versions.share_of(made)
    assert share is not None and 0.1 <= share <= 0.25 and made.rows_eval >= 50
    again = versions.prepare(workspace, model_file(tmp_path), needs=needs(50))
    assert again.digest == made.digest, "the same rows have the same share in every version"
    fixed = model_file(tmp_path, holdout_share=round(share - 0.01, 2))
    assert versions.prepare(workspace, fixed, previous=None).rows_eval < 50


def test_a_gate_out_of_reach_takes_no_rows_from_training(
    workspace: Workspace, tmp_path: Path
) -> None:
    """It would be refused all the same."""
    write(tmp_path / "rows.jsonl", rows(400))
    few = needs(50, start="pay")
    made = versions.prepare(workspace, model_file(tmp_path), needs=[*needs(20), *few])
    assert versions.share_of(made) == 0.1
    reached = versions.prepare(
        workspace, model_file(tmp_path), needs=needs(6, start="pay"), previous=None
    )
    held_out = [q for q, side in sides(workspace, reached).items() if side == "eval"]
    assert sum(question.startswith("pay") for question in held_out) >= 6


def test_a_version_of_an_earlier_release_grows_too(workspace: Workspace, tmp_path: Path) -> None:
    """It did not say which share placed its rows, and a share raised since had no effect."""
    write(tmp_path / "rows.jsonl", rows(400))
    first = versions.prepare(workspace, model_file(tmp_path, holdout_share=0.1))
    report = {**first.report, "split": {"eval_share": 0.1}}
    second = versions.prepare(
        workspace,
        model_file(tmp_path, holdout_share=0.2),
        previous=replace(first, report=report),
    )
    assert second.rows_eval > first.rows_eval
    assert set(sides(workspace, second).items()) >= {
        (question, side) for question, side in sides(workspace, first).items() if side == "eval"
    }


def test_one_customer_stays_on_one_side(workspace: Workspace, tmp_path: Path) -> None:
    content = [one | {"customer": f"c{n % 20}"} for n, one in enumerate(rows(120))]
    write(tmp_path / "rows.jsonl", content)
    version = versions.prepare(
        workspace, model_file(tmp_path, group_field="customer", holdout_share=0.3)
    )
    placed = sides(workspace, version)
    for customer in {one["customer"] for one in content}:
        assert len({placed[o["prompt"]] for o in content if o["customer"] == customer}) == 1


def test_duplicates_and_contradictions_name_each_other(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = rows(40)
    content += [
        content[3],
        row("Where is the parcel that I have ordered last Monday morning?", "delivery"),
        row("where is the parcel that I have ordered last monday morning??", "delivery"),
        row("Please freeze my account today", "freeze"),
        row("Please unfreeze my account today", "unfreeze"),
        row("Is the shop open on Sunday afternoons?", "hours"),
        row("is the shop open on sunday afternoons", "location"),
    ]
    write(tmp_path / "rows.jsonl", content)
    version = versions.prepare(workspace, model_file(tmp_path))
    found = reasons(workspace, version)
    assert found[41] == "exact_duplicate"
    assert {found[line] for line in (42, 43) if line in found} <= {
        "near_duplicate",
        "exact_duplicate",
    }
    assert len({42, 43} & found.keys()) == 1, "one of two is kept"
    assert not {44, 45} & found.keys(), "another meaning is no duplicate"
    assert found[46] == found[47] == "contradiction"
    assert version.report["contradictions"]["questions"] == 1
    kept = versions.prepare(workspace, model_file(tmp_path, allow_contradictions=True))
    assert not {46, 47} & reasons(workspace, kept).keys()


def test_a_test_case_is_never_trained_on(workspace: Workspace, tmp_path: Path) -> None:
    content = rows(60)
    write(tmp_path / "rows.jsonl", content)
    write(tmp_path / "golden.jsonl", [content[7], content[20] | {"completion": "other"}])
    suites = (SuiteSettings(name="golden", file="golden.jsonl"),)
    version = versions.prepare(workspace, model_file(tmp_path, suites=suites))
    assert {content[7]["prompt"], content[20]["prompt"]}.isdisjoint(
        example.question for example in versions.read_examples(workspace, version, "train")
    )


def test_the_leak_check_counts_what_it_compared(workspace: Workspace, tmp_path: Path) -> None:
    content = rows(60)
    write(tmp_path / "rows.jsonl", content)
    write(tmp_path / "golden.jsonl", [content[7]])
    suites = (SuiteSettings(name="golden", file="golden.jsonl"),)
    version = versions.prepare(workspace, model_file(tmp_path, suites=suites))
    assert version.report["leak_check"] == {
        "held_out": version.rows_eval,
        "suite_cases": 1,
        "leaks": 0,
    }


def test_a_row_that_gives_a_held_out_case_away_is_left_out_and_counted(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Too many alike to be duplicates, these rows count as a template and are split apart.

    Once those with conflicting answers are gone, the others are few, and alike.
    """
    frame = "the invoice of the company in {} street, number {}, is to be paid by {} at the latest"
    family = [frame.format("abcdefghijklmnopqrstuvwxyz"[n] * 3, n + 10, n + 40) for n in range(26)]
    conflicting = [row(text, word) for text in family[:6] for word in ("approve", "reject")]
    content = [*rows(30), *(row(text, "approve") for text in family[6:]), *conflicting]
    write(tmp_path / "rows.jsonl", content)
    version = versions.prepare(
        workspace, model_file(tmp_path, near_duplicate_similarity=0.8, holdout_share=0.3)
    )
    trained, held_out = (
        [e for e in versions.read_examples(workspace, version, side) if "invoice of" in e.question]
        for side in ("train", "eval")
    )
    assert held_out and trained == []
    leaks = version.report["leak_check"]["leaks"]
    assert leaks == version.report["left_out"]["leak"] == 20 - len(held_out)
    detail = next(
        one for one in versions.read_left_out(workspace, version) if one["reason"] == "leak"
    )
    assert "alike to the held-out case in rows.jsonl, line" in detail["detail"]
    assert detail["related"][0] in {one.id for one in held_out}


def test_the_goal_sharpens_the_advice(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", rows(250))
    told = {}
    for goal in ("style", "task"):
        version = versions.prepare(workspace, model_file(tmp_path, goal=goal))
        codes = {one["code"] for one in version.report["advice"]}
        told[goal] = "small_set" in codes
    assert told == {"style": False, "task": True}


def test_approved_corrections_win(workspace: Workspace, tmp_path: Path) -> None:
    content = rows(60)
    write(tmp_path / "rows.jsonl", content)
    first = versions.prepare(workspace, model_file(tmp_path))
    fixed = content[5] | {"completion": "corrected", "tags": {"origin": "correction"}}
    corrections = write(tmp_path / "approved.jsonl", [fixed])
    extras = Extras(corrections=(corrections,), reviewers=("Ines",))
    second = versions.prepare(workspace, model_file(tmp_path), extras=extras)
    answers = {
        e.question: e.completion
        for side in ("train", "eval")
        for e in versions.read_examples(workspace, second, side)  # type: ignore[arg-type]
    }
    assert answers[content[5]["prompt"]] == "corrected"
    assert second.report["reviewers"] == ["Ines"]
    change = diff(workspace, first, second)
    assert [(old.completion, new.completion) for old, new in change.corrected] == [
        ("answer 5", "corrected")
    ]


def test_a_changed_system_text_is_told_once_and_makes_no_row_another_one(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = rows(60)
    write(tmp_path / "rows.jsonl", content)
    first = versions.prepare(workspace, model_file(tmp_path))
    content[5]["completion"] = "another answer"
    write(tmp_path / "rows.jsonl", [*content[:59], row("What is a Skerry?", "a device")])
    task = TaskSettings(system="Answer in one word.")
    second = versions.prepare(workspace, model_file(tmp_path, task=task))
    change = diff(workspace, first, second)
    (system,) = change.systems
    assert (system.before, system.after) == ("Be brief.", "Answer in one word.")
    assert (system.rows, change.same) == (58, 0)
    assert [new.completion for _, new in change.corrected] == ["another answer"]
    assert [one.question for one in change.added] == ["What is a Skerry?"]
    assert [one.completion for one in change.removed] == ["answer 59"]
    told = change.as_row()
    assert told["system_text"] == [vars(system)] and told["same"] == {"rows": 0}
    unchanged = diff(workspace, second, second)
    assert (unchanged.systems, unchanged.same) == ((), 60)


def test_retired_terms_are_rewritten(workspace: Workspace, tmp_path: Path) -> None:
    content = [*rows(40), row("My Tarn beeps at night", "tarn fault")]
    write(tmp_path / "rows.jsonl", content)
    version = versions.prepare(workspace, model_file(tmp_path, retired_terms={"Tarn": "Skerry"}))
    assert "My Skerry beeps at night" in sides(workspace, version)
    assert version.report["retired_terms"]["rows"] == 1


def test_personal_data_is_counted_and_redacted_on_demand(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = [*rows(40), row("Write to ann@example.com or call +1 212 555 0142", "ok")]
    write(tmp_path / "rows.jsonl", content)
    seen = versions.prepare(workspace, model_file(tmp_path))
    assert seen.report["personal_data"]["rows"] == 1
    assert any("ann@example.com" in question for question in sides(workspace, seen))
    clean = versions.prepare(workspace, model_file(tmp_path, redact_personal_data="redact"))
    assert not any("ann@example.com" in question for question in sides(workspace, clean))


def test_answers_that_break_the_schema_are_left_out_by_line(
    workspace: Workspace, tmp_path: Path
) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"enum": ["x"]}}}
    content = [one | {"completion": '{"a": "x"}'} for one in rows(30)]
    content[4] |= {"completion": '{"a": "y"}'}
    content[9] |= {"completion": '{"a": "x"'}
    write(tmp_path / "rows.jsonl", content)
    version = versions.prepare(
        workspace, model_file(tmp_path, task=TaskSettings(output_schema=schema))
    )
    found = reasons(workspace, version)
    assert found[5] == "output_breaks_schema"
    assert found[10] in ("truncated", "output_not_json")


def test_csv_rows_know_their_lines(workspace: Workspace, tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "answer"])
        for n, one in enumerate(rows(30)):
            writer.writerow([one["prompt"] + ("\nsecond line" if n == 0 else ""), f"a{n}"])
        writer.writerow(["", "no question"])
    version = versions.prepare(workspace, model_file(tmp_path, "rows.csv"))
    assert list(reasons(workspace, version)) == [33], "a quoted line break counts as a line"
    assert version.report["rows_kept"] == 30


def test_a_file_that_could_be_read_in_another_way_says_how(
    workspace: Workspace, tmp_path: Path
) -> None:
    content = [";prompt;completion", *(f"{n};{r['prompt']} für; ja" for n, r in enumerate(rows(8)))]
    (tmp_path / "rows.csv").write_bytes("\r\n".join(content).encode("cp1252"))
    version = versions.prepare(workspace, model_file(tmp_path, "rows.csv"))
    how = "Windows-1252 text, without its first column, which numbers the rows"
    assert version.report["sources"][0]["read_as"] == how
    said = [advice["message"] for advice in version.report["advice"]]
    assert f"rows.csv was read as: {how}." in said
    assert all("für" in question for question in sides(workspace, version))


def test_parquet_is_read(workspace: Workspace, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows(30)), tmp_path / "rows.parquet")
    version = versions.prepare(workspace, model_file(tmp_path, "rows.parquet"))
    assert version.report["rows_kept"] == 30


def test_too_few_rows_are_advised_against(workspace: Workspace, tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl", rows(30))
    version = versions.prepare(workspace, model_file(tmp_path))
    assert any("few" in advice["message"] for advice in version.report["advice"])


LINE = st.one_of(
    st.builds(lambda n: json.dumps(row(f"question {n} of many", f"a{n}")), st.integers(0, 50)),
    st.text(max_size=30).filter(lambda text: "\n" not in text and "\r" not in text),
    st.just('{"prompt": "", "completion": "x"}'),
    st.just('{"prompt": "x"}'),
    st.just("[]"),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(lines=st.lists(LINE, max_size=30))
def test_every_row_is_accounted_for(workspace: Workspace, tmp_path: Path, lines: list[str]) -> None:
    content = [json.dumps(one) for one in rows(3)] + lines
    (tmp_path / "rows.jsonl").write_text("\n".join(content) + "\n", encoding="utf-8")
    version = versions.prepare(workspace, model_file(tmp_path), previous=None)
    report = version.report
    assert report["rows_in"] == sum(bool(line.strip()) for line in content)
    assert report["rows_in"] == report["rows_kept"] + sum(report["left_out"].values())
    assert sum(report["left_out"].values()) == len(versions.read_left_out(workspace, version))


def test_inspection_guesses_what_init_writes(tmp_path: Path) -> None:
    content = [
        row(
            f"message {n}",
            json.dumps({"intent": ("a", "b", "out_of_scope")[n % 3], "note": f"n{n}"}),
            customer=n,
        )
        for n in range(60)
    ]
    found = inspect(write(tmp_path / "rows.jsonl", content))
    assert found.output_schema is not None
    assert found.output_schema["properties"]["intent"] == {"enum": ["a", "b", "out_of_scope"]}
    assert found.output_schema["properties"]["note"] == {"type": "string"}
    assert found.abstain == ("intent", "out_of_scope")
    assert found.group_field == "customer"
