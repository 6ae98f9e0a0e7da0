import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.errors import EvaluationError
from tuneloop.evaluation import scorers
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.scorers import structured
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import TaskSettings

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def one(expected: str | None) -> Case:
    return Case(id="1", messages=({"role": "user", "content": "?"},), expected=expected)


def value(score: scorers.Score | None) -> float:
    assert score is not None
    return score.value


@given(JSON_VALUES)
def test_every_json_value_is_the_same_as_itself_written_again(found: Any) -> None:
    assert structured.same(found, json.loads(json.dumps(found)))


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("a  b ", "a b", True),
        ("Refund", "refund", False),
        ("é", "e\u0301", True),
        ([1, 2], [2, 1], False),
        (None, "", False),
    ],
)
def test_json_values_are_equal_when_a_program_would_treat_them_alike(
    left: Any, right: Any, equal: bool
) -> None:
    assert structured.same(left, right) is equal


@pytest.mark.parametrize(
    "output",
    [
        '```json\n{"intent": "refund"}\n```',
        'Sure! {"intent": "refund"}',
        '{"intent": "refund"} {"intent": "refund"}',
        '{"intent": "refund", "extra": 1}',
        '["refund"]',
        '{"intent": NaN}',
        "",
        "[" * 100_000,
    ],
)
def test_an_answer_that_a_client_could_not_use_is_not_accurate(output: str) -> None:
    score = scorers.json_all_fields(one('{"intent": "refund"}'), output)
    assert value(score) == 0 and score is not None and score.detail


def test_field_order_and_white_space_do_not_matter() -> None:
    expected = '{"intent": "refund", "urgent": true}'
    assert (
        value(scorers.json_all_fields(one(expected), ' {"urgent":true,"intent":"refund"}\n')) == 1
    )


def test_a_field_counts_only_where_the_reference_has_it() -> None:
    field = scorers.json_field("urgent")
    assert field(one('{"intent": "refund"}'), "{}") is None
    assert value(field(one('{"urgent": false}'), '{"urgent": 0}')) == 0


def test_a_reference_that_is_not_json_is_the_suites_fault() -> None:
    with pytest.raises(EvaluationError, match="case 1 is not a JSON object"):
        scorers.json_all_fields(one("refund"), "{}")


def test_schema_names_the_place_that_breaks_it() -> None:
    check = scorers.schema({"properties": {"n": {"type": "integer"}}, "required": ["n"]})
    assert check(one(None), '{"n": "x"}').detail.startswith("n: ")  # type: ignore[union-attr]
    assert value(check(one(None), '{"n": 3}')) == 1


def test_a_schema_is_checked_before_it_is_used_and_never_fetched() -> None:
    with pytest.raises(EvaluationError, match="not a valid JSON Schema"):
        scorers.schema({"type": "objekt"})
    remote = scorers.schema({"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(EvaluationError, match="cannot be applied"):
        remote(one(None), "{}")


def test_a_pattern_must_match_the_whole_answer() -> None:
    check = scorers.pattern("[A-Z]{3}")
    assert value(check(one(None), "ABC\n")) == 1
    assert value(check(one(None), "ABCD")) == 0


def test_text_scores() -> None:
    reference = one("Paris, France!")
    assert value(scorers.exact(reference, "Paris, France! ")) == 1
    assert value(scorers.exact(reference, "paris france")) == 0
    assert value(scorers.normalised_match(reference, "paris  FRANCE")) == 1
    assert value(scorers.token_f1(reference, "paris in france")) == pytest.approx(0.8)
    assert scorers.token_f1(one(None), "x") is None


@given(st.text(), st.text())
def test_token_f1_is_symmetric_and_a_share(left: str, right: str) -> None:
    there = value(scorers.token_f1(one(left), right))
    assert 0 <= there <= 1
    assert there == pytest.approx(value(scorers.token_f1(one(right), left)))


def test_own_functions_are_scored_and_their_faults_named(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_checks.py").write_text(
        "def polite(case, output): return 'please' in output\n"
        "def broken(case, output): return 1 / 0\n"
        "def wild(case, output): return 7\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    polite, digest = scorers.own_function("own_checks:polite")
    assert value(polite(one(None), "please wait")) == 1 and len(digest) == 64
    with pytest.raises(EvaluationError, match="own_checks:broken failed on case 1: ZeroDivision"):
        scorers.own_function("own_checks:broken")[0](one(None), "")
    with pytest.raises(EvaluationError, match="expected a number from 0 to 1"):
        scorers.own_function("own_checks:wild")[0](one(None), "")
    with pytest.raises(EvaluationError, match="no function 'nothing'"):
        scorers.own_function("own_checks:nothing")
    with pytest.raises(EvaluationError, match="cannot be imported"):
        scorers.own_function("no_such_module_here:f")


def test_metrics_follow_from_the_task(task: TaskSettings) -> None:
    assert [m.name for m in metrics_for(task)] == [
        "accuracy",
        "format",
        "json_field.intent",
        "json_field.urgent",
        "abstention_recall",
        "over_abstention",
        "abstention_precision",
        "correct",
    ]
    assert [m.name for m in metrics_for(TaskSettings())] == [
        "accuracy",
        "format",
        "exact",
        "token_f1",
    ]
