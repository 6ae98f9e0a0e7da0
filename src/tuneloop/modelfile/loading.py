"""Reads `tuneloop.yaml`: positions for messages, an origin for every value.

Layers, the later one wins: default, file, environment (`TUNELOOP_SET_TRAINING__EPOCHS=5`), flag
(`--set training.epochs=5`). What a candidate is held against, the file alone says: see `protected`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tuneloop.errors import ModelFileError
from tuneloop.modelfile.expected import expected, found
from tuneloop.modelfile.protected import protected_in
from tuneloop.modelfile.settings import WINDOWS, ModelSettings
from tuneloop.nearest import nearest, nearest_path

FILE_NAME = "tuneloop.yaml"
ENVIRONMENT_PREFIX = "TUNELOOP_SET_"

Origin = Literal["default", "file", "environment", "flag"]
KeyPath = tuple[str | int, ...]

_SECRETS: tuple[KeyPath, ...] = (("alerts", "notify"), ("alerts", "also"))
"""No message quotes what is found in these places."""
_MISSING = object()
_URL = re.compile(r"://[^\s'\"]+")
"""One that was written elsewhere by mistake may hold a password too."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A valid model file."""

    path: Path
    """The file that was read."""
    settings: ModelSettings
    """Its content with defaults, environment and flags applied."""
    origins: Mapping[str, Origin]
    """Dotted key → where its value came from; a key that is not here is a default."""
    overrides: tuple[str, ...] = ()
    """KEY=VALUE of the command line as it was typed: for a process that shall have the same."""
    lines: Mapping[KeyPath, int] = field(default_factory=dict, repr=False, compare=False)
    """Key → the line of the file that it stands on."""

    @property
    def folder(self) -> Path:
        """What relative paths in the file are relative to."""
        return self.path.parent

    def origin(self, key: str) -> Origin:
        """Where the value of a dotted key came from."""
        if key not in self.origins and key in map(".".join, WINDOWS):
            key = "context_tokens"
        return self.origins.get(key, "default")

    def place(self, at: KeyPath) -> str:
        """Where a key was written, for people: a line of the file, a flag, the environment."""
        origin, key = _given(at, self.origins)
        if origin == "file":
            return f"{self.path.name}:{self.line(at)}"
        return f"--set {key}" if origin == "flag" else f"environment variable for {key}"

    def line(self, at: KeyPath) -> int:
        """The line of a key, or of the nearest key above it."""
        return _line(at, self.lines)

    def values(self) -> list[tuple[str, Any, Origin]]:
        """Every dotted key with its value and origin, in the order of the sections."""
        return [
            (key, value, self.origin(key))
            for key, value in _leaves(self.settings.model_dump(mode="json", by_alias=True))
        ]

    def changed(self) -> list[tuple[str, Any, Origin]]:
        """Of `values` those that somebody wrote and that differ from the defaults.

        What a model file must say has no default.
        """
        settings = self.settings
        # The smallest file that is valid says the rest by default.
        least = ModelSettings.model_validate(
            {
                "name": settings.name,
                "base": settings.base,
                "data": {"sources": settings.data.sources},
            }
        )
        defaults = dict(_leaves(least.model_dump(mode="json", by_alias=True)))
        required = ("name", "base", "data.sources")
        return [
            (key, value, origin)
            for key, value, origin in self.values()
            if self._written(key) and (key in required or value != defaults.get(key, _MISSING))
        ]

    def _written(self, key: str) -> bool:
        """Whether somebody wrote a key, or an empty section that it is in."""
        parts = key.split(".")
        return any(".".join(parts[:end]) in self.origins for end in range(1, len(parts) + 1))


def load(
    path: Path, *, overrides: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> ModelFile:
    """Read and validate a model file.

    `overrides` are `key=value` texts with dotted keys and YAML values.

    Raises:
        ModelFileError: with the file, line, key, and the nearest valid key.
    """
    layers = _read_layers(path, overrides, environment)
    try:
        settings = ModelSettings.model_validate(layers.raw)
    except ValidationError as e:
        raise ModelFileError("\n".join(_explain(e, layers))) from None
    return layers.model_file(settings, overrides)


def load_what_is_valid(
    path: Path, *, overrides: Sequence[str] = (), environment: Mapping[str, str] = os.environ
) -> tuple[ModelFile | None, list[str]]:
    """A model file without the values that are wrong, and those mistakes, one line each.

    For a check that shall tell everything at once. None: too much is wrong to look any further.

    Raises:
        ModelFileError: it is no file of keys and values at all.
    """
    layers = _read_layers(path, overrides, environment)
    try:
        return layers.model_file(ModelSettings.model_validate(layers.raw), overrides), []
    except ValidationError as e:
        mistakes = _explain(e, layers)
        wrong = [tuple(problem["loc"]) for problem in e.errors()]
    if any(at[:1] == ("task",) for at in wrong):  # which says what a gate can stand on
        wrong.append(("evaluation", "gates"))
    try:
        settings = ModelSettings.model_validate(_without(layers.raw, wrong))
    except (ValidationError, LookupError, TypeError, AttributeError):
        return None, mistakes
    return layers.model_file(settings, overrides), mistakes


def schema() -> dict[str, Any]:
    """The JSON Schema of the model file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FILE_NAME,
        **ModelSettings.model_json_schema(),
    }


@dataclass(frozen=True, kw_only=True)
class _Layers:
    """File, environment and flags laid over each other, before anything is judged."""

    path: Path
    raw: dict[str, Any]
    lines: Mapping[KeyPath, int]
    origins: Mapping[str, Origin]

    def model_file(self, settings: ModelSettings, overrides: Sequence[str]) -> ModelFile:
        return ModelFile(
            path=self.path,
            settings=settings,
            origins=self.origins,
            overrides=tuple(overrides),
            lines=self.lines,
        )


def _read_layers(path: Path, overrides: Sequence[str], environment: Mapping[str, str]) -> _Layers:
    path = path.resolve()
    if path.is_dir():
        path = path / FILE_NAME
    raw, lines = _read(path)
    origins: dict[str, Origin] = {key: "file" for key, _ in _leaves(raw)}
    for key, value in _from_environment(environment):
        _refuse_protected(key, f"environment variable for {key}", path)
        _assign(raw, key, value, source=f"environment variable for {key}")
        origins[key] = "environment"
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator:
            raise ModelFileError(
                f"--set {text}: expected KEY=VALUE.", remedy="For example: --set training.epochs=5"
            )
        _refuse_protected(key.strip(), f"--set {key.strip()}", path)
        _assign(raw, key.strip(), _yaml_value(value), source=f"--set {key.strip()}")
        origins[key.strip()] = "flag"
    return _Layers(path=path, raw=raw, lines=lines, origins=origins)


def _refuse_protected(key: str, source: str, path: Path) -> None:
    """Raises where somebody would change unseen what a candidate is held against."""
    name = protected_in(key)
    if name is None:
        return
    if name == key or key.startswith(f"{name}."):
        what, remedy = f"{name} is set", f"Change it in {path}."
    else:
        what = f"a whole section would replace {name}, which is set"
        remedy = "Set one key of the section, or change the file."
    raise ModelFileError(
        f"{source}: {what} in the model file alone, which is under version control: neither a flag "
        "nor the environment changes what a candidate must show and who must agree to it.",
        remedy=remedy,
    )


def _without(raw: dict[str, Any], wrong: Sequence[KeyPath]) -> dict[str, Any]:
    """A copy without the values at those places.

    Raises:
        LookupError: one stands in a list of which the rest would mean something else.
    """
    copy = deepcopy(raw)
    for at in wrong:
        # A list with a wrong entry goes as a whole: without it, the default holds.
        keys = [str(key) for key in takewhile(lambda key: not isinstance(key, int), at)]
        if not keys or keys[:2] == ["evaluation", "suites"]:
            raise LookupError(at)
        here = copy
        # So does what was judged as the section that it is short for, e.g. a gate's condition.
        while len(keys) > 1 and isinstance(here.get(keys[0]), dict):
            here = here[keys.pop(0)]
        here.pop(keys[0], None)
    return copy


def _read(path: Path) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = nearest_path(path)
        hint = "" if near is None or near.is_dir() else f"Did you mean {near}? Else "
        remedy = f"{hint}write one with: tuneloop init DATA_FILE"
        raise ModelFileError(
            f"No model file at {path}.", remedy=f"{remedy[0].upper()}{remedy[1:]}"
        ) from None
    except UnicodeDecodeError as e:
        raise ModelFileError(
            f"{path} is not UTF-8 (byte {e.start}).", remedy="Save it as UTF-8 and try again."
        ) from None
    except OSError as e:
        raise ModelFileError(f"{path} cannot be read: {e.strerror}.") from e
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as e:
        line = e.problem_mark.line + 1 if e.problem_mark else 1
        raise ModelFileError(
            f"{path}:{line}: not valid YAML: {e.problem}.",
            remedy="Compare this line with those above it: keys of one section begin in the same "
            'column, and a text with ": " or " #" in it stands in quotes.',
        ) from None
    except yaml.YAMLError as e:
        raise ModelFileError(f"{path}: not valid YAML: {e}".replace("\n", " ")) from None
    except RecursionError:
        raise ModelFileError(f"{path} is nested too deeply to be read.") from None
    if not isinstance(node, yaml.MappingNode):
        kind = (
            "nothing" if node is None else f"a {type(node).__name__.removesuffix('Node').lower()}"
        )
        raise ModelFileError(
            f"{path}: expected keys such as name, base and data, found {kind}.",
            remedy="Write a model file with: tuneloop init DATA_FILE",
        )
    lines: dict[KeyPath, int] = {}
    _locate(node, (), lines, path)
    raw = yaml.safe_load(text)
    return raw, lines


def _locate(node: yaml.Node, at: KeyPath, lines: dict[KeyPath, int], path: Path) -> None:
    """Note the line of every key, and refuse a key that stands twice."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if (*at, key) in lines:
                raise ModelFileError(
                    f"{path}:{line}: key '{'.'.join(map(str, (*at, key)))}' stands twice, "
                    f"first in line {lines[(*at, key)]}.",
                    remedy="Keep one of them.",
                )
            lines[(*at, key)] = line
            _locate(value_node, (*at, key), lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*at, index)] = item.start_mark.line + 1
            _locate(item, (*at, index), lines, path)


def _leaves(value: Any, at: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [
            leaf
            for key, item in value.items()
            for leaf in _leaves(item, f"{at}.{key}" if at else str(key))
        ]
    return [(at, value)] if at else []


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, Any]]:
    return [
        (name.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "."), _yaml_value(value))
        for name, value in sorted(environment.items())
        if name.startswith(ENVIRONMENT_PREFIX)
    ]


def _yaml_value(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return text


def _assign(raw: dict[str, Any], key: str, value: Any, *, source: str) -> None:
    *parents, last = key.split(".")
    here = raw
    for parent in parents:
        below = here.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ModelFileError(f"{source}: '{parent}' is not a section.")
        here = below
    here[last] = value


def _explain(error: ValidationError, layers: _Layers) -> list[str]:
    """One line a mistake: file, line, key, what was expected, the nearest valid key."""
    messages = []
    wrong = {tuple(problem["loc"]) for problem in error.errors()}
    for problem in error.errors():
        location: KeyPath = tuple(problem["loc"])
        if location in WINDOWS and ("context_tokens",) in wrong:
            continue  # it was said once, and is told once
        key = ".".join(map(str, location))
        origin, _ = _given(location, layers.origins)
        where = f"{layers.path}:{_line(location, layers.lines)}" if origin == "file" else origin
        messages.append(f"{where}: {key or 'file'}: {_what(problem, location)}")
    return messages


def _given(at: KeyPath, origins: Mapping[str, Origin]) -> tuple[Origin, str]:
    """Who is answerable for a key, with the key that they gave: it, or the nearest one above it.

    It is the file where it was neither a flag nor the environment.
    """
    for end in range(len(at), 0, -1):
        key = ".".join(map(str, at[:end]))
        if (origin := origins.get(key, "default")) in ("flag", "environment"):
            return origin, key
    return "file", ".".join(map(str, at))


def _line(location: KeyPath, lines: Mapping[KeyPath, int]) -> int:
    while location and location not in lines:
        location = location[:-1]
    return lines.get(location, 1)


def _what(problem: Any, location: KeyPath) -> str:
    kind = problem["type"]
    if kind == "missing":
        return "is required and missing."
    if kind == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known keys: {', '.join(known)}."
        return f"is not a known key. {hint}"
    message = expected(problem)
    if not location:  # the whole file was judged; to show it would say nothing
        return f"{message}."
    message = f"{message[0].lower()}{message[1:]}"
    if any(location[: len(place)] == place for place in _SECRETS):
        return f"{message}."
    shown = _URL.sub("://****", found(problem.get("input")))
    return f"{message}, found {shown[:80]}.{_meant(problem)}"


def _meant(problem: Any) -> str:
    """The nearest of the values that a key can take, e.g. the monitor that was mistyped."""
    if problem["type"] != "literal_error" or not isinstance(problem.get("input"), str):
        return ""
    near = nearest(problem["input"], re.findall(r"'([^']*)'", problem["ctx"]["expected"]))
    return f" Did you mean {near!r}?" if near else ""


def _known_keys(location: KeyPath) -> list[str]:
    """The keys of the section at `location`."""
    section: type[BaseModel] | None = ModelSettings
    named = False  # the next part is a name of the user's own, e.g. of a gate
    for part in location:
        if section is None or isinstance(part, int) or named:
            named = False
            continue
        field = section.model_fields.get(str(part))
        section = _section_in(field.annotation) if field else None
        named = field is not None and get_origin(field.annotation) is dict
    fields = section.model_fields.items() if section else ()
    return [field.alias or name for name, field in fields]


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        if section := _section_in(argument):
            return section
    return None
