"""Everything that tuneloop raises on purpose.

    TuneloopError                 exit code 1
    ├── UsageError                exit code 2: the request cannot be understood
    ├── ModelFileError            exit code 2: tuneloop.yaml is wrong
    ├── CheckError                what would fail later, found before anything was begun
    ├── DataError                 the rows cannot be used
    ├── BaseModelError            the base model is missing or is another one
    ├── TrainingError             training could not start or finish
    ├── EvaluationError           an evaluation could not be carried out
    ├── GateError                 exit code 3: a gate failed, a candidate was refused
    ├── DeploymentError           a bundle could not be exported, loaded or served
    ├── StoreError                a store is unreachable, full or inconsistent
    │   ├── CorruptArtifactError  bytes do not match their digest
    │   └── ConflictError         somebody else changed it first
    ├── BusyError                 another process is doing this
    ├── NotAllowedError           this person may not do it
    ├── ExtensionError            what an installed package adds cannot be used
    └── MissingExtraError         an optional dependency is not installed

A message says what was expected, what was found and where; ``remedy`` says what to do next.
Neither ever holds a secret.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class TuneloopError(Exception):
    """Something that the user can understand and act on."""

    exit_code = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n{self.remedy}" if self.remedy else self.message


class UsageError(TuneloopError):
    """The request cannot be understood."""

    exit_code = 2


class ModelFileError(TuneloopError):
    """tuneloop.yaml is missing or wrong."""

    exit_code = 2


class CheckError(TuneloopError):
    """A look before the work found what would make it fail later."""


class DataError(TuneloopError):
    """The rows cannot be used."""


class BaseModelError(TuneloopError):
    """The base model is missing, unreadable or not the one that was pinned."""


class TrainingError(TuneloopError):
    """Training could not start or did not finish."""


class EvaluationError(TuneloopError):
    """An evaluation could not be carried out."""


class GateError(TuneloopError):
    """A gate failed, so a candidate was refused."""

    exit_code = 3


class DeploymentError(TuneloopError):
    """A bundle could not be exported, loaded or served."""


class StoreError(TuneloopError):
    """A store is unreachable, full or inconsistent."""


class CorruptArtifactError(StoreError):
    """Stored bytes do not match their digest."""


class ConflictError(StoreError):
    """Somebody else changed the same record first."""


class BusyError(TuneloopError):
    """Another process is already doing this."""


class NotAllowedError(TuneloopError):
    """This person may not do it; the message says who may."""


class ExtensionError(TuneloopError):
    """What an installed package adds to tuneloop cannot be used; the message names the package."""


class MissingExtraError(TuneloopError):
    """An optional dependency is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency.

    Raises:
        MissingExtraError: naming the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as e:
        if e.name is not None and module.split(".")[0] != e.name.split(".")[0]:
            raise
        raise MissingExtraError(
            f"This step needs the Python package {module.split('.')[0]!r}, which is not installed.",
            remedy=f"Install it with: pip install 'tuneloop[{extra}]'",
        ) from e
