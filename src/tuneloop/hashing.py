"""Content identity: canonical JSON and SHA-256.

A digest is 64 lower-case hex digits; people see its first 12 (`short`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

SHORT_DIGITS = 12
_CHUNK_BYTES = 1 << 20
_CANONICAL = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no white space: equal values give equal text.

    Raises:
        ValueError: for NaN or infinity, which JSON cannot hold.
    """
    return _CANONICAL.encode(value)


def digest_text(text: str) -> str:
    """SHA-256 of the UTF-8 bytes of `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def digest_json(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return digest_text(canonical_json(value))


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def short(digest: str) -> str:
    """The digits that people see."""
    return digest[:SHORT_DIGITS]
