"""tuneloop keeps fine-tuned language models accurate, current and reliable."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop.progress import Progress
    from tuneloop.retraining.loop import Loop


def open(
    path: Path | str = "tuneloop.yaml",
    *,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Loop:
    """Open a model file and its workspace: every stage of the loop as a method.

    `overrides` are `key=value` texts with dotted keys; `progress` is told what long steps do.

    Raises:
        ModelFileError: the file is missing or wrong.
        StoreError: the workspace cannot be used.
    """
    from tuneloop.retraining.loop import Loop

    return Loop.open(path, overrides=overrides, progress=progress)
