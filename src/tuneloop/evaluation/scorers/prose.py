"""The family of a prose task: how like answers are to references, and what every good one reaches.

None says that an answer is right: that is what people say, or a judge that agrees with them. Any
task may ask for one of them by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from tuneloop import intervals
from tuneloop.embedders import Embedder, StaticEmbedder
from tuneloop.evaluation.scorers.base import RIGHT, Family, Metric, Score, Scorer, Wanted, passed
from tuneloop.evaluation.suites import Case
from tuneloop.hashing import digest_text
from tuneloop.intervals import Figure
from tuneloop.modelfile import TaskSettings
from tuneloop.progress import Progress
from tuneloop.prose import likeness
from tuneloop.prose.copying import copied_share
from tuneloop.prose.languages import other_language
from tuneloop.prose.length import length_ratio, misfit
from tuneloop.prose.repetition import distinct_n, loop_in
from tuneloop.prose.style import register_of, sentence_ratio
from tuneloop.refusal import refusal_in
from tuneloop.storage.messages import text_of
from tuneloop.task.kind import is_prose

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_SHOWN_WORDS = 8


def similarity(answer: str, reference: str) -> float:
    """Cosine of the local embedder's vectors, 0 to 1; more is better.

    Raises:
        MissingExtraError: wordllama is not installed.
    """
    return likeness.similarity(_vector(answer), _vector(reference))


LIKENESS: Mapping[str, Callable[[str, str], float]] = {
    "chrf": likeness.chrf,
    "rouge_l": likeness.rouge_l,
    "bleu": likeness.bleu,
    "similarity": similarity,
}
"""Measure → its function of an answer and its reference, 0 to 1."""


def alike(measure: Callable[[str, str], float]) -> Scorer:
    """A scorer by likeness to the reference."""

    def score(case: Case, output: str) -> Score | None:
        if case.expected is None or not case.expected.strip():
            return None
        value = measure(output, case.expected)
        return RIGHT if value == 1 else Score(value=value, detail=f"{value:.2f} like the reference")

    return score


def answered(case: Case, output: str) -> Score:
    """Something is said, and it is no refusal; where the reference refuses, refusing is right."""
    if not output.strip():
        return Score(value=0.0, detail="empty")
    refused = refusal_in(output)
    if refused is None or (case.expected is not None and refusal_in(case.expected)):
        return RIGHT
    return Score(value=0.0, detail=f"refuses: {refused}")


def no_loops(case: Case, output: str) -> Score:
    """The answer does not say the same again and again."""
    loop = loop_in(output)
    if loop is None:
        return RIGHT
    shown = " ".join(loop.words[:_SHOWN_WORDS])
    return Score(value=0.0, detail=f"says {loop.times} times in a row: {shown}")


def in_language(case: Case, output: str) -> Score:
    """The answer is in its reference's language, without one in its question's."""
    other = other_language(output, case.question if case.expected is None else case.expected)
    return passed(not other, f"is in {other}")


def length_fit(case: Case, output: str) -> Score | None:
    """The answer is neither much shorter nor much longer than its reference."""
    if case.expected is None:
        return None
    wrong = misfit(output, case.expected)
    return passed(not wrong, wrong)


def _length_ratio(case: Case, output: str) -> Score | None:
    return _graded(None if case.expected is None else length_ratio(output, case.expected))


def _sentence_ratio(case: Case, output: str) -> Score | None:
    return _graded(None if case.expected is None else sentence_ratio(output, case.expected))


def same_register(case: Case, output: str) -> Score | None:
    """The answer is formal where the reference is, or familiar; where both show what they are."""
    said, wanted = (
        register_of(output),
        None if case.expected is None else register_of(case.expected),
    )
    if said is None or wanted is None:
        return None
    return passed(said == wanted, f"is {said}, the reference {wanted}")


def _copied(case: Case, output: str) -> Score | None:
    return _graded(copied_share(output, "\n".join(_said_to(case))))


def _graded(value: float | None) -> Score | None:
    return None if value is None else Score(value=value)


def _said_to(case: Case) -> Sequence[str]:
    return [text_of(message.get("content")) for message in case.messages]


def _median(scores: Sequence[Score]) -> Figure:
    return intervals.quantile([score.value for score in scores], 0.5)


def _vector(text: str) -> npt.NDArray[np.float32]:
    vector: npt.NDArray[np.float32] = _embedder().embed([text])[0]
    return vector


@cache
def _embedder() -> StaticEmbedder:
    return StaticEmbedder()


def _liking(name: str, about: str) -> Metric:
    return Metric(
        name=name,
        about=f"likeness to the reference, 0 to 1, in-scope cases: {about}",
        scorer=alike(LIKENESS[name]),
        counts="in-scope",
    )


_METRICS = (
    _liking("chrf", "chrF2, character 6-grams (sacrebleu)"),
    _liking("rouge_l", "F1 of the longest common subsequence of words"),
    _liking("bleu", "sentence BLEU of words, effective order, exponential smoothing (sacrebleu)"),
    _liking("similarity", "cosine of static embeddings (wordllama l2_supercat, 256 dimensions)"),
    Metric(
        name="answered",
        about="in-scope cases whose answer is not empty and refuses only where the reference does",
        scorer=answered,
        counts="in-scope",
    ),
    Metric(
        name="no_loops",
        about="cases whose answer says no run of words three times or more in a row, 16 words in "
        "all or more",
        scorer=no_loops,
    ),
    Metric(
        name="in_language",
        about="cases whose answer is in the language of the reference, else of the question; "
        "where nobody can tell it counts as right",
        scorer=in_language,
    ),
    Metric(
        name="length_fit",
        about="in-scope cases whose answer has a third to three times the words of the reference, "
        "give or take 10 words",
        scorer=length_fit,
        counts="in-scope",
    ),
    Metric(
        name="length_ratio",
        about="words of the answer over words of the reference, in-scope cases, median; "
        "1 is as long as the reference",
        scorer=_length_ratio,
        counts="in-scope",
        needs_answer=True,
        figure=_median,
    ),
    Metric(
        name="distinct_2",
        about="share of an answer's pairs of words that are different, mean over cases",
        scorer=lambda case, output: _graded(distinct_n(output, 2)),
        needs_answer=True,
    ),
    Metric(
        name="copied",
        about="share of an answer's words in runs of 5 that stand in the prompt, mean over cases",
        scorer=_copied,
        higher_is_better=False,
        needs_answer=True,
    ),
    Metric(
        name="sentence_ratio",
        about="words of a sentence of the answer over those of the reference's, in-scope cases, "
        "median; 1 is as long",
        scorer=_sentence_ratio,
        counts="in-scope",
        needs_answer=True,
        figure=_median,
    ),
    Metric(
        name="same_register",
        about="of in-scope cases in which both show it, those whose answer is formal or familiar "
        "as the reference is",
        scorer=same_register,
        counts="in-scope",
        needs_answer=True,
    ),
)
_BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in _METRICS}


def similarity_by(embedder: Embedder) -> Metric:
    """The metric `similarity` by another embedder; all texts of a suite are embedded together."""
    vectors: dict[str, npt.NDArray[np.float32]] = {}

    def embed(texts: Iterable[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            vectors.update(zip(new, embedder.embed(new), strict=True))

    def prepare(asked: Sequence[tuple[Case, str]], progress: Progress) -> None:
        compared = [(case.expected, said) for case, said in asked if case.expected is not None]
        progress.step(f"Comparing {len(compared)} answers by {embedder.name}")
        embed(text for pair in compared for text in pair)

    def measure(answer: str, reference: str) -> float:
        embed((answer, reference))
        return likeness.similarity(vectors[answer], vectors[reference])

    return replace(
        _BY_NAME["similarity"],
        about=f"likeness to the reference, 0 to 1, in-scope cases: cosine by {embedder.name}",
        scorer=alike(measure),
        prepare=prepare,
        source_digest=digest_text(embedder.name),
    )


def _of_task(task: TaskSettings) -> Sequence[Metric]:
    return _METRICS if is_prose(task) else ()


def _wanted(wanted: Wanted) -> Metric:
    return _BY_NAME[wanted.name]


FAMILY = Family(
    name="prose",
    about="likeness of prose to its reference, and what every good answer reaches",
    of_task=_of_task,
    brings=_BY_NAME.__contains__,
    metric=_wanted,
)
