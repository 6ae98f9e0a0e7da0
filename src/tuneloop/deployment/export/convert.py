"""Hugging Face folder → GGUF f16, by llama.cpp's own converter in a child process."""

from __future__ import annotations

import re
from pathlib import Path

from tuneloop.deployment.export import converter_process
from tuneloop.deployment.export.child import Child, lent
from tuneloop.deployment.export.disk import partial_file
from tuneloop.deployment.export.llama_cpp import find_converter
from tuneloop.deployment.export.weights import parameter_count
from tuneloop.errors import DeploymentError
from tuneloop.progress import Progress

_HEADER_BYTES = 32 << 20  # metadata and tokenizer, generously
_PERCENT = re.compile(r"Writing:\s+(\d+)%")


def convert_to_gguf(
    folder: Path, output: Path, *, name: str, progress: Progress, child: Child | None = None
) -> str:
    """Write `output` (f16) and return the name and version of the converter.

    `name` becomes general.name in the GGUF's metadata.

    Raises:
        DeploymentError: the converter does not know the architecture or the tokenizer, or failed
            (with its last lines), or the disk is full.
    """
    converter = find_converter()
    needed_bytes = 2 * parameter_count(folder) + _HEADER_BYTES

    def follow(line: str) -> None:
        if match := _PERCENT.search(line):
            progress.update(int(match[1]), 100)

    with partial_file(output, needed_bytes=needed_bytes) as partial:
        arguments = [
            *(converter.script, "--outtype", "f16", "--model-name", name),
            *("--outfile", str(partial), str(folder)),
        ]
        try:
            with lent(child) as worker:
                worker.run(
                    converter_process.__name__,
                    arguments,
                    doing="The conversion to GGUF",
                    writes=output,
                    needed_bytes=needed_bytes,
                    on_line=follow,
                )
        except DeploymentError as e:
            raise _explained(e) from e
        if not partial.is_file():
            raise DeploymentError("The conversion to GGUF ended well but wrote no file.")
    return converter.version


def _explained(error: DeploymentError) -> DeploymentError:
    """What the user can do about the failures that come from the model and not from the machine."""
    if "pre-tokenizer was not recognized" in error.message:
        return DeploymentError(
            "llama.cpp's converter does not know this model's tokenizer, and the splitting rule "
            "in its tokenizer.json is none of gpt-2, smollm, llama-bpe and qwen2.",
            remedy="Set LLAMA_CPP_DIR to a newer llama.cpp that supports the base model, or leave "
            "the GGUF forms out of `export` and serve the safetensors folder.",
        )
    if match := re.search(r"Model (\S+) is not supported", error.message):
        return DeploymentError(
            f"llama.cpp's converter does not support the architecture {match[1]}.",
            remedy="Set LLAMA_CPP_DIR to a newer llama.cpp, or serve the safetensors folder.",
        )
    return error
