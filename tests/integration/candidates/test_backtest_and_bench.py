"""What a candidate shows before any client meets it: on production's requests, and under a load.

A tiny model in production answers real chats through the gateway. The candidate is the same model,
cut off after two tokens: quick, and never in the form that the task declares.
"""

from __future__ import annotations

import copy
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

import tuneloop as package
from tiny_desk import as_json, command, make_desk, tuneloop, written
from tuneloop.registry import aliases
from tuneloop.registry import bundle as bundles
from tuneloop.registry.manifest import Manifest

pytestmark = pytest.mark.timeout(600)

CHATS = 24
CORRECTED = 3


@dataclass(frozen=True)
class Desk:
    """A served model, a candidate, and what production was asked."""

    folder: Path
    production: str
    candidate: str
    before: str
    """What a backtest said before anything was captured."""


def post(url: str, body: dict[str, object]) -> tuple[str, bytes]:
    """Interaction id, if any, and body of an answer."""
    request = urllib.request.Request(
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.headers["x-tuneloop-interaction"] or "", response.read()


def cut_off(folder: Path) -> tuple[str, str]:
    """Register production's bundle with answers of two tokens as candidate; both ids."""
    loop = package.open(folder)
    production = loop.bundle("production")
    content = copy.deepcopy(production.manifest.as_json())
    content["serving"]["sampling"]["max_tokens"] = 2
    candidate = bundles.register(loop.workspace, Manifest.of(content))
    with loop.workspace.records.begin() as tx:
        aliases.move(
            tx,
            model=loop.model.name,
            name="candidate",
            bundle=candidate.id,
            expected=aliases.read(tx, loop.model.name).get("candidate"),
            actor="test",
            reason="cut off",
            now=loop.workspace.now(),
        )
    loop.close()
    return production.id, candidate.id


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    file = make_desk(folder)
    settings = yaml.safe_load(file.read_text())
    settings["endpoint"]["max_tokens"] = 160  # enough for an answer of the declared form
    settings["rollout"] = {"shadow_pairs": CHATS}
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    tuneloop(folder, "run")
    before = tuneloop(folder, "backtest", "production", code=2).stderr
    tuneloop(folder, "up", "--detach")
    url = as_json(folder, "status")["gateway_url"]
    for number in range(CHATS):
        messages = [{"role": "user", "content": f"My Tarn number {number} is beeping!"}]
        chat: dict[str, object] = {"model": "support-router", "messages": messages}
        interaction, _ = post(f"{url}/chat/completions", chat)
        if number < CORRECTED:
            right = {"intent": "fault", "product": "tarn", "urgency": "normal"}
            edit: dict[str, object] = {"interaction": interaction, "kind": "edit"}
            post(f"{url}/feedback", edit | {"value": json.dumps(right)})
    tuneloop(folder, "down")  # seals the spool
    production, candidate = cut_off(folder)
    yield Desk(folder, production, candidate, before)
    subprocess.run(command("down"), cwd=folder, check=False, capture_output=True)


def test_a_candidate_that_breaks_the_form_is_found_before_any_client_meets_it(desk: Desk) -> None:
    found = as_json(desk.folder, "backtest", code=3)
    assert found["verdict"] == "worse" and found["reason"].startswith("format")
    assert found["pairs"] == found["replayed"]["chats"] == CHATS
    assert found["replayed"]["production"] == desk.production
    assert found["replayed"]["candidate"] == desk.candidate
    guards = {one["name"]: one for one in found["guards"]}
    assert guards.keys() == {"errors", "format"}, "too little traffic for limits on the others"
    assert guards["format"]["standing"] == "worse"
    assert guards["format"]["candidate"]["value"] == 1.0
    assert guards["format"]["production"]["value"] < 0.5
    assert guards["errors"]["standing"] == "no_harm_seen"
    assert found["agreement"]["value"] == 0.0
    assert found["corrected"]["candidate"]["n"] == CORRECTED
    assert "format" in {name for one in found["differences"] for name in one["bad"]}
    shown = tuneloop(desk.folder, "backtest", "--limit", "20", code=3).stdout
    assert "4 beyond_limit" in shown and "Verdict: worse. format" in shown


def test_production_against_itself_shows_how_alike_two_runs_are(desk: Desk) -> None:
    found = as_json(desk.folder, "backtest", "production")
    assert found["verdict"] == "no_harm_seen"
    assert found["agreement"]["value"] >= 0.75, "near ties of a random model may turn over"


def test_latency_is_a_gate_in_turns_with_production(desk: Desk) -> None:
    under = ("--set", "bench.rates_per_second=[3, 6]", "--set", "bench.seconds=5")
    # How fast a busy machine is at the moment is not what this test is about.
    file = desk.folder / "tuneloop.yaml"
    lenient = {"latency_p50_ratio": "<= 100", "error_share": "<= 0"}
    few = written(file, "evaluation", minimum_cases=5)
    with few, written(file, "bench", gates=lenient):
        found = as_json(desk.folder, "bench", "--gate", *under)
    assert (found["bundle"], found["against"]) == (desk.candidate, desk.production)
    assert found["gates"]["verdict"] == "passed" and len(found["gates"]["results"]) == 4
    assert len(found["lock"]) == 64
    assert [load["rate_per_second"] for load in found["loads"]] == [3.0, 6.0]
    for load in found["loads"]:
        assert load["bundle"]["requests"] == load["against"]["requests"] > 5
        assert load["bundle"]["figures"]["tokens_per_second_p50"]["value"] > 0
        ours, theirs = (load[name]["figures"]["latency_p50_ms"] for name in ("bundle", "against"))
        ratio = load["ratios"]["latency_p50_ratio"]
        assert ratio["value"] == pytest.approx(ours["value"] / theirs["value"])
        assert ratio["low"] <= ratio["value"] <= ratio["high"]
    few = written(file, "evaluation", minimum_cases=5)
    with few, written(file, "bench", gates={"first_token_p95_ms": "<= 0.1"}):
        missed = tuneloop(desk.folder, "bench", "--gate", *under, "--against", "none", code=3)
    assert "failed: 3/s.first_token_p95_ms" in missed.stdout
    assert "Gates failed." in missed.stdout


def test_what_cannot_be_done_is_said_before_anything_is_asked(desk: Desk) -> None:
    assert "Expected captured chats" in desk.before and "found none" in desk.before
    assert "Expected an age" in tuneloop(desk.folder, "backtest", "--since", "soon", code=2).stderr
    assert "no latency gate" in tuneloop(desk.folder, "bench", "--gate", code=2).stderr
    both = tuneloop(desk.folder, "bench", "--gate", "--rate", "3", code=2)
    assert "the model file declares" in both.stderr
