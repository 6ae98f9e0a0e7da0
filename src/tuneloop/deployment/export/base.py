"""The untuned base as files that can be served: each form is made once on a machine.

    base-exports/
      <digest of what decides it>/model-q8_0.gguf   one folder a form, the f16 among them, from
                                  base.json         which the others are made; written last

No copy of the weights is kept beside them: the base's own folder is what is converted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from tuneloop.deployment.export.disk import partial_file
from tuneloop.deployment.export.forms.form import SAFETENSORS, Making
from tuneloop.deployment.export.forms.table import form_of, tools
from tuneloop.deployment.export.stage import MANIFEST, open_export
from tuneloop.hashing import canonical_json, digest_file, digest_json, short
from tuneloop.progress import Progress
from tuneloop.registry.base_model import BaseModel

_MANIFEST = "base.json"
_NAME = "base"


@dataclass(frozen=True, kw_only=True)
class BaseFile:
    """A GGUF file of the untuned base."""

    path: Path
    digest: str
    """SHA-256 of its bytes."""


def base_file(base: BaseModel, form: str, *, cache: Path, progress: Progress) -> BaseFile:
    """The base in a form of the table: from `cache` where it is there, else made.

    Raises:
        DeploymentError: a step failed or the disk is full; finished steps are kept.
        ExtensionError: a package adds the form, and it cannot be used.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"{short(base.digest)}.lock"):
        file = _found(base, form, cache)
        if file is not None:
            progress.note(f"The untuned base as {form} is there already; it is used again")
            return file
        return _made(base, form, cache, progress)


def _made(base: BaseModel, form: str, cache: Path, progress: Progress) -> BaseFile:
    way, target = form_of(form), _target(base, form, cache)
    source = base.folder
    if way.made_from != SAFETENSORS:
        before = way.made_from
        source = (_found(base, before, cache) or _made(base, before, cache, progress)).path
    doing, _, what = way.about.partition(" ")
    progress.step(f"{doing} the untuned base {what}, to compare with")
    way.make(Making(source=source, target=target, model=_NAME, progress=progress))
    made = BaseFile(path=target, digest=digest_file(target))
    text = canonical_json({"decided_by": _decided_by(base, form), "digest": made.digest}) + "\n"
    with partial_file(target.with_name(_MANIFEST), needed_bytes=len(text)) as partial:
        partial.write_text(text, "utf-8")
    return made


def _found(base: BaseModel, form: str, cache: Path) -> BaseFile | None:
    """The file, if it is there with the bytes that were made, and made of this."""
    file = _known(base, form, cache)
    try:
        return file if file and digest_file(file.path) == file.digest else None
    except OSError:
        return None


def _known(base: BaseModel, form: str, cache: Path) -> BaseFile | None:
    target = _target(base, form, cache)
    try:
        manifest = json.loads(target.with_name(_MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return _of_an_older_workspace(base, form, cache)
    match manifest:
        case {"decided_by": dict(decided), "digest": str(digest)}:
            if decided == _decided_by(base, form):
                return BaseFile(path=target, digest=digest)
    return None


def _of_an_older_workspace(base: BaseModel, form: str, cache: Path) -> BaseFile | None:
    """There was one folder for each form that serves, with a copy of the weights in it."""
    folder = cache / f"{base.digest}-{form}"
    if not (folder / MANIFEST).is_file():
        return None
    export = open_export(folder)
    decided = _decided_by(base, form)
    if any(export.inputs.get(key) != value for key, value in decided.items() if key != "form"):
        return None
    return BaseFile(path=export.path(form), digest=export.forms[form].files[0].digest)


def _target(base: BaseModel, form: str, cache: Path) -> Path:
    return cache / short(digest_json(_decided_by(base, form))) / form_of(form).file


def _decided_by(base: BaseModel, form: str) -> dict[str, Any]:
    """Everything that decides the bytes of a form."""
    return {"base": base.digest, "name": _NAME, "form": form, **tools([form_of(form)])}
