"""The monitor of what is asked that the bundle was never taught."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tuneloop import intervals
from tuneloop.monitoring.measurement import Limit, Measurement, against_limit
from tuneloop.monitoring.monitors.tally import Subject, Tally, quote
from tuneloop.monitoring.novelty import new_words, words
from tuneloop.monitoring.sketches import Sample, Share, Sketch
from tuneloop.monitoring.window import Batch, Window

if TYPE_CHECKING:
    from tuneloop.embedders import Vectors

SAMPLE_ROWS = 5_000
"""Prompts of a larger window are a random sample; the interval is that of the sample."""
_EXAMPLES = 5
_NEW_WORDS = 10


class Novelty(Tally):
    """The share of prompts far from all training prompts, or with a word new beyond chance."""

    name = "novelty"
    reads_vectors = True

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self._reference = subject.novelty_reference()
        self.prompts, self.with_text = Sample(SAMPLE_ROWS), Share()

    def add(self, batch: Batch) -> None:
        import polars as pl

        if batch.embedded.height:
            prompts = pl.Series(batch.prompts)
            rows = batch.embedded.select("id", "vector").with_columns(prompt=prompts)
            has_text = rows.filter(prompts.str.strip_chars() != "")
            self.prompts.add(has_text)
            self.with_text.add(has_text.height, rows.height)

    @property
    def parts(self) -> tuple[Sketch, ...]:
        return self.prompts, self.with_text

    def measure(self, window: Window) -> Measurement:
        reference = self._reference
        prompts, vectors = self._prompts()
        texts = [prompt for _, prompt in prompts]
        similarities = [float(similarity) for similarity in reference.similarities(vectors)]
        unseen = new_words(texts, reference)
        fresh = {new.word for new in unseen}
        far = [similarity < reference.threshold for similarity in similarities]
        has_new = [not fresh.isdisjoint(words(text)) for text in texts]
        novel = [a or b for a, b in zip(far, has_new, strict=True)]
        listed = ", ".join(new.word for new in unseen[:3])
        return against_limit(
            self.name,
            window,
            intervals.share(sum(novel), len(novel)) if novel else None,
            what=f"prompts unlike the training data{f' (new words: {listed})' if listed else ''}",
            limit=Limit(threshold=self._settings.novelty_above, unit="share", side="above"),
            minimum=self._settings.minimum_samples,
            detail={
                "far": sum(far),
                "with_new_words": sum(has_new),
                "new_words": [vars(new) for new in unseen[:_NEW_WORDS]],
                "examples": _most_novel(prompts, similarities, novel),
                "similarity_threshold": reference.threshold,
                "training_prompts": reference.rows,
                "calibration_rows": reference.calibration_rows,
                "embedder": reference.embedder,
                "without_prompt": self.with_text.n - self.with_text.hits,
                "sampled_from": self.prompts.seen,
            },
        )

    def _prompts(self) -> tuple[list[tuple[str, str]], Vectors]:
        """Sampled prompts, each with its interaction, and their vectors (n, d)."""
        import numpy as np

        rows = self.prompts.rows
        if rows is None:
            return [], np.empty((0, self._reference.vectors.shape[1]), np.float32)
        vectors = rows["vector"].explode().to_numpy().reshape(rows.height, -1)
        return list(rows.select("id", "prompt").iter_rows()), vectors


def _most_novel(
    prompts: Sequence[tuple[str, str]], similarities: Sequence[float], novel: Sequence[bool]
) -> list[dict[str, Any]]:
    """Up to five different novel prompts, the least similar first."""
    shown: dict[str, dict[str, Any]] = {}
    for at in sorted(range(len(prompts)), key=lambda i: similarities[i]):
        identity, prompt = prompts[at]
        if novel[at] and prompt not in shown:
            shown[prompt] = {
                "interaction": identity,
                "prompt": quote(prompt),
                "similarity": round(similarities[at], 3),
            }
        if len(shown) == _EXAMPLES:
            break
    return list(shown.values())
