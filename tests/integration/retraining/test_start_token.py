"""A start token that only the tokenizer adds is trained as it is served, to the end."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_base import SPECIALS, starting_with, write_json
from tiny_desk import as_json, make_desk


def test_the_whole_loop_with_a_start_token_that_the_template_does_not_write(
    tmp_path: Path,
) -> None:
    make_desk(tmp_path)
    base = tmp_path / "base"
    for name, change in (
        ("tokenizer_config.json", {"bos_token": SPECIALS[0], "add_bos_token": True}),
        ("config.json", {"bos_token_id": 0}),
        ("tokenizer.json", starting_with(SPECIALS[0])),
    ):
        write_json(base / name, json.loads((base / name).read_text("utf-8")) | change)
    (told,) = [
        found for found in as_json(tmp_path, "check")["findings"] if found["what"] == "start token"
    ]
    assert told["verdict"] == "ok" and "trained and served with one" in told["found"]
    done = as_json(tmp_path, "run")
    assert done["deployed"], done["outcome"]
