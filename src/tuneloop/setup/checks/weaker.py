"""Gates, settings and suites: is less asked than by default, or than production was asked for?"""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.datasets import versions
from tuneloop.datasets.selection import is_approved
from tuneloop.errors import StoreError, UsageError
from tuneloop.modelfile import HELD_OUT
from tuneloop.setup import weakened
from tuneloop.setup.finding import Finding, ok, warning
from tuneloop.setup.look import Look
from tuneloop.setup.weakened import Asked, keys_of


def default_gates(look: Look) -> Iterator[Finding]:
    """Default gates that a file with gates of its own does not mention hold all the same."""
    for told in weakened.added_gates(look.project):
        yield ok("gate", f"{told}.")


def weaker(look: Look) -> Iterator[Finding]:
    """What is asked for less, with the reason that the file gives; without one it is a warning."""
    for weakness in weakened.of_cases(look.project, _asked(look), _asked_then(look)):
        if weakness.reason:
            yield ok("weaker", f"{weakness.sentence}.")
        else:
            yield warning("weaker", f"{weakness.sentence}.", f"Say why: {weakness.reason_key}.")


def _asked(look: Look) -> Asked:
    """Of every row, as the split is not made yet, and of every suite."""
    suites = map(look.suite, look.model.evaluation.suites)
    cleaning = weakened.cleaning_of(look.project)
    return {
        HELD_OUT: frozenset(row.input_key for row in look.rows.examples),
        **{suite.name: keys_of((c.messages for c in suite.cases), cleaning) for suite in suites},
    }


def _asked_then(look: Look) -> Asked:
    """What production was asked, without what cannot be looked up in the rows that were read."""
    project = look.project
    live = project.in_production()
    if live is None:
        return {}
    bundle = project.bundle(live)
    then = {**weakened.asked_then(project, bundle)}
    then.pop(HELD_OUT, None)
    if not look.rows.whole:
        return then
    try:
        version = versions.load(project.workspace, bundle.model, bundle.manifest.dataset.digest)
        rows = versions.read_examples(project.workspace, version, "eval")
    except (UsageError, StoreError):
        return then
    # Answers that people approved are in no source.
    prompts = ([m.as_row() for m in row.messages] for row in rows if not is_approved(row))
    return {**then, HELD_OUT: keys_of(prompts, weakened.cleaning_of(project))}
