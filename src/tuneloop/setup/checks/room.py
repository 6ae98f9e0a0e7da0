"""Memory and disk: is there room for the whole cycle, from training to two servers?"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tuneloop.deployment.export.disk import in_megabytes
from tuneloop.deployment.export.forms.form import SAFETENSORS
from tuneloop.deployment.export.forms.table import form_of
from tuneloop.deployment.export.stage import export_bytes
from tuneloop.registry.base_model import weight_files
from tuneloop.setup.checks.window import longest_row
from tuneloop.setup.finding import Finding, UnseenError, error, ok, warning
from tuneloop.setup.look import Look
from tuneloop.training.config import TrainingConfig
from tuneloop.training.memory import Architecture, MemoryPlan, free_memory_bytes, plan_memory

_SERVERS = 2
"""While a candidate is compared or rolled out, production answers beside it."""
_SERVER_BYTES = 300_000_000
"""Of llama.cpp's process beside weights and cache: buffers for one batch, the tokenizer."""
_CACHE_BYTES = 2
"""Of one number in the cache of keys and values: f16."""
_QUERY = ("nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits")
_QUERY_SECONDS = 3.0
_SMALLER = "Choose a smaller base, or a smaller endpoint.context_tokens or parallel_requests."


def memory(look: Look) -> Iterator[Finding]:
    """Training fits, and so do the servers of candidate and production."""
    sizes = look.base.architecture
    yield _training(look, sizes)
    if look.served_here:
        yield _serving(look, sizes)


def disk(look: Look) -> Iterator[Finding]:
    """What a cycle writes: the workspace's part, and what is kept for a base on this machine."""
    project, base = look.project, look.base
    parameters = base.architecture.parameters
    serve = form_of(look.model.export.serve)
    # A GGUF file is dequantised to fp32, and merged in that.
    merged = (
        sum(file.stat().st_size for file in weight_files(base.file))
        if base.is_folder
        else 4 * parameters
    )
    export = export_bytes(merged, parameters, [serve])
    state = 16 * parameters if look.model.training.method == "full" else 0
    cache = project.workspace.shared_folder("bases")
    dequantised = 0 if base.is_folder else merged
    untuned = export_bytes(0, parameters, [serve])
    needs = [
        # Stored while the folder that it was made in is still there.
        (project.workspace.root, export + state, export),
        (cache, dequantised, untuned),
    ]
    by_disk: dict[int, tuple[Path, int, int]] = {}
    for folder, certain, possible in needs:
        first, *before = by_disk.get(folder.stat().st_dev, (folder, 0, 0))
        by_disk[folder.stat().st_dev] = (first, before[0] + certain, before[1] + possible)
    for folder, certain, possible in by_disk.values():
        yield _room(folder, certain if look.is_first else 0, certain + possible)


def _room(folder: Path, least: int, most: int) -> Finding:
    free = shutil.disk_usage(folder).free
    said = (
        f"A cycle writes up to {in_megabytes(most)} on the disk of {folder}; "
        f"{in_megabytes(free)} are free."
    )
    if free < least:
        return error("disk", said, "Free some space there, or set TUNELOOP_WORKSPACE elsewhere.")
    if free < most:
        return warning("disk", said, "It is enough only where some of it is there already.")
    return ok("disk", said)


def training_plan(
    look: Look, sizes: Architecture, *, longest: int, weight_bytes: int = 4
) -> MemoryPlan:
    """What training needs where the longest row has `longest` tokens.

    Raises:
        UnseenError: nobody says how much memory is free.
    """
    config = TrainingConfig.from_settings(look.model.training.model_dump(mode="json"))
    device, free = _device(config)
    return plan_memory(
        sizes,
        config,
        device=device,
        compute_bytes=4 if device == "cpu" else weight_bytes,
        weight_bytes=weight_bytes,
        free_bytes=free,
        longest_row=longest * (2 if config.method == "dpo" else 1),
    )


def cache_bytes(look: Look, sizes: Architecture, *, window: int) -> int:
    """What a server keeps of keys and values, of all requests that it takes at a time."""
    tokens = window * look.model.endpoint.parallel_requests
    return 2 * _CACHE_BYTES * tokens * sizes.layers * sizes.key_value


def _training(look: Look, sizes: Architecture) -> Finding:
    longest = longest_row(look)
    smallest = training_plan(look, sizes, longest=longest, weight_bytes=2)
    largest = training_plan(look, sizes, longest=longest)
    remedy = (
        "Choose a smaller base, training.method: qlora (on a GPU), or a smaller "
        "training.max_length."
    )
    if not smallest.fits:
        # What was trained before may be all that is asked for.
        return (error if look.is_first else warning)(
            "memory", f"Training needs {smallest.sentence()}.", remedy
        )
    if not largest.fits:
        return warning(
            "memory", f"In fp32 training would need {largest.sentence()}; in bf16 it fits.", remedy
        )
    return ok("memory", f"Training needs {largest.sentence()}.")


def _serving(look: Look, sizes: Architecture) -> Finding:
    endpoint = look.model.endpoint
    serve = form_of(look.model.export.serve)
    share = 1.0 if serve.made_from == SAFETENSORS else serve.share_of_f16
    tokens = endpoint.context_tokens * endpoint.parallel_requests
    cache = cache_bytes(look, sizes, window=endpoint.context_tokens)
    each = int(2 * sizes.parameters * share) + cache + _SERVER_BYTES
    free = free_memory_bytes("cpu")
    said = (
        f"{_SERVERS} servers take about {in_megabytes(_SERVERS * each)} (each {serve.name} and "
        f"{tokens:,} tokens of cache); {in_megabytes(free)} are free."
    )
    if each > free:
        return error("memory", said, _SMALLER)
    if _SERVERS * each > free:
        return warning("memory", said, _SMALLER)
    return ok("memory", said)


def _device(config: TrainingConfig) -> tuple[str, int]:
    """Where training will compute, and how much memory is free there.

    Raises:
        UnseenError: there is a GPU, and nobody says how much of its memory is free.
    """
    if not computes_on_gpu(config):
        return "cpu", free_memory_bytes("cpu")
    try:
        told = subprocess.run(
            _QUERY, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=True
        )
        return "cuda", max(int(line) for line in told.stdout.split()) * 1024**2
    except (OSError, ValueError, subprocess.SubprocessError) as e:
        raise UnseenError(
            "There is a GPU, and nvidia-smi does not say how much of its memory is free.",
            remedy="Training looks at it before its first step.",
        ) from e


def computes_on_gpu(config: TrainingConfig) -> bool:
    """Whether training would; nothing is imported that could tell for sure."""
    return config.device != "cpu" and _torch_takes_gpus() and _has_gpu()


def _has_gpu() -> bool:
    return Path("/proc/driver/nvidia/version").exists() and (
        os.environ.get("CUDA_VISIBLE_DEVICES") != ""
    )


def _torch_takes_gpus() -> bool:
    """Whether the installed torch was built for them; importing it would tell, and takes long."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
