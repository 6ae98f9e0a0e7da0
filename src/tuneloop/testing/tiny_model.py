"""A tiny language model made from nothing, for tests that need a real one in a second.

Llama architecture with grouped-query attention, a byte-level BPE tokenizer trained here on
a few sentences (any text goes through it and back unchanged) and a ChatML chat template.
The weights are random: it knows nothing, but it trains, merges, converts and serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tuneloop.errors import require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Widths are multiples of 32, the block size of the Q8_0, Q5_0 and Q4_0 quantisations.
HIDDEN_SIZE = 64
INTERMEDIATE_SIZE = 160
LAYERS = 2
ATTENTION_HEADS = 4
KEY_VALUE_HEADS = 2
VOCABULARY_SIZE = 416
CONTEXT_TOKENS = 2048

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_SENTENCES = (
    "You sort messages to the support desk of a small company. Answer with one JSON object.",
    "Hello, my printer does not print any more, what can I do about it?",
    "I was charged twice for the same order, please send the money back.",
    "The parcel has not arrived yet and I need it for the day after tomorrow.",
    '{"intent": "refund", "product": "printer", "urgency": "high"}',
    '{"intent": "delivery", "product": "unknown", "urgency": "low"}',
    '{"intent": "out_of_scope"}',
    "system\nuser\nassistant\n",
)


def make_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    """Write a random Llama-architecture model with its tokenizer as a Hugging Face folder.

    The same seed gives the same bytes; another seed gives other weights and the same tokenizer.
    """
    torch = require("torch", extra="train")
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=INTERMEDIATE_SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=ATTENTION_HEADS,
        num_key_value_heads=KEY_VALUE_HEADS,
        head_dim=HIDDEN_SIZE // ATTENTION_HEADS,
        max_position_embeddings=CONTEXT_TOKENS,
        # Wide enough that the next token is not a near tie, which rounding would flip.
        initializer_range=0.15,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    # GPT-2's splitting rule, which llama.cpp knows as the pre-tokenizer "gpt-2".
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
