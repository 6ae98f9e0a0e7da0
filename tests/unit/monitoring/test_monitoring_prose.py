"""Monitors of prose: what each counts, and when it speaks up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from installed_package import install
from monitoring_data import baseline, interaction, measure
from tuneloop.errors import ExtensionError
from tuneloop.intervals import pooled_share, share
from tuneloop.modelfile import MonitorSettings
from tuneloop.monitoring.monitors import prose, table
from tuneloop.monitoring.monitors.people import Accuracy
from tuneloop.monitoring.monitors.prose import (
    Groundedness,
    Repetition,
    Truncation,
)
from tuneloop.monitoring.shift import Baseline
from tuneloop.table import MONITOR_GROUP

NOTE = (
    "The patient reports a dull headache since Monday, worse in the evening, without fever or "
    "nausea; she takes one tablet of ibuprofen a day and asks whether that is too much."
)
PROSE = {
    "truncation",
    "repetition",
    "groundedness",
    "answer_drift",
    "answer_similarity",
    "new_phrases",
}
LOOPING = "He denies any pain. " + "He has no known allergies. " * 9


def _answers(n: int, **values: Any) -> list[dict[str, Any]]:
    return [interaction(response=f"{NOTE} Case {i}.", **values) for i in range(n)]


def test_truncation_takes_the_servers_word_for_it() -> None:
    cut = _answers(20, finish_reason="length")
    found = measure(Truncation, _answers(80) + cut)
    assert (found.value, found.n, found.verdict) == (0.2, 100, "alert")
    assert "above the limit of 5.0 %" in found.message
    assert found.detail["examples"][0]["answer"].endswith("Case 0.")
    json.dumps(found.detail)


def test_without_a_finish_reason_an_answer_of_just_so_many_tokens_was_cut_off() -> None:
    rows = [
        *_answers(20, finish_reason=None, completion_tokens=256),
        *_answers(20, finish_reason=None, completion_tokens=400),  # a client's own limit
        *_answers(20, finish_reason="stop", completion_tokens=256),
    ]
    found = measure(Truncation, rows, max_tokens=256)
    assert (found.value, found.detail["without_finish_reason"]) == (20 / 60, 40)
    assert measure(Truncation, rows).value == 0.0


def test_answers_that_failed_are_no_answers_cut_off() -> None:
    failed = _answers(40, finish_reason="length", status=502, error="upstream_broke_off")
    assert measure(Truncation, _answers(40) + failed).value == 0.0


def test_a_loop_is_found_and_its_words_are_shown() -> None:
    rows = [*_answers(36), *[interaction(response=LOOPING)] * 4]
    found = measure(Repetition, rows)
    assert (found.value, found.n, found.verdict) == (0.1, 40, "alert")
    example = found.detail["examples"][0]
    assert example["repeats"] == "he has no known allergies"
    assert example["times"] == 9
    usual = measure(Repetition, _answers(40))
    assert (usual.value, usual.verdict) == (0.0, "ok")
    assert usual.detail["distinct_2"] > found.detail["distinct_2"]


def test_a_crossing_that_may_be_chance_is_told_and_alerts_nobody() -> None:
    found = measure(Truncation, _answers(38) + _answers(3, finish_reason="length"))
    assert found.value is not None
    assert found.value > 0.05
    assert (found.verdict, found.cleared) == ("ok", False)
    assert "may be chance" in found.message


def test_the_list_shows_the_limit_that_the_release_has_set() -> None:
    released = {
        "outside_prompt": baseline(0.254),
        "no_loops": baseline(0.9),
        "truncated_share": baseline(0.01),
    }
    settings = MonitorSettings()

    def shown(name: str, measured: Mapping[str, Baseline]) -> str:
        monitor = table.chosen([name])[name]
        assert isinstance(monitor, table.Monitor)
        return monitor.limit_of(settings, measured.get)

    assert shown("groundedness", released) == "above 30.4% (released with 25.4%)"
    assert shown("repetition", released) == "above 15.0% (released with 10.0%)"
    assert shown("truncation", released) == "above 5%"
    assert shown("groundedness", {}) == "above 5%"


def test_what_was_released_is_not_told_as_news() -> None:
    rows = _answers(180) + _answers(20, finish_reason="length")
    known = {"truncated_share": baseline(0.09, 0.04, 0.16)}
    found = measure(Truncation, rows, evaluated=known)
    assert (found.value, found.verdict) == (0.1, "ok")
    assert "9.0 % when it was released" in found.message
    worse = measure(Truncation, rows + _answers(40, finish_reason="length"), evaluated=known)
    assert worse.verdict == "alert"
    loops = [*_answers(90), *[interaction(response=LOOPING)] * 10]
    known = {"no_loops": baseline(0.9, 0.84, 0.95)}
    assert measure(Repetition, loops, evaluated=known).verdict == "ok"


def test_a_large_window_is_measured_on_a_sample_that_says_so(monkeypatch) -> None:
    monkeypatch.setattr(prose, "SAMPLE_ROWS", 50)
    rows = [*_answers(300), *[interaction(response=LOOPING)] * 300]
    found = measure(Repetition, rows)
    assert (found.n, found.detail["sampled_from"]) == (50, 600)
    assert measure(Repetition, rows, parts=4).value == found.value


@pytest.mark.parametrize(
    ("task", "more", "less"),
    [
        ({}, set(), PROSE),
        ({"kind": "labels"}, set(), PROSE),
        ({"kind": "prose"}, PROSE, {"format_compliance"}),
        ({"kind": "prose", "output_pattern": "Dear .*"}, {"format_compliance"}, set()),
    ],
)
def test_which_monitors_run_follows_from_the_kind_of_the_task(task, more, less) -> None:
    names = set(table.chosen(task=task))
    assert more <= names
    assert not less & names
    assert names == {
        name for every in ("hour", "day", "week") for name in table.due(every, task=task)
    }
    # A named one runs on any task.
    assert set(table.chosen(["repetition"], task=task)) == {"repetition"}


def _told(dose: int, said: int) -> dict[str, Any]:
    prompt = f"Doctor: take {dose} mg of ibuprofen twice a day, and call me on Tuesday."
    return interaction(prompt, response=f"Ibuprofen {said} mg twice a day; will call on Tuesday.")


def test_groundedness_counts_what_stands_in_no_message_and_quotes_it() -> None:
    rows = [_told(100 + i, 100 + i) for i in range(60)] + [_told(100, 7_350)] * 20
    found = measure(Groundedness, rows)
    assert found.verdict == "alert"
    assert found.value == found.detail["ungrounded"] / found.detail["checkable"]
    assert (found.n, found.detail["ungrounded"]) == (80, 20)
    assert "7350" in found.detail["examples"][0]["ungrounded"][0]
    assert measure(Groundedness, rows[:60]).verdict == "ok"
    at_release = {"outside_prompt": baseline(found.value, 0.0, 1.0)}
    assert measure(Groundedness, rows, evaluated=at_release).verdict == "ok"


def test_what_the_task_or_an_earlier_turn_says_is_told_too() -> None:
    messages = [
        {"role": "user", "content": "My order is 48213."},
        {"role": "assistant", "content": "Thank you."},
        {"role": "user", "content": [{"type": "text", "text": "When does it come?"}]},
    ]
    row = interaction(messages=json.dumps(messages), response="Order 48213 comes within 12 days.")
    assert measure(Groundedness, [row]).detail["ungrounded"] == 1
    task = {"system": "We deliver within 12 days."}
    assert measure(Groundedness, [row], task=task).detail["ungrounded"] == 0


def test_parts_of_one_answer_are_no_independent_cases() -> None:
    together = pooled_share([10] * 4 + [0] * 36, [10] * 40)
    apart = pooled_share([2, 0] * 20, [10] * 40)
    assert together.value == apart.value == 0.1
    assert together.n == apart.n == 40
    assert together.high - together.low > 2 * (apart.high - apart.low)
    assert pooled_share([0] * 40, [3] * 40).high == share(0, 40).high


def test_a_share_of_parts_is_as_unsure_as_the_cases_that_have_any() -> None:
    silent = pooled_share([0] * 40, [3] * 10 + [0] * 30)
    assert (silent.high, silent.n) == (share(0, 10).high, 40)
    one = pooled_share([1, 0], [3, 0])
    assert (one.low, one.high, one.n) == (0.0, 1.0, 2)
    # Fewer than five independent parts are never told as fifty.
    whole = pooled_share([10] * 2 + [0] * 3, [10] * 5)
    assert whole.high - whole.low > share(20, 50).high - share(20, 50).low


def test_a_label_in_other_words_does_not_make_prose_wrong() -> None:
    said = [
        (0, "label", "She has a headache."),
        (1, "label", f"{NOTE} Case 1."),
        (2, "label", {"correct": False}),
        (3, "rating", 1.0),
    ]
    found = measure(Accuracy, _answers(40), task={"kind": "prose"}, said=said)
    assert (found.value, found.n) == (2 / 3, 3)
    assert found.detail["labels_in_other_words"] == 1
    short = measure(Accuracy, _answers(40), said=said)
    assert (short.value, short.n) == (2 / 4, 4)


UNSURE = """
from tuneloop.monitoring.monitors.prose import Repetition
from tuneloop.monitoring.monitors.table import Monitor

class Unsure(Repetition):
    name = "unsure"

UNSURE = Monitor(tally=Unsure, about="", every="day", limit=lambda s: "", applies=lambda t: 1 / 0)
"""


def test_a_package_that_cannot_say_whether_its_monitor_applies_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, module=UNSURE, adds={MONITOR_GROUP: {"unsure": "acme:UNSURE"}})
    unsure = table.chosen(task={"kind": "prose"})["unsure"]
    assert isinstance(unsure, ExtensionError)
    assert "acme 1.2" in unsure.message and "ZeroDivisionError" in unsure.message
