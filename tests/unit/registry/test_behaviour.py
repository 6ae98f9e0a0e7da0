"""Two bundles are the same to a client where the same is answered, whatever their ids are."""

from __future__ import annotations

from typing import Any

import pytest

from tuneloop.registry.behaviour import behaviour_of
from tuneloop.registry.manifest import Manifest
from tuneloop.testing.manifest import manifest_of

SAMPLING = {"temperature": 0.0, "max_tokens": 64}
SERVING = {"digest": "f" * 64, "chat_template": "t" * 64, "sampling": SAMPLING, "threads": 2}


def made(**parts: Any) -> Manifest:
    given = {"task": {"system": "Be brief."}, "serving": SERVING} | parts
    return manifest_of(model="router", **given)


@pytest.mark.parametrize(
    "changed",
    [
        {"task": {"system": "Be kind."}},
        {"serving": SERVING | {"digest": "e" * 64}},
        {"serving": SERVING | {"chat_template": "u" * 64}},
        {"serving": SERVING | {"sampling": SAMPLING | {"temperature": 0.7}}},
        {"serving": SERVING | {"sampling": SAMPLING | {"response_format": {"type": "json"}}}},
    ],
)
def test_what_decides_an_answer_is_another_behaviour(changed: dict[str, Any]) -> None:
    assert behaviour_of(made(**changed)) != behaviour_of(made())


@pytest.mark.parametrize(
    "changed",
    [
        {"evaluation": {"id": "another", "settings": {"concurrency": 2}, "gates": "g"}},
        {"routing": {"endpoint": "desk", "rollout": {"automatic": True}}},
        {"serving": SERVING | {"threads": 8, "parallel_requests": 1, "server": "1.2"}},
        {"serving": SERVING | {"address": {"base_url": "http://elsewhere/v1", "model": "m"}}},
        {"serving": SERVING | {"control_tokens": ["<end>"]}},
        {"training": {"run": "another"}, "dataset": {"digest": "d"}},
        {"task": {"system": "Be brief.", "output_schema": {"type": "object"}}},
    ],
)
def test_what_decides_none_is_not(changed: dict[str, Any]) -> None:
    assert behaviour_of(made(**changed)) == behaviour_of(made())


def test_a_manifest_of_an_earlier_release_that_names_no_file_has_its_export() -> None:
    old = {"serving": {"sampling": SAMPLING}, "artifacts": {"export": "x"}}
    same = behaviour_of(made(**old, evaluation={"id": "1"}))
    assert behaviour_of(made(**old, evaluation={"id": "2"})) == same


def test_what_names_neither_is_like_no_other() -> None:
    nothing = {"serving": {"sampling": SAMPLING}}
    first, second = (made(**nothing, evaluation={"id": identity}) for identity in ("1", "2"))
    assert behaviour_of(first) != behaviour_of(second)
