"""What the headers of safetensors files tell, without loading a weight."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

from tuneloop.errors import DeploymentError
from tuneloop.registry.base_model import weight_files

_MOST_HEADER_BYTES = 100 << 20  # the format's own limit


def tensor_headers(file: Path) -> dict[str, dict[str, Any]]:
    """name → dtype, shape and data_offsets, as the file's header has them.

    Raises:
        DeploymentError: when the file is not a whole safetensors file.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(size - 8, _MOST_HEADER_BYTES):
            raise _broken(file, "its header is incomplete")
        try:
            header = json.loads(stream.read(length))
        except ValueError as e:
            raise _broken(file, "its header is not JSON") from e
    header.pop("__metadata__", None)
    end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if 8 + length + end != size:
        raise _broken(file, f"it should have {8 + length + end} bytes and has {size}")
    return dict(header)


def parameter_count(folder: Path) -> int:
    """How many numbers the safetensors files of a folder hold, those that are loaded."""
    return sum(
        math.prod(entry["shape"])
        for file in weight_files(folder)
        for entry in tensor_headers(file).values()
    )


def _broken(file: Path, reason: str) -> DeploymentError:
    return DeploymentError(
        f"{file} is not a whole safetensors file: {reason}.",
        remedy="Get or write the file again.",
    )
