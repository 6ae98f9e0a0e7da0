"""A GGUF base says of itself what its folder will say once it is dequantised."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from tokenizers import pre_tokenizers

from tiny_base import CHATML, HIDDEN, SPECIALS, write_base
from tuneloop.setup.base_facts import facts_of_folder, facts_of_gguf

TEXTS = ["<|im_start|>user\nis it 1234, or there's a ü?<|im_end|>", "", "  two  blanks "]


def write_gguf(path: Path, *, starts: bool | None = None) -> Path:
    tokens = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(HIDDEN)
    writer.add_head_count(4)
    writer.add_context_length(2048)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIALS) + [1] * (len(tokens) - len(SPECIALS)))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(CHATML)
    if starts is not None:
        writer.add_add_bos_token(starts)
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), HIDDEN), np.float16))
    writer.add_tensor("blk.0.ffn_up.weight", np.zeros((160, HIDDEN), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_gguf_file_and_its_folder_say_the_same(tmp_path: Path) -> None:
    of_file = facts_of_gguf(write_gguf(tmp_path / "base.gguf"))
    of_folder = facts_of_folder(write_base(tmp_path / "base"))
    for name in (
        *("specials", "stops", "adds_start", "adds_end", "largest_token", "embedding_rows"),
        *("context_tokens", "template", "template_text"),
    ):
        assert getattr(of_file, name) == getattr(of_folder, name), name
    assert of_file.encode(TEXTS[:2]) == of_folder.encode(TEXTS[:2])
    assert of_file.architecture.linear_shapes == ((160, HIDDEN),)
    assert of_folder.architecture.linear_shapes == ((160, HIDDEN),)


def test_a_gguf_file_says_whether_a_start_token_is_put_first(tmp_path: Path) -> None:
    for starts in (True, False):
        assert facts_of_gguf(write_gguf(tmp_path / f"{starts}.gguf", starts=starts)).adds_start is (
            starts
        )
