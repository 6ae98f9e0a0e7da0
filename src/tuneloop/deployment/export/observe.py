"""What Hugging Face weights do with a prompt, token by token, read in a child process.

A backend reads the same from a file that it serves (`backends.base.ObservingBackend`).
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuneloop.deployment.export.child import run_child
from tuneloop.deployment.export.merge import progress_lines
from tuneloop.deployment.observation import TOP_TOKENS, Messages, Observation
from tuneloop.progress import Progress


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
