"""Rows to train a tiny model on, for the tests of stage 2."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tuneloop.conversation import Message
from tuneloop.training.rows import Row, TokenRow, tokenise

SYSTEM = "You sort messages to the support desk of a small company. Answer with one JSON object."
INTENTS = ("refund", "delivery", "printer", "out_of_scope")
WORDS = ("my", "printer", "parcel", "order", "money", "late", "broken", "please", "help", "today")


def make_rows(count: int, *, system: str | None = SYSTEM, seed: int = 0) -> list[Row]:
    generator = random.Random(seed)
    rows = []
    for number in range(count):
        text = " ".join(generator.choices(WORDS, k=generator.randint(2, 14)))
        head = [] if system is None else [Message(role="system", content=system)]
        rows.append(
            Row(
                id=f"{number:016x}",
                messages=(*head, Message(role="user", content=text)),
                completion=json.dumps({"intent": generator.choice(INTENTS)}),
            )
        )
    return rows


def make_token_rows(
    count: int, tokenizer: Any, *, system: str | None = SYSTEM, seed: int = 0
) -> tuple[TokenRow, ...]:
    found = tokenise(
        make_rows(count, system=system, seed=seed),
        tokenizer,
        max_length=2048,
        end_of_turn_ids=frozenset({tokenizer.eos_token_id}),
    )
    return found.rows


def write_rows(path: Path, rows: list[Row]) -> Path:
    lines = [
        json.dumps(
            {"id": r.id, "messages": [m.as_row() for m in r.messages], "completion": r.completion}
        )
        for r in rows
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
