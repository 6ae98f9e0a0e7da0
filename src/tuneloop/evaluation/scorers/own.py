"""The family of a team's own scorers: `module:function`, called as `function(case, output)`."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tuneloop.errors import EvaluationError
from tuneloop.evaluation.scorers.base import Family, Metric, Score, Scorer, Wanted
from tuneloop.evaluation.suites import Case
from tuneloop.nearest import nearest


def own_function(reference: str) -> tuple[Scorer, str]:
    """Load `module:function`; returns the scorer and the digest of its source, for the gate lock.

    The function gets a `Case` and the answer's text and returns a number in 0..1, a bool, or None
    for a case that it does not judge.

    Raises:
        EvaluationError: the function cannot be loaded.
    """
    function = _load(reference)
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = reference

    return guarded(function, reference), hashlib.sha256(source.encode()).hexdigest()


def guarded(function: Callable[[Case, str], Any], named: str) -> Scorer:
    """Call a function of somebody else's; its faults and impossible scores are told by its name."""

    def score(case: Case, output: str) -> Score | None:
        try:
            value = function(case, output)
        except Exception as e:
            raise EvaluationError(
                f"The scorer {named} failed on case {case.id}: {type(e).__name__}: {e}.",
                remedy="Correct the function; the answers are kept and will be scored again.",
            ) from e
        return None if value is None else _checked(value, named, case)

    return score


def _checked(value: Any, named: str, case: Case) -> Score:
    score = Score(value=float(value)) if isinstance(value, bool | int | float) else value
    if not isinstance(score, Score) or not 0 <= score.value <= 1:
        raise EvaluationError(
            f"The scorer {named} returned {value!r} for case {case.id}; "
            "expected a number from 0 to 1, true or false, or None."
        )
    return score


def _load(reference: str) -> Any:
    module_name, _, name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except Exception as e:
        raise EvaluationError(
            f"The scorer module {module_name!r} cannot be imported: {type(e).__name__}: {e}.",
            remedy=_other_module(module_name),
        ) from e
    function = getattr(module, name, None)
    if not callable(function):
        raise EvaluationError(
            f"{module_name!r} has no function {name!r}.",
            remedy=f"Did you mean {module_name}:{near}?"
            if (near := nearest(name, _functions(module)))
            else "Name a scorer as module:function, e.g. checks:mentions_product",
        )
    return function


def _functions(module: Any) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value)]


def _other_module(name: str) -> str:
    near = nearest(name, (path.stem for path in Path().glob("*.py")))
    meant = f"Did you mean {near!r}? " if near and near != name else ""
    return f"{meant}Check the name, and that the module is on PYTHONPATH."


def _wanted(wanted: Wanted) -> Metric:
    name = wanted.name
    scorer, digest = own_function(name)
    return Metric(
        name=name, about=f"the team's own function {name}", scorer=scorer, source_digest=digest
    )


FAMILY = Family(
    name="own",
    about="a function of the team's own, named as module:function",
    brings=lambda name: ":" in name,
    metric=_wanted,
)
