"""The chat template of a base and its control tokens, read in seconds: no weights, no torch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tuneloop.conversation.pinning import pinned
from tuneloop.conversation.template import ChatTemplate
from tuneloop.errors import BaseModelError, MissingExtraError
from tuneloop.registry.base_model import from_hub, local_base, on_this_machine
from tuneloop.registry.gguf_base import open_gguf

TEMPLATE_FILE = "chat_template.jinja"
_CONFIG = "tokenizer_config.json"
_DEFAULT = "default"
_TOKENIZER_FILES = ("tokenizer*", "chat_template*", "special_tokens_map.json", "config.json")
_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")
_GGUF_TOKENS = {
    "bos_token": "tokenizer.ggml.bos_token_id",
    "eos_token": "tokenizer.ggml.eos_token_id",
}
_GGUF_CONTROL = 3
"""Of `tokenizer.ggml.token_type`."""


def find_template(
    spec: str, *, revision: str | None = None, thinking: bool = False
) -> ChatTemplate | None:
    """The template of a base wherever it is; of one of the hub no more than its tokenizer is
    downloaded.

    None: it has none, the hub cannot be asked now, or what reads it is not installed.

    Raises:
        BaseModelError: it is here, and its tokenizer cannot be read.
    """
    local = on_this_machine(spec, revision)
    if find_spec("transformers") is None or (local and local.is_file() and not find_spec("gguf")):
        return None
    if local is None:
        try:
            local = from_hub(spec, revision, _TOKENIZER_FILES)
        except BaseModelError:  # Whoever needs the base itself says what is wrong with it.
            return None
    read = template_in if local.is_dir() else template_in_gguf
    return read(local, thinking=thinking)


def own_system(spec: str, *, revision: str | None = None) -> str:
    """The system text that a base's template writes where a conversation has none; empty: it
    writes none, or the base is not on this machine. Nobody is asked for it.
    """
    try:
        local = local_base(spec, revision=revision)
        template = None if local is None else find_template(str(local))
    except (BaseModelError, MissingExtraError):  # Whoever needs the base says what is wrong.
        return ""
    return "" if template is None else template.own_system


def template_in(folder: Path, *, thinking: bool = False) -> ChatTemplate | None:
    """The template of a Hugging Face folder, pinned; None: it has none.

    Raises:
        BaseModelError: a file of its tokenizer is no JSON.
    """
    config = _json(folder / _CONFIG)
    text = template_text(folder)
    if not text:
        return None
    tokenizer = _json(folder / "tokenizer.json")
    added = [*tokenizer.get("added_tokens", ()), *config.get("added_tokens_decoder", {}).values()]
    return ChatTemplate(
        text=pinned(text, thinking=thinking),
        tokens={name: content for name in _NAMED_TOKENS if (content := _content(config.get(name)))},
        control_tokens=_distinct(
            str(token["content"]) for token in added if token.get("special") and token["content"]
        ),
    )


def template_text(folder: Path) -> str:
    """The text of a folder's template as it stands there; empty where it has none."""
    file = folder / TEMPLATE_FILE
    if file.is_file():
        return file.read_text("utf-8")
    listed = _json(folder / _CONFIG).get("chat_template") or _json(
        folder / "chat_template.json"
    ).get("chat_template", "")
    if isinstance(listed, list):  # Several by name; transformers takes this one without tools.
        listed = next((it["template"] for it in listed if it.get("name") == _DEFAULT), "")
    return str(listed)


def template_in_gguf(file: Path, *, thinking: bool = False) -> ChatTemplate | None:
    """The template of a GGUF file, pinned; None: it has none.

    Raises:
        BaseModelError: it is no GGUF file.
    """
    reader = open_gguf(file)
    template = reader.get_field("tokenizer.chat_template")
    if template is None:
        return None
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    types = reader.get_field("tokenizer.ggml.token_type")
    kinds = [] if types is None else types.contents()
    named = {name: reader.get_field(key) for name, key in _GGUF_TOKENS.items()}
    return ChatTemplate(
        text=pinned(str(template.contents()), thinking=thinking),
        tokens={
            name: str(tokens[int(number.contents())])
            for name, number in named.items()
            if number is not None
        },
        control_tokens=_distinct(
            str(token)
            for token, kind in zip(tokens, kinds, strict=False)
            if int(kind) == _GGUF_CONTROL
        ),
    )


def _distinct(tokens: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(tokens)))


def _content(token: Any) -> str:
    """A token as tokenizer_config.json has it: its text, or an object that says more of it."""
    return str(token.get("content", "")) if isinstance(token, Mapping) else str(token or "")


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as e:
        raise BaseModelError(f"{path} is not valid JSON: {e}.") from e
    return value if isinstance(value, dict) else {}
