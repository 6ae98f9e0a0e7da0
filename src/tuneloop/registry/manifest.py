"""What a bundle's manifest says (R1): its parts as records, and the JSON that is its identity.

Every version of tuneloop writes fields of its own, so a manifest that was read is written again as
it stood: with the fields that it had, in their order, also those that are not known here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

MANIFEST_VERSION = 1
_WHERE_THERE_IS_ONE = {"where_there_is_one": True}
"""Of a field: one that is None is left out, where others are written as null."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Named fields, and what else stands in the JSON of this part."""

    further: Mapping[str, Any] = field(default_factory=dict)
    """What is not named here: a backend's own conditions, or fields of a newer version."""
    stated: tuple[str, ...] | None = None
    """The names in its JSON, in order; None: it was made here and has all that apply."""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The part in `stored`; what it does not state has its default."""
        named = {name: stored[name] for name in _names(cls) if name in stored}
        further = {name: value for name, value in stored.items() if name not in named}
        return cls(**named, further=further, stated=tuple(stored))

    def as_json(self) -> dict[str, Any]:
        """Its JSON: of a part that was read what was read, to the byte."""
        values = {name: getattr(self, name) for name in _names(type(self))} | dict(self.further)
        if self.stated is not None:
            return {name: values[name] for name in self.stated}
        may_lack = _names(type(self), _WHERE_THERE_IS_ONE)
        return {
            name: value
            for name, value in values.items()
            if value is not None or name not in may_lack
        }


def _names(part: type[Part], only: Mapping[str, Any] | None = None) -> list[str]:
    """The fields that stand in a part's JSON; `only` those with this metadata."""
    own = [member for member in fields(part) if member.name not in ("further", "stated")]
    return [member.name for member in own if only is None or member.metadata == only]


@dataclass(frozen=True, kw_only=True)
class Base(Part):
    """The model that was tuned."""

    spec: str = ""
    revision: str | None = None
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Artifacts(Part):
    """Digests of the folders in the artifact store that the bundle is made of."""

    dataset: str = ""
    trained: str = ""
    export: str = ""
    evaluation: str = ""
    """Its report and answers."""


@dataclass(frozen=True, kw_only=True)
class Dataset(Part):
    """The version that it was trained on."""

    digest: str = ""
    label: str = ""
    rows_train: int | None = None
    rows_eval: int | None = None
    recipe: str = ""
    """Digest of filter code and settings."""
    reviewers: Sequence[str] = ()
    corrections: int = 0
    """How many of its rows are approved corrections."""


@dataclass(frozen=True, kw_only=True)
class Training(Part):
    """The run that made it."""

    run: str = ""
    """Its id."""
    config: str = ""
    """Digest of the configuration."""
    hyperparameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name → value and origin."""


@dataclass(frozen=True, kw_only=True)
class Task(Part):
    """What the model is for: the model file's `task` section as it was."""

    system: str = ""
    output_schema: dict[str, Any] | None = None
    output_pattern: str | None = None
    abstain: Mapping[str, Any] | None = None
    thinking: bool | None = field(default=None, metadata=_WHERE_THERE_IS_ONE)
    same_values: Mapping[str, Any] | None = field(default=None, metadata=_WHERE_THERE_IS_ONE)


@dataclass(frozen=True, kw_only=True)
class Serving(Part):
    """How it is served."""

    backend: str = ""
    quantisation: str = ""
    file: str = ""
    """Name of the file in the export."""
    digest: str = ""
    """SHA-256 of that file."""
    chat_template: str = ""
    """Its digest."""
    control_tokens: Sequence[str] | None = field(default=None, metadata=_WHERE_THERE_IS_ONE)
    """What is broken up where it stands in the words of a message."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Fields of a request."""
    server: str | None = None
    """Name and version of what answered when it was evaluated."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the model file: those that decide how it is exported and run."""
    proof: Mapping[str, Any] | None = field(default=None, metadata=_WHERE_THERE_IS_ONE)
    """How it is known that a server of somebody else has this file."""

    @property
    def conditions(self) -> Mapping[str, Any]:
        """What its backend wrote of how it runs: the address of a server elsewhere, slots, …"""
        return self.further


@dataclass(frozen=True, kw_only=True)
class Evaluated(Part):
    """The evaluation that it was made with."""

    id: str = ""
    verdict: str = ""
    reason: str = ""
    gates: str = ""
    """Digest of the gates, locked before it began."""
    suites: str = ""
    """Digest of all of them."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The model file's `evaluation` section as it was."""
    scores: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Metric → value, low, high, n, of the main suite."""
    latency_p95_ms: float | None = None
    comparisons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """production, base → how it compares."""
    production: str | None = None
    """The bundle that was in production then."""
    repeatability: Mapping[str, Any] | None = field(default=None, metadata=_WHERE_THERE_IS_ONE)
    """How many answers were the same when they were asked for again."""
    weakened: Sequence[Mapping[str, Any]] | None = field(default=None, metadata=_WHERE_THERE_IS_ONE)
    """Where it was held to less than by default or than production: see `registry.weakness`."""


@dataclass(frozen=True, kw_only=True)
class Routing(Part):
    """How it goes into production."""

    endpoint: str = ""
    rollout: Mapping[str, Any] | str = ""
    """The model file's `rollout` section as it was; words in the oldest."""


@dataclass(frozen=True, kw_only=True)
class Manifest(Part):
    """All parts; a bundle's id is the hash of this."""

    version: int = MANIFEST_VERSION
    model: str = ""
    base: Base = field(default_factory=Base)
    artifacts: Artifacts = field(default_factory=Artifacts)
    dataset: Dataset = field(default_factory=Dataset)
    training: Training = field(default_factory=Training)
    task: Task = field(default_factory=Task)
    serving: Serving = field(default_factory=Serving)
    evaluation: Evaluated = field(default_factory=Evaluated)
    routing: Routing = field(default_factory=Routing)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The manifest in `stored`, part by part."""
        return super().of(
            {name: PARTS[name].of(it) if name in PARTS else it for name, it in stored.items()}
        )

    def as_json(self) -> dict[str, Any]:
        """The JSON whose canonical form is hashed: of one that was read what was read."""
        return {
            name: value.as_json() if isinstance(value, Part) else value
            for name, value in super().as_json().items()
        }

    def __getitem__(self, name: str) -> Any:
        """A part as JSON, as notebooks read it before parts were records."""
        warnings.warn(
            f'Read bundle.manifest.{name}, or bundle.manifest.as_json()["{name}"].',
            DeprecationWarning,
            stacklevel=2,
        )
        return self.as_json()[name]


PARTS: Mapping[str, type[Part]] = {
    "base": Base,
    "artifacts": Artifacts,
    "dataset": Dataset,
    "training": Training,
    "task": Task,
    "serving": Serving,
    "evaluation": Evaluated,
    "routing": Routing,
}
"""Name in a manifest → its record."""
