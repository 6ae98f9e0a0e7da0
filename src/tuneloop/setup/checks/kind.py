"""The kind of task: is it what the answers are?"""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.datasets.answer_kind import AnswerKind
from tuneloop.datasets.labels import WHOLE_ANSWER, label_counts
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import Look
from tuneloop.task.answer_form import json_object
from tuneloop.task.kind import kind_of


def kind(look: Look) -> Iterator[Finding]:
    """Prose is declared as such, and only prose is: gates on a match of words follow from it."""
    task, examples = look.model.task, look.rows.examples
    declared = kind_of(task)
    if declared == "json":
        return
    seen = AnswerKind()
    for example in examples:
        seen.add(example.messages[-1].content, example.completion)
    objects = sum(json_object(example.completion) is not None for example in examples)
    if 2 * objects > len(examples):
        return  # what is wrong with JSON without a schema is nothing that a kind could mend
    labels = label_counts(example.completion for example in examples)
    looks = seen.kind(is_json=False, is_label=WHOLE_ANSWER in labels)
    if looks == "prose" and declared != "prose":
        yield warning(
            "kind",
            "The answers look like prose, and accuracy would be a match with the reference answer, "
            "which hardly any answer reaches.",
            "Declare task.kind: prose and remove evaluation.gates, or write gates of prose there; "
            "where one wording is right, declare task.kind: short.",
        )
    elif declared == "prose" and looks != "prose":
        yield warning(
            "kind",
            f"task.kind is prose, and the answers look like {looks}: they would be compared with "
            "the base and not with the one right answer.",
            f"Declare task.kind: {looks}.",
        )
    else:
        yield ok("kind", f"Answers are {declared}.")
