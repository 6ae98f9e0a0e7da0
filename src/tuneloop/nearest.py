"""What was probably meant by a name or a path that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

_ALIKE = 0.6
"""Least `difflib` ratio of two names, case aside, that may be one mistyped for the other."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, if one is like it at all."""
    by_lower = {known_name.lower(): known_name for known_name in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=_ALIKE)
    return by_lower[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?`, or what there is instead; for the end of a message."""
    known = list(known)
    near = nearest(name, known)
    if near is not None:
        return f"Did you mean {near!r}?"
    return f"There is: {', '.join(known)}." if known else ""


def nearest_path(path: Path) -> Path | None:
    """The existing file or folder that is most like a path that does not exist.

    Every part of the path may be mistyped; a file with the very name may lie one folder below.
    """
    mended = _mended(path)
    if mended is not None:
        return mended
    if not _is_plain(path.name):
        return None
    beside = _safely(lambda: path.parent.glob(f"*/{path.name}"))
    return beside[0] if beside else None


def _mended(path: Path) -> Path | None:
    here = Path(path.anchor) if path.is_absolute() else Path()
    for part in path.parts[1:] if path.is_absolute() else path.parts:
        below = here / part
        if part != ".." and not below.exists():
            near = nearest(part, (entry.name for entry in _safely(here.iterdir)))
            if near is None:
                return None
            below = here / near
        here = below
    return here


def _is_plain(name: str) -> bool:
    return bool(name) and not set(name) & set("*?[")


def _safely(listed: Callable[[], Iterable[Path]]) -> list[Path]:
    """What can be listed, in order; a folder that may not be read has nothing to offer."""
    try:
        return sorted(listed())
    except OSError:
        return []
