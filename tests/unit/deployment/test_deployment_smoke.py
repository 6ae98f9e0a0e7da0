"""The smoke test refuses a wrong model, and not one that draws its answers at random."""

from __future__ import annotations

from tuneloop.deployment.smoke import Probe, SmokeResult, assess

QUERIES = 12


def judged(answer: str, *, greedy: bool = True, repeats: tuple[str, ...] = ()) -> SmokeResult:
    probes = [
        Probe(
            messages=({"role": "user", "content": str(n)},),
            evaluated=f"tuned {n}" if greedy else None,
            base=f"base {n}",
            repeats=tuple(text.format(n) for text in repeats),
        )
        for n in range(QUERIES)
    ]
    return assess(probes, [answer.format(n) for n in range(QUERIES)])


def test_greedy_answers_must_be_those_of_the_evaluation() -> None:
    assert judged("tuned {}").passed
    other = judged("another {}")
    assert not other.passed and "only 0 of 12 answers equal the evaluation's" in other.reason


def test_what_the_file_said_when_it_was_asked_again_is_as_evaluated_too() -> None:
    assert judged("turned over {}", repeats=("turned over {}",)).as_evaluated == 12
    # Another question's answer is none of this one's, and another model's is nobody's.
    assert not judged("turned over 3", repeats=("turned over {}",)).passed
    assert not judged("another {}", repeats=("turned over {}",)).passed


def test_answers_drawn_at_random_are_not_compared_with_the_evaluation() -> None:
    drawn = judged("another {}", greedy=False)
    assert drawn.passed and drawn.compared_with_evaluation == 0
    assert "drawn at random" in drawn.summary and "12 of 12 unlike" in drawn.summary


def test_the_other_rules_hold_for_them_all_the_same() -> None:
    assert "not answered" in judged("", greedy=False).reason
    assert "adapter is not in effect" in judged("base {}", greedy=False).reason


def test_the_summary_says_what_was_compared() -> None:
    assert judged("tuned {}").summary == (
        "12 of 12 answered, 12 of 12 as evaluated, 12 of 12 unlike the untuned base"
    )
