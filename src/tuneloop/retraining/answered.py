"""What a served file answered in earlier evaluations, so that it is not asked the same again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuneloop.errors import EvaluationError, StoreError
from tuneloop.evaluation import stage as evaluation
from tuneloop.evaluation.targets import Answer
from tuneloop.registry import bundle as bundles
from tuneloop.registry.bundle import Bundle
from tuneloop.retraining import serving

if TYPE_CHECKING:
    from tuneloop.retraining.loop import Loop


def by_file(loop: Loop, digest: str) -> dict[str, Answer]:
    """What the file with this digest said, served as the model file says now: prompt → answer.

    Latencies come along, so all that decides them must be the same: sampling, server, slots,
    threads, and how many questions were asked at a time. Gates, margin and suites decide nothing.
    """
    known: dict[str, Answer] = {}
    for bundle in reversed(bundles.listing(loop.workspace, model=loop.model.name)):
        if _served_alike(loop, bundle, digest):
            try:
                done = evaluation.find(loop.workspace, bundle.manifest["evaluation"]["id"])
                known |= evaluation.answers_of_candidate(loop.workspace, done)
            except (EvaluationError, StoreError):
                continue  # the answers are gone or damaged: they are asked for again
    return known


def _served_alike(loop: Loop, bundle: Bundle, digest: str) -> bool:
    served, held_to = bundle.manifest["serving"], bundle.manifest["evaluation"]["settings"]
    return (
        served.get("digest") == digest
        and all(served.get(key) == value for key, value in serving.conditions(loop.model).items())
        and held_to.get("concurrency") == loop.model.evaluation.concurrency
    )
