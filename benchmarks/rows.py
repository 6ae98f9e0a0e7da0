"""Rows for the training benchmark, in the row format of a dataset version.

From CLINC150's 15 banking intents and out-of-scope messages where `../shared/data` exists.
"""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

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
    return [_row(system, text, intent) for text, intent in chosen]


def _row(system: str, text: str, intent: str) -> dict[str, object]:
    content = {
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": text}],
        "completion": json.dumps({"intent": intent}),
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {"id": digest[:16], **content}
