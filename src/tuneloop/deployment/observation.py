"""What a model did with a prompt, token by token: the words that parity and backends share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Messages = Sequence[Mapping[str, Any]]
Prompt = Messages | Mapping[str, Any]
"""Messages, or the fields of a chat request that has tools beside them."""
TOP_TOKENS = 20
"""Of so many of the likeliest tokens the log-probability is looked at."""


def request_of(prompt: Prompt) -> dict[str, Any]:
    """The fields of a chat request that make a prompt."""
    if isinstance(prompt, Mapping):
        return dict(prompt)
    return {"messages": [dict(message) for message in prompt]}


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one model did with one prompt, greedily."""

    prompt_ids: tuple[int, ...]
    """The prompt after chat template and tokenizer."""
    generated_ids: tuple[int, ...]
    """Greedy continuation; the end token is its last where the model ended."""
    top_logprobs: tuple[Mapping[int, float], ...]
    """Natural log-probabilities of the most likely tokens at each generated position; empty where
    a server does not tell."""
