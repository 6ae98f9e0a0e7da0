from dataclasses import replace

from tuneloop import intervals
from tuneloop.evaluation import gates
from tuneloop.evaluation.metrics import RUN_METRICS, metrics_for
from tuneloop.evaluation.plan import make_plan
from tuneloop.evaluation.results import FieldCounts, measure
from tuneloop.evaluation.subjects import Subject
from tuneloop.evaluation.targets import Answer, Sampling
from tuneloop.modelfile import SameValues, TaskSettings


def test_each_metric_counts_exactly_its_cases(task: TaskSettings, parts) -> None:
    right, human = parts.answer_text("refund"), parts.answer_text("human")
    suite = parts.suite(
        [parts.case(str(i), right) for i in range(4)]
        + [parts.case(f"o{i}", human, out_of_scope=True) for i in range(3)]
    )
    given = {
        "0": right,
        "1": human,  # abstains in scope
        "2": "no idea",
        "3": parts.answer_text("delivery"),
        "o0": human,
        "o1": right,
        "o2": '{"intent": "human"}',  # abstains, though not with the reference's other field
    }
    figures = measure(parts.answers(suite, given), metrics_for(task)).figures
    shown = {name: (round(f.value, 3), f.n) for name, f in figures.items()}
    assert shown == {
        "accuracy": (0.25, 4),
        "format": (0.857, 7),
        "json_field.intent": (0.25, 4),
        "json_field.intent.precision": (0.333, 3),
        "json_field.intent.recall": (0.25, 4),
        "json_field.intent.f1": (0.286, 4),
        "json_field.urgent": (0.75, 4),
        "json_field.urgent.precision": (1.0, 3),
        "json_field.urgent.recall": (0.75, 4),
        "json_field.urgent.f1": (0.857, 4),
        "abstention_recall": (0.667, 3),
        "over_abstention": (0.25, 4),
        "abstention_precision": (0.667, 3),
        "correct": (0.429, 7),
        "error_share": (0.0, 7),
        "truncated_share": (0.0, 7),
        "latency_p50_ms": (10.0, 7),
        "latency_p95_ms": (10.0, 7),
    }


def test_what_a_reader_is_told_of_known_cases_is_so(task: TaskSettings, parts) -> None:
    right = parts.answer_text("refund")
    suite = parts.suite([parts.case(str(i), right) for i in range(4)])
    metrics = metrics_for(task)
    answers = parts.answers(suite, dict.fromkeys("0123", right))
    found = measure(answers, metrics, known={"0"}).figures
    assert {name for name, figure in found.items() if figure.n == 4} == set(RUN_METRICS)
    assert found["accuracy"].n == 3
    plan = make_plan(
        model="desk", suites=[suite], metrics=metrics, conditions={}, sampling=Sampling()
    )
    old = parts.target(lambda question: right)
    (note,) = Subject(target=old, trained_on={"held-out": {"0"}}).differences("old", plan)
    assert "no score of its answers counts them, though its latency and error_share do" in note


def test_requests_without_an_answer_count_as_wrong(task: TaskSettings, parts) -> None:
    suite = parts.suite([parts.case("a", parts.answer_text("refund")), parts.case("b", None)])
    given = {
        "a": Answer(error="timeout: no answer in 1 s"),
        "b": Answer(text="{", latency_ms=1, finish_reason="length"),
    }
    result = measure(parts.answers(suite, given), metrics_for(task))
    assert result.figures["accuracy"].as_list()[0] == 0
    assert result.figures["format"].n == 2
    assert result.figures["over_abstention"].value == 0
    assert "abstention_precision" not in result.figures
    assert result.figures["error_share"].value == 0.5
    assert result.errors == {"timeout": 1} and result.cut_off == 1


def test_optional_fields_are_counted_by_what_is_wrong_with_them(parts) -> None:
    task = TaskSettings(output_schema={"properties": {"people": {}, "time": {}}})
    both, none = '{"people": 4, "time": "noon"}', "{}"
    suite = parts.suite(
        [parts.case(f"b{i}", both) for i in range(5)]
        + [parts.case(f"n{i}", none) for i in range(4)]
        + [parts.case("free", None), parts.case("out", both, out_of_scope=True)]
    )
    given = {
        "b0": both,
        "b1": '{"people": 5, "time": "noon"}',
        "b2": '{"time": "noon"}',
        "b3": "for four",
        "b4": Answer(error="timeout: no answer in 1 s"),
        "n0": none,
        "n1": '{"people": 4}',
        "n2": Answer(error="timeout: no answer in 1 s"),
        "n3": "nothing",
        "free": both,
        "out": '{"people": 9}',
    }
    result = measure(parts.answers(suite, given), metrics_for(task))
    assert result.fields["people"] == FieldCounts(
        expected=5, given=3, right=1, missing=3, wrong=1, invented=1
    )
    shown = {
        name.removeprefix("json_field.people"): (round(f.value, 3), f.n)
        for name, f in result.figures.items()
        if name.startswith("json_field.people")
    }
    assert shown == {
        "": (0.167, 6),
        ".precision": (0.333, 3),
        ".recall": (0.2, 5),
        ".f1": (0.25, 6),
    }
    assert result.fields["time"].invented == 0 and result.fields["time"].right == 3
    assert result.figures["json_field.people.recall"] == intervals.share(1, 5)


def test_a_gate_may_stand_on_each_figure_of_a_field(parts) -> None:
    task = TaskSettings(output_schema={"properties": {"people": {}}})
    suite = parts.suite([parts.case(str(i), '{"people": 4}') for i in range(4)])
    plan = make_plan(
        model="tables",
        suites=[suite],
        metrics=metrics_for(task),
        conditions={
            "json_field.people.precision": ">= 1",
            "json_field.people.recall": ">= 0.75",
            "held-out.json_field.people.f1": ">= 0.9",
        },
        sampling=Sampling(),
        minimum_cases=0,
    )
    given = {"0": '{"people": 4}', "1": '{"people": 4}', "2": '{"people": 4}', "3": "{}"}
    result = measure(parts.answers(suite, given), plan.metrics)
    outcome = gates.apply_gates(
        plan.gate_lock, figures={suite.name: result.figures}, sizes=plan.sizes()
    )
    verdicts = {one.gate.metric.rpartition(".")[2]: one.verdict for one in outcome.results}
    assert verdicts == {"precision": "passed", "recall": "passed", "f1": "failed"}


def test_a_changed_rule_for_values_is_another_lock(parts) -> None:
    suite = parts.suite([parts.case("1", '{"people": "4"}')])

    def locked(**rules: SameValues) -> str:
        task = TaskSettings(output_schema={"properties": {"people": {}}}, same_values=rules)
        plan = make_plan(
            model="tables",
            suites=[suite],
            metrics=metrics_for(task),
            conditions={"accuracy": ">= 1"},
            sampling=Sampling(),
        )
        return plan.gate_lock.digest

    one, other = SameValues(ignore="people"), SameValues(ignore="persons")
    assert len({locked(), locked(people=one), locked(people=other)}) == 3


def test_slices_add_up_to_the_whole(task: TaskSettings, parts) -> None:
    cases = [parts.case(str(i), parts.answer_text("refund")) for i in range(10)]
    suite = parts.suite(cases)
    result = measure(parts.answers(suite, {c.id: c.expected for c in cases}), metrics_for(task))
    assert result.slices["out_of_scope"]["no"]["accuracy"] == result.figures["accuracy"]


def test_an_identifier_is_not_a_slice(task: TaskSettings, parts) -> None:
    cases = [
        replace(parts.case(str(i), None), slices={"customer": str(i), "month": str(i % 2)})
        for i in range(300)
    ]
    suite = parts.suite(cases)
    result = measure(parts.answers(suite, {c.id: "{}" for c in cases}), metrics_for(task))
    assert result.unsliced == ("customer",) and list(result.slices) == ["month"]


def test_an_answer_of_endless_brackets_is_just_wrong(task: TaskSettings, parts) -> None:
    suite = parts.suite([parts.case("a", parts.answer_text("human"), out_of_scope=True)])
    result = measure(parts.answers(suite, {"a": "[" * 100_000}), metrics_for(task))
    assert result.figures["abstention_recall"].value == result.figures["format"].value == 0
