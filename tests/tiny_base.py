"""The files of a tiny base whose weights mean nothing: what a look at them needs, without torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
HIDDEN, INTERMEDIATE, CONTEXT = 64, 160, 2048


def write_base(
    folder: Path,
    *,
    template: str = CHATML,
    config: dict[str, Any] | None = None,
    tokenizer_config: dict[str, Any] | None = None,
    rules: dict[str, Any] | None = None,
    embedding_rows: int | None = None,
    empty_gigabytes: int = 0,
) -> Path:
    """A Llama with a token a byte. `rules` is laid over tokenizer.json; a base of so many gigabytes
    is a file with a hole in it, which takes no room on the disk."""
    folder.mkdir(parents=True)
    tokens = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({token: n for n, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIALS))
    write_json(folder / "tokenizer.json", json.loads(tokenizer.to_str()) | (rules or {}))
    settings = {
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    write_json(folder / "tokenizer_config.json", settings | (tokenizer_config or {}))
    sizes = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_attention_heads": 4,
        "num_hidden_layers": 1,
        "vocab_size": len(tokens),
        "max_position_embeddings": CONTEXT,
    }
    write_json(folder / "config.json", sizes | (config or {}))
    (folder / "chat_template.jinja").write_text(template)
    shapes = {
        "model.embed_tokens.weight": [embedding_rows or len(tokens), HIDDEN],
        "model.layers.0.mlp.up_proj.weight": [INTERMEDIATE, HIDDEN],
    }
    if empty_gigabytes:
        shapes["model.layers.0.mlp.down_proj.weight"] = [HIDDEN, empty_gigabytes * 10**9 // HIDDEN]
    write_weights(folder / "model.safetensors", shapes)
    return folder


def write_weights(file: Path, shapes: dict[str, list[int]]) -> None:
    """A safetensors file of one byte a number, whose numbers are a hole."""
    header, end = {}, 0
    for name, (rows, columns) in shapes.items():
        start, end = end, end + rows * columns
        header[name] = {"dtype": "I8", "shape": [rows, columns], "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + end)


def starting_with(token: str) -> dict[str, Any]:
    """What of tokenizer.json puts a token before every text."""
    single = [
        {"SpecialToken": {"id": token, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    ids = {token: {"id": token, "ids": [SPECIALS.index(token)], "tokens": [token]}}
    steps = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": ids}
    return {"post_processor": steps}


def write_json(file: Path, value: dict[str, Any]) -> None:
    """As such files are."""
    file.write_text(json.dumps(value, ensure_ascii=False), "utf-8")
