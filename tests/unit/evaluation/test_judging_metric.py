"""The judge as a metric: what it is asked, and by whom at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from tuneloop.evaluation.judging.judge import JudgeVerdict
from tuneloop.evaluation.judging.metric import JudgedAnswers
from tuneloop.evaluation.judging.prompt import Exchange
from tuneloop.evaluation.suites import Case
from tuneloop.progress import Silent


def test_two_models_that_say_the_same_at_the_same_time_are_judged_once() -> None:
    both_are_there = threading.Barrier(2, timeout=10)
    judged: list[int] = []

    def score_all(exchanges: Sequence[Exchange], progress: Any) -> list[JudgeVerdict]:
        judged.append(len(exchanges))
        time.sleep(0.05)
        good = JudgeVerdict(score=1.0, passed=True, reason="right", judge="judge@1", tokens=9)
        return [good] * len(exchanges)

    judge: Any = SimpleNamespace(settings=SimpleNamespace(model="judge"), score_all=score_all)
    answers = JudgedAnswers(judge=judge)
    case = Case(id="1", messages=({"role": "user", "content": "Where?"},), expected="Here")

    def prepare() -> None:
        both_are_there.wait()
        answers.prepare([(case, f"Answer {number}") for number in range(200)], Silent())

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(prepare), threads.submit(prepare)]:
            done.result()
    assert sorted(judged) == [0, 200]
