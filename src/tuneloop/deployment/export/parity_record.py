"""Parity that was shown before, kept under the identity of what was compared.

That identity holds the files on both sides, what read them and how they were served, not the
prompts: they are the sample by which two files are compared, and what they showed stays true of the
files. Bounds are no part of it either, for the figures are kept, and judged by the bounds of the
day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuneloop.deployment.export.disk import partial_file
from tuneloop.deployment.export.forms.form import SAFETENSORS
from tuneloop.deployment.export.parity import (
    ADAPTER,
    DEFAULT_POSITIONS,
    MERGED,
    ParityBounds,
    ParityVerdict,
)
from tuneloop.deployment.export.stage import Export
from tuneloop.hashing import canonical_json, digest_json, short


class ParityRecord:
    """What is known of one export's files."""

    def __init__(
        self, folder: Path, export: Export, *, reader: str, served_with: Mapping[str, Any]
    ) -> None:
        """`folder` holds a small file for each step that passed.

        `reader`: version of the server that reads every form but the merged weights, and
        `served_with` its settings.
        """
        self._folder = folder
        self._export = export
        self._reader = reader
        self._served_with = served_with

    def find(self, hop: str, reference: str, *, prompts: int) -> ParityVerdict | None:
        """What at least so many prompts showed; its bounds are none."""
        try:
            stored = json.loads(self._path(hop, reference).read_text("utf-8"))
            verdict = ParityVerdict(**stored, bounds=ParityBounds())
        except (OSError, ValueError, TypeError):
            return None  # never asked, or a torn file: it is asked again
        return verdict if verdict.prompts >= prompts else None

    def keep(self, verdict: ParityVerdict) -> None:
        """Remember a step that passed.

        Raises:
            DeploymentError: the disk is full.
        """
        stored = {key: value for key, value in asdict(verdict).items() if key != "bounds"}
        text = canonical_json(stored) + "\n"
        path = self._path(verdict.hop, verdict.reference)
        with partial_file(path, needed_bytes=len(text)) as partial:
            partial.write_text(text, "utf-8")

    def _path(self, hop: str, reference: str) -> Path:
        compared = {
            "hop": hop,
            "before": self._identity(reference),
            "after": self._identity(hop),
            "positions": DEFAULT_POSITIONS,
            "read_by": [self._reader, *(f"{name} {version(name)}" for name in _READERS)],
        }
        if hop != MERGED:
            compared["served_with"] = dict(self._served_with)
        return self._folder / f"{short(digest_json(compared))}.json"

    def _identity(self, form: str) -> Mapping[str, Any] | Sequence[str]:
        if form == ADAPTER:
            return {key: self._export.inputs.get(key) for key in ("base", "trained")}
        files = self._export.forms[SAFETENSORS if form == MERGED else form].files
        return [file.digest for file in files]


_READERS = ("torch", "transformers", "peft")
