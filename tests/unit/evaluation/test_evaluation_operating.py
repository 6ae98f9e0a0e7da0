"""The operating characteristics are those of the rule that decides."""

import numpy as np
import pytest

from tuneloop.evaluation.decision import DecisionName, rule_of
from tuneloop.evaluation.gates import Gate, SuiteSize
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.operating import (
    accepts,
    gate_passes,
    let_through,
    operating,
    operating_of,
    operating_on_means,
)
from tuneloop.evaluation.paired import paired
from tuneloop.modelfile import TaskSettings

ACCURACY = metrics_for(TaskSettings())[0]


def pairs(won: int, lost: int, n: int) -> list[tuple[float, float]]:
    return [(1.0, 0.0)] * won + [(0.0, 1.0)] * lost + [(1.0, 1.0)] * (n - won - lost)


@pytest.mark.parametrize("name", ["strict", "balanced", "lenient"])
@pytest.mark.parametrize("n", [40, 300])
def test_they_accept_what_the_comparison_accepts(name: DecisionName, n: int) -> None:
    rule = rule_of(name, margin=0.02)
    ways = [(won, lost) for won in range(0, 14, 2) for lost in range(14)]
    said = accepts(*np.array(ways).T, n, margin=0.02, rule=rule)
    for (won, lost), accepted in zip(ways, said, strict=True):
        one = paired(ACCURACY, pairs(won, lost, n), margin=0.02, rule=rule)
        assert one.accepted == accepted, (won, lost)


def test_what_is_computed_is_what_draws_come_to() -> None:
    rule, rng = rule_of("balanced", margin=0.02), np.random.default_rng(5)
    drawn = rng.multinomial(120, [0.03, 0.08, 0.89], size=20_000)
    came = accepts(drawn[:, 0], drawn[:, 1], 120, margin=0.02, rule=rule).mean()
    exact = let_through(rule, n=120, margin=0.02, worse=0.05, disagreement=0.11)
    assert exact == pytest.approx(came, abs=0.01) and exact < rule.level + 0.01


def test_more_cases_err_less_either_way() -> None:
    rule = rule_of("balanced", margin=0.02)
    few, many = (operating(rule, cases=n, margin=0.02) for n in (50, 500))
    assert few.equal_refused > 0.5 > many.equal_refused
    assert few.let_through[0.05] > many.let_through[0.05]
    assert few.needed == many.needed
    assert few.needed is not None and 100 < few.needed < 300
    assert few.sentence.startswith("On 50 cases a candidate as good as production is refused in")


def test_a_later_look_lets_less_through_and_takes_more_cases() -> None:
    rule = rule_of("balanced", margin=0.02)
    first, fifth = (operating(rule.at(look), cases=120, margin=0.02) for look in (1, 5))
    assert fifth.equal_refused > first.equal_refused
    assert fifth.let_through[0.05] < first.let_through[0.05]
    assert (fifth.needed or 0) > (first.needed or 0)


def test_graded_scores_have_theirs_from_the_spread_that_was_seen() -> None:
    rule = rule_of("balanced", margin=0.02)
    rng = np.random.default_rng(9)
    scores = [(0.5 + float(d), 0.5) for d in rng.normal(0, 0.1, 200)]
    compared = paired(ACCURACY, scores, margin=0.02, rule=rule)
    seen = operating_of(compared, rule, margin=0.02)
    assert seen.disagreement == pytest.approx(0.1, rel=0.2)
    assert seen.equal_refused == pytest.approx(
        operating_on_means(rule, cases=200, margin=0.02, spread=0.1).equal_refused, abs=0.05
    )


def test_how_often_a_gate_is_passed_by_a_model_of_known_accuracy() -> None:
    gate = Gate(suite="held-out", metric="accuracy", comparison=">=", bound=0.9)
    rule, size = rule_of("balanced", margin=0.02), SuiteSize(cases=50, minimum_cases=50)
    assert gate_passes(gate, rule, size, truth=0.85) <= rule.level
    assert gate_passes(gate, rule, size, truth=0.97) > 0.9


def test_cases_of_groups_count_for_as_many_as_in_the_decision() -> None:
    rule, of = rule_of("balanced", margin=0.02), [number // 10 for number in range(120)]
    grouped = paired(ACCURACY, pairs(6, 6, 120), margin=0.02, rule=rule, clusters=of)
    assert grouped.clusters == 12 and grouped.worth is not None and 12 < grouped.worth < 48
    assert operating_of(grouped, rule, margin=0.02).cases == round(grouped.worth)
    alone = paired(ACCURACY, pairs(6, 6, 120), margin=0.02, rule=rule)
    assert alone.worth is None and operating_of(alone, rule, margin=0.02).cases == 120
