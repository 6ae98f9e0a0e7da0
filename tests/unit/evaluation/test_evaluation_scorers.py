import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop.errors import EvaluationError
from tuneloop.evaluation import scorers
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.scorers.same_values import by_rules, same
from tuneloop.evaluation.suites import Case
from tuneloop.modelfile import SameValues, TaskSettings

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
    assert same(found, json.loads(json.dumps(found)))


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
    assert same(left, right) is equal


@pytest.mark.parametrize(
    "output",
    [
        '```json\n{"intent": "refund"}\n```',
        'Sure! {"intent": "refund"}',
        '{"intent": "refund"} {"intent": "refund"}',
        '{"intent": "refund", "extra": 1}',
        '["refund"]',
        '{"intent": NaN}',
        '{"intent": 1e999}',
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


@pytest.mark.parametrize(
    ("expected", "output", "found"),
    [
        ('{"people": 4}', '{"people": 4}', (1, None)),
        ('{"people": 4}', '{"people": 5}', (0, "wrong")),
        ('{"people": 4}', '{"time": "noon"}', (0, "missing")),
        ('{"people": 4}', "four", (0, "missing")),
        ('{"time": "noon"}', '{"people": 4}', (0, "invented")),
        ('{"people": null}', '{"people": null}', (1, None)),
        ('{"people": null}', "{}", (0, "missing")),
        ("{}", '{"people": null}', (0, "invented")),
    ],
)
def test_a_field_is_right_missing_wrong_or_invented(
    expected: str, output: str, found: tuple[int, str | None]
) -> None:
    score = scorers.json_field("people")(one(expected), output)
    assert score is not None and (score.value, score.fault) == found


def test_a_field_that_nobody_speaks_of_is_not_counted() -> None:
    field = scorers.json_field("people")
    for output in ("{}", "no JSON", ""):
        assert field(one('{"time": "noon"}'), output) is None
    assert field(one(None), '{"people": 4}') is None


@pytest.mark.parametrize(
    ("rule", "left", "right", "equal"),
    [
        ({}, "4", "4 people", False),
        ({"equal": [["4", "4 people"]]}, "4", "4 people", True),
        ({"equal": [["4", "4 people"]]}, "5", "5 people", False),
        ({"equal": [["4", 4], ["5", 5]]}, 4, "4", True),
        ({"equal": [["4", 4], ["5", 5]]}, 4, "5", False),
        ({"equal": [["4", "four"], ["four", "vier"]]}, "four", "vier", True),
        ({"equal": [["4", "four"], ["four", "vier"]]}, "4", "vier", True),
        ({"equal": [["4", "four"], ["5", "five"], ["vier", "four"]]}, "vier", "5", False),
        ({"equal": [["a", "b"], ["c", "d"], ["e", "f"], ["d", "a"]]}, "c", "b", True),
        ({"equal": [["a", "b"], ["c", "d"], ["e", "f"], ["d", "a"]]}, "c", "f", False),
        ({"equal": [["4", "four"], ["Four", "vier"]], "ignore_case": True}, "4", "VIER", True),
        ({"ignore": "people|persons"}, "5 people", "5", True),
        ({"ignore": "people|persons"}, "5 people", "6 persons", False),
        ({"ignore": "people"}, "5 People", "5", False),
        ({"ignore": "people", "ignore_case": True}, "5 People", "5", True),
        ({"ignore_case": True}, "Noon", "noon", True),
        ({"ignore_case": True}, True, "true", False),
        ({"ignore_case": True}, ["A", {"k": "B"}], ["a", {"k": "b"}], True),
        ({"ignore_case": True}, ["a", "b"], ["b", "a"], False),
        ({"any_order": True}, ["a", "b"], ["b", "a"], True),
        ({"any_order": True}, [2, 1.0], [1, 2], True),
        ({"any_order": True}, ["a", "a", "b"], ["a", "b", "b"], False),
        (
            {"any_order": True, "equal": [["vegan", "plants"]]},
            ["plants", "x"],
            ["x", "vegan"],
            True,
        ),
        ({"equal": [[["a", "b"], "both"]]}, "both", ["a", "b"], True),
        ({"equal": [["none", None]]}, None, "none", True),
    ],
)
def test_values_are_the_same_by_the_rules_that_the_task_declares(
    rule: dict[str, Any], left: Any, right: Any, equal: bool
) -> None:
    compare = by_rules({"people": SameValues(**rule)})
    assert compare("people", left, right) is compare("people", right, left) is equal
    assert compare("time", left, right) is same(left, right)


@pytest.mark.parametrize(
    "output",
    [
        '{"people": [1e999]}',
        '{"people": -1e999}',
        '{"people": ' + "[" * 400 + "]" * 400 + "}",
        '{"people": ' + '{"a": ' * 400 + "1" + "}" * 401,
    ],
)
@pytest.mark.parametrize("rule", [None, {"any_order": True}, {"ignore_case": True}])
def test_an_answer_that_cannot_be_compared_is_wrong_and_ends_no_evaluation(
    output: str, rule: dict[str, Any] | None
) -> None:
    task = TaskSettings(
        output_schema={"properties": {"people": {}}},
        same_values={} if rule is None else {"people": SameValues.model_validate(rule)},
    )
    by_name = {metric.name: metric for metric in metrics_for(task)}
    for name in ("accuracy", "json_field.people", "json_field.people.recall"):
        assert value(by_name[name].score(one('{"people": [[1]]}'), output)) == 0


def test_declared_rules_are_in_force_in_every_metric_of_the_task_and_in_its_definition() -> None:
    task = TaskSettings(
        output_schema={"properties": {"people": {}, "time": {}}},
        same_values={"people": SameValues(ignore="people")},
    )
    by_name = {metric.name: metric for metric in metrics_for(task)}
    case, output = one('{"people": "4", "time": "noon"}'), '{"people": "4 people", "time": "noon"}'
    for name in (
        "accuracy",
        "json_field.people",
        "json_field.people.f1",
        "json_field.people.recall",
    ):
        assert value(by_name[name].score(case, output)) == 1, name
        assert by_name[name].about.endswith('mean the same: {"people":{"ignore":"people"}}')
    assert "mean the same" not in by_name["json_field.time"].about


def test_a_reference_that_is_not_json_is_the_suites_fault() -> None:
    with pytest.raises(EvaluationError, match="case 1 is not a JSON object"):
        scorers.json_all_fields(one("refund"), "{}")


def test_an_answer_without_the_declared_form_scores_nothing_and_says_where() -> None:
    schema = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    score = scorers.in_form(TaskSettings(output_schema=schema))
    assert score(one(None), '{"n": "x"}').detail.startswith("n: ")  # type: ignore[union-attr]
    assert value(score(one(None), '{"n": 3}')) == 1
    assert value(scorers.in_form(TaskSettings())(one(None), " ")) == 0


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
        "json_field.intent.precision",
        "json_field.intent.recall",
        "json_field.intent.f1",
        "json_field.urgent",
        "json_field.urgent.precision",
        "json_field.urgent.recall",
        "json_field.urgent.f1",
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


def test_a_field_that_is_named_like_a_figure_keeps_its_name() -> None:
    task = TaskSettings(output_schema={"properties": {"size": {}, "size.recall": {}}})
    names = [metric.name for metric in metrics_for(task)]
    assert len(names) == len(set(names))
    recall = next(m for m in metrics_for(task) if m.name == "json_field.size.recall")
    assert recall.field == "size.recall"
