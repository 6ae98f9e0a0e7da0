"""What somebody changed in a text: which words, how much of it, and whether facts were among them.

**Words** are those of `sameness.spans`, with signs: each cluster of a script without spaces is one.

**How much**: the Levenshtein distance of the words (Levenshtein 1966, Soviet Physics Doklady 10)
over the number of words of the longer text, as RapidFuzz computes it: 0 where no word changed, 1
where none was kept. Signs do not count.

**The kind of an edit**, the first that fits:

| kind | what changed |
|---|---|
| `form` | no more than case, punctuation and white space, or the order of sentences |
| `facts` | a fact was added, removed or replaced; or, with the same words, facts changed places |
| `form` | the order of the words alone, or spaces within them |
| `wording` | words, and none of the facts |

Facts are what `groundedness` looks up (numbers, dates, quantities, names, codes, quotations), and
negations: a fact is gone or new where the other text does not have it, however it is written there.
No rule knows synonyms: another word for the same is `wording`, and so is a wrong word that is no
fact.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from tuneloop.errors import require
from tuneloop.prose.groundedness import Kind, checkable, ungrounded
from tuneloop.prose.negations import negations
from tuneloop.sameness import forgiving, spans, words

NEGATION: Literal["negation"] = "negation"
"""How a negation that came or went is named among the facts."""
_NAMED = 4
EditKind = Literal["form", "wording", "facts"]
SENTENCE_ENDS = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？।])|\n+")
"""White space behind a full stop and the like, where texts are parted into sentences."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Words in a row that were kept, removed or added, with the white space before and in them."""

    how: Literal["same", "removed", "added"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What somebody changed in a text."""

    share: float
    """Of the words, 0 to 1; see the module."""
    kind: EditKind
    removed: tuple[str, ...] = ()
    """Facts that only the earlier text states."""
    added: tuple[str, ...] = ()
    """Facts that only the later one states."""
    moved: tuple[str, ...] = ()
    """Facts that changed places."""

    def as_row(self) -> dict[str, Any]:
        """The edit in JSON form."""
        facts = {"removed": self.removed, "added": self.added, "moved": self.moved}
        return {
            "share": round(self.share, 4),
            "kind": self.kind,
            "facts": {name: list(named) for name, named in facts.items() if named},
        }


@dataclass(frozen=True, kw_only=True)
class Fact:
    """Something that one text states and another does not."""

    kind: Kind | Literal["negation"]
    text: str
    """as it is written there; of a negation its name"""


def facts_only_in(text: str, other: str) -> tuple[Fact, ...]:
    """Facts of a text that the other one does not have, each of them once, in their order."""
    spans = {span.text: span for span in ungrounded(text, [other])}
    facts = [Fact(kind=span.kind, text=span.text) for span in spans.values()]
    denied = negations(text) > negations(other)
    return (*facts, *([Fact(kind=NEGATION, text=NEGATION)] if denied else []))


def named(removed: Sequence[str], added: Sequence[str], moved: Sequence[str] = ()) -> str:
    """`- 20 mg, + 40 mg`: facts of each sort, those beyond the first four as a number."""
    sorts = (("- ", removed), ("+ ", added), ("moved: ", moved))
    told = [f"{sign}{fact}" for sign, facts in sorts for fact in facts[:_NAMED]]
    more = sum(max(0, len(facts) - _NAMED) for _, facts in sorts)
    return ", ".join(told) + (f" and {more} more" if more else "")


def edit_of(before: str, after: str) -> Edit:
    """What the later text changes of the earlier one.

    Raises:
        MissingExtraError: RapidFuzz is not installed.
    """
    share = edit_share(before, after)
    if forgiving(before) == forgiving(after) or _sentences(before) == _sentences(after):
        return Edit(share=share, kind="form")
    removed, added = (
        tuple(fact.text for fact in facts_only_in(one, other))
        for one, other in ((before, after), (after, before))
    )
    if removed or added:
        return Edit(share=share, kind="facts", removed=removed, added=added)
    if _unspaced(before) == _unspaced(after):
        return Edit(share=share, kind="form")
    if Counter(words(forgiving(before))) != Counter(words(forgiving(after))):
        return Edit(share=share, kind="wording")
    moved = [
        fact
        for fact, other in zip(_facts(before), _facts(after), strict=False)
        if forgiving(fact) != forgiving(other)
    ]
    return Edit(share=share, kind="facts" if moved else "form", moved=tuple(dict.fromkeys(moved)))


def edit_share(before: str, after: str) -> float:
    """Share of the words that changed, 0 to 1: see the module.

    Raises:
        MissingExtraError: RapidFuzz is not installed.
    """
    distance = require("rapidfuzz.distance", extra="data")
    return float(distance.Levenshtein.normalized_distance(_words(before), _words(after)))


def word_diff(before: str, after: str) -> tuple[Run, ...]:
    """Both texts as one: what was kept, removed and added, in the order in which one reads.

    Kept and removed runs together are the earlier text, kept and added ones the later, to the last
    character. A few words that were kept between longer changes are shown as changed, since nobody
    can read a text that turns from old to new at every word.

    Raises:
        MissingExtraError: RapidFuzz is not installed.
    """
    indel = require("rapidfuzz.distance", extra="data").Indel
    old, new = _pieces(before), _pieces(after)
    changes = indel.opcodes([word for _, word in old], [word for _, word in new])
    blocks = [
        _Block(
            old=tuple(old[change.src_start : change.src_end]),
            new=tuple(new[change.dest_start : change.dest_end]),
            kept=change.tag == "equal",
        )
        for change in changes
    ]
    return _runs(_readable(_joined(blocks)))


def marked(runs: Iterable[Run]) -> str:
    """The runs as one text: `[-removed-]{+added+}`, as `git diff --word-diff` writes it.

    White space that changed is shown as it is now, without marks.
    """
    return "".join(
        text if how == "same" else f"[-{text}-]" if how == "removed" else f"{{+{text}+}}"
        for how, text in shown(runs)
    )


def shown(runs: Iterable[Run]) -> Iterable[tuple[Literal["same", "removed", "added"], str]]:
    """How each run is to be shown: white space around a change is none itself."""
    for run in runs:
        text = run.text.strip()
        if run.how == "same" or (not text and run.how == "added"):
            yield "same", run.text
        elif text:
            begins = run.text.index(text)
            yield "same", run.text[:begins]
            yield run.how, text
            yield "same", run.text[begins + len(text) :]


_Piece = tuple[str, str]
"""A word or sign with the white space before it."""


@dataclass(frozen=True, kw_only=True)
class _Block:
    old: tuple[_Piece, ...]
    new: tuple[_Piece, ...]
    kept: bool

    @property
    def size(self) -> int:
        """Words of the longer side; signs are none."""
        return max(sum(_is_word(word) for _, word in side) for side in (self.old, self.new))


def _pieces(text: str) -> list[_Piece]:
    """Its words and signs, and at last an empty one behind which nothing stands."""
    found, end = [], 0
    for start, stop in spans(text):
        found.append((text[end:start], text[start:stop]))
        end = stop
    return [*found, (text[end:], "")]


def _words(text: str) -> list[str]:
    """Its words; of a text without one, its signs."""
    every = [text[start:end] for start, end in spans(text)]
    return [word for word in every if _is_word(word)] or every


def _is_word(word: str) -> bool:
    return any(map(str.isalnum, word))


def _joined(blocks: Iterable[_Block]) -> list[_Block]:
    """Neighbours that both were kept, or both were not, are one block."""
    return [
        _Block(
            old=tuple(piece for block in alike for piece in block.old),
            new=tuple(piece for block in alike for piece in block.new),
            kept=kept,
        )
        for kept, group in groupby(blocks, key=lambda block: block.kept)
        for alike in [list(group)]
    ]


def _readable(blocks: Sequence[_Block]) -> Sequence[_Block]:
    """Without kept blocks that have fewer words than the changes on either side.

    As "semantic cleanup" of diff-match-patch does it (N. Fraser, "Diff Strategies", 2006), by
    words and not by characters.
    """
    while True:
        kept = [
            not block.kept
            or not 0 < at < len(blocks) - 1
            or block.size >= min(blocks[at - 1].size, blocks[at + 1].size)
            for at, block in enumerate(blocks)
        ]
        if all(kept):
            return blocks
        blocks = _joined(
            block if stays else _Block(old=block.old, new=block.new, kept=False)
            for block, stays in zip(blocks, kept, strict=True)
        )


def _runs(blocks: Iterable[_Block]) -> tuple[Run, ...]:
    runs: list[Run] = []
    removed = added = ""
    for block in blocks:
        if not block.kept:
            removed += "".join(map("".join, block.old))
            added += "".join(map("".join, block.new))
            continue
        for (old_space, word), (new_space, _) in zip(block.old, block.new, strict=True):
            if removed or added or old_space != new_space:
                both = _common_space(removed + old_space, added + new_space)
                removed, added = removed + old_space, added + new_space
                _add(runs, "same", both[0])
                _add(runs, "removed", removed[len(both[0]) : len(removed) - len(both[1])])
                _add(runs, "added", added[len(both[0]) : len(added) - len(both[1])])
                _add(runs, "same", both[1])
                removed = added = ""
                _add(runs, "same", word)
            else:
                _add(runs, "same", old_space + word)
    return tuple(runs)


def _add(runs: list[Run], how: Literal["same", "removed", "added"], text: str) -> None:
    if not text:
        return
    if runs and runs[-1].how == how:
        runs[-1] = Run(how=how, text=runs[-1].text + text)
    else:
        runs.append(Run(how=how, text=text))


def _common_space(one: str, other: str) -> tuple[str, str]:
    """White space that both begin with, and white space that the rest of both ends with."""
    begins = _alike(one, other)
    one, other = one[len(begins) :], other[len(begins) :]
    return begins, _alike(one[::-1], other[::-1])[::-1]


def _alike(one: str, other: str) -> str:
    size = 0
    for a, b in zip(one, other, strict=False):
        if a != b or not a.isspace():
            break
        size += 1
    return one[:size]


def _sentences(text: str) -> Counter[str]:
    return Counter(filter(None, map(forgiving, SENTENCE_ENDS.split(text))))


def _facts(text: str) -> list[str]:
    return [span.text for span in checkable(text)]


def _unspaced(text: str) -> str:
    return "".join(forgiving(text).split())
