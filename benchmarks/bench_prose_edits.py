"""How well an edit of prose is told from another: edits planted in clinical notes, by kind.

    python benchmarks/bench_prose_edits.py

The notes are 400 of MTS-Dialog (../shared/data/mts_dialog); one in which an edit finds nothing to
change is left out of that edit's count. Each planted edit changes one thing, and most sorts are
those that the rules know, so the figures show that the rules do what they say on real texts, and
what they cannot see; how people's own edits divide into the kinds they do not show.

- form: the case of a word's first letter that begins a sentence, a full stop at the end, a line
  break between sentences, sentences in another order;
- wording: a word in lower case that is no number, negation or unit gets another spelling;
- facts: a digit, a unit, a name within a sentence, a number in words, a negation put in or out;
- what no rule sees, by design: a term in lower case (`left`). It is a fact to a reader; the share
  of them that is told as facts is the recall of the rules there.

`reworded` are dialogues against their translation into French and back, which was to keep what they
say: the share told as facts is an upper bound of false alarms where a third of the words change,
since such a translation does lose a name or a `not` now and then.

`told` is the share of planted edits of a sort that are told as their kind, with Wilson's 95 %
interval. `diff_ms` and `edit_ms` are median milliseconds for two notes. The last line is one JSON
object, also written to benchmarks/results/prose-edits.json where the data is there.
"""

from __future__ import annotations

import csv
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from tuneloop.intervals import share
from tuneloop.prose.changes import EditKind, edit_of, word_diff

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data" / "mts_dialog"
RESULTS = HERE / "results" / "prose-edits.json"
LEAST_WORDS = 15
MOST_NOTES = 400

Plant = Callable[[str, random.Random], str]


def at(pattern: str, by: Callable[[re.Match[str], random.Random], str]) -> Plant:
    """Changes one place, drawn at random, where the pattern stands."""

    def plant(text: str, rng: random.Random) -> str:
        places = list(re.finditer(pattern, text))
        if not places:
            return text
        place = rng.choice(places)
        return text[: place.start()] + by(place, rng) + text[place.end() :]

    return plant


def other_digit(match: re.Match[str], rng: random.Random) -> str:
    return rng.choice([digit for digit in "123456789" if digit != match[0]])


def reordered(text: str, rng: random.Random) -> str:
    sentences = [one for one in re.split(r"(?<=[.!?])\s+", text) if one.strip()]
    rng.shuffle(sentences)
    return " ".join(sentences)


_VERBS = r"\b(?:is|was|has|were|are)\b"
_NUMBERS = r"\b(?:two|three|four|five|six|seven|eight|nine|ten)\b"

PLANTED: Mapping[str, tuple[EditKind, Plant]] = {
    "form: first letter": ("form", at(r"(?<=\. )[A-Z](?=[a-z]+ )", lambda m, r: m[0].lower())),
    "form: last full stop": ("form", lambda text, rng: text.rstrip(". ")),
    "form: line break": ("form", at(r"(?<=\.) +(?=[A-Z])", lambda m, r: "\n\n")),
    "form: order of sentences": ("form", reordered),
    "wording: a word": ("wording", at(r"\b(?:has|was|is|with|and)\b", lambda m, r: "shows")),
    "facts: a digit": ("facts", at(r"\d", other_digit)),
    "facts: a unit": ("facts", at(r"(?<=\d )(?:mg|cm|mm|years|days)\b", lambda m, r: "g")),
    "facts: a name": ("facts", at(r"(?<=[a-z] )[A-Z][a-z]{3,}\b", lambda m, r: "Wellington")),
    "facts: a negation put in": ("facts", at(_VERBS, lambda m, r: f"{m[0]} not")),
    "facts: a negation taken out": ("facts", at(r"\b(?:not|no|No|without) ", lambda m, r: "")),
    "facts: a number in words": ("facts", at(_NUMBERS, lambda m, r: "twelve")),
    "unseen: a term in lower case": ("facts", at(r"\b(?:left|right)\b", lambda m, r: "upper")),
}


def rows() -> list[dict[str, str]]:
    (file,) = DATA.glob("*Augmented*.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def notes() -> list[str]:
    texts = dict.fromkeys(row["section_text"] for row in rows())
    return [text for text in texts if len(text.split()) >= LEAST_WORDS][:MOST_NOTES]


def reworded() -> dict[str, Any]:
    """How dialogues and their translations there and back are told apart."""
    of: dict[str, list[str]] = {}
    for row in rows():
        of.setdefault(row["section_text"], []).append(row["dialogue"])
    pairs = [two for two in of.values() if len(two) == 2][:MOST_NOTES]
    edits = [edit_of(*pair) for pair in pairs]
    facts = share(sum(edit.kind == "facts" for edit in edits), len(edits))
    changed = median(edit.share for edit in edits)
    return {"told_as_facts": facts.as_list(), "median_edit_share": round(changed, 3)}


def told(texts: Sequence[str]) -> dict[str, Any]:
    """Sort of planted edit → how often it was told as its kind, and as which kinds."""
    found: dict[str, Any] = {}
    for name, (kind, plant) in PLANTED.items():
        rng = random.Random(0)
        pairs = [(text, plant(text, rng)) for text in texts]
        kinds = [edit_of(old, new).kind for old, new in pairs if old != new]
        right = share(sum(one == kind for one in kinds), len(kinds))
        found[name] = {
            "told": right.as_list(),
            "as": dict(Counter(kinds)),
        }
    return found


def milliseconds(work: Callable[[str, str], object], pairs: Sequence[tuple[str, str]]) -> float:
    taken = []
    for old, new in pairs:
        began = time.perf_counter()
        work(old, new)
        taken.append((time.perf_counter() - began) * 1_000)
    return round(median(taken), 3)


def main() -> int:
    if not DATA.is_dir():
        print(json.dumps({"skipped": f"there is no {DATA.name}"}))
        return 0
    texts = notes()
    pairs = list(zip(texts, texts[1:] + texts[:1], strict=True))
    result = {
        "notes": len(texts),
        "words_median": median(len(text.split()) for text in texts),
        "edits": told(texts),
        "reworded": reworded(),
        "diff_ms": milliseconds(word_diff, pairs),
        "edit_ms": milliseconds(edit_of, pairs),
    }
    for name, figures in result["edits"].items():
        value, low, high, n = figures["told"]
        print(f"{name:<32} {value:.3f} ({low:.3f}–{high:.3f}), n = {n}  {figures['as']}")
    print(f"reworded: {result['reworded']}")
    RESULTS.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(result, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
