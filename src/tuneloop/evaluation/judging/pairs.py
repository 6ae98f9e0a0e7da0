"""Two answers to the same prompt, judged in both orders.

Judges favour places (Zheng et al. 2023, "Judging LLM-as-a-judge", section 3.3): a preference that
turns with the order says nothing about the answers and is a tie.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.comparison import mcnemar_exact, paired_share_difference
from tuneloop.evaluation.judging.judge import Judge, Unjudged
from tuneloop.evaluation.judging.prompt import Exchange
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


def summary(found: Sequence[Preference | Unjudged]) -> Preferences:
    """Count preferences; a tie is a pair without a difference."""
    judged = [preference for preference in found if isinstance(preference, Preference)]
    won = sum(preference.winner == "candidate" for preference in judged)
    lost = sum(preference.winner == "reference" for preference in judged)
    return Preferences(
        candidate=won,
        reference=lost,
        ties=len(judged) - won - lost,
        turned=sum(preference.turned for preference in judged),
        unjudged=len(found) - len(judged),
        difference=paired_share_difference(won, lost, len(judged)) if judged else None,
        p_value=mcnemar_exact(won, lost) if judged else None,
    )
