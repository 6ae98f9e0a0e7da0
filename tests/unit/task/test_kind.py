import pytest
from pydantic import ValidationError

from tuneloop.modelfile import TaskSettings
from tuneloop.task.kind import is_prose, kind_of


def test_a_task_that_declares_no_kind_is_what_it_was_before_there_were_kinds() -> None:
    assert kind_of(TaskSettings()) == "short"
    assert kind_of(TaskSettings(output_schema={"type": "object"})) == "json"
    assert "kind" not in TaskSettings().model_dump()


def test_the_declared_kind_holds() -> None:
    task = TaskSettings(kind="prose")
    assert is_prose(task)
    assert task.model_dump()["kind"] == "prose"
    assert not is_prose(TaskSettings(kind="labels"))


def test_prose_with_a_schema_is_refused_in_words() -> None:
    with pytest.raises(ValidationError, match="output_schema asks for JSON: remove one of them"):
        TaskSettings(kind="prose", output_schema={"type": "object"})
