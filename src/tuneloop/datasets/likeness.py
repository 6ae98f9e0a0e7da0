"""Which inputs are alike: the measure behind duplicates, groups and leaks.

Candidates come from MinHash over shingles (`near_pairs`), and every one is checked with the
normalised Indel similarity (`rapidfuzz.fuzz.ratio`), so that chance collisions cost time and
nothing else. How it was chosen: docs/decisions/0025-near-pairs.md.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
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


def compare(
    texts: Sequence[str],
    *,
    similarity: float,
    reference: int | None = None,
    progress: Progress = Silent(),
) -> Likeness:
    """Find like texts among `texts`, which are in normal form.

    The frame that most of the first `reference` texts (default: all) begin or end with, such as an
    instruction repeated in every prompt, is not compared.
    """
    np = require("numpy", extra="data")
    bare = without_frame(texts, texts[:reference])
    first_rows: dict[str, int] = {}
    text_of = array("q", [first_rows.setdefault(text, row) for row, text in enumerate(bare)])
    repeated: dict[int, list[int]] = {}
    for row, text in enumerate(text_of):
        if text != row:
            repeated.setdefault(text, [text]).append(row)
    pairs = find_alike(list(first_rows), similarity, progress)
    pairs, templates = _without_templates(pairs, texts=len(first_rows))
    numbers = array("q", first_rows.values())
    return Likeness(
        text_of=text_of,
        repeated={text: tuple(rows) for text, rows in repeated.items()},
        alike=Alike.of(pairs, np.asarray(numbers), texts=len(bare)),
        templates=tuple(tuple(numbers[text] for text in family) for family in templates),
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
