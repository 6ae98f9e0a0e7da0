"""Two answers to the same prompt, judged in both orders.

Judges favour places (Zheng et al. 2023, "Judging LLM-as-a-judge", section 3.3): a preference that
turns with the order says nothing about the answers and is a tie.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.judging.judge import Judge, Unjudged
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.paired import paired
from tuneloop.evaluation.scorers.base import Metric
from tuneloop.intervals import Figure
from tuneloop.progress import Progress, Silent

Winner = Literal["candidate", "reference", "tie"]

_WHEN_AHEAD: dict[str, Winner] = {"first": "candidate", "second": "reference", "tie": "tie"}
_WHEN_BEHIND: dict[str, Winner] = {"first": "reference", "second": "candidate", "tie": "tie"}


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Which of two answers is better."""

    winner: Winner
    turned: bool
    """the verdict turned with the order, so it is a tie"""
    reason: str
    """of the order in which the candidate stood first"""


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """What the judge prefers over many pairs."""

    candidate: int
    """pairs that the candidate won"""
    reference: int
    ties: int
    turned: int
    """of the ties, those where the verdict turned with the order"""
    unjudged: int
    difference: Figure | None
    """share won by the candidate minus share lost, of the judged pairs"""
    p_value: float | None
    """exact sign test of won against lost, two-sided"""


def prefer(judge: Judge, exchange: Exchange, reference: str) -> Preference | Unjudged:
    """Judge the exchange's answer, the candidate's, against another one in both orders.

    Raises:
        EvaluationError: the judge does not answer.
    """
    ahead = judge.prefer(exchange, reference)
    if isinstance(ahead, Unjudged):
        return ahead
    behind = judge.prefer(replace(exchange, answer=reference), exchange.answer)
    if isinstance(behind, Unjudged):
        return behind
    winner = _WHEN_AHEAD[ahead[0]]
    other = _WHEN_BEHIND[behind[0]]
    turned = winner != other
    return Preference(winner="tie" if turned else winner, turned=turned, reason=ahead[1])


def prefer_all(
    judge: Judge, pairs: Sequence[tuple[Exchange, str]], progress: Progress | None = None
) -> list[Preference | Unjudged]:
    """`prefer` for many (exchange with the candidate's answer, reference's answer).

    Raises:
        EvaluationError: the judge does not answer.
    """
    progress = progress or Silent()
    preferences: list[Preference | Unjudged] = []
    with ThreadPoolExecutor(judge.settings.concurrency, thread_name_prefix="judge") as pool:
        try:
            for preference in pool.map(lambda pair: prefer(judge, *pair), pairs):
                preferences.append(preference)
                progress.update(len(preferences), len(pairs), "pairs judged")
        except EvaluationError:
            pool.shutdown(cancel_futures=True)
            raise
    return preferences


def summary(
    found: Sequence[Preference | Unjudged], clusters: Sequence[Hashable] | None = None
) -> Preferences:
    """Count preferences; a tie is a pair without a difference.

    `clusters` names the group of each pair; those of one group are not independent.
    """
    clusters = range(len(found)) if clusters is None else clusters
    judged = [
        (_SCORE[preference.winner], preference.turned, cluster)
        for preference, cluster in zip(found, clusters, strict=True)
        if isinstance(preference, Preference)
    ]
    outcomes = [outcome for outcome, _, _ in judged]
    won, lost = outcomes.count(1), outcomes.count(-1)
    difference, p_value = won_minus_lost(outcomes, [cluster for _, _, cluster in judged])
    return Preferences(
        candidate=won,
        reference=lost,
        ties=len(judged) - won - lost,
        turned=sum(turned for _, turned, _ in judged),
        unjudged=len(found) - len(judged),
        difference=difference,
        p_value=p_value,
    )


_SCORE: dict[Winner, int] = {"candidate": 1, "tie": 0, "reference": -1}
_PREFERRED = Metric(name="preferred", about="pairs won", scorer=lambda case, output: None)


def won_minus_lost(
    outcomes: Sequence[int], clusters: Sequence[Hashable]
) -> tuple[Figure | None, float | None]:
    """Share of pairs won (1) minus share lost (-1), and the p-value of as many of both.

    As passes and failures of the same cases are compared; (None, None) without a pair.
    """
    if not outcomes:
        return None, None
    scores = [(float(outcome > 0), float(outcome < 0)) for outcome in outcomes]
    compared = paired(_PREFERRED, scores, margin=0.0, clusters=clusters)
    return compared.difference, compared.p_value
