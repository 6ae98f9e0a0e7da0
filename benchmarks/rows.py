"""Rows for the training benchmark, in the row format of a dataset version.

Short ones from CLINC150's 15 banking intents and out-of-scope messages where `../shared/data`
exists, else from the support desk example; long ones from the dialogues and notes of MTS-Dialog.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
from pathlib import Path

import yaml

OUT_OF_SCOPE = "out_of_scope"


def clinc_banking_rows(
    folder: Path,
    *,
    split: str = "train",
    per_intent: int = 20,
    out_of_scope: int = 40,
    seed: int = 0,
) -> list[dict[str, object]]:
    """Messages to a bank with their intent as JSON, shuffled; `folder` is clinc150."""
    data = json.loads((folder / "data_small.json").read_text(encoding="utf-8"))
    domains = json.loads((folder / "domains.json").read_text(encoding="utf-8"))
    intents = [name.replace(" ", "_").lower() for name in domains["banking"]]
    system = (
        "You route messages to a bank. Answer with one JSON object that holds the intent of the "
        f"message, one of: {', '.join(sorted(intents))}. If the message fits none of them, the "
        f"intent is {OUT_OF_SCOPE}."
    )
    generator = random.Random(seed)
    chosen: list[tuple[str, str]] = []
    for intent in sorted(intents):
        texts = [text for text, name in data[split] if name == intent]
        chosen += [(text, intent) for text in generator.sample(texts, min(per_intent, len(texts)))]
    outside = [text for text, _ in data[f"oos_{split}"]]
    picked = generator.sample(outside, min(out_of_scope, len(outside)))
    chosen += [(text, OUT_OF_SCOPE) for text in picked]
    generator.shuffle(chosen)
    return [_row(system, text, json.dumps({"intent": intent})) for text, intent in chosen]


def support_desk_rows(folder: Path, *, seed: int = 0) -> list[dict[str, object]]:
    """The usable rows of the example's first month, shuffled; broken ones are passed over."""
    system = yaml.safe_load((folder / "tuneloop.yaml").read_text(encoding="utf-8"))["task"][
        "system"
    ]
    chosen = []
    for line in (
        (folder / "month-1.jsonl").read_text(encoding="utf-8", errors="replace").split("\n")
    ):
        try:
            user, answer = json.loads(line)["messages"]
            json.loads(answer["content"])
        except (ValueError, KeyError, TypeError):
            continue
        chosen.append(_row(system, user["content"], answer["content"]))
    random.Random(seed).shuffle(chosen)
    return chosen


def mts_dialog_rows(
    folder: Path, *, characters: tuple[int, int], seed: int = 0
) -> list[dict[str, object]]:
    """Doctor-patient dialogues with their notes, shuffled; `folder` is mts_dialog.

    Of the 1,201 originals (the rest are their back-translations) those whose dialogue and note
    together have so many characters, from and up to.
    """
    (path,) = folder.glob("*Augmented*.csv")
    with path.open(encoding="utf-8", newline="") as file:
        originals = list(csv.DictReader(file))[:1201]
    system = (
        "You write the note of a conversation between a doctor and a patient. Write what was said "
        "and nothing else."
    )
    least, most = characters
    chosen = [
        (row["dialogue"].strip(), row["section_text"].strip())
        for row in originals
        if least <= len(row["dialogue"]) + len(row["section_text"]) <= most
    ]
    random.Random(seed).shuffle(chosen)
    return [_row(system, dialogue, note) for dialogue, note in chosen if dialogue and note]


def _row(system: str, text: str, completion: str) -> dict[str, object]:
    content = {
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": text}],
        "completion": completion,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {"id": digest[:16], **content}
