"""The export stage: trained weights → every form in which they can be served.

    output/
      safetensors/       the merged model, Hugging Face layout
      model-f16.gguf     and model-q8_0.gguf …, as asked for
      export.json        what is there and what made it; written last
    output.progress.json finished steps with their seconds, beside the folder

The folder's content depends on its inputs alone, so that the same candidate has the same identity
wherever and however often it is exported; times are kept beside it. A step whose files are whole
is not repeated after an interruption, and what an earlier export made of the same is taken from
there: merged weights depend on base and adapter, every form (`forms.table`) on the model's name and
on what made it and its sources, and nothing on anything else.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tuneloop.deployment.export.child import Child, lent
from tuneloop.deployment.export.disk import in_megabytes, partial_file, require_free_bytes
from tuneloop.deployment.export.forms.form import SAFETENSORS, Form, Making
from tuneloop.deployment.export.forms.table import (
    FORMS,
    decided_by,
    form_of,
    in_order,
    place,
    tools,
)
from tuneloop.deployment.export.merge import copy_full_model, is_adapter, merge_adapter
from tuneloop.deployment.export.weights import parameter_count
from tuneloop.errors import DeploymentError
from tuneloop.hashing import canonical_json, digest_file, digest_json
from tuneloop.progress import Progress
from tuneloop.registry.base_model import BaseModel, identity_files, weight_files

MANIFEST = "export.json"
_MANIFEST_VERSION = 1
_MERGED_BY = ("base", "trained")


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """One file of an export."""

    path: str
    """Relative to the export folder, with forward slashes."""
    digest: str
    """SHA-256 of the bytes."""
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class ExportedForm:
    """One form of the model: `safetensors`, or one of the table of forms."""

    name: str
    files: tuple[ExportedFile, ...]
    tool: str
    """Name and version of what made it."""
    seconds: float
    """How long that took, in whichever run it was."""

    @property
    def size_bytes(self) -> int:
        """All files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def place(self) -> str:
        """Its file or folder inside the export."""
        return self.files[0].path.partition("/")[0]

    @property
    def is_gguf(self) -> bool:
        """Whether llama.cpp can serve it."""
        return self.place.endswith(".gguf")


@dataclass(frozen=True, kw_only=True)
class Export:
    """A finished export."""

    folder: Path
    forms: Mapping[str, ExportedForm]
    """`safetensors` and each quantisation asked for."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """What decided the bytes: digests of base and trained weights, the name, the tools."""

    def path(self, form: str) -> Path:
        """The file or folder of a form.

        Raises:
            DeploymentError: the export has no such form.
        """
        if form not in self.forms:
            raise DeploymentError(
                f"The export in {self.folder} has no {form}: it has {', '.join(self.forms)}.",
                remedy="Add it to `export.quantisations` in tuneloop.yaml and export again.",
            )
        return self.folder / self.forms[form].place


def export_candidate(
    *,
    base: BaseModel,
    trained: Path,
    output: Path,
    quantisations: Sequence[str],
    name: str,
    progress: Progress,
    earlier: Iterable[Path] = (),
    child: Child | None = None,
) -> Export:
    """Make `output` from a base and the trained weights: an adapter, or a whole fine-tuned model.

    `quantisations` are names in the table of forms; `name` goes into the files' metadata.
    Continues an interrupted export of the same inputs, and starts afresh for others. `earlier` are
    folders of finished exports, their bytes verified, from which is taken what is the same; they
    are looked at one by one, until nothing is missing. `child` is one that the caller goes on with.

    Raises:
        DeploymentError: a step failed or the disk is full; finished steps are kept.
        ExtensionError: a form that a package adds cannot be used.
    """
    wanted = in_order(quantisations)
    names = [SAFETENSORS, *(form.name for form in wanted)]
    inputs = export_inputs(base, trained, name, wanted)
    steps = _Steps.load(output, inputs)
    output.mkdir(parents=True, exist_ok=True)
    (output / MANIFEST).unlink(missing_ok=True)
    steps.take_over(earlier, names, merger=_merger(trained), progress=progress)
    if not steps.done:
        require_free_bytes(output, _whole_size(base, wanted))
    safetensors = output / SAFETENSORS
    with lent(child) as worker:

        def merge() -> str:
            if is_adapter(trained):
                merge_adapter(base.folder, trained, safetensors, progress=progress, child=worker)
            else:
                copy_full_model(trained, base.folder, safetensors)
            return _merger(trained)

        merging = "Merging the trained weights into the base"
        steps.run(SAFETENSORS, safetensors, merge, progress, doing=merging)
        for form in wanted:
            steps.make(form, model=name, child=worker, progress=progress)
    return _finish(output, inputs, steps, names)


def same_result(form: str, inputs: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether exports of these inputs hold the same bytes as a form."""
    keys = _MERGED_BY if form == SAFETENSORS else decided_by(form_of(form))
    return all(key in inputs and inputs[key] == others.get(key) for key in keys)


def is_export_of(
    export: Export, *, base: BaseModel, trained: Path, quantisations: Sequence[str], name: str
) -> bool:
    """Whether `export_candidate` would make just this of these."""
    inputs = export_inputs(base, trained, name, in_order(quantisations))
    merged = export.forms[SAFETENSORS]
    return (
        export.forms.keys() == {SAFETENSORS, *quantisations}
        and merged.tool == _merger(trained)
        and all(same_result(form, inputs, export.inputs) for form in export.forms)
    )


def open_export(folder: Path) -> Export:
    """Read a finished export, e.g. from the artifact store; its `seconds` are 0.

    Raises:
        DeploymentError: the folder is not a finished export.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError) as e:
        raise DeploymentError(
            f"{folder} is not a finished export: {MANIFEST} is missing or unreadable.",
            remedy="Export the candidate again.",
        ) from e
    stored = manifest["forms"]
    forms = {
        name: _form(name, {**stored[name], "seconds": 0.0})
        # What a package added stays in its export when the package is gone.
        for name in sorted(stored, key=place)
    }
    return Export(folder=folder, forms=forms, inputs=manifest["inputs"])


class _Steps:
    """The finished steps of an export, remembered beside its folder."""

    def __init__(self, output: Path, inputs: Mapping[str, Any], done: dict[str, ExportedForm]):
        self._output = output
        self._inputs = inputs
        self.done = done
        self._verified: set[str] = set()
        self._made: set[str] = set()

    @classmethod
    def load(cls, output: Path, inputs: Mapping[str, Any]) -> _Steps:
        """What an earlier run finished from the same inputs; of other inputs nothing is kept."""
        try:
            content = json.loads(_record_path(output).read_text("utf-8"))
            if content["inputs"] == inputs:
                done = {name: _form(name, entry) for name, entry in content["forms"].items()}
                return cls(output, inputs, done)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # no record, or a torn one: then nothing is known to be finished
        shutil.rmtree(output, ignore_errors=True)
        return cls(output, inputs, {})

    def take_over(
        self, earlier: Iterable[Path], wanted: Sequence[str], *, merger: str, progress: Progress
    ) -> None:
        """Take what is missing from exports of the same, with an f16 to make the rest from."""
        missing = [name for name in wanted if not self.is_whole(name)]
        taken: list[str] = []
        exports = iter(earlier)
        while missing and (folder := next(exports, None)) is not None:
            export = open_export(folder)
            usable = {
                name: form
                for name, form in export.forms.items()
                if (form.tool == merger if name == SAFETENSORS else name in FORMS)
                and same_result(name, self._inputs, export.inputs)
            }
            for name in [name for name in missing if name in usable]:
                self._take(usable[name], folder)
                taken.append(name)
            missing = [name for name in missing if name not in taken]
            # Not asked for, and what the missing ones are made from.
            for name in {form_of(name).made_from for name in missing if name != SAFETENSORS}:
                if name in usable and name not in self.done:
                    self._take(usable[name], folder)
        if taken:
            self._save()
            named = ", ".join(taken)
            progress.note(f"{named}: made by an earlier export of these weights; used again")

    def _take(self, form: ExportedForm, folder: Path) -> None:
        for file in form.files:
            target = self._output / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                os.link(folder / file.path, target)
            except OSError:
                shutil.copyfile(folder / file.path, target)
        self.done[form.name] = form
        self._verified.add(form.name)

    def run(
        self, name: str, target: Path, make: Callable[[], str], progress: Progress, *, doing: str
    ) -> None:
        """Do a step, unless its files are whole; `doing` says what it does."""
        if name in self._verified:
            return
        if self.is_whole(name):
            progress.note(f"{name} is there already ({in_megabytes(self.done[name].size_bytes)})")
            return
        progress.step(doing)
        started = time.monotonic()
        tool = make()
        seconds = time.monotonic() - started
        files = tuple(_describe(path, self._output) for path in _files(target))
        self.done[name] = ExportedForm(name=name, files=files, tool=tool, seconds=seconds)
        self._save()
        progress.note(f"{name}: {in_megabytes(self.done[name].size_bytes)} in {seconds:.1f} s")

    def make(self, form: Form, *, model: str, child: Child, progress: Progress) -> None:
        """Make a form, and before it what it is made from, unless its files are whole."""
        if form.name in self._made:
            return
        self._made.add(form.name)
        source = self._output / form.made_from
        if form.made_from != SAFETENSORS:
            before = form_of(form.made_from)
            source = self._output / before.file
            if not self.is_whole(form.name):
                self.make(before, model=model, child=child, progress=progress)
        target = self._output / form.file
        making = Making(source=source, target=target, model=model, progress=progress, child=child)
        self.run(form.name, target, lambda: form.make(making), progress, doing=form.about)

    def is_whole(self, name: str) -> bool:
        """Whether a step was finished and its bytes are still those."""
        if name in self._verified:
            return True
        return name in self.done and all(
            (self._output / file.path).is_file()
            and digest_file(self._output / file.path) == file.digest
            for file in self.done[name].files
        )

    def forget(self, name: str) -> None:
        """A step whose result is not kept."""
        self.done.pop(name, None)
        self._save()

    def _save(self) -> None:
        forms = {name: asdict(form) for name, form in self.done.items()}
        _write_json(_record_path(self._output), {"inputs": self._inputs, "forms": forms})


def _finish(output: Path, inputs: Mapping[str, Any], steps: _Steps, kept: Sequence[str]) -> Export:
    """Remove what was not asked for, and write the manifest."""
    for name in [name for name in steps.done if name not in kept]:
        _remove(output / steps.done[name].place)
        steps.forget(name)
    forms = {name: steps.done[name] for name in kept}
    entries = {}
    for name, form in forms.items():
        entries[name] = {key: value for key, value in asdict(form).items() if key != "seconds"}
        entries[name]["size_bytes"] = form.size_bytes
    content = {"version": _MANIFEST_VERSION, "inputs": inputs, "forms": entries}
    _write_json(output / MANIFEST, content)
    return Export(folder=output, forms=forms, inputs=inputs)


def export_inputs(
    base: BaseModel, trained: Path, name: str, forms: Iterable[Form]
) -> dict[str, Any]:
    """Everything that decides the bytes of an export of these forms.

    Our own tools are always told, so that an export has one identity whatever was asked for.

    Raises:
        DeploymentError: there are no trained weights.
    """
    files = identity_files(trained)
    if (trained / "adapter_config.json").is_file():
        files.append(trained / "adapter_config.json")
    if not any(file.suffix == ".safetensors" for file in files):
        raise DeploymentError(
            f"There are no trained weights (*.safetensors) in {trained}.",
            remedy="Train first, or name the folder that the training run wrote.",
        )
    return {
        "base": base.digest,
        "trained": digest_json({file.name: digest_file(file) for file in files}),
        "name": name,
        **tools([*FORMS.own.values(), *forms]),
    }


def _merger(trained: Path) -> str:
    """What makes the merged weights: part of what decides their bytes."""
    return f"peft {version('peft')}" if is_adapter(trained) else "copied"


def _whole_size(base: BaseModel, wanted: Sequence[Form]) -> int:
    """About how many bytes the whole export takes."""
    merged = sum(file.stat().st_size for file in weight_files(base.folder))
    return export_bytes(merged, parameter_count(base.folder), wanted)


def export_bytes(merged_bytes: int, parameters: int, wanted: Sequence[Form]) -> int:
    """About how many bytes an export takes of weights that take so many when they are merged."""
    f16 = 2 * parameters
    made_from_it = sum(form.share_of_f16 * f16 for form in wanted if form.made_from != SAFETENSORS)
    return int(merged_bytes + f16 + made_from_it) if wanted else merged_bytes


def _remove(target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _files(target: Path) -> list[Path]:
    if not target.is_dir():
        return [target]
    return sorted(path for path in target.rglob("*") if path.is_file())


def _describe(path: Path, output: Path) -> ExportedFile:
    return ExportedFile(
        path=path.relative_to(output).as_posix(),
        digest=digest_file(path),
        size_bytes=path.stat().st_size,
    )


def _form(name: str, entry: Mapping[str, Any]) -> ExportedForm:
    return ExportedForm(
        name=name,
        files=tuple(ExportedFile(**file) for file in entry["files"]),
        tool=entry["tool"],
        seconds=entry["seconds"],
    )


def _record_path(output: Path) -> Path:
    return output.with_name(f"{output.name}.progress.json")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = canonical_json(content) + "\n"
    with partial_file(path, needed_bytes=len(text)) as partial:
        partial.write_text(text, "utf-8")
