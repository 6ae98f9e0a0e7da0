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


def load_base(
    folder: Path, config: TrainingConfig, *, device: str, compute_dtype: torch.dtype
) -> Any:
    """The base model, frozen nowhere, on `device`, in the dtype that its training wants.

    All weights are trained in fp32 (a bf16 weight is too coarse for small updates); a frozen
    base under a LoRA is held in the precision of the computation, on a CPU only the weights of
    its products (see `linear_layers_in`).

    Raises:
        BaseModelError: when the folder holds no causal language model.
    """
    import torch
    from transformers import AutoModelForCausalLM

    mixed = device == "cpu" and config.method in ("lora", "dpo")
    dtype = torch.float32 if mixed or config.method == "full" else compute_dtype
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": device}}
    if config.method == "qlora":
        options["quantization_config"] = _nf4(compute_dtype)
    try:
        base = AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError) as e:
        raise BaseModelError(
            f"No usable model in {folder}: {e}",
            remedy="Check that `base` names a causal language model in Hugging Face layout.",
        ) from e
    return linear_layers_in(compute_dtype, base) if mixed else base


def linear_layers_in(dtype: torch.dtype, base: Any) -> Any:
    """Hold the weights of linear layers in `dtype`, and all others as they are.

    In mixed precision (Micikevicius et al. 2018) autocast would make this copy at every product.
    Embeddings and norms, and so the sums that run through the layers, stay in fp32; an output
    layer that shares its weights with the embeddings does too. What the layers put out is fp32
    again: in bf16 the small part that an adapter adds would be rounded off.
    """
    import torch
    from torch.nn import Embedding, Linear

    if dtype == torch.float32:
        return base
    embedded = {id(m.weight) for m in base.modules() if isinstance(m, Embedding)}
    for module in base.modules():
        if isinstance(module, Linear) and id(module.weight) not in embedded:
            module.to(dtype)
            module.register_forward_hook(_in_fp32)
    return base


def _in_fp32(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
    return output.float()


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
