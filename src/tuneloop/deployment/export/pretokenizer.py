"""Which of llama.cpp's pre-tokenizers splits text as a `tokenizer.json` does.

llama.cpp's converter recognises a tokenizer by a hash of one encoded text, so a tokenizer with
a vocabulary of its own is unknown to it even where its splitting rule is a common one. The rule
itself is written in `tokenizer.json`; this module reads it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The published rules of Llama 3 and Qwen 2; they differ in how digits are grouped.
_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN_2 = _LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")


def known_pre_tokenizer(tokenizer: Mapping[str, Any]) -> str | None:
    """llama.cpp's name (`tokenizer.ggml.pre`) for the rule of a parsed `tokenizer.json`.

    None where the rule is not one of gpt-2, smollm, llama-bpe and qwen2.
    """
    model = tokenizer.get("model") or {}
    if model.get("type") != "BPE":
        return None
    normalizer = (tokenizer.get("normalizer") or {}).get("type")
    match _steps(tokenizer.get("pre_tokenizer") or {}):
        case [{"type": "ByteLevel"} as last] if normalizer is None and _splits(last):
            return "gpt-2"
        case [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel"} as last]:
            return "smollm" if normalizer is None and _splits(last) else None
        case [{"type": "Split", "pattern": {"Regex": rule}}, {"type": "ByteLevel"} as last]:
            if _splits(last) or last.get("add_prefix_space"):
                return None
            # llama.cpp's llama-bpe looks whole words up before it merges.
            if rule == _LLAMA_3 and normalizer is None and model.get("ignore_merges"):
                return "llama-bpe"
            if rule == _QWEN_2 and normalizer in (None, "NFC") and not model.get("ignore_merges"):
                return "qwen2"
    return None


def splitting_rule(pre: str) -> dict[str, Any] | None:
    """The `pre_tokenizer` of a tokenizer.json that splits as llama.cpp's rule of this name does.

    The inverse of `known_pre_tokenizer`; None where the rule is another one.
    """

    def byte_level(*, splits: bool) -> dict[str, Any]:
        options = {"add_prefix_space": False, "trim_offsets": True, "use_regex": splits}
        return {"type": "ByteLevel", **options}

    def sequence(first: dict[str, Any], *, splits: bool) -> dict[str, Any]:
        return {"type": "Sequence", "pretokenizers": [first, byte_level(splits=splits)]}

    match pre:
        case "gpt-2":
            return byte_level(splits=True)
        case "smollm":
            return sequence({"type": "Digits", "individual_digits": True}, splits=True)
        case "llama-bpe" | "qwen2":
            pattern = {"Regex": _LLAMA_3 if pre == "llama-bpe" else _QWEN_2}
            split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
            return sequence(split, splits=False)
    return None


def _steps(pre_tokenizer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if pre_tokenizer.get("type") == "Sequence":
        return list(pre_tokenizer.get("pretokenizers", []))
    return [pre_tokenizer]


def _splits(byte_level: Mapping[str, Any]) -> bool:
    """Whether a ByteLevel step splits by GPT-2's rule itself."""
    return bool(byte_level.get("use_regex", True)) and not byte_level.get("add_prefix_space", True)
