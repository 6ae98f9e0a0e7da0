"""What flash attention costs or saves on a CPU: processor seconds of llama.cpp, with and without.

    python benchmarks/bench_attention.py FILE.gguf [--repeats N]

One thread, in turns; processor time and not wall time, so that other work on the machine counts
little. `prompt`: to read that many tokens, nothing of them in the cache. `answer`: 48 tokens after
that prompt. `four`: four such answers of 48 tokens in one batch after short prompts. The last line
is one JSON object: medians in milliseconds a token.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tuneloop.deployment.backends import llamacpp_child
from tuneloop.deployment.backends.llamacpp_observation import PostJson, http_poster
from tuneloop.deployment.processes import free_port
from tuneloop.errors import require

PROMPT_TOKENS = (150, 1000, 1900)
ANSWER_TOKENS = 48
DESK = Path(__file__).resolve().parent.parent / "examples" / "support-desk"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    found: dict[str, dict[str, list[float]]] = {"with": {}, "without": {}}
    for _ in range(chosen.repeats):
        for name, rows in found.items():
            for what, value in _measure(chosen.model, flash=name == "with").items():
                rows.setdefault(what, []).append(value)
    medians = {
        name: {what: round(statistics.median(values), 2) for what, values in rows.items()}
        for name, rows in found.items()
    }
    print(json.dumps({"model": chosen.model.name, "ms_a_token": medians}), flush=True)
    os._exit(0)  # a server in this process would hold it


def _measure(model: Path, *, flash: bool) -> dict[str, float]:
    port = free_port()
    words = {"--model": model, "--port": port, "--alias": "m", "--ctx": 2048, "--parallel": 4}
    argv = [str(word) for pair in {**words, "--threads": 1}.items() for word in pair]
    params = llamacpp_child.parameters(llamacpp_child.arguments(argv))
    kinds = type(params.flash_attn_type)
    wanted = "ENABLED" if flash else "DISABLED"
    params.flash_attn_type = kinds[f"LLAMA_FLASH_ATTN_TYPE_{wanted}"]
    server = require("xllamacpp", extra="serve").Server(params)
    post = http_poster(f"http://127.0.0.1:{port}")
    text = (DESK / "month-1.jsonl").read_text("utf-8")[:20_000]
    tokens = post("/tokenize", {"content": text})["tokens"]
    found = {}
    for count in PROMPT_TOKENS:
        read = _seconds(lambda n=count: _ask(post, tokens[:n], 1))  # type: ignore[misc]
        both = _seconds(lambda n=count: _ask(post, tokens[:n], ANSWER_TOKENS))  # type: ignore[misc]
        found[f"prompt of {count}"] = 1_000 * read / count
        found[f"answer after {count}"] = 1_000 * (both - read) / ANSWER_TOKENS
    with ThreadPoolExecutor(4) as pool:
        prompts = [tokens[at : at + 20] for at in range(4)]
        work = lambda: list(pool.map(lambda p: _ask(post, p, ANSWER_TOKENS), prompts))  # noqa: E731
        found["four at once"] = 1_000 * _seconds(work) / (4 * ANSWER_TOKENS)
    del server
    return found


def _seconds(work: Callable[[], Any]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def _ask(post: PostJson, prompt: list[int], tokens: int) -> Any:
    body = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True}
    return post("/completion", {**body, "cache_prompt": False})


if __name__ == "__main__":
    sys.exit(main())
