"""Suites in the forms of a data source are read before anything is trained."""

import pytest

from cases import case
from tuneloop.evaluation.suites import load_suite
from tuneloop.modelfile import TaskSettings


@pytest.mark.parametrize("name", ["golden.csv", "golden-qa.jsonl"])
def test_the_suite_has_its_two_cases(name: str) -> None:
    path = case("errors-after-training") / name
    suite = load_suite(path, name="golden", kind="golden", task=TaskSettings())
    assert [(one.question, one.expected) for one in suite.cases] == [
        ("the hose of the pump leaks at the valve", "repair desk"),
        ("when do you bring my two chairs", "delivery desk"),
    ]
