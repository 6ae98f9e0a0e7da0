"""A base whose chat template leaves nothing open: the folder that everything else is made from.

Most bases are that already. One that asks whether to think, or what day it is, gets a folder beside
it with the decisions written into its template; the other files are the base's own, linked.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from tuneloop.conversation.pinning import pinned
from tuneloop.errors import StoreError
from tuneloop.hashing import digest_json, digest_text, short
from tuneloop.registry.base_model import BaseModel
from tuneloop.registry.base_template import TEMPLATE_FILE, template_text

_CONFIG = "tokenizer_config.json"
_OTHER_TEMPLATES = ("chat_template.json",)


def pinned_base(base: BaseModel, *, thinking: bool, cache: Path) -> BaseModel:
    """The base as it is where its template leaves nothing open, else one that says it all.

    Its digest is another one then, as it answers otherwise. `cache` holds the folders.

    Raises:
        StoreError: the folder cannot be made.
        BaseModelError: a file of the base's tokenizer is no JSON.
    """
    open_text = template_text(base.folder)
    text = pinned(open_text, thinking=thinking)
    if text == open_text:
        return base
    digest = digest_json({"base": base.digest, "chat_template": digest_text(text)})
    folder = cache / f"pinned-{short(digest)}"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(cache / f"{folder.name}.lock"):
            if not folder.is_dir():
                _write(base.folder, text, folder)
    except OSError as e:
        raise StoreError(
            f"The base cannot be kept with its template decided in {folder}: {e.strerror or e}."
        ) from e
    return replace(base, digest=digest, folder=folder)


def _write(source: Path, text: str, folder: Path) -> None:
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for file in sorted(source.iterdir()):
        if file.is_file() and file.name not in (TEMPLATE_FILE, _CONFIG, *_OTHER_TEMPLATES):
            _link(file.resolve(), partial / file.name)
    if (source / _CONFIG).is_file():
        config = json.loads((source / _CONFIG).read_text("utf-8"))
        config.pop("chat_template", None)
        (partial / _CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=2), "utf-8")
    (partial / TEMPLATE_FILE).write_text(text, "utf-8")
    partial.replace(folder)


def _link(file: Path, target: Path) -> None:
    """A second name for the same bytes; a copy where the two are on different disks."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
