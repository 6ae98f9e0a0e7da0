"""The record of a run: what is needed to repeat it, and what came out (T3)."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tuneloop.training.config import TrainingConfig
from tuneloop.training.spec import TrainingSpec
from tuneloop.training.validation import OF_TRAINING, RECORDED

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
    settings: dict[str, dict[str, Any]] = {}
    for name, value in config.settings().items():
        settings[name] = {"value": value, "origin": origins.get(name, "default")}
        if name in in_force and in_force[name] != value:
            settings[name]["in_force"] = in_force[name]
    return settings


def package_versions() -> dict[str, str]:
    """Versions of what the result depends on."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def hardware(device: str, *, threads: int) -> dict[str, Any]:
    """The machine that a run was done on."""
    machine: dict[str, Any] = {
        "system": platform.platform(),
        "processor": _processor(),
        "threads": threads,
        "device": device,
    }
    if device == "cuda":
        import torch

        machine["gpu"] = torch.cuda.get_device_name()
        machine["gpu_memory_mb"] = torch.cuda.get_device_properties(0).total_memory // 1024**2
    return machine


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
    peaks = {"process": peak / (1024 if sys.platform != "darwin" else 1024**2)}
    if device == "cuda":
        import torch

        peaks["gpu"] = torch.cuda.max_memory_allocated() / 1024**2
    return {name: round(value, 1) for name, value in peaks.items()}


def loss_curves(log_history: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, float]]]:
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


def losses_of(log_history: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """The losses that stand for a run, in nats: the same whether it was interrupted or not.

    `final_loss` is the mean over the completion tokens of the last optimizer step, before its
    update (of preference training: the loss of its pairs). `best_eval_loss` is the lowest loss at
    the end of an epoch on the rows that were set aside for validation (with one pass, where there
    is nothing to pick, and in records of earlier releases: on the held-out rows), and
    `best_eval_step` and `best_eval_epoch` say which: the weights that are kept are those of that
    step. None where nothing was measured.
    """
    curves = loss_curves(log_history)
    best = min(curves["eval"], key=lambda point: point["loss"], default=None)
    return {
        "final_loss": curves["train"][-1]["loss"] if curves["train"] else None,
        "final_eval_loss": curves["eval"][-1]["loss"] if curves["eval"] else None,
        "best_eval_loss": None if best is None else best["loss"],
        "best_eval_step": None if best is None else best["step"],
        "best_eval_epoch": None if best is None else best["epoch"],
    }


@dataclass(frozen=True, kw_only=True)
class Losses:
    """What a stored record says about the losses of its run, in nats."""

    last: float | None
    """of the last optimizer step; None: it did not finish"""
    held_out: float | None
    """the lowest on the rows that it was measured on; None: there were none"""
    epoch: float | None
    """passes over the rows after which that was measured"""
    remark: str = ""
    """what a reader must know of a record that an earlier version wrote"""

    def __str__(self) -> str:
        """In words, for a person."""
        if self.last is None:
            return "no loss yet"
        said = f"last loss {self.last:.4f}"
        if self.held_out is not None:
            said += f", best evaluation loss {self.held_out:.4f}"
            said += "" if self.epoch is None else f" after epoch {self.epoch:.3g}"
        return f"{said} ({self.remark})" if self.remark else said


def losses(record: Mapping[str, Any]) -> Losses:
    """The losses of a record, also of one that an earlier version wrote."""
    points = record.get("loss_curves", {}).get("eval", [])
    best: Mapping[str, float] = min(points, key=lambda point: point["loss"], default={})
    older = "final_loss" in record and "best_eval_step" not in record
    resumed = older and record.get("resumed_from_step", 0) > 0
    return Losses(
        last=record.get("final_loss"),
        held_out=record.get("best_eval_loss"),
        epoch=record.get("best_eval_epoch", best.get("epoch")),
        remark="an earlier version measured it where the run was interrupted, too"
        if resumed and points
        else "",
    )


def identity(spec: TrainingSpec) -> dict[str, Any]:
    """What was trained on what: base, data and settings with their origins."""
    return {
        "base": dict(spec.base),
        "dataset": spec.dataset_digest,
        "config_digest": spec.config.digest(),
        "seed": spec.config.seed,
        **({RECORDED: OF_TRAINING} if spec.draws_validation else {}),
        **({"start_run": spec.start_run} if spec.start_run else {}),
    }


def trained_as(record: Mapping[str, Any], config: TrainingConfig) -> bool:
    """Whether a run with this record did what these settings ask for.

    What `precision: auto` decided is part of what was trained: a run that it let compute in bf16 is
    one with `precision: bf16`, and none with fp32. To ask for `auto` is to leave that open, so the
    decision of the run that is there already stands.
    """
    digest = record.get("config_digest", "")
    if digest == config.digest():
        return True
    if config.precision == "auto" or digest != config.but(precision="auto").digest():
        return False
    decided = record.get("hyperparameters", {}).get("precision", {}).get("in_force")
    return bool(decided == config.precision)


def write_record(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write record.json; its existence says that the rest of the folder is complete."""
    path = folder / "record.json"
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
    return partial.replace(path)
