"""Loads a base model for training and puts a LoRA on it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuneloop.errors import BaseModelError, TrainingError, require
from tuneloop.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedTokenizerBase


def chosen_device(config: TrainingConfig) -> str:
    """cuda where there is a GPU and nothing else is asked for, else cpu.

    Raises:
        TrainingError: when a GPU is asked for and there is none.
    """
    import torch

    if config.device == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if config.device == "cuda":
        raise TrainingError(
            "The model file asks for a GPU (training.device: cuda) and torch finds none.",
            remedy="Set training.device to auto or cpu, or check the driver with `nvidia-smi`.",
        )
    return "cpu"


def chosen_dtype(config: TrainingConfig, device: str) -> torch.dtype:
    """Precision of the computation: bf16 on GPUs that have it, fp32 elsewhere.

    CPUs without bf16 units compute bf16 products a hundred times slower than fp32.

    Raises:
        TrainingError: fp16 is asked for without a GPU.
    """
    import torch

    if config.precision == "fp16" and device == "cpu":
        raise TrainingError(
            "training.precision is fp16, which only GPUs train in.",
            remedy="Set training.precision to auto or fp32.",
        )
    if config.precision == "auto":
        able = device == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if able else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]


def chosen_threads(config: TrainingConfig) -> int:
    """CPU threads: as set, else OMP_NUM_THREADS, else one per core that this process may use."""
    if config.threads is not None:
        return config.threads
    if (named := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(named) > 0:
        return int(named)
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The base's tokenizer.

    Raises:
        BaseModelError: when the folder holds none that can be read.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as e:
        raise BaseModelError(
            f"No usable tokenizer in {folder}: {e}",
            remedy="Check that `base` names a Hugging Face folder with its tokenizer files.",
        ) from e
    return tokenizer


def load_base(folder: Path, config: TrainingConfig, *, device: str) -> Any:
    """The base model, frozen nowhere, on `device`, in the dtype that its training wants.

    All weights are trained in fp32 (a bf16 weight is too coarse for small updates); a frozen
    base under a LoRA is held in the precision of the computation.

    Raises:
        BaseModelError: when the folder holds no causal language model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.float32 if config.method == "full" else chosen_dtype(config, device)
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": device}}
    if config.method == "qlora":
        options["quantization_config"] = _nf4(chosen_dtype(config, device))
    try:
        return AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError) as e:
        raise BaseModelError(
            f"No usable model in {folder}: {e}",
            remedy="Check that `base` names a causal language model in Hugging Face layout.",
        ) from e


def with_adapter(base: Any, folder: Path) -> Any:
    """The base with a trained adapter on it, to train on.

    Raises:
        TrainingError: the adapter does not fit the base.
    """
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(base, folder, is_trainable=True)
    except (OSError, ValueError, RuntimeError) as e:
        raise TrainingError(
            f"The adapter in {folder} does not fit the base: {e}",
            remedy="Choose training.start_from: sft, or base.",
        ) from e


def _nf4(compute_dtype: torch.dtype) -> Any:
    from transformers import BitsAndBytesConfig

    require("bitsandbytes", extra="qlora")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )


def lora_config(config: TrainingConfig) -> LoraConfig | None:
    """PEFT's configuration, or None when all weights are trained."""
    if config.method == "full":
        return None
    from peft import LoraConfig

    targets = config.target_modules
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        bias="none",
        task_type="CAUSAL_LM",
    )
