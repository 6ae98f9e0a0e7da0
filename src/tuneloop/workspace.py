"""The workspace: opens the three stores, tells the time, and keeps two writers apart."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from tuneloop.errors import BusyError, StoreError
from tuneloop.storage.artifacts import Artifacts
from tuneloop.storage.records import Records
from tuneloop.storage.traffic import Traffic

FOLDER = ".tuneloop"
_OWNER_ONLY = 0o700
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """What every stage receives."""

    root: Path
    """Local folder for caches, spools, logs and, by default, the stores."""
    records: Records
    artifacts: Artifacts
    traffic: Traffic
    now: Callable[[], datetime] = field(default=_utc_now)
    """The only clock: UTC, replaceable in tests and simulations."""

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        records_url: str | None = None,
        artifacts_url: str | None = None,
        traffic_url: str | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> Workspace:
        """Open the stores under `root`, made on first use.

        The environment variables TUNELOOP_RECORDS_URL, TUNELOOP_ARTIFACTS_URL and
        TUNELOOP_TRAFFIC_URL move a store elsewhere.

        Raises:
            StoreError: a store is unreachable, or the folder cannot be written.
        """
        root = root.resolve()
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise StoreError(f"The workspace {root} cannot be made: {e.strerror}.") from e
        environment = os.environ
        records = Records(
            records_url
            or environment.get("TUNELOOP_RECORDS_URL")
            or f"sqlite:///{root / 'records.sqlite'}"
        )
        records.migrate()
        artifacts = Artifacts(
            artifacts_url or environment.get("TUNELOOP_ARTIFACTS_URL") or str(root / "artifacts"),
            cache=root / "cache" / "artifacts",
        )
        traffic = Traffic(
            traffic_url or environment.get("TUNELOOP_TRAFFIC_URL") or str(root / "traffic")
        )
        return cls(root=root, records=records, artifacts=artifacts, traffic=traffic, now=now)

    def folder(self, name: str) -> Path:
        """A local working folder of this workspace, e.g. `spool`, `logs`, `work/training`."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def shared_folder(self, name: str) -> Path:
        """A folder for what follows from a base model alone, e.g. `bases`: one a user and machine,
        so that no workspace makes it again.

        It is below TUNELOOP_CACHE, else the user's cache folder. A workspace goes on with its own
        where it has one from an earlier release, or where there is no place that only this user
        can write.

        Raises:
            StoreError: TUNELOOP_CACHE names a folder that cannot be used.
        """
        own = self.root / "cache" / name
        if own.is_dir():
            return own
        try:
            path = user_cache() / name
        except RuntimeError:  # the user has no home
            return self.folder(f"cache/{name}")
        unusable = _kept_from(path)
        if unusable is None:
            return path
        if chosen := os.environ.get("TUNELOOP_CACHE"):
            raise StoreError(
                f"TUNELOOP_CACHE is {chosen}, which cannot be used: {unusable}.",
                remedy="Set it to the whole path of a folder that belongs to you and that only you "
                "can write (chmod go-w), or unset it.",
            )
        return self.folder(f"cache/{name}")

    @contextmanager
    def exclusive(self, name: str, *, doing: str) -> Iterator[None]:
        """Hold the lock `name` of this workspace; the system frees it when the process dies.

        Raises:
            BusyError: another process holds it.
        """
        lock = FileLock(self.folder("locks") / f"{name}.lock")
        holder = self.folder("locks") / f"{name}.holder"
        try:
            lock.acquire(blocking=False)
        except Timeout:
            who = holder.read_text() if holder.exists() else "another process"
            raise BusyError(
                f"Cannot {doing}: {who} is at it.",
                remedy="Wait until it is done, or end it, and run the command again.",
            ) from None
        try:
            holder.write_text(f"process {os.getpid()} ({doing})")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def user_cache() -> Path:
    """Where this user keeps on this machine what can be made again: TUNELOOP_CACHE, else
    `tuneloop` in XDG_CACHE_HOME or `~/.cache`.

    Raises:
        RuntimeError: the user has no home.
    """
    chosen = os.environ.get("TUNELOOP_CACHE")
    if chosen:
        return Path(chosen)
    usual = os.environ.get("XDG_CACHE_HOME")
    return (Path(usual) if usual else Path.home() / ".cache") / "tuneloop"


def _kept_from(path: Path) -> str | None:
    """Make a folder in the user's cache; what keeps it from being used, where something does.

    What is found there is trained on and served, and a digest that lies beside it proves it to
    nobody who could have written both.
    """
    if not path.is_absolute():
        return "it is not an absolute path"
    level = path
    try:
        for level in (*reversed(path.parents), path):
            if not level.is_dir():
                level.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        for level in (path.parent, path):
            status = level.stat()
            if status.st_uid != os.geteuid():
                return f"{level} belongs to another user (uid {status.st_uid})"
            if status.st_mode & _WRITABLE_BY_OTHERS:
                return f"others can write {level} (mode {stat.S_IMODE(status.st_mode):04o})"
    except OSError as e:
        return f"{level} cannot be made or read ({e.strerror})"
    return None if os.access(path, os.W_OK) else f"{path} cannot be written"
