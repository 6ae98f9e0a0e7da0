"""Experiment trackers, to which a run also writes its losses: one row of the table each.

Our own are the trainer's integrations; they are set up as their libraries say, by environment
variables such as `MLFLOW_TRACKING_URI`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tuneloop.errors import TrainingError
from tuneloop.nearest import did_you_mean
from tuneloop.table import TRACKER_GROUP, Table

if TYPE_CHECKING:
    from transformers import TrainerCallback


@dataclass(frozen=True, kw_only=True)
class Tracker:
    """One row of the table."""

    name: str
    about: str
    callback: Callable[[], TrainerCallback]
    """Makes what the trainer calls; imported only when a run wants it."""
    needs: tuple[str, ...] = ()
    """Python packages of which one must be installed."""


def _integration(name: str) -> TrainerCallback:
    from transformers.integrations import get_reporting_integration_callbacks

    (callback,) = get_reporting_integration_callbacks([name])
    return callback()


_OWN = (
    Tracker(
        name="mlflow",
        about="MLflow",
        callback=partial(_integration, "mlflow"),
        needs=("mlflow",),
    ),
    Tracker(
        name="wandb",
        about="Weights & Biases",
        callback=partial(_integration, "wandb"),
        needs=("wandb",),
    ),
    Tracker(
        name="tensorboard",
        about="TensorBoard",
        callback=partial(_integration, "tensorboard"),
        needs=("tensorboard", "tensorboardX"),
    ),
)

TRACKERS = Table(TRACKER_GROUP, {tracker.name: tracker for tracker in _OWN}, kind=Tracker)


def chosen(names: Iterable[str]) -> list[Tracker]:
    """The trackers of these names, each ready to be used.

    Raises:
        TrainingError: there is none of a name, or its package is not installed.
        ExtensionError: one that a package adds cannot be used.
    """
    return [_ready(name) for name in names]


def _ready(name: str) -> Tracker:
    tracker = TRACKERS.find(name)
    if tracker is None:
        raise TrainingError(
            f"There is no tracker {name!r}.", remedy=did_you_mean(name, TRACKERS.names())
        )
    if tracker.needs and all(find_spec(package) is None for package in tracker.needs):
        raise TrainingError(
            f"The tracker {name!r} needs the Python package {tracker.needs[0]!r}, which is not "
            "installed.",
            remedy=f"Install it with: pip install {tracker.needs[0]}, or take the tracker out of "
            "training.trackers.",
        )
    return tracker
