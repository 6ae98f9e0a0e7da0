"""What it costs that the gateway asks for log-probabilities itself.

    python benchmarks/bench_logprobs.py [--gguf MODEL]

The gateway's part, in µs of processor time: to decide whether a request is on the share, to read a
whole answer of 60 tokens, and to read an event of a stream, of requests on the share and of others.
With a model, the server's part: milliseconds a token of llama.cpp on one thread, greedy, asked in
turns without log-probabilities, with one for each token as the gateway asks, and with the 20 that
llama.cpp tells where nobody says how many; and in how many answers of both the text is the same.
The last line is one JSON object, also written to benchmarks/results/logprobs.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tuneloop.deployment.backends.llamacpp import LlamaServer, LlamaSettings
from tuneloop.gateway.answers import EventReader, Facts, Hiding, read_completion
from tuneloop.gateway.capture import Exchange
from tuneloop.gateway.logprobs import LogprobAsking, hidden
from tuneloop.gateway.requests import CHAT, parse
from tuneloop.gateway.routing import resolve
from tuneloop.registry.routes import Arm, CaptureRule, Endpoint, RouteSnapshot, Target

RESULTS = Path(__file__).with_name("results") / "logprobs.json"
TOKENS = 60
ROUNDS = 15
PROMPTS = 16
TOP = {"id": 1234, "token": " word", "bytes": [32, 119, 111, 114, 100], "logprob": -0.123456789}
ASKED: dict[str, dict[str, Any]] = {
    "without": {},
    "one": {"logprobs": True, "top_logprobs": 1},
    "twenty": {"logprobs": True},
}


def main() -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gguf", type=Path, help="A model that llama.cpp serves.")
    model = parser.parse_args().gguf
    result: dict[str, Any] = {"gateway_us": gateway_us()}
    if model is not None:
        result["llama_cpp"] = llama_cpp(model)
    for part, figures in result.items():
        print(part, figures)
    text = json.dumps(result)
    RESULTS.write_text(text + "\n")
    print(text)
    return 0


def gateway_us() -> dict[str, float]:
    """Microseconds of processor time, the median of the rounds."""
    hide = partial(hidden, null=False)
    return {
        "decide_share_0": median_us(deciding(0.0), 20_000),
        "decide_share_0.1": median_us(deciding(0.1), 20_000),
        "whole_without": median_us(reading(None), 2_000),
        "whole_asked": median_us(reading(hide), 2_000),
        "event_without": median_us(streaming(None), 5_000),
        "event_asked": median_us(streaming(hide), 5_000),
    }


def median_us(work: Callable[[], object], times: int) -> float:
    """Of one call."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        taken.append((time.process_time() - began) / times * 1e6)
    return round(statistics.median(taken), 2)


def deciding(share: float) -> Callable[[], object]:
    """What every request pays."""
    rule = CaptureRule(logprobs_share=share)
    snapshot = RouteSnapshot(
        version=1,
        endpoints={"desk": Endpoint(arms=(Arm(bundle="b1"),), capture=rule)},
        bundles={"b1": Target(base_url="http://127.0.0.1:1/v1", served_name="b1")},
    )
    body = {"model": "desk", "messages": [{"role": "user", "content": "word " * 100}]}
    call = parse(CHAT, json.dumps(body).encode(), {})
    exchange = Exchange(call, resolve(snapshot, "desk", call.conversation))
    exchange.facts.finish_reason = "stop"
    asking = LogprobAsking()

    def decide() -> None:
        if asking.hiding(exchange) is None:
            asking.learn(exchange)

    return decide


def reading(hide: Hiding | None) -> Callable[[], object]:
    """A whole answer as llama.cpp writes it."""
    message = {"role": "assistant", "content": " word" * TOKENS}
    choice = {"finish_reason": "stop", "index": 0, "message": message} | told(hide, TOKENS)
    usage = {"prompt_tokens": 100, "completion_tokens": TOKENS}
    answer = written({"choices": [choice], "created": 1, "model": "b1", "usage": usage})
    return lambda: read_completion(answer, "desk", Facts(), hide=hide)


def streaming(hide: Hiding | None) -> Callable[[], object]:
    """One event of a stream."""
    choice = {"finish_reason": None, "index": 0, "delta": {"content": " word"}} | told(hide, 1)
    chunk = {"choices": [choice], "created": 1, "id": "c", "model": "b1", "object": "chunk"}
    event = b"data: " + written(chunk) + b"\n\n"
    reader = EventReader("desk", Facts(), show_usage=True, hide=hide)
    return lambda: reader.feed(event)


def told(hide: Hiding | None, tokens: int) -> dict[str, Any]:
    """The field that is there where somebody asked."""
    one = TOP | {"top_logprobs": [TOP]}
    return {} if hide is None else {"logprobs": {"content": [one] * tokens}}


def written(value: Any) -> bytes:
    """As llama.cpp writes JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def llama_cpp(model: Path) -> dict[str, Any]:
    """Milliseconds a token and bytes an answer by what is asked; how many answers are the same."""
    settings = LlamaSettings(context_tokens=512, parallel=1, threads=1, startup_timeout_seconds=60)
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in ASKED}
    with (
        tempfile.TemporaryDirectory() as folder,
        LlamaServer(
            model, served_name="m", settings=settings, log=Path(folder) / "server.log"
        ) as server,
    ):
        ask(server.base_url, "warm up")
        for number in range(PROMPTS):
            for name, fields in ASKED.items():
                answers[name].append(ask(server.base_url, f"Tell me about {number}.", **fields))
    texts = {name: [one["text"] for one in of] for name, of in answers.items()}
    return {
        "prompts": PROMPTS,
        "same_text": sum(a == b for a, b in zip(texts["without"], texts["one"], strict=True)),
        **{
            name: {
                "ms_per_token": round(statistics.median(one["ms_per_token"] for one in of), 3),
                "bytes": statistics.median(one["bytes"] for one in of),
            }
            for name, of in answers.items()
        },
    }


def ask(url: str, prompt: str, **fields: Any) -> dict[str, Any]:
    """One greedy answer with llama.cpp's own clock."""
    asked = {"model": "m", "messages": [{"role": "user", "content": prompt}]}
    body = json.dumps(asked | {"temperature": 0, "max_tokens": 48} | fields).encode()
    request = urllib.request.Request(f"{url}/chat/completions", data=body)
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request) as answered:
        raw = answered.read()
    answer = json.loads(raw)
    return {
        "ms_per_token": answer["timings"]["predicted_per_token_ms"],
        "bytes": len(raw),
        "text": answer["choices"][0]["message"]["content"],
    }


if __name__ == "__main__":
    sys.exit(main())
