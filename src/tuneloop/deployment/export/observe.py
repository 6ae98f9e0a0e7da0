"""What Hugging Face weights do with a prompt, token by token, read in a child process.

A backend reads the same from a file that it serves (`backends.base.ObservingBackend`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tuneloop.conversation import Message
from tuneloop.conversation.template import prompt_ids
from tuneloop.deployment.export.child import Child, lent
from tuneloop.deployment.export.merge import progress_lines
from tuneloop.deployment.observation import TOP_TOKENS, Observation, Prompt, request_of
from tuneloop.progress import Progress

_BATCH_TOKENS = 4_096
"""Cells of a batch of prompts, padding included: what their state takes is a part of the weights'
own memory."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A Hugging Face folder, with an adapter that is not merged where one is given."""

    folder: Path
    adapter: Path | None = None


def observe_weights(
    models: Sequence[Weights],
    prompts: Sequence[Prompt],
    *,
    positions: int,
    progress: Progress,
    child: Child | None = None,
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
        "prompts": [request_of(prompt) for prompt in prompts],
        "positions": positions,
    }
    with tempfile.TemporaryDirectory(prefix="tuneloop-parity-") as scratch:
        asked, answered = Path(scratch) / "question.json", Path(scratch) / "answer.json"
        asked.write_text(json.dumps(question), "utf-8")
        with lent(child) as worker:
            worker.run(
                __name__,
                [str(asked), str(answered)],
                doing="Asking the Hugging Face weights",
                writes=answered,
                needed_bytes=0,
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


def work(asked: str, answered: str) -> None:
    """Ask what the file `asked` says, in the child process."""
    lists = _observe_here(json.loads(Path(asked).read_text("utf-8")))
    entries = [[asdict(entry) for entry in of] for of in lists]
    Path(answered).write_text(json.dumps(entries), "utf-8")


def _observe_here(question: Mapping[str, Any]) -> list[list[Observation]]:
    models, prompts = question["models"], question["prompts"]
    total, done = len(models) * len(prompts), 0
    lists: list[list[Observation]] = []
    for place in models:
        model, tokenizer = _load(place["folder"], place["adapter"])
        rows = [
            prompt_ids(
                tokenizer, list(map(Message.from_row, asked["messages"])), asked.get("tools", ())
            )
            for asked in prompts
        ]
        lists.append([])
        for batch in _batches(rows, together=_may_be_padded(model)):
            print(f"progress {done} {total} prompts", flush=True)
            lists[-1] += _greedy(model, batch, question["positions"])
            done += len(batch)
        del model
    return lists


def _batches(rows: Sequence[list[int]], *, together: bool) -> Iterator[list[list[int]]]:
    """Rows in their order, as many at a time as memory is sure to hold."""
    batch: list[list[int]] = []
    for row in rows:
        cells = max(map(len, [*batch, row])) * (len(batch) + 1)
        if batch and (not together or cells > _BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _may_be_padded(model: Any) -> bool:
    """Whether every layer attends by the mask: a sliding window or a recurrent state counts
    padding as tokens."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


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


def _shared(rows: Sequence[list[int]]) -> int:
    """How many tokens all rows begin with; each keeps one of its own. 0 for a single row."""
    if len(rows) < 2:
        return 0
    first, last = min(rows), max(rows)  # in this order every other row lies between these
    most = min(map(len, rows)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


def _state_after(model: Any, tokens: list[int], *, copies: int) -> Any:
    """The model's keys and values after these tokens, for so many rows."""
    import torch

    ids = torch.tensor([tokens], device=model.device)
    state = model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
    state.batch_repeat_interleave(copies)
    return state


def _greedy(model: Any, rows: Sequence[list[int]], positions: int) -> list[Observation]:
    """What the model does with each row of prompt ids.

    What they all begin with, such as a system text, is computed once. Of the rest the shorter ones
    are padded on the left.
    """
    import torch

    ends = model.generation_config.eos_token_id
    ends = set(ends) if isinstance(ends, list) else {ends}
    shared = _shared(rows)
    longest = max(map(len, rows)) - shared
    tokens, mask = (torch.zeros(len(rows), longest, dtype=torch.long) for _ in range(2))
    for line, row in enumerate(rows):
        own = len(row) - shared
        tokens[line, longest - own :] = torch.tensor(row[shared:])
        mask[line, longest - own :] = 1
    mask = torch.cat([mask.new_ones(len(rows), shared), mask], dim=-1)
    tokens, mask = tokens.to(model.device), mask.to(model.device)  # (B, T), then (B, 1); (B, S + T)
    generated: list[list[int]] = [[] for _ in rows]
    tops: list[list[dict[int, float]]] = [[] for _ in rows]
    with torch.inference_mode():
        state = _state_after(model, rows[0][:shared], copies=len(rows)) if shared else None
        for _ in range(positions):
            places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
            result = model(
                input_ids=tokens,
                attention_mask=mask,
                position_ids=places,
                past_key_values=state,
                use_cache=True,
                logits_to_keep=1,
            )
            state = result.past_key_values
            logprobs = torch.log_softmax(result.logits[:, -1].float(), dim=-1)  # (B, vocabulary)
            best = torch.topk(logprobs, min(TOP_TOKENS, logprobs.shape[-1]))
            for line, (ids, values) in enumerate(
                zip(best.indices.tolist(), best.values.tolist(), strict=True)
            ):
                if not (generated[line] and generated[line][-1] in ends):
                    generated[line].append(ids[0])
                    tops[line].append(dict(zip(ids, values, strict=True)))
            if all(line[-1] in ends for line in generated):
                break
            tokens = best.indices[:, :1]
            mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=-1)
    return [
        Observation(prompt_ids=tuple(row), generated_ids=tuple(line), top_logprobs=tuple(top))
        for row, line, top in zip(rows, generated, tops, strict=True)
    ]
