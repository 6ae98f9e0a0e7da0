"""A wrong argument of the Python face is answered with a sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import tuneloop
from live_desk import make_loop
from python_page import CLASSES
from tuneloop.errors import (
    BaseModelError,
    EvaluationError,
    ModelFileError,
    TuneloopError,
    UsageError,
)
from tuneloop.loop import Loop
from tuneloop.workspace import Workspace

METHODS = [
    (class_, name)
    for class_ in CLASSES
    for name, member in vars(class_).items()
    if inspect.isfunction(member) and not name.startswith("_")
]


@pytest.fixture
def loop(workspace: Workspace, tmp_path: Path) -> Loop:
    return make_loop(workspace, tmp_path / "desk")


@pytest.fixture
def bare() -> Loop:
    """Without model file and workspace: a wrong argument never comes as far as they are."""
    return Loop.__new__(Loop)


@pytest.mark.parametrize(("class_", "name"), METHODS)
def test_an_argument_that_a_method_does_not_have_is_named(class_: type, name: str) -> None:
    said = f"{class_.__name__}.{name} has no argument 'focre'"
    with pytest.raises(UsageError, match=said) as caught:
        getattr(class_.__new__(class_), name)(focre=True)
    assert caught.value.remedy.startswith("It takes ")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda p: tuneloop.open(None), "path of tuneloop.open is None; expected a path or a text"),
        (lambda p: tuneloop.open(""), "path of tuneloop.open is ''; expected a path or a text"),
        (lambda p: tuneloop.open(p, overides=[]), "tuneloop.open has no argument 'overides'"),
        (lambda p: tuneloop.open(p, []), "tuneloop.open: too many positional arguments"),
        (
            lambda p: tuneloop.open(p, overrides="training.epochs=5"),
            "expected a list of texts, such as ['training.epochs=5'].",
        ),
        (lambda p: tuneloop.open(p, overrides=[5]), "expected a list of texts."),
        (
            lambda p: tuneloop.open(p, overrides=(one for one in ["training.epochs=5"])),
            "overrides of tuneloop.open is a generator; expected a list of texts.",
        ),
        (lambda p: tuneloop.open(p, progress=print), "with the methods step, update and note"),
    ],
)
def test_open_says_what_it_expected(tmp_path: Path, call: Callable[[Path], Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        call(tmp_path)
    assert said in caught.value.message and "\n" not in caught.value.message


def test_a_path_that_does_not_exist_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No model file at") as caught:
        tuneloop.open(tmp_path / "nowhere.yaml")
    assert "tuneloop init" in caught.value.remedy


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            lambda x: x.monitor(only="format"),
            "expected a list of texts or None, such as ['format']",
        ),
        (lambda x: x.interactions(limit=-3), "limit of Loop.interactions is -3; expected a whole"),
        (lambda x: x.interactions(limit=True), "limit of Loop.interactions is True; expected a"),
        (
            lambda x: x.interactions(limit=2.5),
            "limit of Loop.interactions is 2.5; expected a whole",
        ),
        (lambda x: x.measurements(limit=0), "expected a whole number of at least 1 or None."),
        (lambda x: x.backtest(limit=-1), "limit of Loop.backtest is -1"),
        (lambda x: x.backtest(since=7), "since of Loop.backtest is 7; expected a timedelta that"),
        (lambda x: x.prune(older_than=timedelta(days=-1)), "expected a timedelta that is not neg"),
        (lambda x: x.drill(repeats=0), "repeats of Loop.drill is 0"),
        (
            lambda x: x.bench(loads=["1/s"]),
            "loads of Loop.bench is a list; expected a list of Loads",
        ),
        (lambda x: x.train(force="yes"), "force of Loop.train is 'yes'; expected True or False."),
        (
            lambda x: x.train("latest"),
            "dataset of Loop.train is 'latest'; expected a DatasetVersion",
        ),
        (lambda x: x.report("latest"), "expected an Evaluation."),
        (lambda x: x.candidate(), "Loop.candidate: missing a required argument: 'dataset'."),
        (lambda x: x.deploy(), "Loop.deploy: missing a required argument: 'reason'."),
        (lambda x: x.dataset(""), "reference of Loop.dataset is ''; expected a text that is not"),
        (lambda x: x.training_run(3), "reference of Loop.training_run is 3; expected a text"),
        (
            lambda x: x.steer_rollout("stop", reason="so"),
            "is 'stop'; expected one of pause, resume, promote, abort.",
        ),
    ],
)
def test_an_argument_of_another_kind_is_answered_with_what_was_expected(
    bare: Loop, call: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        call(bare)
    assert said in caught.value.message and "\n" not in caught.value.message


def test_a_record_is_asked_for_with_the_methods_that_return_it(bare: Loop) -> None:
    with pytest.raises(UsageError) as caught:
        bare.train("latest")  # type: ignore[arg-type]
    assert caught.value.remedy == "It is what prepare or dataset returns."


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda x: x.dataset("nope"), UsageError),
        (lambda x: x.dataset_diff("nope", "latest"), UsageError),
        (lambda x: x.train(), BaseModelError),
        (lambda x: x.training_run("nope"), UsageError),
        (lambda x: x.evaluation("nope"), EvaluationError),
        (lambda x: x.evaluate_bundle("nope"), UsageError),
        (lambda x: x.bundle("nope"), UsageError),
        (lambda x: x.deploy("nope", reason="so"), UsageError),
        (lambda x: x.roll_out("nope"), UsageError),
        (lambda x: x.rollout("nope"), UsageError),
        (lambda x: x.steer_rollout("pause", reason="so"), UsageError),
        (lambda x: x.roll_back(reason="so"), UsageError),
        (lambda x: x.backtest("nope"), UsageError),
        (lambda x: x.bench("nope"), UsageError),
        (lambda x: x.drill(), UsageError),
        (lambda x: x.measurements(monitor="fromat"), UsageError),
        (lambda x: x.acknowledge("nope"), UsageError),
        (lambda x: x.trace("nope"), UsageError),
    ],
)
def test_a_name_that_names_nothing_says_where_to_look(
    loop: Loop, call: Callable[[Any], Any], kind: type[TuneloopError]
) -> None:
    with pytest.raises(kind) as caught:
        call(loop)
    assert caught.value.remedy
