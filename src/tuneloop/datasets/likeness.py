"""Which inputs are alike: the measure behind duplicates, groups and leaks.

Candidates come from MinHash over shingles (`near_pairs`), and every one is checked with the
normalised Indel similarity (`rapidfuzz.fuzz.ratio`), so that chance collisions cost time and
nothing else. How it was chosen: docs/decisions/0025-near-pairs.md.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuneloop.datasets.alike_pairs import AlikePairs, find_alike
from tuneloop.datasets.frame import without_frame
from tuneloop.errors import require
from tuneloop.progress import Progress, Silent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tuneloop.datasets.near_pairs import Numbers

_TEMPLATE_SHARE = 0.05
_TEMPLATE_MINIMUM = 25


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Rows by text, and texts that are alike. The number of a text is that of its first row."""

    text_of: Sequence[int]
    """Row → number of its text."""
    repeated: Mapping[int, tuple[int, ...]]
    """Text → its rows, in order, where it has more than one."""
    alike: Alike
    """Which texts are alike."""
    templates: tuple[tuple[int, ...], ...]
    """Families of texts, too large to be duplicates, that share a template. Only equal texts count
    as alike there."""
    search: Search
    """What was found before large families were taken for templates."""

    def rows_of(self, text: int) -> tuple[int, ...]:
        """The rows with a text, in order."""
        return self.repeated.get(text, (text,))

    def neighbours(self, row: int) -> Iterator[tuple[int, float]]:
        """Other rows with the same or a like text, with their similarity."""
        own = self.text_of[row]
        for other in self.repeated.get(own, ()):
            if other != row:
                yield other, 1.0
        for text, similarity in self.alike[own].items():
            for other in self.rows_of(text):
                yield other, similarity


@dataclass(frozen=True, kw_only=True)
class Alike:
    """For each text those alike to it, both ways, in arrays: there may be tens of millions."""

    starts: Sequence[int]
    """Text → where its own begin; one entry more than there are texts."""
    others: Numbers
    """Texts, in ascending order for each."""
    similarities: npt.NDArray[np.float64]
    """Of each pair, 0..1."""

    @classmethod
    def of(cls, pairs: AlikePairs, rows: Numbers, *, texts: int) -> Alike:
        """From pairs of numbers n, which stand for the texts `rows[n]`, in ascending order."""
        import numpy as np

        earlier, later = rows[pairs.earlier], rows[pairs.later]
        owners, others = np.concatenate((earlier, later)), np.concatenate((later, earlier))
        order = np.lexsort((others, owners))
        starts = np.zeros(texts + 1, np.int64)
        np.cumsum(np.bincount(owners, minlength=texts), out=starts[1:])
        return cls(
            starts=array("q", starts.tobytes()),
            others=others[order],
            similarities=np.concatenate((pairs.similarities, pairs.similarities))[order],
        )

    def __getitem__(self, text: int) -> dict[int, float]:
        """Texts alike to one, with their similarity."""
        begin, end = self.starts[text], self.starts[text + 1]
        if begin == end:
            return {}
        others, similarities = self.others[begin:end], self.similarities[begin:end]
        return dict(zip(others.tolist(), similarities.tolist(), strict=True))


@dataclass(frozen=True, kw_only=True)
class Search:
    """Pairs of texts that are alike, for whoever compares some of these texts again."""

    similarity: float
    numbers: Mapping[str, int]
    """Text → its number; in order."""
    pairs: AlikePairs

    def among(self, texts: Collection[str], similarity: float) -> AlikePairs | None:
        """The pairs among some of the texts, by their positions; None where one is not known."""
        import numpy as np

        numbers = [self.numbers.get(text) for text in texts]
        if similarity != self.similarity or None in numbers:
            return None
        position = np.full(len(self.numbers), -1)
        position[np.array(numbers, np.int64)] = np.arange(len(numbers))
        return self.pairs.renumbered(position)


def compare(
    texts: Sequence[str],
    *,
    similarity: float,
    reference: int | None = None,
    known: Search | None = None,
    progress: Progress = Silent(),
) -> Likeness:
    """Find like texts among `texts`, which are in normal form.

    The frame that most of the first `reference` texts (default: all) begin or end with, such as an
    instruction repeated in every prompt, is not compared. `known` is a search among more texts,
    which saves another one.
    """
    np = require("numpy", extra="data")
    bare = without_frame(texts, texts[:reference])
    numbers: dict[str, int] = {}
    first_rows = array("q")
    text_of = array("q")
    repeated: dict[int, list[int]] = {}
    for row, text in enumerate(bare):
        number = numbers.setdefault(text, len(first_rows))
        if number == len(first_rows):
            first_rows.append(row)
        else:
            repeated.setdefault(first_rows[number], [first_rows[number]]).append(row)
        text_of.append(first_rows[number])
    pairs = None if known is None else known.among(numbers, similarity)
    if pairs is None:
        pairs = find_alike(list(numbers), similarity, progress)
    search = Search(similarity=similarity, numbers=numbers, pairs=pairs)
    pairs, templates = _without_templates(pairs, texts=len(numbers))
    return Likeness(
        text_of=text_of,
        repeated={text: tuple(rows) for text, rows in repeated.items()},
        alike=Alike.of(pairs, np.asarray(first_rows), texts=len(bare)),
        templates=tuple(tuple(first_rows[text] for text in family) for family in templates),
        search=search,
    )


def _without_templates(
    pairs: AlikePairs, *, texts: int
) -> tuple[AlikePairs, list[tuple[int, ...]]]:
    """The pairs without those of families that are too large, and these families."""
    import numpy as np

    family_of = _families(pairs, texts)
    sizes = np.bincount(family_of, minlength=texts)
    too_large = sizes > max(_TEMPLATE_MINIMUM, _TEMPLATE_SHARE * texts)
    templates = [
        tuple(np.flatnonzero(family_of == family).tolist())
        for family in np.flatnonzero(too_large).tolist()
    ]
    return pairs.where(~too_large[family_of[pairs.earlier]]), templates


def _families(pairs: AlikePairs, texts: int) -> Numbers:
    """Text → the lowest of those that are linked with it, itself included.

    Everybody's lowest takes on the lowest that it is linked with, until none is lower (Shiloach and
    Vishkin 1982).
    """
    import numpy as np

    family_of = np.arange(texts)
    while True:
        first, second = family_of[pairs.earlier], family_of[pairs.later]
        apart = first != second
        if not apart.any():
            return family_of
        low, high = np.minimum(first, second)[apart], np.maximum(first, second)[apart]
        np.minimum.at(family_of, high, low)
        while (family_of != (lower := family_of[family_of])).any():
            family_of = lower
