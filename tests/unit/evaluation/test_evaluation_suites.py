import gzip
import json
from pathlib import Path

import pytest

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.scorers.base import RIGHT, Score
from tuneloop.evaluation.suites import as_served, held_out_suites, load_suite
from tuneloop.modelfile import ColumnSettings, TaskSettings


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load(path: Path, task: TaskSettings):
    return load_suite(path, name="golden", kind="golden", task=task)


def test_dataset_rows_become_cases_with_scope_and_label(tmp_path: Path, task: TaskSettings) -> None:
    def row(id: str, intent: str) -> dict[str, object]:
        return {
            "id": id,
            "messages": [
                {"role": "system", "content": "own"},
                {"role": "user", "content": f"about {intent}"},
            ],
            "completion": json.dumps({"intent": intent}),
            "group": "g",
            "source": "x.csv",
            "line": 2,
            "tags": {"month": "1"},
        }

    write(tmp_path / "eval.jsonl", row("a", "refund"), row("b", "human"))
    (suite,) = held_out_suites(tmp_path, task=task)
    first, second = suite.cases
    assert first.slices == {"month": "1", "out_of_scope": "no", "intent": "refund"}
    assert second.out_of_scope and not first.out_of_scope
    assert first.messages[0]["content"] == "own" and first.question == "about refund"
    assert [case.group for case in suite.cases] == ["g", "g"]


def test_the_group_of_a_case_is_no_part_of_its_identity(tmp_path: Path, task: TaskSettings) -> None:
    row = {"id": "a", "prompt": "hi", "completion": '{"intent": "refund"}'}
    write(tmp_path / "eval.jsonl", row)
    (before,) = held_out_suites(tmp_path, task=task)
    write(tmp_path / "eval.jsonl", {**row, "group": "talk"})
    assert held_out_suites(tmp_path, task=task)[0].digest == before.digest


def test_where_a_correction_came_from_is_no_slice(tmp_path: Path, task: TaskSettings) -> None:
    def row(id: str, **tags: str) -> dict[str, object]:
        return {"id": id, "prompt": id, "completion": '{"intent": "refund"}', "tags": tags}

    corrected = {"origin": "correction", "kind": "edit", "review": "r-1", "reviewer": "ann"}
    path = write(
        tmp_path / "eval.jsonl",
        row("a", **corrected, month="1"),
        row("b", kind="chat", review="stars"),
    )
    first, second = load(path, task).cases
    assert first.slices == {"month": "1", "out_of_scope": "no", "intent": "refund"}
    assert first.provenance == corrected
    # A curator's own columns may have the same names.
    assert second.slices["kind"] == "chat" and second.slices["review"] == "stars"


def from_review(id: str, kind: str, **more: str) -> dict[str, object]:
    tags = {"origin": "correction", "kind": kind, "review": id, "reviewer": "ann", **more}
    return {"id": id, "prompt": id, "completion": '{"intent": "refund"}', "tags": tags}


def test_what_was_found_because_something_failed_is_a_suite_of_its_own(
    tmp_path: Path, task: TaskSettings
) -> None:
    plain = {"id": "file", "prompt": "hi", "completion": '{"intent": "refund"}'}
    write(tmp_path / "eval.jsonl", plain)
    (alone,) = held_out_suites(tmp_path, task=task)
    write(
        tmp_path / "eval.jsonl",
        from_review("edited", "correction"),
        plain,
        from_review("chosen", "contradiction"),
    )
    held_out, regressions = held_out_suites(tmp_path, task=task)
    assert held_out == alone, "the deciding suite and its digest are those of the file's rows"
    assert (regressions.name, regressions.kind) == ("regressions", "regressions")
    assert [case.id for case in regressions.cases] == ["edited", "chosen"]


def test_a_live_sample_decides_and_one_kept_because_it_was_wrong_does_not(
    tmp_path: Path, task: TaskSettings
) -> None:
    write(
        tmp_path / "eval.jsonl",
        from_review("drawn", "sample", weight="12.5"),
        # Earlier releases kept of a sample only what had been wrong, and no weight.
        from_review("kept", "sample"),
        from_review("odd", "sample", weight="many"),
    )
    held_out, regressions = held_out_suites(tmp_path, task=task)
    (drawn,) = held_out.cases
    assert drawn.is_live_sample and drawn.weight == 12.5 and "weight" not in drawn.slices
    assert [case.id for case in regressions.cases] == ["kept", "odd"]


def test_held_out_rows_that_all_come_from_failures_decide_nothing(
    tmp_path: Path, task: TaskSettings
) -> None:
    write(tmp_path / "eval.jsonl", from_review("a", "correction"), from_review("b", "correction"))
    with pytest.raises(EvaluationError, match="All 2 held-out rows") as refused:
        held_out_suites(tmp_path, task=task)
    assert "data.holdout_share" in refused.value.remedy


def test_the_identity_of_a_suite_with_corrections_is_that_of_earlier_versions(
    tmp_path: Path, task: TaskSettings
) -> None:
    tags = {"origin": "correction", "kind": "edit", "review": "r-1", "reviewer": "ann"}
    row = {"id": "a", "prompt": "hi", "completion": '{"intent": "refund"}', "tags": tags}
    assert load(write(tmp_path / "f.jsonl", row), task).digest == (
        "74656c419065a3b7c2ec985610cd6899ef9db5ace439cdb09d7a7e0907f96f40"
    )


def test_the_identity_of_a_suite_is_that_of_earlier_versions(
    tmp_path: Path, task: TaskSettings
) -> None:
    """Of every form that suites could be written in: manifests and gate locks hold it."""
    user, answer = {"role": "user", "content": "hé"}, '{"intent": "refund", "urgent": true}'
    system = {"role": "system", "content": "own"}
    stored = {"group": "g", "source": "x.csv", "line": 2, "tags": {"month": "1"}}
    chat = [system, user, {"role": "assistant", "content": "hm?"}, user]
    rows = [
        {"id": "a", "messages": [user], "completion": answer, **stored},
        {"messages": chat, "completion": '{"intent": "human"}'},
        {"messages": [*chat, {"role": "assistant", "content": answer}], "completion": None},
        {"messages": chat[:2], "tags": {"out_of_scope": "yes", "n": 3, "none": None}},
        {"id": 7, "prompt": "no reference", "note": "passed over", "tags": None},
        {"prompt": [user], "completion": "[" * 9},
        {"prompt": "blank", "completion": ""},
        {"said": "declared", "slots": {"intent": "refund", "ö": 1.50}, "line": 4},
        {"said": "declared", "slots": None, "id": "b", "tags": {"month": "2"}},
    ]
    path = write(tmp_path / "f.jsonl", *rows)
    columns = ColumnSettings(prompt="said", answer="slots")
    suite = load_suite(path, name="s", kind="safety", task=task, columns=columns)
    assert suite.digest == ("03d77bcccf0d4bcb25ca980f9fe30374ec9456878fc014a558b46949f14430d4")
    plain = load_suite(path, name="s", kind="safety", task=TaskSettings(), columns=columns)
    assert plain.digest == ("2666c8aca8340b78c0b27343465af30badbb7deaafe11c9b7759e0fbc49eb3b3")


def test_a_suite_may_be_any_file_that_a_source_may_be(tmp_path: Path, task: TaskSettings) -> None:
    rows = [{"id": "1", "prompt": "hi, you", "completion": ANSWER}, {"id": "2", "prompt": "ho"}]
    lines = write(tmp_path / "suite.jsonl", *rows)
    table = tmp_path / "suite.csv"
    table.write_text(f"id;prompt;completion\n1;hi, you;{ANSWER}\n2;ho;\n")
    packed = tmp_path / "suite.jsonl.gz"
    packed.write_bytes(gzip.compress(lines.read_bytes()))
    assert load(table, task) == load(packed, task) == load(lines, task)
    assert load(table, task).cases[1].expected is None
    table.write_text('prompt,completion\nhi,"so\nho,so\n')
    with pytest.raises(EvaluationError, match=r"suite\.csv, line 2: not valid CSV"):
        load(table, task)


USER, ANSWER = {"role": "user", "content": "hi"}, '{"intent": "refund"}'
ANSWERED = [USER, {"role": "assistant", "content": ANSWER}]
OTHER = [USER, {"role": "assistant", "content": "no"}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [USER], "completion": ANSWER},
        {"messages": ANSWERED},
        {"messages": [USER], "response": ANSWER},
        {"prompt": [USER], "completion": [ANSWERED[-1]]},
        {"prompt": [{"type": "text", "role": "human", "content": "hi"}], "completion": ANSWER},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}, ANSWERED[-1]]},
        {"prompt": "hi", "response": ANSWER},
        {"prompt": "hi", "completion": {"intent": "refund"}},
        {"question": "hi", "answer": ANSWER},
        {"Text": "hi", "Label": ANSWER},
        {"instruction": "hi", "input": "", "output": ANSWER},
        {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": ANSWER}]},
        {"prompt": "hi", "chosen": ANSWER, "rejected": "no"},
        {"chosen": ANSWERED, "rejected": OTHER},
        {"prompt": "hi", "completion": ANSWER, "system": "Sort the message."},
        {"prompt": "hi", "completion": ANSWER, "conversation": "c-12", "note": "passed over"},
        {"said": "hi", "slots": {"intent": "refund"}},
    ],
)
def test_a_row_of_every_form_of_a_data_source_is_the_same_case(
    tmp_path: Path, task: TaskSettings, row: dict[str, object]
) -> None:
    """The very first is how suites have always been written."""
    columns = ColumnSettings(prompt="said", answer="slots")
    rows = ({"prompt": "hi", "completion": ANSWER}, row)
    plain, case = (
        load_suite(path, name="s", kind="golden", task=task, columns=columns)
        for path in (write(tmp_path / f"{n}.jsonl", one) for n, one in enumerate(rows))
    )
    assert case == plain and case.cases[0].expected == ANSWER


def test_a_reference_without_end_is_no_abstention_and_has_no_label(
    tmp_path: Path, task: TaskSettings
) -> None:
    path = write(tmp_path / "f.jsonl", {"prompt": "hi", "completion": '{"a": ' + "[" * 100_000})
    (case,) = load(path, task).cases
    assert case.slices == {"out_of_scope": "no"}


def test_any_change_of_a_case_is_another_suite(tmp_path: Path, task: TaskSettings) -> None:
    path = tmp_path / "f.jsonl"
    one = load(write(path, {"id": "1", "prompt": "hi", "completion": '{"intent": "refund"}'}), task)
    two = load(write(path, {"id": "1", "prompt": "hi", "completion": '{"intent": "human"}'}), task)
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no cases"),
        (b'{"prompt": "\xff"}', "line 1: byte 13 of the line is 0xff, which is not UTF-8"),
        (b"{\n", "line 1: not valid JSON"),
        (b'{"prompt": "a"}\n\n[1]\n', "line 3: expected a JSON object, found an array"),
        (b'{"txt": "a"}', "line 1: no prompt among the columns 'txt'; expected messages, or"),
        (b'{"messages": []}', "line 1: messages is empty"),
        (b'{"messages": [{"role": "robot", "content": "x"}]}', "has the role 'robot'; expected"),
        (b'{"messages": [{"role": "assistant", "content": "x"}]}', "expected a user turn before"),
        (b'{"prompt": 3, "completion": "a"}', "prompt is a int; expected text"),
        (b'{"prompt": "a", "tags": [1]}', "line 1: expected `tags` to be an object"),
        (b'{"prompt": "a"}\n{"prompt": "a"}', "twice"),
        (
            b'{"prompt": "a", "completion": "b", "label": false}',
            "line 1: label is False: the answer",
        ),
    ],
)
def test_a_bad_suite_file_says_what_and_where(
    tmp_path: Path, content: bytes, message: str, task: TaskSettings
) -> None:
    path = tmp_path / "golden.jsonl"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match=message):
        load(path, task)


def test_a_missing_file_is_named(tmp_path: Path, task: TaskSettings) -> None:
    with pytest.raises(EvaluationError, match=r"The suite file .* does not exist"):
        load(tmp_path / "none.jsonl", task)


def test_a_bundle_with_another_system_text_gets_what_its_clients_sent(
    tmp_path: Path, task: TaskSettings
) -> None:
    user = {"role": "user", "content": "hi"}
    own = {"role": "system", "content": "Be rude."}
    rows = [{"id": "a", "messages": [user]}, {"id": "b", "messages": [own, user]}]
    suite = load(write(tmp_path / "f.jsonl", *rows), task)
    old = as_served(suite, task_system=task.system, system="Sort it, old style.")
    assert [case.messages for case in old.cases] == [
        ({"role": "system", "content": "Sort it, old style."}, user),
        (own, user),
    ], "a client's own system text goes to every bundle"
    assert [case.id for case in old.cases] == ["a", "b"] and old.digest != suite.digest
    bare = as_served(suite, task_system=task.system, system="")
    assert [case.messages for case in bare.cases] == [(user,), (own, user)]
    assert as_served(bare, task_system="", system=task.system) == suite
    assert as_served(suite, task_system=task.system, system=task.system) is suite


def test_cases_that_are_drawn_are_by_and_large_the_same_in_a_longer_suite(parts) -> None:
    cases = [parts.case(f"case {number}", "x", question=f"q{number}") for number in range(120)]
    before, after = parts.suite(cases[:100]).drawn(40), parts.suite(cases).drawn(40)
    ids = [{case.id for case in suite.cases} for suite in (before, after)]
    assert [len(chosen) for chosen in ids] == [40, 40]
    # A later case takes the place of an earlier one; nothing else changes.
    assert ids[1] - ids[0] <= {case.id for case in cases[100:]} and len(ids[0] & ids[1]) > 25
    assert ids[0] != {case.id for case in cases[:40]}
    assert [case.id for case in before.cases] == [c.id for c in cases if c.id in ids[0]]


def test_a_suite_with_no_more_cases_than_are_drawn_is_itself(parts) -> None:
    suite = parts.suite([parts.case(str(number), "x") for number in range(3)])
    assert suite.drawn(3) is suite and suite.drawn(None) is suite


PROSE = TaskSettings(kind="prose")


def test_phrases_of_prose_are_part_of_a_case(tmp_path: Path) -> None:
    row = {"id": "a", "prompt": "dose?", "completion": "Take 5 mg daily."}
    plain = load(write(tmp_path / "f.jsonl", row), PROSE)
    phrased = row | {"must_contain": ["5 mg", "daily"], "must_not_contain": "twice"}
    suite = load(write(tmp_path / "f.jsonl", phrased), PROSE)
    assert suite.cases[0].must_contain == ("5 mg", "daily")
    assert suite.cases[0].must_not_contain == ("twice",)
    assert suite.digest != plain.digest
    empty = row | {"must_contain": [], "must_not_contain": None}
    assert load(write(tmp_path / "f.jsonl", empty), PROSE).digest == plain.digest


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ({"must_contain": 3}, "line 1: expected `must_contain` to be a phrase"),
        ({"must_not_contain": ["a", " "]}, "expected `must_not_contain` to be a phrase"),
        ({"must_contain": "10 mg"}, "line 1: the reference answer does not say '10 mg'"),
        ({"must_not_contain": "DAILY"}, "line 1: the reference answer says 'DAILY'"),
    ],
)
def test_phrases_that_cannot_hold_are_refused(
    tmp_path: Path, phrases: dict[str, object], message: str
) -> None:
    row = {"prompt": "dose?", "completion": "Take 5 mg daily."} | phrases
    with pytest.raises(EvaluationError, match=message):
        load(write(tmp_path / "f.jsonl", row), PROSE)


def test_phrases_are_not_passed_over_where_nothing_would_look_at_them(
    tmp_path: Path, task: TaskSettings
) -> None:
    row = {"prompt": "hi", "must_contain": "ho"}
    with pytest.raises(EvaluationError, match=r"is for answers of prose, and this task's are json"):
        load(write(tmp_path / "f.jsonl", row), task)


def test_what_a_case_of_prose_must_say_is_measured(tmp_path: Path) -> None:
    rows = [
        {"prompt": "dose?", "must_contain": ["5 mg", "daily"], "must_not_contain": ["aspirin"]},
        {"prompt": "hello?"},
    ]
    case, other = load(write(tmp_path / "f.jsonl", *rows), PROSE).cases
    metric = next(one for one in metrics_for(PROSE) if one.name == "phrases")
    assert metric.score(case, "Daily, take 5 mg.") == RIGHT
    wrong = metric.score(case, "Take 15 mg of Aspirin daily.")
    assert wrong == Score(value=0.0, detail="does not say '5 mg'; says 'aspirin'")
    assert metric.score(case, None) == Score(value=0.0, detail="no answer")
    assert metric.score(other, "anything") is None
    assert "phrases" not in [one.name for one in metrics_for(TaskSettings())]
