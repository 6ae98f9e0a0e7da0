"""What a llama.cpp server does with a prompt, token by token, by endpoints that only it has."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tuneloop.deployment.observation import TOP_TOKENS, Observation, Prompt, request_of
from tuneloop.errors import DeploymentError

if TYPE_CHECKING:
    from tuneloop.progress import Progress

PostJson = Callable[[str, Mapping[str, Any]], Any]
"""(path below the server's root, body) → parsed answer."""

_TIMEOUT_SECONDS = 300.0


def observe_server(
    post: PostJson, prompts: Sequence[Prompt], *, positions: int, progress: Progress
) -> list[Observation]:
    """Ask a llama.cpp server: its own chat template and tokenizer, then the tokens it generates.

    Raises:
        DeploymentError: it does not answer, or answers without token log-probabilities.
    """
    observations = []
    for done, prompt in enumerate(prompts):
        progress.update(done, len(prompts), "prompts")
        observations.append(_ask_server(post, request_of(prompt), positions))
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


def _ask_server(post: PostJson, request: Mapping[str, Any], positions: int) -> Observation:
    prompt = post("/apply-template", request)["prompt"]
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
