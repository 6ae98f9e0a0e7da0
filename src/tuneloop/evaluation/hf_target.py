"""Asks Hugging Face weights in this process: the unquantised reference and the untuned base.

Greedy decoding in batches of like length. The tokens that all prompts begin with (the system text)
are run through the model once; each batch continues from a copy of that state:

    [shared prefix, P tokens][left padding][rest of the prompt][answer]

with the padding masked and positions counted over real tokens only, so a row sees exactly what it
would see alone.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.conversation import Message
from tuneloop.conversation.template import prompt_ids
from tuneloop.conversation.thoughts import split_thought
from tuneloop.errors import BaseModelError, EvaluationError, require
from tuneloop.evaluation.suites import Messages, Tools
from tuneloop.evaluation.targets import TOO_LONG, Answer, Sampling

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class _Prompt:
    index: int
    tokens: list[int]


@dataclass(kw_only=True)
class HFTarget:
    """A folder of Hugging Face weights with a tokenizer and chat template."""

    folder: Path
    identity: str
    sampling: Sampling = field(default_factory=Sampling)
    batch_size: int = 32
    device: str = "auto"
    precision: str = "auto"
    """auto: float32 on a CPU, else as stored; or float32, bfloat16, float16"""

    def __post_init__(self) -> None:
        if self.sampling.temperature > 0:
            raise EvaluationError(
                "Hugging Face weights are asked with greedy decoding, "
                f"got temperature {self.sampling.temperature}.",
                remedy="Set the temperature to 0, or ask the served model.",
            )
        self._loaded: tuple[Any, Any] | None = None

    def complete(self, messages: Messages, tools: Tools = ()) -> Answer:
        """Answer one prompt."""
        return next(answer for _, answer in self.complete_many([messages], [tools]))

    def complete_many(
        self, prompts: Sequence[Messages], tools: Sequence[Tools] = ()
    ) -> Iterator[tuple[int, Answer]]:
        """Answer all prompts, short ones first; (index, answer) as each batch is finished."""
        if not prompts:
            return
        model, tokenizer = self._load()
        tokenised = [
            _Prompt(index=i, tokens=_tokens(tokenizer, messages, of_prompt))
            for i, (messages, of_prompt) in enumerate(zip_longest(prompts, tools, fillvalue=()))
        ]
        limit = int(getattr(model.config, "max_position_embeddings", 0) or 1 << 30)
        fitting = []
        for prompt in tokenised:
            if len(prompt.tokens) >= limit:
                message = f"{len(prompt.tokens):,} tokens, the model takes {limit:,}"
                yield prompt.index, Answer(error=f"{TOO_LONG}: {message}")
            else:
                fitting.append(prompt)
        fitting.sort(key=lambda prompt: len(prompt.tokens))
        prefix = _Prefix.of(model, [prompt.tokens for prompt in fitting])
        stops = _stop_tokens(model, tokenizer)
        for start in range(0, len(fitting), self.batch_size):
            batch = fitting[start : start + self.batch_size]
            room = limit - max(len(prompt.tokens) for prompt in batch)
            count = min(self.sampling.max_tokens, room)
            rows = _greedy(model, prefix, [p.tokens for p in batch], stops, count)
            for prompt, row in zip(batch, rows, strict=True):
                yield prompt.index, _answer(tokenizer, prompt, row, stops)

    def speed(self, prompts: Sequence[Messages]) -> float:
        """Generated tokens per second over `prompts`, loading not counted."""
        self._load()
        started = time.perf_counter()
        tokens = sum(answer.completion_tokens for _, answer in self.complete_many(prompts))
        return tokens / (time.perf_counter() - started)

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = _load(self.folder, self.device, self.precision)
        return self._loaded


def _load(folder: Path, device: str, precision: str) -> tuple[Any, Any]:
    torch = require("torch", extra="train")
    transformers = require("transformers", extra="train")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = precision if precision != "auto" else ("float32" if device == "cpu" else "auto")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True
        )
    except (OSError, ValueError) as e:
        raise BaseModelError(
            f"The weights in {folder} cannot be loaded: {str(e).splitlines()[0]}",
            remedy="Expected a Hugging Face folder with config.json, weights and tokenizer.",
        ) from e
    if not tokenizer.chat_template:
        raise BaseModelError(f"The tokenizer in {folder} has no chat template.")
    return model.to(device).eval(), tokenizer


def _tokens(tokenizer: Any, messages: Messages, tools: Tools) -> list[int]:
    spoken = [Message.from_row(message) for message in messages]
    return prompt_ids(tokenizer, spoken, tools)


def _stop_tokens(model: Any, tokenizer: Any) -> set[int]:
    token_ids: set[int] = set()
    for value in (model.generation_config.eos_token_id, tokenizer.eos_token_id):
        token_ids |= set(value) if isinstance(value, list) else {value}
    return {token for token in token_ids if token is not None}


def _answer(tokenizer: Any, prompt: _Prompt, row: list[int], stops: set[int]) -> Answer:
    stopped = bool(row) and row[-1] in stops
    # latency_ms stays 0, "not measured": a row's share of a batch says nothing about serving.
    written = tokenizer.decode(row[:-1] if stopped else row, skip_special_tokens=True)
    thought, text = split_thought(written)
    return Answer(
        text=text,
        thought=thought,
        prompt_tokens=len(prompt.tokens),
        completion_tokens=len(row),
        finish_reason="stop" if stopped else "length",
    )


class _Prefix:
    """The tokens that all prompts begin with, and the model's state after them."""

    def __init__(self, length: int, cache: Any) -> None:
        self.length = length
        self._cache = cache

    @classmethod
    def of(cls, model: Any, rows: Sequence[list[int]]) -> _Prefix:
        import torch
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        cache = DynamicCache(config=model.config)
        # Every prompt keeps one token of its own, to have something to continue with.
        length = min((_common(rows[0], row) for row in rows), default=0) if rows else 0
        length = min([length, *(len(row) - 1 for row in rows)])
        # A sliding window or a recurrent layer counts padding as tokens: no sharing there.
        if len(rows) < 2 or length <= 0 or not all(type(x) is DynamicLayer for x in cache.layers):
            return cls(0, cache)
        tokens = torch.tensor([rows[0][:length]], device=model.device)  # (1, P)
        with torch.inference_mode():
            model(tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return cls(length, cache)

    def state(self, rows: int) -> Any:
        """A copy of the state for a batch of `rows`."""
        cache = copy.deepcopy(self._cache)
        if self.length:
            cache.batch_repeat_interleave(rows)
        return cache


def _common(left: list[int], right: list[int]) -> int:
    for i, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return i
    return min(len(left), len(right))


def _greedy(
    model: Any, prefix: _Prefix, rows: Sequence[list[int]], stops: set[int], count: int
) -> list[list[int]]:
    """The most likely `count` tokens after each row, up to and with a stop token."""
    import torch

    answers: list[list[int]] = [[] for _ in rows]
    open_rows = list(range(len(rows)))  # which row each line of the batch is
    cache = prefix.state(len(rows))
    tokens, mask = _padded(model, prefix.length, rows)  # (B, T), (B, P + T)
    with torch.inference_mode():
        while open_rows and count > 0:
            count -= 1
            positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens.shape[1] :]  # (B, T)
            output = model(
                tokens,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            chosen = output.logits[:, -1].argmax(-1)  # (B,)
            keep = []
            for line, token in enumerate(chosen.tolist()):
                answers[open_rows[line]].append(token)
                if token not in stops:
                    keep.append(line)
            if len(keep) < len(open_rows):
                # Finished rows leave the batch; the rest gets cheaper.
                index = torch.tensor(keep, device=mask.device, dtype=torch.long)
                open_rows = [open_rows[line] for line in keep]
                chosen, mask = chosen[index], mask[index]
                if keep:
                    cache.batch_select_indices(index)
            tokens = chosen[:, None]
            mask = torch.cat([mask, mask.new_ones((len(open_rows), 1))], dim=1)
    return answers


def _padded(
    model: Any, shared: int, rows: Sequence[list[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Left-padded rests of the prompts, and the mask over the shared prefix and them."""
    import torch

    rests = [row[shared:] for row in rows]
    width = max(map(len, rests))
    tokens = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), shared + width), dtype=torch.long)
    mask[:, :shared] = 1
    for line, rest in enumerate(rests):
        tokens[line, width - len(rest) :] = torch.tensor(rest)
        mask[line, shared + width - len(rest) :] = 1
    return tokens.to(model.device), mask.to(model.device)
