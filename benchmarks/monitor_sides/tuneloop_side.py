"""Our side of `bench_monitor`: every monitor, from the tables to the measurements."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

from tuneloop.registry.manifest import Manifest, Task

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from measuring import Measuring
from monitor_traffic import EMBEDDER, END, TASK, WINDOW, reference, training_texts, training_vectors

from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring import stage
from tuneloop.monitoring.drift.reference import (
    DriftReference,
    OwnPrompts,
    reference_from_vectors,
)
from tuneloop.monitoring.monitors.table import chosen
from tuneloop.monitoring.novelty import NoveltyReference
from tuneloop.monitoring.watched import Watched
from tuneloop.progress import Silent
from tuneloop.registry.bundle import Bundle
from tuneloop.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Synthetic(Watched):
    """Its training prompts are synthetic; both references are made once, as a cache has them."""

    novelty: NoveltyReference
    drift: DriftReference

    def novelty_reference(self) -> NoveltyReference:
        """See `Watched`."""
        return self.novelty

    def drift_reference(self) -> DriftReference:
        """See `Watched`."""
        return self.drift


def _drift_reference() -> DriftReference:
    texts, vectors = training_texts(), training_vectors()
    half = len(texts) // 2
    return reference_from_vectors(
        vectors[:half],
        vectors[half:],
        train=OwnPrompts(texts=texts[:half]),
        held_out=OwnPrompts(texts=texts[half:]),
        embedder=EMBEDDER,
    )


def main() -> None:
    """Measure the traffic of the folder given and print the figures."""
    with TemporaryDirectory() as workspace:
        watched = Synthetic(
            workspace=Workspace.open(Path(workspace), traffic_url=sys.argv[1]),
            bundle=Bundle(
                id=WINDOW.bundle,
                model="desk",
                manifest=Manifest(task=Task.of(TASK)),
                created_at=END,
            ),
            window=WINDOW,
            settings=MonitorSettings(),
            embedder=SimpleNamespace(name=EMBEDDER),  # nothing is left to embed
            novelty=reference(),
            drift=_drift_reference(),
        )
        measuring = Measuring()
        found = stage.measure(watched, chosen(task=TASK), progress=Silent())
        measuring.report({one.monitor: one.value for one in found})


if __name__ == "__main__":
    main()
