"""What a stream of prompts is summed up in: fixed memory for each day, and two sums make one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Self

from tuneloop.errors import DataError
from tuneloop.monitoring.drift.reference import DriftReference
from tuneloop.monitoring.sketches import Sample, Sketch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

    Vectors = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

SAMPLE_ROWS = 2_000
"""Prompts that are kept for words and examples: of each day, and of all days."""
TEXT_CHARACTERS = 1_000
"""A sampled prompt is cut to so many."""
_CHUNK_ROWS = 8_192


@dataclass(kw_only=True)
class DaySums(Sketch):
    """The sums of one day's prompts."""

    total: Floats
    """(d,): sum of the vectors."""
    topics: Integers
    """(k,): prompts nearest to each topic."""
    bins: Integers
    """(bins,): prompts in each bin of familiarity."""
    n: int = 0
    """Prompts with a vector."""
    without_vector: int = 0
    """Prompts without any token that the embedder knows; they are left out of all the rest."""

    def merge(self, other: Self) -> None:
        self.n += other.n
        self.without_vector += other.without_vector
        self.total += other.total
        self.topics += other.topics
        self.bins += other.bins


class DriftSketch(Sketch):
    """The prompts of a window against a reference, by the day.

    Memory does not depend on how many prompts there were: some arrays and a sample a day.
    """

    def __init__(self, reference: DriftReference) -> None:
        self.reference = reference
        self.days: dict[date, DaySums] = {}
        self.samples: dict[date, Sample] = {}
        """Of each day: id, text, vector."""

    def add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, *, day: date) -> None:
        """Take in prompts of one day: ids (n), texts (n), vectors (n, d) of length 1 or 0.

        Raises:
            DataError: the vectors are not of the reference's dimension.
        """
        d = len(self.reference.topics.mean)
        if vectors.ndim != 2 or vectors.shape[1] != d:
            raise DataError(
                f"Expected vectors of {d} dimensions as the reference has, found the shape "
                f"{vectors.shape}.",
                remedy="Compare with a reference of the same embedder.",
            )
        for start in range(0, len(ids), _CHUNK_ROWS):
            end = start + _CHUNK_ROWS
            self._add(ids[start:end], texts[start:end], vectors[start:end], day)

    def _add(self, ids: Sequence[str], texts: Sequence[str], vectors: Vectors, day: date) -> None:
        import numpy as np
        import polars as pl

        usable = np.asarray(vectors.any(axis=1))
        frame = pl.DataFrame(
            {
                "id": pl.Series(ids, dtype=pl.String),
                "text": pl.Series(texts, dtype=pl.String).str.slice(0, TEXT_CHARACTERS),
                "vector": pl.Series(
                    np.ascontiguousarray(vectors, dtype=np.float32),
                    dtype=pl.Array(pl.Float32, vectors.shape[1]),
                ),
            }
        ).filter(pl.Series(usable))
        sample = Sample(SAMPLE_ROWS)
        sample.add(frame)
        self._take(day, self._sums(vectors, usable), sample)

    def _sums(self, vectors: Vectors, usable: npt.NDArray[np.bool_]) -> DaySums:
        import numpy as np

        topics, known = self.reference.topics, self.reference.familiarity
        kept = vectors[usable]
        nearest, cosines = topics.assign(kept)
        return DaySums(
            n=len(kept),
            without_vector=len(vectors) - len(kept),
            total=kept.sum(axis=0, dtype=np.float64),
            topics=np.bincount(nearest, minlength=len(topics.counts)),
            bins=np.bincount(known.bins(cosines), minlength=len(known.own)),
        )

    def merge(self, other: Self) -> None:
        """Take in what another sketch of the same reference saw; see `Sketch`.

        Raises:
            DataError: the other one is of another embedder's reference.
        """
        if other.reference.embedder != self.reference.embedder:
            raise DataError(
                f"Expected a sketch of {self.reference.embedder}, found one of "
                f"{other.reference.embedder}."
            )
        for day, sums in other.days.items():
            self._take(day, sums, other.samples[day])

    def _take(self, day: date, sums: DaySums, sample: Sample) -> None:
        self.days.setdefault(day, self._none()).merge(sums)
        self.samples.setdefault(day, Sample(SAMPLE_ROWS)).merge(sample)

    def _none(self) -> DaySums:
        import numpy as np

        topics, known = self.reference.topics, self.reference.familiarity
        return DaySums(
            total=np.zeros(len(topics.mean)),
            topics=np.zeros(len(topics.counts), dtype=np.int64),
            bins=np.zeros(len(known.own), dtype=np.int64),
        )

    def window(self, first: date, last: date) -> DriftSketch:
        """The days from `first` to `last`, both included: a rolling window is a merge of days."""
        part = DriftSketch(self.reference)
        for day in sorted(self.days):
            if first <= day <= last:
                part.days[day] = self.days[day]
                part.samples[day] = self.samples[day]
        return part

    def whole(self) -> DaySums:
        """The sums of all days."""
        sums = self._none()
        for day in self.days.values():
            sums.merge(day)
        return sums

    def sample(self) -> pl.DataFrame | None:
        """At most `SAMPLE_ROWS` random prompts of all days: id, text, vector; None: no prompt."""
        chosen = Sample(SAMPLE_ROWS)
        for sample in self.samples.values():
            chosen.merge(sample)
        return chosen.rows
