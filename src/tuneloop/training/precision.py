"""In which precision a run computes, and why: as set, as it began, or as this CPU measures.

bf16 products are several times quicker than fp32 on a CPU with units for them, and a hundred times
slower on one without; its name says too little. So both are timed, on a product of the shape that
the model's layers have, before a run begins. What the run began with is kept beside its
checkpoints: another machine that continues it computes in the same precision.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.errors import TrainingError
from tuneloop.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch

_CLEARLY_FASTER = 1.3
"""bf16 loses a little accuracy, so it has to be worth something; products are not all of a step."""
_SMALLEST = 2**18
"""Weights of a layer; the products of smaller ones are not what a step spends its time on."""
_SECONDS = 0.25
_FEWEST = 5
_FEW_TOKENS, _MANY_TOKENS = 32, 512
"""Of the first look, short even where bf16 is a hundred times slower, and of a pack."""
_WIDEST = 2048
"""Wider layers compute at the same speed, and would take too long to time."""
_HOPELESS = 4.0
"""As many times slower: not looked at any longer."""
_FILE = "precision.json"
_NAMES = ("fp32", "bf16", "fp16")

Measure = Callable[[tuple[int, int]], Mapping[str, float]]
"""GFLOP/s of this CPU by precision, for a layer of [out, in]."""


@dataclass(frozen=True, kw_only=True)
class Precision:
    """What a run computes in."""

    name: str
    """fp32, bf16 or fp16"""
    reason: str
    """Why, in words."""
    gflops: Mapping[str, float] = field(default_factory=dict)
    """GFLOP/s of the CPU by precision; empty where nothing was measured."""

    @property
    def dtype(self) -> torch.dtype:
        """As torch names it."""
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.name]

    def sentence(self) -> str:
        """In one line, for a person."""
        return f"{self.name}: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """Plain values, as the run's record holds them."""
        return asdict(self)


def chosen_precision(
    config: TrainingConfig,
    *,
    device: str,
    widest_layer: tuple[int, int],
    began: Precision | None,
    measure: Measure,
) -> Precision:
    """The precision of a run; `began` is that of an interrupted one that it continues.

    `widest_layer` is [out, in] of the base's largest linear layer.

    Raises:
        TrainingError: fp16 is asked for without a GPU.
    """
    if config.precision == "fp16" and device == "cpu":
        raise TrainingError(
            "training.precision is fp16, which only GPUs train in.",
            remedy="Set training.precision to auto or fp32.",
        )
    if config.precision != "auto":
        return Precision(name=config.precision, reason="as set")
    if began is not None:
        return began
    if device == "cuda":
        return _of_gpu()
    if config.method == "dpo":
        return Precision(name="fp32", reason="preferences are small differences of likelihoods")
    if config.method == "qlora":
        return Precision(name="fp32", reason="a base in NF4 is not quicker in bf16 on a CPU")
    if widest_layer[0] * widest_layer[1] < _SMALLEST:
        return Precision(name="fp32", reason="the base's layers are too small for more speed")
    return of_cpu(measure(widest_layer))


def _of_gpu() -> Precision:
    import torch

    if torch.cuda.is_bf16_supported():
        return Precision(name="bf16", reason="the GPU has it")
    return Precision(name="fp32", reason="the GPU has no bf16")


def of_cpu(gflops: Mapping[str, float]) -> Precision:
    """bf16 where it is clearly faster than fp32 on this CPU."""
    ratio = gflops["bf16"] / gflops["fp32"]
    name = "bf16" if ratio >= _CLEARLY_FASTER else "fp32"
    figures = f"{gflops['bf16']:.0f} GFLOP/s in bf16, {gflops['fp32']:.0f} in fp32"
    rounded = {precision: round(value, 1) for precision, value in gflops.items()}
    wanted = f"bf16 from {_CLEARLY_FASTER} x on"
    return Precision(name=name, reason=f"this CPU does {figures} ({wanted})", gflops=rounded)


def measured_gflops(shape: tuple[int, int], *, threads: int) -> dict[str, float]:
    """GFLOP/s of `tokens x in` times `in x out` in fp32 and bf16, in about a quarter of a second.

    `shape` is [out, in]. The two take turns, so a busy neighbour slows both; medians count.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        # A neighbour can only make a product slower: of a few short ones the best counts.
        first = _gflops(shape, tokens=_FEW_TOKENS, seconds=0.0, typical=min)
        if first["bf16"] * _HOPELESS < first["fp32"]:
            return first
        return _gflops(shape, tokens=_MANY_TOKENS, seconds=_SECONDS, typical=statistics.median)
    finally:
        torch.set_num_threads(before)


def _gflops(
    shape: tuple[int, int],
    *,
    tokens: int,
    seconds: float,
    typical: Callable[[Sequence[float]], float],
) -> dict[str, float]:
    import torch
    from torch.nn.functional import linear

    rows, columns = (min(width, _WIDEST) for width in shape)
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16}
    # Zeros could be quicker than what a model holds; the seed of the run is not touched.
    generator = torch.Generator().manual_seed(0)
    factors = {
        name: (
            torch.randn(tokens, columns, generator=generator).to(dtype),
            torch.randn(rows, columns, generator=generator).to(dtype),
        )
        for name, dtype in dtypes.items()
    }
    times: dict[str, list[float]] = {name: [] for name in dtypes}
    end = time.perf_counter() + seconds
    # The first product of a shape also prepares its kernel and does not count.
    while len(times["bf16"]) <= _FEWEST or time.perf_counter() < end:
        for name, (inputs, weights) in factors.items():
            start = time.perf_counter()
            linear(inputs, weights)
            times[name].append(time.perf_counter() - start)
    operations = 2 * tokens * rows * columns
    return {name: operations / typical(t[1:]) / 1e9 for name, t in times.items()}


def keep_began(checkpoints: Path, precision: Precision) -> None:
    """Note beside the checkpoints what the run computes in."""
    checkpoints.mkdir(parents=True, exist_ok=True)
    part = checkpoints / f"{_FILE}.part"
    part.write_text(json.dumps(precision.as_json()), encoding="utf-8")
    part.replace(checkpoints / _FILE)


def began_with(checkpoints: Path, *, device: str) -> Precision | None:
    """What a run with checkpoints began with; None: as the device does.

    Earlier versions noted nothing and began in fp32 on a CPU.

    Raises:
        TrainingError: what the run noted cannot be read.
    """
    path = checkpoints / _FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        noted = Precision(name=value["name"], reason=value["reason"], gflops=value["gflops"])
        if noted.name not in _NAMES:
            raise ValueError(f"the name is {noted.name!r}")
    except FileNotFoundError:
        if device == "cuda":
            return None
        return Precision(name="fp32", reason="an earlier version began this run")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as e:
        raise TrainingError(
            f"{path} does not say what the run began to compute in: expected a name "
            f"({', '.join(_NAMES)}), reason and gflops, found {type(e).__name__}: {e}.",
            remedy=f"Put the file back, or remove {checkpoints}: the run then begins anew.",
        ) from e
    return noted
