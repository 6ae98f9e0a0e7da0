"""What users extend: one table a thing, our own entries first, then those of installed packages.

A package adds an entry by an entry point in the table's group:

    [project.entry-points."tuneloop.trackers"]
    acme = "acme_tuneloop:TRACKER"

Packages are looked through only for a name that is not our own, or where all entries are wanted;
their code is imported only when the entry itself is used. A name of our own cannot be taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tuneloop.errors import ExtensionError

READER_GROUP = "tuneloop.readers"
TRACKER_GROUP = "tuneloop.trackers"
SCORER_GROUP = "tuneloop.scorers"
FORM_GROUP = "tuneloop.forms"
MONITOR_GROUP = "tuneloop.monitors"
GROUPS = (READER_GROUP, TRACKER_GROUP, SCORER_GROUP, FORM_GROUP, MONITOR_GROUP)

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, kw_only=True)
class Extension:
    """An entry that an installed package adds; nothing of it is imported yet."""

    group: str
    name: str
    package: str
    """Name and version of the distribution."""
    value: str
    """Where the entry is: `module:object`."""

    def load(self) -> Any:
        """Import it.

        Raises:
            ExtensionError: its module fails or lacks it; names the package.
        """
        from importlib.metadata import EntryPoint

        try:
            return EntryPoint(name=self.name, group=self.group, value=self.value).load()
        except (Exception, SystemExit) as e:  # a stranger's module may raise anything
            raise self.error(f"cannot be loaded: {type(e).__name__}: {e}") from e

    def error(self, problem: str) -> ExtensionError:
        """The error that this entry has the problem."""
        return ExtensionError(
            f"{self.package} adds {self.name!r} to {self.group}, but {self.value} {problem}.",
            remedy=f"Install another version of {self.package.split()[0]}, or remove it.",
        )


class Table(Generic[_Entry]):
    """Entries by name, in order; `kind` is what each of them is."""

    def __init__(self, group: str, own: Mapping[str, _Entry], *, kind: type[Any]) -> None:
        self.group = group
        self.own = dict(own)
        self._kind = kind

    def find(self, name: str) -> _Entry | None:
        """The entry of this name, if there is one.

        Raises:
            ExtensionError: a package adds it and it cannot be used, or two packages do.
        """
        if name in self.own:
            return self.own[name]
        extension = extensions(self.group).get(name)
        return None if extension is None else self._entry(extension)

    def __contains__(self, name: object) -> bool:
        """Whether there is an entry of this name; imports nothing."""
        return name in self.own or name in extensions(self.group)

    def __iter__(self) -> Iterator[_Entry]:
        """Every entry, our own first, then those of packages by name.

        Raises:
            ExtensionError: one that a package adds cannot be used.
        """
        yield from self.own.values()
        for extension in self.added():
            yield self._entry(extension)

    def names(self) -> tuple[str, ...]:
        """All names, in the order of the table; imports nothing."""
        return (*self.own, *(extension.name for extension in self.added()))

    def added(self) -> tuple[Extension, ...]:
        """What packages add, by name, but for names of our own.

        Raises:
            ExtensionError: two packages add the same name.
        """
        installed = extensions(self.group)
        return tuple(installed[name] for name in installed if name not in self.own)

    def _entry(self, extension: Extension) -> _Entry:
        entry: _Entry = extension.load()
        if not isinstance(entry, self._kind):
            raise extension.error(
                f"is of the type {type(entry).__name__}; expected {self._kind.__name__}"
            )
        named = getattr(entry, "name", extension.name)
        if named != extension.name:
            raise extension.error(f"calls itself {named!r}; both names must be the same")
        return entry


def extensions(group: str) -> dict[str, Extension]:
    """What installed packages add to a group, by name; imports none of them.

    Raises:
        ExtensionError: two packages add the same name.
    """
    from importlib.metadata import entry_points

    by_name: dict[str, Extension] = {}
    for point in entry_points(group=group):
        distribution = point.dist
        package = f"{distribution.name} {distribution.version}" if distribution else "a package"
        extension = Extension(group=group, name=point.name, package=package, value=point.value)
        other = by_name.setdefault(point.name, extension)
        if other is not extension:
            raise ExtensionError(
                f"{other.package} and {package} both add {point.name!r} to {group}.",
                remedy="Remove one of them.",
            )
    return dict(sorted(by_name.items()))
