"""Gates are absolute; a candidate that is worse than production never replaces it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tuneloop.candidates.promotion import Decision, JudgedCandidate, decide, settled
from tuneloop.deployment.admission import Past
from tuneloop.evaluation.comparison import Standing
from tuneloop.evaluation.paired import ComparisonVerdict
from tuneloop.registry.aliases import Move


def compared(verdict: ComparisonVerdict, difference: float = 0.0) -> Standing:
    return Standing(verdict=verdict, reason="correct differs", difference=difference)


@pytest.mark.parametrize("verdict", ["failed", "refused"])
@pytest.mark.parametrize("production", [None, compared("better", 0.5)])
def test_a_missed_gate_refuses_however_good_the_comparison(
    verdict: str, production: Standing | None
) -> None:
    decision = decide(gates=verdict, gates_reason="format is 0.5", production=production)
    assert not decision.deploy
    assert "format is 0.5" in decision.reason


@pytest.mark.parametrize(
    ("production", "deploy"),
    [
        (None, True),
        (compared("better", 0.1), True),
        (compared("not_worse", -0.001), True),
        (compared("worse", -0.1), False),
        (compared("inconclusive", 0.0), True),
        (compared("inconclusive", 0.04), True),
        (compared("inconclusive", -0.02), False),
    ],
)
def test_against_production(production: Standing | None, deploy: bool) -> None:
    decision = decide(gates="passed", gates_reason="", production=production)
    assert decision.deploy == deploy
    assert decision.reason


def test_an_unproven_candidate_says_so() -> None:
    decision = decide(gates="passed", gates_reason="", production=compared("inconclusive", 0.01))
    assert "too few to prove" in decision.reason


@pytest.mark.parametrize("verdict", ["better", "inconclusive", "worse"])
def test_what_another_suite_seems_to_have_lost_is_said(
    verdict: ComparisonVerdict,
) -> None:
    production = replace(compared(verdict), warnings=["on suite 'golden' it lost 4 of 18"])
    decision = decide(gates="passed", gates_reason="", production=production)
    assert "; but look: on suite 'golden' it lost 4 of 18" in decision.reason


def moves(*production: str, drill: bool = False) -> list[Move]:
    """The history of what was in production, given from old to new."""
    pairs = list(zip((None, *production), production, strict=False))
    return [
        Move(
            name=name,
            from_bundle=before,
            to_bundle=after,
            actor="ann",
            reason=f"{before} to {after}",
            drill=drill,
            at=datetime(2026, 3, 2, 9, 5, tzinfo=UTC),
        )
        for before, after in reversed(pairs)
        for name in ("previous", "production")
    ]


def past(history: list[Move]) -> Past:
    """What happened to three bundles that behave differently."""
    return Past(behaviours={name: name for name in ("one", "two", "three")}, moves=history)


def verdict(
    *, gates: str = "passed", against: str | None = "one", deploy: bool = True
) -> JudgedCandidate:
    decision = Decision(deploy=deploy, reason="production does better" if deploy else "it is worse")
    return JudgedCandidate(bundle="two", gates=gates, compared_with=against, decision=decision)


def test_what_is_in_production_is_settled() -> None:
    closed = settled(verdict(), production="two", past=past(moves("one", "two")))
    assert closed is not None and closed.how == "in production"


@pytest.mark.parametrize("production", ["one", "three", None])
def test_a_missed_gate_stays_missed_whatever_is_in_production(production: str | None) -> None:
    before = verdict(gates="failed", deploy=False)
    closed = settled(before, production=production, past=past(moves("one")))
    assert closed is not None and closed.how == "refused"
    assert closed.reason == "was refused because it is worse"


def test_a_lost_comparison_holds_as_long_as_the_winner_is_in_production() -> None:
    before = verdict(deploy=False)
    closed = settled(before, production="one", past=past(moves("one")))
    assert closed is not None and closed.how == "refused"
    assert settled(before, production="three", past=past(moves("one", "three"))) is None


def test_a_rollback_is_not_undone_by_the_next_cycle() -> None:
    closed = settled(verdict(), production="one", past=past(moves("one", "two", "one")))
    assert closed is not None and closed.how == "rolled back"
    assert closed.reason == "was rolled back by ann at 2026-03-02 09:05 UTC (two to one)"
    later = settled(verdict(), production="three", past=past(moves("one", "two", "one", "three")))
    assert later is not None and later.how == "rolled back"


def test_a_drill_takes_nothing_back() -> None:
    rehearsal = moves("two", "one", "two", drill=True)[:-2]
    closed = settled(verdict(), production="two", past=past([*rehearsal, *moves("one", "two")]))
    assert closed is not None and closed.how == "in production"
    history = [*moves("two", "three")[:-2], *rehearsal, *moves("one", "two")]
    assert settled(verdict(), production="three", past=past(history)) is None


def test_what_gave_way_to_a_newer_bundle_may_come_back() -> None:
    assert settled(verdict(), production="three", past=past(moves("one", "two", "three"))) is None


def test_a_candidate_that_passed_and_was_not_deployed_yet_may_be() -> None:
    assert settled(verdict(), production="one", past=past(moves("one"))) is None


def test_what_behaves_as_what_was_made_before_is_settled_with_it() -> None:
    """Under a new id, as other gates make it."""
    again = replace(verdict(), bundle="two again")
    known = replace(past(moves("one", "two", "one")), behaviours={"two again": "2", "two": "2"})
    closed = settled(again, production="one", past=known)
    assert closed is not None and closed.how == "rolled back"
    assert closed.reason.startswith("behaves as two, which was rolled back by ann")
    assert "tuneloop readmit two" in closed.remedy
    live = settled(again, production="two", past=replace(known, moves=moves("one", "two")))
    assert live is not None and live.reason == "behaves as two, which is in production"
    missed = replace(again, gates="failed", decision=Decision(deploy=False, reason="it is worse"))
    closed = settled(missed, production="two", past=replace(known, moves=moves("one", "two")))
    assert closed is not None and closed.how == "refused", "stricter gates are told, live or not"
