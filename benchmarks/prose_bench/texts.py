"""Public texts of which it is known what belongs together (../shared/data, see its README)."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
TRANSLATED = 1_201
"""Row i of MTS-Dialog and row i + 1,201 are back-translations of each other: their dialogues are,
their notes are the same."""
_TURN = "\n\nAssistant:"


@dataclass(frozen=True, kw_only=True)
class Text:
    """A text with another one that says the same, or answers the same."""

    said: str
    """in the place of an answer"""
    wanted: str
    """in the place of its reference"""
    question: str = ""
    """what both belong to; empty where the set has none"""
    group: str = ""
    """others of one group are harder to tell apart"""


def mts_rows() -> list[dict[str, str]]:
    """The training file of MTS-Dialog."""
    (path,) = (DATA / "mts_dialog").glob("*Augmented*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def translated_dialogues(rows: Sequence[Mapping[str, str]]) -> list[Text]:
    """Dialogues and what two translations made of them."""
    return [
        Text(
            said=rows[at + TRANSLATED]["dialogue"],
            wanted=rows[at]["dialogue"],
            group=rows[at]["section_header"],
        )
        for at in range(TRANSLATED)
    ]


def notes(rows: Sequence[Mapping[str, str]]) -> list[Text]:
    """Dialogues in the place of an answer, and the notes that people wrote of them."""
    return [
        Text(
            said=row["dialogue"],
            wanted=row["section_text"],
            question=row["dialogue"],
            group=row["section_header"],
        )
        for row in rows[:TRANSLATED]
    ]


def rephrased_sums() -> list[Text]:
    """Questions of GSM8K and their rephrasings."""
    folder = DATA / "gsm8k_rephrased"
    first, other = (
        (folder / name).read_text(encoding="utf-8").splitlines()
        for name in ("gsm8k_test.jsonl", "rephrase_gsm8k.jsonl")
    )
    return [
        Text(said=json.loads(said)["text"], wanted=json.loads(wanted)["question"])
        for said, wanted in zip(other, first, strict=True)
    ]


def two_models() -> list[Text]:
    """What two models said to one prompt of XSTest; many of both refuse."""
    answers = []
    for model in ("mistralinstruct", "gpt4"):
        path = DATA / "xstest" / f"xstest_v2_completions_{model}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            answers.append([(row["prompt"], row["completion"]) for row in csv.DictReader(file)])
    return [
        Text(said=said, wanted=wanted, question=question)
        for (question, wanted), (_, said) in zip(answers[1], answers[0], strict=True)
        if said.strip()
    ]


def replies() -> list[Text]:
    """Two replies to one conversation of HH-RLHF: `wanted` people chose, `said` they did not."""
    with gzip.open(DATA / "hh_rlhf" / "test.jsonl.gz", "rt", encoding="utf-8") as file:
        pairs = [json.loads(line) for line in file]
    found = []
    for pair in pairs:
        question, _, chosen = pair["chosen"].rpartition(_TURN)
        other, _, rejected = pair["rejected"].rpartition(_TURN)
        if question == other and chosen.strip() and rejected.strip():
            last = question.rpartition("\n\nHuman:")[2].strip()
            found.append(Text(said=rejected.strip(), wanted=chosen.strip(), question=last))
    return found
