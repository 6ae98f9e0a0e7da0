"""What a model does with a prompt, token by token: the raw material of the parity check.

The same is read from Hugging Face weights (in a child process) and from a served GGUF (over
HTTP), always greedily.
"""

from __future__ import annotations

import json
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuneloop.deployment.export.child import run_child
from tuneloop.deployment.export.merge import progress_lines
from tuneloop.errors import DeploymentError
from tuneloop.progress import Progress

Messages = Sequence[Mapping[str, str]]
PostJson = Callable[[str, Mapping[str, Any]], Any]
"""(path below the server's root, body) → parsed answer."""

TOP_TOKENS = 20
_TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one model did with one prompt."""

    prompt_ids: tuple[int, ...]
    """The prompt after chat template and tokenizer."""
    generated_ids: tuple[int, ...]
    """Greedy continuation; the end token is its last where the model ended."""
    top_logprobs: tuple[Mapping[int, float], ...]
    """Natural log-probabilities of the most likely tokens at each generated position; empty where
    a server does not tell."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A Hugging Face folder, with an adapter that is not merged where one is given."""

    folder: Path
    adapter: Path | None = None


def observe_weights(
    models: Sequence[Weights],
    prompts: Sequence[Messages],
    *,
    positions: int,
    progress: Progress,
) -> list[list[Observation]]:
    """Ask each model each prompt, one model in memory at a time; a list for each model.

    Raises:
        DeploymentError: they cannot be loaded or asked.
    """
    question = {
        "models": [
            {"folder": str(model.folder), "adapter": model.adapter and str(model.adapter)}
            for model in models
        ],
        "prompts": [[dict(message) for message in prompt] for prompt in prompts],
        "positions": positions,
    }
    with tempfile.TemporaryDirectory(prefix="tuneloop-parity-") as scratch:
        asked, answered = Path(scratch) / "question.json", Path(scratch) / "answer.json"
        asked.write_text(json.dumps(question), "utf-8")
        run_child(
            [sys.executable, "-m", __spec__.name, str(asked), str(answered)],
            doing="Asking the Hugging Face weights",
            writes=answered,
            needed_bytes=0,
            environment={"HF_HUB_OFFLINE": "1"},
            on_line=progress_lines(progress),
        )
        lists = json.loads(answered.read_text("utf-8"))
    return [[_observation(entry) for entry in entries] for entries in lists]


def observe_server(
    post: PostJson, prompts: Sequence[Messages], *, positions: int, progress: Progress
) -> list[Observation]:
    """Ask a llama.cpp server: its own chat template and tokenizer, then the tokens it generates.

    Raises:
        DeploymentError: it does not answer, or answers without token log-probabilities.
    """
    observations = []
    for done, messages in enumerate(prompts):
        progress.update(done, len(prompts), "prompts")
        observations.append(_ask_server(post, [dict(message) for message in messages], positions))
    progress.update(len(prompts), len(prompts), "prompts")
    return observations


def http_poster(base_url: str) -> PostJson:
    """Posts to a server whose OpenAI endpoint is `base_url` (with or without `/v1`)."""
    root = base_url.rstrip("/").removesuffix("/v1")

    def post(path: str, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(
            root + path,
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as e:
            with e:
                said = e.read(300).decode("utf-8", "replace")
            raise DeploymentError(f"The model server answered {path} with {e.code}: {said}") from e
        except (OSError, ValueError) as e:
            raise DeploymentError(f"The model server at {root} did not answer {path}: {e}.") from e

    return post


def _ask_server(post: PostJson, messages: list[dict[str, str]], positions: int) -> Observation:
    prompt = post("/apply-template", {"messages": messages})["prompt"]
    tokenised = post("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})
    answer = post(
        "/completion",
        {
            "prompt": tokenised["tokens"],
            "temperature": 0,
            "n_predict": positions,
            "n_probs": TOP_TOKENS,
            "return_tokens": True,
            "cache_prompt": False,
        },
    )
    generated = [int(token) for token in answer["tokens"]]
    listed = answer.get("completion_probabilities") or []
    tops: list[Mapping[int, float]] = [{} for _ in generated]
    for place, entry in _placed(generated, listed):
        tops[place] = {int(top["id"]): float(top["logprob"]) for top in entry["top_logprobs"]}
    return Observation(
        prompt_ids=tuple(int(token) for token in tokenised["tokens"]),
        generated_ids=tuple(generated),
        top_logprobs=tuple(tops),
    )


def _placed(
    generated: Sequence[int], listed: Sequence[Mapping[str, Any]]
) -> list[tuple[int, Mapping[str, Any]]]:
    """Where in the answer each listed token stands, as far as that is certain.

    llama.cpp lists no probabilities for a token that ends inside a character, so the list can be
    shorter than the answer. A place is certain when matching from the left and from the right
    agree on it.
    """
    ids = [int(entry["id"]) for entry in listed]
    left = _matched(generated, ids)
    right = [len(generated) - 1 - place for place in reversed(_matched(generated[::-1], ids[::-1]))]
    if len(left) != len(ids) or len(right) != len(ids):
        return []
    return [
        (place, entry)
        for place, other, entry in zip(left, right, listed, strict=True)
        if place == other
    ]


def _matched(generated: Sequence[int], ids: Sequence[int]) -> list[int]:
    """Places of `ids` as a subsequence of `generated`, each as early as possible."""
    places: list[int] = []
    for place, token in enumerate(generated):
        if len(places) < len(ids) and ids[len(places)] == token:
            places.append(place)
    return places


def _observation(entry: Mapping[str, Any]) -> Observation:
    return Observation(
        prompt_ids=tuple(entry["prompt_ids"]),
        generated_ids=tuple(entry["generated_ids"]),
        top_logprobs=tuple(
            {int(token): float(value) for token, value in top.items()}
            for top in entry["top_logprobs"]
        ),
    )


def _observe_here(question: Mapping[str, Any]) -> list[list[Observation]]:
    """The work of the child process."""
    import torch

    models, prompts = question["models"], question["prompts"]
    total, done = len(models) * len(prompts), 0
    lists: list[list[Observation]] = []
    for place in models:
        model, tokenizer = _load(place["folder"], place["adapter"])
        lists.append([])
        for messages in prompts:
            print(f"progress {done} {total} prompts", flush=True)
            ids = tokenizer.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=True, return_dict=False
            )
            with torch.inference_mode():
                lists[-1].append(_greedy(model, list(ids), question["positions"]))
            done += 1
        del model
    return lists


def _load(folder: str, adapter: str | None) -> tuple[Any, Any]:
    """The model, and the tokenizer that the training used."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # Rounding of half-precision products on a CPU would hide what an export step changes.
    dtype = torch.float32 if device == "cpu" else "auto"
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    own = adapter is not None and (Path(adapter) / "tokenizer_config.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(adapter if own else folder)
    return model.to(device).eval(), tokenizer


def _greedy(model: Any, prompt_ids: list[int], positions: int) -> Observation:
    import torch

    ends = model.generation_config.eos_token_id
    ends = set(ends) if isinstance(ends, list) else {ends}
    generated: list[int] = []
    tops: list[dict[int, float]] = []
    state = None
    tokens = torch.tensor([prompt_ids], device=model.device)  # (1, prompt length), then (1, 1)
    for _ in range(positions):
        result = model(input_ids=tokens, past_key_values=state, use_cache=True)
        state = result.past_key_values
        logprobs = torch.log_softmax(result.logits[0, -1].float(), dim=-1)  # (vocabulary,)
        best = torch.topk(logprobs, min(TOP_TOKENS, len(logprobs)))
        token = int(best.indices[0])
        generated.append(token)
        tops.append(dict(zip(best.indices.tolist(), best.values.tolist(), strict=True)))
        if token in ends:
            break
        tokens = torch.tensor([[token]], device=model.device)
    return Observation(
        prompt_ids=tuple(prompt_ids), generated_ids=tuple(generated), top_logprobs=tuple(tops)
    )


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    answered = [[asdict(entry) for entry in entries] for entries in _observe_here(asked)]
    Path(sys.argv[2]).write_text(json.dumps(answered), "utf-8")
