import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.comparison import compare
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.metrics import metrics_for
from tuneloop.evaluation.paired import mcnemar_exact, paired, paired_share_difference
from tuneloop.evaluation.results import measure
from tuneloop.modelfile import TaskSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from statsmodels.stats.contingency_tables import mcnemar

ACCURACY = metrics_for(TaskSettings())[0]


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_equals_statsmodels(won: int, lost: int) -> None:
    table = [[10, won], [lost, 10]]
    expected = mcnemar(table, exact=True).pvalue
    assert mcnemar_exact(won, lost) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 300))
def test_the_difference_is_inside_its_interval_and_antisymmetric(
    won: int, lost: int, same: int
) -> None:
    n = won + lost + same
    if n == 0:
        return
    there = paired_share_difference(won, lost, n)
    back = paired_share_difference(lost, won, n)
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert there.low == pytest.approx(-back.high)


def pairs(won: int, lost: int, both: int, neither: int = 0) -> list[tuple[float, float]]:
    return [(1.0, 0.0)] * won + [(0.0, 1.0)] * lost + [(1.0, 1.0)] * both + [(0.0, 0.0)] * neither


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (pairs(20, 2, 178), "better"),
        (pairs(2, 20, 178), "worse"),
        (pairs(0, 0, 300), "not_worse"),
        (pairs(0, 0, 40), "inconclusive"),
        (pairs(3, 5, 192), "inconclusive"),
        (pairs(0, 30, 9970), "not_worse"),  # surely worse, but by less than anybody cares about
    ],
)
def test_verdicts(found: list[tuple[float, float]], verdict: str) -> None:
    assert paired(ACCURACY, found, margin=0.02).verdict == verdict


def test_a_small_sample_says_what_it_cannot_show() -> None:
    result = paired(ACCURACY, pairs(3, 3, 54), margin=0.02)
    assert result.detectable > 0.02 and "would take about" in result.warning
    assert not paired(ACCURACY, pairs(30, 30, 20_000), margin=0.02).warning


def test_graded_scores_are_compared_by_their_paired_differences() -> None:
    rng = random.Random(3)
    level = [rng.random() * 0.8 for _ in range(80)]
    better = [(value + 0.1 + rng.random() * 0.05, value) for value in level]
    result = paired(ACCURACY, better, margin=0.02)
    assert result.verdict == "better" and result.p_value is None
    # Unpaired, the spread of the cases (0.23) would hide a difference of 0.12 at this n.
    assert result.difference.high - result.difference.low < 0.02


def test_graded_scores_that_all_differ_alike_are_not_certain() -> None:
    """Two cases that are both better by the same show no spread, and are still only two."""
    two = paired(ACCURACY, [(0.6, 0.5)] * 2, margin=0.02)
    assert two.difference.low < 0 < two.difference.value < two.difference.high
    assert two.verdict != "better"
    many = paired(ACCURACY, [(0.6, 0.5)] * 200, margin=0.02)
    assert 0.05 < many.difference.low < 0.1 < many.difference.high < 0.15


def test_non_inferiority_is_rarely_granted_at_the_margin_itself() -> None:
    """A candidate that is worse by just the margin must pass in about 2.5 % of the trials."""
    rng = random.Random(11)
    margin, n, trials, passes = 0.05, 400, 2_000, 0
    lose, win = 0.09, 0.04  # share of cases that change sides; the true difference is -0.05
    for _ in range(trials):
        draws = [rng.random() for _ in range(n)]
        lost = sum(d < lose for d in draws)
        won = sum(lose <= d < lose + win for d in draws)
        passes += paired_share_difference(won, lost, n).low > -margin
    assert passes / trials < 0.035


def test_equal_models_are_seldom_called_better_or_worse() -> None:
    rng = random.Random(5)
    calls = {"better": 0, "worse": 0, "not_worse": 0, "inconclusive": 0}
    for _ in range(400):
        draws = [rng.random() for _ in range(200)]
        won, lost = sum(d < 0.05 for d in draws), sum(0.05 <= d < 0.1 for d in draws)
        calls[paired(ACCURACY, pairs(won, lost, 200 - won - lost), margin=0.02).verdict] += 1
    assert calls["better"] + calls["worse"] < 0.05 * 400


def results(task: TaskSettings, parts, wrong: set[int], *, oos_wrong: set[int], n: int = 200):
    right, human = parts.answer_text("refund"), parts.answer_text("human")
    suite = parts.suite(
        [parts.case(f"{i:03}", right) for i in range(n)]
        + [parts.case(f"o{i:02}", human, out_of_scope=True) for i in range(60)]
    )
    given = {f"{i:03}": parts.answer_text("delivery") if i in wrong else right for i in range(n)}
    given |= {f"o{i:02}": right if i in oos_wrong else human for i in range(60)}
    return measure(parts.answers(suite, given), metrics_for(task))


def against(task: TaskSettings, candidate, reference):
    return compare(
        candidate,
        reference,
        label="production",
        metrics=metrics_for(task),
        margin=0.02,
        rule=rule_of("balanced", margin=0.02),
    )


def test_a_candidate_that_gained_accuracy_and_forgot_its_scope_is_worse(
    task: TaskSettings, parts
) -> None:
    production = results(task, parts, set(range(40)), oos_wrong=set())
    candidate = results(task, parts, set(), oos_wrong=set(range(15)))
    found = against(task, candidate, production)
    assert found.verdict == "worse" and "abstention_recall" in found.reason


def test_changed_cases_are_listed(task: TaskSettings, parts) -> None:
    found = against(
        task,
        results(task, parts, {1, 2}, oos_wrong=set()),
        results(task, parts, {2, 3, 4}, oos_wrong=set()),
    )
    assert found.lost == ("001",) and found.won == ("003", "004")


def test_lower_is_better_where_the_metric_says_so(task: TaskSettings, parts) -> None:
    human = parts.answer_text("human")
    suite = parts.suite([parts.case(str(i), parts.answer_text("refund")) for i in range(100)])
    shy = measure(parts.answers(suite, {str(i): human for i in range(100)}), metrics_for(task))
    bold = measure(
        parts.answers(suite, {str(i): parts.answer_text("refund") for i in range(100)}),
        metrics_for(task),
    )
    over = next(m for m in against(task, shy, bold).metrics if m.metric == "over_abstention")
    assert over.verdict == "worse" and over.difference.value == -1


def test_other_cases_cannot_be_compared(task: TaskSettings, parts) -> None:
    small = results(task, parts, set(), oos_wrong=set(), n=5)
    with pytest.raises(EvaluationError, match="different versions of suite"):
        against(task, small, results(task, parts, set(), oos_wrong=set()))
