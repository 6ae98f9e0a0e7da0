"""What `make bench-verdicts` simulates: through the product's rules, in few runs."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
SCRIPT = BENCHMARKS / "bench_verdicts.py"


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
        return runpy.run_path(str(SCRIPT), run_name="imported")


@pytest.fixture(scope="module")
def scenarios(bench: dict[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = bench["scenarios"]()
    return found


def happened(scenario: Any, runs: int) -> float:
    return float(sum(scenario.found(0, runs)) / runs)


def test_no_scenario_hides_another_and_each_kind_has_what_it_needs(
    bench: dict[str, Any], scenarios: Mapping[str, Any]
) -> None:
    assert len(scenarios) == sum(len(list(part.scenarios())) for part in bench["_PARTS"])
    for one in scenarios.values():
        assert (one.declared is not None) == (one.kind == "ours"), one.name
        assert (one.name.partition(": ")[0] in bench["PEERS"]) == (one.kind == "peers"), one.name


def test_every_peer_stands_beside_a_scenario_of_ours(
    bench: dict[str, Any], scenarios: Mapping[str, Any]
) -> None:
    cell = {"declared": None, "measured": [0.0, 0.0, 0.0], "n": 1}
    beside = bench["_by_scenario"](dict.fromkeys(scenarios, cell))
    alone = [what for what, of in beside.items() if not {"balanced", "strict", "lenient"} & set(of)]
    assert not alone


def test_runs_do_not_depend_on_how_they_are_divided(scenarios: Mapping[str, Any]) -> None:
    one = scenarios["balanced: 5% worse is deployed, n=50"]
    whole = one.found(0, 40)
    assert whole == one.found(0, 15) + one.found(15, 40)
    assert 0 < sum(whole) < 40


@pytest.mark.parametrize(
    "wrong",
    [
        "balanced: 10% worse is deployed, n=500",
        "balanced: 5% better is refused, n=500",
        "balanced: corrections: equal is called better, n=50",
        "balanced: clusters of 10 that repeat each other, ICC 0.3: equal is called better, n=120",
        "balanced: 5% of production's requests fail: 5% worse is called better, n=120",
        "balanced: subgroups: 20 of 120 cases, all lost: it is deployed",
        "strict: gate >= 0.9: a model of 0.85 passes, n=120",
        "balanced: imbalance 92:8: a constant answer passes the gates that init writes, n=50",
    ],
)
def test_what_is_wrong_hardly_happens(scenarios: Mapping[str, Any], wrong: str) -> None:
    assert happened(scenarios[wrong], 12) <= 1 / 12


@pytest.mark.parametrize(
    "wanted",
    [
        "balanced: 5% better is called better, n=500",
        "rollout: 20 % refused with 400: sent back",
        "refused: one in three, told within an hour",
    ],
)
def test_what_is_wanted_happens(scenarios: Mapping[str, Any], wanted: str) -> None:
    assert scenarios[wanted].kind == "power"
    assert happened(scenarios[wanted], 4) >= 0.75


def test_peers_err_on_the_same_scenarios(scenarios: Mapping[str, Any]) -> None:
    assert happened(scenarios["point: corrections: equal is called better, n=120"], 12) > 0.8
    assert happened(scenarios["z test: 5% worse is deployed, n=50"], 12) > 0.7
    assert happened(scenarios["McNemar: 10 looks: one 5% worse is deployed, n=120"], 12) > 0.9
    assert happened(scenarios["point: rollout: 20 % refused with 400: sent back"], 4) == 0


@pytest.mark.parametrize("copies", [True, False])
def test_clusters_have_the_correlation_that_they_are_said_to_have(
    bench: dict[str, Any], copies: bool
) -> None:
    suites = sys.modules["verdict_bench.suites"]
    truth = suites.Truth(production=0.8, cluster_size=10, correlation=0.3, copies=copies)
    _, result = suites.drawn(np.random.default_rng(1), suites.suite_of(20_000, 10), truth)
    right = suites.right_in(result).reshape(-1, 10).astype(float)  # (clusters, cases)
    assert abs(right.mean() - 0.8) < 0.02
    between = np.cov(right[:, 0], right[:, 5])
    assert abs(between[0, 1] / between[0, 0] - 0.3) < 0.08


def test_more_runs_where_chance_alone_would_exceed_the_declared_rate(
    scenarios: Mapping[str, Any],
) -> None:
    assert scenarios["balanced: 2% worse is deployed, n=120"].runs(2_000) > 15_000
    assert scenarios["balanced: 10% worse is deployed, n=120"].runs(2_000) == 2_000
    assert scenarios["silence: a quarter of 40 requests an hour"].runs(2_000) == 400


def test_a_rate_above_the_declared_one_is_seen(bench: dict[str, Any]) -> None:
    def cell(value: float) -> dict[str, Any]:
        return {"declared": 0.05, "measured": [value, 0.0, 1.0], "n": 100}

    assert bench["is_above"](cell(0.061))
    assert not bench["is_above"](cell(0.06))


def test_an_hour_may_be_had_in_pieces(bench: dict[str, Any], tmp_path: Path) -> None:
    first, second, *_ = bench["scenarios"]()
    file = tmp_path / "verdicts.json"
    file.write_text(json.dumps({"is no more": {"n": 1}, first: {"n": 1}}))
    bench["keep"](file, {second: {"n": 2}})
    bench["keep"](file, {first: {"n": 3}})
    assert json.loads(file.read_text()) == {first: {"n": 3}, second: {"n": 2}}


def test_one_command_ends_in_one_json_object_and_a_table_that_fits() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--runs=2", "--processes=1", "--only=10% worse is deployed"],
        capture_output=True,
        text=True,
        check=False,
    )
    cells = json.loads(done.stdout.splitlines()[-1])
    assert cells and done.returncode in (0, 1)
    for cell in cells.values():
        assert set(cell) == {"declared", "measured", "n"}
        low, high = cell["measured"][1:]
        assert low <= cell["measured"][0] <= high and cell["n"] >= 2
    assert "McNemar" in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 80
