"""Pairs of texts that may be alike, among millions: MinHash with banding, in whole arrays.

A text counts as the set of its 3-character shingles. The smallest values of many hash functions
over it are its signature (Broder 1997, "On the resemblance and containment of documents"), of which
8 bits each are kept (Li and König 2010, "b-Bit Minwise Hashing"): two texts agree in a place as
often as they share shingles. A band is some places; texts that agree in a whole band are
candidates. The more places in a band, the fewer texts agree by chance, so the number follows from
how many texts there are and how much they have in common anyway.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_CANDIDATES_OF_BAND = 3
_CANDIDATES_OF_BAND_OF_FEW = (32, 2_000_000)
"""Per text, what one band may give: of few texts more, up to so many in all."""
_SHINGLE_CHARACTERS = 3
_PLACES = 128
_BANDS = 256
_DEPTHS = range(3, 17)
_CHANCE_CANDIDATES = 24
_CHANCE_CANDIDATES_OF_FEW = 2_000_000
"""Per text, and in all where that is more: bands are deeper where chance would give more."""
_HALF_FOUND = 7.0
"""Pairs with half of their shingles in common are missed with probability exp(-7), where `_BANDS`
suffice for that."""
_SAMPLED_PAIRS = 100_000
_BATCH_CHARACTERS = 100_000
_CHECKED_TOGETHER = 4_096
"""So many that the work stays in a processor's cache."""
_BANDS_AT_ONCE = 4
_BITS = 32
_FIRST_OF_EACH = 64
"""With so many of the first texts that agree in a band all others are compared."""


@dataclass(frozen=True, kw_only=True)
class Signatures:
    """What is kept of each text, laid out for both ways of looking at it."""

    of_text: npt.NDArray[np.uint8]
    """texts × places"""
    of_place: npt.NDArray[np.uint8]
    """places × texts"""

    def __len__(self) -> int:
        """How many texts."""
        return len(self.of_text)


def signatures(texts: Sequence[str]) -> Signatures:
    """The signature of every text."""
    import numpy as np

    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ordered = np.argsort(-lengths, kind="stable")
    of_place = np.empty((_PLACES, len(texts)), np.uint8)
    random = np.random.default_rng(0)
    factors = random.integers(0, 2**31, _PLACES, dtype=np.uint32) * 2 + 1
    shifts = random.integers(0, 2**32, _PLACES, dtype=np.uint32)
    start = 0
    while start < len(texts):
        count = max(1, _BATCH_CHARACTERS // max(1, int(lengths[ordered[start]])))
        # The longest come first: every other text of the batch is padded to its length.
        batch = ordered[start : start + count]
        start += count
        hashes = _shingles([texts[index] for index in batch.tolist()])
        shuffled = np.empty_like(hashes)
        for place in range(_PLACES):
            # One hash function after the other: x → a·x + b modulo 2^32.
            np.multiply(hashes, factors[place], out=shuffled)
            np.add(shuffled, shifts[place], out=shuffled)
            of_place[place, batch] = (shuffled.min(axis=0) >> 8).astype(np.uint8)
    return Signatures(of_text=np.ascontiguousarray(of_place.T), of_place=of_place)


def _shingles(texts: list[str]) -> npt.NDArray[np.uint32]:
    """Shingles × texts: a hash each; a text with fewer shingles than others repeats its first.

    Those at a text's ends hang over: else a short text with a changed letter would have hardly any
    shingle left.
    """
    import numpy as np

    over = _SHINGLE_CHARACTERS - 1
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    width = int(lengths.max()) + over
    points = np.zeros((len(texts), width + over), np.uint32)
    flat = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    places = np.arange(width + over)
    points[(places >= over) & (places < lengths[:, None] + over)] = flat
    columns = np.ascontiguousarray(points.T).astype(np.uint64)
    hashes = columns[:width].copy()
    for offset in range(1, _SHINGLE_CHARACTERS):
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += columns[offset : width + offset]
    # The finaliser of splitmix64 (Steele et al. 2014), cut short.
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    beyond = np.arange(width)[:, None] >= lengths + over
    return np.where(beyond, hashes[0], hashes).astype(np.uint32)


@dataclass(frozen=True, kw_only=True)
class Band:
    """What one band gives."""

    number: int
    """From 1."""
    of: int
    """Bands in all."""
    pairs: Numbers
    """Texts that agree in it, see `pair`; those that agree in other bands too are in theirs."""


def pair(first: Numbers, second: Numbers) -> Numbers:
    """Pairs as one number each: `later << 32 | earlier`."""
    return (second << _BITS) | first


def earlier(pairs: Numbers) -> Numbers:
    """The text of each pair with the lower number."""
    return pairs & ((1 << _BITS) - 1)


def later(pairs: Numbers) -> Numbers:
    """The text of each pair with the higher number."""
    return pairs >> _BITS


def candidates(found: Signatures, full: Flags) -> Iterator[Band]:
    """Pairs of texts that agree in a band, band by band.

    A text marked in `full`, which the caller may change between bands, gets no more earlier ones.
    """
    import numpy as np

    depth = _depth(found)
    of_few, in_all = _CANDIDATES_OF_BAND_OF_FEW
    bands = min(_BANDS, int(np.ceil(_HALF_FOUND * 2**depth)))
    at_most = max(_CANDIDATES_OF_BAND * len(found), min(of_few * len(found), in_all))
    random = np.random.default_rng(1)
    places = [random.choice(_PLACES, depth, replace=False) for _ in range(bands)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
        # So many at once, however many processors there are: the result must not depend on them.
        for start in range(0, bands, _BANDS_AT_ONCE):
            together = places[start : start + _BANDS_AT_ONCE]
            found_in = threads.map(lambda band: _agreeing(found, band, full, at_most), together)
            for number, pairs in enumerate(list(found_in), start + 1):
                yield Band(number=number, of=bands, pairs=pairs)


def plausible(found: Signatures, pairs: Numbers, similarity: float) -> Flags:
    """Whether so many places agree as do in texts with that Indel similarity.

    Expected is what evenly spread changes of letters would leave, of which each touches 3 shingles,
    less four standard deviations. Short texts may have less in common, above all where few changes
    are allowed: the bound stops rising at 0.9.
    """
    import numpy as np

    touched = min(1.0, _SHINGLE_CHARACTERS * max(0.1, 1 - similarity))
    share = (1 - touched) / (1 + touched)
    needed = _PLACES * (share - 4 * float(np.sqrt(share * (1 - share) / _PLACES)))
    enough = np.ones(len(pairs), np.bool_)
    if needed <= 0:
        return enough
    for start in range(0, len(pairs), _CHECKED_TOGETHER):
        batch = pairs[start : start + _CHECKED_TOGETHER]
        agree = found.of_text[earlier(batch)] == found.of_text[later(batch)]
        # Eight places at once: no byte of a sum passes 16, and the product adds the eight bytes up.
        sums = agree.view(np.uint64).sum(axis=1, dtype=np.uint64)
        counts = (sums * np.uint64(0x0101010101010101)) >> np.uint64(56)
        enough[start : start + len(batch)] = counts >= needed
    return enough


def _depth(found: Signatures) -> int:
    """Places in a band: the fewest with which chance gives no more than the usual candidates."""
    import numpy as np

    texts = len(found)
    random = np.random.default_rng(2)
    first, second = random.integers(0, texts, (2, _SAMPLED_PAIRS))
    agreed = np.zeros(_SAMPLED_PAIRS, np.int64)
    for place in found.of_place:
        agreed += place[first] == place[second]
    # Pairs with more than half in common are what is looked for, not chance.
    agreed = agreed[(first != second) & (agreed < _PLACES // 2)]
    affordable = max(_CHANCE_CANDIDATES * texts, _CHANCE_CANDIDATES_OF_FEW)
    chance = np.ones(len(agreed))
    for taken in range(_DEPTHS[-1]):
        chance *= np.maximum(0, agreed - taken) / (_PLACES - taken)
        expected = chance.sum() / _SAMPLED_PAIRS * _BANDS * texts * texts / 2
        if taken + 1 in _DEPTHS and expected <= affordable:
            return taken + 1
    return _DEPTHS[-1]


def _agreeing(found: Signatures, places: Numbers, full: Flags, at_most: int) -> Numbers:
    """Pairs that agree in those places; the first texts of a large family stand for it."""
    import numpy as np

    texts = len(found)
    digits = np.uint64(texts.bit_length())
    keys = np.zeros(texts, np.uint64)
    for place in places:
        keys *= np.uint64(0x9E3779B97F4A7C15)
        keys += found.of_place[place]
        keys ^= keys >> np.uint64(32)
    # Sorted by key, and by number where keys are equal; chance collisions cost a comparison.
    keys = np.sort((keys << digits) | np.arange(texts, dtype=np.uint64))
    numbers = (keys & ((np.uint64(1) << digits) - np.uint64(1))).astype(np.int64)
    keys >>= digits
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    sizes = np.diff(np.append(starts, texts))
    starts, sizes = starts[sizes > 1], sizes[sizes > 1]
    ranks = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    origins = np.repeat(starts, sizes)
    may = (ranks > 0) & ~full[numbers[origins + ranks]]
    ranks, origins = ranks[may], origins[may]
    pairs = [np.empty(0, np.int64)]
    for rank in range(_FIRST_OF_EACH):
        if rank and len(ranks) > at_most:
            break
        at_most -= len(ranks)
        pairs.append(pair(numbers[origins + rank], numbers[origins + ranks]))
        after = ranks > rank + 1
        ranks, origins = ranks[after], origins[after]
        if not len(ranks):
            break
    return np.concatenate(pairs)
