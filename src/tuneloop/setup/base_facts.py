"""What the files of a base say of it, read in a second: no weight is loaded, no torch imported."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneloop.conversation.pinning import pinned
from tuneloop.conversation.template import ChatTemplate
from tuneloop.deployment.export.pretokenizer import splitting_rule
from tuneloop.deployment.export.weights import tensor_headers
from tuneloop.errors import BaseModelError, require
from tuneloop.registry.base_template import template_in, template_text
from tuneloop.registry.gguf_base import open_gguf
from tuneloop.setup.finding import UnseenError
from tuneloop.training.memory import Architecture, read_architecture

_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
"""How the tensors end that have a row for each token, in the layouts that are in use."""
_GGUF_EMBEDDINGS = "token_embd.weight"
_CONTROL, _USER_DEFINED = 3, 4
"""`tokenizer.ggml.token_type` of tokens that are never split."""
_GGUF_SPECIALS = {
    "bos_token": "bos",
    "eos_token": "eos",
    "pad_token": "padding",
    "unk_token": "unknown",
}
FETCHED = "The first run or training downloads it and looks again before it trains."
"""What to say of a base of the hub."""
_STARTING_PRE = ("llama-bpe", "llama3", "llama-v3")
"""Pre-tokenizers with which llama.cpp puts a start token first where a file says nothing."""


@dataclass(frozen=True, kw_only=True)
class BaseFacts:
    """One base, as its own files describe it."""

    file: Path
    """A Hugging Face folder, or a GGUF file that has not been dequantised yet."""
    config: Mapping[str, Any]
    """config.json, with what it says of the text model on top; empty for a GGUF file."""
    rules: Mapping[str, Any]
    """tokenizer.json; empty for a GGUF file."""
    tokenizer: Any
    """A `tokenizers.Tokenizer`; None where none can be made of these files."""
    tokenizer_class: str
    """Which class of transformers reads it."""
    template: ChatTemplate | None
    """As everything is made with it: what it asks its caller is decided; None: there is none."""
    template_text: str
    """As it stands in the files."""
    specials: Mapping[str, str]
    """bos_token, eos_token, pad_token, … → its text."""
    stops: frozenset[int]
    """Ids of tokens at which an answer ends."""
    adds_start: bool
    """Whether a server puts bos_token before every prompt."""
    adds_end: bool
    """Whether a server puts eos_token after every prompt."""
    largest_token: int
    """Largest id that the tokenizer knows."""
    embedding_rows: int | None
    context_tokens: int | None
    gguf_sizes: Architecture | None = None
    """The sizes of the model in a GGUF file, where its metadata tells them."""

    @property
    def is_folder(self) -> bool:
        """Whether these are the files that will be trained on."""
        return self.file.is_dir()

    def id_of(self, special: str) -> int | None:
        """The id of bos_token, eos_token, pad_token, …; None: there is none."""
        text = self.specials.get(special)
        if text is None or self.tokenizer is None:
            return None
        token_id: int | None = self.tokenizer.token_to_id(text)
        return token_id

    @property
    def has_weights(self) -> bool:
        """Whether the weights are here as well, and not the small files alone."""
        return not self.is_folder or any(self.file.glob("*.safetensors"))

    @property
    def architecture(self) -> Architecture:
        """The sizes of the model.

        Raises:
            BaseModelError: its folder is no such model.
            UnseenError: its weights are not here, or its metadata does not tell.
        """
        if not self.has_weights:
            raise UnseenError("Its weights are not on this machine yet.", remedy=FETCHED)
        if self.is_folder:
            return read_architecture(self.file)
        if self.gguf_sizes is None:
            raise UnseenError(f"The metadata of {self.file.name} does not tell its sizes.")
        return self.gguf_sizes

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text; nothing is put before or after it.

        Raises:
            UnseenError: these files do not tell.
        """
        if self.tokenizer is None:
            raise UnseenError(
                f"Only transformers can read the tokenizer in {self.file.name}.",
                remedy="Training says it before its first step.",
            )
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [entry.ids for entry in encoded]


def facts_of_folder(folder: Path, *, thinking: bool = False) -> BaseFacts:
    """What a Hugging Face folder says; `thinking`: whether the model shall think.

    Raises:
        BaseModelError: a file of it cannot be read.
        MissingExtraError: the package that reads tokenizers is not installed.
    """
    top = _json(folder / "config.json")
    named = {"architectures": top.get("architectures")}
    config = {**top, **(top.get("text_config") or {}), **named}
    settings = _json(folder / "tokenizer_config.json")
    file = folder / "tokenizer.json"
    rules = _json(file)
    tokenizer = _parsed_tokenizer(file.read_text("utf-8"), where=file) if rules else None
    specials = {
        **_texts(_json(folder / "special_tokens_map.json")),
        **_texts(settings),
    }
    generation = _json(folder / "generation_config.json")
    eos = tokenizer.token_to_id(specials.get("eos_token", "")) if tokenizer else None
    return BaseFacts(
        file=folder,
        config=config,
        rules=rules,
        tokenizer=tokenizer,
        tokenizer_class=str(settings.get("tokenizer_class") or ""),
        template=template_in(folder, thinking=thinking),
        template_text=template_text(folder),
        specials=specials,
        stops=frozenset(_ids(generation.get("eos_token_id")) | _ids(eos)),
        adds_start=_adds(rules, settings, "bos", specials),
        adds_end=_adds(rules, settings, "eos", specials),
        largest_token=max(tokenizer.get_vocab(with_added_tokens=True).values())
        if tokenizer
        else -1,
        embedding_rows=_embedding_rows(folder) or config.get("vocab_size"),
        context_tokens=config.get("max_position_embeddings"),
    )


def facts_of_gguf(file: Path, *, thinking: bool = False) -> BaseFacts:
    """What the metadata of a GGUF file says; `thinking`: whether the model shall think.

    Raises:
        BaseModelError: it is no complete GGUF file.
        MissingExtraError: the package that reads such files is not installed.
    """
    reader = open_gguf(file)

    def value(key: str, default: Any = None) -> Any:
        field = reader.get_field(key)
        return default if field is None else field.contents()

    tokens, kinds = value("tokenizer.ggml.tokens", []), value("tokenizer.ggml.token_type", [])
    text = value("tokenizer.chat_template", "")
    model, pre = value("tokenizer.ggml.model", ""), value("tokenizer.ggml.pre", "")
    specials = {}
    for name, key in _GGUF_SPECIALS.items():
        token_id = value(f"tokenizer.ggml.{key}_token_id")
        if token_id is not None and token_id < len(tokens):
            specials[name] = tokens[token_id]
    rows = next((int(t.shape[1]) for t in reader.tensors if t.name == _GGUF_EMBEDDINGS), None)
    starts = model == "llama" or pre in _STARTING_PRE
    return BaseFacts(
        file=file,
        config={},
        rules={},
        tokenizer=_tokenizer_of_gguf(value, pre) if model == "gpt2" else None,
        tokenizer_class="",
        template=_template_of_gguf(text, specials, tokens, kinds, thinking) if text else None,
        template_text=text,
        specials=specials,
        stops=frozenset(_ids(value("tokenizer.ggml.eos_token_id"))),
        adds_start=bool(value("tokenizer.ggml.add_bos_token", starts)),
        adds_end=bool(value("tokenizer.ggml.add_eos_token", False)),
        largest_token=len(tokens) - 1,
        embedding_rows=rows,
        context_tokens=value(f"{value('general.architecture', '')}.context_length"),
        gguf_sizes=_sizes_in_gguf(reader, value, rows or len(tokens)),
    )


def _sizes_in_gguf(reader: Any, value: Callable[..., Any], vocabulary: int) -> Architecture | None:
    def number(key: str, default: int | None = None) -> int:
        return int(value(f"{value('general.architecture', '')}.{key}", default))

    try:
        hidden, heads = number("embedding_length"), number("attention.head_count")
        head = number("attention.key_length", hidden // heads)
        return Architecture(
            parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
            linear_shapes=tuple(
                (int(tensor.shape[1]), int(tensor.shape[0]))
                for tensor in reader.tensors
                if len(tensor.shape) == 2 and tensor.name.startswith("blk.")
            ),
            layers=number("block_count"),
            hidden=hidden,
            intermediate=number("feed_forward_length", 4 * hidden),
            key_value=number("attention.head_count_kv", heads) * head,
            vocabulary=vocabulary,
            context_tokens=number("context_length"),
        )
    except TypeError:  # A number is missing, or is a list with one for each layer.
        return None


def _tokenizer_of_gguf(value: Callable[..., Any], pre: str) -> Any:
    """The tokenizer that a GGUF file describes; with an unknown `pre`, one that is close to it."""
    tokens = value("tokenizer.ggml.tokens", [])
    added = [
        {"id": token_id, "content": tokens[token_id], "special": kind == _CONTROL}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for token_id, kind in enumerate(value("tokenizer.ggml.token_type", []))
        if kind in (_CONTROL, _USER_DEFINED)
    ]
    rules = {
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": splitting_rule(pre) or splitting_rule("gpt-2"),
        "model": {
            "type": "BPE",
            "vocab": {token: token_id for token_id, token in enumerate(tokens)},
            "merges": value("tokenizer.ggml.merges", []),
            "ignore_merges": pre == "llama-bpe",
        },
    }
    return _parsed_tokenizer(json.dumps(rules), where="the GGUF file's metadata")


def _json(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing where there is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as e:
        raise BaseModelError(
            f"{path} cannot be read: {e}.", remedy="Get the base's files again."
        ) from e
    if not isinstance(value, dict):
        raise BaseModelError(f"Expected a JSON object in {path}, found {type(value).__name__}.")
    return value


def _parsed_tokenizer(text: str, *, where: object) -> Any:
    tokenizers = require("tokenizers", extra="train")
    try:
        tokenizer = tokenizers.Tokenizer.from_str(text)
    # The library raises bare exceptions for whatever it does not understand.
    except Exception as e:
        raise BaseModelError(
            f"{where} is no tokenizer that can be read: {e}.",
            remedy="Get the base's files again, with a release of tokenizers that knows them.",
        ) from e
    # What a file says of them holds where nobody else does; transformers always does.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """bos_token, eos_token, …: texts, or objects that hold one."""
    texts = {}
    for name, entry in settings.items():
        text = entry.get("content") if isinstance(entry, dict) else entry
        if name.endswith("_token") and isinstance(text, str):
            texts[name] = text
    return texts


def _template_of_gguf(
    text: str,
    specials: Mapping[str, str],
    tokens: Sequence[str],
    kinds: Sequence[int],
    thinking: bool,
) -> ChatTemplate:
    """As `registry.base_template` makes it, of values that were read already."""
    control = {token for token, kind in zip(tokens, kinds, strict=False) if kind == _CONTROL}
    return ChatTemplate(
        text=pinned(text, thinking=thinking),
        tokens=specials,
        control_tokens=tuple(sorted(control)),
    )


def _adds(
    rules: Mapping[str, Any], settings: Mapping[str, Any], kind: str, specials: Mapping[str, str]
) -> bool:
    """Whether the converter tells llama.cpp to put a token before (bos) or after (eos) a prompt.

    It looks at the settings first, then at what the tokenizer itself puts around a text
    (`SpecialVocab` of llama.cpp's gguf package).
    """
    declared = settings.get(f"add_{kind}_token")
    if isinstance(declared, bool):
        return declared
    processor = rules.get("post_processor") or {}
    place = 0 if kind == "bos" else -1
    for step in processor.get("processors", [processor]):
        parts = step.get("single", []) if step.get("type") == "TemplateProcessing" else []
        if len(parts) > 1:
            text = parts[place].get("SpecialToken", {}).get("id")
            return text is not None and text == specials.get(f"{kind}_token")
    return False


def _ids(value: Any) -> set[int]:
    listed = value if isinstance(value, list) else [value]
    return {int(entry) for entry in listed if entry is not None}


def _embedding_rows(folder: Path) -> int | None:
    for file in sorted(folder.glob("*.safetensors")):
        for name, entry in tensor_headers(file).items():
            if name.endswith(_EMBEDDINGS):
                return int(entry["shape"][0])
    return None
