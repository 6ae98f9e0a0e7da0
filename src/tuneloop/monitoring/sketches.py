"""What a stream of traffic is summed up in: fixed memory, and two sums make one.

Each sketch of one half of a window, merged with that of the other half, is the sketch of the whole.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tuneloop import intervals
from tuneloop.intervals import Figure
from tuneloop.monitoring.bounds import Estimate, student
from tuneloop.sameness import words
from tuneloop.sameness.segmenting import SPACED_WORD, UNSPACED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]


_BETWEEN = "\0"
"""Stands in no word."""


class Sketch(ABC):
    """A sum that can be merged."""

    @abstractmethod
    def merge(self, other: Self) -> None:
        """Take in what the other one saw."""


@dataclass(kw_only=True)
class Share(Sketch):
    """How many of how many."""

    hits: int = 0
    n: int = 0

    def add(self, hits: int, n: int) -> None:
        """Count `n` more cases, of which `hits` are of the kind."""
        self.hits += hits
        self.n += n

    def merge(self, other: Self) -> None:
        self.add(other.hits, other.n)

    @property
    def figure(self) -> Figure | None:
        """The share with Wilson's interval; None without any case."""
        return intervals.share(self.hits, self.n) if self.n else None


@dataclass(kw_only=True)
class Mean(Sketch):
    """A mean and its spread, by the pairwise update of Chan, Golub and LeVeque 1979."""

    n: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def add(self, values: Floats) -> None:
        """Take in finite values (n,)."""
        if len(values):
            mean = float(values.mean())
            squares = float(((values - mean) ** 2).sum())
            self._take(len(values), mean, squares)

    def merge(self, other: Self) -> None:
        if other.n:
            self._take(other.n, other.mean, other.squares)

    def _take(self, n: int, mean: float, squares: float) -> None:
        both, apart = self.n + n, mean - self.mean
        self.squares += squares + apart**2 * self.n * n / both
        self.mean += apart * n / both
        self.n = both

    @property
    def figure(self) -> Figure | None:
        """The mean with Student's interval; None below two values, which have no spread."""
        if self.n < 2:
            return None
        error = math.sqrt(self.squares / (self.n - 1) / self.n)
        half = student((1 - intervals.CONFIDENCE) / 2, self.n - 1) * error
        return Figure(value=self.mean, low=self.mean - half, high=self.mean + half, n=self.n)


@dataclass(kw_only=True)
class Scores(Sketch):
    """The mean of scores in 0..1."""

    n: int = 0
    total: float = 0.0

    def add(self, score: float) -> None:
        """Take in one score."""
        self.n += 1
        self.total += score

    def merge(self, other: Self) -> None:
        self.n += other.n
        self.total += other.total

    @property
    def figure(self) -> Figure | None:
        """The mean with Wilson's interval; None without any score.

        Of all scores in 0..1 with mean m those that are 0 or 1 spread most, m (1 - m) (Bhatia and
        Davis 2000, American Mathematical Monthly 107), so for graded ones the interval is too wide
        rather than too narrow.
        """
        return intervals.share(self.total, self.n) if self.n else None


@dataclass(kw_only=True)
class WeightedScores(Sketch):
    """The mean of scores in 0..1 that stand for unequally many cases each."""

    n: int = 0
    weight: float = 0.0
    squares: float = 0.0
    """Of the weights."""
    total: float = 0.0
    """Scores times their weights."""

    def add(self, score: float, weight: float) -> None:
        """Take in a score that stands for `weight` > 0 cases."""
        self.n += 1
        self.weight += weight
        self.squares += weight**2
        self.total += score * weight

    def merge(self, other: Self) -> None:
        self.n += other.n
        self.weight += other.weight
        self.squares += other.squares
        self.total += other.total

    @property
    def effective(self) -> float:
        """Equally weighted scores that would be as sure (Kish 1965, "Survey Sampling", 11.7)."""
        return self.weight**2 / self.squares if self.squares else 0.0

    @property
    def mean(self) -> float:
        """Of all cases that they stand for (Hájek 1971)."""
        return self.total / self.weight if self.weight else 0.0


class LogHistogram(Sketch):
    """Quantiles of positive values, each known to within half a per cent of itself.

    DDSketch (Masson, Rim and Lee 2019, "DDSketch: a fast and fully-mergeable quantile sketch with
    relative-error guarantees", VLDB 12): bucket i counts the values in [LOWEST g^i, LOWEST g^(i+1))
    with g = (1 + a) / (1 - a). A bucket is told by the mean of its values, which is exact where
    they are equal.
    """

    RELATIVE_ERROR = 0.005
    LOWEST, HIGHEST = 1e-3, 1e9
    """What lies outside is counted in the bucket at that end."""

    def __init__(self) -> None:
        import numpy as np

        self._log_base = math.log((1 + self.RELATIVE_ERROR) / (1 - self.RELATIVE_ERROR))
        size = math.ceil(math.log(self.HIGHEST / self.LOWEST) / self._log_base)
        self.counts: Integers = np.zeros(size, dtype=np.int64)
        self.totals: Floats = np.zeros(size)

    def add(self, values: Floats) -> None:
        """Take in values (n,)."""
        import numpy as np

        at = np.log(np.clip(values, self.LOWEST, self.HIGHEST) / self.LOWEST) / self._log_base
        bucket = np.minimum(at.astype(np.int64), len(self.counts) - 1)  # (n,)
        self.counts += np.bincount(bucket, minlength=len(self.counts))
        self.totals += np.bincount(bucket, weights=values, minlength=len(self.counts))

    def merge(self, other: Self) -> None:
        self.counts += other.counts
        self.totals += other.totals

    def quantile(self, q: float) -> Figure | None:
        """The `q` quantile with the interval between order statistics, as `intervals.quantile`."""
        import numpy as np

        n = int(self.counts.sum())
        if n == 0:
            return None
        until = np.cumsum(self.counts)

        def ranked(rank: int) -> float:
            bucket = int(np.searchsorted(until, rank, side="right"))
            return float(self.totals[bucket] / self.counts[bucket])

        def at_level(level: float) -> tuple[float, float]:
            first, _, last = intervals.quantile_ranks(n, q, confidence=1 - 2 * level)
            return ranked(first), ranked(last)

        low, at, high = intervals.quantile_ranks(n, q)
        return Estimate(value=ranked(at), low=ranked(low), high=ranked(high), n=n, at=at_level)


class Vocabulary(Sketch):
    """How varied words are: of how many equally frequent words would answers share as many.

    1 / D, where D is the chance that two words, each drawn from the different words of one of two
    different answers, are the same: (sum of c^2 - N) / (N^2 - sum of m^2), with c answers that have
    a word, m different words in an answer and N = sum of m (Simpson 1949, Nature 163; as a number
    of words: Hill 1973, Ecology 54). Unlike a type-token ratio it does not depend on how much text
    there is. Words are counted in `BUCKETS` buckets by hash, so more than a tenth of `BUCKETS` is
    told too low. The interval is that of a delete-a-group jackknife over random groups of answers
    (Kott 2001, Journal of Official Statistics 17).
    """

    BUCKETS, GROUPS = 16_384, 16

    def __init__(self) -> None:
        import numpy as np

        self.counts: Integers = np.zeros((self.GROUPS, self.BUCKETS), dtype=np.int64)
        """Answers of the group that have a word of the bucket."""
        self.answers: Integers = np.zeros(self.GROUPS, dtype=np.int64)
        """Answers with a word."""
        self.squares: Integers = np.zeros(self.GROUPS, dtype=np.int64)
        """Their squared numbers of different words, added up."""

    def add(self, texts: pl.DataFrame) -> None:
        """Take in texts: id, response."""
        import numpy as np
        import polars as pl

        met = texts.select(
            (pl.col("id").hash() % self.GROUPS).cast(pl.Int64).alias("group"),
            _words_of(texts["response"].str.to_lowercase()).list.unique().alias("word"),
        ).filter(pl.col("word").list.len() > 0)
        group, length = met["group"].to_numpy(), met["word"].list.len().to_numpy()
        self.answers += np.bincount(group, minlength=self.GROUPS)
        squares = np.bincount(group, weights=length.astype(float) ** 2, minlength=self.GROUPS)
        self.squares += squares.astype(np.int64)
        bucket = (pl.col("word").hash() % self.BUCKETS).cast(pl.Int64)
        cell = met.explode("word").select(pl.col("group") * self.BUCKETS + bucket).to_series()
        counted = np.bincount(cell.to_numpy(), minlength=self.counts.size)
        self.counts += counted.reshape(self.counts.shape)

    def merge(self, other: Self) -> None:
        self.counts += other.counts
        self.answers += other.answers
        self.squares += other.squares

    @property
    def figure(self) -> Figure | None:
        """Words, with the jackknife's interval; None where no two answers share a word."""
        import numpy as np

        counts, squares = self.counts.sum(axis=0), self.squares.sum()
        whole = _effective_words(counts, squares)
        without = [
            _effective_words(counts - self.counts[group], squares - self.squares[group])
            for group in range(self.GROUPS)
        ]
        known = np.array([value for value in without if value is not None])
        if whole is None or len(known) < self.GROUPS:
            return None
        error = math.sqrt((self.GROUPS - 1) / self.GROUPS * float(((known - whole) ** 2).sum()))

        def at_level(level: float) -> tuple[float, float]:
            half = student(level, self.GROUPS - 1) * error
            return whole - half, whole + half

        low, high = at_level((1 - intervals.CONFIDENCE) / 2)
        n = int(self.answers.sum())
        return Estimate(value=whole, low=low, high=high, n=n, at=at_level)


def _words_of(responses: pl.Series) -> pl.Series:
    """The words of each as `sameness.words` has them, which it asks for scripts without spaces."""
    import polars as pl

    unspaced = responses.str.contains(UNSPACED).fill_null(False)
    by_hand = [_BETWEEN.join(words(response)) for response in responses.filter(unspaced)]
    found = pl.when(pl.lit(unspaced)).then(pl.col("text").str.split(_BETWEEN))
    return (
        pl.DataFrame({"text": responses.scatter(unspaced.arg_true(), by_hand)})
        .select(found.otherwise(pl.col("text").str.extract_all(SPACED_WORD)).alias("word"))
        .to_series()
    )


def _effective_words(counts: Integers, squares: int) -> float | None:
    total = float(counts.sum())
    shared = float((counts.astype(float) ** 2).sum()) - total
    return (total**2 - float(squares)) / shared if shared > 0 else None


class Sample(Sketch):
    """At most `most` rows, chosen by the hash of their id: the same ids whichever table has them.

    The rows with the smallest hashes of all are a simple random sample without replacement
    (bottom-k: Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches", PODC).
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen = 0
        """Rows that it was chosen from."""
        self._rows: pl.DataFrame | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Take in rows that have an `id`."""
        import polars as pl

        self.seen += rows.height
        self._keep(rows.with_columns(pl.col("id").hash().alias("priority")))

    def merge(self, other: Self) -> None:
        self.seen += other.seen
        if other._rows is not None:
            self._keep(other._rows)

    def _keep(self, rows: pl.DataFrame) -> None:
        import polars as pl

        if self._rows is not None:
            if self._rows.height == self.most:
                rows = rows.filter(pl.col("priority") < self._rows["priority"][-1])
            rows = pl.concat([self._rows, rows])
        # Gathered, not cut off a sorted frame: that would keep all of its rows in memory.
        self._rows = rows[rows["priority"].arg_sort().head(self.most)]

    @property
    def rows(self) -> pl.DataFrame | None:
        """The rows, in order of their ids; None where there are none."""
        return None if self._rows is None else self._rows.drop("priority").sort("id")


@dataclass(kw_only=True)
class Counts(Sketch):
    """How often each of a few names was met."""

    of: Counter[str] = field(default_factory=Counter)

    def add(self, counts: Mapping[str, int]) -> None:
        """Count these too."""
        self.of.update(counts)

    def merge(self, other: Self) -> None:
        self.of.update(other.of)


@dataclass(kw_only=True)
class Examples(Sketch):
    """The first few things to show people, in the order of their interactions' ids."""

    most: int = 5
    texts: dict[str, str] = field(default_factory=dict)
    """Interaction → text."""

    def add(self, texts: Mapping[str, str]) -> None:
        """Take in more of them."""
        both = self.texts | dict(texts)
        self.texts = {identity: both[identity] for identity in sorted(both)[: self.most]}

    def merge(self, other: Self) -> None:
        self.add(other.texts)
