"""How far two who judge the same things agree beyond chance: Cohen's kappa.

Cohen 1960, "A coefficient of agreement for nominal scales", Educational and Psychological
Measurement 20; the large-sample interval is that of Fleiss, Cohen and Everitt 1969, Psychological
Bulletin 72. Both as statsmodels computes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tuneloop import intervals
from tuneloop.errors import require
from tuneloop.intervals import Figure

_NO_VARIANCE = 1e-6


def kappa(decisions: Sequence[tuple[str, str]]) -> Figure | None:
    """Kappa of what two said of the same things, with its 95 % interval.

    Where both agree on everything, or one of them always says the same, the asymptotic variance is
    0 and its interval a point, whatever n; there the ends are what Wilson's interval of the
    observed agreement p_o makes of kappa = (p_o - p_e) / (1 - p_e), with the agreement by chance
    p_e as it is. None where only one thing was said: chance alone would agree as well.

    Raises:
        MissingExtraError: statsmodels is not installed.
    """
    import numpy as np

    raters = require("statsmodels.stats.inter_rater", extra="evaluate")
    counts = Counter(decisions)
    used = sorted({said for pair in counts for said in pair})
    if len(used) < 2:
        return None
    table = np.array([[counts[one, other] for other in used] for one in used])
    with np.errstate(invalid="ignore", divide="ignore"):  # of a test that is not used here
        estimate = raters.cohens_kappa(table)
    n, value = len(decisions), float(estimate.kappa)
    low, high = float(estimate.kappa_low), float(estimate.kappa_upp)
    if estimate.std_kappa < _NO_VARIANCE:
        agreed = intervals.share(int(np.trace(table)), n)
        by_chance = float(table.sum(axis=0) @ table.sum(axis=1)) / n**2
        low, high = ((end - by_chance) / (1 - by_chance) for end in (agreed.low, agreed.high))
    low, high = min(max(-1.0, low), value), max(min(1.0, high), value)
    return Figure(value=value, low=low, high=high, n=n)
