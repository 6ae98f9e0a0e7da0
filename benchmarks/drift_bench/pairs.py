"""Training prompts and traffic, with and without drift, from ../shared/data."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway_bench.installs import BENCH

from tuneloop.embedders import Embedder

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What a bundle was trained on and what it then met."""

    name: str
    drift: bool
    own: list[str]
    live: list[str]


def pairs() -> list[Pair]:
    """The five pairs of the issue, and one more without drift."""
    clinc = json.loads((DATA / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    domains = json.loads((DATA / "clinc150" / "domains.json").read_text(encoding="utf-8"))
    banking = {intent.replace(" ", "_").lower() for intent in domains["banking"]}

    def texts(split: str, intents: set[str] | None = None) -> list[str]:
        return [text for text, intent in clinc[split] if intents is None or intent in intents]

    train, bank = texts("train"), texts("train", banking)
    banking77 = _column("banking77/train.csv", "text") + _column("banking77/test.csv", "text")
    return [
        Pair(name="clinc_train_test", drift=False, own=train, live=texts("test")),
        Pair(name="clinc_banking_train_test", drift=False, own=bank, live=texts("test", banking)),
        Pair(name="clinc_out_of_scope", drift=True, own=train, live=texts("oos_test")),
        *(
            Pair(
                name=f"hint3_{shop}",
                drift=True,
                own=_column(f"hint3/{shop}_train.csv", "sentence"),
                live=_column(f"hint3/{shop}_test.csv", "sentence"),
            )
            for shop in ("curekart", "sofmattress")
        ),
        Pair(name="clinc_banking_banking77", drift=True, own=bank, live=banking77),
    ]


def embedded(embedder: Embedder, texts: list[str]) -> Vectors:
    """Their vectors, computed once and kept in .bench/."""
    import numpy as np

    identity = json.dumps([embedder.name, texts], ensure_ascii=False)
    path = BENCH / "drift" / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, embedder.embed(texts))
    return np.asarray(np.load(path), dtype=np.float32)


def _column(path: str, name: str) -> list[str]:
    with (DATA / path).open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]
