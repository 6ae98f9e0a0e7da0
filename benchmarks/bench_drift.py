"""How often drift is told where there is none, and how often it is found where there is.

    python benchmarks/bench_drift.py [--resamples N] [--peer-resamples N] [--no-peers] [--minilm F]

Real prompts of ../shared/data. A bundle's own prompts are a pair's training prompts, a random tenth
of them held out; windows of 100, 300 and 1,000 rows are drawn from the traffic without replacement,
with replacement where there is less. Every detector sees the same windows of the same embeddings.

- tuneloop: its verdict with its defaults (10 % of the traffic may change, 5 % false alarms).
- textbook_psi: PSI > 0.2 over the same topics.
- PEER: at its default. PEER_at_5: with the threshold that 5 % of the windows of clinc_train_test of
  that size pass, which is to say, tuned on the answer.

A row of the result is the share of windows that alarmed. `found_share` tells what it takes: a share
of out-of-scope messages mixed into CLINC150's test. `days` are windows of seven days, each with an
own mix of ten intents: rows that are not independent. The last line is one JSON object, also
written to benchmarks/results/drift.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drift_bench import peers
from drift_bench.pairs import DATA, HELD_OUT_SHARE, Pair, embedded, pairs
from gateway_bench.installs import MissingError

from tuneloop.embedders import Embedder, LocalModelEmbedder, StaticEmbedder
from tuneloop.monitoring.drift.reference import (
    DriftReference,
    OwnPrompts,
    reference_from_vectors,
)
from tuneloop.monitoring.drift.sketch import DriftSketch
from tuneloop.monitoring.drift.verdict import TEXTBOOK_PSI, DriftVerdict, verdict

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Windows = dict[int, npt.NDArray[np.int64]]

SIZES = (100, 300, 1_000)
RESULT = Path(__file__).parent / "results" / "drift.json"
CALM = "clinc_train_test"
MIXED_SHARES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4)
COMPARED_ROWS = 2_000
"""Prompts of each kind with which embedders are compared."""
_DAY = date(2026, 1, 1)


def main() -> int:
    """Print a table and the JSON line."""
    if not DATA.is_dir():
        print(f"There is no public data at {DATA}: nothing to measure.", file=sys.stderr)
        return 1
    options = _options()
    embedder = StaticEmbedder()
    result: dict[str, Any] = {}
    answers: dict[tuple[str, str], peers.Answers] = {}
    missing: dict[str, str] = {}
    for pair in pairs():
        reference, live = known(pair, embedder), embedded(embedder, pair.live)
        windows = draw(len(live), options.resamples)
        result[pair.name] = {"n": _tuneloop(reference, live, windows), "drift": pair.drift}
        if not options.no_peers:
            few = {n: rows[: options.peer_resamples] for n, rows in windows.items()}
            for peer in peers.ALL:
                if peer.name not in missing:
                    try:
                        own = embedded(embedder, pair.own)
                        answers[pair.name, peer.name] = peers.ask(peer, own, live, few)
                    except MissingError as e:
                        missing[peer.name] = str(e)
                        print(f"{peer.name}: left out: {e}", flush=True)
        _add_peers(result, answers, pair.name)
        _print(pair.name, result[pair.name])
    about = {
        "resamples": options.resamples,
        "peer_resamples": {
            peer.name: min(options.peer_resamples, peer.most_windows) for peer in peers.ALL
        },
        "peer_reference_rows": {peer.name: peer.reference_rows for peer in peers.ALL},
        "peers_missing": missing,
        "peer_cpu_seconds": {
            f"{pair}/{peer}": round(said.cpu_seconds, 1) for (pair, peer), said in answers.items()
        },
        "embedder": embedder.name,
        "found_share": found_share(embedder, options.resamples),
        "days": days_that_differ(embedder, options.resamples),
        "embedders": compare_embedders(options.minilm, options.resamples),
    }
    line = json.dumps(result | {"about": about})
    RESULT.write_text(line + "\n", encoding="utf-8")
    print(line)
    return 0


def known(pair: Pair, embedder: Embedder) -> DriftReference:
    """The pair's reference: a random tenth of its own prompts is held out."""
    import numpy as np

    vectors = embedded(embedder, pair.own)
    order = np.random.default_rng(0).permutation(len(vectors))
    held_out, train = np.split(order, [int(len(order) * HELD_OUT_SHARE)])
    return reference_from_vectors(
        vectors[train],
        vectors[held_out],
        train=OwnPrompts(texts=[pair.own[row] for row in train]),
        held_out=OwnPrompts(texts=[pair.own[row] for row in held_out]),
        embedder=embedder.name,
    )


def draw(rows: int, resamples: int) -> Windows:
    """For each size, rows of the traffic: (resamples, n)."""
    import numpy as np

    rng = np.random.default_rng(20_261_124)
    return {
        n: np.stack([rng.choice(rows, n, replace=n > rows) for _ in range(resamples)])
        for n in SIZES
    }


def judged(reference: DriftReference, vectors: Vectors, *, days: int = 1) -> DriftVerdict:
    """The verdict on these vectors, in turn over so many days."""
    sketch = DriftSketch(reference)
    texts = [""] * len(vectors)
    ids = [str(row) for row in range(len(vectors))]
    for day in range(days):
        part = slice(day, None, days)
        sketch.add(ids[part], texts[part], vectors[part], day=_DAY + timedelta(days=day))
    return verdict(sketch, reference)


def _tuneloop(reference: DriftReference, live: Vectors, windows: Windows) -> dict[str, Any]:
    found = {}
    for n, rows in windows.items():
        verdicts = [judged(reference, live[window]) for window in rows]
        found[str(n)] = {
            "tuneloop": _share([one.state == "drift" for one in verdicts]),
            "textbook_psi": _share(
                [one.psi is not None and one.psi > TEXTBOOK_PSI for one in verdicts]
            ),
        }
    return found


def _add_peers(
    result: dict[str, Any], answers: dict[tuple[str, str], peers.Answers], pair: str
) -> None:
    import numpy as np

    for (asked, peer), said in answers.items():
        calm = answers[CALM, peer]
        for n in SIZES:
            if asked == pair:
                # The peer's score that 5 % of the windows without drift pass.
                threshold = float(np.quantile(calm.scores[n], 0.95))
                result[pair]["n"][str(n)] |= {
                    peer: _share(said.alarms[n]),
                    f"{peer}_at_5": _share([score > threshold for score in said.scores[n]]),
                }


def found_share(embedder: Embedder, resamples: int) -> dict[str, dict[str, float]]:
    """CLINC150's test with some out-of-scope messages: the share of windows told to be drift."""
    import numpy as np

    by_name = {pair.name: pair for pair in pairs()}
    reference = known(by_name[CALM], embedder)
    usual = embedded(embedder, by_name[CALM].live)
    other = embedded(embedder, by_name["clinc_out_of_scope"].live)
    rng = np.random.default_rng(1)
    found: dict[str, dict[str, float]] = {}
    for share in MIXED_SHARES:
        found[f"{share:g}"] = {}
        for n in SIZES:
            mixed = round(share * n)
            windows = [
                np.concatenate(
                    [
                        usual[rng.choice(len(usual), n - mixed, replace=False)],
                        other[rng.choice(len(other), mixed, replace=False)],
                    ]
                )
                for _ in range(resamples)
            ]
            found[f"{share:g}"][str(n)] = _share(
                [judged(reference, window).state == "drift" for window in windows]
            )
    return found


def days_that_differ(embedder: Embedder, resamples: int) -> dict[str, dict[str, float]]:
    """CLINC150's test in seven days of ten random topics each: false alarms with days, without."""
    import numpy as np

    pair = next(pair for pair in pairs() if pair.name == CALM)
    reference, live = known(pair, embedder), embedded(embedder, pair.live)
    # CLINC150 lists its test by intent, thirty messages each.
    intents = np.arange(len(live)).reshape(-1, 30)  # (intents, 30)
    rng = np.random.default_rng(2)
    found = {}
    for n in (300, 1_000):
        verdicts = {1: [], 7: []}
        for _ in range(resamples):
            a_day = [
                rng.choice(intents[rng.choice(len(intents), 10, replace=False)].ravel(), n // 7)
                for _ in range(7)
            ]
            window = live[np.stack(a_day, axis=1).ravel()]
            for days, seen in verdicts.items():
                seen.append(judged(reference, window, days=days))
        found[str(n)] = {
            "as_days": _share([one.state == "drift" for one in verdicts[7]]),
            "as_independent_rows": _share([one.state == "drift" for one in verdicts[1]]),
            "effective_rows": float(
                np.median([one.topics.effective_rows for one in verdicts[7] if one.topics])
            ),
        }
    return found


def compare_embedders(minilm: Path | None, resamples: int) -> dict[str, Any]:
    """Speed and rates of alarm at 100 rows, on the same part of the data."""
    import numpy as np

    chosen: list[Embedder] = [StaticEmbedder()]
    if minilm is not None:
        chosen.append(LocalModelEmbedder(minilm))
    found: dict[str, Any] = {}
    for embedder in chosen:
        rates = {}
        sample = pairs()[0].own[:256]
        embedder.embed(sample[:32])
        began = time.process_time()
        embedder.embed(sample)
        seconds = time.process_time() - began
        for pair in pairs():
            part = Pair(
                name=pair.name,
                drift=pair.drift,
                own=_at_random(pair.own),
                live=_at_random(pair.live),
            )
            reference, live = known(part, embedder), embedded(embedder, part.live)
            rng = np.random.default_rng(3)
            rates[pair.name] = {
                str(n): _share(
                    [
                        judged(
                            reference, live[rng.choice(len(live), n, replace=n > len(live))]
                        ).state
                        == "drift"
                        for _ in range(resamples)
                    ]
                )
                for n in (30, 100)
            }
        found[embedder.name] = {"texts_per_cpu_second": round(256 / seconds), "alarms": rates}
        print(embedder.name, found[embedder.name], flush=True)
    return found


def _at_random(texts: list[str]) -> list[str]:
    import numpy as np

    if len(texts) <= COMPARED_ROWS:
        return texts
    rows = np.random.default_rng(4).choice(len(texts), COMPARED_ROWS, replace=False)
    return [texts[row] for row in rows]


def _share(flags: Sequence[bool]) -> float:
    return round(sum(map(bool, flags)) / len(flags), 3)


def _print(name: str, found: dict[str, Any]) -> None:
    print(f"{name} ({'drift' if found['drift'] else 'no drift'})")
    for n, rates in found["n"].items():
        print(f"  {n:>5}", *(f"{who} {rate:.3f}" for who, rate in rates.items()), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamples", type=int, default=200, help="windows of each size")
    parser.add_argument("--peer-resamples", type=int, default=200, help="of them, for the peers")
    parser.add_argument("--no-peers", action="store_true", help="tuneloop alone")
    parser.add_argument("--minilm", type=Path, help="folder of a model to compare embedders with")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
