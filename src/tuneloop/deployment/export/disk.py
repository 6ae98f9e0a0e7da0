"""Writing large files on a disk that may be too small, so that a failure leaves nothing behind."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tuneloop.errors import DeploymentError

_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# What a child process prints when it meets one of them; the last is numpy's, which keeps no errno.
FULL_MESSAGE = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|\d+ requested and \d+ written"
)
_PARTIAL = ".partial"


@contextmanager
def partial_file(output: Path, *, needed_bytes: int) -> Iterator[Path]:
    """Yield a temporary path beside `output`; rename it when the block ends well, else remove it.

    Raises:
        DeploymentError: when the disk is too small or becomes full.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}{_PARTIAL}")
    require_free_bytes(output.parent, needed_bytes)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(output)
    except OSError as e:
        if not is_full(e):
            raise
        raise disk_full(output, needed_bytes) from e
    finally:
        partial.unlink(missing_ok=True)


def is_full(error: OSError) -> bool:
    """Whether an error means that there is no more room."""
    return error.errno in _FULL_ERRNOS


def require_free_bytes(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what cannot be finished.

    Raises:
        DeploymentError: naming what is needed and what is free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise DeploymentError(
            f"The disk of {folder} is too small: {in_megabytes(needed_bytes)} are needed, "
            f"{in_megabytes(free)} are free.",
            remedy="Free some space there and repeat the command; finished files are kept.",
        )


def disk_full(output: Path, needed_bytes: int) -> DeploymentError:
    """The error of a disk that became full while `output` was written."""
    return DeploymentError(
        f"The disk became full while {output.name} was written to {output.parent}: "
        f"about {in_megabytes(needed_bytes)} are needed for it.",
        remedy="Free some space there and repeat the command; finished files are kept.",
    )


def in_megabytes(count: int) -> str:
    """A size in bytes as people read it."""
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.1f} GB"
