"""How often the monitors of prose alert where nothing changed, and where something did.

    python benchmarks/bench_prose_monitors.py

Doctor-patient dialogues with their notes (MTS-Dialog, ../shared/data/mts_dialog; the half that is
no back-translation): 600 pairs are the training data, 100 the release evaluation, and the others
are traffic in which the model writes what the clinician wrote. A window is drawn from them with
replacement and spread over seven days. `alerts` is the share of windows in which a monitor alerts,
with Wilson's interval: first of unchanged windows, then of windows with a planted change:

| change | what is planted |
|---|---|
| shorter | every note without its last third of words |
| other_section | in 30 % of the answers the note of another patient and another section |
| boilerplate | in 20 % of the answers one more line, always the same |
| invented_numbers | in every answer with a number, another number |
| loops | in 10 % of the answers the last words over and over |
| cut_off | 15 % of the answers end at max_tokens |
| traffic | only dialogues of one section are asked |

Windows share their pairs, so the interval is that of drawing windows, not of other data.
`rows_a_second` is that of each new monitor, by CPU time, from the batch to the measurement, without
the embedding, which is remembered. The last line is one JSON object, also written to
benchmarks/results/prose_monitors.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tuneloop.embedders import StaticEmbedder
from tuneloop.intervals import share
from tuneloop.modelfile import ModelSettings, MonitorSettings
from tuneloop.monitoring.answers_by_topic import AnswersByTopic, OwnAnswers, answers_by_topic
from tuneloop.monitoring.drift.reference import DriftReference, OwnPrompts, drift_reference
from tuneloop.monitoring.feedback import FeedbackSample
from tuneloop.monitoring.monitors.prose import Groundedness
from tuneloop.monitoring.monitors.table import Monitor, chosen, levels
from tuneloop.monitoring.novelty import NoveltyReference, novelty_reference
from tuneloop.monitoring.phrases import OwnPhrases, own_phrases
from tuneloop.monitoring.shift import Baseline
from tuneloop.monitoring.window import Batch, Window

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared" / "data" / "mts_dialog"
FILE = DATA / "MTS-Dialog-Augmented-TrainingSet-1-En-FR-EN-2402-Pairs.csv"
RESULTS = HERE / "results" / "prose_monitors.json"
ORIGINALS = 1_201
TRAINING, RELEASE = 600, 100
END = datetime(2026, 11, 23, tzinfo=UTC)
TASK = {"kind": "prose"}
WINDOW = Window(
    endpoint="notes",
    bundle="b" * 64,
    start=END - timedelta(days=7),
    end=END,
    level=levels(ModelSettings(name="notes", base="b", data={"sources": ["a"]}), TASK)["errors"],
)
"""A daily one, at the level that the declared rate of false alarms comes to."""
BOILERPLATE = " This summary was written automatically and does not replace medical advice."
MAX_TOKENS = 256
PEOPLE = {"accuracy", "edit_rate", "judge_quality", "escalations"}
NEW = (
    "truncation",
    "repetition",
    "groundedness",
    "answer_drift",
    "answer_similarity",
    "new_phrases",
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A dialogue and an answer to it."""

    prompt: str
    answer: str
    section: str
    finish_reason: str = "stop"


class Remembering:
    """The default embedder; each text is embedded once."""

    def __init__(self) -> None:
        self._embedder, self._known = StaticEmbedder(), {}
        self.name = self._embedder.name

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See `Embedder`."""
        new = sorted(set(texts) - self._known.keys())
        if new:
            self._known.update(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])


@dataclass(kw_only=True)
class Subject:
    """A bundle trained on the first pairs."""

    embedder: Any
    drift: DriftReference
    of_answers: DriftReference
    novelty: NoveltyReference
    by_topic: AnswersByTopic
    phrases: OwnPhrases
    at_release: Sequence[tuple[str, str]]
    evaluated: dict[str, Baseline] = field(default_factory=dict)
    first: dict[str, Baseline] = field(default_factory=dict)
    task: Mapping[str, Any] = field(default_factory=lambda: TASK)
    settings: MonitorSettings = field(default_factory=MonitorSettings)
    max_tokens: int = MAX_TOKENS

    def released(self, metric: str) -> Baseline | None:
        """What the release pairs showed."""
        return self.evaluated.get(metric)

    def baseline(self, monitor: str, **_: object) -> Baseline | None:
        """The first unchanged window."""
        return self.first.get(monitor)

    def accepted_baseline(self, _: str) -> Baseline | None:
        """Nobody called anything normal."""
        return None

    def sample_weights(self) -> Mapping[str, float]:
        """Nobody looked at anything."""
        return {}

    def feedback(self, *_: str) -> FeedbackSample:
        """Nobody said anything."""
        raise AssertionError

    def heard(self, *_: str) -> bool:
        return False

    def novelty_reference(self) -> NoveltyReference:
        """Of the training prompts."""
        return self.novelty

    def drift_reference(self) -> DriftReference:
        """Of the training prompts."""
        return self.drift

    def answer_drift_reference(self) -> DriftReference:
        """Of the training answers."""
        return self.of_answers

    def answers_by_topic(self) -> AnswersByTopic:
        """Of the training pairs."""
        return self.by_topic

    def own_phrases(self) -> OwnPhrases:
        """Of the training answers."""
        return self.phrases

    def answers_at_release(self) -> Sequence[tuple[str, str]]:
        """The release pairs."""
        return self.at_release

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """By the default embedder."""
        return self.embedder.embed(texts)


def main() -> None:
    """Measure every window and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=200, help="unchanged ones")
    parser.add_argument("--changed", type=int, default=20, help="windows of each change")
    parser.add_argument("--rows", type=int, default=100, help="answers of a window")
    options = parser.parse_args()
    pairs, embedder = _pairs(), Remembering()
    train, release = pairs[:TRAINING], pairs[TRAINING : TRAINING + RELEASE]
    pool = pairs[TRAINING + RELEASE :]
    subject = _subject(train, release, embedder)
    monitors = {
        name: monitor
        for name, monitor in chosen(task=TASK).items()
        if name not in PEOPLE and isinstance(monitor, Monitor)
    }
    rng = random.Random(20_261_130)
    _remember_first(subject, monitors, rng.choices(pool, k=options.rows))
    alerts: dict[str, Any] = {}
    seconds: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    for name, change in CHANGES.items():
        count = options.windows if name == "unchanged" else options.changed
        seen: Counter[str] = Counter()
        for _ in range(count):
            window = change(rng.choices(pool, k=options.rows), rng, pool)
            batch = _batch(window, embedder)
            for monitor in monitors.values():
                began = time.process_time()
                tally = monitor.tally(subject)
                tally.add(batch)
                seen[monitor.name] += tally.measure(WINDOW).verdict == "alert"
                seconds[monitor.name] += time.process_time() - began
                rows[monitor.name] += len(window)
        alerts[name] = {
            monitor: [round(part, 3) for part in share(seen[monitor], count).as_list()]
            for monitor in monitors
        }
        print(name, {m: figure[0] for m, figure in alerts[name].items() if figure[0]}, flush=True)
    result = {
        "alerts": alerts,
        "rows_of_a_window": options.rows,
        "rows_a_second": {name: round(rows[name] / seconds[name]) for name in NEW},
        "ungrounded_at_release": round(subject.evaluated["ungrounded"].value, 3),
        "embedder": embedder.name,
        "date": time.strftime("%Y-%m-%d"),
    }
    RESULTS.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(json.dumps(result))


def _pairs() -> list[Pair]:
    if not FILE.is_file():
        raise SystemExit(f"The data is not there: {FILE}")
    with FILE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:ORIGINALS]
    pairs = [
        Pair(prompt=row["dialogue"], answer=row["section_text"], section=row["section_header"])
        for row in rows
    ]
    random.Random(0).shuffle(pairs)
    return pairs


def _subject(train: Sequence[Pair], release: Sequence[Pair], embedder: Remembering) -> Subject:
    def own(part: Sequence[Pair]) -> OwnAnswers:
        return OwnAnswers(
            prompts=OwnPrompts(texts=[pair.prompt for pair in part]),
            answers=[pair.answer for pair in part],
        )

    def of_answers(part: Sequence[Pair]) -> OwnPrompts:
        return OwnPrompts(texts=[pair.answer for pair in part])

    drift = drift_reference(own(train).prompts, own(release).prompts, embedder=embedder)
    subject = Subject(
        embedder=embedder,
        drift=drift,
        of_answers=drift_reference(of_answers(train), of_answers(release), embedder=embedder),
        novelty=novelty_reference(own(train).prompts.texts, own(release).prompts.texts, embedder),
        by_topic=answers_by_topic(own(train), own(release), drift, embedder),
        phrases=own_phrases(own(train).answers),
        at_release=[(pair.prompt, pair.answer) for pair in release],
    )
    tally = Groundedness(subject)
    tally.add(_batch(release, embedder))
    grounded = tally.measure(WINDOW)
    assert grounded.value is not None
    assert grounded.low is not None
    assert grounded.high is not None
    subject.evaluated["ungrounded"] = Baseline(
        value=grounded.value, low=grounded.low, high=grounded.high, source="its evaluation"
    )
    return subject


def _remember_first(
    subject: Subject, monitors: Mapping[str, Monitor], window: Sequence[Pair]
) -> None:
    for name, monitor in monitors.items():
        tally = monitor.tally(subject)
        tally.add(_batch(window, subject.embedder))
        found = tally.measure(WINDOW)
        if found.value is not None and found.low is not None and found.high is not None:
            subject.first[name] = Baseline(
                value=found.value, low=found.low, high=found.high, source="its first window"
            )


def _batch(window: Sequence[Pair], embedder: Remembering) -> Batch:
    frame = pl.DataFrame(
        {
            "id": [f"{row:032x}" for row in range(len(window))],
            "time": [END - timedelta(hours=1 + row % 160) for row in range(len(window))],
            "status": 200,
            "messages": [json.dumps([{"role": "user", "content": pair.prompt}]) for pair in window],
            "response": [pair.answer for pair in window],
            "finish_reason": [pair.finish_reason for pair in window],
            "latency_ms": 900.0,
            "prompt_tokens": [len(pair.prompt.split()) for pair in window],
            "completion_tokens": [len(pair.answer.split()) for pair in window],
        }
    ).with_columns(
        error=pl.lit(None, pl.String),
        tool_calls=pl.lit(None, pl.String),
        mean_logprob=pl.lit(None, pl.Float64),
        vector=pl.Series(embedder.embed([pair.prompt for pair in window])).arr.to_list(),
    )
    return Batch(frame)


Change = Callable[[Sequence[Pair], random.Random, Sequence[Pair]], Sequence[Pair]]


def _answering(pair: Pair, answer: str, finish_reason: str = "stop") -> Pair:
    return Pair(
        prompt=pair.prompt, answer=answer, section=pair.section, finish_reason=finish_reason
    )


def _in(part: float, of: Callable[[Pair, random.Random], Pair]) -> Change:
    """A change of a share of the answers."""
    return lambda window, rng, pool: [
        of(pair, rng) if rng.random() < part else pair for pair in window
    ]


def _shorter(pair: Pair, _: random.Random) -> Pair:
    words = pair.answer.split()
    return _answering(pair, " ".join(words[: max(1, round(len(words) * 2 / 3))]))


def _other_section(
    window: Sequence[Pair], rng: random.Random, pool: Sequence[Pair]
) -> Sequence[Pair]:
    def other(pair: Pair) -> Pair:
        taken = rng.choice([one for one in pool if one.section != pair.section])
        return _answering(pair, taken.answer)

    return [other(pair) if rng.random() < 0.3 else pair for pair in window]


def _invented(pair: Pair, rng: random.Random) -> Pair:
    return _answering(pair, re.sub(r"\d+", lambda _: str(rng.randrange(1_000, 9_999)), pair.answer))


def _looping(pair: Pair, _: random.Random) -> Pair:
    end = " ".join(pair.answer.split()[-6:])
    return _answering(pair, f"{pair.answer} {f'{end} ' * 12}", "length")


def _traffic(window: Sequence[Pair], rng: random.Random, pool: Sequence[Pair]) -> Sequence[Pair]:
    return rng.choices([pair for pair in pool if pair.section == "GENHX"], k=len(window))


CHANGES: Mapping[str, Change] = {
    "unchanged": lambda window, rng, pool: window,
    "shorter": _in(1.0, _shorter),
    "other_section": _other_section,
    "boilerplate": _in(0.2, lambda pair, _: _answering(pair, pair.answer + BOILERPLATE)),
    "invented_numbers": _in(1.0, _invented),
    "loops": _in(0.1, _looping),
    "cut_off": _in(0.15, lambda pair, rng: _answering(_shorter(pair, rng), pair.answer, "length")),
    "traffic": _traffic,
}


if __name__ == "__main__":
    main()
