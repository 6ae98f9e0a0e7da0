"""Whether a model still is the same model after each step of its export.

    trained adapter → merged → GGUF f16, served → each quantisation, served

Each step is compared with the one before it, on the same prompts: first the token ids that chat
template and tokenizer make, then the greedy answers and how far the log-probabilities of their
tokens moved. Answers are compared up to the first token that differs, for beyond it the two models
see different texts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from tuneloop.deployment.backends.base import ObservingBackend
from tuneloop.deployment.export.child import Child
from tuneloop.deployment.export.forms.form import F16, SAFETENSORS
from tuneloop.deployment.export.merge import is_adapter
from tuneloop.deployment.export.observe import Weights, observe_weights
from tuneloop.deployment.export.stage import Export
from tuneloop.deployment.observation import Observation, Prompt
from tuneloop.errors import DeploymentError, GateError
from tuneloop.progress import Progress

ADAPTER = "adapter"
MERGED = "merged"
DEFAULT_POSITIONS = 16


@dataclass(frozen=True, kw_only=True)
class ParityBounds:
    """How far a step may move a model."""

    max_logprob_difference: float = math.inf
    """Of any greedy token, in nats."""
    mean_logprob_difference: float = math.inf
    """Over all compared positions, in nats."""
    min_agreement: float = 0.0
    """Share of prompts with the same greedy answer, 0..1."""


# A copy in the same or half precision must hold token by token: three times what SmolLM2-135M
# on nine prompts (f16 0.02). A quantisation may turn single tokens over, and a tuned model is so
# sure of itself that one such token moves by several nats (6.8 seen in Q5_K_M); what a broken file
# cannot keep small is the mean. Quality is the gates' business, not parity's.
DEFAULT_BOUNDS: Mapping[str, ParityBounds] = {
    MERGED: ParityBounds(max_logprob_difference=0.01, min_agreement=0.5),
    "f16": ParityBounds(max_logprob_difference=0.05, min_agreement=0.5),
    "q8_0": ParityBounds(mean_logprob_difference=0.1),
    "q5_k_m": ParityBounds(mean_logprob_difference=0.3),
    "q4_k_m": ParityBounds(mean_logprob_difference=0.6),
}
OTHER_BOUNDS = DEFAULT_BOUNDS["q4_k_m"]
"""Of forms that packages add; `export.parity` says better."""
_NOTHING_TOLD = "the server tells no log-probabilities, so nothing can be compared"
# Merging into 16-bit weights rounds every weight once more.
SIXTEEN_BIT_MERGE = ParityBounds(max_logprob_difference=0.1, min_agreement=0.5)


@dataclass(frozen=True, kw_only=True)
class ParityVerdict:
    """What became of one step."""

    hop: str
    """The step, named by what it makes: merged, f16, q8_0 …"""
    reference: str
    passed: bool
    reason: str
    prompts: int
    same_token_ids: int
    """Prompts that became the same token ids."""
    agreement: float | None
    """Share of prompts with the same greedy answer; None where the token ids differ."""
    largest_logprob_difference: float | None
    mean_logprob_difference: float | None
    positions: int
    """Token positions compared."""
    bounds: ParityBounds


class Served(Protocol):
    """A running model server."""

    @property
    def base_url(self) -> str:
        """Its OpenAI endpoint."""


class Known(Protocol):
    """Verdicts of earlier checks of the same files."""

    def find(self, hop: str, reference: str, *, prompts: int) -> ParityVerdict | None:
        """What at least so many prompts showed, if any did."""

    def keep(self, verdict: ParityVerdict) -> None:
        """Remember a step that passed."""


def check_parity(
    *,
    base: Path,
    trained: Path,
    export: Export,
    prompts: Sequence[Prompt],
    serve: Callable[[Path], AbstractContextManager[Served]],
    reader: ObservingBackend,
    bounds: Mapping[str, float] | None = None,
    prompts_of: Mapping[str, int] | None = None,
    known: Known | None = None,
    positions: int = DEFAULT_POSITIONS,
    progress: Progress,
    child: Child | None = None,
) -> list[ParityVerdict]:
    """Compare every form of an export with the one that it was made from.

    `serve` runs a GGUF file on `reader`, which tells what it does with a prompt, for as long as the
    context lasts. `bounds` replaces a step's bound: the largest difference for f16, the mean one
    for a quantisation. `prompts_of` says of how many prompts, the first ones, a form is asked;
    default: all. What is `known` is judged by the bounds of now and not asked again. Stops when
    merged or f16 weights fail, for what follows is made from them. `child` is one that
    the caller goes on with.

    Raises:
        DeploymentError: a form cannot be loaded, served or asked.
    """
    if not prompts:
        raise DeploymentError("The parity check needs at least one prompt, got none.")
    steps = _steps(export, adapted=is_adapter(trained))
    allowed = {hop: DEFAULT_BOUNDS.get(hop, OTHER_BOUNDS) for hop, _ in steps}
    allowed |= _merge_bounds(export)
    for hop, difference in (bounds or {}).items():
        bounded = "max" if hop == F16 else "mean"
        default = allowed.get(hop, OTHER_BOUNDS)
        allowed[hop] = replace(default, **{f"{bounded}_logprob_difference": difference})
    look = _Look(
        base=base,
        trained=trained,
        export=export,
        prompts=prompts,
        prompts_of=prompts_of or {},
        serve=serve,
        reader=reader,
        positions=positions,
        child=child,
        progress=progress,
    )
    verdicts: list[ParityVerdict] = []
    seen_before: list[str] = []
    for hop, reference in steps:
        if not all(verdict.passed for verdict in verdicts if verdict.hop in (MERGED, F16)):
            break
        asked = prompts[: look.prompts_of.get(hop)]
        earlier = known.find(hop, reference, prompts=len(asked)) if known else None
        if earlier is not None:
            verdicts.append(under_bounds(earlier, allowed[hop]))
            seen_before.append(f"{reference} → {hop}")
            continue
        before = look.at(reference)[: len(asked)]
        verdict = compare_observations(hop, reference, before, look.at(hop), allowed[hop])
        verdicts.append(verdict)
        if known and verdict.passed:
            known.keep(verdict)
    if seen_before:
        progress.note(f"Parity of {', '.join(seen_before)} was shown before, for these very files")
    return verdicts


def _steps(export: Export, *, adapted: bool) -> list[tuple[str, str]]:
    """Each step of the export with what it is compared with; of what can be served."""
    converted = F16 if F16 in export.forms else MERGED
    forms = [name for name, form in export.forms.items() if form.is_gguf]
    merged = [(MERGED, ADAPTER)] if adapted else []
    return merged + [(form, MERGED if form == F16 else converted) for form in forms]


@dataclass(kw_only=True)
class _Look:
    """What each form does with the prompts; a form is asked when that is wanted, and once."""

    base: Path
    trained: Path
    export: Export
    prompts: Sequence[Prompt]
    prompts_of: Mapping[str, int]
    serve: Callable[[Path], AbstractContextManager[Served]]
    reader: ObservingBackend
    positions: int
    child: Child | None
    progress: Progress
    seen: dict[str, Sequence[Observation]] = field(default_factory=dict)

    def at(self, form: str) -> Sequence[Observation]:
        """An observation for each of the prompts that the form is asked."""
        if form not in self.seen:
            if form in (ADAPTER, MERGED):
                self._ask_weights([MERGED, *([ADAPTER] if form == ADAPTER else [])])
            else:
                self._ask_served(form)
        return self.seen[form]

    def _ask_weights(self, forms: Sequence[str]) -> None:
        self.progress.step(
            "Parity: asking the trained and the merged weights"
            if ADAPTER in forms
            else "Parity: asking the merged weights"
        )
        places = {
            MERGED: Weights(folder=self.export.path(SAFETENSORS)),
            ADAPTER: Weights(folder=self.base, adapter=self.trained),
        }
        observed = observe_weights(
            [places[form] for form in forms],
            self.prompts,
            positions=self.positions,
            progress=self.progress,
            child=self.child,
        )
        self.seen.update(zip(forms, observed, strict=True))

    def _ask_served(self, form: str) -> None:
        self.progress.step(f"Parity: asking {form}, served")
        with self.serve(self.export.path(form)) as server:
            self.seen[form] = self.reader.observe(
                server.base_url,
                self.prompts[: self.prompts_of.get(form)],
                positions=self.positions,
                progress=self.progress,
            )


def require_parity(verdicts: Sequence[ParityVerdict]) -> None:
    """Refuse a candidate whose export changed it.

    Raises:
        GateError: naming the step and by how much it is off.
    """
    for verdict in verdicts:
        if not verdict.passed:
            raise GateError(
                f"The export step {verdict.reference} → {verdict.hop} changed the model: "
                f"{verdict.reason}.",
                remedy=f"Do not serve it. If this is acceptable, raise `export.parity."
                f"{verdict.hop}` in tuneloop.yaml, or serve a quantisation with more bits.",
            )


def compare_observations(
    hop: str,
    reference_name: str,
    reference: Sequence[Observation],
    candidate: Sequence[Observation],
    bounds: ParityBounds,
) -> ParityVerdict:
    """Compare two models' observations of the same prompts; pure."""
    pairs = list(zip(reference, candidate, strict=True))
    same_ids = sum(a.prompt_ids == b.prompt_ids for a, b in pairs)
    agreement = largest = mean = None
    positions = 0
    if same_ids < len(pairs):
        reason = _token_id_reason(pairs)
    else:
        agreement = sum(a.generated_ids == b.generated_ids for a, b in pairs) / len(pairs)
        differences = [d for a, b in pairs for d in logprob_differences(a, b)]
        positions, largest = len(differences), max(differences, default=0.0)
        mean = sum(differences) / max(1, positions)
        reason = _bound_reason(agreement, largest, mean, bounds) if differences else _NOTHING_TOLD
    return ParityVerdict(
        hop=hop,
        reference=reference_name,
        passed=not reason,
        reason=reason or f"log-probabilities moved by {mean:.2g} on average, {largest:.2g} at most",
        prompts=len(pairs),
        same_token_ids=same_ids,
        agreement=agreement,
        largest_logprob_difference=largest,
        mean_logprob_difference=mean,
        positions=positions,
        bounds=bounds,
    )


def under_bounds(found: ParityVerdict, bounds: ParityBounds) -> ParityVerdict:
    """A verdict on what was seen earlier, by other bounds; pure."""
    agreement, largest = found.agreement, found.largest_logprob_difference
    mean = found.mean_logprob_difference
    if agreement is None or largest is None or mean is None:
        return replace(found, bounds=bounds)
    reason = _bound_reason(agreement, largest, mean, bounds)
    moved = f"log-probabilities moved by {mean:.2g} on average, {largest:.2g} at most"
    return replace(found, passed=not reason, reason=reason or moved, bounds=bounds)


def logprob_differences(reference: Observation, candidate: Observation) -> list[float]:
    """For each position with the same text before it, how far its greedy tokens moved.

    A token outside the other model's list has at most the least value on that list, which gives a
    lower limit of its difference.
    """
    differences = []
    steps = zip(
        reference.generated_ids,
        candidate.generated_ids,
        reference.top_logprobs,
        candidate.top_logprobs,
        strict=False,  # one may have ended earlier
    )
    for wanted, got, before, after in steps:
        if before and after:
            moved = (abs(_value(before, token) - _value(after, token)) for token in {wanted, got})
            differences.append(max(moved))
        if wanted != got:
            break
    return differences


def _value(top: Mapping[int, float], token: int) -> float:
    return top[token] if token in top else min(top.values())


def _token_id_reason(pairs: Sequence[tuple[Observation, Observation]]) -> str:
    index, (a, b) = next((i, p) for i, p in enumerate(pairs) if p[0].prompt_ids != p[1].prompt_ids)
    ids = list(zip(a.prompt_ids, b.prompt_ids, strict=False))
    place = next((i for i, (x, y) in enumerate(ids) if x != y), len(ids))
    expected = a.prompt_ids[place] if place < len(a.prompt_ids) else "the end"
    actual = b.prompt_ids[place] if place < len(b.prompt_ids) else "the end"
    return (
        f"prompt {index + 1} becomes other token ids: at position {place} expected {expected}, "
        f"found {actual} (chat template or tokenizer differ)"
    )


def _bound_reason(agreement: float, largest: float, mean: float, bounds: ParityBounds) -> str:
    if largest > bounds.max_logprob_difference:
        return (
            f"a greedy token's log-probability moved by {largest:.3g}, "
            f"allowed are {bounds.max_logprob_difference:g}"
        )
    if mean > bounds.mean_logprob_difference:
        return (
            f"log-probabilities moved by {mean:.3g} on average, "
            f"allowed are {bounds.mean_logprob_difference:g}"
        )
    if agreement < bounds.min_agreement:
        return (
            f"the greedy answers agree on {agreement:.0%} of the prompts, "
            f"expected at least {bounds.min_agreement:.0%}"
        )
    return ""


def _merge_bounds(export: Export) -> dict[str, ParityBounds]:
    config = json.loads((export.path(SAFETENSORS) / "config.json").read_text("utf-8"))
    dtype = config.get("dtype") or config.get("torch_dtype")
    return {MERGED: SIXTEEN_BIT_MERGE} if dtype in ("float16", "bfloat16") else {}
