"""Cases of one conversation are not independent, and graded scores have wins, ties and losses."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuneloop import intervals
from tuneloop.evaluation import clusters
from tuneloop.evaluation.comparison import PROSE_GUARD_METRICS, compare
from tuneloop.evaluation.decision import rule_of
from tuneloop.evaluation.paired import Paired, mcnemar_exact, paired
from tuneloop.evaluation.results import SuiteResult, measure
from tuneloop.evaluation.runner import SuiteAnswers
from tuneloop.evaluation.scorers.base import Metric, Score
from tuneloop.evaluation.suites import Case, make_suite
from tuneloop.evaluation.targets import Answer


def metric(name: str, **more) -> Metric:
    """Scores what the answer says of the metric: `chrf=0.4 ungrounded=1`."""

    def score(case: Case, output: str) -> Score | None:
        said = dict(part.split("=") for part in output.split())
        return Score(value=float(said[name])) if name in said else None

    return Metric(name=name, about=name, scorer=score, **more)


CHRF, ANSWERED = metric("chrf"), metric("answered")
UNGROUNDED = metric(
    "ungrounded",
    higher_is_better=False,
    figure=lambda scores: intervals.mean([s.value for s in scores]),
)


def talks(rng: np.random.Generator, turns: int, effect: float) -> tuple[list, list[int]]:
    """Scores of both on 20 conversations whose turns go well or badly together."""
    sizes = rng.integers(1, turns + 1, 20)
    of = np.repeat(np.arange(20), sizes)
    talk, turn = rng.standard_normal(20)[of], rng.standard_normal(len(of))
    differences = effect + 0.1 * (talk + turn) / math.sqrt(2)
    return [(0.3 + float(d), 0.3) for d in differences], of.tolist()


def test_a_decision_takes_cases_of_one_cluster_to_be_alike_even_where_it_is_not_seen() -> None:
    of = [number // 10 for number in range(120)]
    one_wrong = [0.0] + [1.0] * 119
    assert clusters.design_effect(one_wrong, of) < 1.1, "one wrong answer shows no likeness"
    assert clusters.cautious_design_effect(one_wrong, of) == pytest.approx(1 + 9 * 0.17)
    assert clusters.cautious_design_effect([1.0] * 120, of) == pytest.approx(1 + 9 * 0.17)
    assert clusters.cautious_design_effect(one_wrong, list(range(120))) == 1.0
    seldom = [0, 0, *range(1, 119)]
    both = clusters.cautious_design_effect(one_wrong, seldom)
    assert 1 < both < 1.2, "hardly any belong together"


def test_the_interval_holds_the_true_effect_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        pairs, of = talks(rng, 6, effect=0.03)
        found = paired(CHRF, pairs, margin=0.02, clusters=of).difference
        held += found.low <= 0.03 <= found.high
    # 95 % of 300 is 285 with a deviation of 3.8.
    assert held >= 274


def test_turns_that_are_taken_for_independent_are_surer_than_they_may_be() -> None:
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(40):
        pairs, _of = talks(rng, 6, effect=0.03)
        found = paired(CHRF, pairs, margin=0.02).difference
        held += found.low <= 0.03 <= found.high
    assert held < 36  # 90 %


def test_conversations_that_turn_together_seldom_make_equal_models_differ() -> None:
    rng = random.Random(3)
    calls = {"together": 0, "alone": 0}
    for _ in range(300):
        pairs: list[tuple[float, float]] = []
        of: list[int] = []
        for talk in range(30):
            turned = rng.choice([(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 1.0)])
            pairs += [turned] * 4
            of += [talk] * 4
        calls["together"] += paired(ANSWERED, pairs, margin=0.02, clusters=of).verdict in _SURE
        calls["alone"] += paired(ANSWERED, pairs, margin=0.02).verdict in _SURE
    assert calls["together"] <= 0.05 * 300 < 0.2 * 300 < calls["alone"]


_SURE = ("better", "worse")


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([1, 0, -1]), min_size=1, max_size=60))
def test_with_clusters_of_one_case_every_rule_is_the_plain_one(signs: list[int]) -> None:
    alone = range(len(signs))
    assert clusters.sign_flip_p(signs, alone) == pytest.approx(
        mcnemar_exact(signs.count(1), signs.count(-1)), abs=1e-12
    )
    if len(set(signs)) > 1:
        assert clusters.design_effect(signs, alone) <= len(signs) / (len(signs) - 1)


def test_copies_of_a_case_count_as_one() -> None:
    signs = [1, 1, -1, 0, 1, 1, 0, -1, 1, 1, 1, 0]
    thrice, of = signs * 3, [i for _ in range(3) for i in range(len(signs))]
    assert clusters.sign_flip_p(thrice, of) == pytest.approx(mcnemar_exact(7, 2))
    assert clusters.design_effect(thrice, of) == pytest.approx(3 * 12 / 11)


def test_equal_answers_of_one_conversation_prove_no_more_than_one_case() -> None:
    same = [(1.0, 1.0)] * 300
    assert paired(ANSWERED, same, margin=0.02).verdict == "not_worse"
    few = paired(ANSWERED, same, margin=0.02, clusters=[i % 10 for i in range(300)])
    assert few.verdict == "inconclusive" and few.clusters == 10 and few.difference.n == 300


def test_a_graded_score_is_won_lost_or_tied_by_case() -> None:
    found = paired(CHRF, [(0.52, 0.5), (0.51, 0.5), (0.5, 0.5), (0.3, 0.5)], margin=0.02)
    assert (found.won, found.tied, found.lost) == (1, 2, 1) and found.graded
    passes = paired(ANSWERED, [(1.0, 0.0), (1.0, 1.0)], margin=0.02)
    assert (passes.won, passes.tied, passes.lost) == (1, 1, 0) and not passes.graded


def results(said: list[str], *, group: str = "") -> SuiteResult:
    cases = [
        Case(
            id=f"{i:03}",
            messages=({"role": "user", "content": f"hi {i}"},),
            expected="x",
            group=group,
        )
        for i in range(len(said))
    ]
    suite = make_suite("held-out", "held-out", cases)
    answers = {case.id: Answer(text=text) for case, text in zip(cases, said, strict=True)}
    given = SuiteAnswers(suite=suite, target="t", answers=answers)
    return measure(given, [CHRF, ANSWERED, UNGROUNDED])


def prose(candidate: SuiteResult, reference: SuiteResult):
    return compare(
        candidate,
        reference,
        label="base",
        metrics=[CHRF, ANSWERED, UNGROUNDED],
        margin=0.02,
        rule=rule_of("balanced", margin=0.02),
        main_metrics=("chrf",),
        guards=PROSE_GUARD_METRICS,
    )


def of(found, name: str) -> Paired:
    return next(p for p in found.metrics if p.metric == name)


def test_the_caller_says_which_metric_decides_and_the_comparison_remembers_it() -> None:
    better = results([f"chrf=0.{60 + i % 9} answered=1 ungrounded=0" for i in range(100)])
    base = results(["chrf=0.3 answered=1 ungrounded=0"] * 100)
    found = prose(better, base)
    assert found.verdict == "better" and found.main.metric == "chrf"
    assert found.main.difference.low > 0.3 and found.main.won == 100


def test_a_candidate_that_is_more_like_the_references_and_makes_things_up_is_worse() -> None:
    inventive = results(["chrf=0.6 answered=1 ungrounded=0.5"] * 50 + ["chrf=0.6 ungrounded=1"])
    base = results(["chrf=0.3 answered=1 ungrounded=0.1"] * 51)
    found = prose(inventive, base)
    assert found.verdict == "worse" and "ungrounded is worse" in found.reason
    assert of(found, "ungrounded").difference.value < 0


def test_what_is_made_up_where_the_other_says_nothing_to_check_counts() -> None:
    inventive = results(["chrf=0.5 ungrounded=1"] * 60)
    silent = results(["chrf=0.5 ungrounded=0"] * 60)  # as the scorer scores it
    assert of(prose(inventive, silent), "ungrounded").lost == 60
    assert of(prose(silent, inventive), "ungrounded").won == 60


def test_a_request_without_an_answer_wins_no_case_by_making_nothing_up() -> None:
    """`answered` counts it; it is no well-grounded answer."""
    inventive = results(["chrf=0.5 ungrounded=1"] * 60)
    failing = results(["chrf=0 answered=0"] * 50 + ["chrf=0.5 ungrounded=0"] * 10)
    assert of(prose(failing, inventive), "ungrounded").difference.n == 10


def test_cases_are_listed_by_how_far_they_differ() -> None:
    found = prose(
        results([f"chrf={score}" for score in (0.9, 0.51, 0.7, 0.1, 0.4)]),
        results(["chrf=0.5"] * 5),
    )
    assert found.won == ("000", "002") and found.lost == ("003", "004")


def test_a_suite_of_one_conversation_shows_nothing_for_sure() -> None:
    same_talk = results(["chrf=0.9"] * 40, group="talk"), results(["chrf=0.2"] * 40, group="talk")
    assert prose(*same_talk).main.difference.low == -1
