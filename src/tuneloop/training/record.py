"""The record of a run: what is needed to repeat it, and what came out (T3)."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tuneloop.training.config import TrainingConfig
from tuneloop.training.spec import TrainingSpec

_PACKAGES = (
    "tuneloop",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "tokenizers",
    "safetensors",
    "bitsandbytes",
)


def hyperparameters(
    config: TrainingConfig, origins: Mapping[str, str], *, in_force: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Each setting with its origin; where a default depends on the run, the value in force too."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in config.settings().items():
        found[name] = {"value": value, "origin": origins.get(name, "default")}
        if name in in_force and in_force[name] != value:
            found[name]["in_force"] = in_force[name]
    return found


def package_versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: str, *, threads: int) -> dict[str, Any]:
    """The machine that a run was done on."""
    found: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "threads": threads,
        "device": device,
    }
    if device == "cuda":
        import torch

        found["gpu"] = torch.cuda.get_device_name()
        found["gpu_memory_mb"] = torch.cuda.get_device_properties(0).total_memory // 1024**2
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_memory_mb(device: str) -> dict[str, float]:
    """The most memory that this process has held so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"process": peak / (1024 if sys.platform != "darwin" else 1024**2)}
    if device == "cuda":
        import torch

        found["gpu"] = torch.cuda.max_memory_allocated() / 1024**2
    return {name: round(value, 1) for name, value in found.items()}


def loss_curves(log_history: list[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
    """The trainer's log as two curves, over all sessions of a resumed run.

    Of preference training with the rewards: beta times how much more likely, in nats, an answer has
    become, and the share of pairs whose better answer gained more.
    """
    train = [
        {
            "step": entry["step"],
            "loss": entry["loss"],
            "learning_rate": entry["learning_rate"],
            **_rewards(entry, ""),
        }
        for entry in log_history
        if "loss" in entry
    ]
    evaluation = [
        {
            "step": entry["step"],
            "epoch": entry["epoch"],
            "loss": entry["eval_loss"],
            **_rewards(entry, "eval_"),
        }
        for entry in log_history
        if "eval_loss" in entry
    ]
    return {"train": train, "eval": evaluation}


def _rewards(entry: dict[str, Any], prefix: str) -> dict[str, float]:
    names = {
        "margin": "rewards/margins",
        "accuracy": "rewards/accuracies",
        "chosen_reward": "rewards/chosen",
        "rejected_reward": "rewards/rejected",
    }
    return {
        name: entry[f"{prefix}{key}"] for name, key in names.items() if f"{prefix}{key}" in entry
    }


def identity(spec: TrainingSpec) -> dict[str, Any]:
    """What was trained on what: base, data and settings with their origins."""
    return {
        "base": dict(spec.base),
        "dataset": spec.dataset_digest,
        "config_digest": spec.config.digest(),
        "seed": spec.config.seed,
        **({"start_run": spec.start_run} if spec.start_run else {}),
    }


def write_record(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write record.json; its existence says that the rest of the folder is complete."""
    path = folder / "record.json"
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
    return partial.replace(path)
