"""What a training process is told, in one JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuneloop.errors import TrainingError
from tuneloop.training.config import TrainingConfig

SPEC_NAME = "spec.json"
LOG_NAME = "log.txt"
LOCK_NAME = "running.lock"
CHECKPOINTS_NAME = "checkpoints"
OUTPUT_NAME = "output"
RECORD_NAME = "record.json"


@dataclass(frozen=True, kw_only=True)
class TrainingSpec:
    """Everything that a training process needs; it knows paths and no stores."""

    base_folder: Path
    """Hugging Face folder of the base model."""
    train_file: Path
    """Rows to train on, in the row format of a dataset version; for DPO its preference pairs."""
    eval_file: Path | None
    """Rows that the evaluation loss is measured on, never trained; None: see `draws_validation`."""
    run_folder: Path
    """Where the process works: log, checkpoints and, at the end, `output`."""
    config: TrainingConfig
    draws_validation: bool = False
    """Without an `eval_file`: rows of `train_file` are set aside for it, see
    `training.validation`."""
    start_folder: Path | None = None
    """Adapter that preference training goes on from; None: a new one on the base."""
    start_run: str = ""
    """The run that made it."""
    origins: dict[str, str] = field(default_factory=dict)
    """Where each setting of `config` comes from: default, file, flag, environment."""
    dataset_digest: str = ""
    """Identity of the dataset version that holds the two files."""
    base: dict[str, str] = field(default_factory=dict)
    """Spec, revision and digest of the base model."""

    @property
    def output_folder(self) -> Path:
        """What the run makes: `adapter` or `model`, and `record.json`, written last."""
        return self.run_folder / OUTPUT_NAME

    @property
    def log_file(self) -> Path:
        """Everything the libraries say, and tracebacks."""
        return self.run_folder / LOG_NAME

    def write(self) -> Path:
        """Write the spec into its run folder."""
        self.run_folder.mkdir(parents=True, exist_ok=True)
        path = self.run_folder / SPEC_NAME
        # A half-written spec would belong to no checkpoint: they would be thrown away.
        part = path.with_suffix(".part")
        part.write_text(json.dumps(self._as_json(), indent=2, ensure_ascii=False), encoding="utf-8")
        part.replace(path)
        return path

    def _as_json(self) -> dict[str, Any]:
        return {
            "base_folder": str(self.base_folder),
            "train_file": str(self.train_file),
            "eval_file": None if self.eval_file is None else str(self.eval_file),
            "draws_validation": self.draws_validation,
            "run_folder": str(self.run_folder),
            "start_folder": None if self.start_folder is None else str(self.start_folder),
            "start_run": self.start_run,
            "config": self.config.settings(),
            "origins": self.origins,
            "dataset_digest": self.dataset_digest,
            "base": self.base,
        }

    @classmethod
    def read(cls, path: Path) -> TrainingSpec:
        """Read what `write` wrote.

        Raises:
            TrainingError: when the file is not such a spec.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            evaluation, start = value["eval_file"], value.get("start_folder")
            return cls(
                base_folder=Path(value["base_folder"]),
                train_file=Path(value["train_file"]),
                eval_file=None if evaluation is None else Path(evaluation),
                draws_validation=value.get("draws_validation", False),
                run_folder=Path(value["run_folder"]),
                start_folder=None if start is None else Path(start),
                start_run=value.get("start_run", ""),
                config=TrainingConfig.from_settings(value["config"]),
                origins=value["origins"],
                dataset_digest=value["dataset_digest"],
                base=value["base"],
            )
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise TrainingError(f"{path} is not a training spec: {e!r}.") from e
