"""`tuneloop doctor`: is the installation complete?"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.text import Text

from tuneloop import __version__
from tuneloop.cli.terminal import (
    DEFAULT_FILE,
    JsonOption,
    finishing,
    open_project,
    page,
    print_json,
    table,
)
from tuneloop.errors import ExtensionError, TuneloopError
from tuneloop.table import (
    FORM_GROUP,
    GROUPS,
    MONITOR_GROUP,
    READER_GROUP,
    SCORER_GROUP,
    TRACKER_GROUP,
    Extension,
    Table,
    extensions,
)

_MIN_FREE_BYTES = 5_000_000_000
_EXTRAS = {
    "gateway": ("granian", "pyreqwest"),
    "traffic": ("deltalake", "polars"),
    "data": ("numpy", "rapidfuzz", "pyarrow", "python_calamine"),
    "remote": ("aiohttp",),
    "train": ("torch", "transformers", "trl", "peft"),
    "export": ("gguf", "libgguf"),
    "serve": ("xllamacpp",),
    "evaluate": ("scipy", "statsmodels", "jinja2", "sacrebleu"),
    "monitor": ("wordllama",),
    "postgres": ("psycopg",),
    "qlora": ("bitsandbytes",),
}
_NEEDED_FOR = {
    "gateway": "serving",
    "traffic": "monitoring and review",
    "data": "preparing data",
    "remote": "sources behind https://",
    "train": "training",
    "export": "making GGUF files",
    "serve": "running models",
    "evaluate": "evaluation",
    "monitor": "novelty",
}
_TABLES = {
    READER_GROUP: "tuneloop.readers",
    TRACKER_GROUP: "tuneloop.training.trackers",
    SCORER_GROUP: "tuneloop.evaluation.scorers.table",
    FORM_GROUP: "tuneloop.deployment.export.forms.table",
    MONITOR_GROUP: "tuneloop.monitoring.monitors.table",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: str
    """ok, warning, optional (absent, only needed for more) or missing"""
    detail: str


def doctor(json_: JsonOption = False) -> None:
    """Check the installation; exit code 1 when something is missing.

    Looks at Python, the optional parts, disk, memory, processors and what other packages add; in a
    model's folder also at who can judge the model.

    Example: tuneloop doctor --json
    """
    findings = [_python(), *(_extra(name) for name in _EXTRAS), _disk(), _machine(), _tools()]
    findings += [*_extensions(), *_people()]
    if json_:
        print_json(findings)
    else:
        colours = {"ok": "green", "warning": "yellow", "optional": "dim", "missing": "red"}
        rows = table("what", "state", "detail")
        for finding in findings:
            rows.add_row(
                finding.name, Text(finding.state, style=colours[finding.state]), finding.detail
            )
        page(rows)
    if any(finding.state == "missing" for finding in findings):
        raise typer.Exit(1)


def _python() -> Finding:
    return Finding(
        name="tuneloop",
        state="ok",
        detail=f"{__version__} on Python {platform.python_version()} ({sys.executable})",
    )


def _extra(name: str) -> Finding:
    absent = [module for module in _EXTRAS[name] if importlib.util.find_spec(module) is None]
    if not absent:
        return Finding(name=name, state="ok", detail=", ".join(map(_version, _EXTRAS[name])))
    needed = name in _NEEDED_FOR
    why = f"needed for {_NEEDED_FOR[name]}; " if needed else ""
    return Finding(
        name=name,
        state="missing" if needed else "optional",
        detail=f"{why}pip install 'tuneloop[{name}]'",
    )


def _version(module: str) -> str:
    from importlib import metadata

    try:
        return f"{module} {metadata.version(module)}"
    except metadata.PackageNotFoundError:
        return module


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    return Finding(
        name="disk",
        state="ok" if free > _MIN_FREE_BYTES else "missing",
        detail=f"{free / 1e9:.0f} GB free here; a 135M model needs about 3 GB a cycle",
    )


def _machine() -> Finding:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    gpu = shutil.which("nvidia-smi")
    detail = f"{os.cpu_count()} processors, {memory / 1e9:.0f} GB memory, "
    return Finding(name="machine", state="ok", detail=detail + ("a GPU" if gpu else "no GPU"))


def _extensions() -> list[Finding]:
    """What packages add to the tables; each is imported, to see whether it works."""
    findings = []
    for group in GROUPS:
        table_name = group.rpartition(".")[2]
        try:
            added = extensions(group)
        except ExtensionError as e:
            findings.append(Finding(name=table_name, state="warning", detail=e.message))
            continue
        findings += [_extension(table_name, extension) for extension in added.values()]
    return findings


def _extension(table_name: str, extension: Extension) -> Finding:
    name = f"{table_name}: {extension.name}"
    entries = _table(extension.group)
    if extension.name in entries.own:
        detail = f"{extension.package} adds it, but the name is tuneloop's own; it is not used"
        return Finding(name=name, state="warning", detail=detail)
    try:
        entries.find(extension.name)
    except ExtensionError as e:
        return Finding(name=name, state="warning", detail=e.message)
    return Finding(name=name, state="ok", detail=extension.package)


def _table(group: str) -> Table[Any]:
    """The table of a group; what it needs is imported only where a package adds to it."""
    module = importlib.import_module(_TABLES[group])
    entries: Table[Any] = getattr(module, group.rpartition(".")[2].upper())
    return entries


def _people() -> list[Finding]:
    """Who can judge the model of this folder, where one has been worked with."""
    if not (DEFAULT_FILE.exists() and Path(".tuneloop").is_dir()):
        return []
    try:
        from tuneloop.registry import people

        with finishing(open_project(DEFAULT_FILE, quiet=True)) as project:
            factor = people.bus_factor(project.workspace, project.model.name)
    except TuneloopError as e:
        return [Finding(name="people", state="warning", detail=e.message)]
    state = "ok" if factor.warning is None else "warning"
    detail = factor.warning or f"{', '.join(factor.judges)} can judge {project.model.name}"
    return [Finding(name="people", state=state, detail=detail)]


def _tools() -> Finding:
    tools = [tool for tool in ("llama-quantize", "llama-server") if shutil.which(tool)]
    return Finding(
        name="llama.cpp",
        state="ok" if tools else "optional",
        detail=f"on PATH: {', '.join(tools)}"
        if tools
        else "none on PATH; the packaged one is used",
    )
