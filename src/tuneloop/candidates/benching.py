"""Latency as a gate: a bundle beside production, in turns, under the loads of the model file.

The gates are read and hashed before the first request (`gates.lock`), and judged by the rules of
every other gate: the measured value decides, and too few requests pass nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from tuneloop.deployment import bundle_server, load, servers
from tuneloop.deployment.load import Load, Question
from tuneloop.deployment.load_figures import FIGURES, RATIOS, LoadComparison
from tuneloop.errors import UsageError
from tuneloop.evaluation import gates
from tuneloop.evaluation import record as evaluations
from tuneloop.evaluation.gates import GateLock, GateOutcome, SuiteSize
from tuneloop.evaluation.report import CANDIDATE
from tuneloop.modelfile import BenchSettings, ModelSettings
from tuneloop.project import Project
from tuneloop.registry.bundle import Bundle
from tuneloop.registry.routes import Target
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What a bundle's server showed under one load after the other."""

    bundle: str
    """Bundle id."""
    against: str | None
    """Bundle id; None: it was measured alone."""
    loads: tuple[LoadComparison, ...]
    gates: GateOutcome | None = None
    """None: it was not held against any."""
    lock: str | None = None
    """Digest of the gates and of all that decides their verdict."""


def declared_loads(settings: BenchSettings) -> tuple[Load, ...]:
    """The loads of the model file, one a rate."""
    return tuple(
        Load(rate_per_second=rate, seconds=settings.seconds) for rate in settings.rates_per_second
    )


def bench(project: Project, bundle: Bundle, *, against: str | None, loads: Sequence[Load]) -> Bench:
    """Measure a bundle under each load, in turns with the one that `against` names.

    Raises:
        UsageError: it was never evaluated, so there is nothing to ask it.
        DeploymentError: a server does not come up.
    """
    other = _other(project, bundle, against)
    questions = _questions(project.workspace, bundle)
    try:
        with ExitStack() as open_servers:
            mine = _target(project.workspace, bundle, open_servers)
            theirs = _target(project.workspace, other, open_servers) if other else None
            return Bench(
                bundle=bundle.id,
                against=other.id if other else None,
                loads=tuple(
                    _measured(project, mine, theirs, questions, planned) for planned in loads
                ),
            )
    finally:
        servers.release_unused(project.workspace, keep=set())


def gate(project: Project, bundle: Bundle, *, against: str | None) -> Bench:
    """Hold a bundle against the latency gates of the model file, under its loads.

    Raises:
        UsageError: no gate is declared, or as `bench`; nothing was asked.
        EvaluationError: a gate cannot be understood; nothing was asked.
        DeploymentError: as `bench`.
    """
    loads = declared_loads(project.model.bench)
    locked = lock(project.model, loads)
    done = bench(project, bundle, against=against, loads=loads)
    outcome = gate_outcome(locked, done.loads, minimum_requests=_minimum(project.model))
    return replace(done, gates=outcome, lock=locked.digest)


def lock(model: ModelSettings, loads: Sequence[Load]) -> GateLock:
    """Fix the gates: each holds at every rate.

    Raises:
        UsageError: none is declared.
        EvaluationError: one cannot be understood.
    """
    if not model.bench.gates:
        raise UsageError(
            "The model file declares no latency gate.",
            remedy='Declare one under bench.gates, e.g. first_token_p95_ms: "<= 800".',
        )
    known = (*FIGURES, *RATIOS)
    declared = [
        parsed
        for name in dict.fromkeys(map(_name, loads))
        for parsed in gates.parse_gates(model.bench.gates, metrics={name: known}, main_suite=name)
    ]
    terms = {
        "loads": [[planned.rate_per_second, planned.seconds, planned.seed] for planned in loads],
        "timeout_seconds": [planned.timeout_seconds for planned in loads],
        "blocks": load.BLOCKS,
        "minimum_requests": _minimum(model),
    }
    return gates.lock(declared, terms=terms)


def gate_outcome(
    locked: GateLock, loads: Sequence[LoadComparison], *, minimum_requests: int
) -> GateOutcome:
    """The verdict on what was measured; fewer requests than the minimum pass no gate."""
    return gates.apply_gates(
        locked,
        figures={
            _name(comparison): {**comparison.bundle.figures, **comparison.ratios}
            for comparison in loads
        },
        sizes={
            _name(comparison): SuiteSize(
                cases=comparison.bundle.requests, minimum_cases=minimum_requests
            )
            for comparison in loads
        },
    )


def _other(project: Project, bundle: Bundle, against: str | None) -> Bundle | None:
    """None where there is nothing to compare with: not yet, or it is the same bundle."""
    live = project.in_production()
    if against is None or (against == "production" and live is None):
        return None
    other = project.bundle(against)
    return None if other.id == bundle.id else other


def _measured(
    project: Project,
    bundle: Target,
    against: Target | None,
    questions: Sequence[Question],
    under: Load,
) -> LoadComparison:
    turns = " in turns with the other one" if against else ""
    project.progress.step(
        f"Asking {under.rate_per_second:g} times a second for {under.seconds:g} s{turns}"
    )
    return load.measure(bundle, against, questions, under, progress=project.progress)


def _target(workspace: Workspace, bundle: Bundle, open_servers: ExitStack) -> Target:
    server = open_servers.enter_context(bundle_server.opened(workspace, bundle))
    return servers.target(bundle.id, bundle.manifest, server.base_url)


def _questions(workspace: Workspace, bundle: Bundle) -> list[Question]:
    """What the bundle was asked in its evaluation, as clients send it: without its system text."""
    row = evaluations.find(workspace, bundle.manifest.evaluation.id)
    asked = [a for a in evaluations.read_answers(workspace, row) if a["target"] == CANDIDATE]
    own = {"role": "system", "content": bundle.manifest.task.system}
    return [
        messages[1:] if messages[0] == own else messages
        for messages in (a["messages"] for a in asked if a["suite"] == asked[0]["suite"])
    ]


def _name(under: Load | LoadComparison) -> str:
    return f"{under.rate_per_second:g}/s"


def _minimum(model: ModelSettings) -> int:
    return 0 if model.evaluation.allow_small_suite else model.evaluation.minimum_cases
