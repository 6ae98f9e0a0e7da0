"""What the model file names: gates and their direction, metrics, suites, columns, the base."""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.setup import names
from tuneloop.setup.finding import Finding, error, ok, unseen
from tuneloop.setup.look import Look


def every_name(look: Look) -> Iterator[Finding]:
    """Each name that means nothing, with its line and the nearest one."""
    model_file = look.project.model_file
    problems = names.problems(model_file)
    for problem in problems:
        place = f"{model_file.place(problem.at)}: {problem.key}: {problem.message}"
        if problem.certain:
            yield error("names", place, problem.remedy)
        else:
            yield unseen("names", place, problem.remedy)
    if not problems:
        settings = look.model
        gates, suites = settings.evaluation.gates_in_force, settings.evaluation.suites
        yield ok(
            "names",
            f"Gates: {len(gates)}; suites: {len(suites)}; "
            f"all that {model_file.path.name} names is known.",
        )
