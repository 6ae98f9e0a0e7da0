"""tuneloop keeps fine-tuned language models accurate, current and reliable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop.arguments import checked

__version__ = "0.1.0"

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tuneloop.loop import Loop
    from tuneloop.progress import Progress


@checked
def open(
    path: Path | str = "tuneloop.yaml",
    *,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    actor: str | None = None,
) -> Loop:
    """Open a model file and its workspace: every stage of the loop as a method.

    `path` is the model file or the folder it is in. The workspace is the folder `.tuneloop` beside
    it, or what the environment variable TUNELOOP_WORKSPACE names. `overrides` are `key=value` texts
    with dotted keys, such as `["training.epochs=5"]`. `progress` is told what long steps do; by
    default nobody is. `actor` is who acts, as the audit log names them; by default what the
    environment variable TUNELOOP_ACTOR says, else the system's user name.

    Raises:
        UsageError: an argument is of another kind.
        ModelFileError: the file is missing or wrong.
        StoreError: the workspace cannot be used.
    """
    from tuneloop.loop import Loop

    return Loop.open(path, overrides=overrides, progress=progress, actor=actor)
