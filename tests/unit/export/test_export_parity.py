"""The verdict on an export step."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop.deployment.backends.llamacpp_observation import observe_server
from tuneloop.deployment.export.parity import (
    ParityBounds,
    compare_observations,
    logprob_differences,
    require_parity,
)
from tuneloop.deployment.observation import Observation
from tuneloop.errors import GateError
from tuneloop.progress import Silent

BOUNDS = ParityBounds(max_logprob_difference=0.1, min_agreement=0.5)


def seen(
    generated: tuple[int, ...] = (7, 8), logprob: float = -0.5, prompt: tuple[int, ...] = (1, 2)
) -> Observation:
    tops = tuple({token: logprob, 99: -4.0} for token in generated)
    return Observation(prompt_ids=prompt, generated_ids=generated, top_logprobs=tops)


def test_the_same_model_passes() -> None:
    verdict = compare_observations("f16", "merged", [seen(), seen()], [seen(), seen()], BOUNDS)
    assert verdict.passed
    assert (verdict.agreement, verdict.largest_logprob_difference, verdict.positions) == (1, 0, 4)
    require_parity([verdict])


def test_other_token_ids_come_first() -> None:
    verdict = compare_observations(
        "f16", "merged", [seen(), seen()], [seen(), seen(prompt=(1, 3))], BOUNDS
    )
    assert not verdict.passed
    assert "prompt 2 becomes other token ids: at position 1 expected 2, found 3" in verdict.reason
    assert verdict.agreement is None
    longer = compare_observations("f16", "merged", [seen()], [seen(prompt=(1, 2, 3))], BOUNDS)
    assert "at position 2 expected the end, found 3" in longer.reason


@pytest.mark.parametrize(("moved", "passes"), [(0.09, True), (0.11, False)])
def test_log_probabilities_may_move_within_the_bound(moved: float, passes: bool) -> None:
    verdict = compare_observations("q8_0", "f16", [seen()], [seen(logprob=-0.5 - moved)], BOUNDS)
    assert verdict.passed is passes
    assert verdict.largest_logprob_difference == pytest.approx(moved)
    if not passes:
        with pytest.raises(GateError, match=r"f16 → q8_0 changed the model.*0\.11, allowed"):
            require_parity([verdict])


def test_a_near_tie_may_part_and_nothing_is_compared_beyond_it() -> None:
    a = Observation(
        prompt_ids=(1,),
        generated_ids=(7, 8, 9),
        top_logprobs=({7: -0.69, 5: -0.70}, {8: 0}, {9: 0}),
    )
    b = Observation(
        prompt_ids=(1,),
        generated_ids=(5, 3, 2),
        top_logprobs=({7: -0.71, 5: -0.68}, {3: 0}, {2: 0}),
    )
    assert logprob_differences(a, b) == [pytest.approx(0.02)]
    one_of_two = compare_observations("q8_0", "f16", [a, seen()], [b, seen()], BOUNDS)
    assert one_of_two.passed and one_of_two.agreement == 0.5
    none = compare_observations("q8_0", "f16", [a], [b], BOUNDS)
    assert not none.passed and "agree on 0%" in none.reason


def test_a_token_outside_the_other_list_counts_at_least_to_its_end() -> None:
    a = Observation(prompt_ids=(1,), generated_ids=(7,), top_logprobs=({7: -0.1, 4: -5.0},))
    b = Observation(prompt_ids=(1,), generated_ids=(4,), top_logprobs=({4: -0.2, 6: -3.0},))
    assert logprob_differences(a, b) == [pytest.approx(4.8)]


def test_a_server_without_log_probabilities_proves_nothing() -> None:
    silent = Observation(prompt_ids=(1, 2), generated_ids=(7, 8), top_logprobs=({}, {}))
    verdict = compare_observations("f16", "merged", [seen()], [silent], BOUNDS)
    assert not verdict.passed and "nothing can be compared" in verdict.reason


def served(tokens: list[int], listed: list[int]) -> Observation:
    def post(path: str, body: Any) -> Any:
        if path == "/apply-template":
            return {"prompt": "<s>" + body["messages"][0]["content"]}
        if path == "/tokenize":
            assert body == {"content": "<s>hello", "add_special": True, "parse_special": True}
            return {"tokens": [1, 2]}
        assert path == "/completion" and body["prompt"] == [1, 2]
        entries = [
            {"id": token, "top_logprobs": [{"id": token, "logprob": -float(place)}]}
            for place, token in enumerate(listed)
        ]
        return {"tokens": tokens, "completion_probabilities": entries}

    prompts = [[{"role": "user", "content": "hello"}]]
    return observe_server(post, prompts, positions=4, progress=Silent())[0]


def test_tokens_inside_a_character_have_no_probabilities() -> None:
    """llama.cpp lists none for a token that ends inside a character."""
    plain = served([5, 6, 7], [5, 6, 7])
    assert plain.prompt_ids == (1, 2)
    assert plain.top_logprobs == ({5: 0.0}, {6: -1.0}, {7: -2.0})
    assert served([200, 5, 201, 6], [5, 6]).top_logprobs == ({}, {5: 0.0}, {}, {6: -1.0})
    # Which of two equal tokens is meant cannot be known: neither is used.
    assert served([8, 8, 6], [8, 6]).top_logprobs == ({}, {}, {6: -1.0})
