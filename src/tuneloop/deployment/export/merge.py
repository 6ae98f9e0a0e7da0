"""Trained weights → one safetensors folder that stands alone.

An adapter is merged into the unquantised base, in the base's own precision; a full fine-tune is
copied. Configuration, tokenizer, chat template and generation settings come along.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from tuneloop.deployment.export.child import Child, lent
from tuneloop.deployment.export.disk import disk_full, is_full, require_free_bytes
from tuneloop.deployment.export.weights import parameter_count
from tuneloop.errors import DeploymentError, require
from tuneloop.progress import Progress

ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
_GENERATION_CONFIG = "generation_config.json"
_NOT_PLACED = "adapter weights without a place in the base"
# How PEFT and torch say that the layers do not fit.
_OTHER_BASE_SIGNS = ("size mismatch", "not found in the base model", _NOT_PLACED)


def merge_adapter(
    base: Path, adapter: Path, output: Path, *, progress: Progress, child: Child | None = None
) -> None:
    """Write `output`: the weights of `base` with those of `adapter` added.

    Runs in a child process; peak memory is about the size of the base.

    Raises:
        DeploymentError: the adapter is incomplete, pickled or belongs to another base, or the disk
            is full. `output` then does not exist.
    """
    _check_adapter(adapter)
    needed_bytes = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    partial = _fresh_partial(output, needed_bytes)
    try:
        with lent(child) as worker:
            worker.run(
                __name__,
                [str(base), str(adapter), str(partial)],
                doing="Merging the adapter into the base",
                writes=output,
                needed_bytes=needed_bytes,
                on_line=progress_lines(progress),
            )
        _finish(partial, output)
    except DeploymentError as e:
        if any(sign in e.message for sign in _OTHER_BASE_SIGNS):
            raise DeploymentError(
                f"The adapter in {adapter} was not trained on the base in {base}: "
                "its layers have other names or other sizes.",
                remedy="Export with the base that the training run names.",
            ) from e
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def copy_full_model(trained: Path, base: Path, output: Path) -> None:
    """Write `output`: the weights of a full fine-tune, with what it lacks taken from `base`.

    Raises:
        DeploymentError: the disk is full. `output` then does not exist.
    """
    needed_bytes = sum(file.stat().st_size for file in trained.glob("*.safetensors"))
    partial = _fresh_partial(output, needed_bytes)
    try:
        for file in sorted([*trained.glob("*.safetensors*"), trained / "config.json"]):
            shutil.copyfile(file, partial / file.name)
        _copy_tokenizer(base=base, trained=trained, output=partial)
        _finish(partial, output)
    except OSError as e:
        if is_full(e):
            raise disk_full(output, needed_bytes) from e
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_adapter(folder: Path) -> bool:
    """Whether a folder of trained weights is an adapter and not a whole model."""
    return (folder / ADAPTER_CONFIG).is_file()


def progress_lines(progress: Progress) -> Any:
    """A line reader for children that print `progress DONE TOTAL DETAIL`."""

    def follow(line: str) -> None:
        words = line.split(maxsplit=3)
        if len(words) >= 3 and words[0] == "progress":
            progress.update(float(words[1]), float(words[2]), *(w.strip() for w in words[3:]))

    return follow


def _check_adapter(adapter: Path) -> None:
    if (adapter / ADAPTER_WEIGHTS).is_file():
        parameter_count(adapter)  # fails on a truncated file
        return
    if (adapter / "adapter_model.bin").is_file():
        raise DeploymentError(
            f"The adapter in {adapter} is pickled (adapter_model.bin); only safetensors is read, "
            "because loading a pickle can run any code.",
            remedy="Save it again with safe_serialization=True.",
        )
    raise DeploymentError(f"There is no {ADAPTER_WEIGHTS} in {adapter}.")


def _fresh_partial(output: Path, needed_bytes: int) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    require_free_bytes(output.parent, needed_bytes)
    partial.mkdir()
    return partial


def _finish(partial: Path, output: Path) -> None:
    for file in partial.iterdir():
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
    shutil.rmtree(output, ignore_errors=True)
    partial.replace(output)


def _copy_tokenizer(*, base: Path, trained: Path, output: Path) -> None:
    """The tokenizer that the training used, whole; the base's where training saved none."""
    source = trained if (trained / "tokenizer_config.json").is_file() else base
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, output / name)
    for folder in (base, trained):
        if (folder / _GENERATION_CONFIG).is_file():
            shutil.copyfile(folder / _GENERATION_CONFIG, output / _GENERATION_CONFIG)


def work(base: str, adapter: str, output: str) -> None:
    """Merge, in the child process."""
    require("peft", extra="export")
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    print("progress 0 3 loading the base", flush=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", low_cpu_mem_usage=True)
    with torch.inference_mode():
        wrapped = PeftModel.from_pretrained(model, adapter)
        _check_all_placed(wrapped, adapter)
        print("progress 1 3 adding the adapter", flush=True)
        merged = wrapped.merge_and_unload(safe_merge=True)
        print("progress 2 3 writing the merged weights", flush=True)
        merged.save_pretrained(output)
    _copy_tokenizer(base=Path(base), trained=Path(adapter), output=Path(output))
    print("progress 3 3 merged", flush=True)


def _check_all_placed(wrapped: Any, adapter: str) -> None:
    """PEFT skips weights whose layer it does not find; a skipped weight is a wrong model."""
    from peft import load_peft_weights, set_peft_model_state_dict

    loaded = set_peft_model_state_dict(wrapped, load_peft_weights(adapter, device="cpu"))
    if loaded.unexpected_keys:
        example = loaded.unexpected_keys[0]
        raise SystemExit(f"{len(loaded.unexpected_keys)} {_NOT_PLACED}, e.g. {example}")
