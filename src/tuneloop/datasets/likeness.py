"""Which inputs are alike: the measure behind duplicates, groups and leaks.

Candidates come from MinHash over 4-character shingles (Broder 1997; `datasketch`), and every one is
checked with the normalised Indel similarity (`rapidfuzz.fuzz.ratio`), so that chance collisions
cost time and nothing else. How it was chosen: docs/experiments.md, "Near-duplicates".
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tuneloop.errors import require

LONG_TEXT_CHARACTERS = 200
LONG_TEXT_ALLOWANCE = 0.1
"""One changed word weighs less in a long text, so there a lower similarity says as much."""
_SHINGLE_CHARACTERS = 4
_PERMUTATIONS = 128
_BANDS = (42, 3)
"""Bands × rows: finds 98 % of pairs at 0.8 and all measured ones at 0.9."""
_MAX_CANDIDATES = 1_000
_MAX_ALIKE = 64
"""Per text. Real duplicates come in small families; beyond this a template is at work."""
_TEMPLATE_SHARE = 0.05
_TEMPLATE_MINIMUM = 25
_FRAME_SHARE = 0.8
_FRAME_CHARACTERS = 20


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """Rows by text, and texts that are alike."""

    text_of: tuple[int, ...]
    """Row → number of its text."""
    rows_of: tuple[tuple[int, ...], ...]
    """Text → its rows, in order."""
    alike: tuple[dict[int, float], ...]
    """Text → texts alike to it, with the similarity in 0..1; both ways."""
    templates: tuple[tuple[int, ...], ...]
    """Families of texts, too large to be duplicates, that share a template. Only equal texts count
    as alike there."""

    def neighbours(self, row: int) -> Iterator[tuple[int, float]]:
        """Other rows with the same or a like text, with their similarity."""
        own = self.text_of[row]
        for other in self.rows_of[own]:
            if other != row:
                yield other, 1.0
        for text, similarity in self.alike[own].items():
            for other in self.rows_of[text]:
                yield other, similarity


def compare(texts: Sequence[str], *, similarity: float, reference: int | None = None) -> Likeness:
    """Find like texts among `texts`, which are in normal form.

    The frame that most of the first `reference` texts (default: all) begin or end with, such as an
    instruction repeated in every prompt, is not compared.
    """
    bare = _without_frame(texts, texts[:reference])
    numbers: dict[str, int] = {}
    text_of = tuple(numbers.setdefault(text, len(numbers)) for text in bare)
    rows_of: list[list[int]] = [[] for _ in numbers]
    for row, text in enumerate(text_of):
        rows_of[text].append(row)
    alike = _alike(list(numbers), similarity)
    templates = _dissolve_templates(alike)
    return Likeness(
        text_of=text_of,
        rows_of=tuple(map(tuple, rows_of)),
        alike=tuple(alike),
        templates=templates,
    )


def is_alike(first: str, second: str, similarity: float) -> float:
    """The similarity of two texts if it reaches what their length asks for, else 0."""
    from rapidfuzz import fuzz

    if min(len(first), len(second)) >= LONG_TEXT_CHARACTERS:
        similarity = max(0.0, similarity - LONG_TEXT_ALLOWANCE)
    return fuzz.ratio(first, second, score_cutoff=similarity * 100) / 100


def _alike(texts: list[str], similarity: float) -> list[dict[int, float]]:
    alike: list[dict[int, float]] = [{} for _ in texts]
    if len(texts) < 2 or similarity >= 1.0:
        return alike
    for number, candidates in _candidates(texts):
        for other in candidates:
            share = is_alike(texts[number], texts[other], similarity)
            if share:
                alike[number][other] = alike[other][number] = share
                if len(alike[number]) >= _MAX_ALIKE:
                    break
    return alike


def _candidates(texts: list[str]) -> Iterator[tuple[int, list[int]]]:
    """Each text's number with those of earlier texts that share a band, lowest first."""
    datasketch = require("datasketch", extra="data")
    signatures = datasketch.MinHash.bulk(
        [_shingles(text) for text in texts], num_perm=_PERMUTATIONS
    )
    bands, size = _BANDS
    buckets: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)
    for number, signature in enumerate(signatures):
        values = signature.hashvalues
        keys = [
            (band, values[start:end].tobytes())
            for band, (start, end) in enumerate(pairwise(range(0, bands * size + 1, size)))
        ]
        candidates: set[int] = set()
        for key in keys:
            candidates.update(buckets[key][: _MAX_CANDIDATES - len(candidates)])
            buckets[key].append(number)
        yield number, sorted(candidates)


def _shingles(text: str) -> list[bytes]:
    count = max(1, len(text) - _SHINGLE_CHARACTERS + 1)
    return [piece.encode() for piece in {text[i : i + _SHINGLE_CHARACTERS] for i in range(count)}]


def _dissolve_templates(alike: list[dict[int, float]]) -> tuple[tuple[int, ...], ...]:
    """Cut the families that are too large, in place, and return them."""
    limit = max(_TEMPLATE_MINIMUM, _TEMPLATE_SHARE * len(alike))
    templates = [family for family in _families(alike) if len(family) > limit]
    for family in templates:
        for text in family:
            alike[text] = {}
    return tuple(templates)


def _families(alike: list[dict[int, float]]) -> Iterator[tuple[int, ...]]:
    """Connected components with more than one text, members in ascending order."""
    seen: set[int] = set()
    for start in range(len(alike)):
        if start in seen or not alike[start]:
            continue
        family, waiting = {start}, [start]
        while waiting:
            for other in alike[waiting.pop()]:
                if other not in family:
                    family.add(other)
                    waiting.append(other)
        seen |= family
        yield tuple(sorted(family))


def _without_frame(texts: Sequence[str], reference: Sequence[str]) -> list[str]:
    head = _common_head(reference)
    tail = _common_head([text[::-1] for text in reference])[::-1]
    bare = []
    for text in texts:
        if head and text.startswith(head):
            text = text[len(head) :]
        if tail and text.endswith(tail):
            text = text[: -len(tail)]
        bare.append(text.strip())
    return bare


def _common_head(texts: Sequence[str]) -> str:
    """What most texts begin with, up to a word's end; empty where it is short.

    Texts that share a beginning stand together when sorted, so a beginning shared by most is one of
    the middle text's.
    """
    if len(texts) < _TEMPLATE_MINIMUM:
        return ""
    ordered = sorted(texts)
    middle, needed = ordered[len(ordered) // 2], _FRAME_SHARE * len(ordered)
    low, high = 0, len(middle)
    while low < high:
        size = (low + high + 1) // 2
        if sum(text.startswith(middle[:size]) for text in ordered) >= needed:
            low = size
        else:
            high = size - 1
    head = middle[:low]
    head = head[: head.rfind(" ") + 1]
    return head if len(head) >= _FRAME_CHARACTERS else ""
