"""The sources as they are now, against a dataset version: which changed, and what they would bring.

A look is cheap: a file is listed with its stamp, its content is hashed where the stamp is new, and
its rows are read where the content is. What was found is remembered in a file of the workspace,
which a kill at any moment leaves as it was and which may be removed at any time.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from tuneloop.conversation.template import ChatTemplate
from tuneloop.datasets import versions
from tuneloop.datasets.arrivals import Arrival, Last, arrival
from tuneloop.datasets.example import Example
from tuneloop.datasets.importing import Cleaning, import_sources
from tuneloop.datasets.recipe import recipe
from tuneloop.datasets.sources import (
    CACHE,
    Listed,
    Source,
    in_order,
    is_remote,
    list_pattern,
    shown,
)
from tuneloop.datasets.storing import SIDES
from tuneloop.datasets.versions import DatasetVersion
from tuneloop.errors import BaseModelError, DataError, ModelFileError
from tuneloop.hashing import digest_json
from tuneloop.modelfile import ModelFile
from tuneloop.progress import Progress, Silent
from tuneloop.registry import tombstones
from tuneloop.workspace import Workspace

FOLDER = "sources"
"""Of a workspace: what was seen of each model's sources."""
SETTLED = timedelta(seconds=5)
"""A file that did not change for so long is not being written any more."""
CORRECTIONS = "corrections/"
"""Begins the names of what people approved: no source of the model file."""

State = Literal["same", "new", "changed", "gone", "being written", "not reached"]


@dataclass(frozen=True, kw_only=True)
class SourceState:
    """One source, as it is now."""

    name: str
    state: State
    """not reached: it is not known whether it changed; `problem` says why."""
    rows_before: int | None = None
    """Rows that the version read from it; None: it knew no such source."""
    arrival: Arrival | None = None
    """What a new or changed one would bring."""
    problem: str = ""

    @property
    def is_news(self) -> bool:
        """Whether it is another one than the version was made of."""
        return self.state in ("new", "changed", "gone")


@dataclass(frozen=True, kw_only=True)
class SourcesNow:
    """All sources, as they are now."""

    against: str
    """Label of the version that they are held against; empty: there is none."""
    rows: int
    """Rows that it kept."""
    sources: tuple[SourceState, ...]

    @property
    def news(self) -> tuple[SourceState, ...]:
        """Those that changed since."""
        return tuple(source for source in self.sources if source.is_news)

    @property
    def learnable(self) -> int:
        """Questions that a next version could learn and the last one did not; each counts once."""
        return len(frozenset().union(*(s.arrival.learnable for s in self.news if s.arrival)))


def look(
    workspace: Workspace,
    model_file: ModelFile,
    against: DatasetVersion | None,
    *,
    now: datetime,
    template: Callable[[], ChatTemplate | None] = lambda: None,
    progress: Progress = Silent(),
) -> SourcesNow:
    """Every source, and what those that changed since `against` would bring; without a version
    all are new.

    `template` finds the base's, which decides on rows too; it is asked where there is something to
    read, and done without where it cannot be had.

    Raises:
        StoreError: the workspace cannot be read or written.
        MissingExtraError: scipy is not installed.
    """
    memory = _Memory.load(workspace, model_file)
    looking = _Looking(workspace, model_file, against, memory, now, template, progress)
    listed, problems = _listed(model_file.folder, model_file.settings.data.sources)
    sources = [looking.at(entry) for entry in listed]
    there = {entry.name for entry in listed}
    missing = {name: before for name, before in looking.before.items() if name not in there}
    sources += _missing(missing, problems)
    if not problems:
        memory.forget_all_but(listed)
    memory.save()
    return SourcesNow(
        against="" if against is None else against.label,
        rows=0 if against is None else against.rows_train + against.rows_eval,
        sources=tuple(sorted(sources, key=lambda source: source.name)),
    )


def changed_since(
    workspace: Workspace, model_file: ModelFile, against: DatasetVersion, *, now: datetime
) -> tuple[str, ...]:
    """Names of the sources that are others than `against` was made of, in a moment.

    Local files are hashed where they changed; of remote ones nothing is asked, what the last look
    saw holds.
    """
    memory, before = _Memory.load(workspace, model_file), _before(against)
    patterns = [source for source in model_file.settings.data.sources if not is_remote(source)]
    listed, problems = _listed(model_file.folder, patterns)
    for entry in listed:
        if memory.settled(entry, now):
            with suppress(DataError):
                memory.digest(entry, entry.fetched(None))
    memory.save()
    there = {_place(entry) for entry in listed}
    here = [seen for place, seen in memory.seen.items() if seen["remote"] or place in there]
    changed = {
        seen["name"]
        for seen in here
        if seen["digest"] is not None
        and seen["digest"] not in before.get(seen["name"], _Before()).digests
    }
    local = {name for name in before if not is_remote(name)}
    gone = set() if problems else local - {seen["name"] for seen in here}
    return tuple(sorted(changed | gone))


@dataclass(kw_only=True)
class _Before:
    """What a version read under one name."""

    rows: int = 0
    digests: set[str] = field(default_factory=set)


def _before(version: DatasetVersion) -> dict[str, _Before]:
    before: dict[str, _Before] = {}
    for source in version.report["sources"]:
        if not source["source"].startswith(CORRECTIONS):
            entry = before.setdefault(source["source"], _Before())
            entry.rows += source["rows"]
            entry.digests.add(source["digest"])
    return before


def _listed(folder: Path, patterns: Iterable[str]) -> tuple[list[Listed], dict[str, str]]:
    """The files that the sources name; and which of the sources could not be looked up, and why."""
    listed: list[Listed] = []
    problems: dict[str, str] = {}
    for pattern in patterns:
        try:
            listed += list_pattern(folder, pattern)
        except (DataError, ModelFileError) as e:
            problems[shown(pattern)] = e.message
    return in_order(listed), problems


def _missing(missing: Mapping[str, _Before], problems: Mapping[str, str]) -> Iterator[SourceState]:
    """What a version read and is not listed, and the sources that could not be looked up."""
    for name, before in missing.items():
        if problems:  # It may be in one of those.
            why = problems.get(name) or next(iter(problems.values()))
            yield SourceState(name=name, state="not reached", rows_before=before.rows, problem=why)
        else:
            yield SourceState(name=name, state="gone", rows_before=before.rows)
    for name, why in problems.items():
        if name not in missing:
            yield SourceState(name=name, state="not reached", problem=why)


@dataclass
class _Looking:
    """One look: what is needed to say of a file what it would bring."""

    _workspace: Workspace
    _model_file: ModelFile
    _against: DatasetVersion | None
    _memory: _Memory
    _now: datetime
    _find_template: Callable[[], ChatTemplate | None]
    _progress: Progress

    @cached_property
    def before(self) -> dict[str, _Before]:
        return {} if self._against is None else _before(self._against)

    def at(self, entry: Listed) -> SourceState:
        before = self.before.get(entry.name)
        rows = None if before is None else before.rows
        if not self._memory.settled(entry, self._now):
            return SourceState(name=entry.name, state="being written", rows_before=rows)
        try:
            source = entry.fetched(self._workspace.folder(CACHE), self._progress)
            digest = self._memory.digest(entry, source)
        except DataError as e:
            return SourceState(
                name=entry.name, state="not reached", rows_before=rows, problem=e.message
            )
        if before is not None and digest in before.digests:
            return SourceState(name=entry.name, state="same", rows_before=rows)
        return SourceState(
            name=entry.name,
            state="new" if before is None else "changed",
            rows_before=rows,
            arrival=self._arrival(source, digest),
        )

    def _arrival(self, source: Source, digest: str) -> Arrival:
        """What a file would bring: remembered, or read now."""
        against = "" if self._against is None else self._against.digest
        key = digest_json([source.name, digest, against, self._rules])
        known = self._memory.arrival(key)
        if known is None:
            self._progress.step(f"Reading what is new in {source.name}")
            known = self._read(replace(source, known_digest=digest))
            self._memory.keep(key, source, digest, known)
        return known

    def _read(self, source: Source) -> Arrival:
        try:
            imported = import_sources([source], self._cleaning, progress=self._progress)
        except DataError as e:
            return Arrival(error=e.message)
        return arrival(imported, source.name, self._last)

    @cached_property
    def _erased(self) -> tombstones.Tombstones:
        return tombstones.load(self._workspace)

    @cached_property
    def _rules(self) -> str:
        """Identity of what decides on a row: settings, code, and what was erased."""
        settings = self._model_file.settings
        made_by = recipe(settings.data, settings.task, self._template)["digest"]
        return digest_json([made_by, sorted(self._erased.marks)])

    @cached_property
    def _cleaning(self) -> Cleaning:
        return versions.cleaning_of(self._model_file, self._erased, self._template)

    @cached_property
    def _template(self) -> ChatTemplate | None:
        with suppress(BaseModelError):  # Whoever needs the base says what is wrong with it.
            return self._find_template()
        return None

    @cached_property
    def _last(self) -> Last:
        """The version's rows, as they would be written now."""
        if self._against is None:
            return Last.of((), ())
        rewritten = self._against.report["recipe"]["data"] != self._recipe_data
        kept = [
            example
            for side in SIDES
            for example in versions.read_examples(self._workspace, self._against, side)
        ]
        left_out = [
            Example.from_row(row["row"])
            for row in versions.read_left_out(self._workspace, self._against)
            if row["row"]
        ]
        if rewritten:
            kept, left_out = (list(map(self._cleaning.rewritten, r)) for r in (kept, left_out))
        return Last.of(kept, left_out)

    @cached_property
    def _recipe_data(self) -> Any:
        settings = self._model_file.settings
        return recipe(settings.data, settings.task)["data"]


def is_settled(modified_at: datetime | None, *, seen_at: datetime, now: datetime) -> bool:
    """Whether nobody is writing a file any more.

    `modified_at`: what its file system says, None where it says nothing, as of files that appear
    whole. `seen_at`: when it was first seen as it is; it counts where clocks differ.
    """
    return modified_at is None or now - min(modified_at, seen_at) >= SETTLED


_SEEN = frozenset({"name", "stamp", "since", "remote", "digest"})
_KEPT = frozenset({"name", "digest", "found"})


@dataclass(kw_only=True)
class _Memory:
    """What was seen at earlier looks; it saves work and decides nothing."""

    path: Path
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Place → name, stamp, when that was first seen, whether it is remote, and its digest, or None
    as long as nobody has read it."""
    arrivals: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Identity of file, version and rules → name and digest of the file, and what was found."""

    @classmethod
    def load(cls, workspace: Workspace, model_file: ModelFile) -> _Memory:
        path = workspace.folder(FOLDER) / f"{model_file.settings.name}.json"
        try:
            row = json.loads(path.read_text("utf-8"))
            seen, arrivals = row["seen"], row["arrivals"]
            if all(one.keys() >= _SEEN for one in seen.values()) and all(
                one.keys() >= _KEPT for one in arrivals.values()
            ):
                return cls(path=path, seen=seen, arrivals=arrivals)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # There is none, or another release wrote it.
        return cls(path=path)

    def save(self) -> None:
        """Replace the file; findings on contents that are gone are forgotten, once it is known."""
        current = {(seen["name"], seen["digest"]) for seen in self.seen.values()}
        arrivals = {
            key: kept
            for key, kept in self.arrivals.items()
            if not current.isdisjoint({(kept["name"], kept["digest"]), (kept["name"], None)})
        }
        partial = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}")
        # To remember is never worth failing for.
        with suppress(OSError):
            partial.write_text(json.dumps({"seen": self.seen, "arrivals": arrivals}), "utf-8")
            partial.replace(self.path)

    def forget_all_but(self, listed: Iterable[Listed]) -> None:
        """Forget files that are gone."""
        places = {_place(entry) for entry in listed}
        self.seen = {place: seen for place, seen in self.seen.items() if place in places}

    def settled(self, entry: Listed, now: datetime) -> bool:
        """Whether nobody is writing a file any more; that it was seen as it is, is noted."""
        seen = self.seen.get(_place(entry))
        if seen is None or seen["stamp"] != entry.stamp:
            seen = {
                "name": entry.name,
                "stamp": entry.stamp,
                "since": now.isoformat(),
                "remote": entry.remote is not None,
                "digest": None,
            }
            self.seen[_place(entry)] = seen
        seen_at = datetime.fromisoformat(seen["since"])
        return seen["digest"] is not None or is_settled(entry.modified_at, seen_at=seen_at, now=now)

    def digest(self, entry: Listed, source: Source) -> str:
        """Of a file's content; read only where its stamp is new, or its server tells none."""
        seen = self.seen[_place(entry)]
        if seen["digest"] is None or not entry.stamp:
            seen["digest"] = source.digest()
        digest: str = seen["digest"]
        return digest

    def arrival(self, key: str) -> Arrival | None:
        """What was found before, if it was."""
        with suppress(KeyError, TypeError):
            return Arrival.of_row(self.arrivals[key]["found"])
        return None

    def keep(self, key: str, source: Source, digest: str, found: Arrival) -> None:
        """Remember what was found; at once, for the next file may take long."""
        self.arrivals[key] = {"name": source.name, "digest": digest, "found": found.as_row()}
        self.save()


def _place(entry: Listed) -> str:
    return entry.name if entry.path is None else str(entry.path)
