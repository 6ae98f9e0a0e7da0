"""Does the candidate give more bad answers than production? A test that may be looked at any time.

Whatever counts as bad (an error, a broken schema, a slow or corrected answer), only the bad answers
speak. Each conversation goes to the candidate with a known probability, its share `w`, drawn before
anything is known of it. If its answers are bad with probability `p_c` from the candidate and `p_p`
from production, then a bad one is the candidate's with probability

    a = w p_c / (w p_c + (1 - w) p_p),    and    a <= w    exactly when    p_c <= p_p,

whatever the level of both, which may change by the hour. So no rate has to be estimated, and a
question that is harder, or an upstream that fails, for both arms is evidence against neither.
Where both arms answered the same request (shadow), the bad answer of a pair with exactly one is the
candidate's with probability at most w = 1/2: a sequential form of McNemar's test.

A *bet* on a ratio r > 1 is multiplied with every bad answer by

    r / (w r + 1 - w)    if it is the candidate's,    1 / (w r + 1 - w)    if it is production's.

Its expected factor is (1 + a (r - 1)) / (1 + w (r - 1)) <= 1 if the candidate is not worse, so a
bet is a non-negative supermartingale, and so are several whose stakes add up to 1. What they are
worth together is the e-value: if the candidate is not worse, the chance that it *ever* reaches
1/alpha is at most alpha (Ville's inequality). Neither the number of looks nor a share that is moved
because of what was seen changes that. If p_c = r p_p, the factor is the likelihood ratio of the
arm, and the bet on this r grows fastest.

Sources: Ramdas, Grünwald, Vovk and Shafer (2023), "Game-theoretic statistics and safe anytime-valid
inference", Statistical Science 38; Ville (1939), "Étude critique de la notion de collectif". The
arm of an event as the thing tested, for rates that change with time: Lindon and Malek (2022),
"Anytime-valid inference for multinomial count data", NeurIPS 35. The relative that also uses good
answers, and why it was not taken: docs/decisions/0007.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

RATIOS = (1.25, 1.6, 2.5, 6.0, 40.0)
"""How many times as often as production's the candidate's answers are bad, one bet each."""
FIRST_STAKE = 0.5
"""The part of the stake that is bet from the first step on; the later steps share the rest."""
PAIR_SHARE = 0.5
"""The share of a pair's one bad answer: the same request, so either arm is as likely."""
FINAL = 1e12
"""The test stops at an e-value above any threshold; no number overflows on the way."""

_ROUTING_RATIOS = (0.5, 0.8, 1.25, 2.0)


@dataclass(frozen=True, kw_only=True)
class BadAnswer:
    """One conversation whose first answer was bad, or one pair with exactly one bad answer."""

    candidate: bool
    """Whether the bad answer is the candidate's."""
    share: float
    """The probability that the candidate had of getting this conversation; `PAIR_SHARE` of pairs"""
    step: int
    """Position of the step in the rollout, from 0."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the conversations of one share were divided."""

    share: float
    """the probability of going to the candidate that was declared, in 0..1"""
    candidate: int
    conversations: int
    """of both arms together"""


def harm_e_values(bad_answers: Iterable[BadAnswer], *, steps: int) -> list[float]:
    """The e-value against "the candidate is not worse" after each bad answer; starts at 1 unlisted.

    The answers come in the order in which their conversations began. A rollout of `steps` steps
    holds bets in reserve for each: some are placed at its start, others only when step 1, 2, … is
    reached, so a candidate that fails no sooner than under more load does not have to make up for
    the good time before. The list ends early where the value passes `FINAL`.
    """
    bets = _stakes(steps)
    values: list[float] = []
    for answer in bad_answers:
        factors = _harm_factors(answer.candidate, answer.share, answer.step, steps)
        bets = [bet * factor for bet, factor in zip(bets, factors, strict=True)]
        values.append(sum(bets))
        if values[-1] > FINAL:
            break
    return values


def routing_e_value(splits: Iterable[Split]) -> float:
    """The e-value against "every conversation went to the candidate with its declared share".

    The harm test stands on that. Two-sided bets on all conversations, good or bad; known as the
    test for a sample ratio mismatch (Fabijan et al. 2019, KDD; sequentially: Lindon and Malek
    2022). Depends on the counts alone, at most `FINAL`.
    """
    logs = [0.0] * len(_ROUTING_RATIOS)
    for split in splits:
        others = split.conversations - split.candidate
        factors = _routing_logs(split.share)
        logs = [
            log + split.candidate * candidate + others * other
            for log, (candidate, other) in zip(logs, factors, strict=True)
        ]
    most = math.log(FINAL)
    return sum([math.exp(min(log, most)) for log in logs]) / len(logs)


def _stakes(steps: int) -> list[float]:
    """(steps × ratios,): what the bets start with, 1 in all; a block for the starts with a step."""
    first = FIRST_STAKE if steps > 1 else 1.0
    later = (1 - first) / max(steps - 1, 1)
    return [stake / len(RATIOS) for stake in (first, *[later] * (steps - 1)) for _ in RATIOS]


@lru_cache(maxsize=256)
def _harm_factors(candidate: bool, share: float, step: int, steps: int) -> tuple[float, ...]:
    """(steps × ratios,): what an answer multiplies the bets by; 1 before their start."""
    placed = tuple(_factor(candidate, share, ratio) for ratio in RATIOS)
    reserve = (1.0,) * len(RATIOS)
    return placed * (step + 1) + reserve * (steps - step - 1)


@lru_cache(maxsize=256)
def _routing_logs(share: float) -> tuple[tuple[float, float], ...]:
    return tuple(
        (math.log(_factor(True, share, ratio)), math.log(_factor(False, share, ratio)))
        for ratio in _ROUTING_RATIOS
    )


def _factor(candidate: bool, share: float, ratio: float) -> float:
    """What a bet on `ratio` is multiplied by."""
    return (ratio if candidate else 1.0) / (share * ratio + 1 - share)
