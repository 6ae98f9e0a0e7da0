"""The peers, each in a virtual environment of its own, on the very same windows."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway_bench.installs import MissingError, environment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Windows = dict[int, npt.NDArray[np.int64]]

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A drift detector with its defaults."""

    name: str
    """Program and method."""
    requirements: tuple[str, ...]
    reference_rows: int
    """Own prompts that it is given, at most; a random sample of more."""
    most_windows: int = 1_000
    """Windows of each size that it is asked about, at most."""

    @property
    def program(self) -> str:
        """The first part of the name."""
        return self.name.split("_")[0]


ALL = (
    Peer(
        name="evidently_model",
        requirements=("evidently==0.7.23", "pandas<3"),
        reference_rows=2_000,
    ),
    Peer(
        name="nannyml_reconstruction",
        requirements=("nannyml==0.13.1", "statsmodels"),
        reference_rows=15_000,
    ),
    Peer(
        name="alibi_mmd",
        requirements=("torch==2.13.0", "alibi-detect[torch]==0.13.0"),
        reference_rows=500,
        # A permutation test: seconds for each window.
        most_windows=30,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What a detector said of each window, by window size."""

    alarms: dict[int, list[bool]]
    """At its default."""
    scores: dict[int, list[float]]
    """The larger, the more drift."""
    cpu_seconds: float


def ask(peer: Peer, own: Vectors, live: Vectors, windows: Windows) -> Answers:
    """Run a peer over windows, which are rows of `live`.

    Raises:
        MissingError: it cannot be installed, or it failed.
    """
    import numpy as np

    python = environment(f"drift-{peer.program}", peer.requirements)
    rng = np.random.default_rng(0)
    if len(own) > peer.reference_rows:
        own = own[rng.choice(len(own), peer.reference_rows, replace=False)]
    with tempfile.TemporaryDirectory() as folder:
        chosen = {f"n{n}": rows[: peer.most_windows] for n, rows in windows.items()}
        given, said = Path(folder) / "given.npz", Path(folder) / "said.json"
        np.savez(given, own=own, live=live, **chosen)
        done = subprocess.run(
            [python, _FOLDER / f"{peer.program}_app.py", given, said],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"NML_DISABLE_USAGE_LOGGING": "1", "DO_NOT_TRACK": "1"},
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise MissingError(f"{peer.name} failed: {last}")
        return _answers(json.loads(said.read_text(encoding="utf-8")))


def _answers(said: dict[str, Any]) -> Answers:
    return Answers(
        alarms={int(n): one["alarms"] for n, one in said["windows"].items()},
        scores={int(n): one["scores"] for n, one in said["windows"].items()},
        cpu_seconds=said["cpu_seconds"],
    )
