import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuneloop import intervals
from tuneloop.errors import ConflictError, EvaluationError
from tuneloop.evaluation import gates
from tuneloop.evaluation.comparison import Comparison
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.gates import SuiteSize
from tuneloop.evaluation.paired import paired
from tuneloop.evaluation.scorers.base import Metric
from tuneloop.hashing import digest_json
from tuneloop.modelfile import EvaluationSettings, GateSettings

METRICS = {
    "held-out": ["accuracy", "format", "json_field.intent", "abstention_recall", "latency_p95_ms"],
    "golden": ["accuracy"],
}
LARGE = SuiteSize(cases=100, minimum_cases=50)


def parse(conditions: dict[str, str | GateSettings]) -> tuple[gates.Gate, ...]:
    return gates.parse_gates(conditions, metrics=METRICS, main_suite="held-out")


def judge(
    conditions: dict[str, str | GateSettings],
    figures: dict[str, intervals.Figure],
    size: SuiteSize = LARGE,
):
    return gates.apply_gates(
        gates.lock(parse(conditions), terms={}),
        figures={"held-out": figures, "golden": {}},
        sizes={"held-out": size, "golden": SuiteSize(cases=5, minimum_cases=0)},
    )


@given(
    comparison=st.sampled_from([">=", "<=", ">", "<"]),
    hundredths=st.integers(0, 100_000),
    spaces=st.text(alphabet=" ", max_size=3),
)
def test_any_condition_can_be_read_back(comparison: str, hundredths: int, spaces: str) -> None:
    text = f"{spaces}{comparison}{spaces}{hundredths / 100:.2f}{spaces}"
    (gate,) = parse({"accuracy": text})
    assert (gate.comparison, gate.bound) == (comparison, hundredths / 100)
    (again,) = parse({"accuracy": gate.condition})
    assert again.bound == pytest.approx(gate.bound, rel=1e-5)


@pytest.mark.parametrize("text", ["0.9", "=> 0.9", ">= 90%", ">= ", "", ">= -1", ">= 0.9 0.8"])
def test_a_condition_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(EvaluationError, match="Expected a comparison and a number"):
        parse({"accuracy": text})


def test_metrics_are_found_by_suite_and_with_dots() -> None:
    found = parse({"golden.accuracy": ">= 1", "json_field.intent": ">= 0.5", "format": "> 0"})
    assert [(g.suite, g.metric) for g in found] == [
        ("golden", "accuracy"),
        ("held-out", "json_field.intent"),
        ("held-out", "format"),
    ]


def test_an_unknown_metric_names_its_neighbour() -> None:
    with pytest.raises(EvaluationError, match="Did you mean 'accuracy'"):
        parse({"acuracy": ">= 0.9"})


def test_ninety_of_a_hundred_is_ninety_percent() -> None:
    # 0.90 as text, 90/100 as a quotient: both must be the same float for every such share.
    any_number = SuiteSize(cases=300, minimum_cases=0)
    for n in range(1, 300):
        for k in range(n + 1):
            if (k * 100) % n == 0:
                condition = f">= {k * 100 // n / 100:.2f}"
                figures = {"accuracy": intervals.share(k, n)}
                outcome = judge({"accuracy": condition}, figures, any_number)
                assert outcome.verdict == "passed"


def test_one_missed_gate_fails_all_and_says_by_how_much() -> None:
    outcome = judge(
        {"accuracy": ">= 0.9", "format": ">= 0.9"},
        {"accuracy": intervals.share(95, 100), "format": intervals.share(89, 100)},
    )
    assert outcome.verdict == "failed"
    assert "held-out.format is 0.890" in outcome.reason and "n = 100" in outcome.reason
    assert [r.verdict for r in outcome.results] == ["passed", "failed"]


def test_a_small_suite_can_fail_a_gate_but_not_pass_it() -> None:
    small = SuiteSize(cases=49, minimum_cases=50)
    good, bad = intervals.share(49, 49), intervals.share(3, 49)
    assert judge({"accuracy": ">= 0.9"}, {"accuracy": good}, small).verdict == "refused"
    assert judge({"accuracy": ">= 0.9"}, {"accuracy": bad}, small).verdict == "failed"
    allowed = SuiteSize(cases=49, minimum_cases=0)
    assert judge({"accuracy": ">= 0.9"}, {"accuracy": good}, allowed).verdict == "passed"


def test_a_gate_stands_on_the_cases_of_its_own_metric() -> None:
    figures = {"accuracy": intervals.share(88, 88), "abstention_recall": intervals.share(12, 12)}
    conditions: dict[str, str | GateSettings] = {
        "accuracy": ">= 0.9",
        "abstention_recall": ">= 0.6",
    }
    outcome = judge(conditions, figures)
    assert [result.verdict for result in outcome.results] == ["passed", "refused"]
    assert "the 12 cases that it counts are too few to pass on (at least 50;" in outcome.reason
    own = GateSettings(condition=">= 0.60", minimum_cases=10)
    assert judge({**conditions, "abstention_recall": own}, figures).verdict == "passed"
    more = GateSettings(condition=">= 0.60", minimum_cases=13)
    refused = judge({**conditions, "abstention_recall": more}, figures)
    assert refused.verdict == "refused"
    assert "(at least 13, the gate's own minimum_cases)" in refused.reason
    small = SuiteSize(cases=100, minimum_cases=0)
    assert judge({"abstention_recall": more}, figures, small).verdict == "refused", "declared"


def test_two_cases_of_fifty_pass_no_gate_though_the_suite_is_large_enough() -> None:
    fifty = SuiteSize(cases=50, minimum_cases=50)
    figures = {"accuracy": intervals.share(50, 50), "abstention_recall": intervals.share(2, 2)}
    gates_of_both = {"accuracy": ">= 0.90", "abstention_recall": ">= 0.85"}
    outcome = judge(gates_of_both, figures, fifty)
    assert outcome.verdict == "refused"
    assert "the 2 cases that it counts are too few to pass on (at least 50;" in outcome.reason


def test_what_fails_does_not_hide_what_only_lacks_cases() -> None:
    outcome = judge(
        {"abstention_recall": ">= 0.6", "format": ">= 0.9"},
        {"abstention_recall": intervals.share(12, 12), "format": intervals.share(10, 100)},
    )
    assert outcome.verdict == "failed"
    assert outcome.reason.index("format is 0.100") < outcome.reason.index("are too few")


def test_what_was_not_measured_is_not_passed() -> None:
    assert judge({"latency_p95_ms": "<= 500"}, {}).verdict == "refused"
    assert judge({}, {}).verdict == "refused"


def test_a_minimum_of_its_own_is_locked_and_gates_without_one_keep_their_digest() -> None:
    plain = EvaluationSettings.model_validate({"gates": {"accuracy": ">= 0.9"}})
    mapping = EvaluationSettings.model_validate({"gates": {"accuracy": {"condition": ">= 0.9"}}})
    own = EvaluationSettings.model_validate(
        {"gates": {"accuracy": {"condition": ">= 0.9", "minimum_cases": 10}}}
    )
    digests = [gates.lock(parse(dict(one.gates)), terms={}).digest for one in (plain, mapping, own)]
    # As the release before wrote it.
    assert digests[0] == digest_json({"gates": [["held-out", "accuracy", ">=", 0.9]], "terms": {}})
    assert digests[0] == digests[1] != digests[2]
    assert plain.model_dump(mode="json")["gates"] == {"accuracy": ">= 0.9"}
    assert EvaluationSettings.model_validate(own.model_dump(mode="json")) == own


def test_the_lock_holds_gates_and_terms_but_not_their_order() -> None:
    one = gates.lock(parse({"accuracy": ">= 0.9", "format": ">= 0.9"}), terms={"suites": ["a"]})
    same = gates.lock(parse({"format": ">= 0.90", "accuracy": ">= 0.9"}), terms={"suites": ["a"]})
    softer = gates.lock(parse({"accuracy": ">= 0.8", "format": ">= 0.9"}), terms={"suites": ["a"]})
    other = gates.lock(parse({"accuracy": ">= 0.9", "format": ">= 0.9"}), terms={"suites": ["b"]})
    assert one.digest == same.digest
    assert len({one.digest, softer.digest, other.digest}) == 3
    gates.check_lock(one, same.digest)
    with pytest.raises(ConflictError, match="A changed gate is a new evaluation"):
        gates.check_lock(softer, one.digest)


def compared(
    metric: str, pairs: list[tuple[float, float]], *, reference: str = "base", margin: float = 0.02
) -> Comparison:
    measured = Metric(name=metric, about="", scorer=lambda case, output: None)
    rule = rule_of("balanced", margin=margin)
    pair = paired(measured, pairs, margin=margin, rule=rule)
    return Comparison(
        suite="held-out",
        reference=reference,
        verdict=pair.verdict,
        reason=pair.reason,
        margin=margin,
        metrics=(pair,),
        won=(),
        lost=(),
        main_metric=metric,
        rule=rule,
        accepted=pair.accepted,
        objection=pair.objection,
    )


def judge_relative(condition: str, *comparisons: Comparison) -> gates.GateOutcome:
    return gates.apply_gates(
        gates.lock(parse({"accuracy": condition}), terms={}),
        figures={},
        sizes={"held-out": LARGE, "golden": LARGE},
        comparisons=comparisons,
    )


def test_better_than_the_base_takes_a_proven_gain_on_the_same_cases() -> None:
    better = [(0.5 + i % 3 / 10, 0.3 + i % 2 / 10) for i in range(60)]
    outcome = judge_relative("better than base", compared("accuracy", better))
    assert outcome.verdict == "passed"
    (result,) = outcome.results
    assert result.figure is not None and result.figure.low > 0
    equal = [(0.5 + i % 3 / 10, 0.5 + i % 3 / 10) for i in range(60)]
    missed = judge_relative("better than base", compared("accuracy", equal))
    assert missed.verdict == "failed"
    assert "of base" in missed.reason and "wanted better than base" in missed.reason


def test_not_worse_than_production_passes_where_nothing_is_in_production() -> None:
    assert judge_relative("not worse than production").verdict == "passed"
    worse = compared("accuracy", [(0.2, 0.6)] * 30 + [(0.3, 0.6)] * 30, reference="production")
    assert judge_relative("not worse than production", worse).verdict == "failed"


def test_a_gain_on_few_cases_is_refused_and_so_is_a_base_that_was_not_asked() -> None:
    few = compared("accuracy", [(0.8, 0.2), (0.9, 0.3)] * 10)
    outcome = judge_relative("better than base", few)
    assert outcome.verdict == "refused"
    assert "too few to pass on" in outcome.reason
    assert judge_relative("better than base").verdict == "refused"


def test_the_base_is_compared_with_on_the_main_suite_alone() -> None:
    with pytest.raises(EvaluationError, match="compares with the base on suite 'golden'"):
        parse({"golden.accuracy": "better than base"})


def test_a_relative_gate_is_locked_with_whom_it_compares() -> None:
    digests = {
        gates.lock(parse({"accuracy": condition}), terms={}).digest
        for condition in ("better than base", "better than production", "not worse than base")
    }
    assert len(digests) == 3
