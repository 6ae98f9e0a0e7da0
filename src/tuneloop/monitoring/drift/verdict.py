"""Whether a window's traffic has drifted: data and thresholds in, verdict with reason out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tuneloop.intervals import two_sided_z
from tuneloop.monitoring.drift.calibration import SIZES
from tuneloop.monitoring.drift.reference import DriftReference
from tuneloop.monitoring.drift.sketch import DriftSketch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

State = Literal["drift", "no_drift", "not_enough_data"]
Of = Literal["prompts", "answers"]

TEXTBOOK_PSI = 0.2
MINIMUM_ROWS = 30
SMOOTHING = 0.5
"""Added to the count of each bin before shares are taken (Jeffreys' prior)."""
FEWEST_DAYS = 3
"""With fewer, how much days differ cannot be told, and rows count as independent."""
_Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How far a window is from the training data in one respect."""

    value: float
    """As a share of the traffic, 0..1."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""
    threshold: float
    """What a window of so many effective rows must pass."""
    effective_rows: float
    """Independent rows that would be as noisy as these, which come in days."""
    evident: bool = True
    """Whether it is more than nothing at the level of an alert."""

    @property
    def passed(self) -> bool:
        """Whether it is more than what may change."""
        return self.value > self.threshold


@dataclass(frozen=True, kw_only=True)
class DriftVerdict:
    """What one window says."""

    state: State
    n: int
    """Prompts with a vector."""
    days: int
    """Days with traffic."""
    topics: Effect | None
    """Topics in another mix; None without prompts."""
    unfamiliar: Effect | None
    """Prompts unlike the training's; None without prompts."""
    psi: float | None
    """Population stability index; see `definition`."""
    psi_by_chance: float | None
    """What the index is expected to be for so few rows if nothing changed."""
    jensen_shannon: float | None
    """Jensen-Shannon divergence, 0..1; see `definition`."""
    definition: str
    """Bins, smoothing and reference of `psi` and `jensen_shannon`."""
    message: str
    """One sentence for people, with every number that the verdict stands on."""

    @property
    def leading(self) -> Effect | None:
        """The effect that is farthest beyond its threshold, or nearest to it."""
        effects = [effect for effect in (self.topics, self.unfamiliar) if effect is not None]
        return max(effects, key=lambda effect: effect.value - effect.threshold, default=None)


def verdict(
    sketch: DriftSketch,
    reference: DriftReference,
    *,
    minimum_rows: int = MINIMUM_ROWS,
    of: Of = "prompts",
    level: float | None = None,
) -> DriftVerdict:
    """Drift when one of two effects passes the threshold that was calibrated for it.

    A window needs `minimum_rows` rows, counted as independent ones. `of`: what its texts are.
    `level`: the chance of an alert while nothing changed, of which each effect gets half; an effect
    must then also be more than nothing at that level. None: the threshold alone decides.
    """
    whole = sketch.whole()
    definition = (
        f"bins: the {len(reference.topics.counts)} topics (spherical k-means) of the training "
        f"{of}; smoothing: {SMOOTHING} added to each count; reference: {reference.rows} "
        f"training {of}; PSI in nats, Jensen-Shannon divergence to base 2; {reference.embedder}"
    )
    if whole.n < 2:
        return DriftVerdict(
            state="not_enough_data",
            n=whole.n,
            days=len(sketch.days),
            topics=None,
            unfamiliar=None,
            psi=None,
            psi_by_chance=None,
            jensen_shannon=None,
            definition=definition,
            message=f"not enough data: {whole.n} of the {minimum_rows} {of} that it takes",
        )
    z = two_sided_z(1 - level) if level is not None else None
    topics, unfamiliar = (
        topics_effect(sketch, reference, z),
        unfamiliar_effect(sketch, reference, z),
    )
    effective = min(topics.effective_rows, unfamiliar.effective_rows)
    passed = [effect for effect in (topics, unfamiliar) if effect.passed and effect.evident]
    state: State = "drift" if passed else "no_drift"
    if effective < max(minimum_rows, SIZES[0]):
        state = "not_enough_data"
    return DriftVerdict(
        state=state,
        n=whole.n,
        days=len(sketch.days),
        topics=topics,
        unfamiliar=unfamiliar,
        psi=psi(whole.topics, reference.topics.counts),
        psi_by_chance=psi_by_chance(whole.topics, reference.topics.counts),
        jensen_shannon=jensen_shannon(whole.topics, reference.topics.counts),
        definition=definition,
        message=_message(state, topics, unfamiliar, whole.n, effective, minimum_rows, of),
    )


def topics_effect(
    sketch: DriftSketch, reference: DriftReference, evident_z: float | None = None
) -> Effect:
    """How far the mix of topics moved, as a share of the traffic that changed its topic.

    It is evident from `evident_z` standard errors on.
    """
    topics = reference.topics
    whole = sketch.whole()
    mean = whole.total / whole.n
    # Of vectors of length 1, (n - 1) / n of the mean squared distance from their mean is this.
    noise = (1 - float(mean @ mean)) / (whole.n - 1)
    days = [(day.total - day.n * mean) / whole.n for day in sketch.days.values() if day.n]
    noise_of_days = _noise_of_days([float(apart @ apart) for apart in days])
    effect_of_days = max(1.0, noise_of_days / noise) if noise > 0 else 1.0
    rows = whole.n / effect_of_days
    squared = topics.squared_shift(mean, noise * effect_of_days)
    error = topics.squared_shift_error(mean, rows)
    return Effect(
        value=topics.as_share(squared),
        low=topics.as_share(squared - _Z * error),
        high=topics.as_share(squared + _Z * error),
        threshold=_threshold(reference, "topics", rows),
        effective_rows=rows,
        evident=evident_z is None or squared > evident_z * error,
    )


def unfamiliar_effect(
    sketch: DriftSketch, reference: DriftReference, evident_z: float | None = None
) -> Effect:
    """How much less familiar prompts are than the bundle's own, as Cliff's delta.

    It is evident from `evident_z` standard errors on.
    """
    known = reference.familiarity
    whole = sketch.whole()
    scores = known.scores
    value = known.unfamiliar(whole.bins)
    variance = float(((scores - value) ** 2) @ whole.bins) / (whole.n - 1) / whole.n
    days = [
        (float(scores @ day.bins) - day.n * value) / whole.n
        for day in sketch.days.values()
        if day.n
    ]
    noise_of_days = _noise_of_days([apart**2 for apart in days])
    rows = whole.n / max(1.0, noise_of_days / variance) if variance > 0 else float(whole.n)
    error = known.error(whole.bins, rows)
    half = _Z * error
    return Effect(
        value=max(0.0, value),
        low=max(0.0, value - half),
        high=max(0.0, min(1.0, value + half)),
        threshold=_threshold(reference, "unfamiliar", rows),
        effective_rows=rows,
        evident=evident_z is None or value > evident_z * error,
    )


def psi(window: Integers, reference: Integers) -> float:
    """Population stability index of two counts (k,), in nats (Siddiqi 2006, "Credit Risk
    Scorecards"): sum over bins of (p - q) ln(p / q)."""
    import numpy as np

    p, q = _shares(window), _shares(reference)
    return float(((p - q) * np.log(p / q)).sum())


def psi_by_chance(window: Integers, reference: Integers) -> float:
    """The index expected of two samples of one distribution: (k - 1) (1 / n + 1 / N).

    Yurdakul and Naranjo 2020, "Statistical properties of the population stability index", Journal
    of Risk Model Validation 14; an approximation that holds where every bin has some rows.
    """
    return (len(reference) - 1) * (1 / float(window.sum()) + 1 / float(reference.sum()))


def jensen_shannon(window: Integers, reference: Integers) -> float:
    """Jensen-Shannon divergence of two counts (k,), to base 2: 0..1 (Lin 1991, IEEE Transactions
    on Information Theory 37)."""
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(_shares(window), _shares(reference), base=2) ** 2)


def _shares(counts: Integers) -> Floats:
    import numpy as np

    smoothed = counts + SMOOTHING
    return np.asarray(smoothed / smoothed.sum(), dtype=np.float64)


def _noise_of_days(squares: Sequence[float]) -> float:
    """Squared error of a mean whose rows come in days (cluster-robust; Liang and Zeger 1986,
    Biometrika 73), from each day's squared deviation; 0 for fewer than `FEWEST_DAYS`."""
    days = len(squares)
    return math.fsum(squares) * days / (days - 1) if days >= FEWEST_DAYS else 0.0


def _threshold(
    reference: DriftReference, part: Literal["topics", "unfamiliar"], rows: float
) -> float:
    thresholds = reference.thresholds
    return thresholds.at(thresholds.topics if part == "topics" else thresholds.unfamiliar, rows)


def _message(
    state: State, topics: Effect, unfamiliar: Effect, n: int, effective: float, minimum: int, of: Of
) -> str:
    if state == "not_enough_data":
        counted = f" ({n} {of}, but days differ)" if effective < n else ""
        return f"not enough data: {effective:.0f} of the {minimum} that it takes{counted}"
    parts = [
        f"{what} {_tell(effect)}"
        for what, effect in (("moved between topics:", topics), ("unfamiliar:", unfamiliar))
    ]
    return f"{'drift' if state == 'drift' else 'no drift that matters'}: {'; '.join(parts)}"


def _tell(effect: Effect) -> str:
    side = "above" if effect.passed else "within"
    chance = ", but it may be chance" if effect.passed and not effect.evident else ""
    return (
        f"{100 * effect.value:.0f} % of the traffic (95 % interval {100 * effect.low:.0f} to "
        f"{100 * effect.high:.0f} %), {side} the {100 * effect.threshold:.0f} % that may change"
        f"{chance}"
    )
