"""Where the programs under comparison come from; nothing is installed outside of `.bench/`.

nginx and wrk: from PATH, else Debian's packages, unpacked without root. Python proxies: each in a
virtual environment of its own, at a pinned version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / ".bench"
_DEBIAN = BENCH / "debian"
_PACKAGES = ("nginx", "nginx-common", "wrk", "libluajit-5.1-2", "libluajit-5.1-common")


class MissingError(Exception):
    """A program cannot be had here; the message is the reason that the result carries."""


@dataclass(frozen=True, kw_only=True)
class Program:
    """An executable and what it needs around it."""

    path: str
    environment: dict[str, str]


def program(name: str) -> Program:
    """nginx or wrk.

    Raises:
        MissingError: neither on PATH nor to be had as a Debian package.
    """
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    if found := shutil.which(name, path=search):
        return Program(path=found, environment={})
    unpacked = [_DEBIAN / "usr" / folder / name for folder in ("sbin", "bin")]
    if not any(path.exists() for path in unpacked):
        _fetch_packages(name)
    libraries = sorted(str(path.parent) for path in _DEBIAN.glob("usr/lib/*/*.so*"))
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(dict.fromkeys(libraries))}
    path = next(path for path in unpacked if path.exists())
    return Program(path=str(path), environment=environment)


def _fetch_packages(name: str) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise MissingError(f"{name} is not on PATH, and this is no Debian to fetch it from")
    folder = BENCH / "deb"
    folder.mkdir(parents=True, exist_ok=True)
    _run(["apt-get", "download", *_PACKAGES], f"{name}: apt-get download", folder)
    for package in sorted(folder.glob("*.deb")):
        _run(["dpkg", "-x", package.name, str(_DEBIAN)], f"{name}: dpkg -x", folder)


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of a virtual environment that has the requirements.

    Raises:
        MissingError: pip could not install them.
    """
    folder = BENCH / name
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(requirements)
    if installed.is_file() and installed.read_text() == wanted:
        return python
    print(f"Installing {name} into {folder} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)], f"{name}: venv")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *requirements], f"{name}: pip install")
    installed.write_text(wanted)
    return python


def _run(command: Sequence[str], what: str, folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MissingError(f"{what} failed: {last}")
