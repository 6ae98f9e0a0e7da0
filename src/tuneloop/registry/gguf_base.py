"""A GGUF file as base model: dequantised to a Hugging Face folder, and told from another's.

Dequantising takes half a minute for a small model, so it is done once a file, in a process of its
own, into a cache folder named by the file's content. `base.json` is written there last.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from tuneloop.errors import BaseModelError, TuneloopError, require
from tuneloop.hashing import canonical_json, digest_file, short
from tuneloop.progress import Progress

_MANIFEST = "base.json"
_MAGIC = b"GGUF"
_KEPT_LINES = 400
_SHOWN_LINES = 8
_PARTS = ("importing what reads it", "reading the tokenizer", "reading the weights", "writing")
"""What the child process says that it begins, in this order."""
# Hugging Face's model_type → GGUF's general.architecture, where they differ by more than signs.
_ARCHITECTURES = {"mistral": "llama", "mixtral": "llama", "codellama": "llama"}
# Converters rewrite a few special tokens; another tokenizer differs nearly everywhere.
_MOST_OTHER_TOKENS_SHARE = 0.01


def dequantised_folder(file: Path, *, content_digest: str, cache: Path, progress: Progress) -> Path:
    """The fp32 folder made from a GGUF file, from `cache` where it is whole there.

    Raises:
        BaseModelError: not a GGUF, an unsupported architecture, or no room on the disk.
    """
    folder = cache / f"gguf-{short(content_digest)}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{folder.name}.lock"):
        if _is_whole(folder, content_digest):
            return folder
        partial = cache / f"{folder.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        progress.step(f"Dequantising {file.name} once to a folder that can be trained on")
        try:
            needed_bytes = _dequantised_bytes(file)
            if shutil.disk_usage(cache).free < needed_bytes:
                raise _no_room(file, cache, needed_bytes)
            _run_child(file, partial, needed_bytes, progress)
            _write_manifest(partial, content_digest)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def known_folder(file: Path, *, cache: Path) -> Path | None:
    """The folder that was made of a GGUF file before; its bytes are not looked at."""
    content_digest = digest_file(file)
    folder = cache / f"gguf-{short(content_digest)}"
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return folder if manifest.get("gguf") == content_digest else None


def open_gguf(path: Path, *, error: type[TuneloopError] = BaseModelError) -> Any:
    """A memory-mapped `gguf.GGUFReader`.

    Raises:
        error: the file is not a GGUF or ends too early.
    """
    gguf = require("gguf", extra="export")
    try:
        return _reader_of(gguf)(path)
    except FileNotFoundError as e:
        raise error(f"There is no file {path}.") from e
    except (ValueError, IndexError, KeyError) as e:
        raise error(
            f"{path} is not a complete GGUF file: {e}.", remedy="Get or make the file again."
        ) from e


def _reader_of(gguf: Any) -> type:
    """`gguf.GGUFReader` over a plain array: its slices cost a fifth of those of `numpy.memmap`.

    A file's metadata holds every token and merge, and each is a few slices.
    """
    import numpy

    class Reader(gguf.GGUFReader):  # type: ignore[misc]  # an optional dependency
        @property
        def data(self) -> Any:
            """The file's bytes, still mapped."""
            return self._plain

        @data.setter
        def data(self, mapped: Any) -> None:
            self._plain = mapped.view(numpy.ndarray)

    return Reader


def check_gguf_begins(path: Path) -> None:
    """Refuse a file that is no GGUF by its first bytes; what follows them is not read.

    Raises:
        BaseModelError: it begins otherwise, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
    except OSError as e:
        raise BaseModelError(f"{path} cannot be read: {e.strerror}.") from e
    if begin != _MAGIC:
        raise BaseModelError(
            f"{path} is not a GGUF file: it does not begin with {_MAGIC.decode()}.",
            remedy="Name a .gguf file or a model folder as `base`.",
        )


def check_gguf_belongs(file: Path, base_folder: Path) -> None:
    """Refuse a GGUF file that was not made from a model of this base's shape and tokenizer.

    Raises:
        BaseModelError: naming the first thing that differs.
    """
    reader = open_gguf(file)
    config = json.loads((base_folder / "config.json").read_text("utf-8"))
    config = {**config, **config.get("text_config", {})}
    architecture = str(reader.get_field("general.architecture").contents())
    embedding = next(t for t in reader.tensors if t.name == "token_embd.weight")
    expected_architecture = _ARCHITECTURES.get(config["model_type"], config["model_type"])
    comparisons = (
        ("architecture", _letters(expected_architecture), _letters(architecture)),
        ("layers", config.get("num_hidden_layers"), _number(reader, architecture, "block_count")),
        ("hidden size", config.get("hidden_size"), int(embedding.shape[0])),
        ("vocabulary size", config.get("vocab_size"), int(embedding.shape[1])),
    )
    for what, expected, actual in comparisons:
        if expected is not None and expected != actual:
            raise _another_base(file, base_folder, what, expected, actual)
    expected_tokens = _tokens_of_folder(base_folder)
    found_tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    other = sum(
        token_id >= len(found_tokens) or found_tokens[token_id] != token
        for token, token_id in expected_tokens.items()
    )
    if other > _MOST_OTHER_TOKENS_SHARE * len(expected_tokens):
        actual = f"{other} of {len(expected_tokens)} tokens differ"
        raise _another_base(file, base_folder, "tokenizer", "the same tokens", actual)


def _another_base(
    file: Path, folder: Path, what: str, expected: object, actual: object
) -> BaseModelError:
    return BaseModelError(
        f"{file.name} is a GGUF of another base than {folder}: {what}: expected {expected}, "
        f"found {actual}.",
        remedy="Export the GGUF again from a model that was tuned on this base.",
    )


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]|_text$", "", name.lower())


def _number(reader: Any, architecture: str, key: str) -> int | None:
    field = reader.get_field(f"{architecture}.{key}")
    return None if field is None else int(field.contents())


def _tokens_of_folder(folder: Path) -> dict[str, int]:
    path = folder / "tokenizer.json"
    if not path.is_file():
        return {}
    vocabulary = json.loads(path.read_text("utf-8")).get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):  # Unigram: [token, score] in order
        return {entry[0]: token_id for token_id, entry in enumerate(vocabulary)}
    return dict(vocabulary)


def _dequantised_bytes(file: Path) -> int:
    """The size of the fp32 weights."""
    return 4 * sum(int(tensor.n_elements) for tensor in open_gguf(file).tensors)


def _no_room(file: Path, cache: Path, needed_bytes: int) -> BaseModelError:
    return BaseModelError(
        f"There is no room to dequantise {file.name}: about {needed_bytes / 1e9:.1f} GB are "
        f"needed in {cache}, {shutil.disk_usage(cache).free / 1e9:.1f} GB are free.",
        remedy="Free some space there and repeat the command.",
    )


def _run_child(file: Path, output: Path, needed_bytes: int, progress: Progress) -> None:
    said: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        [sys.executable, "-m", __spec__.name, str(file), str(output)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        text=True,  # universal newlines: the \r of a library's progress bar ends a line as well
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line.rstrip())
                if said[-1] in _PARTS:
                    progress.update(0, None, said[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode == 0:
        return
    if any(os.strerror(errno.ENOSPC) in line for line in said):
        raise _no_room(file, output.parent, needed_bytes)
    lines = "\n".join(f"  {line}" for line in list(said)[-_SHOWN_LINES:])
    raise BaseModelError(
        f"{file} could not be dequantised (exit code {process.returncode}). Last lines:\n{lines}",
        remedy="Use the model's Hugging Face folder as base.",
    )


def _is_whole(folder: Path, content_digest: str) -> bool:
    """Whether a folder was made from a file of this digest, and holds what was made and no more."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        present = {file.name for file in folder.iterdir()} - {_MANIFEST}
        match manifest:
            case {"gguf": str(gguf), "files": dict(files)} if files:
                return (
                    gguf == content_digest
                    and files.keys() == present
                    and all(digest_file(folder / name) == files[name] for name in present)
                )
    except (OSError, ValueError, RecursionError):
        pass
    return False


def _write_manifest(folder: Path, content_digest: str) -> None:
    files = {file.name: digest_file(file) for file in sorted(folder.iterdir())}
    for name in files:
        with (folder / name).open("rb") as stream:
            os.fsync(stream.fileno())
    content = {"gguf": content_digest, "files": files}
    (folder / _MANIFEST).write_text(canonical_json(content) + "\n", "utf-8")


def _dequantise(file: Path, output: Path) -> None:
    """The work of the child process."""
    importing, tokens, weights, writing = _PARTS
    print(importing, flush=True)
    gguf: Any = require("gguf", extra="export")
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        GgufConfig,
        modeling_gguf_pytorch_utils,
    )

    # transformers asks for the metadata of a distribution named gguf; ours comes with the
    # converter's package, which has none under that name.
    modeling_gguf_pytorch_utils.is_gguf_available = lambda: True
    # It reads the file once each for tokenizer, config and weights, and makes the table of names
    # anew for every module of the model: two thirds of the time.
    gguf.GGUFReader = cache(_reader_of(gguf))
    gguf.get_tensor_name_map = cache(gguf.get_tensor_name_map)
    print(tokens, flush=True)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    print(weights, flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=torch.float32,
        quantization_config=GgufConfig(gguf_file=file.name, dequantize=True),
    )
    print(writing, flush=True)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    _dequantise(Path(sys.argv[1]), Path(sys.argv[2]))
