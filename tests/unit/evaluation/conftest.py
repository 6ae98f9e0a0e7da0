"""A small JSON task and answers to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from tuneloop.evaluation.runner import SuiteAnswers
from tuneloop.evaluation.suites import Case, Suite, make_suite
from tuneloop.evaluation.targets import Answer
from tuneloop.modelfile import AbstainSettings, TaskSettings

INTENTS = ("refund", "delivery", "human")


@pytest.fixture
def task() -> TaskSettings:
    return TaskSettings(
        system="Sort the message.",
        output_schema={
            "type": "object",
            "properties": {
                "intent": {"enum": list(INTENTS)},
                "urgent": {"type": "boolean"},
            },
            "required": ["intent"],
            "additionalProperties": False,
        },
        abstain=AbstainSettings(field="intent", value="human"),
    )


def answer_text(intent: str, *, urgent: bool = False) -> str:
    return json.dumps({"intent": intent, "urgent": urgent})


def case(
    id: str, expected: str | None, *, out_of_scope: bool = False, question: str | None = None
) -> Case:
    # Who asks the same is no second witness, so every case asks something of its own.
    question = f"hello {id}" if question is None else question
    return Case(
        id=id,
        messages=({"role": "user", "content": question},),
        expected=expected,
        out_of_scope=out_of_scope,
        slices={"out_of_scope": "yes" if out_of_scope else "no"},
    )


def suite(cases: list[Case], name: str = "held-out") -> Suite:
    return make_suite(name, "held-out", cases)


def answers(suite: Suite, texts: Mapping[str, str | Answer], target: str = "t") -> SuiteAnswers:
    given = {
        id: text if isinstance(text, Answer) else Answer(text=text, latency_ms=10.0)
        for id, text in texts.items()
    }
    return SuiteAnswers(suite=suite, target=target, answers=given)


class ScriptedTarget:
    """Answers with a function of the question."""

    def __init__(self, reply: Callable[[str], str | Answer], identity: str = "scripted") -> None:
        from tuneloop.evaluation.targets import Sampling

        self.identity = identity
        self.sampling = Sampling()
        self.asked: list[str] = []
        self._reply = reply

    def complete(self, messages: tuple[Mapping[str, str], ...]) -> Answer:
        question = messages[-1]["content"]
        self.asked.append(question)
        reply = self._reply(question)
        return reply if isinstance(reply, Answer) else Answer(text=reply, latency_ms=1.0)


class Parts:
    """What tests build with."""

    answer_text = staticmethod(answer_text)
    case = staticmethod(case)
    suite = staticmethod(suite)
    answers = staticmethod(answers)
    target = ScriptedTarget


@pytest.fixture
def parts() -> type[Parts]:
    return Parts
